"""What lies over the panels for a while: the keys, the palette, a list, a line to type in."""

from __future__ import annotations

from collections.abc import Sequence

from hw.panel.keys import GROUPS, Binding, bindings
from hw.panel.picture.draw import Canvas, Command, Rect, line_height

SHORT = {"page up": "PgUp", "page down": "PgDn", "return": "Enter", "escape": "Esc"}
COLUMN, KEYS = 48, 17
"""Characters of a column of the help, and of the keys in it."""


def framed(title: str, rows: Sequence[str], width: int, height: int, size: int) -> Canvas:
    """A box in the middle of the window, as large as its rows need."""
    row = line_height(size)
    canvas = Canvas(Rect(0, 0, width, height), size, "panel")
    wide = min(
        width - 40, max(40, len(title) + 4, max(map(len, rows), default=0) + 6) * canvas.cell
    )
    tall = min(height - 40, (len(rows) + 3) * row)
    x, y = (width - wide) // 2, (height - tall) // 2
    canvas.box(x - 4, y - 4, wide + 8, tall + 8, "gold")
    canvas.box(x, y, wide, tall, "panel")
    canvas.box(x, y, wide, row + 4, "title")
    canvas.text(x + 10, y + 2, title, "ink", paper="title", bold=True)
    return canvas.inside(Rect(x + 12, y + row + 10, wide - 24, tall - row - 14))


def listing(title: str, rows: Sequence[str], width: int, height: int, size: int) -> list[Command]:
    """Rows of text."""
    inner = framed(title, rows, width, height, size)
    for number, line in enumerate(rows):
        inner.text(inner.rect.x, inner.y(number), line, "ink")
    return inner.commands


def keys_help(width: int, height: int, size: int) -> list[Command]:
    """Every key, in as many columns as it takes."""
    while True:
        column = COLUMN * _cell(size)
        across = max(1, (width - 80) // column)
        groups = [(words, [b for b in bindings() if b.group == g]) for g, words in GROUPS.items()]
        rows = sum(len(part) + 2 for _, part in groups)
        down = -(-rows // across) + 4
        if (down + 4) * line_height(size) <= height or size <= 11:
            break
        size -= 1
    lines = [" " * min(across * COLUMN, (width - 80) // _cell(size))] * down
    inner = framed("Keys   (Esc closes)", lines, width, height, size)
    x, row = inner.rect.x, 0
    for words, part in groups:
        if row and row + len(part) + 1 > down:
            x, row = x + column, 0
        inner.text(x, inner.y(row), words, "gold", bold=True)
        row += 1
        for binding in part:
            inner.text(x, inner.y(row), keys_words(binding), "ink", bold=True)
            inner.text(
                x + 14 * inner.cell,
                inner.y(row),
                binding.words,
                "ink",
                width=column - 15 * inner.cell,
            )
            row += 1
        row += 1
    return inner.commands


def keys_words(binding: Binding) -> str:
    """Two keys of a command, or one where two are too long."""
    both = ", ".join(map(pretty, binding.keys[:2]))
    return both if len(both) < 14 else pretty(binding.keys[0])


def palette(typed: str, chosen: int, width: int, height: int, size: int) -> list[Command]:
    """The commands whose words contain what is typed."""
    found = matching(typed)
    rows = [f"{b.words:<52}{', '.join(map(pretty, b.keys)):>16}" for b in found[:18]]
    inner = framed(f"Command: {typed}_", rows or ["no such command"], width, height, size)
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


def tooltip(
    rows: Sequence[str], at: tuple[int, int], width: int, height: int, size: int
) -> list[Command]:
    """Rows of text beside the pointer, wholly inside the window."""
    row = line_height(size)
    canvas = Canvas(Rect(0, 0, width, height), size, "chosen")
    wide = min(width - 8, max(map(len, rows)) * canvas.cell + 14)
    tall = len(rows) * row + 8
    x = max(4, min(at[0] + 14, width - wide - 4))
    y = at[1] + 18 if at[1] + 18 + tall < height else max(2, at[1] - tall - 8)
    canvas.box(x, y, wide, tall, "chosen", outline="gold")
    for number, line in enumerate(rows):
        canvas.text(x + 7, y + 4 + number * row, line, "ink", width=wide - 10)
    return canvas.commands


def row_at(
    title: str, rows: Sequence[str], window: tuple[int, int], size: int, y: int
) -> int | None:
    """The row of a listing under a pixel."""
    inner = framed(title, rows, *window, size)
    number = (y - inner.rect.y) // inner.row
    return number if 0 <= number < len(rows) else None


def prompt(label: str, typed: str, width: int, height: int, size: int) -> list[Command]:
    """A line to type in, over the status line."""
    row = line_height(size)
    canvas = Canvas(Rect(0, height - row - 6, width, row + 6), size, "chosen")
    canvas.box(0, height - row - 6, width, row + 6, "chosen")
    x = canvas.text(8, height - row - 4, f"{label} ", "ink", bold=True)
    canvas.text(x, height - row - 4, typed + "_", "gold")
    return canvas.commands


def pretty(key: str) -> str:
    """A key as people call it."""
    if len(key) == 1:
        return f"Shift+{key}" if key.isalpha() and key.isupper() else key
    return "+".join(SHORT.get(part, part.capitalize()) for part in key.split("+"))


def _cell(size: int) -> int:
    return round(size * 0.6)
