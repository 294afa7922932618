"""After every trap, the records add up to what the kernel has: its threads and what they wait for,
the bits of every table entry, CR3 of every core, and who has attached which VAS."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hw.machine import MachineConfig
from hw.paging import ADDRESS, PS, A, D, P
from hw.panel.model.fold import Fold
from hw.panel.model.state import Attachment, State
from hw.trace import Kind, Record, Trace
from kernel import turns
from kernel.boot import Config, boot, spawn
from kernel.kernel import Kernel
from kernel.task.process import BLOCKED, READY, RUNNING, Thread
from tests.kernel.asm import Program
from userland.programs import built_in, read_program

Look = Callable[[Kernel, State], list[str]]


def watch(line: str, look: Look, *, cpus: int = 1, every: int = 1, code: bytes = b"") -> list[str]:
    """Run a program, and look at the kernel and at its folded records after each `every` traps.

    Returns the first differences.  They are compared by the caller: a failure here would show the
    whole kernel.
    """
    kernel = boot(Config(MachineConfig(cpus=cpus)), built_in(), lambda _: None)
    fold, number, traps = Fold(State()), itertools.count(), itertools.count(1)
    found: list[str] = []

    def fold_in(kind: Kind, values: tuple[Any, ...]) -> None:
        state = kernel.machine.core.state
        fold.apply(Record(kind, state.id, state.cycles, values), next(number))

    def after_trap(kernel: Kernel) -> None:
        if next(traps) % every == 0 and not found:
            found.extend(look(kernel, fold.state))

    kernel.machine.attach_trace(Trace({}, observer=fold_in))
    name, *words = line.split()
    arguments = [name.encode(), *(word.encode() for word in words)]
    process = spawn(kernel, code or read_program(name), arguments, [], Config().user)
    kernel.after_trap = after_trap
    turns.run(kernel, lambda: process.zombie)
    return found + (["it ends badly"] if process.exit_status or next(traps) < 10 else [])


# Threads ------------------------------------------------------------------------------------------


def doing(kernel: Kernel, thread: Thread) -> set[str]:
    """What the panel may say of a thread."""
    if thread.state == BLOCKED:
        assert thread.channel is not None
        return {f"waits: {thread.channel[0]}"}
    if thread.state == RUNNING:
        return {"running"}
    assert thread.state == READY
    on_no_core = any(seat.thread is None for seat in kernel.tasks.seats)
    return {"ready", "running"} if on_no_core else {"ready"}  # a core is about to pick another


class Threads:
    """Looks at the threads; `seen` are the words that occurred."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def __call__(self, kernel: Kernel, state: State) -> list[str]:
        threads = kernel.tasks.threads
        folded = {t.tid: (t.pid, t.space) for t in state.threads.values()}
        if folded != {tid: (t.pid, t.space.id) for tid, t in threads.items()}:
            return [f"(pid, space) by tid: {folded}"]
        said = {tid: state.threads[tid].doing for tid in threads}
        self.seen |= set(said.values())
        allowed = {tid: doing(kernel, thread) for tid, thread in threads.items()}
        found = [f"T{t}: {said[t]}, not {allowed[t]}" for t in said if said[t] not in allowed[t]]
        loaded = {seat.id: seat.loaded.tid for seat in kernel.tasks.seats if seat.loaded}
        shown = {number: core.tid for number, core in state.cores.items()}
        return found + [
            f"core {n}: T{shown.get(n)}, not T{t}" for n, t in loaded.items() if shown.get(n) != t
        ]


@pytest.mark.parametrize(
    ("line", "cpus", "waits"),
    [
        ("threads 3 20", 1, {"waits: futex"}),
        ("threads 3 20", 2, {"waits: futex"}),
        ("forks 3", 2, {"waits: child"}),
        ("pingpong 5", 1, {"waits: reply", "waits: receive"}),
        ("pingpong 5", 2, {"waits: reply", "waits: receive"}),
        ("vas_share", 1, {"waits: child"}),
    ],
)
def test_a_thread_says_whether_it_runs_or_is_ready_and_what_it_waits_for(
    line: str, cpus: int, waits: set[str]
) -> None:
    look = Threads()
    assert watch(line, look, cpus=cpus) == []
    assert look.seen >= {"running", "ready"} | waits


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_stopped_thread_waits_until_it_is_continued(cpus: int) -> None:
    program = Program()
    program.fork("child")
    program.keep("r15")
    program.sleep(10**6)
    for signal in (19, 18, 9):  # SIGSTOP, SIGCONT, SIGKILL
        program.call("kill", "r15", signal)
        program.sleep(10**6)
    program.call("wait4", "r15", 0, 0, 0)
    program.exit()
    program.label("child")
    program.spin()
    look = Threads()
    assert watch("stop", look, cpus=cpus, code=program.elf()) == []
    assert look.seen >= {"running", "waits: stopped"}


# Memory -------------------------------------------------------------------------------------------


def tables(words: memoryview, table: int, level: int = 4) -> Iterator[tuple[int, int]]:
    """(physical address, entry) of all entries that are not zero, from a table on down."""
    for index, entry in enumerate(words[table >> 3 : (table >> 3) + 512].tolist()):
        if entry:
            yield table + 8 * index, entry
            if entry & P and level > 1 and not (level < 4 and entry & PS):
                yield from tables(words, entry & ADDRESS, level - 1)


class Entries:
    """Looks at every entry of every table; `seen` are the pairs of A and D that occurred."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def __call__(self, kernel: Kernel, state: State) -> list[str]:
        words = kernel.machine.memory.words
        roots = {thread.space.table.root_pa for thread in kernel.tasks.threads.values()}
        real = {slot: entry for root in roots for slot, entry in tables(words, root)}
        self.seen |= {entry & (A | D) for entry in real.values()}
        wrong = [slot for slot, entry in real.items() if state.ptes.get(slot) != entry]
        wrong += [slot for slot, entry in state.ptes.items() if words[slot >> 3] != entry]
        found = [f"{n:#x}: {state.ptes.get(n, 0):#x}, not {words[n >> 3]:#x}" for n in wrong[:3]]
        for core in kernel.machine.cores:
            number, mmu = core.state.id, core.state.mmu
            if number in state.cores and state.cores[number].cr3 != mmu.cr3 | mmu.pcid:
                found.append(f"CR3 {state.cores[number].cr3:#x}, not {mmu.cr3 | mmu.pcid:#x}")
        return found


@pytest.mark.parametrize(
    ("line", "cpus", "every"),
    [("cow", 1, 1), ("forks 3", 2, 3), ("threads 3 5", 2, 3), ("vas_share", 1, 3), ("maps", 1, 3)],
)
def test_a_and_d_of_every_entry_and_cr3_with_its_pcid_are_those_of_the_machine(
    line: str, cpus: int, every: int
) -> None:
    look = Entries()
    assert watch(line, look, cpus=cpus, every=every) == []
    assert look.seen == {0, A, A | D}


class Views:
    """Looks at the attachments; `most` is the most processes that had one at a time."""

    most = 0

    def __call__(self, kernel: Kernel, state: State) -> list[str]:
        real: dict[int, Attachment] = {}
        for process in kernel.tasks.processes.values():
            if not process.zombie:
                for vid, it in kernel.vases.held(process.space).attachments.items():
                    real[it.view.id] = Attachment(process.space.id, vid, it.kind)
        self.most = max(self.most, len({attachment.home for attachment in real.values()}))
        vases = {vid: vas.space.id for vid, vas in kernel.vases.vases.items()}
        found = [f"views {state.views}, not {real}"] if state.views != real else []
        shown = {vas.vid: vas.space for vas in state.vases.values()}
        return found + ([f"VASes {shown}, not {vases}"] if shown != vases else [])


@pytest.mark.parametrize("line", ["vas_stacks", "vas_share"])
def test_the_attachments_of_every_process_are_those_of_the_kernel(line: str) -> None:
    look = Views()
    assert watch(line, look) == []
    assert look.most >= (2 if line == "vas_stacks" else 1)
