"""Tooltips and the menu: they say what the panels know, and the menu needs no mouse."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.panel import commands
from hw.panel.layout import places
from hw.panel.picture.draw import Box
from hw.panel.session import Session
from hw.panel.user import pointing, showing
from tests.hw.panel.recordings import closing, opened

__all__ = ["closing"]
TRACE = Path(__file__).with_name("cow.vtrace")


def session() -> Session:
    some = Session(opened(TRACE))
    some.history.seek(307)
    return some


def told(some: Session) -> dict[str, set[str]]:
    """Panel -> every line of every tooltip on it."""
    found: dict[str, set[str]] = {}
    for name, rect in places(showing.view(some), *some.size).items():
        for x in range(rect.x, rect.right, 9):
            for y in range(rect.y, rect.bottom, 9):
                some.hover = (x, y)
                found.setdefault(name, set()).update(pointing.tooltip(some))
    return found


def test_tooltips_say_what_is_under_the_pointer() -> None:
    words = told(session())
    assert "frame 0x30: anonymous, held 1 times" in words["frames"]
    assert "space 2 0x7f0000007000" in words["frames"]
    assert "space 1: anonymous rw- private, 8 of 8 pages resident" in words["maps"]
    assert any(line.startswith("T2 #PF write 0x7f0000007000") for line in words["log"])
    assert any("core 0: T2 cow in space 2" in line for line in words["timeline"])


@pytest.mark.parametrize("at", [(0, 0), (1279, 719), (1270, 5), (3, 715), (640, 360)])
def test_a_tooltip_is_wholly_inside_the_window(at: tuple[int, int]) -> None:
    from hw.panel.picture import overlay

    screen = overlay.Screen(1280, 720, 13)
    for command in overlay.tooltip(screen, ["a line", "a longer line of text"], at):
        if isinstance(command, Box):
            assert command.x >= 0
            assert command.y >= 0
            assert command.x + command.w <= 1280
            assert command.y + command.h <= 720


def test_every_row_of_the_menu_does_something() -> None:
    for number, (words, _) in enumerate(pointing.menu(session()), 1):
        some = session()
        before = (some.chosen, some.message, some.focus.va, some.copied, len(some.breakpoints))
        commands.press(some, "o", "o")
        assert some.over == "menu"
        commands.press(some, str(number), str(number))
        after = (some.chosen, some.message, some.focus.va, some.copied, len(some.breakpoints))
        assert some.over == ""
        assert after != before or some.zoomed, words


def test_a_breakpoint_of_the_menu_is_met() -> None:
    some = session()
    rows = [words for words, _ in pointing.menu(some)]
    pointing.choose(some, rows.index("break on a store that faults at it") + 1)
    commands.press(some, "C", "C")
    last = some.history.last
    assert last is not None
    assert (last.kind.name, last["page"]) == ("fault", 0x7F00_0000_7000)


def test_a_click_beside_the_rows_closes_the_menu() -> None:
    some = session()
    for key in ("escape", "x", "9"):
        commands.press(some, "o", "o")
        commands.press(some, key, key if len(key) == 1 else "")
        assert some.over == ""
