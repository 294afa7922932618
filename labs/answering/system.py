"""A whole system with the student's kernel, which runs a program to its stops and to its end.

The lent memory is the machine's physical memory.  The program calls `exam_stop(n)` of <exam.h>,
and the judge looks while the n-th stop of the question lasts.
"""

from __future__ import annotations

import gc
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hw.machine import MachineConfig
from hw.memory import PhysicalMemory
from hw.trace import Kind, Trace
from kernel.boot import Config, boot, spawn, trace_header
from kernel.kernel import Kernel
from kernel.syscalls import TABLE
from kernel.trap import SYSCALL
from userland.programs import built_in, describe, read_program

if TYPE_CHECKING:
    from labs.child import Desk

MARK = "null_call"
WAITS = re.compile(r"^lab \d+, part \w+, waits to be written in \S+$", re.MULTILINE)
"""What `unwritten` of the library says."""
LONGEST_WAIT = 200
BUDGET_CYCLES = 50_000_000


class OutOfCycles(Exception):
    """The program ran for more modelled cycles than the question allows."""


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
    stops: list[str]
    records: int = 0
    made: list[str] = field(default_factory=list)

    def __call__(self, kind: Kind, values: tuple[Any, ...]) -> None:
        """A record was made."""
        self.records += 1
        if kind is SYSCALL and TABLE[values[1]].name == MARK and values[2] < len(self.stops):
            name = self.stops[values[2]]
            self.made.append(name)
            trace = self.kernel.machine.trace
            if trace is not None:
                trace.flush()
            self.desk.stop(name, roots(self.kernel), self.records)


def roots(kernel: Kernel) -> dict[str, int]:
    """Where the page tables of every space begin: p and the process, t and the thread, v and the
    VAS."""
    found = {f"t{tid}": thread.space.table.root_pa for tid, thread in kernel.threads.items()}
    for pid, process in kernel.processes.items():
        if not process.zombie:
            found[f"p{pid}"] = process.space.table.root_pa
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
    watch = Watch(kernel, desk, told.get("stops", []))
    program = read_program(told.get("built", told["program"]))
    about = describe(told["program"], program)
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
        "status": ended, "stops": watch.made, "cycles": kernel.now(),
        "instructions": kernel.machine.instructions(), "log": kernel.messages,
        "output": console.text,
    }  # fmt: skip


def _run(kernel: Kernel, told: dict[str, Any], desk: Desk, program: bytes, console: Output) -> int:
    name = told["program"].encode()
    words = [name, str(desk.nonce).encode(), *(word.encode() for word in told.get("words", []))]
    process = spawn(kernel, program, words, [], configuration(told).user, b"/bin/" + name)
    budget = told.get("cycles", BUDGET_CYCLES)
    kernel.run(lambda: process.zombie or kernel.now() > budget or bool(console.waits))
    if console.waits:
        raise NotImplementedError(console.waits)
    if not process.zombie:
        raise OutOfCycles(f"the program has not ended after {budget:,} modelled cycles")
    return process.exit_status
