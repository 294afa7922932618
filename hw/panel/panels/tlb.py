"""The TLBs of the current core: every entry with its tag, and the causes of misses."""

from __future__ import annotations

from hw.mmu import CAUSES, SIDES
from hw.paging import NX, W
from hw.panel.model.moment import View
from hw.panel.model.state import TLB, TlbEntry
from hw.panel.picture.draw import Canvas, Rect
from hw.panel.picture.theme import hue_of, ink_on
from hw.tlb import GLOBAL

Key = tuple[int, int, int, int]
COLUMN = 26
"""Characters of an entry in words: its TLB and tag, a star, the words of `entry_words`."""
MARGIN = 6
"""Pixels between the last line and the panel's edge."""


def observable(view: View) -> bool:
    return bool(view.moment.about.config.get("mmu", "model") != "silicon")


def misses(view: View, side: int) -> list[int]:
    counts = view.moment.state.counts
    return [counts.get(("miss", view.moment.core_id, side, n), 0) for n in range(len(CAUSES))]


def title(view: View) -> str:
    if not observable(view):
        return "not observable on this MMU"
    shape = [
        f"{SIDES[n]} {view.moment.about.shape(n)[0]}x{view.moment.about.shape(n)[1]}"
        for n in (0, 1)
    ]
    sizes = f"core {view.moment.core_id} · {shape[0]}, {shape[1]}"
    pcid = view.moment.about.config.get("pcid")
    return f"{sizes} sets x ways" if pcid else f"{sizes} · PCIDs off"


def tag_word(tag: int) -> str:
    return "G" if tag == GLOBAL else f"{tag}"


def tag_hue(tag: int) -> str:
    return "vermillion" if tag == GLOBAL else hue_of(tag) if tag else "sky"


def draw(view: View, c: Canvas) -> None:
    if not observable(view):
        c.text(c.rect.x, c.y(0), "The emulated CPU translates by itself here:", "dim")
        c.text(c.rect.x, c.y(1), "what its TLB holds cannot be seen.", "dim")
        return
    entries = {k: e for k, e in view.moment.state.tlb.items() if k[0] == view.moment.core_id}
    y = _grids(view, c, entries)
    causes = c.rect.bottom - 2 * c.row - MARGIN + 2
    bottom = causes - 4
    if view.zoomed and view.variants:
        bottom -= (len(view.variants) + 2) * c.row
        _variants(view, c, bottom + 4)
    _list(view, c, y + 5, bottom)
    _causes(view, c, causes)


def _grids(view: View, c: Canvas, entries: dict[Key, TlbEntry]) -> int:
    """Draw both TLBs, side by side where they fit; returns the y below."""
    shapes = [view.moment.about.shape(side) for side in (0, 1)]
    label = 2 * c.cell
    largest = c.row + 1 if view.projector or view.zoomed else c.row - 1
    wide = min(largest, (c.rect.w - 2 * label - 8) // max(1, sum(sets for sets, _ in shapes)))
    if wide >= 6:
        left = c.rect.x + label
        low = _grid(view, c, Rect(left, c.rect.y + 2, wide, largest), 0, entries)
        left += shapes[0][0] * wide + 8 + label
        return max(low, _grid(view, c, Rect(left, c.rect.y + 2, wide, largest), 1, entries))
    y = c.rect.y
    for side, (sets, _) in enumerate(shapes):
        wide = max(2, min(largest, (c.rect.w - label) // max(1, sets)))
        y = _grid(view, c, Rect(c.rect.x + label, y, wide, largest), side, entries) + 4
    return y


def _grid(view: View, c: Canvas, cell: Rect, side: int, entries: dict[Key, TlbEntry]) -> int:
    """Draw a cell for each way (down) of each set (across), with the PCID as number and hue; `cell`
    is the first cell. Returns the y below."""
    sets, ways = view.moment.about.shape(side)
    tall = max(2, min(cell.h, 6 * c.row // max(1, ways)))
    c.text(cell.x - 2 * c.cell, cell.y, SIDES[side], "ink", bold=True)
    ghosts = dict(view.moment.gone(TLB))
    for set_index in range(sets):
        for way in range(ways):
            key = (view.moment.core_id, side, set_index, way)
            at = Rect(cell.x + set_index * cell.w, cell.y + way * tall, cell.w - 1, tall - 1)
            entry = entries.get(key)
            if entry is not None:
                _cell(view, c, at, key, entry)
            elif key in ghosts:
                c.box(*at, "free", outline="alarm")
                c.line(at.x, at.y, at.right - 1, at.bottom - 1, "alarm", width=2)
                c.line(at.x, at.bottom - 1, at.right - 1, at.y, "alarm", width=2)
            else:
                c.box(*at, "free")
    return cell.y + ways * tall


def _cell(view: View, c: Canvas, at: Rect, key: Key, entry: TlbEntry) -> None:
    hue = tag_hue(entry.tag)
    mine = entry.vpn == view.va >> 12
    c.box(*at, hue, outline="edge")
    if at.w >= c.cell + 2 and at.h >= c.size:
        c.text(
            at.x + (at.w - c.cell) // 2,
            at.y + (at.h - c.row) // 2,
            tag_word(entry.tag),
            ink_on(hue),
            paper=hue,
        )
    if view.is_new(TLB, key):
        c.box(at.x - 1, at.y - 1, at.w + 2, at.h + 2, "", outline="hot", width=2)
    elif mine:
        c.box(at.x, at.y, at.w, at.h, "", outline="ink", width=2)


def newest(view: View) -> list[tuple[Key, TlbEntry]]:
    """The entries of the current core: first those that the last step changed, then by age, the
    youngest first."""
    rows = [(k, e) for k, e in view.moment.state.tlb.items() if k[0] == view.moment.core_id]
    return sorted(rows, key=lambda row: (not view.is_new(TLB, row[0]), -row[1].born, row[0]))


def gone(view: View) -> list[tuple[Key, TlbEntry]]:
    """Entries that the last step dropped or replaced."""
    return [
        (key, old)
        for shelf, key, old, new in view.moment.edits
        if shelf == TLB
        and isinstance(old, TlbEntry)
        and (new is None or new.vpn != old.vpn or new.tag != old.tag)
    ]


def entry_words(entry: TlbEntry) -> str:
    """`7f0000007 > 30   rw- D`."""
    return f"{_translation(entry)}{_rights(entry)} {'D' if entry.dirty else '-'}"


def _translation(entry: TlbEntry) -> str:
    return f"{entry.vpn:>9x} > {f'{entry.pfn:x} ':<5}"


def _rights(entry: TlbEntry) -> str:
    return f"r{'w' if entry.rights & W else '-'}{'-' if entry.rights & NX else 'x'}"


def _list(view: View, c: Canvas, y: int, bottom: int) -> None:
    """Columns of entries in words: first those that this step dropped, then the youngest."""
    width = COLUMN * c.cell
    across = max(1, c.rect.w // width)
    width = c.rect.w // across
    down = (bottom - y) // c.row - 1
    if down < 1:
        return
    room, kept = across * down, [(k, e, False) for k, e in newest(view)]
    lost = [(k, e, True) for k, e in gone(view)]
    rows = lost[: max(room // 2, room - len(kept))] + kept
    left_out = len(lost) + len(kept) - room + 1 if len(lost) + len(kept) > room else 0
    c.text(c.rect.x + 3 * c.cell, y, "     page > frame rights dirty", "dim")
    for number, (key, entry, is_gone) in enumerate(rows[: room - 1 if left_out else room]):
        x, at = c.rect.x + number // down * width, y + (number % down + 1) * c.row
        _row(view, c.inside(Rect(x, at, width, c.row)), key, entry, is_gone=is_gone)
    if left_out:
        x = c.rect.x + (across - 1) * width + 3 * c.cell
        c.text(x, y + down * c.row, f"+{left_out} more", "dim")


def _row(view: View, c: Canvas, key: Key, entry: TlbEntry, *, is_gone: bool) -> None:
    """An entry in words."""
    x, y = c.rect.x, c.rect.y
    paper = "free" if is_gone else tag_hue(entry.tag)
    c.box(x, y, 2 * c.cell + 2, c.row - 1, paper)
    ink = "dim" if is_gone else ink_on(paper)
    c.text(x + 1, y, SIDES[key[1]] + tag_word(entry.tag), ink, paper=paper)
    left = x + 3 * c.cell
    if is_gone:
        c.text(left, y, f"{_translation(entry)}gone", "alarm")
        return
    new, in_view = view.is_new(TLB, key), entry.vpn == view.va >> 12
    if new:
        c.text(x + 2 * c.cell + 2, y, "*", "hot", width=c.cell)
    c.text(left, y, entry_words(entry), "hot" if new else "gold" if in_view else "ink")


def _variants(view: View, c: Canvas, y: int) -> None:
    """The misses of other TLBs in the same run: bars, counts and causes."""
    words = (
        f"What if: misses of the same run on other machines, up to record {view.variants_place:,}"
    )
    c.text(c.rect.x, y, words, "ink", bold=True)
    most = max(1, *(variant.all for variant in view.variants))
    left = c.rect.x + 15 * c.cell
    room = max(8, c.rect.w // 6)
    for number, variant in enumerate(view.variants, 1):
        at = y + number * c.row
        c.text(c.rect.x, at, variant.name, "ink" if number > 1 else "gold")
        wide = max(2, room * variant.all // most)
        hue, pattern = ("orange", "") if number > 1 else ("sky", "diagonal")
        c.box(left, at + 2, wide, c.row - 4, hue, outline="edge", pattern=pattern, ink="black")
        x = c.text(left + wide + 6, at, f"{variant.all:,}", "ink", bold=True)
        words = f"I {variant.causes(0)} · D {variant.causes(1)}"
        c.text(x + c.cell, at, words, "dim")


def _causes(view: View, c: Canvas, y: int) -> None:
    for side in (0, 1):
        counts = misses(view, side)
        x = c.text(c.rect.x, y + side * c.row, f"{SIDES[side]} misses {sum(counts):,}: ", "dim")
        for cause, count in zip(CAUSES, counts, strict=True):
            if count:
                x = c.words(x, y + side * c.row, (f"{count:,}", "ink"), (f" {cause}  ", "dim"))


def describe(view: View) -> list[str]:
    if not observable(view):
        return ["TLB: not observable on this MMU"]
    lines = [f"TLBs of core {view.moment.core_id}"]
    for side in (0, 1):
        held = sum(1 for k in view.moment.state.tlb if k[:2] == (view.moment.core_id, side))
        counts = zip(CAUSES, misses(view, side), strict=True)
        causes = ", ".join(f"{count} {cause}" for cause, count in counts if count)
        sets, ways = view.moment.about.shape(side)
        lines.append(f"{SIDES[side]}: {held} of {sets * ways} entries; misses: {causes or 'none'}")
    for key, entry in newest(view)[:24]:
        new = " *" if view.is_new(TLB, key) else ""
        place = f"{SIDES[key[1]]} set {key[2]} way {key[3]}"
        lines.append(f"  {place} tag {tag_word(entry.tag)} {entry_words(entry).strip()}{new}")
    for variant in view.variants:
        missed = [f"{SIDES[n]} {variant.total(n):,}: {variant.causes(n)}" for n in (0, 1)]
        ran = f"{variant.instructions:,} instructions, {variant.cycles:,} modelled cycles"
        lines.append(f"  what if: {variant.name}: {' · '.join(missed)} ({ran})")
    return lines + [f"  gone: {entry_words(entry).strip()}" for _, entry in gone(view)]
