"""Lockable segments (policy `switch`): many readers or one writer, and never a deadlock."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import pytest

from hw.trace import Kind
from kernel import invariants
from kernel.abi.errno import Blocked, E, KernelError
from kernel.task.process import BLOCKED, Thread
from kernel.vas.sharing import SEG_LOCK
from kernel.wait.signals import SIGKILL, SIGSEGV
from tests.kernel.asm import Program
from tests.kernel.system import System
from tests.kernel.vas_world import HERE, PAGE, RW, R, World

STARTS = [HERE + i * 0x10_0000 for i in range(3)]


class Locks(World):
    """Three lockable segments, a few VASes that show some of them, and threads of one process.

    As in a run, a call either ends or blocks its thread.  The kernel executes a blocked call again
    when it wakes the thread.
    """

    def __init__(self, shows: list[list[tuple[int, int]]], threads: int) -> None:
        super().__init__(sharing="switch", cpus=1)
        self.sids = [self.segment(f"s{i}", start) for i, start in enumerate(STARTS)]
        for sid in self.sids:
            assert self.ask("vas_seg_ctl", sid, 1, 1) == 0
        self.vids = []
        for i, segments in enumerate(shows):
            vid = self.vas(f"v{i}")
            for index, kind in segments:
                assert self.ask("vas_seg_attach", vid, self.sids[index], kind) == 0
            assert self.ask("vas_attach", 0, vid, RW) == 0
            self.vids.append(vid)
        self.team = [self.thread, *(self.clone() for _ in range(threads - 1))]
        self.pending: dict[int, int] = {}
        """By tid of each waiting thread: the VAS that it wants to enter."""

    def go(self, thread: Thread, vid: int) -> bool:
        """Call vas_switch; False if the thread has to wait."""
        self.kernel.tasks.policy.remove(thread)
        self.kernel.tasks.seat.thread = thread
        try:
            assert self.ask("vas_switch", vid, thread=thread) == 0
        except Blocked as blocked:
            self.kernel.tasks.block(thread, blocked.channel)
            self.pending[thread.tid] = vid
            return False
        self.pending.pop(thread.tid, None)
        self.kernel.tasks.seat.thread = None
        self.kernel.tasks.make_ready(thread)
        return True

    def woken(self) -> list[Thread]:
        """The threads that were woken and must execute their call again."""
        return [t for t in self.team if t.tid in self.pending and t.state != BLOCKED]

    def holders(self) -> list[dict[int, bool]]:
        return [dict(self.kernel.vases.segments[sid].holders) for sid in self.sids]


def test_many_readers_or_one_writer_are_inside() -> None:
    locks = Locks([[(0, R)], [(0, RW)]], 3)
    reader, other, writer = locks.team
    read, write = locks.vids
    assert locks.go(reader, read)
    assert locks.go(other, read)
    assert not locks.go(writer, write)
    assert locks.go(reader, 0)
    assert locks.woken() == [writer]
    assert not locks.go(writer, write), "one reader is still in"
    assert locks.go(other, 0)
    assert locks.go(writer, write)
    assert not locks.go(reader, read)
    assert locks.go(writer, 0)
    assert locks.go(reader, read)
    invariants.check(locks.kernel)


def test_a_reader_does_not_overtake_a_writer_that_waits() -> None:
    locks = Locks([[(0, R)], [(0, RW)]], 3)
    reader, late, writer = locks.team
    assert locks.go(reader, locks.vids[0])
    assert not locks.go(writer, locks.vids[1])
    assert not locks.go(late, locks.vids[0])
    assert locks.go(reader, 0)
    assert locks.go(writer, locks.vids[1])
    assert not locks.go(late, locks.vids[0])


def test_readers_that_waited_for_a_writer_do_not_wait_for_one_another() -> None:
    locks = Locks([[(0, R)], [(0, RW)]], 4)
    first, second, writer, late = locks.team
    read, write = locks.vids
    assert locks.go(writer, write)
    assert not locks.go(first, read)
    assert not locks.go(second, read)
    assert not locks.go(late, write)
    assert locks.go(writer, 0)
    assert locks.go(second, read), "nobody before it wants to be alone"
    assert not locks.go(late, write)
    assert locks.go(first, read)
    invariants.check(locks.kernel)


def test_a_segment_that_is_not_lockable_blocks_no_thread() -> None:
    locks = Locks([[(0, RW)], [(0, RW)]], 2)
    for segment in locks.kernel.vases.segments.values():
        segment.lockable = False
    assert all(locks.go(t, vid) for t, vid in zip(locks.team, locks.vids, strict=True))


def test_an_attachment_for_reading_takes_a_writable_segment_as_a_reader() -> None:
    world = Locks([], 2)
    vid = world.vas("v")
    assert world.ask("vas_seg_attach", vid, world.sids[0], RW) == 0
    assert world.ask("vas_attach", 0, vid, R) == 0
    assert all(world.go(thread, vid) for thread in world.team)


def test_the_locks_of_a_private_segment_are_taken_too() -> None:
    locks = Locks([[], []], 2)
    one, two = locks.vids
    for vid in (one, two):
        assert locks.ask("vas_local_attach", vid, locks.sids[0], RW) == 0
    assert locks.go(locks.team[0], one)
    assert not locks.go(locks.team[1], two)


@pytest.mark.parametrize("how", ["exit", "kill", "fault", "exec", "process"])
def test_locks_end_with_their_holder(how: str) -> None:
    locks = Locks([[(0, RW)], [(0, RW)]], 1)
    child = locks.fork()
    locks.team.append(child)
    for vid in locks.vids:
        assert locks.ask("vas_attach", 0, vid, RW, thread=child) == 0
    assert locks.go(child, locks.vids[0])
    assert not locks.go(locks.thread, locks.vids[1])
    life = locks.kernel.life
    {
        "exit": lambda: life.exit_thread(child, 0),
        "process": lambda: life.exit_process(child.process, 0),
        "kill": lambda: life.exit_process(child.process, SIGKILL),
        "fault": lambda: life.exit_process(child.process, SIGSEGV),
        "exec": lambda: locks.exec(child),
    }[how]()
    assert locks.woken() == [locks.thread]
    assert locks.go(locks.thread, locks.vids[1])
    invariants.check(locks.kernel)


def test_a_waiting_thread_that_is_killed_leaves_the_queue() -> None:
    locks = Locks([[(0, RW)], [(0, RW)], [(0, RW)]], 3)
    holder, waiter, next_one = locks.team
    assert locks.go(holder, locks.vids[0])
    assert not locks.go(waiter, locks.vids[1])
    assert not locks.go(next_one, locks.vids[2])
    locks.kernel.life.exit_thread(waiter, 0)
    locks.team.remove(waiter)
    assert locks.go(holder, 0)
    assert locks.go(next_one, locks.vids[2])
    invariants.check(locks.kernel)


def test_a_writer_that_is_killed_in_the_queue_lets_the_reader_behind_it_in() -> None:
    locks = Locks([[(0, R)], [(0, RW)]], 3)
    reader, writer, late = locks.team
    read, write = locks.vids
    assert locks.go(reader, read)
    assert not locks.go(writer, write)
    assert not locks.go(late, read)
    locks.kernel.life.exit_thread(writer, 0)
    locks.team.remove(writer)
    assert locks.woken() == [late], "the first reader is still inside"
    assert locks.go(late, read)
    invariants.check(locks.kernel)


def test_a_thread_made_inside_is_in_the_same_critical_section() -> None:
    locks = Locks([[(0, RW)], [(0, RW)]], 2)
    first, outsider = locks.team
    assert locks.go(first, locks.vids[0])
    child = locks.clone(first)
    locks.team.append(child)
    assert locks.go(first, 0)
    assert not locks.go(outsider, locks.vids[1]), "the child is still inside"
    assert locks.go(child, 0)
    assert locks.go(outsider, locks.vids[1])
    invariants.check(locks.kernel)


def test_nobody_detaches_what_a_thread_waits_to_enter() -> None:
    locks = Locks([[(0, RW)], [(0, RW)]], 3)
    holder, waiter, other = locks.team
    assert locks.go(holder, locks.vids[0])
    assert not locks.go(waiter, locks.vids[1])
    assert locks.ask("vas_detach", 0, locks.vids[1], thread=other) == -E.BUSY
    assert locks.go(holder, 0)
    assert locks.go(waiter, locks.vids[1])
    assert locks.go(waiter, 0)
    assert locks.ask("vas_detach", 0, locks.vids[1], thread=other) == 0


def test_nobody_deletes_a_segment_whose_lock_is_held() -> None:
    locks = Locks([[]], 2)
    thread, other = locks.team
    (vid,) = locks.vids
    assert locks.ask("vas_local_attach", vid, locks.sids[0], RW) == 0
    assert locks.go(thread, vid)
    assert locks.ask("vas_local_detach", vid, locks.sids[0], thread=other) == 0
    assert locks.ask("vas_seg_delete", locks.sids[0], thread=other) == -E.BUSY
    assert locks.go(thread, 0)
    assert locks.ask("vas_seg_delete", locks.sids[0], thread=other) == 0
    invariants.check(locks.kernel)


# No deadlock ------------------------------------------------------------------------------------

PLANS: dict[str, list[list[tuple[int, int]]]] = {
    "each wants two, in a ring": [[(0, RW), (1, RW)], [(1, RW), (2, RW)], [(2, RW), (0, RW)]],
    "everybody wants all": [[(0, RW), (1, RW), (2, RW)]] * 3,
    "readers among writers": [[(0, R), (1, RW)], [(1, R), (2, RW)], [(2, R), (0, RW)]],
    "from one to another": [[(0, RW)], [(1, RW)], [(2, RW)]],
}
PREEMPTIONS = 2


@dataclass(frozen=True)
class Schedule:
    """The order of the threads without pre-emption, and which thread continues at which step."""

    order: tuple[int, ...]
    cuts: tuple[tuple[int, int], ...] = ()


def play(
    locks: Locks, schedule: Schedule, scripts: list[list[int]]
) -> tuple[list[tuple[int, list[int]]], set[tuple[object, ...]]]:
    """Run a schedule to its end.  Returns, for each step, the thread that ran and those that could
    have run, and the states seen."""
    instead, at = dict(schedule.cuts), [0] * len(scripts)
    trail: list[tuple[int, list[int]]] = []
    seen: set[tuple[object, ...]] = set()
    current = schedule.order[0]
    while any(position < len(script) for position, script in zip(at, scripts, strict=True)):
        able = [
            i for i in schedule.order if at[i] < len(scripts[i]) and locks.team[i].state != BLOCKED
        ]
        assert able, f"deadlock: {locks.holders()} in {schedule}"
        current = instead.get(len(trail), current)
        if current not in able:
            current = able[0]
        trail.append((current, able))
        thread = locks.team[current]
        if locks.go(thread, locks.pending.get(thread.tid, scripts[current][at[current]])):
            at[current] += 1
        held = locks.holders()
        assert not [h for h in held if any(h.values()) and len(h) > 1], "a writer is not alone"
        seen.add((tuple(at), tuple(tuple(sorted(h.items())) for h in held)))
        assert len(trail) < 200, f"no end of {schedule}"
    assert not any(locks.holders()), "everybody is home and a lock is held"
    return trail, seen


def explore(locks: Locks, scripts: list[list[int]]) -> tuple[int, set[tuple[object, ...]]]:
    """Run every schedule with at most two pre-emptions; returns their number and all states."""
    todo = [Schedule(order) for order in permutations(range(len(scripts)))]
    states: set[tuple[object, ...]] = set()
    count = 0
    while todo:
        schedule = todo.pop()
        trail, seen = play(locks, schedule, scripts)
        states |= seen
        count += 1
        if len(schedule.cuts) < PREEMPTIONS:
            first = schedule.cuts[-1][0] + 1 if schedule.cuts else 0
            todo += [
                Schedule(schedule.order, (*schedule.cuts, (step, other)))
                for step in range(first, len(trail))
                for other in trail[step][1]
                if other != trail[step][0]
            ]
    return count, states


@pytest.mark.parametrize("name", PLANS)
def test_no_order_of_calls_with_at_most_two_pre_emptions_deadlocks(name: str) -> None:
    """Each thread enters one VAS, the next, the third, and goes home.  The test tries all orders of
    calls.  A call that blocks and its next try count as two calls."""
    locks = Locks(PLANS[name], 3)
    vids = locks.vids
    scripts = [[vids[i], vids[(i + 1) % 3], vids[(i + 2) % 3], 0] for i in range(3)]
    count, states = explore(locks, scripts)
    invariants.check(locks.kernel)
    assert count > 500
    assert len(states) > 100


# In user code -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cpus", [1, 2, 3])
def test_a_counter_in_a_lockable_segment_needs_no_other_lock(cpus: int) -> None:
    """Three threads: switch in, load, add, store, switch out."""
    program = Program()
    done = program.room(8)
    turns = 12
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.call("vas_seg_create", program.put(b"s\0"), HERE, HERE + PAGE, 0o600)
    program.call("vas_seg_ctl", 1, 1, 1)
    program.call("vas_seg_attach", 1, 1, RW)
    program.call("vas_attach", 0, 1, RW)
    for _ in range(2):
        program.thread("worker")
    program.label("worker")
    program.move("r12", turns)
    program.label("again")
    program.call("vas_switch", 1)
    program.raw("48a1" + HERE.to_bytes(8, "little").hex())  # mov rax, [HERE]
    program.keep("rbx")
    program.count_down(400)
    program.raw("48ffc3")  # inc rbx
    program.store(HERE, "rbx")
    program.call("vas_switch", 0)
    program.raw("49ffcc")  # dec r12
    program.move("rax", "r12")
    program.jump_unless_zero("again")
    program.raw("f048ff0425" + done.to_bytes(4, "little").hex())  # lock inc qword [done]
    program.call("gettid")
    program.raw("4883f801")  # cmp rax, 1
    program.raw("7405")  # je +5
    program.jump("end")
    program.label("wait")
    program.raw("488b0425" + done.to_bytes(4, "little").hex())  # mov rax, [done]
    program.raw("4883e803")  # sub rax, 3
    program.jump_unless_zero("wait")
    program.call("vas_switch", 1)
    program.dump(HERE, 1)
    program.exit()
    program.label("end")
    program.call("exit", 0)
    system = System(program, ram=4, checked=True, sharing="switch", cpus=cpus, turns=50_000)
    stays = critical_sections(system)
    run = system.run()
    assert (run.status, run.output) == (0, bytes([3 * turns]))
    assert len(stays) == 3 * turns + 1
    assert all(left <= came for (_, left), (came, _) in itertools.pairwise(sorted(stays)))


def critical_sections(system: System) -> list[tuple[int, int]]:
    """(from, to) in modelled cycles, of each stay alone in a segment, as the trace records it."""
    came: dict[int, int] = {}
    stays: list[tuple[int, int]] = []
    observe = system.trace.observer
    assert observe

    def observer(kind: Kind, values: tuple[Any, ...]) -> None:
        observe(kind, values)
        if kind is SEG_LOCK:
            sid, tid, how = values
            assert (sid, how) == (1, 0 if tid in came else 2)
            if how:
                came[tid] = system.trace.cycles
            else:
                stays.append((came.pop(tid), system.trace.cycles))

    system.trace.observer = observer
    return stays


def test_the_error_of_a_switch_that_was_not_attached_holds_no_lock() -> None:
    locks = Locks([[(0, RW)]], 1)
    assert locks.ask("vas_switch", 77) == -E.INVAL
    assert not any(locks.holders())
    with pytest.raises(KernelError):
        locks.kernel.vases.vas(77)
