"""Regions, faults, copy-on-write, and what happens when memory runs out."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

import pytest

from hw.paging import ERR_FETCH, ERR_WRITE, A, D, W
from kernel import invariants
from kernel.abi.errno import E, KernelError
from kernel.life import life
from kernel.mm import space
from kernel.mm.layout import KUSER, MAP_BASE, MAP_LOWEST, MAP_TOP, STACK_BYTES, STACK_TOP
from kernel.mm.regions import LOCKED, Region, inherited
from kernel.mm.space import AddressSpace
from tests.kernel.asm import Program
from tests.kernel.system import System, run_code, still

PAGE = 4096
SHARED, PRIVATE, FIXED, ANON, NOREPLACE = 1, 2, 0x10, 0x20, 0x100000
RW = 3
HERE = 0x10_0000_0000


def regions(system: System) -> list[tuple[int, int, int]]:
    """The regions at HERE: start and end in pages from HERE, and rights."""
    found = system.thread.space.map.overlapping(HERE, HERE + 64 * PAGE)
    return [(r.start - HERE >> 12, r.end - HERE >> 12, r.prot) for r in found]


def mmap(system: System, first: int, pages: int, prot: int = RW, flags: int = 0) -> int:
    flags |= FIXED | ANON | (0 if flags & SHARED else PRIVATE)
    return system.ask("mmap", HERE + first * PAGE, pages * PAGE, prot, flags, -1, 0)


# Errors -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "arguments", "error"),
    [
        ("mmap", (0, 0, RW, PRIVATE | ANON, -1, 0), E.INVAL),
        ("mmap", (0, PAGE, RW, ANON, -1, 0), E.INVAL),
        ("mmap", (0, PAGE, RW, 3 | ANON, -1, 0), E.INVAL),
        ("mmap", (0, PAGE, RW, PRIVATE | ANON, -1, 1), E.INVAL),
        ("mmap", (HERE + 1, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0), E.INVAL),
        ("mmap", (0, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0), E.PERM),
        ("mmap", (MAP_LOWEST - PAGE, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0), E.PERM),
        ("mmap", (MAP_TOP, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0), E.NOMEM),
        ("mmap", (MAP_TOP - PAGE, 2 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0), E.NOMEM),
        ("mmap", (-PAGE, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0), E.NOMEM),
        ("mmap", (0, 1 << 47, RW, PRIVATE | ANON, -1, 0), E.NOMEM),
        ("mmap", (0, (1 << 64) - 1, RW, PRIVATE | ANON, -1, 0), E.NOMEM),
        ("mmap", (HERE, PAGE, RW, PRIVATE | ANON | NOREPLACE, -1, 0), E.EXIST),
        ("mmap", (0, PAGE, RW, PRIVATE, 99, 0), E.BADF),
        ("mmap", (0, PAGE, RW, PRIVATE, 0, 0), E.NODEV),
        ("mprotect", (HERE + 1, PAGE, RW), E.INVAL),
        ("mprotect", (HERE, PAGE, 16), E.INVAL),
        ("mprotect", (HERE, 5 * PAGE, RW), E.NOMEM),
        ("mprotect", (HERE - PAGE, 2 * PAGE, RW), E.NOMEM),
        ("mprotect", (HERE, (1 << 64) - 1, RW), E.NOMEM),
        ("munmap", (HERE + 1, PAGE), E.INVAL),
        ("munmap", (HERE, 0), E.INVAL),
        ("munmap", (MAP_TOP, PAGE), E.INVAL),
        ("munmap", (HERE, (1 << 64) - 1), E.INVAL),
        ("vantage_translate", (0, HERE), E.FAULT),
        ("vantage_translate", (HERE, 8), E.FAULT),
        ("vantage_region", (10_000, HERE), E.NOENT),
    ],
)
def test_wrong_arguments_get_their_error_and_change_nothing(
    call: str, arguments: tuple[int, ...], error: E
) -> None:
    system = still()
    mmap(system, 0, 4)
    before = regions(system), len(system.thread.space.map)
    assert system.ask(call, *arguments) == -error
    assert (regions(system), len(system.thread.space.map)) == before
    invariants.check(system.kernel)


def test_nothing_to_protect_is_no_error() -> None:
    assert still().ask("mprotect", HERE, 0, RW) == 0


def test_unmapping_nothing_is_no_error() -> None:
    assert still().ask("munmap", HERE, PAGE) == 0


# Regions ----------------------------------------------------------------------------------------


def test_the_requested_address_is_used_if_it_is_free() -> None:
    system = still()
    assert system.ask("mmap", HERE + 5, 100, RW, PRIVATE | ANON, -1, 0) == HERE
    assert system.ask("mmap", HERE, PAGE, RW, PRIVATE | ANON, -1, 0) == MAP_BASE
    assert system.ask("mmap", 0, PAGE, RW, PRIVATE | ANON, -1, 0) == MAP_BASE + PAGE
    assert system.ask("mmap", 8, PAGE, RW, PRIVATE | ANON, -1, 0) == MAP_BASE + 2 * PAGE


def test_a_hole_is_filled_again() -> None:
    system = still()
    places = [system.ask("mmap", 0, PAGE, RW, PRIVATE | ANON, -1, 0) for _ in range(4)]
    system.ask("munmap", places[1], PAGE)
    assert system.ask("mmap", 0, 2 * PAGE, RW, PRIVATE | ANON, -1, 0) == places[3] + PAGE
    system.ask("munmap", places[1], PAGE)
    assert system.ask("mmap", 0, PAGE, RW, PRIVATE | ANON, -1, 0) == places[1]


def test_a_mapping_goes_below_where_the_usual_place_is_full() -> None:
    """As on Linux, which searches downwards: 64 TiB fit, until they are taken."""
    system = still()
    asked = (0, 64 << 40, 0, PRIVATE | ANON | 0x4000, -1, 0)
    at = system.ask("mmap", *asked)
    assert MAP_LOWEST <= at < MAP_BASE
    assert system.ask("mmap", *asked) == -E.NOMEM
    assert system.ask("mmap", 0, PAGE, RW, PRIVATE | ANON, -1, 0) == MAP_BASE


def test_unmapping_the_middle_leaves_both_ends() -> None:
    system = still()
    mmap(system, 0, 9)
    system.ask("munmap", HERE + 3 * PAGE, 2 * PAGE - 1)
    assert regions(system) == [(0, 3, RW), (5, 9, RW)]
    invariants.check(system.kernel)


def test_a_child_inherits_all_of_a_region_but_its_object_and_its_lock() -> None:
    values: dict[str, Any] = {
        field.name: value
        for value, field in enumerate(dataclasses.fields(Region), 64 | LOCKED)
        if field.init
    }
    mother = Region(**values)
    child = inherited(mother, still().kernel.memory.objects.anonymous())
    differ = {name for name, value in values.items() if getattr(child, name) != value}
    assert differ == {"object", "flags", "segment", "changed", "filler"}
    assert child.flags == mother.flags & ~LOCKED


def test_mprotect_splits_regions_and_restored_rights_merge_them() -> None:
    system = still()
    mmap(system, 0, 9)
    system.ask("mprotect", HERE + 3 * PAGE, 2 * PAGE, 1)
    assert regions(system) == [(0, 3, RW), (3, 5, 1), (5, 9, RW)]
    system.ask("mprotect", HERE, 9 * PAGE, RW)
    assert regions(system) == [(0, 9, RW)]
    invariants.check(system.kernel)


def test_one_call_may_span_many_regions_and_ends_inside_them() -> None:
    system = still()
    for first in range(0, 12, 3):
        mmap(system, first, 3, 1 if first % 2 else RW)
    assert system.ask("mprotect", HERE + PAGE, 10 * PAGE, 0) == 0
    assert regions(system)[0] == (0, 1, RW)
    assert regions(system)[-1] == (11, 12, 1)
    assert system.ask("munmap", HERE + 2 * PAGE, 8 * PAGE) == 0
    assert [r[:2] for r in regions(system)] == [(0, 1), (1, 2), (10, 11), (11, 12)]
    invariants.check(system.kernel)


def test_a_fixed_mapping_replaces_what_is_there_and_starts_with_zeroes() -> None:
    system = still()
    mmap(system, 0, 3)
    view = system.thread.space
    view.write(HERE, b"a" * 3 * PAGE)
    mmap(system, 1, 1, 1)
    assert view.read(HERE, 3 * PAGE) == b"a" * PAGE + bytes(PAGE) + b"a" * PAGE
    invariants.check(system.kernel)


def test_map_fixed_noreplace_only_maps_free_addresses() -> None:
    system = still()
    flags = PRIVATE | ANON | NOREPLACE
    assert system.ask("mmap", HERE, PAGE, RW, flags, -1, 0) == HERE
    assert system.ask("mmap", HERE, PAGE, RW, flags, -1, 0) == -E.EXIST


def test_beyond_the_limit_of_regions_calls_fail_with_enomem_and_do_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system = still()
    mmap(system, 0, 9)
    system.thread.space.write(HERE, b"a" * 9 * PAGE)
    monkeypatch.setattr(space, "MAX_REGIONS", len(system.thread.space.map))
    assert mmap(system, 20, 1) == -E.NOMEM
    for call in (("munmap", HERE + 3 * PAGE, PAGE), ("mprotect", HERE + 3 * PAGE, PAGE, 1)):
        assert system.ask(*call) == -E.NOMEM
        assert regions(system) == [(0, 9, RW)]
        assert system.thread.space.read(HERE, 9 * PAGE) == b"a" * 9 * PAGE
        invariants.check(system.kernel)
    system.ask("munmap", HERE, 9 * PAGE)
    assert regions(system) == []


def test_the_heap_grows_shrinks_and_comes_back_empty() -> None:
    system = still()
    view, start = system.thread.space, system.ask("brk", 0)
    assert system.ask("brk", start + 5 * PAGE + 7) == start + 5 * PAGE + 7
    view.write(start, b"a" * 5 * PAGE)
    assert system.ask("brk", start + PAGE) == start + PAGE
    with pytest.raises(KernelError):
        view.read(start + PAGE, 1)
    assert system.ask("brk", start + 5 * PAGE) == start + 5 * PAGE
    assert view.read(start, 5 * PAGE) == b"a" * PAGE + bytes(4 * PAGE)
    assert sum(r.name == "[heap]" for r in view.map) == 1
    invariants.check(system.kernel)


def test_the_heap_does_not_move_below_its_start_or_into_a_mapping() -> None:
    system = still()
    start = system.ask("brk", 0)
    system.ask("mmap", start + 4 * PAGE, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0)
    assert system.ask("brk", start - 1) == start
    assert system.ask("brk", start + 5 * PAGE) == start
    assert system.ask("brk", MAP_TOP + PAGE) == start
    assert system.ask("brk", (1 << 64) - 1) == start
    assert system.ask("brk", start + 3 * PAGE) == start + 3 * PAGE


def test_huge_mappings_cost_nothing_until_they_are_touched() -> None:
    system = still()
    used = len(system.kernel.memory.frames.used())
    where = system.ask("mmap", 0, 1 << 39, RW, PRIVATE | ANON, -1, 0)
    assert where > 0
    assert len(system.kernel.memory.frames.used()) == used
    system.thread.space.write(where + (1 << 38), b"x")
    assert system.ask("munmap", where, 1 << 39) == 0
    assert len(system.kernel.memory.frames.used()) == used


# Faults -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prot", range(8))
def test_rights_decide_which_accesses_succeed(prot: int) -> None:
    system = still()
    mmap(system, 0, 1, prot)
    view = system.thread.space
    assert view.fault(HERE, 0) == bool(prot)
    assert view.fault(HERE, ERR_WRITE) == bool(prot & 2)
    assert view.fault(HERE, ERR_FETCH) == bool(prot & 4)


def test_there_is_no_page_below_or_above_a_region() -> None:
    view = still().thread.space
    assert not view.fault(HERE, 0)
    assert not view.fault(0, 0)
    assert not view.fault(KUSER + PAGE, 0)


def stack(system: System) -> Region:
    return next(r for r in system.thread.space.map if r.name == "[stack]")


def test_the_stack_grows_down_to_its_limit_and_no_further() -> None:
    system = still(ram=1)
    floor = STACK_TOP - STACK_BYTES
    assert not system.thread.space.fault(floor - PAGE, ERR_WRITE)
    assert system.thread.space.fault(floor + PAGE, ERR_WRITE)
    assert system.thread.space.fault(floor, ERR_WRITE)
    assert stack(system).start == floor
    assert not system.thread.space.fault(floor - PAGE, ERR_WRITE)
    invariants.check(system.kernel)


def test_the_stack_keeps_its_distance_from_what_lies_below() -> None:
    system = still()
    below = stack(system).start - 100 * PAGE
    system.ask("mmap", below, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0)
    assert not system.thread.space.fault(below + PAGE, ERR_WRITE)
    assert not system.thread.space.fault(below + 16 * PAGE, ERR_WRITE)
    assert system.thread.space.fault(below + 17 * PAGE, ERR_WRITE)


def test_mmap_leaves_the_stacks_room_free() -> None:
    system = still()
    gap = STACK_TOP - STACK_BYTES - MAP_BASE
    assert system.ask("mmap", 0, gap, RW, PRIVATE | ANON, -1, 0) == MAP_BASE
    assert system.ask("mmap", 0, PAGE, RW, PRIVATE | ANON, -1, 0) == MAP_LOWEST


@pytest.mark.parametrize("call", ["munmap", "mprotect"])
def test_a_stack_whose_lowest_page_was_changed_still_grows(call: str) -> None:
    system = still()
    bottom = stack(system).start
    system.thread.space.fault(bottom - 4 * PAGE, ERR_WRITE)
    assert system.ask(call, bottom - 4 * PAGE, PAGE, 1) == 0
    assert system.thread.space.fault(bottom - 40 * PAGE, ERR_WRITE) == (call == "munmap")
    assert any(r.floor for r in system.thread.space.map)
    invariants.check(system.kernel)


# Copy-on-write ----------------------------------------------------------------------------------


def fork(parent: AddressSpace, system: System) -> AddressSpace:
    """A copy of the space with its own thread, so that the checker knows the space."""
    other = system.kernel.life.clone(system.thread, life.CloneRequest())
    system.kernel.tasks.policy.remove(other)
    system.kernel.tasks.block(other, ("test", other.tid, 0))
    return other.space


def refs(view: AddressSpace, va: int) -> int:
    entry = view.table.lookup(va)
    return view.objects.frames.refs[entry >> 12 & 0xFFFFF]


@pytest.mark.parametrize("writer", ["child", "parent"])
def test_after_fork_the_first_to_write_gets_a_copy(writer: str) -> None:
    system = still()
    mmap(system, 0, 2)
    parent = system.thread.space
    parent.write(HERE, b"old" + bytes(PAGE) + b"two")
    child = fork(parent, system)
    assert refs(parent, HERE) == refs(child, HERE) == 2
    assert not parent.table.lookup(HERE) & W
    one, other = (child, parent) if writer == "child" else (parent, child)
    one.write(HERE, b"new")
    assert (one.read(HERE, 3), other.read(HERE, 3)) == (b"new", b"old")
    assert refs(one, HERE) == refs(other, HERE) == 1
    frame = other.table.lookup(HERE) >> 12 & 0xFFFFF
    other.write(HERE, b"own")
    assert other.table.lookup(HERE) >> 12 & 0xFFFFF == frame
    assert refs(one, HERE + PAGE) == 2
    invariants.check(system.kernel)


@pytest.mark.parametrize("first", ["child", "parent"])
def test_after_the_first_process_ends_the_other_keeps_its_memory(first: str) -> None:
    program = Program()
    cell = program.words(7)
    program.fork("child")
    program.store(cell, 1 if first == "parent" else 8)
    if first == "child":
        program.wait()
    else:
        program.sleep(1000)
    program.dump(cell, 1)
    program.exit()
    program.label("child")
    program.store(cell, 9)
    if first == "parent":
        program.sleep(1_000_000)
    program.dump(cell, 1)
    program.exit()
    assert run_code(program).output == (b"\x09\x08" if first == "child" else b"\x01")


def test_grandchildren_share_with_both_generations() -> None:
    system = still()
    mmap(system, 0, 1)
    parent = system.thread.space
    parent.write(HERE, b"a")
    child = fork(parent, system)
    thread = next(t for t in system.kernel.tasks.threads.values() if t.space is child)
    grandchild = system.kernel.life.clone(thread, life.CloneRequest()).space
    assert [refs(s, HERE) for s in (parent, child, grandchild)] == [3, 3, 3]
    child.write(HERE, b"b")
    assert [refs(s, HERE) for s in (parent, child, grandchild)] == [2, 1, 2]
    grandchild.write(HERE, b"c")
    assert [s.read(HERE, 1) for s in (parent, child, grandchild)] == [b"a", b"b", b"c"]
    invariants.check(system.kernel)


@pytest.mark.parametrize("swap", [0, 1])
@pytest.mark.parametrize("advice", [10, 18])
def test_a_child_never_gets_what_madvise_keeps_back(advice: int, swap: int) -> None:
    """MADV_DONTFORK (10) and MADV_WIPEONFORK (18), in the middle of one mapping: not even when the
    child grows its part of the mapping over the hole."""
    system = still(swap=swap)
    mmap(system, 0, 4)
    system.thread.space.write(HERE, b"p" * 4 * PAGE)
    assert system.ask("madvise", HERE + PAGE, PAGE, advice) == 0
    assert system.ask("madvise", HERE + 3 * PAGE, PAGE, advice) == 0
    child = system.kernel.life.clone(system.thread, life.CloneRequest())
    system.thread.space.write(HERE, b"P" * 4 * PAGE)
    invariants.check(system.kernel)
    if advice == 10:
        assert child.space.map.find(HERE + PAGE) is None
        assert system.ask("mremap", HERE, PAGE, 2 * PAGE, 0, 0, thread=child) == HERE
        assert system.ask("mremap", HERE + 2 * PAGE, PAGE, 2 * PAGE, 0, 0, thread=child) > 0
    assert child.space.read(HERE, 4 * PAGE) == (b"p" * PAGE + bytes(PAGE)) * 2
    child.space.write(HERE, b"c" * 4 * PAGE)
    assert system.thread.space.read(HERE, 4 * PAGE) == b"P" * 4 * PAGE
    invariants.check(system.kernel)


def test_shared_memory_stays_shared_after_fork() -> None:
    system = still()
    mmap(system, 0, 2, RW, SHARED)
    parent = system.thread.space
    parent.write(HERE, b"a")
    child = fork(parent, system)
    child.write(HERE, b"b")
    child.write(HERE + PAGE, b"late")
    assert parent.read(HERE, 1) == b"b"
    assert parent.read(HERE + PAGE, 4) == b"late"
    assert refs(parent, HERE) == 1
    invariants.check(system.kernel)


def test_a_child_starts_with_clean_accessed_and_dirty_bits() -> None:
    system = still()
    mmap(system, 0, 1)
    parent = system.thread.space
    parent.write(HERE, b"a")
    child = fork(parent, system)
    assert parent.table.lookup(HERE) & (A | D) == A | D
    assert child.table.lookup(HERE) & (A | D) == 0


@pytest.mark.parametrize("rights", [0, 1])
@pytest.mark.parametrize("writer", ["child", "parent"])
def test_removing_and_restoring_rights_does_not_undo_copy_on_write(
    writer: str, rights: int
) -> None:
    system = still()
    mmap(system, 0, 1)
    parent = system.thread.space
    parent.write(HERE, b"old")
    child = fork(parent, system)
    one, other = (child, parent) if writer == "child" else (parent, child)
    for prot in (rights, RW):
        one.protect(HERE, HERE + PAGE, prot)
    assert one.read(HERE, 3) == b"old"
    assert not one.table.lookup(HERE) & W
    one.write(HERE, b"new")
    assert other.read(HERE, 3) == b"old"
    invariants.check(system.kernel)


# Nothing leaks ----------------------------------------------------------------------------------


def test_no_process_sees_the_memory_of_an_ended_one() -> None:
    """One process fills memory with a pattern and ends.  The next finds only zeroes."""
    pages = 96
    program = Program()
    program.fork("vandal")
    program.wait()
    program.call("mmap", HERE, pages * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0)
    program.dump(HERE, pages * PAGE)
    program.exit()
    program.label("vandal")
    program.call("mmap", HERE, pages * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0)
    program.move("rdi", HERE)
    program.move("rcx", pages * PAGE)
    program.move("rax", 0xA5)
    program.raw("f3aa")  # rep stosb
    program.exit()
    assert run_code(program, ram=1, checked=False).output == bytes(pages * PAGE)


def test_every_frame_is_zero_when_it_is_handed_out_again() -> None:
    system = still(ram=1)
    count = len(system.kernel.memory.frames.free) - 8
    for _ in range(3):
        where = system.ask("mmap", 0, count * PAGE, RW, PRIVATE | ANON, -1, 0)
        assert system.thread.space.read(where, count * PAGE) == bytes(count * PAGE)
        system.thread.space.write(where, b"\xa5" * count * PAGE)
        assert system.ask("munmap", where, count * PAGE) == 0


@pytest.mark.parametrize("mmu", ["model", "silicon"])
def test_a_and_d_bits_outlive_every_change_of_rights(mmu: str) -> None:
    """A page that was stored to stays dirty, or its content would be lost when it is dropped."""
    program = Program()
    program.call("mmap", HERE, 3 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0)
    program.store_byte(HERE, 1)
    program.load_byte(HERE + PAGE)
    program.call("null_call")
    for prot in (1, RW, 5, RW):
        program.call("mprotect", HERE, 3 * PAGE, prot)
    program.exit()
    system = System(program, mmu=mmu, ram=2)
    found = []

    def look(_: object) -> None:
        if system.process.threads and {"null_call", "mprotect"} & {c.name for c in system.calls}:
            table = system.thread.space.table
            found.append([table.lookup(HERE + i * PAGE) & (A | D) for i in range(3)])

    system.kernel.after_trap = look
    system.run()
    assert len(found) >= 5
    assert all(bits == [A | D, A, 0] for bits in found)


def test_a_program_is_told_its_regions_and_where_its_pages_are() -> None:
    """vantage_region and vantage_translate: the same as the kernel's own map and tables say."""
    system = still()
    assert mmap(system, 0, 3) == HERE
    space, out = system.thread.space, HERE + PAGE
    space.write(out, b"x")
    for index, region in enumerate(list(space.map)):
        assert system.ask("vantage_region", index, out) == 0
        start, end, prot, shared = struct.unpack_from("<QQII", space.read(out, 24))
        assert (start, end, prot, shared) == (region.start, region.end, region.prot, region.shared)
    assert system.ask("vantage_translate", out + 5, HERE + 2 * PAGE) == 0
    entry, address = struct.unpack("<QQ", space.read(HERE + 2 * PAGE, 16))
    assert address == (entry & (1 << 52) - PAGE) + 5
    assert address == (space.table.lookup(out) & (1 << 52) - PAGE) + 5
