"""Signal stacks in a view of their own: a signal leads there, its return leads back."""

from __future__ import annotations

import struct

import pytest

from kernel import checkpoint, invariants, turns
from kernel.abi.errno import E, KernelError
from kernel.task.process import SS_DISABLE, AlternateStack
from kernel.vas import visit
from kernel.vas.vases import SYNCS
from kernel.vas.view import place_of
from tests.kernel.asm import Program
from tests.kernel.system import System
from tests.kernel.vas_world import HERE, PAGE, RW, THERE, R, World

EVERY = pytest.mark.parametrize("sync", SYNCS)
SHARINGS = pytest.mark.parametrize("sharing", ["attach", "switch"])
MMUS = pytest.mark.parametrize("mmu", ["model", "silicon"])
STACK = struct.Struct("<QIiQ")
USR1, SEGV = 10, 11
SIGINFO, ONSTACK = 4, 0x0800_0000
AUTODISARM = 1 << 31
SEEN = [
    b"a fault: in view 0; 1 notes, the last 0xdead000",
    b"a stray access to the notes: in view 0; 2 notes, the last 0x700000000000",
    b"nested signals: in view 0; 4 notes, the last 0x1",
    b"after siglongjmp: in view 1; 5 notes, the last 0xdead000",
    b"a thread that ended inside: in view 0; 6 notes, the last 0xdead000",
    b"a forged place: signal 11",
    b"the VAS is not attached any more: signal 11",
    b"the program goes on: in view 0; 8 notes, the last 0xdead000",
    b"another VAS has the id: signal 11",
]


def register(world: World, vid: int, flags: int = 0, size: int = 2 * PAGE) -> int:
    at = world.put(STACK.pack(HERE, flags, vid, size))
    return world.ask("vas_sigaltstack", at, 0)


def registered(world: World) -> tuple[int, int, int, int]:
    """Address, flags, vid, size."""
    assert world.ask("vas_sigaltstack", 0, world.page) == 0
    found: tuple[int, int, int, int] = STACK.unpack(world.thread.space.read(world.page, 24))
    return found


# The program --------------------------------------------------------------------------------------


@EVERY
@SHARINGS
@MMUS
def test_a_fault_handler_lives_where_the_program_cannot_reach(
    mmu: str, sharing: str, sync: str
) -> None:
    wishes = {"mmu": mmu, "sharing": sharing, "sync": sync, "turns": 50_000}
    assert System("vas_sigstack", **wishes).run().output.splitlines() == SEEN


def test_all_invariants_hold_on_the_way() -> None:
    assert System("vas_sigstack", checked=True, cpus=2, traced=False).run().exit_code == 0


# The call -----------------------------------------------------------------------------------------


def test_what_was_registered_is_told() -> None:
    world = World()
    vid = world.attached()
    assert registered(world) == (0, SS_DISABLE, -1, 0)
    assert register(world, vid) == 0
    assert registered(world) == (HERE, 0, vid, 2 * PAGE)
    assert register(world, 0, AUTODISARM) == 0
    assert registered(world) == (HERE, AUTODISARM, 0, 2 * PAGE)
    assert register(world, -1) == 0
    assert registered(world) == (HERE, 0, -1, 2 * PAGE)
    register(world, vid)
    world.put(STACK.pack(HERE, 0, vid, 2 * PAGE))
    assert world.ask("sigaltstack", world.page, 0) == 0
    assert registered(world)[2] == -1, "sigaltstack looks at no padding"
    register(world, vid)
    assert register(world, vid, SS_DISABLE) == 0
    assert registered(world) == (0, SS_DISABLE, -1, 0)


def test_its_errors() -> None:
    world = World()
    vid = world.attached()
    assert register(world, vid + 1) == -E.INVAL
    assert register(world, -2) == -E.INVAL
    assert register(world, vid, 8) == -E.INVAL
    assert register(world, vid, size=2047) == -E.NOMEM
    assert world.ask("vas_sigaltstack", 8, 0) == -E.FAULT
    assert world.ask("vas_sigaltstack", 0, 8) == -E.FAULT
    gated = world.inside("gated")
    world.map(THERE)
    world.ask("vas_switch", 0)
    world.ask("vas_entry", gated, THERE)
    assert register(world, gated) == -E.INVAL


def test_a_view_that_needs_locks_cannot_be_visited() -> None:
    world = World(sharing="switch")
    vid, sid = world.vas(), world.segment("books", THERE)
    world.ask("vas_seg_ctl", sid, 1, 1)
    world.ask("vas_seg_attach", vid, sid, R)
    world.ask("vas_attach", 0, vid, RW)
    assert register(world, vid) == -E.BUSY
    with pytest.raises(KernelError):
        visit.enter(world.kernel.vases, world.thread, (vid, world.kernel.vases.vases[vid].space.id))


@EVERY
def test_a_visit_keeps_the_locks_of_the_view_that_it_interrupts(sync: str) -> None:
    world = World(sharing="switch", sync=sync)
    vases, sid = world.kernel.vases, world.segment("books", THERE)
    world.ask("vas_seg_ctl", sid, 1, 1)
    vid, other = world.vas("locked"), world.attached("other")
    world.ask("vas_seg_attach", vid, sid, RW)
    world.ask("vas_attach", 0, vid, RW)
    world.ask("vas_switch", vid)
    holders = vases.segments[sid].holders
    found, place = place_of(world.thread.space), visit.place(vases, world.thread, other)
    visit.enter(vases, world.thread, place)
    assert world.thread.space.vid == other
    assert world.thread.tid in holders
    world.settle()
    visit.go_back(vases, world.thread, *found)
    assert world.thread.space.vid == vid
    assert world.thread.tid in holders
    visit.enter(vases, world.thread, place)
    world.ask("vas_switch", 0)
    assert not holders, "a handler that switches by itself gives them up"
    visit.go_back(vases, world.thread, *found)
    assert world.thread.tid in holders
    world.settle()
    visit.enter(vases, world.thread, (0, 0))
    assert world.thread.space is world.process.space
    assert world.thread.tid in holders
    world.ask("vas_switch", 0)
    assert world.thread.tid in holders, "it is there already"
    world.ask("vas_switch", other)
    assert not holders


# Lifetimes ----------------------------------------------------------------------------------------


@EVERY
def test_a_child_of_fork_has_no_stack_in_a_vas_and_a_new_thread_none_at_all(sync: str) -> None:
    world = World(sync=sync)
    register(world, world.attached())
    assert world.fork().alternate_stack == AlternateStack()
    assert world.clone().alternate_stack == AlternateStack()
    register(world, 0)
    assert world.fork().alternate_stack.place == (0, 0)
    world.exec(world.thread)
    assert world.thread.alternate_stack == AlternateStack()


def with_handler(vid: int, *, flags: int = 0) -> Program:
    """A stack in VAS 1 or at home; the handler of SIGUSR1 says in which view it runs."""
    program = Program()
    program.on_signal(USR1, "@handler", ONSTACK | SIGINFO)
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.call("vas_attach", 0, 1, RW)
    program.call("vas_switch", 1)
    program.call("mmap", HERE, 2 * PAGE, 3, 0x32, -1, 0)
    program.store_byte(HERE, 0)
    program.call("vas_switch", 0)
    at = program.put(STACK.pack(HERE if vid else 0, flags, vid, 2 * PAGE))
    if not vid:
        program.call("mmap", THERE, 2 * PAGE, 3, 0x32, -1, 0)
        at = program.put(STACK.pack(THERE, flags, vid, 2 * PAGE))
    program.call("vas_sigaltstack", at, 0)
    return program


def kill_self(program: Program) -> None:
    program.call("getpid")
    program.keep("rbx")
    program.call("kill", "rbx", USR1)


def say_where(program: Program) -> None:
    """The number of the view that the thread is in, as a byte."""
    at = program.words(0)
    program.call("active_vas")
    program.store(at)
    program.dump(at, 1)


@EVERY
@MMUS
@pytest.mark.parametrize("flags", [0, AUTODISARM])
def test_the_handler_runs_there_its_return_leads_back_and_the_stack_stays(
    flags: int, mmu: str, sync: str
) -> None:
    program = with_handler(1, flags=flags)
    for _ in range(2):
        kill_self(program)
        say_where(program)
    program.exit(0)
    program.label("handler")
    say_where(program)
    program.raw("c3")
    done = System(program, ram=8, checked=True, mmu=mmu, sync=sync).run()
    assert done.output == bytes((1, 0, 1, 0))


@EVERY
def test_a_signal_inside_a_vas_can_lead_home(sync: str) -> None:
    program = with_handler(0)
    program.call("vas_switch", 1)
    kill_self(program)
    say_where(program)
    program.exit(0)
    program.label("handler")
    say_where(program)
    program.raw("c3")
    assert System(program, ram=8, checked=True, sync=sync).run().output == bytes((0, 1))


def test_a_stack_of_the_program_at_the_same_place_is_another_one() -> None:
    """rsp is the same number as on the VAS's stack, but in another view: so the handler moves."""
    program = with_handler(1)
    program.call("vas_create", program.put(b"w\0"), 0o600)
    program.call("vas_attach", 0, 2, RW)
    program.call("vas_switch", 2)
    program.call("mmap", HERE, 2 * PAGE, 3, 0x32, -1, 0)
    program.move("rsp", HERE + 2 * PAGE - 1024)
    kill_self(program)
    say_where(program)
    program.exit(0)
    program.label("handler")
    say_where(program)
    program.raw("c3")
    assert System(program, ram=8, checked=True).run().output == bytes((1, 2))


def test_a_stack_that_cannot_be_reached_kills_but_another_handler_is_tried_first() -> None:
    """As on Linux with an alternate stack that is not mapped: the frame is a SIGSEGV, whose handler
    here wants no alternate stack."""
    program = with_handler(1)
    program.on_signal(SEGV, "@segv")
    program.call("vas_detach", 0, 1)
    kill_self(program)
    program.label("handler")
    program.exit(1)
    program.label("segv")
    say_where(program)
    program.exit(2)
    done = System(program, ram=8, checked=True).run()
    assert (done.output, done.exit_code) == (b"\0", 2)


# State --------------------------------------------------------------------------------------------


@EVERY
def test_a_checkpoint_inside_a_handler_runs_to_the_same_end(sync: str) -> None:
    system = System("vas_sigstack", sync=sync, watched=False, turns=50_000)
    kernel = system.kernel
    while not (system.thread.alternate_stack.place and system.thread.space.vid):
        turns.run_traps(kernel, 1)
    written: list[bytes] = []
    again = checkpoint.load(checkpoint.save(kernel), written.append)
    invariants.check(again)
    process = again.tasks.processes[system.process.pid]
    turns.run(again, lambda: process.zombie)
    system.run()
    assert b"".join(written).splitlines() == SEEN
