"""Resuming a run at an earlier moment: the run ends as if nobody had gone back, and its trace is
that of one run."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import parts
from hw.host import wait_a_little
from hw.panel import commands
from hw.panel.model import history as history_module
from hw.panel.model.history import SEGMENT, Cap, History
from hw.panel.polling import poll
from hw.panel.session import Session
from hw.parts import PartedFile
from hw.trace import Trace
from kernel import turns
from kernel.boot import Config, boot, spawn, trace_header
from kernel.kernel import Kernel
from kernel.task.process import Process
from tests.hw.panel.recordings import drawn
from userland import again, live
from userland.live import Link
from userland.programs import built_in, read_program


class Run:
    """A program that runs in a separate thread, with a session beside it."""

    def __init__(
        self,
        name: str,
        path: Path,
        source: Callable[[], bytes] | None = None,
        cap: Cap | None = None,
    ) -> None:
        """With a cap, only the session reads the trace, and forgets."""
        self.output: list[bytes] = []
        kernel = boot(Config(), built_in(), self.output.append, source)
        if cap is not None:
            path.mkdir()
        self.sink = PartedFile(path) if cap is not None else path.open("wb")
        trace = Trace(trace_header(kernel), self.sink)
        kernel.machine.attach_trace(trace)
        process = spawn(kernel, read_program(name), [name.encode()], [], Config().user)
        self.link = Link(trace, self.sink, stop_at=0, path=path, attended=True)
        self.link.is_scratch, self.link.seen = cap is not None, None if cap is None else 0
        self.link.kernel = kernel
        self.thread = threading.Thread(target=self._work, args=(kernel, process))
        trace.flush()
        self.sink.flush()
        self.session = Session(History(path, cap=cap), live=True, machine_paused=True)
        self.session.send = lambda word: self.link.obey(word, self.link.kernel.taken)

    def _work(self, kernel: Kernel, process: Process) -> None:
        self.ended = self.link.run(kernel, process)

    def wait(self, until: Callable[[], bool]) -> None:
        """Poll as a window does."""
        while not until():
            poll(self.session)
            wait_a_little()

    def to_the_end(self) -> None:
        commands.press(self.session, "end")
        if self.session.machine_paused:
            commands.press(self.session, "space", " ")
        self.wait(lambda: not self.session.live)

    def back_to(self, place: int) -> None:
        """Press r and Enter."""
        self.session.history.seek(place)
        commands.press(self.session, "r", "r")
        assert self.session.over == "resume"
        commands.press(self.session, "return")
        self.wait(lambda: self.session.frozen is None)


@contextmanager
def running(
    name: str,
    path: Path,
    source: Callable[[], bytes] | None = None,
    cap: Cap | None = None,
) -> Iterator[Run]:
    run = Run(name, path, source, cap)
    run.thread.start()
    try:
        yield run
    finally:
        run.link.obey("closed", 0)
        run.thread.join()
        run.session.history.close()
        run.sink.close()


def held(kernel: Kernel) -> object:
    """The machine's state: cores, devices, and every frame in use."""
    memory = kernel.machine.memory
    return kernel.machine.state, {
        p: memory.read(p << 12, 4096) for p in kernel.memory.frames.used()
    }


def plain(name: str, path: Path) -> tuple[str, bytes, object]:
    """The digest, the output and the last state of the same run without a session."""
    output: list[bytes] = []
    kernel = boot(Config(), built_in(), output.append)
    with path.open("wb") as sink:
        trace = Trace(trace_header(kernel), sink)
        kernel.machine.attach_trace(trace)
        process = spawn(kernel, read_program(name), [name.encode()], [], Config().user)
        turns.run_until(kernel, lambda: process.zombie)
        state = held(kernel)
        trace.close()
    return trace.digest(), b"".join(output), state


def test_a_run_goes_back_within_what_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interval = 16 * SEGMENT
    monkeypatch.setattr(parts, "PART_BYTES", 4096)
    monkeypatch.setattr(history_module, "KEYFRAME_SEGMENTS", interval // SEGMENT)
    monkeypatch.setattr(live, "CHECKPOINT_TRAPS", 500)
    digest, _, state = plain("pingpong", tmp_path / "plain")
    with running("pingpong", tmp_path / "t", cap=Cap(interval, 1 << 30)) as run:
        run.to_the_end()
        oldest, total = run.session.history.oldest, run.session.history.scanned
        assert oldest >= interval
        assert not (tmp_path / "t" / "0").exists()
        for place in (oldest + interval + 100, oldest + 1):
            run.back_to(place)
            assert place <= run.session.history.scanned < total
            assert run.session.history.oldest == oldest
            run.session.history.back()
            run.to_the_end()
            assert run.session.history.scanned == total
            assert held(run.link.kernel) == state
            assert run.link.trace is not None
            assert run.link.trace.digest() == digest


@pytest.mark.parametrize("name", ["cow", "threads"])
def test_a_run_that_goes_on_from_the_middle_ends_as_it_would_have(
    tmp_path: Path, name: str
) -> None:
    digest, output, state = plain(name, tmp_path / "plain")
    with running(name, tmp_path / "t") as run:
        run.to_the_end()
        total = run.session.history.scanned
        place = total // 2
        commands.press(run.session, "3", "3")
        run.back_to(place)
        assert run.session.mode == "LIVE PAUSED"
        assert run.session.chosen == "tlb", "how the user looks at it stays"
        assert place <= run.session.history.scanned < total
        assert run.session.history.scanned == run.session.history.position
        run.to_the_end()
        assert run.session.history.scanned == total
        assert run.session.history.digest == digest
        assert held(run.link.kernel) == state
        written = b"".join(run.output)
        assert written.startswith(output)
        assert output.endswith(written[len(output) :]), "the rest of it once more"
    assert run.ended.exit_status == 0
    assert not list(tmp_path.glob("back-*"))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=4))
@settings(max_examples=8, deadline=None)
def test_a_run_may_go_back_anywhere_and_any_number_of_times(
    tmp_path_factory: pytest.TempPathFactory, shares: list[float]
) -> None:
    folder = tmp_path_factory.mktemp("back")
    digest, _, state = plain("hello", folder / "plain")
    with running("hello", folder / "t") as run:
        for share in shares:
            run.to_the_end()
            history = run.session.history
            run.back_to(min(history.scanned - 1, int(share * history.scanned)))
        run.to_the_end()
        assert run.session.history.digest == digest
        assert held(run.link.kernel) == state


def test_a_resumed_run_reads_again_what_the_dropped_part_read_from_a_pipe(tmp_path: Path) -> None:
    data = itertools.chain([b"one\n", b"two\n"], itertools.repeat(b""))
    with running("cat", tmp_path / "t", data.__next__) as run:
        run.to_the_end()
        history = run.session.history
        inputs = [
            n for n in range(history.scanned) if history.record(n).kind.name == "console_input"
        ]
        assert len(inputs) == 3
        run.back_to(inputs[0] - 2)
        run.to_the_end()
    assert b"".join(run.output) == b"one\ntwo\none\ntwo\n"


def test_going_on_needs_a_machine_and_later_records(tmp_path: Path) -> None:
    with running("hello", tmp_path / "t") as run:
        run.to_the_end()
        commands.press(run.session, "end")
        commands.press(run.session, "r", "r")
        assert "Space runs it" in run.session.message
        run.session.history.seek(3)
        commands.press(run.session, "r", "r")
        commands.press(run.session, "escape")
        assert (run.session.over, run.session.frozen) == ("", None)
        run.session.send = None
        commands.press(run.session, "r", "r")
        assert "needs a machine" in run.session.message


def test_the_file_is_not_read_while_it_is_cut(tmp_path: Path) -> None:
    """The picture stays until the machine has gone back.  Meanwhile only closing works."""
    with running("cow", tmp_path / "t") as run:
        run.to_the_end()
        send, run.session.send = run.session.send, lambda word: None
        run.session.history.seek(200)
        commands.press(run.session, "r", "r")
        commands.press(run.session, "return")
        picture = drawn(run.session)
        for key in ("e", "E", "home", "d", "w"):
            commands.press(run.session, key, key)
        assert not poll(run.session)
        assert drawn(run.session) == picture
        assert run.session.history.position == 200
        run.session.send = send
        commands.press(run.session, "q", "q")
        assert run.session.closed


def test_checkpoints_are_thinned_by_number_and_by_size_and_the_first_and_last_stay() -> None:
    many = again.Past()
    for number in range(1_000):
        many.checkpoints.append((number, bytes(10)))
        many.thin(64, 1 << 20)
        assert len(many.checkpoints) <= 64
        assert (many.checkpoints[0][0], many.checkpoints[-1][0]) == (0, number)
    places = [place for place, _ in many.checkpoints]
    assert places == sorted(set(places))
    assert max(b - a for a, b in itertools.pairwise(places)) <= 64
    large = again.Past()
    for number in range(100):
        large.checkpoints.append((number, bytes(1_000)))
        large.thin(64, 10_000)
        assert sum(len(data) for _, data in large.checkpoints) <= 12_000
    assert (large.checkpoints[0][0], large.checkpoints[-1][0]) == (0, 99)
