"""Memory: the bytes at the address in view, in its space and in other spaces beside it; or physical
memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from hw.paging import ADDRESS
from hw.panel.model.moment import View
from hw.panel.model.state import PTES
from hw.panel.model.walk import Tables, frame_at
from hw.panel.panels.walk import before_step
from hw.panel.picture.draw import Canvas, wrap

PAGE = 4096
ADDRESS_CHARACTERS = 15
"""Twelve digits, a mark and a space on both sides."""
MOST_COLUMNS = 4


class Cell(NamedTuple):
    """A byte; None where nothing is mapped or nothing is known. `new`: the last step changed it.
    `recent`: it has changed since marker A. `differs`: the first column has another byte there."""

    value: int | None
    new: bool = False
    recent: bool = False
    differs: bool = False


@dataclass(slots=True)
class Column:
    """A space, or with `physical` physical memory, and its contents page by page."""

    view: View
    space: int
    physical: bool = False
    _pages: dict[int, tuple[bytes | None, ...]] = field(default_factory=dict)
    _tables: tuple[Tables, ...] = ()

    @property
    def name(self) -> str:
        return "physical" if self.physical else self.view.moment.tracks.space_name(self.space)

    def frames(self, number: int) -> tuple[int | None, ...]:
        """The frames behind page `number`: now, before the last step, and at marker A."""
        view = self.view
        if self.physical:
            return (number,) * 3
        state = view.moment.state
        root = state.spaces.get(self.space, view.moment.core.cr3 & ADDRESS)
        if not self._tables:
            old = {key: word for (shelf, key), word in view.since.items() if shelf == PTES}
            words = {int(str(key)): int(str(word or 0)) for key, word in old.items()}
            since = Tables(state.ptes, words)
            self._tables = (Tables(state.ptes), before_step(view), since)
        return tuple(frame_at(tables, root, number * PAGE) for tables in self._tables)

    def page(self, number: int) -> tuple[bytes | None, ...]:
        """The bytes of a page: now, before the last step, and at marker A."""
        if number not in self._pages:
            pages = self.view.pages
            found = zip((pages.now, pages.before, pages.marked), self.frames(number), strict=True)
            self._pages[number] = tuple(
                known.get(pfn) if pfn is not None else None for known, pfn in found
            )
        return self._pages[number]

    def cell(self, address: int, first: Column | None = None) -> Cell:
        """The byte at an address; `first` is the column that it is compared with."""
        now, before, marked = self.page(address // PAGE)
        at = address % PAGE
        if now is None:
            return Cell(None)
        value, other = now[at], first.cell(address).value if first else None
        return Cell(
            value,
            before is not None and before[at] != value,
            marked is not None and marked[at] != value,
            other is not None and other != value,
        )


def address_of(view: View) -> int:
    """The address in view, physical or virtual."""
    return view.va if view.focus.pa is None else view.focus.pa


def columns(view: View) -> list[Column]:
    """The space in view; in the zoomed panel also the others that have a page there."""
    if view.focus.pa is not None:
        return [Column(view, 0, physical=True)]
    found = [Column(view, view.space)]
    if view.zoomed and view.chosen == "memory":
        for space in sorted(view.moment.state.spaces):
            column = Column(view, space)
            if space != view.space and column.frames(view.va // PAGE)[0] is not None:
                found.append(column)
    return found


def bytes_per_row(view: View) -> int:
    """16 where one or two columns fill the window, else 8."""
    wide = view.zoomed and view.chosen == "memory" and not view.projector
    return 16 if wide and len(columns(view)) <= 2 else 8


def frames_in_view(view: View) -> list[int]:
    """The frames that the panel may show, at all moments that it compares."""
    first, last = address_of(view) - 1024, address_of(view) + 1024
    found: list[int] = []
    for column in columns(view)[:MOST_COLUMNS]:
        for number in sorted({max(0, first) // PAGE, address_of(view) // PAGE, last // PAGE}):
            found += [pfn for pfn in column.frames(number) if pfn is not None]
    return sorted(set(found))


def title(view: View) -> str:
    address = address_of(view)
    column = columns(view)[0]
    pfn = column.frames(address // PAGE)[0]
    frame = view.moment.state.frames.get(pfn) if pfn is not None else None
    held = f", {view.moment.about.owner(frame.owner)}" if frame else ""
    where = f"frame {pfn:#x}{held}" if pfn is not None else "not mapped"
    return f"{address:#x} · {column.name} · {where}"


class Shape(NamedTuple):
    """The layout of the panel: the columns, bytes in a row, the first address, rows, and characters
    of a column."""

    columns: list[Column]
    per: int
    first: int
    rows: int
    wide: int


def shape_of(view: View, c: Canvas) -> Shape:
    all_columns, per = columns(view), bytes_per_row(view)
    wide = 4 * per + 4
    most = max(1, min(MOST_COLUMNS, (c.columns - ADDRESS_CHARACTERS) // wide))
    rows = max(1, c.rows - 1 - _foot_rows(view, c) - (len(all_columns) > 1))
    first = max(0, (address_of(view) // per - rows // 3) * per)
    return Shape(all_columns[:most], per, first, rows, wide)


def _foot_rows(view: View, c: Canvas) -> int:
    return len(wrap(foot(view), max(10, c.columns)))


def foot(view: View) -> str:
    """The line below the bytes: why nothing is shown, or the word in view."""
    column = columns(view)[0]
    number = address_of(view) // PAGE
    pfn = column.frames(number)[0]
    if pfn is not None and column.page(number)[0] is None:
        return view.pages.why
    if pfn is None:
        return f"Nothing is mapped at {address_of(view):#x} in {column.name}."
    return f"word {word_text(view, column, address_of(view) & ~7)}"


def word_text(view: View, column: Column, address: int) -> str:
    """`0x7f0000001018 = 0x... -> heap+0x18`: the 64-bit word at an address, and what it points
    to."""
    value = word_at(column, address)
    if value is None:
        return f"{address:#x} is not known"
    signed = value - (1 << 64) if value >> 63 else value
    meaning = points_to(view, value)
    decimal = f" = {signed:,}" if abs(signed) < 1 << 32 else ""
    return f"{address:#x} = {value:#018x}{decimal}" + (f" -> {meaning}" if meaning else "")


def word_at(column: Column, address: int) -> int | None:
    values = [column.cell(address + i).value for i in range(8)]
    known = [value for value in values if value is not None]
    return int.from_bytes(bytes(known), "little") if len(known) == 8 else None


def points_to(view: View, value: int) -> str:
    """What a word points to, if it is an address of something: a symbol, or a region."""
    symbol = view.moment.about.symbol(value)
    if symbol:
        return symbol
    region = view.moment.state.region_at(view.space, value)
    if region is None or value < PAGE:
        return ""
    return f"{region.name.strip('[]') or 'anonymous'}+{value - region.start:#x}"


def draw(view: View, c: Canvas) -> None:
    shape = shape_of(view, c)
    row = 0
    if len(shape.columns) > 1:
        _headings(view, c, shape)
        row = 1
    for line in range(shape.rows):
        address = shape.first + line * shape.per
        _row(view, c, c.y(row + line), address, shape)
    known = columns(view)[0].page(address_of(view) // PAGE)[0] is not None
    for number, words in enumerate(wrap(foot(view), max(10, c.columns))):
        y = c.rect.bottom - (_foot_rows(view, c) - number) * c.row
        c.text(c.rect.x, y, words, "ink" if known else "gold")


def _headings(view: View, c: Canvas, shape: Shape) -> None:
    """The name of each column, and its frame."""
    for number, column in enumerate(shape.columns):
        x = c.rect.x + (ADDRESS_CHARACTERS + number * shape.wide) * c.cell
        pfn = column.frames(view.va // PAGE)[0]
        same = number and pfn == shape.columns[0].frames(view.va // PAGE)[0]
        sign = "" if not number else "= " if same else "!= "
        words = f"{sign}{column.name} frame {pfn:#x}" if pfn is not None else column.name
        ink = "gold" if column.space == view.space else "ink"
        c.text(x, c.y(0), words, ink, bold=True, width=(shape.wide - 2) * c.cell)


def _row(view: View, c: Canvas, y: int, address: int, shape: Shape) -> None:
    """A line: the address, and for each column the bytes and their text, or words."""
    here = address <= address_of(view) < address + shape.per
    first = shape.columns[0]
    cells = [
        [column.cell(address + i, first if column is not first else None) for i in range(shape.per)]
        for column in shape.columns
    ]
    changed = any(cell.new for row in cells for cell in row)
    if any(cell.recent for row in cells for cell in row):
        c.box(c.rect.x, y + 2, 3, c.row - 4, "gold")
    label = f"{address:012x}" + ("*" if changed else " ")
    ink = "hot" if changed else "gold" if here else "dim"
    c.text(c.rect.x + c.cell, y, label, ink, bold=here)
    for number, (column, row) in enumerate(zip(shape.columns, cells, strict=True)):
        x = c.rect.x + (ADDRESS_CHARACTERS + number * shape.wide) * c.cell
        if view.words:
            _words(c, (x, y), address, column, row)
        else:
            _bytes(view, c, (x, y), address, row)
            x += shape.wide * c.cell
            if len(shape.columns) == 1 and c.rect.right - x >= 38 * c.cell:
                _words(c, (x, y), address, column, row)


def _bytes(view: View, c: Canvas, at: tuple[int, int], address: int, row: list[Cell]) -> None:
    x, y = at
    digits = " ".join("--" if cell.value is None else f"{cell.value:02x}" for cell in row)
    c.text(x, y, digits, "dim" if row[0].value is None else "ink")
    for i, cell in enumerate(row):
        _mark(c, (x + 3 * i * c.cell, y), cell, here=address + i == address_of(view))
    letters = "".join(letter(cell.value) for cell in row)
    right = x + (3 * len(row) + 1) * c.cell
    c.text(right, y, letters, "good")
    if any(cell.differs for cell in row):
        c.text(right + len(row) * c.cell, y, "!=", "alarm", bold=True)


def _mark(c: Canvas, at: tuple[int, int], cell: Cell, *, here: bool) -> None:
    """The marks of a byte. A changed byte has a box, one that differs from the first column a line
    below it, the byte in view a frame, one that changed since marker A a tick."""
    x, y = at
    digits = "--" if cell.value is None else f"{cell.value:02x}"
    if cell.differs:
        c.text(x, y, digits, "alarm", bold=True)
        c.box(x, y + c.row - 2, 2 * c.cell, 2, "alarm")
    if cell.new:
        c.text(x, y, digits, "hot", bold=True)
        c.box(x - 2, y, 2 * c.cell + 4, c.row, "", outline="hot", width=2)
    elif here:
        c.box(x - 2, y, 2 * c.cell + 4, c.row, "", outline="gold", width=2)
    if cell.recent:
        c.box(x - 2, y + 3, 2, c.row - 6, "gold")


def _words(c: Canvas, at: tuple[int, int], address: int, column: Column, row: list[Cell]) -> None:
    """The words of a row, and in a row of one word what it points to."""
    (x, y), view = at, column.view
    for start in range(0, len(row), 8):
        value, part = word_at(column, address + start), row[start : start + 8]
        new = any(cell.new for cell in part)
        here = address + start <= address_of(view) < address + start + 8
        ink = "dim" if value is None else "hot" if new else "gold" if here else "ink"
        words = "-" * 16 if value is None else f"{value:016x}"
        end = c.text(x, y, words, ink, bold=new)
        if new:
            c.box(x - 2, y, end - x + 4, c.row, "", outline="hot", width=2)
        x = end + 2 * c.cell
        if value is not None and len(row) == 8:
            c.text(x, y, points_to(view, value), "good")


def letter(value: int | None) -> str:
    """The ASCII character of a byte; a dot for one that cannot be printed."""
    return " " if value is None else chr(value) if 32 <= value < 127 else "."


def address_at(view: View, c: Canvas, x: int, y: int) -> int | None:
    """The address of the byte under a pixel."""
    shape = shape_of(view, c)
    line = (y - c.rect.y) // c.row - (len(shape.columns) > 1)
    character = (x - c.rect.x) // c.cell - ADDRESS_CHARACTERS
    if not 0 <= line < shape.rows or character < 0:
        return None
    inside = character % shape.wide
    byte = inside // 3 if inside < 3 * shape.per else inside - 3 * shape.per - 1
    found = shape.first + line * shape.per + min(max(0, byte), shape.per - 1)
    return found if not view.words else found & ~7


def describe(view: View) -> list[str]:
    lines, first = [title(view)], columns(view)[0]
    for column in columns(view)[:MOST_COLUMNS]:
        lines.append(f"{column.name}:")
        start = max(0, (address_of(view) & ~15) - 32)
        rows = range(start, start + 8 * 16, 16)
        known = column.page(address_of(view) // PAGE)[0] is not None
        other = first if column is not first else None
        lines += [_line(column, address, other) for address in rows] if known else []
    return [*lines, foot(view)]


def _line(column: Column, address: int, first: Column | None) -> str:
    cells = [column.cell(address + i, first) for i in range(16)]
    digits = " ".join("--" if cell.value is None else f"{cell.value:02x}" for cell in cells)
    letters = "".join(letter(cell.value) for cell in cells)
    new = [f"+{i:x}" for i, cell in enumerate(cells) if cell.new]
    other = [f"+{i:x}" for i, cell in enumerate(cells) if cell.differs]
    words = f" * {' '.join(new)}" if new else ""
    words += f" != {' '.join(other)}" if other else ""
    return f"  {address:012x}  {digits}  |{letters}|{words}"
