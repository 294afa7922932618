"""What keys do: the commands of the keymap, and the keys of lists and prompts over the panels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hw.host import UserError
from hw.panel.keys import bindings, commands_by_key
from hw.panel.layout import PANELS
from hw.panel.machine import resuming, whatif, windows, writes
from hw.panel.model.conditions import ConditionError
from hw.panel.picture import overlay
from hw.panel.picture.theme import THEMES
from hw.panel.session import Session
from hw.panel.user import inside, markers, pointing, showing, sifting
from hw.panel.user.asking import PROMPTS, SUBMITS
from hw.panel.user.scenes import show_scene

SLOWEST, FASTEST = 1, 1 << 16
"""Records a second."""


def press(session: Session, key: str, text: str = "") -> None:
    """Act on a key. `key` is its name in the keymap, `text` what it types."""
    command = commands_by_key().get(key)
    if session.frozen is not None:
        session.closed = session.closed or command == "quit"
        return
    session.message = session.said = ""
    if session.over and _press_over(session, key, text):
        return
    if command is not None:
        do(session, command)


def do(session: Session, command: str) -> None:
    """Carry out a command of the keymap. If it fails, the message says why."""
    if session.frozen is None:
        _try(session, lambda: COMMANDS[command](session))


def _try(session: Session, act: Callable[[], None]) -> None:
    try:
        act()
    except (UserError, ConditionError) as error:
        session.message = str(error)


# What lies over the panels ------------------------------------------------------------------------


def _press_over(session: Session, key: str, text: str) -> bool:
    """Act on a key while something lies over the panels; False if the key is for the panels."""
    if key == "escape":
        session.over, session.typed = "", ""
    elif session.over in PROMPTS or session.over == "palette":
        _type(session, key, text)
    elif session.over == "resume":
        session.over = ""
        if key == "return":
            resuming.go_back(session, showing.view(session))
    elif session.over == "menu":
        choose(session, int(key) if key.isdigit() else 0)
    elif session.over == "breakpoints" and key.isdigit():
        if 0 < int(key) <= len(session.breakpoints):
            del session.breakpoints[int(key) - 1]
    else:
        session.over = ""
        return key in ("?", "f1", "d", "B")
    return True


def _type(session: Session, key: str, text: str) -> None:
    if key == "return":
        _submit(session)
    elif key == "backspace":
        session.typed = session.typed[:-1]
    elif key in ("up", "down"):
        session.picked = max(0, session.picked + (1 if key == "down" else -1))
    elif text and text.isprintable():
        session.typed, session.picked = session.typed + text, 0


def _submit(session: Session) -> None:
    """Act on Enter: carry out the picked command of the palette, or take the typed line."""
    over, typed, session.over, session.typed = session.over, session.typed.strip(), "", ""
    if over == "palette":
        found = overlay.matching(typed)
        if found:
            do(session, found[min(session.picked, len(found) - 1)].command)
    elif typed or over == "filter":
        _try(session, lambda: SUBMITS[over](session, typed))


def choose(session: Session, number: int) -> None:
    """Carry out row `number` of the menu, counted from 1; 0 closes it."""
    command = pointing.choose(session, number)
    if command:
        do(session, command)


def click_over(session: Session, x: int, y: int) -> bool:
    """Act on a click while something lies over the panels: it chooses a row of the menu, and closes
    anything else. False if nothing lies there."""
    if not session.over:
        return False
    if session.over == "menu":
        choose(session, pointing.menu_row(session, y))
    session.over, session.typed = "", ""
    return True


def wheel(session: Session, steps: int, at: tuple[int, int], *, ctrl: bool) -> None:
    """Act on the wheel: it goes through records; with Ctrl it zooms."""
    command = pointing.wheel(session, steps, at, ctrl=ctrl)
    if command:
        do(session, command)


# Commands of more than a line ---------------------------------------------------------------------


def turn_panel(session: Session, step: int) -> None:
    """Choose the next panel, or the one before."""
    names = [name for name in PANELS if name != "caption"]
    at = names.index(session.chosen) if session.chosen in names else 0
    session.chosen = names[(at + step) % len(names)]


def open_panel(session: Session) -> None:
    """Zoom the chosen panel; in the zoomed walk, open the table that an entry leads to."""
    if session.zoomed and session.chosen == "walk":
        session.level = max(1, session.level - 1)
    session.zoomed = True


def escape(session: Session) -> None:
    """Leave the window of instructions, else the zoom, else the address that is held in view."""
    if session.outer is not None:
        windows.leave(session)
    elif session.zoomed:
        session.zoomed = False
    elif session.focus.va is not None or session.focus.pa is not None:
        session.look_at(None)


def turn_theme(session: Session) -> None:
    """Change to the next theme."""
    names = list(THEMES)
    session.theme = names[(names.index(session.theme) + 1) % len(names)]
    session.message = f"theme: {session.theme}"


# The keymap's commands ----------------------------------------------------------------------------


def _set(**values: Any) -> Callable[[Session], None]:
    def change(session: Session) -> None:
        for name, value in values.items():
            setattr(session, name, value)

    return change


def _step(records: int) -> Callable[[Session], None]:
    return lambda s: s.history.seek(s.history.position + records)


def _sorted(sort: str, *, forward: bool) -> Callable[[Session], None]:
    return lambda s: s.by(sort, forward=forward)


def _over(what: str) -> Callable[[Session], None]:
    return lambda s: s.lay_over(what)


COMMANDS: dict[str, Callable[[Session], None]] = {
    "run": Session.run_or_pause,
    "next instruction": lambda s: windows.instruction(s, 1),
    "previous instruction": lambda s: windows.instruction(s, -1),
    "next record": Session.on,
    "previous record": _step(-1),
    "next call": _sorted("syscall", forward=True),
    "previous call": _sorted("syscall", forward=False),
    "next fault": _sorted("fault", forward=True),
    "previous fault": _sorted("fault", forward=False),
    "next switch": _sorted("switch", forward=True),
    "previous switch": _sorted("switch", forward=False),
    "next of panel": lambda s: s.by_panel(forward=True),
    "previous of panel": lambda s: s.by_panel(forward=False),
    "continue": lambda s: s.run_to_breakpoint(forward=True),
    "run back": lambda s: s.run_to_breakpoint(forward=False),
    "start": Session.go_to_start,
    "end": lambda s: s.history.seek(s.history.scanned),
    "resume from here": resuming.offer,
    "last write": lambda s: writes.last_write(s, showing.view(s)),
    "slower": lambda s: setattr(s, "speed", max(SLOWEST, s.speed // 2)),
    "faster": lambda s: setattr(s, "speed", min(FASTEST, s.speed * 2)),
    "right": lambda s: inside.move(s, 1, 0),
    "left": lambda s: inside.move(s, -1, 0),
    "up": lambda s: inside.move(s, 0, -1),
    "down": lambda s: inside.move(s, 0, 1),
    "page up": lambda s: show_scene(s, -1) if s.scenes else inside.move(s, 0, -10),
    "page down": lambda s: show_scene(s, 1) if s.scenes else inside.move(s, 0, 10),
    "right 10": _step(10),
    "left 10": _step(-10),
    "right 1000": _step(1000),
    "left 1000": _step(-1000),
    "zoom in": lambda s: inside.zoom_timeline(s, 0.5),
    "zoom out": lambda s: inside.zoom_timeline(s, 2.0),
    "next panel": lambda s: turn_panel(s, 1),
    "previous panel": lambda s: turn_panel(s, -1),
    **{f"panel {p.key}": _set(chosen=p.name) for p in PANELS.values() if p.key.isdigit()},
    "memory": _set(chosen="memory"),
    "words": lambda s: setattr(s, "words", not s.words),
    "what if": whatif.ask,
    "physical": inside.turn_physical,
    "all panels": _set(zoomed=False, projector=False),
    "open": open_panel,
    "up a level": lambda s: setattr(s, "level", min(4, s.level + 1)),
    "back": escape,
    "go": _over("go"),
    "follow register": lambda s: writes.follow_register(s, showing.view(s)),
    "menu": _over("menu"),
    "search": _over("search"),
    "axis": inside.turn_axis,
    "pin": inside.pin,
    "record": lambda s: setattr(s, "filming", not s.filming),
    "filter": _over("filter"),
    "search on": lambda s: sifting.search(s, showing.view(s), forward=True),
    "search back": lambda s: sifting.search(s, showing.view(s), forward=False),
    "follow": inside.follow,
    "focus back": lambda s: s.focus_history(s.focus_before, s.focus_after),
    "focus on": lambda s: s.focus_history(s.focus_after, s.focus_before),
    "break": _over("break"),
    "breakpoints": _over("breakpoints"),
    "mark A": lambda s: markers.mark(s, "A"),
    "mark B": lambda s: markers.mark(s, "B"),
    "difference": _over("difference"),
    "projector": lambda s: setattr(s, "projector", not s.projector),
    "theme": turn_theme,
    "larger": lambda s: setattr(s, "text_step", min(8, s.text_step + 1)),
    "smaller": lambda s: setattr(s, "text_step", max(-2, s.text_step - 1)),
    "screenshot": lambda s: setattr(s, "pictures", s.pictures + 1),
    "palette": _over("palette"),
    "help": _over("help"),
    "quit": _set(closed=True),
}
assert {binding.command for binding in bindings()} == set(COMMANDS)
