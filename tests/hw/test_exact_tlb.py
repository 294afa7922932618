"""The machine's TLBs and a pair that sees every access have the same misses and evictions.

The emulator translates a block of code at a time.  Two corner cases follow, and are tests below.
First, the emulator looks up the second page of a block when the block begins.  If a timer stops
the block before that page, the look-up came early.  Second, in an instruction TLB of a single set
the second page may evict the first.  The block then runs on in its first page without a look-up.
Everything else is exact for every size, even for data TLBs of a single entry.
"""

from __future__ import annotations

import pytest

from hw import costs
from hw.cpu import RESUME
from hw.machine import MachineConfig
from hw.mmu import Mmu
from hw.paging import NX, A, D, G, P, U, W
from hw.tlb import Entry
from tests.hw.bare import CODE, DATA, READ_ONLY, READ_WRITE
from tests.hw.reference_tlb import CODE_SIDE, DATA_SIDE, Event
from tests.hw.watched import go, watched, watched_code

SIZES = {
    "2x1": ((2, 1), (2, 1)),
    "1x2": ((1, 2), (1, 2)),
    "2x2": ((2, 2), (2, 2)),
    "8x4": ((8, 4), (16, 4)),
    "1x8": ((1, 8), (1, 8)),
    "16x4": ((16, 4), (64, 1)),
    "2x1 and 1x1": ((2, 1), (1, 1)),
}
PROGRAMS = [
    "sieve 3000",
    "sha256 1",
    "matmul 8",
    "stream 64 2 512",
    "forks 2",
    "threads 2 5",
    "signals",
    "maps",
    "pingpong 20",
    "crossings views 9 4",
    "crossings processes 9 4",
]


@pytest.mark.parametrize("pcid", [True, False], ids=["pcid", "no pcid"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("line", PROGRAMS)
def test_a_program_misses_and_evicts_exactly_as_the_reference(
    line: str, size: str, pcid: bool
) -> None:
    itlb, dtlb = SIZES[size]
    config = MachineConfig(ram_mib=16, itlb=itlb, dtlb=dtlb, pcid=pcid)
    kernel, (reference,), status = watched(config, line)
    assert reference.differences() == []
    assert reference.instructions == kernel.machine.instructions()
    assert reference.steps == kernel.machine.core.state.counts[costs.WALK_STEP]
    assert status == 0
    assert all(len(side.events) > 6 for side in reference.sides)


@pytest.mark.parametrize("pcid", [True, False], ids=["pcid", "no pcid"])
@pytest.mark.parametrize("size", ["2x1", "8x4"])
@pytest.mark.parametrize("line", ["threads 2 5", "forks 2", "racy 2 300", "vas_brk"])
def test_cores_that_interrupt_each_other_are_exact_too(line: str, size: str, pcid: bool) -> None:
    itlb, dtlb = SIZES[size]
    config = MachineConfig(cpus=2, ram_mib=16, itlb=itlb, dtlb=dtlb, pcid=pcid)
    kernel, references, status = watched(config, line)
    assert [reference.differences() for reference in references] == [[], []]
    assert sum(r.instructions for r in references) == kernel.machine.instructions()
    assert status == 0
    assert all(reference.instructions for reference in references)


def test_the_reference_notices_an_entry_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hw.shadow.Shadow.shrink", lambda shadow, gone=None: None)
    config = MachineConfig(ram_mib=16, itlb=(2, 1), dtlb=(2, 1))
    _, (reference,), _ = watched(config, "sieve 3000")
    assert reference.differences()


@pytest.mark.parametrize("line", ["crossings views 9", "crossings processes 9"])
def test_the_reference_notices_an_entry_that_only_the_emulator_keeps(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a small data TLB an entry under one tag is missing under the other."""
    monkeypatch.setattr("hw.shadow.Shadow._is_cached", lambda *_: True)
    config = MachineConfig(ram_mib=16, itlb=(8, 4), dtlb=(4, 2))
    try:
        _, (reference,), _ = watched(config, line)
        noticed = bool(reference.differences())
    except (AssertionError, KeyError):  # the program reads what is not its own
        noticed = True
    assert noticed


def test_pages_that_two_views_share_are_not_looked_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This makes a switch cheap on the host, and the guest cannot notice it."""
    asked = [0, 0]
    for i, keeps in enumerate((True, False)):
        if not keeps:
            monkeypatch.setattr("hw.shadow.Shadow.follow", lambda shadow: shadow.shrink())
        for rounds, sign in ((20, -1), (120, 1)):
            hits = _hits(f"crossings views {rounds}", monkeypatch)
            asked[i] += sign * hits
    assert asked[0] < 20
    assert asked[1] > 100 * 2 * 8, "the working set, at every switch"


def _hits(line: str, monkeypatch: pytest.MonkeyPatch) -> int:
    count = 0
    real = Mmu.hit

    def hit(mmu: Mmu, vpn: int, access: int) -> Entry | None:
        nonlocal count
        found = real(mmu, vpn, access)
        count += found is not None
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Mmu, "hit", hit)
        watched(MachineConfig(ram_mib=16), line)
    return count


# Hand-made code -----------------------------------------------------------------------------------


CROSSING = bytes.fromhex(
    "488943fc"  # mov [rbx-4], rax
    "488b43fc"  # mov rax, [rbx-4]
    "480153fc"  # add [rbx-4], rdx
    "0f1043f8"  # movups xmm0, [rbx-8]
    "0f1143f8"  # movups [rbx-8], xmm0
    "f0480fc153fd"  # lock xadd [rbx-3], rdx
    "48ff73fc"  # push qword [rbx-4]
    "488783fcffffff"  # xchg [rbx-4], rax
    "ffc975d7"  # dec ecx; jnz the first
    "31c00f05"
)


@pytest.mark.parametrize("dtlb", [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (16, 4)])
def test_accesses_that_cross_a_page_are_exact(dtlb: tuple[int, int]) -> None:
    bare, reference = watched_code((8, 4), dtlb, {CODE: CROSSING})
    bare.map(DATA + 4096, READ_WRITE)
    go(bare, CODE, rbx=DATA + 4096, rcx=6, rdx=5)
    assert [call.number for call in bare.calls] == [0]
    assert reference.differences() == []


COPY = bytes.fromhex("f3a4 31c0 0f05")  # rep movsb


@pytest.mark.parametrize("dtlb", [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_a_repeated_string_instruction_is_exact_in_every_round(dtlb: tuple[int, int]) -> None:
    bare, reference = watched_code((8, 4), dtlb, {CODE: COPY})
    bare.map(DATA + 4096, READ_WRITE)
    bare.map(DATA + 8192, READ_WRITE)
    go(bare, CODE, rsi=DATA + 4000, rdi=DATA + 8100, rcx=200)
    assert bare.core.registers()["rcx"] == 0
    assert reference.differences() == []
    assert dtlb != (1, 1) or len(reference.sides[DATA_SIDE].events) == 800


@pytest.mark.parametrize("dtlb", [(1, 1), (1, 2), (2, 2), (16, 4)])
def test_faults_and_stale_rights_are_exact(dtlb: tuple[int, int]) -> None:
    """A load; a store that the kernel must permit; a load of a page that the kernel must map."""
    code = bytes.fromhex("488b03 488903 488b4608 48894608 ffc9 75ee 31c0 0f05")
    bare, reference = watched_code((8, 4), dtlb, {CODE: code})
    bare.map(DATA, READ_ONLY)

    def on_fault(page: int, error: int) -> int:
        if page == DATA:
            bare.memory.words[bare.slot(page)] |= W
        else:
            bare.map(page, P | U | NX | G | A | D)
            bare.memory.words[bare.slot(page)] |= W * (error >> 1 & 1)
        return RESUME

    bare.on_fault = on_fault
    bare.unmap(DATA + 0x5000)
    go(bare, CODE, rbx=DATA, rsi=DATA + 0x5000, rcx=4)
    assert [error for _, error in bare.faults] == [7, 4, 7]
    assert reference.differences() == []


LOOP_START, LOOP = CODE + 4096 - 6, b"\x90" * 10 + bytes.fromhex("ffc9 75f2 31c0 0f05")
"""A loop whose body begins six bytes before the end of a page."""


@pytest.mark.parametrize("itlb", [(2, 1), (1, 2), (1, 3), (2, 2), (8, 4)])
def test_a_loop_across_a_page_boundary_is_exact(itlb: tuple[int, int]) -> None:
    bare, reference = watched_code(itlb, (8, 4), {LOOP_START: LOOP})
    go(bare, LOOP_START, rcx=10)
    assert [call.number for call in bare.calls] == [0]
    assert reference.differences() == []


@pytest.mark.parametrize("itlb", [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_an_instruction_across_a_page_boundary_needs_both_pages(itlb: tuple[int, int]) -> None:
    bare, reference = watched_code(itlb, (8, 4), {CODE + 4094: bytes.fromhex("488b03 31c0 0f05")})
    go(bare, CODE + 4094, rbx=DATA)
    assert [event[0] for event in reference.sides[CODE_SIDE].events] == ["miss", "fill"] * 2
    assert reference.differences() == []


def test_corner_a_timer_inside_a_block_leaves_its_second_page_looked_up_early() -> None:
    bare, reference = watched_code((2, 1), (8, 4), {LOOP_START: LOOP})
    go(bare, LOOP_START, budget=4, rcx=10)
    code = reference.sides[CODE_SIDE]
    early: list[Event] = [("miss", 0x401, 0, "cold"), ("fill", 0x401, 1, 0, None)]
    assert code.seen == code.events + early
    go(bare, bare.core.state.rip, rcx=10)
    assert reference.differences() == [], "it would have been looked up a moment later"


def test_corner_in_a_one_entry_instruction_tlb_a_block_keeps_its_first_page() -> None:
    bare, reference = watched_code((1, 1), (8, 4), {LOOP_START: LOOP})
    go(bare, LOOP_START, rcx=10)
    code = reference.sides[CODE_SIDE]
    assert len(code.seen) == 4
    assert len(code.events) == 40, "hardware would miss twice in each of the ten rounds"
