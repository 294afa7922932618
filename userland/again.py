"""Executes a run again to find what its trace does not hold: instructions, contents of memory.

Each execution starts from a checkpoint of the run and gets the input that the run got, so it goes
the same way.  The answers have the format of a trace, which the panel can read.
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
"""A window has at most this many instructions."""
WINDOW_FRAMES = 4_096
"""A window shows at most this many frames (16 MiB): those in use, from the lowest on."""


@dataclass
class Past:
    """Checkpoints of a run, as (records before it, the whole system), and its input so far."""

    checkpoints: list[tuple[int, bytes]] = field(default_factory=list)
    arrivals: Sequence[Arrival] = ()
    oldest: int = 0
    """The first record that the panel still has."""

    def forget(self, oldest: int) -> None:
        """Drop the checkpoints that only serve records before `oldest`.

        The first stays: other machines are compared from the start of the run.
        """
        self.oldest = oldest
        before = [i for i, (total, _) in enumerate(self.checkpoints) if total <= oldest]
        del self.checkpoints[1 : max(before, default=0)]

    def starts(self, place: int) -> list[int]:
        """Where the checkpoints before record `place` lie, from the last before `oldest` on."""
        found = [total for total, _ in self.checkpoints if total < place]
        return found[max(0, sum(total <= self.oldest for total in found) - 1) :]

    def thin(self, most: int, most_bytes: int) -> None:
        """Drop those whose neighbours are the closest, older ones first.

        At most `most` stay, of at most `most_bytes` beside the first and the last, which always
        stay.  So they lie about equally far apart, however long the run is.
        """
        kept = self.checkpoints
        while len(kept) > 2 and (
            len(kept) > most or sum(len(data) for _, data in kept[1:-1]) > most_bytes
        ):
            gaps = [kept[i + 1][0] - kept[i - 1][0] for i in range(1, len(kept) - 1)]
            del kept[1 + gaps.index(min(gaps))]

    def at(self, place: int) -> Kernel:
        """The system as it was at the last checkpoint before record `place`, or the first."""
        saved = [data for total, data in self.checkpoints if total <= place]
        kernel = checkpoint.load(saved[-1] if saved else self.checkpoints[0][1], lambda data: None)
        if len(kernel.machine.console.state.log) < len(self.arrivals):
            kernel.machine.console.replay = self.arrivals
        return kernel

    def back_to(self, place: int, now: Kernel) -> Kernel:
        """The system at the end of the trap that record `place` belongs to.

        It is connected to the host as `now` is.  Everything after that moment is dropped, except
        input from a pipe, which the host cannot give a second time: the system gets it again.
        """
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
    """A source of input that first repeats the input which the dropped part of the run took."""

    data: list[bytes]
    source: Callable[[], bytes]

    def __call__(self) -> bytes:
        return self.data.pop(0) if self.data else self.source()


def trace_of(kernel: Kernel) -> Trace:
    """The records of a recorded system, continued from its checkpoint."""
    assert kernel.machine.trace is not None
    return kernel.machine.trace


def finish(path: Path) -> None:
    """Give an answer its name, now that it is complete."""
    path.with_suffix(".part").replace(path)


# Windows ------------------------------------------------------------------------------------------


def window(
    kernel: Kernel, wished: tuple[int, int], path: Path, start: tuple[int, int] | None = None
) -> None:
    """Run on to the first wished record, then one instruction at a time, recorded in `path`.

    Stepping ends at the trap after the last wished record, or after a number of instructions.
    `start` is a core and a count: stepping begins only when that core has retired `count`
    instructions.
    """
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
    """Records a system instruction by instruction, with the contents of memory and each change."""

    def __init__(self, kernel: Kernel, run: Trace) -> None:
        self.kernel, self.run = kernel, run
        self.port = run
        self.others = 0
        """The number of records so far that the run has as well."""
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
        """Record all changes of memory that the kernel has made since the last call."""
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
    """Write the contents of frames after a number of records, for each number in `places`."""
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
    """Find the last write to physical memory before record `place`, among those not forgotten.

    The header of the answer has `found`.  It is null, or: the number of records before the write,
    the core, its instructions, and 1 for an instruction or 0 for the kernel.
    """
    starts = past.starts(place)
    found, end = None, place
    while starts and found is None:
        found = Watch(past.at(starts[-1]), pa, size_bytes).until(end)
        end = starts.pop()
    with path.with_suffix(".part").open("wb") as sink:
        Trace({"found": found}, sink).close()
    finish(path)


class Watch:
    """Watches a piece of physical memory.  A hook reports stores by instructions.  A change by the
    kernel is seen at the kernel's next record."""

    def __init__(self, kernel: Kernel, pa: int, size_bytes: int) -> None:
        self.kernel, self.pa, self.size_bytes = kernel, pa, size_bytes
        self.run = trace_of(kernel)
        self.last: tuple[int, int, int, int] | None = None
        self._known = self._content()
        self._stored = False
        self._end = 0

    def until(self, end: int) -> tuple[int, int, int, int] | None:
        """Run on to record `end`; returns the last write before it."""
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
    record `place`.

    For each machine the header of the answer has (name, instructions, cycles, misses of the
    instruction TLB and of the data TLB by cause).
    """
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
