"""The commands without a window: what they write, and what they say when they fail."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import hw.panel
from hw.host import UserError
from hw.panel import command, commands
from hw.panel.layout import PANELS
from hw.panel.model.places import position_of
from hw.panel.picture.draw import Text
from hw.panel.picture.theme import THEMES
from hw.panel.session import Session
from hw.panel.user.scenes import read_scenes
from hw.trace import KINDS, Trace, TraceFile
from kernel.boot import Config
from labs.claim import Options
from labs.demo import every_demo
from tests.hw.panel.recordings import closing, drawn, folder, opened, record

__all__ = ["closing", "folder"]
TRACE = Path(__file__).parent / "cow.vtrace"
SCENES = sorted(Path(hw.panel.__file__).with_name("scenes").glob("*.json"))


def test_a_shot_is_a_picture_of_the_requested_size(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "x.png"
    for size in ("1280x720", "1920x1080"):
        command.main(["shot", str(TRACE), "--at", "50%", "--size", size, "-o", str(path)])
        with Image.open(path) as image:
            assert f"{image.width}x{image.height}" == size
            assert len(image.getcolors(1 << 24) or []) > 50
            assert image.info["Trace"] == opened(TRACE).digest


NAMES = ("name", "path", "text", "operation")
"""Fields of records whose text comes from a program."""


def renamed(path: Path, name: str) -> Path:
    """The recording of cow, in which every file and thread has another name in its records."""
    with TraceFile(TRACE) as old, path.open("wb") as sink:
        header = {key: value for key, value in old.header.items() if key != "kinds"}
        port = Trace(header, sink)
        for record in old:
            port.core, port.cycles = record.core, record.cycles
            fields = zip(record.kind.fields, record.values, strict=True)
            port.emit(
                KINDS[record.kind.name],
                *[name.encode() if field in NAMES and value else value for field, value in fields],
            )
        port.close()
    return path


@pytest.mark.parametrize("words", [["captions"], ["text", "--at", "50%"], ["text", "--at", "end"]])
def test_a_name_in_a_trace_is_no_command_to_the_terminal_that_shows_it(
    words: list[str], tmp_path: Path, capsys: Any
) -> None:
    path = renamed(tmp_path / "\x1b[31m.vtrace", "ev\x1b]0;il\x07\nT1 ended.\u202e\x9b2J")
    command.main([words[0], str(path), *words[1:]])
    shown = capsys.readouterr().out
    assert "\\x1b]0;il" in shown
    assert not set(shown) & set("\x1b\x07\x9b\u202e")
    assert "T1 ended.\\" not in shown.replace("\\nT1 ended.", ""), "a newline forged a line"


@pytest.mark.parametrize("words", [["captions"], ["text", "--at", "50%"]])
def test_what_is_told_of_a_cut_trace_says_that_it_is_cut(
    words: list[str], tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "cut.vtrace"
    for data, cut in ((TRACE.read_bytes(), False), (TRACE.read_bytes()[:-20], True)):
        path.write_bytes(data)
        assert command.main([words[0], str(path), *words[1:]]) == 0
        assert ("then the recording was cut off" in capsys.readouterr().err) == cut


@pytest.mark.parametrize("theme", THEMES)
def test_a_shot_has_the_requested_theme(tmp_path: Path, theme: str) -> None:
    from PIL import Image

    path = tmp_path / "x.png"
    command.main(["shot", str(TRACE), "--theme", theme, "-o", str(path)])
    with Image.open(path) as image:
        assert image.getpixel((1270, 530)) == THEMES[theme].colour("panel")


def test_a_film_has_a_picture_for_each_event(tmp_path: Path, capsys: Any) -> None:
    from PIL import Image

    path = tmp_path / "x.gif"
    words = ["--from", "fault:1", "--to", "fault:5", "--by", "fault", "--size", "640x360"]
    command.main(["gif", str(TRACE), *words, "-o", str(path)])
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 5
    assert "5 pictures" in capsys.readouterr().out


def test_text_says_what_the_panels_show(capsys: Any) -> None:
    command.main(["text", str(TRACE), "--at", "307"])
    text = capsys.readouterr().out
    assert "copy on write" in text
    for panel in PANELS.values():
        assert f"== {panel.heading} ==" in text
    command.main(["text", str(TRACE), "--at", "307", "--panel", "tlb"])
    assert capsys.readouterr().out.count("==") == 2


def test_check_tells_a_complete_file_from_a_truncated_one(tmp_path: Path, capsys: Any) -> None:
    assert command.main(["check", str(TRACE)]) == 0
    assert opened(TRACE).digest in capsys.readouterr().out
    (tmp_path / "cut").write_bytes(TRACE.read_bytes()[:-20])
    assert command.main(["check", str(tmp_path / "cut")]) == 1
    assert "cut off" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["shot", "nowhere.vtrace", "-o", "x.png"], "cannot read nowhere.vtrace"),
        (["shot", __file__, "-o", "x.png"], "is not a Vantage trace"),
        (["text", str(TRACE), "--at", "fault:999"], "there is no fault number 999"),
        (["text", str(TRACE), "--at", "noon"], "no place in a trace"),
        (["text", str(TRACE), "--at", "9999999"], "there is no record 9,999,999"),
        (["gif", str(TRACE), "--by", "tlb", "--from", "end", "-o", "x.gif"], "a film of 0"),
    ],
)
def test_a_request_that_fails_is_answered_with_a_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        command.main(words)


@pytest.mark.parametrize(
    ("text", "record"), [("start", 0), ("end", None), ("#5", 5), ("1,0", 10), ("100%", None)]
)
def test_places(text: str, record: int | None) -> None:
    history = opened(TRACE)
    assert position_of(history, text) == (history.scanned if record is None else record)
    assert position_of(history, "fault:1") == history.tracks.marks["fault"][0] + 1
    assert position_of(history, "switch:-1") == history.tracks.marks["switch"][-1] + 1
    fork = position_of(history, "fork:1")
    assert history.about.call_name(history.record(fork - 1)["number"]) == "fork"
    after = position_of(history, "fork:1 then fault:1")
    assert after == 1 + next(m for m in history.tracks.marks["fault"] if m >= fork)
    assert position_of(history, "run:1") == position_of(history, "switch:1")
    with pytest.raises(UserError, match="called 'spoon'"):
        position_of(history, "spoon:1")


# Scenes -------------------------------------------------------------------------------------------


def recorded_for(path: Path, folder: Path) -> Path:
    """The trace behind the scenes: of a demo under the policy in the name, or of a program."""
    name, _, policy = path.stem.partition("-")
    trace = folder / "t"
    if name in every_demo():
        every_demo()[name].run(Options(Config(vas_sync=policy or "subtree"), trace))
    else:
        record(trace, name)
    return trace


@pytest.mark.parametrize("path", SCENES, ids=lambda path: path.stem)
def test_scenes_go_on_and_back_from_end_to_end(path: Path, tmp_path: Path) -> None:
    session = Session(opened(recorded_for(path, tmp_path)), scenes=read_scenes(path))
    stood = []
    for number, scene in enumerate(session.scenes, 1):
        commands.press(session, "page down")
        assert session.message == "", scene["at"]
        assert session.said == f"{number}/{len(session.scenes)}  {scene['say']}"
        assert session.projector
        assert {scene["panel"], scene.get("beside", "maps")} <= set(PANELS)
        shown = [c.text for c in drawn(session) if isinstance(c, Text)]
        assert session.said in shown, "it fits on one line at 1280x720"
        stood.append(session.history.position)
    commands.press(session, "page down")
    assert session.history.position == stood[-1]
    commands.press(session, "page up")
    assert session.history.position == stood[-2]
    assert len(set(stood)) > len(stood) // 2
    commands.press(session, "e", "e")
    assert session.said == ""


@pytest.mark.parametrize("path", SCENES, ids=lambda path: path.stem)
def test_what_scenes_say_are_sentences(path: Path) -> None:
    for scene in read_scenes(path):
        assert re.fullmatch(r"(vas_|mmap|fork|[A-Z]).{20,}[a-z0-9A-Z]\.", scene["say"]), scene[
            "say"
        ]


def test_every_demo_has_scenes() -> None:
    assert set(every_demo()) <= {path.stem for path in SCENES}


def test_scenes_that_make_no_sense_are_refused_in_a_sentence(tmp_path: Path) -> None:
    for text in ("{", "{}", "[1]", '[{"pannel": "walk"}]'):
        (tmp_path / "s.json").write_text(text)
        with pytest.raises(UserError, match="scenes"):
            read_scenes(tmp_path / "s.json")


def test_the_recipes_give_the_pictures_of_the_documentation() -> None:
    home = Path(hw.panel.__file__).parent
    recipes = json.loads((home / "gallery.json").read_text(encoding="utf-8"))
    files = {recipe["file"] for recipe in recipes}
    assert files == {path.name for path in (home / "pictures").iterdir()}
    text = (home / "README.md").read_text(encoding="utf-8")
    assert all(f"pictures/{name}" in text for name in files)
    shown = {recipe.get("panel") for recipe in recipes}
    assert shown >= set(PANELS) - {"caption"}
