"""T5: a real window of pygame's dummy driver, and posted events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hw.panel.session import Session
from hw.panel.window import Window
from tests.hw.panel.recordings import closing, folder, opened

__all__ = ["closing", "folder"]


@pytest.fixture
def window(folder: Path, tmp_path: Path) -> Iterator[Window]:
    window = Window(Session(opened(folder / "cow")), folder=tmp_path, visible=False)
    window.paint()
    yield window
    window.pygame.display.quit()


def press(window: Window, *keys: str) -> None:
    """Post the presses of keys: single characters, or the names of special keys."""
    pygame = window.pygame
    for key in keys:
        shift = len(key) == 1 and key.isupper()
        code = pygame.key.key_code(key.lower())
        mod = pygame.KMOD_SHIFT if shift else 0
        text = key if len(key) == 1 else ""
        event = pygame.event.Event(pygame.KEYDOWN, key=code, mod=mod, unicode=text)
        pygame.event.post(event)
        window.turn()
    window.paint()


def pixels(window: Window) -> bytes:
    return bytes(window.pygame.image.tobytes(window.screen, "RGB"))


def test_posted_keys_move_and_the_picture_follows(window: Window) -> None:
    before = pixels(window)
    press(window, "f", "f")
    faults = window.session.history.tracks.marks["fault"]
    assert window.session.history.position == faults[1] + 1
    assert pixels(window) != before
    press(window, "F", "F")
    assert window.session.history.position == faults[0] + 1
    press(window, "home")
    assert window.session.history.position == 0
    assert pixels(window) == before


def test_a_click_on_the_timeline_goes_there_and_a_wheel_turns_back(window: Window) -> None:
    pygame, session = window.pygame, window.session
    click = pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=(700, 650))
    pygame.event.post(click)
    window.turn()
    there = session.history.position
    assert session.chosen == "timeline"
    assert 0.4 < there / session.history.scanned < 0.6
    pygame.event.post(pygame.event.Event(pygame.MOUSEWHEEL, x=0, y=1))
    window.turn()
    assert session.history.position == there - 1


def test_a_step_paints_only_what_has_changed(window: Window) -> None:
    press(window, "f")
    painted = window.redrawn
    window.paint()
    assert window.redrawn == painted, "nothing changed, nothing is painted"
    press(window, "e")
    assert 0 < window.redrawn - painted < 12


def test_closing_the_window_ends_the_session(window: Window) -> None:
    window.pygame.event.post(window.pygame.event.Event(window.pygame.QUIT))
    window.turn()
    assert window.session.closed


def test_a_picture_is_saved_and_says_what_it_is_of(window: Window, tmp_path: Path) -> None:
    from PIL import Image

    press(window, "f", "x")
    (path,) = tmp_path.glob("vantage-*.png")
    with Image.open(path) as image:
        assert image.size == (1280, 720)
        assert image.info["Record"].startswith(f"{window.session.history.position} of")


def test_repainting_in_part_is_as_good_as_painting_all(window: Window) -> None:
    for keys in (["f", "f", "w"], ["2", "down"], ["v"], ["p"], ["0", "?"], ["escape", "Y"]):
        press(window, *keys)
        parts = pixels(window)
        window.painted.clear()
        window.screen.fill((1, 2, 3))
        window.paint()
        assert pixels(window) == parts, keys
