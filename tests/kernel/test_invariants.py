"""The invariants hold after every trap, and the checker notices each violation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hw.paging import NX, W
from kernel import invariants, turns
from kernel.abi.errno import Panic
from kernel.kernel import Kernel
from kernel.mm.objects import MemoryObject
from kernel.mm.pagetable import PageTable
from kernel.mm.space import AddressSpace
from kernel.task.credentials import Credentials
from kernel.task.process import BLOCKED
from tests.kernel.system import LAST, SMALL, System

SHORT = {**SMALL, "faults": ("null-write",), "stream": ("64", "2", "512"), "pages": ("40",)}
"""Small enough to be checked after every trap."""


@pytest.mark.parametrize("cpus", [1, 2, 4])
@pytest.mark.parametrize("name", SHORT)
def test_all_invariants_hold_after_every_trap(name: str, cpus: int) -> None:
    System(name, *SHORT[name], cpus=cpus, ram=2, checked=True).run()


@pytest.mark.parametrize("shape", [{"pcid": False}, {"pcids": 2}, {"pcids": 1}], ids=str)
@pytest.mark.parametrize("cpus", [1, 2, 4])
@pytest.mark.parametrize(
    "name", ["forks", "many", "passing", "signals", "threads", "cow", "pingpong"]
)
def test_the_invariants_hold_without_tags_and_with_few(
    name: str, cpus: int, shape: dict[str, int]
) -> None:
    System(name, *SHORT[name], cpus=cpus, ram=2, checked=True, **shape).run()


def test_the_invariants_hold_through_every_kind_of_fault() -> None:
    """The check runs only now and then: a stack overflow alone takes two thousand traps."""
    system, traps = System("faults"), 0

    def check_now_and_then(kernel: Kernel) -> None:
        nonlocal traps
        traps += 1
        if traps % 61 == 0:
            invariants.check(kernel)

    system.kernel.after_trap = check_now_and_then
    assert system.run().status == 0


@pytest.mark.parametrize("cpus", [1, 4])
@pytest.mark.parametrize("name", SMALL)
def test_everything_is_given_back_at_the_end(name: str, cpus: int) -> None:
    """The system keeps its programs, and nothing of any process.  VASes stay until they are
    deleted."""
    system = System(name, *SMALL[name], cpus=cpus)
    system.run()
    kernel = system.kernel
    invariants.check(kernel)
    for vid in list(kernel.vases.vases):
        kernel.vases.delete(Credentials(), vid)
    files = sum(len(made.pages) for made in invariants.live_objects(kernel).values())
    reserved = kernel.machine.first_free_frame
    assert len(kernel.memory.frames.used()) == reserved + 1 + files
    assert not kernel.tasks.threads
    assert not kernel.tasks.channels
    assert not kernel.memory.shootdowns.open
    assert not kernel.ipc.callers


# The checker can fail ---------------------------------------------------------------------------


def broken(kernel: Kernel) -> str:
    with pytest.raises(Panic) as caught:
        invariants.check(kernel)
    return str(caught.value)


@pytest.fixture
def system() -> System:
    """A program in the middle of its work: several threads, some of them asleep.  A test breaks it
    on purpose, so it need not end well."""
    system = System("threads", "3", "200", ram=2, cpus=2)
    while not any(thread.state == BLOCKED for thread in system.kernel.tasks.threads.values()):
        turns.run_traps(system.kernel, 20)
    invariants.check(system.kernel)
    LAST.clear()
    return system


def space_of(system: System) -> AddressSpace:
    return system.thread.space


def some_object(system: System) -> MemoryObject:
    return next(r.object for r in space_of(system).map if r.name == "[stack]")


def a_page(system: System) -> tuple[int, int]:
    region = next(r for r in space_of(system).map if r.name == "[stack]")
    return next(iter(space_of(system).table.entries(region.start, region.end)))


def test_it_sees_a_count_too_high_and_one_too_low(system: System) -> None:
    frames = system.kernel.memory.frames
    pfn = next(iter(some_object(system).pages.values()))
    frames.refs[pfn] += 1
    assert f"frame {pfn:#x} should have refcount 1, has 2" in broken(system.kernel)
    frames.refs[pfn] -= 2
    assert f"frame {pfn:#x} should have refcount 1, has 0" in broken(system.kernel)


def test_it_sees_an_owner_of_a_free_frame(system: System) -> None:
    pfn = system.kernel.memory.frames.free[-1]
    system.kernel.memory.frames.owners[pfn] = 3
    assert f"frame {pfn:#x} has refcount 0 and is anonymous" in broken(system.kernel)


@pytest.mark.parametrize("change", [lambda free: free.pop(), lambda free: free.append(free[0])])
def test_it_sees_a_free_list_that_lacks_or_repeats_a_frame(
    system: System, change: Callable[[list[int]], None]
) -> None:
    change(system.kernel.memory.frames.free)
    assert "the free list is not the list of frames with refcount 0" in broken(system.kernel)


def test_it_sees_a_leaf_without_a_region(system: System) -> None:
    space, (va, entry) = space_of(system), a_page(system)
    table: PageTable = space.table
    table.set(0x1234_5000, entry)
    assert f"space {space.id} at 0x12345000: a leaf and no region" in broken(system.kernel)
    table.clear(0x1234_5000)
    invariants.check(system.kernel)
    assert va


def test_it_sees_a_leaf_that_shows_another_frame(system: System) -> None:
    va, entry = a_page(system)
    space_of(system).table.change(va, entry + 0x1000)
    assert "the leaf shows frame" in broken(system.kernel)


def test_it_sees_a_leaf_that_allows_too_much(system: System) -> None:
    code = next(r for r in space_of(system).map if r.prot & 4)
    va, entry = next(iter(space_of(system).table.entries(code.start, code.end)))
    space_of(system).table.change(va, entry | W)
    assert "writable, though a store must fault first" in broken(system.kernel)
    space_of(system).table.change(va, entry)
    va, entry = a_page(system)
    space_of(system).table.change(va, entry & ~NX)
    assert "executable, though its region is not" in broken(system.kernel)


def test_it_sees_a_table_that_is_miscounted(system: System) -> None:
    table = space_of(system).table
    table.used[table.root_pfn] += 1
    assert f"table {table.root_pfn:#x} of space" in broken(system.kernel)


def test_it_sees_a_region_out_of_place(system: System) -> None:
    region = space_of(system).map.regions[0]
    region.end = region.start
    assert "is out of place" in broken(system.kernel)


def test_it_sees_an_object_with_the_wrong_number_of_holders(system: System) -> None:
    made = some_object(system)
    made.holds += 1
    assert f"object {made.id} should have 1 holders, has 2" in broken(system.kernel)


def test_it_sees_an_object_that_does_not_know_its_region(system: System) -> None:
    made = some_object(system)
    made.regions.clear()
    assert f"object {made.id}" in broken(system.kernel)


def test_it_sees_a_region_listed_that_does_not_map_the_object(system: System) -> None:
    made, other = some_object(system), space_of(system).map.regions[0]
    made.regions.append(other)
    assert f"object {made.id} lists 2 regions, 1 map it" in broken(system.kernel)


def test_it_sees_a_stale_translation(system: System) -> None:
    tlbs = system.kernel.memory.shootdowns.cores
    for core, tlb in zip(system.kernel.machine.cores, tlbs, strict=True):
        entry = next(iter(core.state.mmu.dtlb.index.values()), None)
        if entry is None or tlb.space is not space_of(system):
            continue
        entry.pfn += 1
        assert f"core {core.state.id}: the TLB has page" in broken(system.kernel)
        entry.pfn -= 1
        entry.rights, before = entry.rights | W, entry.rights
        entry.rights &= ~NX
        assert "with rights that the tables have not" in broken(system.kernel)
        entry.rights = before
        space_of(system).table.clear(entry.vpn << 12)
        assert "and the tables do not" in broken(system.kernel)
        return
    raise AssertionError("no core holds a translation")


def test_it_sees_a_thread_in_two_queues_and_one_in_none(system: System) -> None:
    kernel = system.kernel
    sleeper = next(t for t in kernel.tasks.threads.values() if t.state == BLOCKED)
    kernel.tasks.policy.enqueue(sleeper)
    assert f"thread {sleeper.tid} in state {BLOCKED}" in broken(kernel)
    kernel.tasks.policy.remove(sleeper)
    assert sleeper.channel is not None
    del kernel.tasks.channels[sleeper.channel]
    assert f"thread {sleeper.tid} in state {BLOCKED}" in broken(kernel)


def test_it_sees_a_thread_that_its_process_does_not_know(system: System) -> None:
    thread = system.process.threads.pop()
    assert f"thread {thread.tid} is not among those of process 1" in broken(system.kernel)


def test_it_sees_a_space_with_the_wrong_number_of_users(system: System) -> None:
    space_of(system).users += 1
    assert f"space {space_of(system).id} should have" in broken(system.kernel)


def test_it_sees_a_handle_with_the_wrong_number_of_holders(system: System) -> None:
    system.kernel.ipc.well_known.console.holds += 1
    assert "a handle should have 2 holders, has 3" in broken(system.kernel)
