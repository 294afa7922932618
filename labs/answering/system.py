"""A whole system with the student's kernel, which runs a program to its stops and to its end.

The lent memory is the machine's physical memory.  The program calls `exam_stop(n)` of <exam.h>,
and the judge looks while the n-th stop of the question lasts.
"""

from __future__ import annotations

import functools
import gc
import re
import sys
from dataclasses import dataclass, field
from typing import Any

from hw.machine import MachineConfig
from hw.memory import PAGE_SIZE, PhysicalMemory
from hw.paging import ADDRESS, ERR_FETCH, ERR_WRITE, P
from hw.trace import Kind, Trace
from kernel import turns
from kernel.boot import Config, boot, spawn, trace_header
from kernel.calls import SYSCALL
from kernel.kernel import Kernel
from kernel.life import delivery
from kernel.syscalls import TABLE
from kernel.trap import FAULT
from kernel.turns import Deadlock
from kernel.wait import signals
from labs.answering.contents import wrong_page
from labs.answering.desk import Desk
from labs.answering.meter import OverBudget
from userland.programs import built_in, describe, read_program

MARK = "null_call"
WAITS = re.compile(r"^lab \d+, part \w+, waits to be written in \S+$", re.MULTILINE)
"""What `unwritten` of the library says."""
LONGEST_WAIT = 200
FAULTS_IN_VAIN = 50
REFUSED = 2
"""The outcome of a fault that the program must answer for."""
BUDGET_CYCLES = 50_000_000
UNSIGNED = "BHIQ"


class OutOfCycles(OverBudget):
    """The program ran for more modelled cycles than the question allows."""


class FaultsForever(Exception):
    """A fault is resolved, and comes again."""


class StandsStill(Exception):
    """Every thread of the program waits for another one."""


class GoesAstray(Exception):
    """The program has a wrong page, and asks for what its right text would not."""


class WrongNumber(Exception):
    """The kernel does not know where it is: a page or an address below zero."""


@dataclass(slots=True)
class Output:
    """What the program prints, and the part of the lab in it that is said to be missing."""

    text: str = ""
    waits: str = ""

    def __call__(self, printed: bytes) -> None:
        """The console's output."""
        self.text += printed.decode(errors="replace")
        if found := WAITS.search(self.text[-LONGEST_WAIT:]):
            self.waits = found[0]


@dataclass(slots=True)
class Watch:
    """Hears of every record, and shows the judge a stop when the program makes one."""

    kernel: Kernel
    desk: Desk
    program: bytes
    stops: list[str]
    records: int = 0
    made: list[str] = field(default_factory=list)
    hint: str = ""
    """Why the program may have failed."""
    faults: dict[int, list[int]] = field(default_factory=dict)
    """By thread: the page of its last fault, and how often in a row it was that one."""

    def __call__(self, kind: Kind, values: tuple[Any, ...]) -> None:
        """A record was made."""
        self.records += 1
        for name, code, value in zip(kind.fields, kind.codes, values, strict=True):
            if code in UNSIGNED and value < 0:
                self._refuse(f"the {name} of a {kind.name} should be 0 or more, is {value}")
        if kind is delivery.SIGNAL and values[3] == signals.KILLS:
            self.hint = misplaced(self.kernel, self.program)
        if kind is FAULT and values[3] != REFUSED:
            self._count_fault(*values[:3])
        if kind is SYSCALL and TABLE[values[1]].name == MARK and values[2] < len(self.stops):
            stop = self.stops[values[2]]
            self.made.append(stop)
            trace = self.kernel.machine.trace
            if trace is not None:
                trace.flush()
                self.desk.trace.flush()
            self.desk.stop(stop, roots(self.kernel), self.records)

    def _refuse(self, told: str) -> None:
        """The record that was made just now cannot be written."""
        trace = self.kernel.machine.trace
        assert trace is not None
        trace.retract()
        raise WrongNumber(told)

    def _count_fault(self, tid: int, page: int, error: int) -> None:
        """Raises `FaultsForever`: a page that is mapped in vain is a loop without an end."""
        last = self.faults.setdefault(tid, [page, 0])
        last[:] = page, last[1] + 1 if last[0] == page else 1
        if last[1] > FAULTS_IN_VAIN:
            kind = "fetch" if error & ERR_FETCH else "store" if error & ERR_WRITE else "load"
            raise FaultsForever(
                f"a {kind} of thread {tid} faults at {page:#x} again and again (error code "
                f"{error:#x}): the kernel says each time that it may be repeated, and the tables "
                "that the core walks do not allow it"
            )


def roots(kernel: Kernel) -> dict[str, int]:
    """Where the page tables of every space begin: p and the process, t and the thread, v and the
    VAS, both for what the process sees inside it, c and the core for what is loaded there."""
    found = {f"t{tid}": thread.space.table.root_pa for tid, thread in kernel.tasks.threads.items()}
    found |= {f"c{core.state.id}": core.state.mmu.cr3 for core in kernel.machine.cores}
    for pid, process in kernel.tasks.processes.items():
        if not process.zombie:
            found[f"p{pid}"] = process.space.table.root_pa
        for vid, attachment in kernel.vases.held(process.space).attachments.items():
            found[f"p{pid}v{vid}"] = attachment.view.table.root_pa
    for vid, vas in kernel.vases.vases.items():
        found[f"v{vid}"] = vas.space.table.root_pa
    return found


def configuration(told: dict[str, Any]) -> Config:
    """`told["machine"]` and `told["config"]` hold fields of `MachineConfig` and of `Config`."""
    machine = dict(told.get("machine", {}))
    for side in ("itlb", "dtlb"):
        if side in machine:
            machine[side] = tuple(machine[side])
    return Config(MachineConfig(**machine), **told.get("config", {}))


def answer(told: dict[str, Any], desk: Desk) -> dict[str, Any]:
    """How the program ended, what that took, and which stops it made."""
    gc.collect()  # the machine of the last question: it has 1 GiB of addresses for each core
    console = Output()
    config = configuration(told)
    memory = PhysicalMemory(config.machine.ram_mib << 20, desk.memory)
    kernel = boot(config, built_in(), console, memory=memory)
    program = read_program(told.get("built", told["program"]))
    watch = Watch(kernel, desk, program, told.get("stops", []))
    about = _about(told["program"], program)
    trace = Trace(trace_header(kernel, about), desk.trace, watch)
    kernel.machine.attach_trace(trace)
    try:
        ended = _run(kernel, told, desk, program, console)
    except BaseException as error:
        error.record = watch.records  # type: ignore[attr-defined]
        raise
    finally:
        trace.close()
    return {
        "status": ended,
        "stops": watch.made,
        "records": watch.records,
        "cycles": kernel.tasks.now(),
        "instructions": kernel.machine.instructions(),
        "log": kernel.log.messages,
        "output": console.text,
        "ended": _told(ended, console.text) + watch.hint,
    }


def misplaced(kernel: Kernel, program: bytes) -> str:
    """That the first process has the wrong page of its file, in words; nothing if it has not."""
    first = min(kernel.tasks.processes.values(), key=lambda process: process.pid)
    table, memory = first.space.table, kernel.machine.memory

    def shown(va: int) -> bytes | None:
        entry = table.lookup(va)
        return memory.read(entry & ADDRESS, PAGE_SIZE) if entry & P else None

    found = wrong_page(program, shown)
    return f"; {found}" if found else ""


@functools.cache
def _about(name: str, program: bytes) -> dict[str, Any]:
    """What the trace's header says of the program: worked out once for all questions of a check.

    Nothing of the student's runs here, and to count the calls would take longer than they do.
    """
    metered = sys.gettrace()
    sys.settrace(None)
    try:
        return describe(name, program)
    finally:
        sys.settrace(metered)


def _told(status: int, output: str) -> str:
    """`well`, or what ended the program, or its last words."""
    if not status:
        return "well"
    if status & 127:
        return f"killed by {signals.name(status & 127)}"
    return (output.splitlines() or [f"status {status >> 8}"])[-1]


def _run(kernel: Kernel, told: dict[str, Any], desk: Desk, program: bytes, console: Output) -> int:
    name = told["program"].encode()
    words = [name, str(desk.nonce).encode(), *(word.encode() for word in told.get("words", []))]
    process = spawn(kernel, program, words, [], configuration(told).user, path=b"/bin/" + name)
    budget = told.get("cycles", BUDGET_CYCLES)

    def look(_: Kernel) -> None:
        if kernel.tasks.now() > budget:
            raise OutOfCycles(f"the program has not ended after {budget:,} modelled cycles")

    kernel.after_trap = look
    try:
        turns.run(kernel, lambda: process.zombie or bool(console.waits))
    except OutOfCycles as error:
        raise OutOfCycles(str(error)) from None  # the program's fault, in no line of the kernel
    except Deadlock as error:
        raise StandsStill(str(error) + misplaced(kernel, program)) from None
    except NotImplementedError:
        if found := misplaced(kernel, program):
            raise GoesAstray(f"the program left its way{found}") from None
        raise
    if console.waits:
        raise NotImplementedError(console.waits)
    return process.exit_status
