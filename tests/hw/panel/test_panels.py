"""What the panels draw and say, compared with files that a person has checked.

The trace is in the tree, so that no change in the kernel can change it.  After an intended change,
VANTAGE_GOLDENS=write rewrites the files.  Look at them before you commit them.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import pytest

import kernel.boot  # noqa: F401 - it declares all kinds of records
from hw.panel.layout import (
    KEYS,
    PANELS,
    compose,
    describe,
    keys_words,
    panel_commands,
    places,
    size_for,
)
from hw.panel.model.moment import View, moment_of
from hw.panel.panels import maps, timeline, tlb
from hw.panel.picture import axis
from hw.panel.picture.draw import (
    Box,
    Canvas,
    Cells,
    Command,
    Line,
    Mark,
    Rect,
    Text,
    cell_width,
    line_height,
)
from hw.panel.picture.paint import Painter
from hw.panel.picture.theme import THEMES
from hw.panel.pictures import picture, view_of
from hw.panel.words.captions import CAPTIONS, caption
from tests.hw.panel.recordings import PROGRAMS, closing, folder, opened

__all__ = ["closing", "folder"]
HERE = Path(__file__).parent
GOLDENS = HERE / "goldens"
TRACE = HERE / "cow.vtrace"
COPY_ON_WRITE = 307
"""The record of a fault that made the child's own copy of a page."""
SIZES = ((1280, 720), (1920, 1080))


def view_at(position: int, **chosen: Any) -> View:
    history = opened(TRACE)
    history.seek(position)
    return view_of(history, **chosen)


def check_golden(name: str, text: str) -> None:
    path = GOLDENS / name
    if os.environ.get("VANTAGE_GOLDENS") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{name}: see VANTAGE_GOLDENS above"


def as_lines(commands: list[Command]) -> str:
    return "\n".join(map(repr, commands)) + "\n"


# Each panel ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PANELS)
def test_what_a_panel_draws(name: str) -> None:
    view = view_at(COPY_ON_WRITE, chosen=name if name == "memory" else "walk")
    rect, size = places(view, 1280, 720)[name], size_for(view, 1280, 720)
    check_golden(f"{name}.commands", as_lines(panel_commands(view, name, rect, size)))


@pytest.mark.parametrize("name", PANELS)
def test_what_a_panel_says(name: str) -> None:
    check_golden(f"{name}.txt", "\n".join(describe(view_at(COPY_ON_WRITE), [name])) + "\n")


def test_commands_are_plain_data() -> None:
    """Commands with equal fields are equal, and `repr` of a command evaluates to it."""
    commands = compose(view_at(COPY_ON_WRITE), 1280, 720)
    names = {kind.__name__: kind for kind in (Box, Text, Line, Mark, Cells)}
    assert eval(repr(commands), names) == commands


def test_a_view_draws_the_same_every_time() -> None:
    one, two = (compose(view_at(COPY_ON_WRITE), 1280, 720) for _ in range(2))
    assert one == two


# Nothing leaves its place -------------------------------------------------------------------------


def extent(command: Command) -> tuple[int, int, int, int]:
    """Left, top, right, bottom."""
    if isinstance(command, Text):
        right = command.x + len(command.text) * cell_width(command.size)
        return command.x, command.y, right, command.y + command.size
    if isinstance(command, Line):
        xs, ys = sorted((command.x1, command.x2)), sorted((command.y1, command.y2))
        return xs[0], ys[0], xs[1], ys[1]
    if isinstance(command, Cells):
        rows = -(-len(command.codes) // command.columns)
        right = command.x + command.columns * command.cell
        return command.x, command.y, right, command.y + rows * command.cell
    if isinstance(command, Mark):
        return command.x, command.y, command.x, command.y
    return command.x, command.y, command.x + command.w, command.y + command.h


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("projector", [False, True])
@pytest.mark.parametrize("program", PROGRAMS)
def test_nothing_leaves_its_panel(
    folder: Path, program: str, size: tuple[int, int], projector: bool
) -> None:
    history = opened(folder / program)
    for share in (0.0, 0.2, 0.55, 0.9, 1.0):
        history.seek(round(share * history.scanned))
        for chosen in ("walk", "tlb", "frames", "graph", "timeline", "memory"):
            view = View(moment_of(history), projector=projector, chosen=chosen)
            for name, rect in places(view, *size).items():
                for command in panel_commands(view, name, rect, size_for(view, *size)):
                    left, top, right, bottom = extent(command)
                    inside = rect.x <= left and rect.y <= top
                    inside = inside and right <= rect.right and bottom <= rect.bottom
                    assert inside, f"{name} at {history.position}: {command}"


@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (1920, 1080), (3840, 2160)])
@pytest.mark.parametrize("projector", [False, True])
@pytest.mark.parametrize("zoomed", [False, True])
@pytest.mark.parametrize("chosen", [name for name in PANELS if name != "caption"])
def test_panels_do_not_overlap(
    size: tuple[int, int], projector: bool, zoomed: bool, chosen: str
) -> None:
    view = view_at(0, projector=projector, zoomed=zoomed, chosen=chosen)
    rects = list(places(view, *size).values())
    assert chosen in places(view, *size)
    assert zoomed or projector or size[1] < 1080 or set(places(view, *size)) == set(PANELS)
    for i, one in enumerate(rects):
        assert one.x >= 0
        assert one.y >= 0
        assert one.right <= size[0]
        assert one.bottom <= size[1]
        for other in rects[i + 1 :]:
            apart = one.right <= other.x or other.right <= one.x
            assert apart or one.bottom <= other.y or other.bottom <= one.y


def test_text_is_as_wide_as_the_face_makes_it() -> None:
    painter = Painter(THEMES["dark"])
    for size in range(11, 31):
        for bold in (False, True):
            assert painter.font(size, bold).size("0M·>" * 5)[0] == 20 * cell_width(size)
        assert painter.font(size, False).get_linesize() <= line_height(size) + 1


# Every kind of record has its sentence ------------------------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_moment_has_a_caption_of_one_sentence(folder: Path, program: str) -> None:
    history = opened(folder / program)
    seen = set()
    for number in range(1, history.scanned, max(1, history.scanned // 400)):
        history.seek(number)
        moment = moment_of(history)
        words = caption(moment)
        assert words.endswith(".")
        assert "\n" not in words
        assert moment.last is not None
        seen.add(moment.last.kind.name)
    assert len(seen) > 8


def test_a_record_of_any_kind_has_a_caption() -> None:
    from hw.trace import KINDS, Record

    moment = view_at(COPY_ON_WRITE).moment
    for kind in KINDS.values():
        values = tuple(b"x" if code == "s" else 1 for code in kind.codes)
        moment.last = Record(kind, 0, 0, values)
        words = caption(moment)
        assert words.endswith("."), kind.name
        assert kind.name in CAPTIONS or words.startswith(kind.doc.rstrip("."))
    assert set(KINDS) >= {"syscall", "fault", "run", "pte", "frame"}


def test_the_caption_of_a_copy_on_write_names_both_frames() -> None:
    words = caption(view_at(COPY_ON_WRITE).moment)
    assert words == (
        "T2 (cow) wrote to 0x7f0000007000 (anonymous memory): copy on write: frame 0x1d, which "
        "1 holder still needed, was copied to frame 0x30, its own."
    )


def test_the_caption_of_a_conflict_says_who_failed_and_why() -> None:
    from hw.trace import KINDS, Record

    moment = view_at(COPY_ON_WRITE).moment
    grown = (1, 0x40_6000, 0x40_8000, b"[heap]", 0x40_6000, 0x40_9000, b"[heap]")
    moment.last = Record(KINDS["conflict"], 0, 0, grown)
    assert caption(moment) == (
        "T2 (cow) meets a conflict: [heap] at 0x406000-0x408000 cannot go into space 1, whose "
        "[heap] has grown to 0x406000-0x409000 meanwhile."
    )
    call = (2, 12, 0x40_7000, 0, 0, 0, 0, 0, -14, b"", 0)
    moment.log = [(moment.position + 1, Record(KINDS["syscall"], 0, 0, call))]
    assert caption(moment).startswith("T2 (cow): brk(")
    assert " fails, EFAULT: [heap] at 0x406000" in caption(moment)


def test_the_caption_of_a_write_of_cr3_speaks_of_pcids_only_where_there_are_any() -> None:
    from hw.trace import KINDS, Record

    moment = view_at(COPY_ON_WRITE).moment
    moment.last = Record(KINDS["cr3_load"], 0, 0, (0x7001, 0x1_A002))
    assert "CR3 changed from PCID 1 to 2" in caption(moment)
    moment.about.header["config"]["pcid"] = False
    moment.last = Record(KINDS["cr3_load"], 0, 0, (0x7000, 0x1_A000))
    moment.records = [Record(KINDS["tlb_flush"], 0, 0, (3, 0, 0, 7, b""))]
    assert "0x7000 to 0x1a000; PCIDs are off: all 7 TLB entries are gone" in caption(moment)
    moment.records = []
    assert "PCIDs are off: there was no TLB entry to lose" in caption(moment)


def test_the_caption_of_a_taken_frame_names_its_user() -> None:
    history = opened(TRACE)
    records = [history.record(n) for n in range(COPY_ON_WRITE)]
    frames = [n for n, r in enumerate(records) if r.kind.name == "frame" and not r["old_refs"]]
    history.seek(frames[-1] + 1)
    assert ", for T2 (cow) in space 2." in caption(moment_of(history))


# What the panels conclude -------------------------------------------------------------------------


def test_the_maps_show_which_frames_are_the_same() -> None:
    text = "\n".join(maps.describe(view_at(COPY_ON_WRITE)))
    child = text[text.index("space 2") :]
    assert "anonymous 8 of 8 pages 4= 4!=" in child
    assert "r-x private cow 3 of 3 pages =" in child


def texts(view: View, name: str, size: tuple[int, int]) -> list[str]:
    """The texts in one panel, in a window of the given size."""
    rect = places(view, *size)[name]
    commands = panel_commands(view, name, rect, size_for(view, *size))
    return [command.text for command in commands if isinstance(command, Text)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("projector", [False, True])
@pytest.mark.parametrize("name", ["race", "frames", "tlb"])
def test_legends_and_heads_are_not_cut(name: str, size: tuple[int, int], projector: bool) -> None:
    view = view_at(COPY_ON_WRITE, projector=projector, chosen=name)
    cut = [text for text in texts(view, name, size) if text.endswith("…")]
    assert not cut


@pytest.mark.parametrize("size", [(160, 90), (320, 180), (640, 360)])
@pytest.mark.parametrize("projector", [False, True])
@pytest.mark.parametrize("name", [name for name in PANELS if name != "caption"])
def test_a_small_window_shows_what_it_can(
    name: str, size: tuple[int, int], projector: bool
) -> None:
    assert compose(view_at(COPY_ON_WRITE, projector=projector, chosen=name), *size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("projector", [False, True])
def test_the_tlb_panel_says_how_many_entries_it_leaves_out(
    size: tuple[int, int], projector: bool
) -> None:
    view = view_at(COPY_ON_WRITE, projector=projector, chosen="tlb")
    words = texts(view, "tlb", size)
    listed = sum(" > " in text and "frame" not in text for text in words)
    more = sum(int(text[1:-5]) for text in words if text.endswith(" more"))
    held = len(tlb.newest(view)) + len(tlb.gone(view))
    assert held > 0
    assert listed + more == held


def test_the_frames_name_the_old_and_the_new_frame_of_a_copy() -> None:
    assert "old 0x1d > new 0x30" in texts(view_at(COPY_ON_WRITE), "frames", (1280, 720))


def test_a_key_of_the_last_line_is_shown_in_full_or_not_at_all() -> None:
    assert keys_words(200).split("  ") == list(KEYS)
    for columns in range(100):
        words = keys_words(columns)
        assert len(words) <= columns
        assert not words or set(words.split("  ")) <= set(KEYS)


@pytest.mark.parametrize("room", range(5, 12))
def test_a_short_label_keeps_the_rights_and_the_part_that_distinguishes_names(room: int) -> None:
    labels = [maps.label("rw-", f"s16.{number}", room) for number in range(1, 13)]
    assert len(set(labels)) == len(labels)
    assert all(len(words) <= room for words in labels)
    assert room < 7 or all(words.startswith("rw") for words in labels)


def test_a_row_of_distant_pieces_says_its_first_and_last_address() -> None:
    far = axis.Run(0x1A00_0000_0000, 0x1A20_0000_4000, 0, 20, folded=2)
    assert maps.address_words(far) == "1a0…-1a2…"
    near = axis.Run(0x40_0000, 0x40_5000, 0, 20, folded=3)
    assert maps.address_words(near) == "000000400000"


@pytest.mark.parametrize("tall", range(150, 400, 7))
def test_the_size_of_a_gap_covers_no_address(tall: int) -> None:
    view = view_at(COPY_ON_WRITE)
    canvas = Canvas(Rect(0, 0, 600, tall), 20)
    maps.draw(view, canvas)
    left = [c for c in canvas.commands if isinstance(c, Text) and c.x == maps.STRIP + 6]
    lines = sorted((text.y, text.y + text.size) for text in left)
    assert all(one[1] <= two[0] for one, two in itertools.pairwise(lines))


@pytest.mark.parametrize("size", [11, 20])
def test_the_timeline_counts_what_it_cannot_mark_and_names_what_it_leaves_out(size: int) -> None:
    view = view_at(COPY_ON_WRITE)
    events = sum(view.moment.tracks.count(sort, 0, view.moment.total) for sort in timeline.NOUNS)
    assert not timeline.is_crowded(view, events * timeline.CROWDED)
    assert timeline.is_crowded(view, events * timeline.CROWDED - 1)
    canvas = Canvas(Rect(0, 0, 1200, 3 * line_height(size)), size)
    timeline.draw(view, canvas)
    words = [c.text for c in canvas.commands if isinstance(c, Text)]
    assert {"call", "fault", "switch"} <= set(words)
    assert any(text.startswith("+1") for text in words)


# Pixels -------------------------------------------------------------------------------------------


def differing(one: Any, other: Any) -> float:
    """The share of pixels of which a channel differs by more than 24."""
    import numpy

    pixels = [numpy.asarray(image.convert("RGB"), numpy.int16) for image in (one, other)]
    assert pixels[0].shape == pixels[1].shape
    return float((abs(pixels[0] - pixels[1]).max(axis=2) > 24).mean())


def test_pixels_are_those_of_the_checked_picture(tmp_path: Path) -> None:
    from PIL import Image

    image = picture(view_at(COPY_ON_WRITE), (1280, 720), Painter(THEMES["dark"]))
    image = image.crop((0, 0, 430, 282))
    if os.environ.get("VANTAGE_GOLDENS") == "write":
        image.save(GOLDENS / "walk.png", optimize=True)
    with Image.open(GOLDENS / "walk.png") as golden:
        image.save(tmp_path / "actual.png")
        assert differing(image, golden) <= 0.005, f"see {tmp_path / 'actual.png'}"


def test_the_comparer_sees_a_rectangle_that_has_moved() -> None:
    painter = Painter(THEMES["dark"])
    commands = compose(view_at(COPY_ON_WRITE), 1280, 720)
    biggest = max(
        (c for c in commands if isinstance(c, Box) and c.fill == "orange"), key=lambda c: c.w * c.h
    )
    moved = Box(biggest.x + 9, biggest.y + 9, biggest.w, biggest.h, biggest.fill)
    images = []
    from PIL import Image

    for row in (commands, [moved if c is biggest else c for c in commands]):
        surface = painter.surface(1280, 720)
        painter.paint(surface, row)
        pixels = painter.pygame.image.tobytes(surface, "RGB")
        images.append(Image.frombytes("RGB", (1280, 720), pixels))
    assert differing(images[0], images[0]) == 0
    assert differing(images[0], images[1]) > 0.0005
