"""What the front panel costs: drawing, moving in a trace, and running beside a machine."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from hw.trace import Trace
from kernel.boot import Config, boot, record, spawn, trace_header
from tests.bench import guest
from tests.bench.measure import Load, Missing, Reading, best, clock, speed, timed
from userland.live import RUN, Link
from userland.programs import read_program

MILLI = 1e3
SIZE = (1280, 720)
FORKS = 9_500
"""This many forks give a trace of a million records."""
IDLE_SECONDS = 2


@contextmanager
def recorded(load: Load) -> Iterator[Path]:
    """The trace of a run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.vtrace"
        load.time_recorded(str(path))
        yield path


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[int(share * (len(times) - 1))]


def redraw() -> Reading:
    """The 95th percentile of redrawing the whole window, in milliseconds."""
    return _drawing(whole=True)


def step() -> Reading:
    """The same for a step and the parts that it changes: one frame while a program runs."""
    return _drawing(whole=False)


def _drawing(*, whole: bool) -> Reading:
    try:
        from hw.panel.window import Window
    except ImportError as error:
        raise Missing(f"the panel's packages are not here: {error}") from error
    from hw.panel.model.history import History
    from hw.panel.session import Session

    times = []
    with recorded(Load(read_program("forks"))) as path:
        history = History(path)
        history.scan_all()
        history.seek(history.scanned // 3)
        window = Window(Session(history, size=SIZE), folder=path.parent, visible=False)
        for _ in range(200):
            history.seek(history.position + 5)
            if whole:
                window.painted.clear()
            times.append(timed(window.paint))
        window.pygame.display.quit()
        history.close()
    return Reading(percentile(times[10:], 0.95) * MILLI)


def seek() -> Reading:
    """The worst of 30 jumps in a trace of a million records, in milliseconds."""
    return _moving(lambda history, number: history.seek(number))


def back() -> Reading:
    """The worst of 3,000 steps back in it."""

    def many_steps(history: object, number: int) -> None:
        assert hasattr(history, "back")
        history.back()

    return _moving(many_steps, jumps=3_000)


def _moving(move: Callable[..., None], jumps: int = 30) -> Reading:
    from hw.panel.model.history import History

    chance = random.Random(1)
    with recorded(Load(guest.fork_program(FORKS))) as path:
        history = History(path)
        history.scan_all()
        history.seek(history.scanned // 2)
        numbers = [chance.randrange(history.scanned) for _ in range(jumps)]
        times = [timed(lambda number=number: move(history, number)) for number in numbers]  # type: ignore[misc]
        history.close()
    return Reading(max(times) * MILLI)


def beside(program: str, *arguments: object, panel: bool = False) -> Reading:
    """The cost of a recording that can be stopped and is flushed for a panel, beside a plain one.

    With `panel`, a panel's process also reads the recording and draws it.
    """
    load = Load(read_program(program), arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.vtrace"

        def linked() -> float:
            path.unlink(missing_ok=True)
            return _linked(load, path, panel=panel)

        found = best(5, linked, lambda: load.time_recorded(str(path.with_suffix(".alone"))))
    return speed(*(seconds * MILLI for seconds in found))


def _linked(load: Load, path: Path, *, panel: bool) -> float:
    kernel = boot(Config(load.machine), {}, lambda _: None)
    with path.open("wb") as sink:
        trace = Trace(trace_header(kernel), sink)
        record(kernel, trace)
        process = spawn(kernel, load.program, load.words(), [], Config().user)
        link = Link(trace, sink)

        def work() -> None:
            link.run(kernel, process)
            trace.close()

        trace.flush()
        sink.flush()
        with _panel_on(path) if panel else nullcontext():
            return timed(work)


@contextmanager
def _panel_on(path: Path) -> Iterator[None]:
    """A panel's process that follows a trace and draws without a display.  It has the other
    processor.  Only the machine's time is measured."""
    settings = {**os.environ, "SDL_VIDEODRIVER": "dummy", "VANTAGE_ENV": "active"}
    command = [sys.executable, str(RUN), "panel", "replay", "--live", "--captions", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=settings)
    assert process.stdout is not None
    if not process.stdout.readline():
        raise Missing("the panel's packages are not here")
    reader = threading.Thread(target=process.stdout.read, daemon=True)
    reader.start()
    try:
        yield
    finally:
        process.terminate()
        process.wait()
        reader.join()
        process.stdout.close()


def idle() -> Reading:
    """The share of a processor that the window takes while its machine is paused."""
    with _following() as window:
        before, begun = clock(), time.perf_counter()
        while time.perf_counter() - begun < IDLE_SECONDS:
            if window.turn():
                window.paint()
        used, seconds = clock() - before, time.perf_counter() - begun
    return Reading(used / seconds)


@contextmanager
def _following() -> Iterator[Any]:
    """A window on a trace that may grow, but does not."""
    try:
        from hw.panel.window import Window
    except ImportError as error:
        raise Missing(f"the panel's packages are not here: {error}") from error
    from hw.panel.model.history import History
    from hw.panel.session import Session

    with recorded(Load(read_program("forks"))) as path:
        path.write_bytes(path.read_bytes()[:-16])
        history = History(path)
        history.scan_all()
        history.seek(history.scanned)
        session = Session(history, size=SIZE, live=True, machine_paused=True)
        window = Window(session, folder=path.parent, visible=False)
        window.turn()
        window.paint()
        yield window
        window.pygame.display.quit()
        history.close()


ROWS: list[tuple[str, str, str, str, Callable[[], Reading]]] = [
    (
        "panel/redraw",
        "ms",
        "<= 16 ms",
        "Drawing all panels anew at 1280x720, 95th percentile; the view, its draw commands, text.",
        redraw,
    ),
    (
        "panel/step",
        "ms",
        "<= 16 ms",
        "A step of five records and painting what it changed, 95th percentile: 60 frames a second.",
        step,
    ),
    (
        "panel/seek",
        "ms",
        "<= 100 ms",
        "The worst of 30 jumps in a trace of a million records.",
        seek,
    ),
    (
        "panel/back",
        "ms",
        "<= 5 ms",
        "The worst of 3,000 steps back in it.",
        back,
    ),
    (
        "panel/linked-compute",
        "ms",
        ">= 0.95",
        "A sieve that a panel could pause and read, against the same recording alone.",
        lambda: beside("sieve", 2_000_000),
    ),
    (
        "panel/linked-traps",
        "ms",
        ">= 0.8",
        "The same for a loop of null calls.",
        lambda: beside("nullcall", 100_000),
    ),
    (
        "panel/beside-compute",
        "ms",
        ">= 0.95",
        "The sieve with a panel's process that follows it and draws; the machine's processor time.",
        lambda: beside("sieve", 2_000_000, panel=True),
    ),
    (
        "panel/beside-traps",
        "ms",
        ">= 0.8",
        "The same for the loop of null calls.",
        lambda: beside("nullcall", 100_000, panel=True),
    ),
    (
        "panel/idle",
        "share",
        "<= 0.02 share",
        "Processor time of a window beside a machine that stands still.",
        idle,
    ),
]
