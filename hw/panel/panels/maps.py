"""The maps: what every space has at every address, side by side on one folded axis."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from typing import NamedTuple

from hw.paging import ADDRESS
from hw.panel.model.moment import Leaf, View
from hw.panel.model.state import PTES, REGIONS, Region
from hw.panel.picture import axis
from hw.panel.picture.draw import Canvas, Rect, line_height
from hw.panel.picture.theme import CLASSES, hue_of, ink_on
from hw.panel.words.words import rights_letters

STRIP = 8
LABEL_CHARACTERS = 12
NARROW = 7
"""Characters of a column where there are many of them."""
NAME_KEPT = 3
"""A label with room for fewer characters of the name beside the rights has the name alone."""
LEGEND = (
    "= frames as {}, else as the leftmost space there; != others · bar: share in memory"
    " · block between columns: same as on the left · p2: PCID 2"
)
LEGEND_LINES = (
    "= frames as {}, else leftmost; != others",
    "bar: in memory · join: same as left · p2: PCID 2",
)
"""The same for a narrow panel."""
SMALLEST = 0.7
"""Text that would have to be smaller than this share of the usual size is left out."""


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

    def at(self, va: int) -> Region | None:
        """What the space has at an address."""
        return next((r for r in self.regions if r.start <= va < r.end), None)


def columns(view: View, most: int) -> list[Column]:
    """The spaces to show, chosen in this order: those that run, those with a thread, views of
    VASes. On screen they stand by number."""
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


def compared_with(view: View, shown: list[Column], number: int, va: int) -> Column | None:
    """The column that a column is compared with at an address: the pinned one, or the leftmost one
    that has a region there."""
    if number and shown[0].space == view.pinned:
        return shown[0]
    return next((column for column in shown[:number] if column.at(va)), None)


def title(view: View) -> str:
    number = len(view.moment.state.spaces)
    pinned = f" · compared with {view.moment.tracks.space_name(view.pinned)}" if view.pinned else ""
    return f"{number} space{'' if number == 1 else 's'} on one {view.axis} axis{pinned}"


def kind_of(region: Region, *, of_vas: bool = False) -> str:
    """The class of a region, which gives it a colour, a letter and a pattern. A region of a VAS is
    a segment."""
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
    """The layout of the panel: the columns, the axis, where it begins, the width of a column."""

    columns: list[Column]
    scale: axis.Axis
    top: int
    left: int
    wide: int
    bottom: int
    """Where the legend begins, if there is one."""


def shape_of(view: View, c: Canvas) -> Shape:
    left = c.rect.x + STRIP + 6 + LABEL_CHARACTERS * c.cell + 6
    spaces, room = len(view.moment.state.spaces), c.rect.right - left
    most = max(1, room // (10 * c.cell + 6))
    if spaces > most and view.zoomed:
        most = max(1, room // (NARROW * c.cell + 6))
    shown = columns(view, most)
    top = c.y(2) + 4
    tall, below = c.rect.bottom - top - 2, len(_legend(view, c, shown)) * c.row
    scale = _scale(view, shown, tall - below, c.row + 1)
    if not view.zoomed and not view.projector and any(run.folded > 1 for run in scale.runs):
        scale, below = _scale(view, shown, tall, c.row + 1), 0
    wide = min(22 * c.cell, (c.rect.right - left) // max(1, len(shown)) - 8)
    bottom = c.rect.bottom - below
    return Shape(columns=shown, scale=scale, top=top, left=left, wide=wide, bottom=bottom)


def _scale(view: View, shown: list[Column], tall: int, least: int) -> axis.Axis:
    if view.axis != "folded":
        return axis.linear(tall) if view.axis == "linear" else axis.logarithmic(tall)
    ranges = [(r.start, r.end) for column in shown for r in column.regions + column.ghosts]
    return axis.build(ranges, tall, least)


def _legend(view: View, c: Canvas, shown: list[Column]) -> list[str]:
    """What the signs mean: one line, or two in a narrow panel."""
    first = view.moment.tracks.space_name(shown[0].space) if shown else ""
    for words in (LEGEND, " · ".join(LEGEND_LINES)):
        if len(words.format(first)) <= c.columns:
            return [words.format(first)]
    return [words.format(first) for words in LEGEND_LINES]


def draw(view: View, c: Canvas) -> None:
    shape = shape_of(view, c)
    if shape.bottom < c.rect.bottom:
        for number, words in enumerate(_legend(view, c, shape.columns)):
            c.text(c.rect.x, shape.bottom + number * c.row, words, "dim")
    _draw(view, c.inside(Rect(c.rect.x, c.rect.y, c.rect.w, shape.bottom - c.rect.y)), shape)


def _draw(view: View, c: Canvas, shape: Shape) -> None:
    shown, scale, top, left, wide, _ = shape
    _strip(c, {region.start for column in shown for region in column.regions}, top)
    _labels(c, scale, top, left)
    for number, column in enumerate(shown):
        x = left + number * (wide + 8)
        _heading(view, c, x, wide, column)
        _blocks(view, c, scale, Rect(x, top, wide, 0), shown[: number + 1])
    _focus(view, c, shape)
    hidden = len(view.moment.state.spaces) - len(shown)
    if hidden > 0:
        words = f"+{hidden} more"
        c.text(c.rect.x + STRIP + 6, c.y(0), words, "dim", width=left - c.rect.x - STRIP - 8)


def _strip(c: Canvas, starts: set[int], top: int) -> None:
    """All 48 bits to scale: they show how little is used, and the non-canonical hole."""
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
    ends = {}
    for run in scale.runs:
        if run.top >= below:
            words = address_words(run)
            c.text(x, top + int(run.top), words, "gold" if "-" in words else "dim")
            below = run.top + c.row
        if run.folded > 1 and run.bottom - run.top > 2 * c.row - 4:
            c.text(x, top + int(run.top) + c.row, f"{run.folded} regions", "gold")
            below = run.top + 2 * c.row
        ends[run.end] = below
    for y, _ in scale.gaps():
        at = top + int(y)
        points = range(left, c.rect.right - 6, 6)
        for step, start in enumerate(points):
            up = 2 if step % 2 else -2
            c.line(start, at + up, start + 6, at - up, "faint")
    for one, two in itertools.pairwise(scale.runs):
        if two.start - one.end >> 20:
            above = max(ends[one.end], one.bottom - c.row)
            words = f"gap {axis.size_in_words(two.start - one.end)}"
            _gap_label(c, Rect(x, top + int(above), left - x, int(two.top - above)), words)


def _gap_label(c: Canvas, room: Rect, words: str) -> None:
    """Write the size of each gap, where that covers neither address beside it."""
    small = min(max(11, c.size - 1), int(room.h / 1.2))
    if small >= max(11, SMALLEST * c.size):
        y = room.bottom - line_height(small)
        c.text(room.x, y, words, "dim", size=small, width=room.w)


def address_words(run: axis.Run) -> str:
    """Where a run begins. For a run of pieces far apart, its first and last address, as far as the
    two differ: `1a0…-1a2…`."""
    first, last = f"{run.start:012x}", f"{run.end:012x}"
    if run.folded == 1:
        return first
    same = (
        next((n for n, pair in enumerate(zip(first, last, strict=True)) if pair[0] != pair[1]), 11)
        + 1
    )
    brief = f"{first[:same]}…-{last[:same]}…"
    return brief if len(brief) <= LABEL_CHARACTERS else first


def fitting(words: str, short: str, wide: int, c: Canvas) -> str:
    """The words, or their short form where they do not fit."""
    return words if len(words) * c.cell <= wide else short


def short_name(name: str) -> str:
    """`V2` for `VAS 2`, `s1` for `space 1`."""
    return name.replace("VAS ", "V").replace("space ", "s")


def shortened(name: str, room: int) -> str:
    """At most `room` characters of a name. A name that ends in a number keeps the number, which
    tells it from others; other names lose their end."""
    if len(name) <= room:
        return name
    head = max(0, room - 2) // 3 if name[-1].isdigit() else max(0, room - 1)
    return f"{name[:head]}…{name[len(name) - max(0, room - 1 - head) :]}"


def label(rights: str, name: str, room: int) -> str:
    """Rights and a name in `room` characters. The rights stay whole, if need be without their
    dashes, as long as there is room for part of the name."""
    for words in (rights, rights.replace("-", "") or "-"):
        left = room - len(words) - 1
        if left >= min(len(name), NAME_KEPT):
            return f"{words} {shortened(name, left)}"
    return shortened(name, room)


def _heading(view: View, c: Canvas, x: int, wide: int, column: Column) -> None:
    """The heads of the columns: number, PCID and threads. A space that runs has a bar above, and
    its title in gold."""
    active = any(core.space == column.space for core in view.moment.state.cores.values())
    pcid = view.moment.pcid_of(column.space)
    ink = "gold" if column.space == view.space else "ink"
    name = view.moment.tracks.space_name(column.space)
    own = name.endswith(" own") and len(name) * c.cell > wide
    name = fitting(name, short_name(name).removesuffix(" own"), wide, c)
    at = c.text(x, c.y(0), name, ink, bold=active, width=wide) + c.cell
    if pcid and at + 3 * c.cell <= x + wide:
        hue = hue_of(pcid)
        c.box(at, c.y(0) + 1, 2 * c.cell + 4, c.row - 2, hue, outline="edge")
        c.text(at + 2, c.y(0), f"p{pcid}", ink_on(hue), paper=hue)
    threads = [f"T{tid}" for tid in view.moment.threads_in(column.space)]
    nobody = "own" if own else fitting("no thread", "-", wide, c)
    c.text(x, c.y(1), " ".join(threads) or nobody, "dim", width=wide)
    if active:
        tall = c.rect.bottom - c.y(0) - 1
        c.box(x - 4, c.y(0) - 1, wide + 8, tall, "", outline="gold" if ink == "gold" else "dim")


def _blocks(view: View, c: Canvas, scale: axis.Axis, at: Rect, shown: list[Column]) -> None:
    """Draw the last of the columns `shown`, compared with those to its left."""
    column = shown[-1]
    for region in column.ghosts:
        y, bottom = at.y + int(scale.y(region.start)), at.y + int(scale.y(region.end))
        tall = max(3, bottom - y - 1)
        c.box(at.x, y, at.w, tall, "", outline="dim", pattern="diagonal", ink="faint")
        if tall >= c.row - 2:
            c.text(at.x + 4, y, "gone", "dim")
    for region, y, bottom in _unfolded(c, scale, at, column):
        place = Rect(at.x, at.y + y, at.w, max(3, bottom - y - 1))
        _block(view, c, place, region, shown)
    for vpn in column.vpns:
        if view.is_new(PTES, column.leaves[vpn].slot):
            y = at.y + int(scale.y((vpn << 12) + 0x800))
            c.mark("diamond", at.x - 3, y, 7, "panel")
            c.mark("diamond", at.x - 3, y, 5, "hot")


def _unfolded(
    c: Canvas, scale: axis.Axis, at: Rect, column: Column
) -> list[tuple[Region, int, int]]:
    """The regions that have room of their own, each with its top and bottom. The others are drawn
    here, as one count for each run. In a folded run a region is one line high: the gaps would leave
    it almost no height."""
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
    """The regions one below the other, each as near to its own height as the others allow. A single
    region fills a run of one line: a few pixels up or down would mean nothing."""
    if len(mine) == 1 and run.bottom - run.top < 2 * row:
        return [(mine[0], int(run.top), int(run.bottom))]
    found, below = [], int(run.top)
    for number, region in enumerate(mine):
        last = int(run.bottom) - row * (len(mine) - number)
        y = max(below, min(int(scale.y(region.start)), last))
        below = max(y + row, min(int(scale.y(region.end)), last + row))
        found.append((region, y, below))
    return found


def is_contested(view: View, region: Region) -> bool:
    """True if the last record is a conflict and this region takes part in it."""
    last = view.moment.last
    if last is None or last.kind.name != "conflict":
        return False
    for start, end in (("start", "end"), ("other_start", "other_end")):
        if (region.start, region.end) == (last[start], last[end]):
            return True
    return False


def _block(view: View, c: Canvas, at: Rect, region: Region, shown: list[Column]) -> None:
    """One region: its class, rights, name, and how much of it is resident."""
    hue, _, pattern = CLASSES[kind_of(region, of_vas=is_of_vas(view, region))]
    c.box(at.x, at.y, at.w, at.h, hue, outline="edge", pattern=pattern, ink="black")
    pages = shown[-1].pages(region)
    share = len(pages) / max(1, region.pages)
    c.box(at.x + at.w - 7, at.y, 7, at.h, "panel", outline="edge")
    c.box(at.x + at.w - 6, at.y, 5, max(2, int(at.h * share)) if pages else 0, "ink")
    if at.h >= c.size:
        _block_words(view, c, at, region, shown=shown, hue=hue)
    if len(shown) > 1 and _compared(region, shown[-1], shown[-2]).startswith("="):
        c.box(at.x - 8, at.y, 8, at.h, hue)
    new, contested = is_new(view, region), is_contested(view, region)
    if new or contested:
        width = 4 if contested else 2
        c.box(at.x - 2, at.y - 1, at.w + 3, at.h + 2, "", outline="hot", width=width)
    elif view.is_recent(REGIONS, (region.space, region.start)):
        c.box(at.x - 3, at.y, 2, at.h, "gold")


def is_new(view: View, region: Region) -> bool:
    return view.is_new(REGIONS, (region.space, region.start))


def _block_words(
    view: View, c: Canvas, at: Rect, region: Region, *, shown: list[Column], hue: str
) -> None:
    """The rights, the name, and the result of the comparison: at the right, or in a second line."""
    sign, whom = _likeness(view, region, shown)
    contested, two = is_contested(view, region), at.h >= 2 * c.row
    beside = fitting(f"{sign}{whom}", sign, at.w - 16 * c.cell, c)
    if two or contested or at.w <= (len(sign) + 6) * c.cell:
        beside = ""
    rights = rights_letters(region.prot) + ("*" if is_new(view, region) else "")
    name = region.name.strip("[]").removeprefix("segment ") or "anon"
    room = at.w - 12 - (len(beside) + 1) * c.cell if beside else at.w - 12
    y = at.y + (at.h > 2 * c.row) if two else at.y + (at.h - c.row) // 2
    ink = ink_on(hue)
    words = f"{rights} CONFLICT {name}" if contested else label(rights, name, room // c.cell)
    c.text(at.x + 3, y, words, ink, paper=hue, width=room)
    if beside:
        c.text(at.x + at.w - 10 - len(beside) * c.cell, y, beside, ink, paper=hue)
    if two:
        detail = f"{len(shown[-1].pages(region))}/{region.pages}p {sign}{whom}".strip()
        c.text(at.x + 3, y + c.row, detail, ink, paper=hue, width=at.w - 12)


def _likeness(view: View, region: Region, shown: list[Column]) -> tuple[str, str]:
    """The sign of a region's comparison, and the name of the other space."""
    other = compared_with(view, shown, len(shown) - 1, region.start)
    sign = _compared(region, shown[-1], other)
    if not sign or other is None:
        return "", ""
    return sign, " " + short_name(view.moment.tracks.space_name(other.space))


def _compared(region: Region, column: Column, before: Column | None) -> str:
    """`=` for the same frames as in another column, `!=` for other frames, `3= 1!=` for three equal
    and one different."""
    other = before.at(region.start) if before else None
    if before is None or other is None:
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
    shown, scale, top, left, wide, _ = shape
    if any(run.start <= view.va < run.end for run in scale.runs):
        y = top + int(scale.y(view.va))
        for number in range(len(shown) + 1):
            x = left - 7 + number * (wide + 8)
            c.line(x, y, x + 6, y, "gold", width=2)


def describe(view: View) -> list[str]:
    lines = []
    shown = columns(view, 16)
    for number, column in enumerate(shown):
        pcid = view.moment.pcid_of(column.space)
        threads = " ".join(f"T{tid}" for tid in view.moment.threads_in(column.space))
        name = view.moment.tracks.space_name(column.space)
        lines.append(f"{name}{f' PCID {pcid}' if pcid else ''}: {threads}")
        for region in column.regions:
            sign, whom = _likeness(view, region, shown[: number + 1])
            new = " *" if is_new(view, region) else ""
            lines.append(
                f"  {region.start:012x}-{region.end:012x} {rights_letters(region.prot)} "
                f"{'shared' if region.shared else 'private'} {region.name or 'anonymous'} "
                f"{len(column.pages(region))} of {region.pages} pages "
                f"{sign}{whom}{new}".rstrip()
            )
    return lines
