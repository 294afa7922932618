"""Which panels there are, and where they stand in a window of any size.

`compose` is the whole picture: a function from a view and a size to draw commands.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from hw.panel.model.moment import View
from hw.panel.panels import (
    caption,
    cpu,
    frames,
    graph,
    log,
    maps,
    memory,
    race,
    timeline,
    tlb,
    walk,
)
from hw.panel.picture.draw import Box, Canvas, Command, Rect, line_height


class Content(Protocol):
    """What each module of `panels` has."""

    def title(self, view: View, /) -> str: ...

    def draw(self, view: View, c: Canvas, /) -> None: ...

    def describe(self, view: View, /) -> list[str]: ...


class Panel(NamedTuple):
    """A panel: the key that chooses it, its name, its heading, and what it shows."""

    key: str
    name: str
    heading: str
    content: Content


PANELS = {
    panel.name: panel
    for panel in (
        Panel("1", "walk", "Walk", walk),
        Panel("2", "maps", "Maps", maps),
        Panel("3", "tlb", "TLB", tlb),
        Panel("4", "frames", "Frames", frames),
        Panel("5", "cpu", "CPU", cpu),
        Panel("6", "log", "Log", log),
        Panel("7", "race", "Race", race),
        Panel("8", "graph", "Graph", graph),
        Panel("9", "timeline", "Timeline", timeline),
        Panel("", "caption", "What just happened", caption),
        Panel("h", "memory", "Memory", memory),
    )
}
LECTURE = {"walk": "maps", "maps": "walk", "tlb": "walk", "memory": "walk"}
"""In projector mode: chosen panel -> the one beside it. For all others that is the maps."""


KEYS = (
    "? keys",
    "e/E record",
    "f/F fault",
    "y/Y call",
    "w/W switch",
    "g go",
    "Ctrl+K commands",
)
"""The keys in the last line, the most needed first."""
SPARSE = ("tlb", "frames", "race", "graph", "cpu")


def text_size(width: int, height: int, *, projector: bool) -> int:
    """The size of the text in pixels. It is 13 at 720p and grows slowly: a larger window shows
    more. In projector mode it is 20 at 720p and grows with the window."""
    scale = min(width / 1280, height / 720)
    wished = 20 * scale if projector else 12.6 + 6.8 * (scale - 1)
    return max(12, min(28, round(wished)))


def size_for(view: View, width: int, height: int) -> int:
    """The size of the text of a view."""
    return max(11, text_size(width, height, projector=view.projector) + view.text_step)


def inner_size(view: View, name: str, size: int) -> int:
    """The size of the text in a panel. It is larger in a zoomed panel that has little to show."""
    return size + 5 if view.zoomed and name == view.chosen and name in SPARSE else size


def places(view: View, width: int, height: int) -> dict[str, Rect]:
    """Where each visible panel is, with its heading."""
    size = size_for(view, width, height)
    row = line_height(size)
    status, words = row + 2, (3 if view.said else 2) * row + 8
    tracks = 5 * row if view.projector else max(7 * row, height // 6)
    body = height - status - words - tracks
    found = {
        "caption": Rect(0, body, width, words),
        "timeline": Rect(0, body + words, width, tracks),
    }
    if view.zoomed and view.chosen == "timeline":
        below = height - status - words
        return {"caption": Rect(0, below, width, words), "timeline": Rect(0, 0, width, below)}
    if view.zoomed:
        return {**found, view.chosen: Rect(0, 0, width, body)}
    if view.projector:
        return found | _lecture(view, width, body)
    cpu = 13.6 if view.moment.state.registers else 9.6
    return found | _lab(view, Rect(0, 0, width, body), row, cpu * row)


def _lecture(view: View, width: int, body: int) -> dict[str, Rect]:
    """The chosen panel and the one beside it."""
    chosen = view.chosen if view.chosen not in ("timeline", "caption") else "maps"
    other = view.beside if view.beside in PANELS else LECTURE.get(chosen, "maps")
    left, right = sorted((chosen, other), key=list(PANELS).index)
    return {
        left: Rect(0, 0, width // 2, body),
        right: Rect(width // 2, 0, width - width // 2, body),
    }


TALL_ROWS = 36
"""With at least this many rows there is room for the race above memory."""


def _lab(view: View, room: Rect, row: int, cpu: float) -> dict[str, Rect]:
    """All panels, in three columns. Memory takes the place of the race when it is chosen; a tall
    window has both."""
    width, body = room.w, room.h
    one, two = round(width * 0.336), round(width * 0.338)
    tlb, frames = 0.42, 0.27
    last: tuple[tuple[str, float], ...] = (("race", 0.0),)
    if body >= TALL_ROWS * row:
        tlb, frames = 0.37, 0.21
        last = (("race", max(0.17 * body, 9.6 * row)), ("memory", 0.0))
    elif view.chosen == "memory":
        last = (("memory", 0.0),)
    columns = (
        (0, one, (("walk", 16.6 * row), ("cpu", cpu), ("log", 0.0))),
        (one, two, (("maps", 0.66 * body), ("graph", 0.0))),
        (
            one + two,
            width - one - two,
            (("tlb", tlb * body), ("frames", frames * body), *last),
        ),
    )
    found = {}
    for x, wide, stack in columns:
        y = 0
        for name, wish in stack:
            tall = min(body - y, round(wish)) if wish else body - y
            found[name] = Rect(x, y, wide, tall)
            y += tall
    return found


def content(rect: Rect, size: int, name: str) -> Rect:
    """The part of a panel below its heading."""
    head = line_height(size) + 2 if name != "caption" else 3
    return Rect(rect.x + 7, rect.y + head + 2, rect.w - 13, rect.h - head - 4)


def compose(view: View, width: int, height: int) -> list[Command]:
    """The whole window."""
    window: list[Command] = [Box(0, 0, width, height, "paper")]
    for commands in parts(view, width, height).values():
        window += commands
    return window


def parts(view: View, width: int, height: int) -> dict[str, list[Command]]:
    """The window panel by panel: a panel that has not changed need not be painted again."""
    size = size_for(view, width, height)
    found = {
        name: panel_commands(view, name, rect, size)
        for name, rect in places(view, width, height).items()
    }
    bar = Canvas(Rect(0, 0, width, height), size, "paper")
    _status(view, bar)
    if view.mode.startswith("HISTORY"):
        bar.box(0, 0, width, height, "", outline="gold", width=4)
    return found | {"status": bar.commands}


def panel_commands(view: View, name: str, rect: Rect, size: int) -> list[Command]:
    """One panel: its frame, its heading, its content."""
    panel = PANELS[name]
    chosen = view.chosen == name
    frame = Canvas(rect, size, "title")
    frame.box(rect.x, rect.y, rect.w - 1, rect.h - 1, "panel")
    if name == "caption":
        frame.box(rect.x, rect.y, 5, rect.h - 1, "gold")
    else:
        paper = "chosen" if chosen else "title"
        tall = line_height(size) + 2
        frame.box(rect.x, rect.y, rect.w - 1, tall, paper)
        x = frame.text(
            rect.x + 6, rect.y + 1, f"{panel.key} {panel.heading} ", "ink", paper=paper, bold=True
        )
        frame.text(
            x + 4,
            rect.y + 1,
            panel.content.title(view),
            "ink",
            paper=paper,
            width=rect.right - x - 12,
        )
    canvas = Canvas(
        content(rect, size, name), inner_size(view, name, size), "panel", 2 if view.projector else 1
    )
    panel.content.draw(view, canvas)
    commands = frame.commands + canvas.commands
    if chosen and name != "caption":
        edge = Canvas(rect, size)
        edge.box(rect.x, rect.y, rect.w - 1, rect.h - 1, "", outline="gold", width=2)
        commands += edge.commands
    return commands


def _status(view: View, c: Canvas) -> None:
    """The last line: the mode, the position, and the keys or the message."""
    y = c.rect.bottom - c.row - 1
    c.box(0, y - 1, c.rect.w, c.row + 2, "paper")
    moment = view.moment
    x = c.text(6, y, f" {view.mode} ", "black", paper="yellow", bold=True)
    where = (
        f"  record {moment.position:,} of {moment.total:,}   {moment.cycles:,} modelled cycles   "
    )
    x = c.text(x, y, where, "ink")
    if view.message:
        c.text(x, y, view.message, "gold")
        return
    columns = (c.rect.right - x) // c.cell - 1
    keys = keys_words(columns)
    c.text(x, y, keys, "dim")
    footer = f"{view.source}  {view.digest[:12]}".strip()
    if not view.projector and len(keys) + 2 + len(footer) <= columns:
        c.text(c.rect.right - (len(footer) + 1) * c.cell, y, footer, "dim")


def keys_words(columns: int) -> str:
    """The most needed keys that fit into `columns` characters, none of them cut."""
    words = ""
    for key in KEYS:
        longer = f"{words}  {key}".strip()
        if len(longer) > columns:
            break
        words = longer
    return words


def describe(view: View, names: list[str] | None = None) -> list[str]:
    """The panels as text."""
    lines = []
    for name in names or ["caption", *(n for n in PANELS if n != "caption")]:
        panel = PANELS[name]
        lines += [f"== {panel.heading} ==", *panel.content.describe(view), ""]
    return lines
