"""The memory panel: what memory holds, as far as the machine has reported it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hw.panel import commands
from hw.panel.layout import describe, panel_commands, places, size_for
from hw.panel.model.answers import ASKED, RUNS, Pages
from hw.panel.model.moment import Focus, View
from hw.panel.panels import memory as panel
from hw.panel.picture.draw import Box, Command, Text
from hw.panel.pictures import view_of
from hw.panel.polling import poll
from hw.panel.session import Session
from hw.panel.user import showing
from tests.hw.panel.recordings import closing, opened
from tests.hw.panel.test_panels import check_golden

__all__ = ["closing"]
TRACE = Path(__file__).with_name("cow.vtrace")
COPY_ON_WRITE = 307
VA = 0x7F00_0000_7000
MINE, OTHERS = 0x30, 0x1D
"""The frames that the record gives the child and leaves to the parent."""


POINTER = VA.to_bytes(8, "little")


def page(text: bytes) -> bytes:
    return text + bytes(4096 - len(text))


def view_at(position: int, pages: Pages, **chosen: Any) -> View:
    history = opened(TRACE)
    history.seek(position)
    return view_of(history, chosen="memory", pages=pages, **chosen)


TOLD = Pages(
    {
        MINE: page(b"Hello, child" + bytes(4) + POINTER),
        OTHERS: page(b"Hello, you"),
    },
    {OTHERS: page(b"Hello, you")},
    {OTHERS: page(b"hello, you")},
)


def drawn(view: View) -> list[Command]:
    rect, size = places(view, 1280, 720)["memory"], size_for(view, 1280, 720)
    return panel_commands(view, "memory", rect, size)


def test_what_the_memory_panel_draws_and_says() -> None:
    view = view_at(COPY_ON_WRITE, TOLD, zoomed=True)
    check_golden("memory-bytes.commands", "\n".join(map(repr, drawn(view))) + "\n")
    check_golden("memory-bytes.txt", "\n".join(describe(view, ["memory"])) + "\n")


def test_a_changed_byte_differs_from_one_that_only_moved_to_another_frame() -> None:
    """After a copy on write the child has another frame with the same bytes.  Only the bytes that
    the child stored afterwards are new."""
    (column, *_) = panel.columns(view_at(COPY_ON_WRITE, TOLD))
    cells = [column.cell(VA + i) for i in range(24)]
    pointer = [16 + i for i, byte in enumerate(POINTER) if byte]
    assert [i for i, cell in enumerate(cells) if cell.new] == [7, 8, 9, 10, 11, *pointer]
    assert cells[0].value == ord("H")


def test_columns_are_compared_with_the_space_in_view() -> None:
    view = view_at(COPY_ON_WRITE, TOLD, zoomed=True)
    mine, other = panel.columns(view)
    assert (mine.space, other.space) == (view.space, 1)
    differing = [i for i in range(16) if other.cell(VA + i, mine).differs]
    assert differing == [7, 8, 9, 10, 11]
    assert "!= +7 +8 +9 +a +b" in "\n".join(describe(view, ["memory"]))


def test_a_word_is_shown_with_what_it_points_to() -> None:
    view = view_at(COPY_ON_WRITE, TOLD, focus=Focus(VA + 16, 2))
    assert panel.foot(view) == f"word {VA + 16:#x} = {VA:#018x} -> anonymous+0x6000"
    view.words = True
    assert any(isinstance(c, Text) and c.text == f"{VA:016x}" for c in drawn(view))


def test_each_mark_has_its_own_shape_and_not_a_colour_alone() -> None:
    told = Pages({MINE: page(b"abc")}, {MINE: page(b"abd"), OTHERS: page(b"abd")}, {})
    boxes = [c for c in drawn(view_at(COPY_ON_WRITE, told)) if isinstance(c, Box)]
    assert sum(1 for box in boxes if box.outline == "hot") == 1
    texts = [c.text for c in drawn(view_at(COPY_ON_WRITE, told)) if isinstance(c, Text)]
    assert f"{VA:012x}*" in texts


def test_a_trace_without_a_machine_has_no_bytes_and_the_panel_says_why() -> None:
    text = "\n".join(describe(view_at(COPY_ON_WRITE, Pages()), ["memory"]))
    assert "This needs a machine, and a file has none" in text
    assert "run.py panel PROGRAM" in text


def test_an_unmapped_address_is_shown_as_such() -> None:
    view = view_at(COPY_ON_WRITE, TOLD, focus=Focus(0x1234_5000, 2))
    assert "Nothing is mapped at 0x12345000 in space 2" in "\n".join(describe(view, ["memory"]))


@pytest.mark.parametrize("zoomed", [False, True])
@pytest.mark.parametrize("words", [False, True])
def test_a_click_on_a_byte_finds_its_address(zoomed: bool, words: bool) -> None:
    view = view_at(COPY_ON_WRITE, TOLD, zoomed=zoomed, words=words)
    rect, size = places(view, 1280, 720)["memory"], size_for(view, 1280, 720)
    from hw.panel.layout import content
    from hw.panel.picture.draw import Canvas

    canvas = Canvas(content(rect, size, "memory"), size)
    shape = panel.shape_of(view, canvas)
    left = canvas.rect.x + panel.ADDRESS_CHARACTERS * canvas.cell
    top = canvas.y(1 if len(shape.columns) > 1 else 0)
    for line, byte in ((0, 0), (2, 3), (shape.rows - 1, shape.per - 1)):
        x, y = left + 3 * byte * canvas.cell + 2, top + line * canvas.row + 2
        wanted = shape.first + line * shape.per + byte
        assert panel.address_at(view, canvas, x, y) == (wanted & ~7 if words else wanted)


# Asking -------------------------------------------------------------------------------------------


def session() -> tuple[Session, list[str]]:
    words: list[str] = []
    some = Session(opened(TRACE), chosen="memory", send=words.append)
    some.history.seek(COPY_ON_WRITE)
    return some, words


def test_the_machine_is_asked_once_and_only_for_what_is_in_view() -> None:
    some, words = session()
    some.chosen = "walk"
    poll(some)
    assert not words
    commands.press(some, "h", "h")
    for _ in range(3):
        poll(some)
    before = some.history.step_start()
    assert words == [f"memory 1 {before},{COPY_ON_WRITE} {OTHERS - 1},{OTHERS},{MINE}"]
    assert some.awaits
    assert ASKED in "\n".join(describe(showing.view(some), ["memory"]))


def test_a_panel_looks_at_nothing_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiting panel takes no time, even when it knows all of its memory."""
    some, words = session()
    poll(some)
    assert some.asked
    looks: list[int] = []

    def look(session: Session) -> list[int]:
        looks.append(showing.view(session).va)
        return []

    monkeypatch.setattr(showing, "frames_in_view", look)
    some.asked.clear()
    for _ in range(5):
        poll(some)
    assert looks == []
    commands.press(some, "down")
    poll(some)
    poll(some)
    assert looks == [VA + 8]
    assert len(words) == 1


def test_a_running_machine_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "growing").write_bytes(TRACE.read_bytes()[:-16])
    words: list[str] = []
    some = Session(opened(tmp_path / "growing"), chosen="memory", live=True, send=words.append)
    some.history.seek(some.history.scanned)
    poll(some)
    assert not words
    assert showing.view(some).pages.why == RUNS


def test_keys_move_by_bytes_and_rows_and_between_virtual_and_physical() -> None:
    some, _ = session()
    for key, by in (("right", 1), ("down", 9), ("page down", 89), ("left", 88), ("up", 80)):
        commands.press(some, key)
        assert showing.view(some).va == VA + by
    commands.press(some, "j", "j")
    assert panel.address_of(showing.view(some)) == MINE << 12 | 80
    assert "physical" in panel.title(showing.view(some))
    commands.press(some, "j", "j")
    assert panel.address_of(showing.view(some)) == VA + 80
    for letter in ("g", *"pa:0x6010", "return"):
        commands.press(some, letter, letter if len(letter) == 1 else "")
    assert panel.address_of(showing.view(some)) == 0x6010
