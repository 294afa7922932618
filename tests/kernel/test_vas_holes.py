"""The nine holes of the RFC: four of them shown under the policy `rfc`, all closed otherwise."""

from __future__ import annotations

import re

import pytest

from kernel import invariants
from kernel.abi.errno import E, KernelError
from kernel.mm.conflict import CONFLICT
from kernel.strace import Strace
from tests.kernel.asm import At, Program
from tests.kernel.system import System
from tests.kernel.vas_world import HERE, OTHER, PAGE, RW, R, World

EVERY = pytest.mark.parametrize("sync", ["subtree", "forward", "rfc"])
OURS = pytest.mark.parametrize("sync", ["subtree", "forward"])


def grown(world: World, pages: int = 1) -> int:
    """Grow the heap; the address of the new memory."""
    top = world.ask("brk", 0)
    assert world.ask("brk", top + pages * PAGE) == top + pages * PAGE
    return top


def two_heaps(sync: str) -> tuple[World, int]:
    """A process with a heap, and an attached VAS."""
    world = World(sync=sync)
    grown(world)
    return world, world.attached()


# 1. Heap growth ---------------------------------------------------------------------------------


def test_hole_1_under_rfc_a_heap_that_grew_in_the_original_cannot_be_switched_from() -> None:
    world, vid = two_heaps("rfc")
    grown(world)
    assert world.ask("vas_switch", vid) == -E.FAULT
    assert world.ask("vas_switch", vid) == -E.FAULT, "and never can be again"
    assert world.ask("active_vas") == 0
    (text,) = set(world.kernel.log.messages)
    assert text.count("[heap]") == 2, "the log names both regions"


def test_hole_1_under_rfc_a_heap_that_grew_in_the_view_cannot_be_left() -> None:
    world, vid = two_heaps("rfc")
    assert world.ask("vas_switch", vid) == 0
    grown(world)
    assert world.ask("vas_switch", 0) == -E.FAULT
    assert world.ask("active_vas") == vid
    invariants.check(world.kernel)


@OURS
def test_hole_1_is_closed_a_heap_is_one_heap_in_all_views(sync: str) -> None:
    world, vid = two_heaps(sync)
    other = world.clone()
    assert world.ask("vas_switch", vid) == 0
    inside = grown(world)
    outside = world.ask("brk", 0, thread=other)
    world.ask("brk", outside + PAGE, thread=other)
    assert outside == inside + PAGE, "the second growth begins where the first ended"
    world.thread.space.write(outside, b"from within")
    assert other.space.read(outside, 11) == b"from within"
    assert world.ask("vas_switch", 0) == 0
    invariants.check(world.kernel)


def test_the_conflict_is_a_record_that_names_both_regions() -> None:
    world, vid = two_heaps("rfc")
    seen: list[tuple[object, ...]] = []
    world.trace.observer = lambda kind, values: seen.append(values) if kind is CONFLICT else None
    grown(world)
    world.ask("vas_switch", vid)
    ((_, start, end, name, other_start, other_end, other_name),) = seen
    assert (name, other_name) == (b"[heap]", b"[heap]")
    assert (start, end) == (other_start, int(str(other_end)) + PAGE)


def test_the_log_of_calls_says_who_sees_what_and_what_conflicts() -> None:
    world, vid = two_heaps("rfc")
    lines: list[str] = []
    world.trace.observer = Strace(lines.append)
    world.ask("vas_switch", vid)
    world.ask("vas_switch", 0)
    grown(world)
    world.ask("vas_switch", vid)
    assert re.fullmatch(r"\[1\] sees VAS 1 from now on \(space \d+\)", lines[0])
    assert re.fullmatch(r"\[1\] sees VAS 0 from now on \(space \d+\)", lines[1])
    (conflict,) = [line for line in lines if line.startswith("conflict: ")]
    assert re.fullmatch(
        r"conflict: \[heap\] at \w+-\w+ and \[heap\] at \w+-\w+ want the same place", conflict
    )


# 2. Unmapping -----------------------------------------------------------------------------------


def unmapped_outside(sync: str) -> bytes:
    world = World(sync=sync)
    at = world.map(HERE)
    world.thread.space.write(at, b"old")
    vid = world.attached()
    assert world.ask("vas_switch", vid) == 0
    assert world.thread.space.read(at, 3) == b"old"
    assert world.ask("vas_switch", 0) == 0
    assert world.ask("munmap", at, PAGE) == 0
    assert world.ask("vas_switch", vid) == 0
    invariants.check(world.kernel)
    return world.thread.space.read(at, 3)


def test_hole_2_under_rfc_what_the_original_unmaps_lives_on_in_the_view() -> None:
    assert unmapped_outside("rfc") == b"old"


@OURS
def test_hole_2_is_closed(sync: str) -> None:
    with pytest.raises(KernelError) as caught:
        unmapped_outside(sync)
    assert caught.value.number == E.FAULT


# 3. A lost write --------------------------------------------------------------------------------


def first_touched_inside(sync: str) -> bytes:
    world = World(sync=sync)
    at = world.map(HERE)
    vid = world.attached()
    assert world.ask("vas_switch", vid) == 0
    world.thread.space.write(at, b"new")
    assert world.ask("vas_switch", 0) == 0
    invariants.check(world.kernel)
    return world.thread.space.read(at, 3)


def test_hole_3_under_rfc_a_page_first_touched_inside_is_another_page_outside() -> None:
    assert first_touched_inside("rfc") == bytes(3)


@OURS
def test_hole_3_is_closed(sync: str) -> None:
    assert first_touched_inside(sync) == b"new"


# 4. Fork ----------------------------------------------------------------------------------------


@EVERY
def test_hole_4_what_is_written_inside_after_a_fork_does_not_reach_the_child(sync: str) -> None:
    world = World(sync=sync)
    at = world.map(HERE)
    world.thread.space.write(at, b"before")
    vid = world.inside()
    assert world.thread.space.read(at, 6) == b"before"
    world.thread.space.write(at, b"inside")
    child = world.fork()
    assert world.ask("active_vas", thread=child) == 0
    assert world.ask("vas_switch", vid, thread=child) == -E.INVAL, "nothing is attached to it"
    kept = child.space.read(at, 6)
    world.thread.space.write(at, b"after ")
    assert child.space.read(at, 6) == kept
    child.space.write(at, b"child ")
    assert world.thread.space.read(at, 6) == b"after "
    invariants.check(world.kernel)


@EVERY
def test_hole_4_in_user_code_through_translations_that_were_made_before(sync: str) -> None:
    """The parent's core holds a writable translation of the view when it forks."""
    program = Program()
    data = program.words(1)
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.keep("rbx")
    program.call("vas_attach", 0, "rbx", RW)
    program.call("vas_switch", "rbx")
    program.store_byte(data, ord("p"))
    program.fork("child")
    program.store_byte(data, ord("P"))
    program.wait()
    program.dump(data, 1)
    program.exit()
    program.label("child")
    for _ in range(4):
        program.call("sched_yield")
    program.dump(data, 1)
    program.exit()
    run = System(program, ram=8, checked=True, sync=sync, cpus=2).run()
    assert run.status == 0
    assert run.output in (b"pP", b"\x01P"), "what the original had at the fork, never the P"


@EVERY
@pytest.mark.parametrize("cpus", [1, 2])
def test_a_parent_that_forks_inside_returns_home_once(sync: str, cpus: int) -> None:
    """What its stack and data hold is the same in the view and at home, before and after."""
    program = Program()
    data = program.words(1)
    for name in (b"a\0", b"b\0"):
        program.call("vas_create", program.put(name), 0o600)
    for vid in (1, 2):
        program.call("vas_attach", 0, vid, RW)
    program.store_byte(data, ord("h"))
    program.call("vas_switch", 1)
    program.fork("child")
    program.store_byte(data, ord("1"))
    program.call("vas_switch", 2)
    program.dump(data, 1)
    program.store_byte(data, ord("2"))
    program.call("vas_switch", 0)
    program.dump(data, 1)
    program.fork("child")
    program.store_byte(data, ord("0"))
    program.call("vas_switch", 1)
    program.dump(data, 1)
    program.wait()
    program.wait()
    program.call("vas_switch", 0)
    program.dump(data, 1)
    program.exit()
    program.label("child")
    program.store_byte(data, ord("c"))
    program.exit()
    run = System(program, ram=8, checked=True, sync=sync, cpus=cpus).run()
    assert run.status == 0
    assert run.output == b"1200"


@EVERY
def test_the_kernels_own_stores_after_a_fork_come_home_too(sync: str) -> None:
    world = World(sync=sync)
    at = world.map(HERE)
    world.thread.space.write(at, b"before")
    world.inside()
    world.fork()
    assert world.ask("getresuid", at, at, at) == 0
    assert world.process.space.read(at, 4) == world.thread.space.read(at, 4) != b"befo"
    assert world.ask("vas_switch", 0) == 0
    world.fork()
    world.thread.space.write(at, b"at home")
    assert world.ask("vas_switch", 1) == 0
    assert world.thread.space.read(at, 7) == b"at home"
    invariants.check(world.kernel)


# 5. A thread made inside --------------------------------------------------------------------------


@EVERY
def test_hole_5_a_thread_made_inside_is_inside_and_has_its_stack_there(sync: str) -> None:
    program = Program()
    seen = program.room(8)
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.keep("rbx")
    program.call("vas_attach", 0, "rbx", RW)
    program.call("vas_switch", "rbx")
    program.call("mmap", HERE, PAGE, 3, 0x32, -1, 0)
    program.call("clone", 0x50F00, HERE + PAGE, 0, 0, 0)
    program.jump_if_zero("thread")
    program.label("again")
    program.move("rax", At(seen))
    program.jump_if_zero("again")
    program.dump(seen, 1)
    program.exit()
    program.label("thread")
    program.raw("6a41 58")  # push 'A'; pop rax: on the stack that the VAS has
    program.keep("r12")
    program.call("active_vas")
    program.raw("4c01e0")  # add rax, r12
    program.store(seen)
    program.spin()
    run = System(program, ram=8, checked=True, sync=sync, cpus=2).run()
    assert (run.status, run.output) == (0, b"B"), "'A' + vid 1"


# 6. Detach with a thread inside -------------------------------------------------------------------


@EVERY
def test_hole_6_nobody_detaches_what_any_thread_is_in(sync: str) -> None:
    world = World(sync=sync)
    vid = world.attached()
    other = world.clone()
    assert world.ask("vas_switch", vid, thread=other) == 0
    assert world.ask("vas_detach", 0, vid) == -E.BUSY
    assert world.ask("vas_switch", 0, thread=other) == 0
    assert world.ask("vas_detach", 0, vid) == 0
    invariants.check(world.kernel)


# 7. Exec ------------------------------------------------------------------------------------------


@EVERY
def test_hole_7_exec_switches_back_and_detaches(sync: str) -> None:
    world = World(sync=sync)
    vid = world.inside()
    world.exec(world.thread)
    assert world.ask("active_vas") == 0
    assert world.ask("vas_switch", vid) == -E.INVAL
    assert world.ask("vas_delete", vid) == 0, "nothing holds it"
    invariants.check(world.kernel)


# 8. Readers that map ------------------------------------------------------------------------------


def test_hole_8_under_rfc_two_readers_map_and_the_second_cannot_detach() -> None:
    world = World(sync="rfc")
    vid, child = world.vas(), world.fork()
    for thread in (world.thread, child):
        assert world.ask("vas_attach", 0, vid, R, thread=thread) == 0
        assert world.ask("vas_switch", vid, thread=thread) == 0
        assert world.map(HERE, thread) == HERE, "a reader adds a mapping"
        assert world.ask("vas_switch", 0, thread=thread) == 0
    assert world.ask("vas_detach", 0, vid) == 0
    assert world.ask("vas_detach", 0, vid, thread=child) == -E.FAULT
    invariants.check(world.kernel)


@OURS
def test_hole_8_is_closed_a_reader_adds_nothing_and_takes_nothing_away(sync: str) -> None:
    world = World(sync=sync)
    vid = world.inside()
    at = world.map(HERE)
    assert world.ask("vas_switch", 0) == 0
    assert world.ask("vas_detach", 0, vid) == 0
    assert world.ask("vas_attach", 0, vid, R) == 0
    assert world.ask("vas_switch", vid) == 0
    assert world.map(HERE + PAGE) == -E.ACCES
    assert world.map(0, flags=0) == -E.ACCES
    assert world.ask("munmap", at, PAGE) == -E.ACCES
    assert world.ask("mprotect", at, PAGE, 3) == -E.ACCES
    invariants.check(world.kernel)


# 9. Rights and races ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_hole_9_of_two_racers_one_creates_a_name(seed: int) -> None:
    program = Program()
    one, two = program.room(8), program.room(8)
    name = program.put(b"name\0")
    program.thread("racer")
    program.call("vas_create", name, 0o600)
    program.store(one)
    program.sleep(10**6)
    program.dump(one, 24)
    program.exit()
    program.label("racer")
    program.call("vas_create", name, 0o600)
    program.store(two)
    program.call("exit", 0)
    run = System(program, ram=4, checked=True, cpus=2, seed=seed).run()
    results = [int.from_bytes(run.output[i : i + 8], "little", signed=True) for i in (0, 16)]
    assert sorted(results) == [-E.EXIST, 1]


def test_hole_9_another_users_process_and_a_segments_detach_ask_for_rights() -> None:
    world = World()
    vid, sid = world.vas(mode=0o666), world.segment(mode=0o666)
    stranger = world.fork(OTHER)
    assert world.ask("vas_attach", 1, vid, R, thread=stranger) == -E.ACCES
    assert world.ask("vas_seg_attach", vid, sid, R) == 0
    world.kernel.vases.vases[vid].mode = 0o644
    assert world.ask("vas_seg_detach", vid, sid, thread=stranger) == -E.ACCES
    world.process.credentials = OTHER
    assert world.ask("vas_setattr", vid, world.put(bytes(12))) == -E.ACCES
