"""What crossings cost: of threads, views and processes, and what making a view or a process costs.

Every figure is that of `userland/programs/crossings.c` (or `handover.c`) in one of its modes.  In
counts of the cost table it is the mean over *periods*: a period is what happens between two
records of the trace, the ends of two system calls that follow each other.  So the figure of a
switch has the way into the kernel, the work there, and all TLB refills until the next switch.  Warm
means the second half of the periods, cold the first one.  The program's own instructions are
counted, and left out of the cycles.

In host time it is the least of several runs, with nothing recorded.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from hw import costs
from hw.cpu import Core
from hw.host import UserError
from hw.machine import EXACT, MachineConfig
from hw.trace import Kind, Trace
from kernel.boot import Config, boot, run_to_end, spawn, trace_header
from kernel.calls import SYSCALL
from kernel.kernel import Kernel
from kernel.syscalls import TABLE
from kernel.task.process import Process
from kernel.trap import Traps
from userland.programs import read_program

PROGRAM = "crossings"
WORKING_SET_PAGES = 8
"""Touched after every crossing; both TLBs hold them, the code and the stack."""
MARK = "null_call"
HOST_ROUNDS = 100, 1_100
"""What starting and ending takes falls out of the difference."""
USER = costs.TABLE[costs.INSTRUCTION].name

_FINE = time.get_clock_info("process_time").resolution <= 1e-6
host_clock: Callable[[], float] = time.process_time if _FINE else time.perf_counter
"""Processor time, where the host tells it finely enough: others' work does not count."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One crossing.  A period runs from the record of `first` to the next one of `last`, with no
    other between them but `through`.  Of every `kinds` periods in a row, that of `kind` counts.

    `crossings`: how many there are in a round of the program; 0: it is timed on the host from the
    entry into `begins` to the entry into the mark behind it.

    `marked`: there are too many kinds of order to name calls.  A period runs from one mark to the
    last call before the next one, holds all rounds, and is divided by the crossings in them.
    """

    name: str
    doc: str
    mode: str
    first: str
    last: str
    numbers: tuple[int, ...] = ()
    rounds: int = 16
    crossings: int = 0
    begins: str = ""
    through: str = ""
    program: str = PROGRAM
    kinds: int = 1
    kind: int = 0
    marked: bool = False

    def words(self, rounds: int) -> list[bytes]:
        """The command line."""
        numbers = (
            (rounds, WORKING_SET_PAGES, *self.numbers) if self.program == PROGRAM else (rounds,)
        )
        words = [self.program, *self.mode.split(), *map(str, numbers)]
        return [word.encode() for word in words]


def _fork(pages: int) -> Figure:
    doc = f"the first fork of a process with {pages:,} pages written, until the parent goes on"
    return Figure(
        f"fork_{pages}",
        doc,
        mode="fork",
        first=MARK,
        last="fork",
        numbers=(pages,),
        rounds=1,
        begins="fork",
    )


FIGURES = {
    figure.name: figure
    for figure in (
        Figure(
            "null_syscall",
            "a system call that does nothing",
            mode="null",
            first=MARK,
            last=MARK,
            crossings=1,
        ),
        Figure(
            "thread_switch",
            "sched_yield to another thread of the process, its working set touched",
            mode="threads",
            first="sched_yield",
            last="sched_yield",
            crossings=2,
        ),
        Figure(
            "vas_switch",
            "vas_switch into a VAS or back home, the same working set touched",
            mode="views",
            first="vas_switch",
            last="vas_switch",
            crossings=2,
        ),
        Figure(
            "process_switch",
            "sched_yield to another process, its working set touched",
            mode="processes",
            first="sched_yield",
            last="sched_yield",
            crossings=2,
        ),
        Figure(
            "vas_create",
            "vas_create with a name of nine letters",
            mode="create",
            first=MARK,
            last="vas_create",
            begins="vas_create",
        ),
        Figure(
            "vas_create_attach",
            "vas_create, and vas_attach of the new VAS",
            mode="attach",
            first=MARK,
            last="vas_attach",
            numbers=(0,),
            begins="vas_create",
            through="vas_create",
        ),
        _fork(10),
        _fork(100),
        _fork(1000),
    )
}


@dataclass(frozen=True, slots=True)
class Sample:
    """What was counted for one crossing, by the name of the primitive."""

    warm: dict[str, float]
    cold: dict[str, float]

    @property
    def charged(self) -> dict[str, float]:
        """Warm, without the program's own instructions: what a figure in cycles is made of."""
        return {name: count for name, count in self.warm.items() if name != USER}


def start(
    figure: Figure, config: Config, rounds: int, sink: Callable[[bytes], None] = lambda _: None
) -> tuple[Kernel, Process]:
    """The system that a figure is taken of, about to run."""
    kernel = boot(config, {}, sink)
    return kernel, begin(kernel, figure, config, rounds)


def begin(kernel: Kernel, figure: Figure, config: Config, rounds: int) -> Process:
    """The program of a figure, on a system of that configuration."""
    program = read_program(figure.program)
    return spawn(kernel, program, figure.words(rounds), [], config.user)


def finish(kernel: Kernel, process: Process) -> None:
    """Run to the end, which must be a good one.  Raises UserError."""
    status = run_to_end(kernel, process)
    if status:
        words = b" ".join(process.arguments).decode()
        remedy = f"see what `python3 run.py exec {words}` says of it"
        raise UserError(f"`{words}` fails on this machine", remedy)


# In counts ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Periods:
    """Listens to the trace, and keeps what was counted in each period of a figure."""

    kernel: Kernel
    figure: Figure
    found: list[list[int]] = field(default_factory=list)
    begun: list[int] | None = None
    latest: list[int] = field(default_factory=list)

    def __call__(self, kind: Kind, values: tuple[Any, ...]) -> None:
        """A record was made."""
        if kind is not SYSCALL:
            return
        name, now = TABLE[values[1]].name, self._counts()
        if self.figure.marked:
            self._marked(name, now)
            return
        if name == self.figure.last and self.begun is not None:
            self._end(self.begun, now)
        if name == self.figure.first:
            self.begun = now
        elif name != self.figure.through:
            self.begun = None

    def _marked(self, name: str, now: list[int]) -> None:
        if name == MARK:
            if self.begun is not None and self.latest is not self.begun:
                self._end(self.begun, self.latest)
            self.begun = now
        self.latest = now

    def _end(self, begun: list[int], now: list[int]) -> None:
        self.found.append([new - old for new, old in zip(now, begun, strict=True)])

    def _counts(self) -> list[int]:
        each_core = [core.state.counts for core in self.kernel.machine.cores]
        return [sum(of_all) for of_all in zip(*each_core, strict=True)]


def counted(figure: Figure, config: Config) -> Sample:
    """The counts of one crossing; the same in every run."""
    kernel, process = start(figure, replace(config, machine=_exact(config)), figure.rounds)
    periods = Periods(kernel, figure)
    kernel.machine.attach_trace(Trace(trace_header(kernel), None, periods))
    finish(kernel, process)
    found = periods.found[figure.kind :: figure.kinds]
    each = figure.crossings * figure.rounds if figure.marked else 1
    return Sample(_mean(found[len(found) // 2 :], each), _mean(found[:1], each))


def _exact(config: Config) -> MachineConfig:
    return replace(config.machine, clock=EXACT)


def _mean(periods: list[list[int]], each: int) -> dict[str, float]:
    """By name, and only what occurs at all, with `each` crossings in a period."""
    sums = [sum(of_one) for of_one in zip(*periods, strict=True)]
    return {
        row.name: total / len(periods) / each
        for row, total in zip(costs.TABLE, sums, strict=True)
        if total
    }


# In host time -----------------------------------------------------------------------------------


@dataclass(slots=True)
class Stopwatch:
    """Stands in front of the kernel's vectors.  From each entry into the call `begins` to the next
    one into `ends` it takes the host's time, and what was counted."""

    vectors: Any
    begins: int
    ends: int
    seconds: list[float] = field(default_factory=list)
    counts: list[list[int]] = field(default_factory=list)
    begun: tuple[float, list[int]] | None = None

    def syscall(self, core: Core, number: int, *arguments: int) -> int | None:
        now = host_clock()
        if number == self.ends and self.begun is not None:
            then, counts = self.begun
            self.seconds.append(now - then)
            pairs = zip(core.state.counts, counts, strict=True)
            self.counts.append([new - old for new, old in pairs])
            self.begun = None
        if number == self.begins:
            self.begun = host_clock(), list(core.state.counts)
        answer: int | None = self.vectors.syscall(core, number, *arguments)
        return answer

    def page_fault(self, core: Core, page: int, error: int) -> int:
        answer: int = self.vectors.page_fault(core, page, error)
        return answer

    def exception(self, core: Core, vector: int, error: int, va: int) -> None:
        self.vectors.exception(core, vector, error, va)


def watched(figure: Figure, config: Config) -> Stopwatch:
    """Run it once, timed period by period: from `begins` to the mark, or from `last` to `last`."""
    kernel, process = start(figure, config, figure.rounds)
    numbers = {row.name: row.number for row in TABLE.values()}
    begins, ends = (figure.begins, MARK) if figure.begins else (figure.last, figure.last)
    watch = Stopwatch(Traps(kernel), numbers[begins], numbers[ends])
    kernel.machine.connect(watch)
    gc.collect()
    finish(kernel, process)
    return watch


def host_us(figure: Figure, config: Config, repeats: int = 3) -> float:
    """Microseconds of host time for one crossing: the least of several runs."""
    if not figure.crossings:
        return min(min(watched(figure, config).seconds) for _ in range(repeats)) * 1e6
    few, many = (
        min(whole_run(figure, config, rounds) for _ in range(repeats)) for rounds in HOST_ROUNDS
    )
    rounds = HOST_ROUNDS[1] - HOST_ROUNDS[0]
    return max(many - few, 1e-9) / rounds / figure.crossings * 1e6


def whole_run(figure: Figure, config: Config, rounds: int) -> float:
    """Seconds from the first instruction to the last."""
    kernel, process = start(figure, config, rounds)
    gc.collect()
    begun = host_clock()
    finish(kernel, process)
    return host_clock() - begun
