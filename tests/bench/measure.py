"""How the rows are measured: both sides in turns, several times, and the least time of each.

Noise on a shared machine only adds time, so the least of several times is the steadiest figure.
Both sides take turns, so that they meet the same noise.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from hw.machine import EXACT, MachineConfig
from hw.trace import Trace
from kernel import turns
from kernel.boot import Config, boot, record, run_to_end, spawn
from kernel.boot import trace_header as header_of
from kernel.kernel import Kernel
from tests.bench.floor import Bare

_CPU = time.get_clock_info("process_time").resolution <= 1e-6
clock: Callable[[], float] = time.process_time if _CPU else time.perf_counter
"""Processor time, if the host measures it finely enough: other processes' work does not count."""

DEFAULT = MachineConfig()

Timing = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a row measured; the row's own doc says what the ratio means."""

    value: float
    baseline: float | None = None
    ratio: float | None = None


class Missing(Exception):
    """The subject of the row is not on this host; the text names it."""


def cost(value: float, baseline: float) -> Reading:
    """The time as a multiple of the baseline's; small is good."""
    return Reading(value, baseline, value / baseline)


def speed(value: float, baseline: float) -> Reading:
    """The speed as a part of the baseline's; large is good."""
    return Reading(value, baseline, baseline / value)


def best(repeats: int, *timings: Timing) -> list[float]:
    """The least time of each, of `repeats` rounds in which they take turns."""
    least = [float("inf")] * len(timings)
    for _ in range(repeats):
        for i, timing in enumerate(timings):
            gc.collect()
            least[i] = min(least[i], timing())
    return least


def timed(work: Callable[[], object]) -> float:
    begun = clock()
    work()
    return clock() - begun


@dataclass(frozen=True, slots=True)
class Load:
    """A program to run, and the machine to run it on."""

    program: bytes
    arguments: tuple[object, ...] = ()
    machine: MachineConfig = DEFAULT
    files: tuple[tuple[bytes, bytes], ...] = ()

    def words(self) -> list[bytes]:
        return [b"bench", *(str(argument).encode() for argument in self.arguments)]

    def boot(self) -> Kernel:
        return boot(Config(self.machine), dict(self.files), lambda _: None)

    def start(self, trace_to: str | None = None) -> tuple[Kernel, Callable[[], None]]:
        """The booted system, and the work to measure: run to the end with exit status 0."""
        kernel = self.boot()
        sink = open(trace_to, "wb") if trace_to else None  # noqa: SIM115 (closed by the work)
        trace = Trace(header_of(kernel), sink) if sink else None
        if trace is not None:
            record(kernel, trace)
        process = spawn(kernel, self.program, self.words(), [], Config().user)

        def work() -> None:
            status = run_to_end(kernel, process)
            if trace is not None and sink is not None:
                trace.close()
                sink.close()
            if status:
                raise RuntimeError(f"{self.words()} ended with status {status:#x}")

        return kernel, work

    def time(self) -> float:
        """Seconds from the first instruction to the last, without booting."""
        return timed(self.start()[1])

    def time_recorded(self, path: str) -> float:
        """The same with everything recorded in a file."""
        return timed(self.start(path)[1])

    def time_bare(self, floor: type[Bare]) -> float:
        return timed(floor(self.program, self.words()).finish)


def slope(repeats: int, few: int, many: int, *families: Callable[[int], float]) -> list[float]:
    """Seconds for one more operation in each family: the costs of starting and ending cancel."""
    timings = [lambda f=f, n=n: f(n) for f in families for n in (few, many)]
    least = best(repeats, *timings)
    return [max(least[i + 1] - least[i], 1e-12) / (many - few) for i in range(0, len(least), 2)]


def settled(load: Load, instructions: int, clock_mode: str) -> tuple[float, int]:
    """Seconds from about `instructions` on to the end, and the exact count where they began.

    The clock is exact until then, so the place is known.
    """
    kernel, work = load.start()
    turns.run(kernel, lambda: kernel.machine.instructions() >= instructions)
    begun = kernel.machine.instructions()
    if clock_mode != EXACT:
        kernel.machine.config = replace(load.machine, clock=clock_mode)
        # Made here, outside the timing: the row `hello` shows what an engine costs.
        kernel.machine.core._engine(counted=False)
    return timed(work), begun
