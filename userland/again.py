"""What a trace does not hold, by executing the run again: instructions, and what memory held.

Everything starts from a checkpoint of the run, and is given the input that the run was given;
then it goes as it went.  What is found is written in the format of a trace, for the panel to read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from hw.devices import Arrival
from hw.machine import MachineConfig
from hw.memory import PAGE_SIZE
from hw.stepping import INSTRUCTION, PAGE, STORE, Approach
from hw.trace import Kind, Trace
from kernel import checkpoint, turns
from kernel.kernel import Kernel

WINDOW_INSTRUCTIONS = 20_000
"""A window is at most so long."""
WINDOW_FRAMES = 4_096
"""So many frames are shown in a window: 16 MiB, those in use from the lowest on."""


@dataclass
class Past:
    """Checkpoints of a run, as (records before it, the whole system), and its input so far."""

    checkpoints: list[tuple[int, bytes]] = field(default_factory=list)
    arrivals: Sequence[Arrival] = ()

    def at(self, place: int) -> Kernel:
        """The system as it was at the last checkpoint before record `place`, or the first."""
        saved = [data for total, data in self.checkpoints if total <= place]
        kernel = checkpoint.load(saved[-1] if saved else self.checkpoints[0][1], lambda data: None)
        if len(kernel.machine.console.state.log) < len(self.arrivals):
            kernel.machine.console.replay = self.arrivals
        return kernel

    def back_to(self, place: int, now: Kernel) -> Kernel:
        """The system as it was at the end of the trap that record `place` belongs to, connected to
        the host as `now` is.  What came after that is forgotten; but input that the host can
        not give a second time, from a pipe, is kept for it."""
        kernel = self.at(place)
        run, console, old = trace_of(kernel), kernel.machine.console, now.machine.console
        turns.run_until(kernel, lambda: run.total >= place)
        console.replay = None
        console.sink, console.error_sink = old.sink, old.error_sink
        console.terminal_sink, console.keys = old.terminal_sink, old.keys
        dropped = list(self.arrivals)[len(console.state.log) :]
        if old.source is not None:
            console.source = Kept([a.event.data for a in dropped if a.event.data], old.source)
        kernel.ipc.debug = now.ipc.debug
        self.arrivals = console.state.log
        self.checkpoints = [saved for saved in self.checkpoints if saved[0] <= run.total]
        return kernel


@dataclass
class Kept:
    """A source of input that first gives again what a dropped part of the run had taken."""

    data: list[bytes]
    source: Callable[[], bytes]

    def __call__(self) -> bytes:
        return self.data.pop(0) if self.data else self.source()


def trace_of(kernel: Kernel) -> Trace:
    """The records of a system that was recorded, as its checkpoint goes on with them."""
    assert kernel.machine.trace is not None
    return kernel.machine.trace


def finish(path: Path) -> None:
    """Give an answer its name, now that it is whole."""
    path.with_suffix(".part").replace(path)


# Windows ------------------------------------------------------------------------------------------


def window(
    kernel: Kernel, wished: tuple[int, int], path: Path, start: tuple[int, int] | None = None
) -> None:
    """Run on to where there have been the first wished number of records, and from there one
    instruction at a time, recorded in `path`: to the trap after the last wished record, or for so
    many instructions.  With `start`, a core and a count, stepping begins only when that core has
    retired so many instructions."""
    run = trace_of(kernel)
    if run.total < wished[0]:
        turns.run_until(kernel, lambda: run.total >= wished[0])
    with path.with_suffix(".part").open("wb") as sink:
        recorder = Recorder(kernel, run)
        if start is not None:
            core = kernel.machine.cores[start[0]]
            Approach(core, start[1], lambda: recorder.begin(sink))
            turns.run_until(kernel, lambda: recorder.port is not run)
        else:
            recorder.begin(sink)
        last = max(wished[1], run.total)
        turns.run_until(kernel, lambda: run.total + recorder.others > last or recorder.at_end)
        recorder.port.close()
    finish(path)


class Recorder:
    """Records a system instruction by instruction, with what memory holds and what changes it."""

    def __init__(self, kernel: Kernel, run: Trace) -> None:
        self.kernel, self.run = kernel, run
        self.port = run
        self.others = 0
        """Records so far that the run has, too."""
        self.end = 0
        self._looked = -1
        self._known: dict[int, bytes] = {}

    @property
    def at_end(self) -> bool:
        return self.kernel.machine.instructions() >= self.end

    def begin(self, sink: BinaryIO) -> None:
        """Record in `sink` from here on."""
        machine = self.kernel.machine
        self.end = machine.instructions() + WINDOW_INSTRUCTIONS
        port = self.port = Trace({**self.run.header, "window": {"first": self.run.total}}, sink)
        port.observer, port.core, port.cycles = self._observe, self.run.core, self.run.cycles
        machine.attach_trace(port)
        machine.step_through(self._look)

    def _observe(self, kind: Kind, values: tuple[Any, ...]) -> None:
        if kind is STORE:
            pfn = values[0] // PAGE_SIZE
            if pfn in self._known:
                self._known[pfn] = self._content(pfn)
        elif kind is INSTRUCTION:
            if self.at_end:
                self.kernel.machine.core.pausing = True
        elif kind is not PAGE:
            self.others += 1

    def _look(self) -> None:
        """Record what the kernel has changed, if it has run since: all that it did to memory."""
        if self._looked == self.others:
            return
        self._looked = self.others
        for pfn in self.kernel.memory.frames.used()[:WINDOW_FRAMES]:
            content = self._content(pfn)
            if self._known.get(pfn) != content:
                self._known[pfn] = content
                self.port.emit(PAGE, self.run.total + self.others, pfn, content)

    def _content(self, pfn: int) -> bytes:
        return self.kernel.machine.memory.read(pfn * PAGE_SIZE, PAGE_SIZE)


# Memory -------------------------------------------------------------------------------------------


def pages(kernel: Kernel, places: Sequence[int], pfns: Sequence[int], path: Path) -> None:
    """Write what frames held after so many records, for each of `places`."""
    run, memory = trace_of(kernel), kernel.machine.memory
    with path.with_suffix(".part").open("wb") as sink:
        answer = Trace({"places": list(places)}, sink)

        def take(*_: object) -> None:
            if run.total in places:
                for pfn in pfns:
                    if pfn < memory.frames:
                        content = memory.read(pfn * PAGE_SIZE, PAGE_SIZE)
                        answer.emit(PAGE, run.total, pfn, content)

        take()
        run.observer = take
        turns.run_until(kernel, lambda: run.total >= max(places))
        answer.close()
    finish(path)


# The last write -----------------------------------------------------------------------------------

LONGEST_STORE = 64
"""No instruction stores more bytes at once."""


def last_write(past: Past, place: int, pa: int, size_bytes: int, path: Path) -> None:
    """Find what last wrote to physical memory before record `place`: the header of the answer has
    `found`, null or how many records there had been, the core, its instructions, and whether it
    was an instruction (1) or the kernel (0)."""
    starts = [total for total, _ in past.checkpoints if total < place]
    found, end = None, place
    while starts and found is None:
        found = Watch(past.at(starts[-1]), pa, size_bytes).until(end)
        end = starts.pop()
    with path.with_suffix(".part").open("wb") as sink:
        Trace({"found": found}, sink).close()
    finish(path)


class Watch:
    """Watches a piece of physical memory: stores by instructions, which a hook tells, and changes
    by the kernel, which are seen at its next record."""

    def __init__(self, kernel: Kernel, pa: int, size_bytes: int) -> None:
        self.kernel, self.pa, self.size_bytes = kernel, pa, size_bytes
        self.run = trace_of(kernel)
        self.last: tuple[int, int, int, int] | None = None
        self._known = self._content()
        self._stored = False
        self._end = 0

    def until(self, end: int) -> tuple[int, int, int, int] | None:
        """Run on to record `end`, and tell the last write before it."""
        self._end = end
        for core in self.kernel.machine.cores:
            first, last = max(0, self.pa - LONGEST_STORE), self.pa + self.size_bytes - 1
            core.watch_stores(self._note, first, last)
        self.run.observer = self._observe
        turns.run_until(self.kernel, lambda: self.run.total >= end)
        return self.last

    def _content(self) -> bytes:
        return self.kernel.machine.memory.read(self.pa, self.size_bytes)

    def _note(self, pa: int, size_bytes: int) -> None:
        if pa + size_bytes > self.pa and self.run.total < self._end:
            core = self.kernel.machine.core
            self.last = (self.run.total, core.state.id, core.begun(), 1)
            self._stored = True

    def _observe(self, *_: object) -> None:
        content = self._content()
        if content != self._known and not self._stored and self.run.total <= self._end:
            core = self.kernel.machine.core.state
            self.last = (self.run.total, core.id, core.instructions, 0)
        self._known, self._stored = content, False


# Other machines -----------------------------------------------------------------------------------


def variants(config: MachineConfig) -> list[tuple[str, MachineConfig]]:
    """The machine itself, and those that it is compared with."""
    sets, ways = config.dtlb
    pcids = "no PCIDs" if config.pcid else "with PCIDs"
    return [
        ("this machine", config),
        (pcids, replace(config, pcid=not config.pcid)),
        (f"D {2 * sets}x{ways}", replace(config, dtlb=(2 * sets, ways))),
        (f"D {sets}x{2 * ways}", replace(config, dtlb=(sets, 2 * ways))),
        (f"D {max(1, sets // 2)}x{ways}", replace(config, dtlb=(max(1, sets // 2), ways))),
    ]


def what_if(past: Past, place: int, path: Path) -> None:
    """Run the same system on other machines, each for as many instructions as this one had run at
    record `place`: the header of the answer has (name, instructions, cycles, misses of the
    instruction and of the data TLB by cause) of each."""
    rows: list[list[object]] = []
    kernel = past.at(0)
    run = trace_of(kernel)
    turns.run_until(kernel, lambda: run.total >= place)
    wanted = kernel.machine.instructions()
    for name, config in variants(kernel.machine.config):
        rows.append([name, *_misses_after(past, config, wanted)])
    with path.with_suffix(".part").open("wb") as sink:
        Trace({"what_if": rows}, sink).close()
    finish(path)


def _misses_after(past: Past, config: MachineConfig, instructions: int) -> list[object]:
    first = past.checkpoints[0][1]
    kernel = checkpoint.load(first, lambda data: None, other=lambda _: config)
    machine, init = kernel.machine, min(kernel.tasks.processes)
    machine.console.replay = past.arrivals or None
    machine.attach_trace(None)
    process = kernel.tasks.processes[init]
    turns.run_until(kernel, lambda: machine.instructions() >= instructions or process.zombie)
    cores = machine.state.cores
    sides = ([core.mmu.misses[side] for core in cores] for side in (0, 1))
    misses = [[sum(counts) for counts in zip(*rows, strict=True)] for rows in sides]
    return [machine.instructions(), max(core.cycles for core in cores), *misses]
