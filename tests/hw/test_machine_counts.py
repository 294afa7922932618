"""What the machine's own events cost: exact counts of primitives, on both MMUs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hw.cpu import RESUME
from hw.disk import Disk, DiskState
from hw.memory import PAGE_SIZE
from hw.paging import PS, P, U, W
from tests.hw.bare import BOTH_MMUS, CODE, DATA, Bare
from tests.hw.counts import Bill, Counts, counts, on, plus

GIB_AREA = 1 << 39
"""An address whose upper tables nothing else uses."""


def mapped_at(level: int) -> Callable[[Bare], None]:
    """A page of 4 KiB, 2 MiB or 1 GiB at GIB_AREA."""

    def do(bare: Bare) -> None:
        table = bare.root
        for at, shift in ((4, 39), (3, 30), (2, 21), (1, 12)):
            slot = (table >> 3) + (GIB_AREA >> shift & 511)
            if at == level:
                bare.memory.words[slot] = P | U | W | (PS if level > 1 else 0)
                return
            table = bare.frame() << 12
            bare.memory.words[slot] = table | P | U | W

    return do


def loads(va: int) -> bytes:
    """mov rax, [va]"""
    return b"\x48\xa1" + va.to_bytes(8, "little")


def resolving(bare: Bare) -> None:
    def on_fault(page: int, error: int) -> int:
        bare.map(page, P | U | W)
        return RESUME

    bare.on_fault = on_fault


CODE_WALK = counts(walk_step=4)
"""Each run begins with the walk to its code."""
ONE = counts(instruction=1)
CODES: dict[str, tuple[bytes, Counts, Callable[[Bare], None]]] = {
    "three NOPs": (b"\x90" * 3, counts(instruction=3), lambda bare: None),
    "RDTSC": (b"\x0f\x31", ONE, lambda bare: None),
    "SYSCALL": (b"\x0f\x05", counts(instruction=1, syscall=1), lambda bare: None),
    "a walk to 4 KiB": (loads(GIB_AREA), plus(ONE, counts(walk_step=4)), mapped_at(1)),
    "a walk to 2 MiB": (loads(GIB_AREA), plus(ONE, counts(walk_step=3)), mapped_at(2)),
    "a walk to 1 GiB": (loads(GIB_AREA), plus(ONE, counts(walk_step=2)), mapped_at(3)),
    "a fault that is resolved": (
        loads(DATA + 0x9000),
        plus(ONE, counts(exception=1, walk_step=4)),
        resolving,
    ),
    "a fault that is refused": (loads(DATA + 0x9000), counts(exception=1), lambda bare: None),
    "an instruction that is none": (b"\x0f\x0b", counts(exception=1), lambda bare: None),
}


@pytest.mark.parametrize("mmu", BOTH_MMUS)
@pytest.mark.parametrize("name", CODES)
def test_an_instruction_costs_exactly_this(name: str, mmu: str) -> None:
    code, row, prepare = CODES[name]
    bare = Bare(mmu=mmu)
    prepare(bare)
    before = Bill.of(bare.machine)
    bare.run(code, budget=row.get("instruction", 1))
    assert Bill.of(bare.machine).since(before) == on(mmu, plus(row, CODE_WALK))


MACHINE: dict[str, tuple[Callable[[Bare], object], Counts]] = {
    "CR3 with a tag": (lambda bare: bare.core.load_cr3(bare.root | 1), counts(cr3_write_tagged=1)),
    "INVLPG": (lambda bare: bare.core.invlpg(CODE, 0), counts(invlpg=1)),
    "INVPCID of a tag": (lambda bare: bare.core.flush_pcid(1), counts(flush_pcid=1)),
    "save": (lambda bare: bare.core.save(bare.core.fresh_context()), counts(context_save=1)),
    "restore": (
        lambda bare: bare.core.restore(bare.core.fresh_context(), CODE),
        counts(context_restore=1),
    ),
    "an interrupt sent": (lambda bare: bare.machine.send_ipi(1, 5), counts(ipi_send=1)),
    "an interrupt sent and taken": (
        lambda bare: interrupted(bare),
        counts(ipi_send=1, interrupt=1),
    ),
    "no interrupt taken": (lambda bare: bare.machine.take_ipis(), {}),
    "a block read": (lambda bare: disk(bare).read(0), counts(disk_read=1)),
    "a block written": (lambda bare: disk(bare).write(0, bytes(PAGE_SIZE)), counts(disk_write=1)),
    "a block given up": (lambda bare: disk(bare).discard(0), {}),
}


def interrupted(bare: Bare) -> None:
    bare.machine.send_ipi(0, 5)
    assert bare.machine.take_ipis() == [5]


def disk(bare: Bare) -> Disk:
    return Disk(DiskState(), 1, bare.machine.charge)


@pytest.mark.parametrize("mmu", BOTH_MMUS)
@pytest.mark.parametrize("name", MACHINE)
def test_an_act_of_the_machine_costs_exactly_this(name: str, mmu: str) -> None:
    act, row = MACHINE[name]
    bare = Bare(mmu=mmu, cpus=2)
    before = Bill.of(bare.machine)
    act(bare)
    assert Bill.of(bare.machine).since(before) == row


@pytest.mark.parametrize("mmu", BOTH_MMUS)
def test_cr3_without_tags_costs_exactly_this(mmu: str) -> None:
    bare = Bare(mmu=mmu, pcid=False)
    before = Bill.of(bare.machine)
    bare.core.load_cr3(bare.root)
    assert Bill.of(bare.machine).since(before) == counts(cr3_write=1)
