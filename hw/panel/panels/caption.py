"""The caption: what just happened, in a sentence."""

from __future__ import annotations

from hw.panel.model.moment import View
from hw.panel.picture.draw import Canvas, wrap
from hw.panel.words.captions import caption


def title(view: View) -> str:
    return ""


def draw(view: View, c: Canvas) -> None:
    columns = max(20, c.columns - 2)
    said = wrap(view.said, columns)[: c.rows] if view.said else []
    lines = wrap(caption(view.moment), columns)
    for row, line in enumerate([*said, *lines][: c.rows]):
        cut = line + " …" if row == c.rows - 1 and len(said) + len(lines) > c.rows else line
        c.text(c.rect.x, c.y(row), cut, "gold" if row < len(said) else "ink", bold=True)


def describe(view: View) -> list[str]:
    return [view.said, caption(view.moment)] if view.said else [caption(view.moment)]
