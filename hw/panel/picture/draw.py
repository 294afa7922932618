"""Draw commands: what a panel looks like, as plain data.

Panels make them, painters carry them out, tests compare them. Colours are names of roles, and a
theme fills them in. Coordinates are pixels of the window. Text is set in one fixed-width face, so a
panel knows its width without asking a font.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class Rect(NamedTuple):
    """A part of the window."""

    x: int
    y: int
    w: int
    h: int

    @property
    def right(self) -> int:
        return self.x + self.w

    @property
    def bottom(self) -> int:
        return self.y + self.h


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with a fill, an outline, and a pattern in `ink` (diagonal, dots, cross, rows)."""

    x: int
    y: int
    w: int
    h: int
    fill: str = ""
    outline: str = ""
    width: int = 1
    pattern: str = ""
    ink: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text whose top left corner is at x, y; `paper` is what lies behind it."""

    x: int
    y: int
    text: str
    ink: str
    paper: str
    size: int
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line; `dash` is the length of its dashes, 0 for a solid one."""

    x1: int
    y1: int
    x2: int
    y2: int
    ink: str
    width: int = 1
    dash: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """A small shape around x, y: triangle, diamond, square, cross, bar, circle."""

    shape: str
    x: int
    y: int
    size: int
    ink: str


@dataclass(frozen=True, slots=True)
class Cells:
    """A grid of square cells; each byte of `codes` is an index into `palette`."""

    x: int
    y: int
    columns: int
    cell: int
    codes: bytes
    palette: tuple[str, ...]


Command = Box | Text | Line | Mark | Cells


def cell_width(size: int) -> int:
    """How wide a character of the face is: 600/1000 of its size."""
    return round(size * 0.6)


def line_height(size: int) -> int:
    return round(size * 1.3)


class Canvas:
    """Where one panel draws. Nothing leaves its rectangle; text that does not fit ends in an
    ellipsis."""

    def __init__(self, rect: Rect, size: int, paper: str = "panel", line_px: int = 1) -> None:
        self.rect = rect
        self.size = size
        self.paper = paper
        self.line_px = line_px
        self.commands: list[Command] = []

    @property
    def cell(self) -> int:
        return cell_width(self.size)

    @property
    def row(self) -> int:
        return line_height(self.size)

    @property
    def columns(self) -> int:
        """How many characters fit side by side."""
        return self.rect.w // self.cell

    @property
    def rows(self) -> int:
        """How many lines fit below each other."""
        return self.rect.h // self.row

    def y(self, row: int) -> int:
        """The top of text row `row`."""
        return self.rect.y + row * self.row

    def inside(self, rect: Rect, size: int = 0) -> Canvas:
        """A canvas for a part of this one; its commands are added to this one's."""
        part = Canvas(rect, size or self.size, self.paper, self.line_px)
        part.commands = self.commands
        return part

    def box(self, x: int, y: int, w: int, h: int, fill: str = "", **more: Any) -> None:
        """Draw a rectangle, as far as it is inside."""
        left, top = max(x, self.rect.x), max(y, self.rect.y)
        right, bottom = min(x + w, self.rect.right), min(y + h, self.rect.bottom)
        if right > left and bottom > top:
            self.commands.append(Box(left, top, right - left, bottom - top, fill, **more))

    def text(
        self,
        x: int,
        y: int,
        text: str,
        ink: str = "ink",
        *,
        paper: str = "",
        size: int = 0,
        bold: bool = False,
        width: int = 0,
    ) -> int:
        """Write text at x, y, at most `width` pixels of it; returns the x of its end."""
        size = size or self.size
        limit = min(x + width, self.rect.right) if width else self.rect.right
        cell = cell_width(size)
        room = (limit - x) // cell
        if y < self.rect.y or y + size > self.rect.bottom or room <= 0 or x < self.rect.x:
            return x
        shown = text if len(text) <= room else text[: room - 1] + "…"
        if shown.strip():
            behind = paper or self.paper
            self.commands.append(Text(x, y, shown, ink, paper=behind, size=size, bold=bold))
        return x + len(shown) * cell

    def words(self, x: int, y: int, *pieces: tuple[str, str]) -> int:
        """Write pieces (text, ink) on one line; returns the x of its end."""
        for text, ink in pieces:
            x = self.text(x, y, text, ink)
        return x

    def line(self, x1: int, y1: int, x2: int, y2: int, ink: str, **more: Any) -> None:
        """Draw a line; its ends are moved inside."""
        r = self.rect
        x1, x2 = (min(max(x, r.x), r.right - 1) for x in (x1, x2))
        y1, y2 = (min(max(y, r.y), r.bottom - 1) for y in (y1, y2))
        self.commands.append(Line(x1, y1, x2, y2, ink, **more))

    def mark(self, shape: str, x: int, y: int, size: int, ink: str) -> None:
        if self.rect.x <= x < self.rect.right and self.rect.y <= y < self.rect.bottom:
            self.commands.append(Mark(shape, x, y, size, ink))


def wrap(text: str, columns: int) -> list[str]:
    """Break at spaces into lines of at most `columns` characters."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and len(lines[-1]) + 1 + len(word) <= columns:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return lines
