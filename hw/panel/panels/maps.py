"""The maps: what every space has at every address, side by side on one folded axis."""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from hw.paging import ADDRESS
from hw.panel import axis
from hw.panel.draw import Canvas, Rect
from hw.panel.moment import Leaf, View
from hw.panel.state import PTES, REGIONS, Region
from hw.panel.theme import CLASSES, hue_of, ink_on
from hw.panel.words import rights_letters

STRIP = 8
LABEL_CHARACTERS = 12
NARROW = 7
"""Characters of a column, where there are many."""


class Column(NamedTuple):
    """A space: its regions, and its pages in order."""

    space: int
    regions: list[Region]
    vpns: list[int]
    leaves: dict[int, Leaf]
    ghosts: list[Region]

    def pages(self, region: Region) -> list[int]:
        """The resident pages of a region."""
        low = bisect_left(self.vpns, region.start >> 12)
        return self.vpns[low : bisect_left(self.vpns, region.end >> 12)]


def columns(view: View, most: int) -> list[Column]:
    """The spaces to show: those that run first, then those with a thread, then the views of VASes,
    and by number on screen."""
    state = view.moment.state
    active = {core.space for core in state.cores.values()} | {view.space}
    threads = {thread.space for thread in state.threads.values()}
    named = {region.space for region in state.regions.values()} | set(state.views) | active
    order = sorted(
        (space for space in state.spaces if space in named),
        key=lambda s: (s not in active, s not in threads, s not in state.views, s),
    )
    by_space: dict[int, list[Region]] = {}
    for region in state.regions.values():
        by_space.setdefault(region.space, []).append(region)
    ghosts = [old for _, old in view.moment.gone(REGIONS) if isinstance(old, Region)]
    found = []
    for space in sorted(order[: max(1, most)]):
        leaves = view.moment.leaves(state.spaces[space])
        layers = state.layers(space)
        seen = [region for layer in layers for region in by_space.get(layer, [])]
        regions = sorted(seen, key=lambda region: region.start)
        lost = [region for region in ghosts if region.space in layers]
        found.append(Column(space, regions, sorted(leaves), leaves, lost))
    return sorted(found, key=lambda column: column.space != view.pinned)


def compared_with(view: View, shown: list[Column], number: int) -> Column | None:
    """The column that a column is compared with: the one to the left, or the pinned one."""
    if not number:
        return None
    return shown[0] if shown[0].space == view.pinned else shown[number - 1]


def title(view: View) -> str:
    number = len(view.moment.state.spaces)
    pinned = f" · compared with {view.moment.tracks.space_name(view.pinned)}" if view.pinned else ""
    return f"{number} space{'' if number == 1 else 's'} on one {view.axis} axis{pinned}"


def kind_of(region: Region, *, of_vas: bool = False) -> str:
    """The class that a region has a colour, a letter and a pattern from.  A region of a VAS, not
    of the process that looks in, is a segment."""
    if of_vas:
        return "segment"
    if region.shared:
        return "shared"
    if region.name == "[stack]":
        return "stack"
    if region.prot & 4:
        return "code"
    return "heap" if region.name in ("", "[heap]", "[bss]") else "file"


def is_of_vas(view: View, region: Region) -> bool:
    return any(vas.space == region.space for vas in view.moment.state.vases.values())


class Shape(NamedTuple):
    """How the panel is laid out: the columns, the axis, where it begins, how wide a column is."""

    columns: list[Column]
    scale: axis.Axis
    top: int
    left: int
    wide: int


def shape_of(view: View, c: Canvas) -> Shape:
    left = c.rect.x + STRIP + 6 + LABEL_CHARACTERS * c.cell + 6
    spaces, room = len(view.moment.state.spaces), c.rect.right - left
    most = max(1, room // (10 * c.cell + 6))
    if spaces > most and view.zoomed:
        most = max(1, room // (NARROW * c.cell + 6))
    shown = columns(view, most)
    top = c.y(2) + 4
    ranges = [(r.start, r.end) for column in shown for r in column.regions + column.ghosts]
    tall = c.rect.bottom - top - 2
    scale = axis.build(ranges, tall, c.row + 1)
    if view.axis != "folded":
        scale = axis.linear(tall) if view.axis == "linear" else axis.logarithmic(tall)
    wide = min(22 * c.cell, (c.rect.right - left) // max(1, len(shown)) - 8)
    return Shape(shown, scale, top, left, wide)


def draw(view: View, c: Canvas) -> None:
    shape = shape_of(view, c)
    shown, scale, top, left, wide = shape
    _strip(c, {region.start for column in shown for region in column.regions}, top)
    _labels(c, scale, top, left)
    for number, column in enumerate(shown):
        x = left + number * (wide + 8)
        before = compared_with(view, shown, number)
        _heading(view, c, x, wide, column)
        _blocks(view, c, scale, Rect(x, top, wide, 0), column, before)
    _focus(view, c, shape)
    hidden = len(view.moment.state.spaces) - len(shown)
    if hidden > 0:
        words = f"+{hidden} more"
        c.text(c.rect.x + STRIP + 6, c.y(0), words, "dim", width=left - c.rect.x - STRIP - 8)


def _strip(c: Canvas, starts: set[int], top: int) -> None:
    """The whole 48 bits to scale: how little of them is used, and the non-canonical hole."""
    tall = c.rect.bottom - top - 2
    half = (tall - 10) // 2
    c.box(c.rect.x, top, STRIP, half, "free")
    c.box(c.rect.x, top + half, STRIP, 10, "panel", outline="dim", pattern="cross", ink="dim")
    c.box(c.rect.x, top + half + 10, STRIP, half, "free", pattern="rows", ink="faint")
    for start in sorted(starts):
        y = top + int(half * (start / (1 << 47)))
        c.box(c.rect.x, min(y, top + half - 2), STRIP, 2, "gold")


def _labels(c: Canvas, scale: axis.Axis, top: int, left: int) -> None:
    x, below = c.rect.x + STRIP + 6, -99.0
    for run in scale.runs:
        if run.top >= below:
            c.text(x, top + int(run.top), f"{run.start:012x}", "dim")
            below = run.top + c.row
        if run.folded > 1 and run.bottom - run.top > 2 * c.row - 4:
            c.text(x, top + int(run.top) + c.row, f"{run.folded} regions", "gold")
            below = run.top + 2 * c.row
    for y, size in scale.gaps():
        at = top + int(y)
        points = range(left, c.rect.right - 6, 6)
        for step, start in enumerate(points):
            up = 2 if step % 2 else -2
            c.line(start, at + up, start + 6, at - up, "faint")
        words = axis.size_in_words(size)
        if size >> 20:
            small = max(11, c.size - 1)
            c.text(x, at - small // 2 - 2, f"gap {words}", "dim", size=small, width=left - x)


def fitting(words: str, short: str, wide: int, c: Canvas) -> str:
    """The words, or their short form where they do not fit."""
    return words if len(words) * c.cell <= wide else short


def _heading(view: View, c: Canvas, x: int, wide: int, column: Column) -> None:
    """Number, PCID and threads; the space that runs has a bar above and its title in gold."""
    active = any(core.space == column.space for core in view.moment.state.cores.values())
    pcid = view.moment.pcid_of(column.space)
    ink = "gold" if column.space == view.space else "ink"
    name = view.moment.tracks.space_name(column.space)
    name = fitting(name, name.replace("VAS ", "V").replace("space ", "s"), wide, c)
    at = c.text(x, c.y(0), name, ink, bold=active, width=wide) + c.cell
    if pcid and at + 3 * c.cell <= x + wide:
        hue = hue_of(pcid)
        c.box(at, c.y(0) + 1, 2 * c.cell + 4, c.row - 2, hue, outline="edge")
        c.text(at + 2, c.y(0), f"p{pcid}", ink_on(hue), paper=hue)
    threads = [f"T{tid}" for tid in view.moment.threads_in(column.space)]
    c.text(x, c.y(1), " ".join(threads) or fitting("no thread", "-", wide, c), "dim", width=wide)
    if active:
        tall = c.rect.bottom - c.y(0) - 1
        c.box(x - 4, c.y(0) - 1, wide + 8, tall, "", outline="gold" if ink == "gold" else "dim")


def _blocks(
    view: View, c: Canvas, scale: axis.Axis, at: Rect, column: Column, before: Column | None
) -> None:
    for region in column.ghosts:
        y, bottom = at.y + int(scale.y(region.start)), at.y + int(scale.y(region.end))
        tall = max(3, bottom - y - 1)
        c.box(at.x, y, at.w, tall, "", outline="dim", pattern="diagonal", ink="faint")
        if tall >= c.row - 2:
            c.text(at.x + 4, y, "gone", "dim")
    for region, y, bottom in _unfolded(c, scale, at, column):
        place = Rect(at.x, at.y + y, at.w, max(3, bottom - y - 1))
        _block(view, c, place, region, column, before)
    for vpn in column.vpns:
        if view.is_new(PTES, column.leaves[vpn].slot):
            y = at.y + int(scale.y((vpn << 12) + 0x800))
            c.mark("diamond", at.x + at.w - 13, y, 4, "hot")
            c.line(at.x + at.w - 20, y, at.x + at.w, y, "hot", width=2)


def _unfolded(
    c: Canvas, scale: axis.Axis, at: Rect, column: Column
) -> list[tuple[Region, int, int]]:
    """The regions that have room of their own, and from where to where they are drawn; the others
    are drawn here, a run at a time, as how many they are.  In a folded run a region is a line high,
    for the gaps between them leave it next to nothing."""
    single: list[tuple[Region, int, int]] = []
    for run in scale.runs:
        mine = [r for r in column.regions if run.start <= r.start < run.end]
        if run.folded == 1:
            single += [(r, int(scale.y(r.start)), int(scale.y(r.end))) for r in mine]
        elif len(mine) * c.row > run.bottom - run.top:
            y, tall = at.y + int(run.top), max(3, int(run.bottom - run.top) - 1)
            c.box(at.x, y, at.w, tall, "free", outline="dim", pattern="rows", ink="faint")
            words = fitting(f"{len(mine)} regions", f"{len(mine)} reg", at.w - 4, c)
            c.text(at.x + 3, y + (tall - c.row) // 2, words, "ink", paper="free", width=at.w - 4)
        else:
            single += _stacked(c.row, scale, run, mine)
    return single


def _stacked(
    row: int, scale: axis.Axis, run: axis.Run, mine: list[Region]
) -> list[tuple[Region, int, int]]:
    """One below the other, each as near to its place as the others leave it."""
    found, below = [], int(run.top)
    for number, region in enumerate(mine):
        last = int(run.bottom) - row * (len(mine) - number)
        y = max(below, min(int(scale.y(region.start)), last))
        below = max(y + row, min(int(scale.y(region.end)), last + row))
        found.append((region, y, below))
    return found


def is_contested(view: View, region: Region) -> bool:
    """What just happened is that two regions want one place, and it is one of them."""
    last = view.moment.last
    if last is None or last.kind.name != "conflict":
        return False
    for start, end in (("start", "end"), ("other_start", "other_end")):
        if (region.start, region.end) == (last[start], last[end]):
            return True
    return False


def _block(
    view: View, c: Canvas, at: Rect, region: Region, column: Column, before: Column | None
) -> None:
    """One region: its class, name, rights, and how much of it is resident."""
    hue, _, pattern = CLASSES[kind_of(region, of_vas=is_of_vas(view, region))]
    new = view.is_new(REGIONS, (region.space, region.start))
    c.box(at.x, at.y, at.w, at.h, hue, outline="edge", pattern=pattern, ink="black")
    pages = column.pages(region)
    share = len(pages) / max(1, region.pages)
    c.box(at.x + at.w - 7, at.y, 7, at.h, "panel", outline="edge")
    c.box(at.x + at.w - 6, at.y, 5, max(2, int(at.h * share)) if pages else 0, "ink")
    same, contested = _compared(region, column, before), is_contested(view, region)
    if at.h >= c.size:
        more = f" {rights_letters(region.prot)}{' *' if new else ''}"
        name = ("CONFLICT " if contested else "") + (region.name.strip("[]") or "anon")
        words = fitting(name + more, name.removeprefix("segment ") + more, at.w - 12, c)
        y = at.y + (at.h - c.row) // 2 if at.h < 2 * c.row else at.y + (at.h > 2 * c.row)
        sign = same if at.h < 2 * c.row and at.w > (len(same) + 6) * c.cell else ""
        room = at.w - 12 - (len(sign) + 1) * c.cell if sign else at.w - 12
        c.text(at.x + 3, y, words, ink_on(hue), paper=hue, width=room)
        if sign:
            c.text(at.x + at.w - 10 - len(sign) * c.cell, y, sign, ink_on(hue), paper=hue)
        if at.h >= 2 * c.row:
            detail = f"{len(pages)}/{region.pages}p {same}".strip()
            c.text(at.x + 3, y + c.row, detail, ink_on(hue), paper=hue, width=at.w - 12)
    if same.startswith("="):
        c.box(at.x - 8, at.y, 8, at.h, hue)
    if new or contested:
        c.box(
            at.x - 2, at.y - 1, at.w + 3, at.h + 2, "", outline="hot", width=4 if contested else 2
        )
    elif view.is_recent(REGIONS, (region.space, region.start)):
        c.box(at.x - 3, at.y, 2, at.h, "gold")


def _compared(region: Region, column: Column, before: Column | None) -> str:
    """`=` the same frames as the column before that it is compared with, `!=` other ones, `3=` for
    three of them."""
    if before is None:
        return ""
    other = next((r for r in before.regions if r.start <= region.start < r.end), None)
    if other is None:
        return ""
    pairs = [
        (column.leaves[vpn].entry & ADDRESS, before.leaves[vpn].entry & ADDRESS)
        for vpn in column.pages(region)
        if vpn in before.leaves
    ]
    same = sum(1 for mine, theirs in pairs if mine == theirs)
    if not pairs:
        return "=" if region.object == other.object else ""
    return "=" if same == len(pairs) else "!=" if not same else f"{same}= {len(pairs) - same}!="


def _focus(view: View, c: Canvas, shape: Shape) -> None:
    """A tick beside every column at the address in view."""
    shown, scale, top, left, wide = shape
    if any(run.start <= view.va < run.end for run in scale.runs):
        y = top + int(scale.y(view.va))
        for number in range(len(shown) + 1):
            x = left - 7 + number * (wide + 8)
            c.line(x, y, x + 6, y, "gold", width=2)


def describe(view: View) -> list[str]:
    lines = []
    shown = columns(view, 16)
    for number, column in enumerate(shown):
        before = compared_with(view, shown, number)
        pcid = view.moment.pcid_of(column.space)
        threads = " ".join(f"T{tid}" for tid in view.moment.threads_in(column.space))
        name = view.moment.tracks.space_name(column.space)
        lines.append(f"{name}{f' PCID {pcid}' if pcid else ''}: {threads}")
        for region in column.regions:
            new = " *" if view.is_new(REGIONS, (region.space, region.start)) else ""
            lines.append(
                f"  {region.start:012x}-{region.end:012x} {rights_letters(region.prot)} "
                f"{'shared' if region.shared else 'private'} {region.name or 'anonymous'} "
                f"{len(column.pages(region))} of {region.pages} pages "
                f"{_compared(region, column, before)}{new}".rstrip()
            )
    return lines
