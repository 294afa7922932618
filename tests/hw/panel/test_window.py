"""A real window under pygame's dummy driver, driven by posted events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hw.panel.picture.draw import Command
from hw.panel.picture.paint import Painter
from hw.panel.session import Session
from hw.panel.user.over import draw_over
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


def mouse(window: Window, kind: str, at: tuple[int, int], **more: int) -> None:
    pygame = window.pygame
    if kind == "MOUSEMOTION":
        more |= {"buttons": (0, 0, 0), "rel": (0, 0)}  # type: ignore[dict-item]
    pygame.event.post(pygame.event.Event(getattr(pygame, kind), pos=at, **more))
    window.turn()


def hold(window: Window, key: str, mod: str) -> None:
    pygame = window.pygame
    event = pygame.event.Event(
        pygame.KEYDOWN, key=getattr(pygame, key), mod=getattr(pygame, mod), unicode=""
    )
    pygame.event.post(event)
    window.turn()


def test_shift_and_drag_on_the_timeline_summarise_what_lies_between(window: Window) -> None:
    session = window.session
    hold(window, "K_LSHIFT", "KMOD_LSHIFT")
    mouse(window, "MOUSEBUTTONDOWN", (900, 650), button=1)
    mouse(window, "MOUSEMOTION", (500, 650))
    mouse(window, "MOUSEBUTTONUP", (500, 650), button=1)
    assert session.over == "difference"
    assert 0 < session.marks["A"] < session.marks["B"] < session.history.scanned
    assert session.history.position == 0, "nothing else has moved"


def test_ctrl_and_wheel_zoom_about_the_pointer(window: Window) -> None:
    from hw.panel.panels import timeline
    from hw.panel.user.pointing import canvas_at

    def under() -> int:
        found = canvas_at(window.session, 1000, 650)
        assert found is not None
        return timeline.record_at(found[1], found[2], 1000)

    before = under()
    hold(window, "K_LCTRL", "KMOD_LCTRL")
    mouse(window, "MOUSEMOTION", (1000, 650))
    for _ in range(5):
        mouse(window, "MOUSEWHEEL", (0, 0), x=0, y=1)
    assert window.session.span is not None
    first, last = window.session.span
    assert last - first < 0.4 * window.session.history.scanned
    assert abs(under() - before) <= 3
    for _ in range(8):
        mouse(window, "MOUSEWHEEL", (0, 0), x=0, y=-1)
    assert window.session.span is None


def test_a_pointer_that_rests_gets_a_tooltip(window: Window) -> None:
    press(window, "f", "f", "f")
    window.paint()
    before = pixels(window)
    mouse(window, "MOUSEMOTION", (640, 120))
    assert window.session.hover is None, "not while it moves"
    window.turn()
    assert window.session.hover == (640, 120)
    window.paint()
    assert pixels(window) != before
    mouse(window, "MOUSEMOTION", (645, 121))
    window.paint()
    assert pixels(window) == before


def test_the_other_button_opens_the_menu_and_a_row_of_it_can_be_clicked(window: Window) -> None:
    from hw.panel.picture.draw import Text

    press(window, *"ffff")
    mouse(window, "MOUSEBUTTONDOWN", (640, 120), button=3)
    session = window.session
    assert session.over == "menu"
    rows = [c for c in draw_over(session) if isinstance(c, Text)]
    row = next(c for c in rows if "its bytes" in c.text)
    mouse(window, "MOUSEBUTTONDOWN", (row.x + 20, row.y + 3), button=1)
    assert (session.over, session.chosen) == ("", "memory")


def test_modifiers_alone_are_no_keys(window: Window) -> None:
    press(window, "b", *"fault")
    hold(window, "K_LSHIFT", "KMOD_LSHIFT")
    assert (window.session.over, window.session.typed) == ("break", "fault")


def test_a_step_paints_only_what_has_changed(window: Window) -> None:
    class Counting(Painter):
        paintings = 0

        def paint(self, surface: Any, commands: list[Command]) -> None:
            self.paintings += 1
            super().paint(surface, commands)

    press(window, "f")
    counting = window.painter = Counting(window.painter.theme, window=False)
    window.paint()
    assert counting.paintings == 0, "nothing changed, nothing is painted"
    press(window, "e")
    assert 0 < counting.paintings < 12


def test_closing_the_window_ends_the_session(window: Window) -> None:
    window.pygame.event.post(window.pygame.event.Event(window.pygame.QUIT))
    window.turn()
    assert window.session.closed


def test_a_picture_is_saved_with_the_record_that_it_shows(window: Window, tmp_path: Path) -> None:
    from PIL import Image

    press(window, "f", "x")
    (path,) = tmp_path.glob("vantage-*.png")
    with Image.open(path) as image:
        assert image.size == (1280, 720)
        assert image.info["Record"].startswith(f"{window.session.history.position} of")


def test_a_film_has_a_picture_for_each_painted_one(window: Window, tmp_path: Path) -> None:
    from PIL import Image

    press(window, "X")
    for key in "ff":
        press(window, key)
    press(window, "X")
    (path,) = tmp_path.glob("vantage-*.gif")
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 3
        assert image.size == (1280, 720)
    assert "3 pictures" in window.session.message
    assert not window.session.filming


def test_repainting_in_part_is_as_good_as_painting_all(window: Window) -> None:
    for keys in (["f", "f", "w"], ["2", "down"], ["v"], ["p"], ["0", "?"], ["escape", "Y"]):
        press(window, *keys)
        parts = pixels(window)
        window.painted.clear()
        window.screen.fill((1, 2, 3))
        window.paint()
        assert pixels(window) == parts, keys
