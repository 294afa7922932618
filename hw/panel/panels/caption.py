"""The caption: what just happened, in a sentence."""

from __future__ import annotations

from hw.panel.draw import Canvas, wrap
from hw.panel.moment import View
from hw.panel.words import caption


def title(view: View) -> str:
    return ""


def draw(view: View, c: Canvas) -> None:
    lines = wrap(caption(view.moment), max(20, c.columns - 2))
    for row, line in enumerate(lines[: c.rows]):
        cut = line + " …" if row == c.rows - 1 and len(lines) > c.rows else line
        c.text(c.rect.x, c.y(row), cut, "ink", bold=True)


def describe(view: View) -> list[str]:
    return [caption(view.moment)]
