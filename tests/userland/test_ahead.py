"""The machine's side of a bounded history: it waits for its panel, and gives up what only served
forgotten records."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hw.host import wait_a_little
from hw.parts import PartedFile
from hw.trace import Trace
from kernel import turns
from kernel.boot import Config, boot, spawn, trace_header
from kernel.kernel import Kernel
from kernel.task.process import Process
from userland import live
from userland.again import Past
from userland.live import Link
from userland.programs import built_in, read_program

WORDS = ("switcher", "600")
AHEAD = 500
_sinks: list[PartedFile] = []


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    yield
    while _sinks:
        _sinks.pop().close()


def linked(folder: Path) -> tuple[Kernel, Process, Link]:
    """A run whose trace only a panel reads."""
    folder.mkdir()
    sink = PartedFile(folder)
    _sinks.append(sink)
    kernel = boot(Config(), built_in(), lambda data: None)
    trace = Trace(trace_header(kernel), sink)
    kernel.machine.attach_trace(trace)
    arguments = [word.encode() for word in WORDS]
    process = spawn(kernel, read_program(WORDS[0]), arguments, [], Config().user)
    return kernel, process, Link(trace, sink, path=folder, is_scratch=True, seen=0)


def digest_without_panel(folder: Path) -> str:
    kernel, process, link = linked(folder)
    turns.run(kernel, lambda: process.zombie)
    assert link.trace is not None
    return link.trace.digest()


def test_the_machine_waits_for_a_panel_that_is_behind_and_the_run_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_AHEAD", AHEAD)
    kernel, process, link = linked(tmp_path / "t")
    assert link.trace is not None
    worst, trace = 0, link.trace
    thread = threading.Thread(target=link.run, args=(kernel, process))
    thread.start()
    while not process.zombie:
        while not (process.zombie or trace.total - (link.seen or 0) > AHEAD):
            wait_a_little()
        worst = max(worst, trace.total - (link.seen or 0))
        link.obey(f"seen {trace.kept} 0", kernel.taken)
    thread.join()
    assert worst < 2 * AHEAD, "one trap has few records"
    assert trace.digest() == digest_without_panel(tmp_path / "plain")


def test_a_closed_panel_holds_nothing_up_and_its_file_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_AHEAD", AHEAD)
    kernel, process, link = linked(tmp_path / "t")
    assert link.trace is not None
    link.obey("closed", 0)
    link.run(kernel, process)
    assert process.zombie
    assert link.trace.kept < AHEAD < link.trace.total
    assert not link.past.checkpoints
    assert link.trace.digest() == digest_without_panel(tmp_path / "plain")


def test_checkpoints_go_with_the_records_that_they_serve() -> None:
    past = Past([(total, b"") for total in range(0, 1000, 100)])
    past.forget(350)
    assert [total for total, _ in past.checkpoints] == [0, *range(300, 1000, 100)]
    assert past.starts(600) == [300, 400, 500], "a search goes back no further"
    past.forget(350)
    assert [total for total, _ in past.checkpoints] == [0, *range(300, 1000, 100)]


def test_the_list_of_chunks_goes_with_the_records(tmp_path: Path) -> None:
    kernel, process, link = linked(tmp_path / "t")
    link.seen = None
    link.run(kernel, process)
    trace = link.trace
    assert trace is not None
    before = len(trace._index)
    trace.forget(trace.total // 2)
    assert 0 < len(trace._index) < before
    assert trace._index[0][1] >= trace.total // 2
