"""What lies over the panels for a while: the keys, the palette, a list, a line to type in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hw.panel.keys import GROUPS, Binding, bindings
from hw.panel.picture.draw import Canvas, Command, Rect, cell_width, line_height

SHORT = {"page up": "PgUp", "page down": "PgDn", "return": "Enter", "escape": "Esc"}
COLUMN, KEYS = 48, 17
"""Characters of a column of the help, and of the keys in it."""
SMALLEST = 11
"""The smallest text of the help, in pixels."""


class Screen(NamedTuple):
    """The window to draw on: its size, and the size of its text, in pixels."""

    width: int
    height: int
    text: int

    def canvas(self, paper: str) -> Canvas:
        return Canvas(Rect(0, 0, self.width, self.height), self.text, paper)


def framed(screen: Screen, title: str, rows: Sequence[str]) -> Canvas:
    """A box in the middle of the window, as large as its rows need."""
    canvas = screen.canvas("panel")
    row = canvas.row
    columns = max(40, len(title) + 4, max(map(len, rows), default=0) + 6)
    wide = min(screen.width - 40, columns * canvas.cell)
    tall = min(screen.height - 40, (len(rows) + 3) * row)
    x, y = (screen.width - wide) // 2, (screen.height - tall) // 2
    canvas.box(x - 4, y - 4, wide + 8, tall + 8, "gold")
    canvas.box(x, y, wide, tall, "panel")
    canvas.box(x, y, wide, row + 4, "title")
    canvas.text(x + 10, y + 2, title, "ink", paper="title", bold=True)
    return canvas.inside(Rect(x + 12, y + row + 10, wide - 24, tall - row - 14))


def listing(screen: Screen, title: str, rows: Sequence[str]) -> list[Command]:
    """Rows of text."""
    inner = framed(screen, title, rows)
    for number, line in enumerate(rows):
        inner.text(inner.rect.x, inner.y(number), line, "ink")
    return inner.commands


def keys_help(screen: Screen) -> list[Command]:
    """Every key, in as many columns as the window has room for."""
    groups = [(words, [b for b in bindings() if b.group == g]) for g, words in GROUPS.items()]
    screen, across, down = _fitted(screen, sum(len(part) + 2 for _, part in groups))
    column = COLUMN * cell_width(screen.text)
    line = " " * min(across * COLUMN, (screen.width - 80) // cell_width(screen.text))
    inner = framed(screen, "Keys   (Esc closes)", [line] * down)
    x, row = inner.rect.x, 0
    for words, part in groups:
        if row and row + len(part) + 1 > down:
            x, row = x + column, 0
        inner.text(x, inner.y(row), words, "gold", bold=True)
        for below, binding in enumerate(part, 1):
            y, right = inner.y(row + below), x + 14 * inner.cell
            inner.text(x, y, keys_words(binding), "ink", bold=True)
            inner.text(right, y, binding.words, "ink", width=column - 15 * inner.cell)
        row += len(part) + 2
    return inner.commands


def _fitted(screen: Screen, rows: int) -> tuple[Screen, int, int]:
    """The screen with a text so small that `rows` fit in columns; how many columns, and the rows of
    each."""
    while True:
        across = max(1, (screen.width - 80) // (COLUMN * cell_width(screen.text)))
        down = -(-rows // across) + 4
        if (down + 4) * line_height(screen.text) <= screen.height or screen.text <= SMALLEST:
            return screen, across, down
        screen = screen._replace(text=screen.text - 1)


def keys_words(binding: Binding) -> str:
    """The first two keys of a command, or only the first if two are too long."""
    both = ", ".join(map(pretty, binding.keys[:2]))
    return both if len(both) < 14 else pretty(binding.keys[0])


def palette(screen: Screen, typed: str, chosen: int) -> list[Command]:
    """The commands whose words contain what is typed."""
    found = matching(typed)
    rows = [f"{b.words:<52}{', '.join(map(pretty, b.keys)):>16}" for b in found[:18]]
    inner = framed(screen, f"Command: {typed}_", rows or ["no such command"])
    for number, line in enumerate(rows or ["no such command"]):
        here = number == chosen and bool(rows)
        if here:
            inner.box(inner.rect.x - 6, inner.y(number), inner.rect.w + 12, inner.row, "bar")
        inner.text(inner.rect.x, inner.y(number), line, "ink", paper="bar" if here else "")
    return inner.commands


def matching(typed: str) -> list[Binding]:
    words = typed.lower().split()
    return [
        b for b in bindings() if all(word in f"{b.command} {b.words}".lower() for word in words)
    ]


def tooltip(screen: Screen, rows: Sequence[str], at: tuple[int, int]) -> list[Command]:
    """Rows of text beside the pointer, wholly inside the window."""
    canvas = screen.canvas("chosen")
    row = canvas.row
    wide = min(screen.width - 8, max(map(len, rows)) * canvas.cell + 14)
    tall = len(rows) * row + 8
    x = max(4, min(at[0] + 14, screen.width - wide - 4))
    y = at[1] + 18 if at[1] + 18 + tall < screen.height else max(2, at[1] - tall - 8)
    canvas.box(x, y, wide, tall, "chosen", outline="gold")
    for number, line in enumerate(rows):
        canvas.text(x + 7, y + 4 + number * row, line, "ink", width=wide - 10)
    return canvas.commands


def row_at(screen: Screen, title: str, rows: Sequence[str], y: int) -> int | None:
    """The row of a listing at a height."""
    inner = framed(screen, title, rows)
    number = (y - inner.rect.y) // inner.row
    return number if 0 <= number < len(rows) else None


def prompt(screen: Screen, label: str, typed: str) -> list[Command]:
    """A line to type in, over the status line."""
    canvas = screen.canvas("chosen")
    top = screen.height - canvas.row - 6
    canvas.box(0, top, screen.width, canvas.row + 6, "chosen")
    x = canvas.text(8, top + 2, f"{label} ", "ink", bold=True)
    canvas.text(x, top + 2, typed + "_", "gold")
    return canvas.commands


def pretty(key: str) -> str:
    """A key as it is printed."""
    if len(key) == 1:
        return f"Shift+{key}" if key.isalpha() and key.isupper() else key
    return "+".join(SHORT.get(part, part.capitalize()) for part in key.split("+"))
