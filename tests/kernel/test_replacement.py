"""Paging out and in keeps contents and sharing, on every core, and loses nothing."""

from __future__ import annotations

from typing import Any

import pytest

from hw.machine import MachineConfig
from hw.memory import PAGE_SIZE
from hw.trace import Kind, Trace
from kernel import checkpoint, invariants, turns
from kernel.abi.errno import E, KernelError, Panic
from kernel.life import life
from kernel.mm import file_pages, truncate
from kernel.mm.objects import Away
from kernel.mm.replace import IN_FILE, PAGE_IN, PAGE_OUT, PAGING, POLICIES, replacement_of
from kernel.mm.shootdown import SHOOTDOWN, SHOOTDOWN_DONE
from kernel.mm.space import AddressSpace
from kernel.port import CorePort
from tests.kernel.asm import Program
from tests.kernel.system import SMALL, System, boot_program, still
from tests.kernel.tight import (
    ANON,
    FIXED,
    HERE,
    PAGE,
    PRIVATE,
    RW,
    SHARED,
    SPARE,
    hog,
    pager,
    squeeze,
)


def short(**wishes: Any) -> System:
    """A system that does not run, with eight pages of data at HERE and four frames for them."""
    system = still(ram=1, swap=1, **wishes)
    system.ask("mmap", HERE, 8 * PAGE, RW, PRIVATE | ANON | FIXED)
    return system


def everything_out(system: System) -> None:
    pager(system).make_room(1 << 30)
    invariants.check(system.kernel)


def child_of(system: System) -> AddressSpace:
    thread = system.kernel.life.clone(system.thread, life.CloneRequest())
    system.kernel.tasks.policy.remove(thread)
    system.kernel.tasks.block(thread, ("test", thread.tid, 0))
    return thread.space


# Contents ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
def test_data_survives_paging_out_and_in(policy: str) -> None:
    system = short(replace=policy)
    view = system.thread.space
    content = bytes(range(256)) * 8 * 16
    view.write(HERE, content)
    everything_out(system)
    assert not view.table.lookup(HERE)
    assert len(system.kernel.machine.disk.state.blocks) >= 8
    assert view.read(HERE, len(content)) == content
    invariants.check(system.kernel)


def test_a_disk_block_is_freed_when_its_page_returns_or_is_dropped() -> None:
    system = short()
    view, blocks = system.thread.space, system.kernel.machine.disk.state.blocks
    everything_out(system)
    before = set(blocks)
    view.write(HERE, b"a" * 8 * PAGE)
    everything_out(system)
    assert len(set(blocks) - before) >= 8 - len(before)
    view.read(HERE, 3 * PAGE)
    system.ask("munmap", HERE + 3 * PAGE, 2 * PAGE)
    system.ask("madvise", HERE + 5 * PAGE, PAGE, 4)
    invariants.check(system.kernel)
    assert view.read(HERE + 5 * PAGE, 3 * PAGE) == bytes(PAGE) + b"a" * 2 * PAGE
    system.ask("munmap", HERE, 8 * PAGE)
    assert set(blocks) <= before
    invariants.check(system.kernel)


def test_a_page_shared_by_fork_is_paged_out_once_and_stays_shared() -> None:
    system = short()
    parent = system.thread.space
    parent.write(HERE, b"old")
    child = child_of(system)
    everything_out(system)
    writes = system.kernel.machine.disk.state.writes
    assert not parent.table.lookup(HERE)
    assert not child.table.lookup(HERE)
    assert child.read(HERE, 3) == b"old"
    pfn = child.table.lookup(HERE) >> 12 & 0xFFFFF
    assert system.kernel.memory.frames.refs[pfn] == 2
    child.write(HERE, b"new")
    assert (parent.read(HERE, 3), child.read(HERE, 3)) == (b"old", b"new")
    assert system.kernel.machine.disk.state.writes == writes
    invariants.check(system.kernel)


def test_a_fork_gives_the_child_all_paged_out_pages() -> None:
    system = short()
    parent = system.thread.space
    parent.write(HERE, b"a" * 8 * PAGE)
    everything_out(system)
    child = child_of(system)
    parent.write(HERE, b"b")
    assert child.read(HERE, 8 * PAGE) == b"a" * 8 * PAGE
    thread = next(t for t in system.kernel.tasks.threads.values() if t.space is child)
    system.kernel.life.exit_process(thread.process, 0)
    assert parent.read(HERE, 2) == b"ba"
    invariants.check(system.kernel)


def test_shared_memory_is_paged_out_of_every_space_at_once() -> None:
    system = still(ram=1, swap=1)
    system.ask("mmap", HERE, 2 * PAGE, RW, SHARED | ANON | FIXED)
    parent, child = system.thread.space, child_of(system)
    parent.write(HERE, b"one")
    child.read(HERE, 1)
    everything_out(system)
    assert not parent.table.lookup(HERE)
    assert not child.table.lookup(HERE)
    child.write(HERE, b"two")
    assert parent.read(HERE, 3) == b"two"
    invariants.check(system.kernel)


def test_a_page_of_code_is_dropped_without_a_write_to_the_disk() -> None:
    system = short()
    code = system.thread.space.map.regions[0]
    system.thread.space.read(code.start, 1)
    source = code.object.source
    assert source is not None
    assert source.pages
    everything_out(system)
    assert not source.pages
    assert {away.block for away in source.paged_out.values()} == {IN_FILE}
    assert system.thread.space.read(code.start, 2) == bytes.fromhex("ebfe")


def test_a_file_that_was_changed_goes_to_the_disk() -> None:
    system = short()
    port = CorePort(system.kernel, 0)
    cap = port.publish(b"a" * PAGE * 2)
    file = system.kernel.ipc.published[cap]
    file_pages.store(file, 10, b"changed")
    everything_out(system)
    (away,) = file.paged_out.values()
    assert away.block != IN_FILE
    assert file_pages.load(file, 8, 11) == b"aachangedaa"
    assert not file.pages, "to look at a file takes no frames"
    truncate.resize(file, 12)
    everything_out(system)
    truncate.resize(file, 20)
    assert file_pages.load(file, 0, 99) == b"a" * 10 + b"ch" + bytes(8)
    file_pages.store(file, 0, b"b")
    assert file_pages.load(file, 0, 3) == b"baa"
    port.drop(cap)
    invariants.check(system.kernel)


# What stays -------------------------------------------------------------------------------------


def test_locked_pages_stay_and_go_when_they_are_unlocked() -> None:
    system = short()
    view = system.thread.space
    view.write(HERE, b"a" * 8 * PAGE)
    assert system.ask("mlock", HERE + PAGE, 2 * PAGE) == 0
    everything_out(system)
    there = [bool(view.table.lookup(HERE + page * PAGE)) for page in range(8)]
    assert there == [False, True, True] + [False] * 5
    assert system.ask("munlock", HERE, 8 * PAGE) == 0
    everything_out(system)
    assert not any(view.table.lookup(HERE + page * PAGE) for page in range(8))


def test_a_page_that_one_process_has_locked_stays_for_all() -> None:
    system = short()
    system.thread.space.write(HERE, b"a")
    child = child_of(system)
    system.ask("mlock2", HERE, PAGE, 1)
    everything_out(system)
    assert child.table.lookup(HERE)
    system.ask("munmap", HERE, PAGE)
    everything_out(system)
    assert not child.table.lookup(HERE)
    assert child.read(HERE, 1) == b"a"


def test_with_a_full_disk_only_clean_file_pages_leave() -> None:
    system = short()
    pager(system).blocks_used = system.kernel.machine.disk.count
    system.thread.space.write(HERE, b"a" * 8 * PAGE)
    code = system.thread.space.map.regions[0]
    system.thread.space.read(code.start, 1)
    pager(system).make_room(1 << 30)
    assert system.thread.space.table.lookup(HERE)
    assert not system.thread.space.table.lookup(code.start)


@pytest.mark.parametrize("cpus", [1, 2])
def test_out_of_memory_and_of_disk_ends_as_it_does_without_a_disk(cpus: int) -> None:
    run = System("pages", "800", ram=1, swap=1, cpus=cpus)
    ended = run.run()
    assert ended.signal == 9
    assert any(b"out of memory: process 1 (pages) is killed" in log for log in ended.logs)
    assert not run.kernel.machine.disk.state.blocks
    invariants.check(run.kernel)


def test_a_process_that_only_pages_is_killed_in_the_end() -> None:
    """The page tables of eight processes leave fewer frames than one instruction needs."""
    system = System("forks", *SMALL["forks"], ram=1, swap=16, turns=10**6)
    squeeze(system, 24)
    system.run()
    assert any(log.startswith(b"out of memory: process") for log in system.logs)
    invariants.check(system.kernel)


def test_the_kernel_returns_enomem_when_no_page_can_return() -> None:
    system = short()
    system.thread.space.write(HERE, b"a")
    everything_out(system)
    taken, system.kernel.memory.frames.free[:] = list(system.kernel.memory.frames.free), []
    with pytest.raises(KernelError) as caught:
        system.thread.space.read(HERE, 1)
    assert caught.value.number == E.NOMEM
    system.kernel.memory.frames.free[:] = taken
    assert system.thread.space.read(HERE, 1) == b"a"


# Programs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mmu", ["model", "silicon"])
@pytest.mark.parametrize("cpus", [1, 4])
@pytest.mark.parametrize("policy", POLICIES)
def test_a_program_of_twice_the_size_of_memory_finishes_and_is_right(
    policy: str, cpus: int, mmu: str
) -> None:
    """1 MiB has 256 frames; the program has 500 pages of data, and its child as many."""
    system = System(
        "overcommit", "500", "4", "2", ram=1, swap=4, cpus=cpus, mmu=mmu, replace=policy
    )
    run = system.run()
    assert run.exit_code == 0
    assert run.output == (
        b"500 pages, 4 threads: 0 words are wrong\n"
        b"child: 0 words are wrong\nparent: 0 words are wrong\n"
    )
    assert pager(system).majors > 500
    invariants.check(system.kernel)
    assert not system.kernel.machine.disk.state.blocks


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("cpus", [1, 4])
def test_both_mmus_page_the_same_pages(cpus: int, policy: str) -> None:
    """Two walkers set the A bits that `clock` reads, and clock chooses the same pages."""
    shape: dict[str, Any] = {"ram": 1, "swap": 4, "cpus": cpus, "replace": policy, "walks": False}
    systems = [System("overcommit", "260", "4", "1", mmu=m, **shape) for m in ("model", "silicon")]
    runs = [system.run() for system in systems]
    assert runs[0].faults == runs[1].faults
    assert runs[0].memory == runs[1].memory
    assert runs[0].leaves == runs[1].leaves
    assert pager(systems[0]).outs == pager(systems[1]).outs > 0


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("cpus", [1, 4])
@pytest.mark.parametrize("frames", [12, 20])
def test_all_invariants_hold_after_every_trap_while_pages_come_and_go(
    frames: int, cpus: int, policy: str
) -> None:
    shape: dict[str, Any] = {"ram": 1, "swap": 1, "cpus": cpus, "replace": policy}
    system = System("overcommit", "18", "3", "1", checked=True, **shape)
    squeeze(system, frames)
    run = system.run()
    assert run.exit_code == 0
    assert run.output.count(b" 0 words are wrong") == 3
    assert pager(system).majors > 20


SHOW_FRAMES_OR_TURNS = ("cow", "maps", "memcalls", "racy")
"""These programs print frames, resident pages, or how threads were pre-empted."""


@pytest.mark.parametrize("cpus", [1, 4])
@pytest.mark.parametrize("name", [name for name in SMALL if name not in SHOW_FRAMES_OR_TURNS])
def test_programs_print_the_same_with_hardly_any_memory(name: str, cpus: int) -> None:
    systems = [
        System(name, *SMALL[name], ram=ram, swap=16, cpus=cpus, turns=10**6) for ram in (1, 32)
    ]
    squeeze(systems[0], 110)
    hog(systems[1])
    tight, roomy = (system.run() for system in systems)
    assert tight.status == 0
    assert tight.output == roomy.output
    invariants.check(systems[0].kernel)


def test_calls_work_on_paged_out_buffers() -> None:
    """write reads such a buffer, read and getrandom write to it, execve replaces it."""
    program = Program()
    program.call("mmap", HERE, 16 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0)
    for page in range(16):
        program.store_byte(HERE + page * PAGE, 65 + page)
    program.dump(HERE, 16 * PAGE)
    program.call("getrandom", HERE + PAGE - 8, 14 * PAGE, 0)
    program.dump(HERE, 1)
    program.dump(HERE + 15 * PAGE, 1)
    name = program.put(b"/bin/hello\0")
    program.call("execve", name, program.words(name, 0), 0)
    program.exit(1)
    system = System(program, ram=1, swap=1)
    squeeze(system, 7)
    run = system.run()
    start = b"".join(bytes([65 + page]) + bytes(PAGE - 1) for page in range(16))
    assert run.output.startswith(start + b"AP")
    assert run.exit_code == 0


def test_a_futex_stays_the_same_while_its_page_is_paged_out() -> None:
    system = System("threads", "3", "60", ram=1, swap=1, cpus=2, turns=10**6)
    squeeze(system, 12)
    run = system.run()
    assert run.output == boot_program("threads", "3", "60").output
    assert pager(system).majors > 50


# Several cores ----------------------------------------------------------------------------------


def test_no_frame_is_used_again_before_every_core_has_answered() -> None:
    order: list[str] = []
    system = System("overcommit", "300", "4", "1", ram=1, swap=2, cpus=4, traced=False)

    def observe(kind: Kind, values: tuple[Any, ...]) -> None:
        if kind in (SHOOTDOWN, SHOOTDOWN_DONE, PAGE_OUT, PAGE_IN):
            order.append(kind.name)

    system.kernel.machine.attach_trace(Trace({}, None, observe))
    system.run()
    assert "shootdown" in order
    under_way = 0
    for name in order:
        under_way += {"shootdown": 1, "shootdown_done": -1}.get(name, 0)
        assert not (name == "page_out" and under_way), "the page was written while it was in use"


# Records, checkpoints, the checker ----------------------------------------------------------------


def records_of(system: System) -> list[tuple[Kind, tuple[Any, ...]]]:
    found: list[tuple[Kind, tuple[Any, ...]]] = []
    trace = Trace({}, None, lambda kind, values: found.append((kind, values)))
    system.kernel.machine.attach_trace(trace)
    return found


def test_the_trace_has_every_page_that_left_and_came_and_why() -> None:
    system = System("overcommit", "300", "2", "1", ram=1, swap=2, traced=False)
    found = records_of(system)
    system.run()
    out = [values for kind, values in found if kind is PAGE_OUT]
    back = [values for kind, values in found if kind is PAGE_IN]
    tally = [values for kind, values in found if kind is PAGING]
    numbers = pager(system)
    assert (len(out), len(back)) == (numbers.outs, numbers.majors)
    assert {values[5] for values in out} == {1, 2}, "some unreferenced, some when all were"
    assert sum(values[5] for values in back) == numbers.refaults
    assert [values[1] for values in tally] == list(range(64, numbers.majors + 1, 64))


def test_thrashing_is_reported_only_where_it_happens() -> None:
    """The first program goes round a range just too large for memory, the second passes once
    through a large one."""
    for pages, rounds, thrashes in ((24, 8, True), (600, 1, False)):
        system = short(replace="fifo", traced=False)
        squeeze(system, 20)
        system.ask("mmap", HERE, pages * PAGE, RW, PRIVATE | ANON | FIXED)
        for _ in range(rounds):
            for page in range(pages if thrashes else 200):
                system.thread.space.write(HERE + page * PAGE, b"a")
        assert pager(system).is_thrashing == thrashes
        assert (pager(system).refaults > 64) == thrashes


def test_the_disk_costs_what_its_table_says() -> None:
    system = short()
    system.thread.space.write(HERE, b"a")
    core = system.kernel.machine.core
    before, out = core.state.cycles, pager(system).outs
    everything_out(system)
    writes = system.kernel.machine.disk.state.writes
    assert writes <= pager(system).outs - out
    assert core.state.cycles - before > writes * 200_000
    before = core.state.cycles
    system.thread.space.read(HERE, 1)
    assert 150_000 < core.state.cycles - before < 170_000


def test_a_checkpoint_holds_paged_out_pages() -> None:
    def system() -> System:
        return System("overcommit", "300", "2", "1", ram=1, swap=2, watched=False)

    whole = system()
    whole.run()
    half = system()
    turns.run_traps(half.kernel, 700)
    assert half.kernel.machine.disk.state.blocks
    written = list(half.written)
    other = checkpoint.load(checkpoint.save(half.kernel), written.append)
    invariants.check(other)
    first = other.tasks.processes[1]
    turns.run(other, lambda: first.zombie)
    assert written == whole.written
    assert other.machine.core.state.cycles == whole.kernel.machine.core.state.cycles
    replacement = replacement_of(other.memory.objects)
    assert replacement is not None
    assert replacement.outs == pager(whole).outs


@pytest.mark.parametrize("cpus", [1, 4])
def test_two_runs_page_the_same_pages(cpus: int) -> None:
    shape: dict[str, Any] = {"ram": 1, "swap": 2, "cpus": cpus}
    one, two = (boot_program("overcommit", "300", "3", "1", **shape) for _ in range(2))
    assert one.digest == two.digest


def test_without_a_disk_nothing_ever_leaves() -> None:
    system = still(ram=1)
    assert replacement_of(system.kernel.memory.objects) is None
    assert system.kernel.machine.disk.count == 0
    assert MachineConfig(swap_mib=3).swap_mib << 20 == 3 * 256 * PAGE_SIZE
    with pytest.raises(ValueError, match="--swap takes 0 to 65536 MiB, not -1"):
        MachineConfig(swap_mib=-1)
    with pytest.raises(ValueError, match="has 0 blocks, and no block 0"):
        system.kernel.machine.disk.read(0)


def broken(system: System) -> str:
    with pytest.raises(Panic) as caught:
        invariants.check(system.kernel)
    return str(caught.value)


def test_the_checker_notices_errors_of_paged_out_pages() -> None:
    system = short()
    system.thread.space.write(HERE, b"a" * 2 * PAGE)
    everything_out(system)
    region = system.thread.space.map.find(HERE)
    assert region is not None
    made, index = region.object, region.object_page(HERE)
    away = made.paged_out[index]
    away.holds += 1
    assert f"block {away.block} should have 1 holders, has 2" in broken(system)
    away.holds -= 1
    pager(system).free_blocks.append(away.block)
    assert "given out twice" in broken(system)
    pager(system).free_blocks.pop()
    made.paged_out[index] = Away(IN_FILE, 1, 0)
    assert "a block of the paging disk is lost" in broken(system)
    made.paged_out[index] = away
    system.thread.space.read(HERE + PAGE, 1)
    made.paged_out[index + 1] = Away(IN_FILE, 1, 0)
    assert "is in memory and paged out" in broken(system)
    del made.paged_out[index + 1]
    entry = pager(system).queue.pop(made.pages[index + 1])
    assert "could never leave memory" in broken(system)
    pager(system).queue[made.pages[index + 1]] = entry
    made.family.append(made)
    assert "is not once in its family" in broken(system)
    made.family.pop()
    invariants.check(system.kernel)
    assert SPARE == 4
