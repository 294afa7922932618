"""The trace tells the whole life of what the kernel makes: each record with what it says."""

from __future__ import annotations

from typing import Any

from hw.trace import Kind
from kernel.task.process import BLOCKED
from tests.kernel.asm import Program
from tests.kernel.system import System
from tests.kernel.vas_world import HERE, PAGE, RW, THREAD, R, World


def watched(system: System, *names: str) -> list[tuple[Any, ...]]:
    """Gets the name and the values of each record of these kinds from now on."""
    found: list[tuple[Any, ...]] = []
    observe = system.trace.observer
    assert observe

    def observer(kind: Kind, values: tuple[Any, ...]) -> None:
        observe(kind, values)
        if kind.name in names:
            found.append((kind.name, *values))

    system.trace.observer = observer
    return found


def test_the_life_of_a_vas_and_of_a_segment() -> None:
    world = World()
    seen = watched(world, "vas", "segment", "vas_attach", "seg_attach", "vas_switch")
    home = world.process.space.id
    vid, sid = world.vas("v"), world.segment("s", HERE, 2)
    assert world.ask("vas_seg_attach", vid, sid, R) == 0
    assert world.ask("vas_attach", 0, vid, RW) == 0
    vas, memory = world.kernel.vases.vases[vid], world.kernel.vases.segments[sid].object
    space, segment = vas.space.id, (HERE, HERE + 2 * PAGE, memory.id)
    assert world.ask("vas_switch", vid) == 0
    view = world.thread.space.id
    for name, *arguments in (
        ("vas_switch", 0),
        ("vas_detach", 0, vid),
        ("vas_seg_detach", vid, sid),
        ("vas_seg_attach", 0, sid, RW),
        ("vas_seg_detach", 0, sid),
        ("vas_attach", 0, vid, R),
        ("vas_local_attach", vid, sid, R),
        ("vas_local_detach", vid, sid),
        ("vas_detach", 0, vid),
        ("vas_seg_delete", sid),
        ("vas_delete", vid),
    ):
        assert world.ask(str(name), *map(int, arguments)) == 0, name
    later = seen[10][3]
    assert seen == [
        ("vas", vid, space, 1, b"v"),
        ("segment", sid, *segment, 1, b"s"),
        ("seg_attach", sid, vid, 0, 4, 1),
        ("vas_attach", home, vid, view, 6, 1),
        ("vas_switch", world.thread.tid, 0, vid, view),
        ("vas_switch", world.thread.tid, vid, 0, home),
        ("vas_attach", home, vid, view, 6, 0),
        ("seg_attach", sid, vid, 0, 0, 0),
        ("seg_attach", sid, 0, home, 6, 1),
        ("seg_attach", sid, 0, home, 0, 0),
        ("vas_attach", home, vid, later, 4, 1),
        ("seg_attach", sid, vid, home, 4, 1),
        ("seg_attach", sid, vid, home, 0, 0),
        ("vas_attach", home, vid, later, 4, 0),
        ("segment", sid, *segment, 0, b"s"),
        ("vas", vid, space, 0, b"v"),
    ]


def test_the_life_of_a_process_and_of_its_threads() -> None:
    other = Program()
    other.exit(3)
    program = Program()
    status = program.room(16)
    program.fork("child")
    program.wait(-1, status)
    program.thread("thread", THREAD)
    program.sleep(10**6)
    program.exit(5)
    program.label("thread")
    program.call("exit", 4)
    program.label("child")
    program.call("execve", program.put(b"/tmp/other\0"), 0, 0)
    system = System(program, ram=4, files={b"/tmp/other": other.elf()})
    home = system.process.space.id
    seen = watched(system, "thread_new", "thread_end", "exec")
    system.run()
    child, after = seen[0][4], seen[1][2]
    assert len({home, child, after}) == 3
    assert seen == [
        ("thread_new", 2, 2, 1, child, b"test"),
        ("exec", 2, after, b"/tmp/other"),
        ("thread_end", 2, 2, 3 << 8),
        ("thread_new", 3, 1, 0, home, b"test"),
        ("thread_end", 3, 1, 4 << 8),
        ("thread_end", 1, 1, 5 << 8),
    ]


def test_a_sleep_begins_with_a_wait_and_ends_with_a_wake() -> None:
    """A thread is woken only where it sleeps, and sleeps until it is woken or ends."""
    system = System("threads", "3", "200", ram=4, cpus=2)
    seen = watched(system, "wait", "wake", "thread_end")
    system.run()
    asleep: set[int] = set()
    for name, tid, *_ in seen:
        if name == "wait":
            assert tid not in asleep
            asleep.add(tid)
        elif name == "wake":
            assert tid in asleep
            asleep.remove(tid)
        else:
            asleep.discard(tid)
    assert sum(name == "wake" for name, *_ in seen) > 5
    sleepers = [t for t in system.kernel.tasks.threads.values() if t.state == BLOCKED]
    assert sorted(asleep) == sorted(thread.tid for thread in sleepers)
