"""A history with a cap: the oldest records go, and what is left is as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from hw import parts
from hw.host import UserError
from hw.panel import commands
from hw.panel.model import history as history_module
from hw.panel.model.history import SEGMENT, Cap, History
from hw.panel.model.places import position_of
from hw.panel.model.tracks import SORTS
from hw.panel.polling import poll
from hw.panel.session import Session
from hw.panel.words.narrator import sentence
from hw.parts import PartedFile
from hw.trace import Trace
from kernel import turns
from kernel.boot import Config, boot, spawn, trace_header
from tests.hw.panel.recordings import closing, drawn, opened
from userland.programs import built_in, read_program

__all__ = ["closing"]
INTERVAL = 16 * SEGMENT
"""Records from one keyframe to the next, here."""
CAP = Cap(2 * INTERVAL, 1 << 30)
PART = 4096


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", PART)
    monkeypatch.setattr(history_module, "KEYFRAME_SEGMENTS", INTERVAL // SEGMENT)


@contextmanager
def growing(folder: Path, words: tuple[str, ...]) -> Iterator[tuple[Path, Trace, Iterator[None]]]:
    """A run that is recorded whole and in parts; each step of the iterator records more."""
    (folder / "parts").mkdir()
    with (folder / "whole").open("wb") as whole, PartedFile(folder / "parts") as sink:
        kernel = boot(Config(), built_in(), lambda data: None)
        trace, copy = Trace(trace_header(kernel), sink), Trace(trace_header(kernel), whole)

        def observe(kind: object, values: tuple[object, ...]) -> None:
            copy.core, copy.cycles = trace.core, trace.cycles
            copy.emit(kind, *values)  # type: ignore[arg-type]

        trace.observer = observe
        kernel.machine.attach_trace(trace)
        arguments = [word.encode() for word in words]
        process = spawn(kernel, read_program(words[0]), arguments, [], Config().user)

        def is_over(end: int) -> bool:
            return process.zombie or trace.total >= end

        def steps() -> Iterator[None]:
            while not process.zombie:
                turns.run_until(kernel, partial(is_over, trace.total + 1500))
                trace.flush()
                yield
            trace.close()
            copy.close()
            whole.flush()
            yield

        trace.flush()
        yield folder / "parts", trace, steps()


PROGRAMS = (("switcher", "2200"), ("many", "130"))


@pytest.mark.parametrize("words", PROGRAMS)
def test_the_kept_moments_are_those_of_the_whole_trace(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    with growing(tmp_path, words) as (path, _, steps):
        history = History(path, cap=CAP)
        for _ in steps:
            history.scan_all()
            assert history.most <= CAP.most_records + INTERVAL
        whole = opened(tmp_path / "whole")
        assert history.scanned == whole.scanned
        assert history.oldest > 0
        for place in range(history.oldest, whole.scanned + 1, 517):
            for one in (history, whole):
                one.seek(place)
            assert history.state.shelves == whole.state.shelves
            if place > history.oldest:
                assert history.record(place - 1) == whole.record(place - 1)
                assert history.tracks.tid_at(0, place) == whole.tracks.tid_at(0, place)
                assert history.tracks.cycles_at(place) == whole.tracks.cycles_at(place)
                assert history.step()[0][-1:] == whole.step()[0][-1:]
        for sort in SORTS:
            marks = [mark for mark in whole.tracks.marks[sort] if mark >= history.oldest]
            assert list(history.tracks.marks[sort]) == marks
        history.close()


def test_the_parts_of_the_file_go_with_the_records(tmp_path: Path) -> None:
    with growing(tmp_path, PROGRAMS[0]) as (path, _, steps):
        history, sizes = History(path, cap=CAP), []
        for _ in steps:
            history.scan_all()
            sizes.append(len(list(path.iterdir())))
        assert history.oldest >= 2 * INTERVAL
        assert not (path / "0").exists()
        assert max(sizes[len(sizes) // 2 :]) <= max(sizes[: len(sizes) // 2]) + 1
        assert history.digest == "", "a digest needs all records"
        history.close()


def test_too_many_bytes_are_forgotten_as_well(tmp_path: Path) -> None:
    with growing(tmp_path, PROGRAMS[0]) as (path, _, steps):
        history = History(path, cap=Cap(1 << 40, 1))
        for _ in steps:
            history.scan_all()
        assert 0 < history.most < 3 * INTERVAL
        history.close()


def test_what_is_kept_can_be_scanned_again(tmp_path: Path) -> None:
    with growing(tmp_path, PROGRAMS[1]) as (path, _, steps):
        history = History(path, cap=CAP)
        for _ in steps:
            history.scan_all()
        whole, oldest = opened(tmp_path / "whole"), history.oldest
        history.reread()
        assert (history.oldest, history.scanned) == (oldest, whole.scanned)
        for place in (whole.scanned, oldest + INTERVAL + 3, oldest):
            for one in (history, whole):
                one.seek(place)
            assert history.state.shelves == whole.state.shelves
        history.close()


def test_the_user_is_told_once_and_a_forgotten_place_has_a_sentence(tmp_path: Path) -> None:
    with growing(tmp_path, PROGRAMS[0]) as (path, _, steps):
        lines: list[str] = []
        session = Session(History(path, cap=CAP), live=True, send=lines.append)
        said = []
        for _ in steps:
            while poll(session):
                said.append(session.message)
                session.message = ""
        assert sum("from now on the oldest records are forgotten" in words for words in said) == 1
        history = session.history
        assert f"seen {history.scanned} {history.oldest}" == lines[-1]
        commands.press(session, "home")
        assert "record 0 is forgotten" in session.message
        assert history.position == history.oldest
        assert "is forgotten" in sentence(history)
        drawn(session)
        for key in ("left", "p", "F", "W", "Y"):
            commands.press(session, key, key if len(key) == 1 else "")
            assert history.position == history.oldest
            drawn(session)
        for place in (str(history.oldest - 1), "switch:1", "sched_yield:1"):
            with pytest.raises(UserError, match="forgotten"):
                position_of(history, place)
        assert position_of(history, "switch:-1") > history.oldest
        assert position_of(history, "start") == history.oldest
        history.close()


def test_who_stands_in_what_is_forgotten_moves_on_and_is_told(tmp_path: Path) -> None:
    with growing(tmp_path, PROGRAMS[0]) as (path, _, steps):
        session = Session(History(path, cap=CAP), live=True)
        next(steps)
        poll(session)
        session.history.seek(40)
        commands.press(session, "m", "m")
        messages = set()
        for _ in steps:
            while poll(session):
                messages.add(session.message)
        assert session.history.position == session.history.oldest
        assert any("is forgotten: the history begins at record" in text for text in messages)
        assert not session.marks, "nothing is left of a marker in the forgotten part"
        session.history.close()
