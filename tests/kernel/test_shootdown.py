"""Several cores run one space: what happens to translations in other cores' TLBs."""

from __future__ import annotations

from typing import Any

import pytest

from hw.machine import IPI_SENT, IPI_TAKEN, MachineConfig
from hw.trace import Kind, Trace
from kernel import invariants
from kernel.boot import Config, boot, run_to_end, spawn
from kernel.kernel import Kernel
from kernel.life import delivery
from kernel.mm.frames import FRAME, FREE
from kernel.mm.shootdown import SHOOTDOWN, SHOOTDOWN_DONE
from kernel.wait.signals import SIGSEGV
from tests.kernel.asm import Program

HERE, PAGE = 0x7E00_0000_0000, 4096
RW, PRIVATE, ANON, FIXED = 3, 2, 0x20, 0x10
A_WHILE = 10**5  # nanoseconds


def reader_and(ending: tuple[int | str, ...]) -> bytes:
    """Two threads of one space: one reads a page for ever, the other makes one call on it."""
    program = Program()
    program.call("mmap", HERE, 2 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0)
    program.store_byte(HERE, 1)
    program.store_byte(HERE + PAGE, 1)
    program.thread("reader")
    program.sleep(A_WHILE)
    program.call(*ending)
    program.raw("ebfe")  # jmp .: until the reader's fault ends the process
    program.label("reader")
    program.raw("48bb" + HERE.to_bytes(8, "little").hex())  # mov rbx, HERE
    program.raw("8a03 ebfc")  # again: mov al, [rbx]; jmp again
    return program.elf()


def observed(program: bytes, cpus: int, pcid: bool) -> tuple[Kernel, list[tuple[Kind, Any]], int]:
    """Run it; returns the system, its records in order, and the status of its end."""
    records: list[tuple[Kind, Any]] = []
    config = Config(MachineConfig(cpus=cpus, pcid=pcid))
    kernel = boot(config, {}, lambda _: None)
    kernel.machine.attach_trace(Trace({}, observer=lambda *record: records.append(record)))
    kernel.after_trap = invariants.check
    process = spawn(kernel, program, [b"test"], [], config.user)
    return kernel, records, run_to_end(kernel, process)


CALLS: list[tuple[int | str, ...]] = [
    ("munmap", HERE, 2 * PAGE),
    ("mprotect", HERE, 2 * PAGE, 0),
    ("mmap", HERE, 2 * PAGE, 0, PRIVATE | ANON | FIXED, -1, 0),
]


@pytest.mark.parametrize("pcid", [True, False])
@pytest.mark.parametrize("cpus", [1, 2, 3])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[0])
def test_a_page_that_one_core_takes_away_cannot_be_read_on_another(
    call: tuple[int | str, ...], cpus: int, pcid: bool
) -> None:
    """The reader's next load must fault, whatever its core had cached."""
    _, records, status = observed(reader_and(call), cpus, pcid)
    assert status == SIGSEGV
    died = [values for kind, values in records if kind is delivery.SIGNAL]
    assert [(values[2], values[4]) for values in died] == [(SIGSEGV, HERE)]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[0])
def test_the_other_core_is_interrupted_and_answers_before_the_call_is_over(
    call: tuple[int | str, ...],
) -> None:
    kernel, records, _ = observed(reader_and(call), 2, True)
    kinds = [kind for kind, _ in records]
    order = [kinds.index(kind) for kind in (SHOOTDOWN, IPI_SENT, IPI_TAKEN, SHOOTDOWN_DONE)]
    assert order == sorted(order), "told, sent, taken, done"
    assert kinds.count(IPI_SENT) == kinds.count(IPI_TAKEN)
    assert not kernel.memory.shootdowns.open
    assert not any(tlb.waiting for tlb in kernel.memory.shootdowns.cores)
    assert not any(seat.held_back for seat in kernel.tasks.seats)


def test_frames_are_given_back_only_when_every_core_has_answered() -> None:
    _, records, _ = observed(reader_and(CALLS[0]), 2, True)
    kinds = [kind for kind, _ in records]
    told, taken = kinds.index(SHOOTDOWN), kinds.index(IPI_TAKEN)
    freed = [i for i, (kind, values) in enumerate(records) if kind is FRAME and values[4] == FREE]
    assert not [i for i in freed if told < i < taken], "nobody may get them in the window"
    assert [i for i in freed if i > taken]


def test_on_one_core_nobody_is_interrupted() -> None:
    _, records, _ = observed(reader_and(CALLS[0]), 1, True)
    assert SHOOTDOWN not in [kind for kind, _ in records]
