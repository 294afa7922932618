"""Pausing, stepping and inspecting do not change what a machine does.  Also the channel between
the panel and the machine."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.panel import commands
from hw.panel.layout import describe
from hw.panel.machine import windows
from hw.panel.model.history import History
from hw.panel.polling import poll
from hw.panel.session import Session
from hw.panel.user import showing
from hw.trace import Trace
from kernel import checkpoint, turns
from kernel.boot import Config, boot, spawn, trace_header
from kernel.kernel import Kernel
from kernel.task.process import Process
from tests.hw.panel.recordings import drawn
from userland import again, live
from userland import exec as exec_command
from userland.live import Link
from userland.programs import built_in, read_program

WORDS = ["step", "pause", "resume"]
INSIDE = ("instruction", "store", "page")
"""Kinds of records that a window has and a run does not have."""


class Attended(Link):
    """A link that passes its machine to `at_rest` whenever the machine is paused."""

    at_rest: Callable[[], None]

    def wait(self, kernel: Kernel) -> None:
        while self.stop_at is not None and kernel.taken >= self.stop_at:
            self.at_rest()


def booted(name: str, path: Path) -> tuple[Kernel, Process, Attended, list[bytes]]:
    output: list[bytes] = []
    kernel = boot(Config(), built_in(), output.append)
    sink = path.open("wb")
    trace = Trace(trace_header(kernel), sink)
    kernel.machine.attach_trace(trace)
    process = spawn(kernel, read_program(name), [name.encode()], [], Config().user)
    return kernel, process, Attended(trace, sink), output


def ended(name: str, path: Path, words: list[str], *, looking: bool) -> tuple[str, bytes, bytes]:
    """Run a program to its end.  At each pause, obey the next word and inspect the machine.

    Returns the digest, the output and the whole state.
    """
    kernel, process, link, output = booted(name, path)
    rest, seen = list(words), []

    def at_rest() -> None:
        if looking:
            seen.append(look(path))
        link.obey(rest.pop(0) if rest else "resume", kernel.taken)

    link.at_rest = at_rest
    if words:
        link.stop_at = 3
    link.run(kernel, process)
    state = checkpoint.save(kernel)
    assert link.trace is not None
    assert link.sink is not None
    link.trace.close()
    link.sink.close()
    assert bool(seen) == (looking and bool(words))
    return link.trace.digest(), b"".join(output), state


def look(path: Path) -> int:
    """What a panel does: read all records, move to and fro in them, draw."""
    history = History(path)
    session = Session(history, live=True)
    while poll(session):
        pass
    for key in ("F", "Y", "E", "home", "end", "3", "return", "p", "m", "e"):
        commands.press(session, key, key if len(key) == 1 else "")
        drawn(session)
    history.close()
    return history.scanned


@pytest.mark.parametrize("name", ["cow", "threads"])
def test_looking_and_pausing_change_nothing(tmp_path: Path, name: str) -> None:
    plain = ended(name, tmp_path / "a", [], looking=False)
    paused = ended(name, tmp_path / "b", ["step"] * 40, looking=False)
    looked_at = ended(name, tmp_path / "c", ["step"] * 6 + ["pause", "step"], looking=True)
    assert plain[:2] == paused[:2] == looked_at[:2]
    assert plain[2] == paused[2] == looked_at[2], "the state, byte by byte"


@given(st.lists(st.sampled_from(WORDS), max_size=20))
@settings(max_examples=12)
def test_no_sequence_of_commands_changes_the_run(
    tmp_path_factory: pytest.TempPathFactory, words: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("live")
    plain = ended("hello", folder / "a", [], looking=False)
    assert ended("hello", folder / "b", ["pause", *words], looking=False) == plain


def test_a_paused_machines_records_can_be_read(tmp_path: Path) -> None:
    kernel, process, link, _ = booted("cow", tmp_path / "t")
    stops = []

    def at_rest() -> None:
        stops.append(look(tmp_path / "t"))
        link.obey("step" if len(stops) < 10 else "resume", kernel.taken)

    link.at_rest = at_rest
    link.stop_at = 1
    link.run(kernel, process)
    assert link.sink is not None
    link.sink.close()
    assert stops[0] > 0
    assert stops[:10] == sorted(set(stops[:10])), "each trap brings records"


def test_a_session_that_follows_keeps_up_and_stops_at_a_breakpoint(tmp_path: Path) -> None:
    kernel, process, link, _ = booted("cow", tmp_path / "t")
    words: list[str] = []
    link.flush()
    session = Session(History(tmp_path / "t"), live=True, send=words.append)
    session.breakpoints = ["fault && write && space==2"]
    turns.run(kernel, lambda: process.zombie)
    link.flush()
    while poll(session) and not session.message:
        pass
    assert session.message == "a breakpoint is met"
    assert words == ["pause"]
    assert session.mode.startswith("HISTORY (-")
    commands.press(session, "end")
    assert session.mode == "LIVE PAUSED"
    commands.press(session, "space", " ")
    commands.press(session, "y", "y")
    assert words == ["pause", "resume", "step"]
    assert link.trace is not None
    assert link.sink is not None
    link.trace.close()
    link.sink.close()
    while session.live:
        poll(session)
    assert session.mode in ("REPLAY", "HISTORY (-0, End = live)")
    session.history.close()


# Windows ------------------------------------------------------------------------------------------


def linked(name: str, path: Path) -> tuple[Session, Link, Kernel]:
    """A run to its end, with a session that asks its machine directly."""
    kernel, process, link, _ = booted(name, path)
    link.path = path
    link.run(kernel, process)
    link.flush()
    session = Session(History(path), live=True)
    session.send = lambda word: link.obey(word, kernel.taken)
    while poll(session):
        pass
    return session, link, kernel


def close(session: Session, link: Link) -> None:
    windows.leave(session)
    session.history.close()
    assert link.sink is not None
    link.sink.close()


def test_a_window_has_every_instruction_and_the_runs_records(tmp_path: Path) -> None:
    session, link, _ = linked("cow", tmp_path / "t")
    for fault in (3, 12, 20):
        marks = session.history.tracks.marks["fault"]
        session.history.seek(marks[fault] + 1)
        commands.press(session, "s", "s")
        assert poll(session)
        assert session.mode.startswith("WINDOW")
        window, outer = session.history, session.outer
        assert outer is not None
        first = window.file.header["window"]["first"]
        others = [
            window.record(n)
            for n in range(window.scanned)
            if window.record(n).kind.name not in INSIDE
        ]
        assert [(r.kind.name, r.values) for r in others] == [
            (outer.record(first + n).kind.name, outer.record(first + n).values)
            for n in range(len(others))
        ]
        assert window.last is not None
        assert window.last.kind.name == "instruction"
        commands.press(session, "escape")
        assert session.outer is None
        assert session.history.position == marks[fault] + 1
    assert not list(tmp_path.glob("window-*"))
    close(session, link)


def test_instructions_forward_and_back_are_the_programs_own(tmp_path: Path) -> None:
    session, link, _ = linked("cow", tmp_path / "t")
    commands.press(session, "Y", "Y")
    commands.press(session, "Y", "Y")
    commands.press(session, "s", "s")
    assert poll(session)
    rips = []
    for _ in range(12):
        state = session.history.state
        rips.append(state.registers[0]["rip"])
        commands.press(session, "s", "s")
    about = session.history.about
    for rip, following in itertools.pairwise(rips):
        (instruction, *_) = about.disassemble(rip, 1) or (None,)
        if instruction and not instruction.text.startswith(("j", "call", "ret", "syscall")):
            assert following == rip + len(instruction.code)
    for rip in reversed(rips):
        commands.press(session, "S", "S")
        assert session.history.state.registers[0]["rip"] == rip
    assert "== CPU ==" in "\n".join(describe(showing.view(session), ["cpu"]))
    close(session, link)


def test_back_from_a_call_is_the_instruction_that_made_it(tmp_path: Path) -> None:
    session, link, _ = linked("cow", tmp_path / "t")
    commands.press(session, "Y", "Y")
    commands.press(session, "Y", "Y")
    last = session.history.last
    assert last is not None
    call = last["rip"] if last.kind.name == "syscall" else None
    commands.press(session, "S", "S")
    assert poll(session)
    assert call in (None, session.history.state.registers[0]["rip"])
    close(session, link)


def test_stores_of_a_window_lead_to_the_memory_that_the_machine_has(tmp_path: Path) -> None:
    """Page by page, the window's records add up to the memory that another execution finds."""
    session, link, _ = linked("cow", tmp_path / "t")
    session.history.seek(session.history.tracks.marks["fault"][12] + 1)
    commands.press(session, "s", "s")
    assert poll(session)
    window = session.history
    kinds = [window.record(number).kind.name for number in range(window.scanned)]
    assert kinds.count("store") > 100
    first = window.file.header["window"]["first"]
    others = [number for number, kind in enumerate(kinds) if kind not in INSIDE]
    window.seek(others[-1])
    user = [pfn for pfn, frame in window.state.frames.items() if frame.owner == 3]
    assert len(user) > 8
    known = {pfn: content for pfn, content in window.state.memory.items() if pfn in user}
    window.seek(0)
    assert known == held_after(link, first + len(others), list(known))
    assert window.state.memory != known, "and back again"
    close(session, link)


def held_after(link: Link, place: int, pfns: list[int]) -> dict[int, bytes]:
    """The contents of frames after a number of records, in a run from the very start."""
    kernel = checkpoint.load(link.past.checkpoints[0][1], lambda data: None)
    run, memory = kernel.machine.trace, kernel.machine.memory
    held: dict[int, bytes] = {}
    assert run is not None

    def take(*_: object) -> None:
        if run.total == place:
            held.update({pfn: memory.read(pfn << 12, 4096) for pfn in pfns})

    run.observer = take
    turns.run_until(kernel, lambda: bool(held))
    return held


@pytest.mark.parametrize("name", ["cow", "threads"])
def test_memory_of_a_moment_is_what_the_machine_held_then(tmp_path: Path, name: str) -> None:
    session, link, _ = linked(name, tmp_path / "t")
    history = session.history
    session.chosen = "memory"
    session.zoomed = True
    for fault in (4, 13):
        history.seek(history.tracks.marks["fault"][fault] + 1)
        poll(session)
        assert poll(session)
        now = showing.view(session).pages.now
        assert sorted(now) == showing.frames_in_view(session) != []
        assert dict(now) == held_after(link, history.position, list(now))
    assert not list(tmp_path.glob("memory-*"))
    assert "executes this stretch" not in "\n".join(describe(showing.view(session), ["memory"]))
    close(session, link)


def test_a_window_gives_the_runs_input_again(tmp_path: Path) -> None:
    """Without its input, a part of the run could not be executed again."""
    path = tmp_path / "t"
    kernel, process, link, _ = booted("cat", path)
    kernel.machine.console.source = iter([b"one\n", b"two\n", b""]).__next__
    link.path = path
    link.run(kernel, process)
    link.flush()
    session = Session(History(path), live=True, chosen="memory", zoomed=True)
    session.send = lambda word: link.obey(word, kernel.taken)
    while poll(session):
        pass
    session.history.seek(session.history.tracks.marks["output"][-1])
    poll(session)
    assert poll(session)
    assert showing.view(session).pages.now
    close(session, link)


def test_a_window_of_a_long_computation_ends_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(again, "WINDOW_INSTRUCTIONS", 300)
    session, link, _ = linked("sieve", tmp_path / "t")
    marks = session.history.tracks.marks["fault"]
    session.history.seek(marks[-1] + 1)
    commands.press(session, "s", "s")
    assert poll(session)
    assert 300 <= len(session.history.tracks.marks["instruction"]) <= 302
    assert "too many instructions" in session.message
    close(session, link)


def test_without_a_machine_a_step_is_a_record_and_says_so(tmp_path: Path) -> None:
    _, _, link, _ = booted("hello", tmp_path / "t")
    link.flush()
    session = Session(History(tmp_path / "t"))
    session.history.scan_all()
    commands.press(session, "s", "s")
    assert session.history.position == 1
    assert "moved by a record: this needs a machine" in session.message
    close(session, link)


PANEL = """
import sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from hw.parts import PartedFile
print("step\\nstep\\nnonsense\\nresume", flush=True)
path = Path(sys.argv[-1] if sys.argv[-1] != "--paused" else sys.argv[-2])
end = time.monotonic() + 30
while time.monotonic() < end:
    if path.exists() and PartedFile(path).read()[-8:] == b"VTG-TAIL":
        break
    time.sleep(0.05)
Path(sys.argv[0]).with_suffix(".seen").write_bytes(PartedFile(path).read())
"""


def test_exec_opens_the_panel_obeys_it_and_waits_until_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    script = tmp_path / "panel.py"
    script.write_text(PANEL.format(root=str(live.RUN.parent)))
    monkeypatch.setattr(live, "RUN", script)
    monkeypatch.setattr(live, "has_display", lambda: True)
    monkeypatch.chdir(tmp_path)
    assert exec_command.main(["--panel", "--paused", "hello", "you"]) == 0
    assert "you" in capfd.readouterr().out
    seen = script.with_suffix(".seen")
    with_panel = History(seen)
    with_panel.scan_all()
    assert exec_command.main(["--trace", str(tmp_path / "plain"), "hello", "you"]) == 0
    plain = History(tmp_path / "plain")
    assert with_panel.digest == plain.digest != ""
    with_panel.close()
    plain.close()


if shutil.which("Xvfb") and shutil.which("xdotool"):
    import os
    import subprocess
    import time

    def test_a_real_window_takes_real_keys(tmp_path: Path) -> None:
        """Where an X server is installed: three calls on, one switch back, a picture, quit."""
        reading, writing = os.pipe()
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x760x24"],
            pass_fds=[writing],
            stderr=subprocess.DEVNULL,
        )
        os.close(writing)
        with os.fdopen(reading) as pipe:
            display = f":{pipe.readline().strip()}"
        settings = {**os.environ, "DISPLAY": display, "VANTAGE_ENV": "active"}
        settings.pop("SDL_VIDEODRIVER", None)
        trace = tmp_path / "t.vtrace"
        assert exec_command.main(["--trace", str(trace), "cow"]) == 0
        command = [sys.executable, str(live.RUN), "panel", "replay", str(trace)]
        panel = subprocess.Popen(command, env=settings, cwd=tmp_path)

        def press(*keys: str) -> None:
            for key in keys:
                subprocess.run(["xdotool", "key", key], env=settings, check=True)
                time.sleep(0.1)

        try:
            windows = ["xdotool", "search", "--onlyvisible", "--class", "", "getwindowname", "%@"]
            end = time.monotonic() + 60
            while (
                b"Vantage" not in subprocess.run(windows, env=settings, capture_output=True).stdout
            ):
                assert time.monotonic() < end
                assert panel.poll() is None
                time.sleep(0.2)
            time.sleep(0.5)
            press("w", "y", "y", "y", "W", "x")
            while not list(tmp_path.glob("vantage-*.png")):
                assert time.monotonic() < end
                time.sleep(0.1)
            press("q")
            assert panel.wait(30) == 0
        finally:
            panel.kill()
            panel.wait()
            server.terminate()
            server.wait()
        history = History(trace)
        history.scan_all()
        switch = history.tracks.marks["switch"][0] + 1
        assert (tmp_path / f"vantage-{switch}.png").exists()
        history.close()
