"""What the front panel costs: drawing, moving in a trace, and running beside a machine."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hw.trace import Trace
from kernel.boot import Config, boot, spawn, trace_header
from tests.bench import guest
from tests.bench.measure import Load, Missing, Reading, best, clock, speed, timed
from userland.live import Link
from userland.programs import read_program

MILLI = 1e3
SIZE = (1280, 720)
FORKS = 9_500
"""So many make a trace of a million records."""
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
    """The 95th percentile of drawing all of the window anew, in milliseconds."""
    return _drawing(whole=True)


def step() -> Reading:
    """The same for a step and what it changes: a frame while a program runs."""
    return _drawing(whole=False)


def _drawing(*, whole: bool) -> Reading:
    try:
        from hw.panel.window import Window
    except ImportError as error:
        raise Missing(f"the panel's packages are not here: {error}") from error
    from hw.panel.history import History
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
    from hw.panel.history import History

    chance = random.Random(1)
    with recorded(Load(guest.fork_program(FORKS))) as path:
        history = History(path)
        history.scan_all()
        history.seek(history.scanned // 2)
        numbers = [chance.randrange(history.scanned) for _ in range(jumps)]
        times = [timed(lambda number=number: move(history, number)) for number in numbers]  # type: ignore[misc]
        history.close()
    return Reading(max(times) * MILLI)


def beside(program: str, *arguments: object) -> Reading:
    """A recording that a panel reads along, against one that nobody reads."""
    load = Load(read_program(program), arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.vtrace"
        found = best(5, lambda: _linked(load, path), lambda: load.time_recorded(str(path)))
    return speed(*(seconds * MILLI for seconds in found))


def _linked(load: Load, path: Path) -> float:
    kernel = boot(Config(load.machine), {}, lambda _: None)
    with path.open("wb") as sink:
        trace = Trace(trace_header(kernel), sink)
        kernel.machine.attach_trace(trace)
        process = spawn(kernel, load.program, load.words(), [], Config().user)

        def work() -> None:
            Link(trace, sink).run(kernel, process)
            trace.close()

        return timed(work)


def idle() -> Reading:
    """The share of a processor that a window takes in which nothing happens."""
    from hw.panel.paint import start_pygame

    pygame = start_pygame(window=False)
    pygame.display.set_mode(SIZE)
    pygame.event.get()
    before, begun = clock(), time.perf_counter()
    while time.perf_counter() - begun < IDLE_SECONDS:
        pygame.event.wait(1000)
    used = clock() - before
    pygame.display.quit()
    return Reading(used / IDLE_SECONDS)


ROWS: list[tuple[str, str, str, str, Callable[[], Reading]]] = [
    (
        "panel/redraw", "ms", "<= 16 ms",
        "Drawing all panels anew at 1280x720, 95th percentile; the view, its draw commands, text.",
        redraw,
    ),
    (
        "panel/step", "ms", "<= 16 ms",
        "A step of five records and painting what it changed, 95th percentile: 60 frames a second.",
        step,
    ),
    (
        "panel/seek", "ms", "<= 100 ms",
        "The worst of 30 jumps in a trace of a million records.",
        seek,
    ),
    (
        "panel/back", "ms", "<= 5 ms",
        "The worst of 3,000 steps back in it.",
        back,
    ),
    (
        "panel/beside-compute", "ms", ">= 0.95",
        "A sieve whose recording is read along, against the same recording alone.",
        lambda: beside("sieve", 200_000),
    ),
    (
        "panel/beside-traps", "ms", ">= 0.8",
        "The same for a loop of null calls.",
        lambda: beside("nullcall", 100_000),
    ),
    (
        "panel/idle", "share", "<= 0.02 share",
        "Processor time of a window in which nothing happens.",
        idle,
    ),
]  # fmt: skip
