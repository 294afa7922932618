"""A whole page table: its 512 entries as cells, and as folded rows of text."""

from __future__ import annotations

from typing import NamedTuple

from hw.paging import ADDRESS, LETTERS, NX, PS, P, W
from hw.panel.model.moment import View
from hw.panel.model.state import PTES
from hw.panel.picture.draw import Canvas, Rect
from hw.panel.picture.theme import ink_on

ACROSS, DOWN = 32, 16
KINDS = {
    "table": ("T", "blue"),
    "code": ("x", "green"),
    "write": ("w", "orange"),
    "read": ("r", "sky"),
}
"""Kind of entry -> letter, hue."""


class Fold(NamedTuple):
    """Entries `first`..`last` with equal flags; `entry` is the first one, 0 if it is empty."""

    first: int
    last: int
    entry: int
    contiguous: bool

    @property
    def entries(self) -> int:
        return self.last - self.first + 1


def kind_of(entry: int, level: int) -> str:
    if level > 1 and not entry & PS:
        return "table"
    return "code" if not entry & NX else "write" if entry & W else "read"


def folded(entries: dict[int, int]) -> list[Fold]:
    """All 512 entries as runs of equal flags. `entries` is index -> entry; missing ones are 0."""
    rows: list[Fold] = []
    for index in range(512):
        entry = entries.get(index, 0)
        last = rows[-1] if rows else None
        if last is None or _flags(last.entry) != _flags(entry):
            rows.append(Fold(index, index, entry, True))
            continue
        follows = entry & ADDRESS == (last.entry & ADDRESS) + (last.entries << 12)
        rows[-1] = last._replace(last=index, contiguous=last.contiguous and follows)
    return rows


def _flags(entry: int) -> int:
    return entry & ~ADDRESS if entry & P else 0


def row_text(fold: Fold) -> str:
    """`[055-056] x2 PWU----N pfn 7f14-7f15`, or `[057-1ff] 425 empty`."""
    where = f"[{fold.first:03x}-{fold.last:03x}]" if fold.entries > 1 else f"[{fold.first:03x}]    "
    if not fold.entry & P:
        return f"{where} {fold.entries} empty"
    flags = "".join(letter if fold.entry & bit else "-" for bit, letter in LETTERS)
    pfn = (fold.entry & ADDRESS) >> 12
    frames = f"pfn {pfn:x}"
    if fold.entries > 1:
        frames += f"-{pfn + fold.entries - 1:x}" if fold.contiguous else ", scattered"
    return f"{where} x{fold.entries:<3} {flags} {frames}"


def entries_of(view: View, table: int) -> dict[int, int]:
    return {(slot - table) >> 3: entry for slot, entry in view.moment.entries(table)}


def draw(view: View, c: Canvas, table: int, level: int, focus: int) -> None:
    """Draw the table at physical address `table`; `focus` is the index that the walk uses."""
    entries = entries_of(view, table)
    name = {4: "PML4", 3: "PDPT", 2: "PD", 1: "PT"}[level]
    _, spaces = view.moment.tables().get(table, (level, []))
    names = ", ".join(view.moment.tracks.space_name(space) for space in spaces)
    badge = f"  shared: {names}" if len(spaces) > 1 else f"  of {names}" if names else ""
    x = c.text(c.rect.x, c.y(0), f"{name} at {table:#x}", "ink", bold=True)
    c.text(x, c.y(0), badge, "gold" if len(spaces) > 1 else "dim")
    cell = max(4, min(c.rect.w // ACROSS, (c.rect.h - 9 * c.row) // DOWN, 26))
    top = c.y(1) + 4
    for index in range(512):
        at = Rect(c.rect.x + index % ACROSS * cell, top + index // ACROSS * cell, cell, cell)
        entry = entries.get(index, 0)
        look = KINDS[kind_of(entry, level)] if entry & P else None
        _cell(view, c, at, table + 8 * index, look)
    x, y = c.rect.x + focus % ACROSS * cell, top + focus // ACROSS * cell
    c.box(x - 1, y - 1, cell + 1, cell + 1, "", outline="gold", width=2)
    _rows(view, c, top + DOWN * cell + 6, folded(entries), focus)


def _cell(view: View, c: Canvas, at: Rect, slot: int, look: tuple[str, str] | None) -> None:
    """One entry; `look` is its letter and its hue, None for one that is not present."""
    x, y, cell, _ = at
    new = view.is_new(PTES, slot)
    if look is None:
        c.box(x, y, cell - 1, cell - 1, "free", pattern="diagonal" if new else "", ink="dim")
    else:
        letter, hue = look
        c.box(x, y, cell - 1, cell - 1, hue, outline="edge")
        if cell >= c.size:
            left, top = x + (cell - c.cell) // 2, y + (cell - c.row) // 2
            c.text(left, top, letter, ink_on(hue), paper=hue)
    if new:
        c.box(x - 1, y - 1, cell + 1, cell + 1, "", outline="hot", width=2)
    elif view.is_recent(PTES, slot):
        c.box(x, y, 2, cell - 1, "gold")


def _rows(view: View, c: Canvas, y: int, rows: list[Fold], focus: int) -> None:
    """The folded rows around the one that the walk uses."""
    room = max(0, (c.rect.bottom - y) // c.row)
    at = next((n for n, row in enumerate(rows) if row.first <= focus <= row.last), 0)
    start = max(0, min(at - room // 2, len(rows) - room))
    for number, row in enumerate(rows[start : start + room]):
        here = row.first <= focus <= row.last
        ink = "gold" if here else "ink" if row.entry & P else "dim"
        c.text(c.rect.x, y + number * c.row, row_text(row), ink)


def describe(view: View, table: int, level: int) -> list[str]:
    _, spaces = view.moment.tables().get(table, (level, []))
    names = ", ".join(view.moment.tracks.space_name(space) for space in spaces)
    lines = [f"table of level {level} at {table:#x}, in {names or 'no space'}"]
    return lines + ["  " + row_text(row) for row in folded(entries_of(view, table))]
