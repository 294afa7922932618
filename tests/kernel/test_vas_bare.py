"""Bare attachments: a thread that is inside sees the VAS and nothing of its process."""

from __future__ import annotations

import struct

import pytest

from kernel import checkpoint, invariants, turns
from kernel.abi.errno import E
from kernel.task.process import DEAD
from kernel.vas.vases import SYNCS
from kernel.wait.signals import SIGSEGV
from tests.kernel.asm import Program
from tests.kernel.system import Run, System
from tests.kernel.vas_world import (
    FIXED,
    HERE,
    OTHER,
    PAGE,
    RW,
    THERE,
    R,
    World,
)

EVERY = pytest.mark.parametrize("sync", SYNCS)
SHARINGS = pytest.mark.parametrize("sharing", ["attach", "switch"])
MMUS = pytest.mark.parametrize("mmu", ["model", "silicon"])
SIGSYS_BIT = 0x100
SIGSYS, USR1 = 31, 10
CODE, STACK = HERE, HERE + PAGE
SEEN = [
    b"counts inside: 40",
    b"and again: 42",
    b"another process counts on: 43",
    b"reads what is the process's: signal 11",
    b"forgets the stack: signal 11",
    b"counts inside: 43",
]


def bare(world: World, kind: int = RW, name: str = "vas") -> int:
    vid = world.vas(name)
    assert world.ask("vas_attach_bare", 0, vid, kind) == 0
    return vid


def furnished(inside: bytes, kind: int = RW, program: Program | None = None) -> Program:
    """VAS 1, attached bare, has code and a stack; the program jumps there as it switches in.

    The code lies where the program has the same bytes, so the switch goes on in it.
    """
    program = program or Program()
    program.call("vas_create", program.put(b"v\0"), 0o600)
    program.call("vas_attach", 0, 1, RW)
    program.call("vas_switch", 1)
    _fill(program, inside)
    program.call("vas_switch", 0)
    program.call("vas_detach", 0, 1)
    _fill(program, b"")
    program.call("vas_attach_bare", 0, 1, kind)
    program.move("rdi", 1)
    program.move("rax", 1337)
    program.move("rbx", CODE)
    program.raw("ffe3")  # jmp rbx
    return program


def _fill(program: Program, inside: bytes) -> None:
    program.call("mmap", CODE, 2 * PAGE, 7, 0x32, -1, 0)
    for i, byte in enumerate(bytes.fromhex("0f05") + inside):  # syscall
        program.store_byte(CODE + i, byte)
    program.store_byte(STACK, 0)


def call(number: int, *arguments: int) -> bytes:
    """Code for a system call with small arguments."""
    loads = ("bf", "be", "ba")
    code = b"".join(
        bytes.fromhex(load) + struct.pack("<I", value)
        for load, value in zip(loads, arguments, strict=False)
    )
    return code + b"\xb8" + struct.pack("<I", number) + bytes.fromhex("0f05")


def run(program: Program, **wishes: object) -> Run:
    return System(program, **{"ram": 8, "checked": True, **wishes}).run()


# The program --------------------------------------------------------------------------------------


@EVERY
@SHARINGS
@MMUS
def test_a_page_of_code_and_a_stack_are_all_that_it_needs(
    mmu: str, sharing: str, sync: str
) -> None:
    done = System("vas_trampoline", mmu=mmu, sharing=sharing, sync=sync, checked=True).run()
    assert done.output.splitlines() == SEEN
    told = [line.decode() for line in done.logs if b"shows nothing" in line]
    assert "what the process has at" in told[0]
    assert "its stack is not there, and a push to 0x7ff" in told[1]
    assert len(told) == 2


# The call -----------------------------------------------------------------------------------------


def test_its_errors() -> None:
    world = World()
    vid = world.vas(mode=0o400)
    assert world.ask("vas_attach_bare", 0, vid + 1, RW) == -E.INVAL
    assert world.ask("vas_attach_bare", 0, vid, 3) == -E.INVAL
    assert world.ask("vas_attach_bare", 0, vid, 0o700) == -E.INVAL, "here a mode is no type"
    assert world.ask("vas_attach_bare", -1, vid, R) == -E.INVAL
    assert world.ask("vas_attach_bare", 99, vid, R) == -E.SRCH
    assert world.ask("vas_attach_bare", 0, vid, RW) == -E.ACCES
    other = world.fork(OTHER)
    assert world.ask("vas_attach_bare", 0, vid, R, thread=other) == -E.ACCES
    assert world.ask("vas_attach_bare", 0, vid, R) == 0
    assert world.ask("vas_attach_bare", 0, vid, R) == 0, "attached so already"
    assert world.ask("vas_attach_bare", 0, vid, R | SIGSYS_BIT) == -E.BUSY, "but not so"
    assert world.ask("vas_attach", 0, vid, R) == 0, "for the RFC's call it is attached"
    assert world.ask("vas_detach", 0, vid) == 0
    assert world.ask("vas_attach", 0, vid, R) == 0
    assert world.ask("vas_attach_bare", 0, vid, R) == -E.BUSY
    world.settle()


def test_the_sharing_rule_holds_for_it() -> None:
    world = World()
    vid = bare(world)
    child = world.fork()
    assert world.ask("vas_attach_bare", 0, vid, R, thread=child) == -E.BUSY
    assert world.ask("vas_delete", vid) == -E.BUSY
    world.ask("vas_detach", 0, vid)
    assert world.ask("vas_attach_bare", 0, vid, R, thread=child) == 0


@EVERY
def test_there_is_no_layout_conflict(sync: str) -> None:
    world = World(sync=sync)
    vid, sid = world.vas(), world.segment("books", HERE)
    world.ask("vas_seg_attach", vid, sid, RW)
    world.map(HERE)
    assert world.ask("vas_attach", 0, vid, RW) == -E.FAULT
    assert world.ask("vas_attach_bare", 0, vid, RW) == 0
    world.ask("vas_switch", vid)
    world.thread.space.write(HERE, b"in")
    world.ask("vas_switch", 0)
    world.thread.space.write(HERE, b"at")
    world.ask("vas_switch", vid)
    assert world.thread.space.read(HERE, 2) == b"in"
    world.settle()


@pytest.mark.parametrize("free", range(5))
def test_without_memory_nothing_is_left_of_it(free: int) -> None:
    world = World()
    vid, frames = world.vas(), world.kernel.memory.frames
    kept = [frames.allocate(1) for _ in range(len(frames.free) - free)]
    assert world.ask("vas_attach_bare", 0, vid, RW) == -E.NOMEM
    for pfn in kept:
        frames.release(pfn)
    world.settle()
    assert world.ask("vas_delete", vid) == 0


# What is seen inside ------------------------------------------------------------------------------


@EVERY
def test_only_the_vass_memory_is_there(sync: str) -> None:
    world = World(sync=sync)
    vid = bare(world)
    world.ask("vas_switch", vid)
    space = world.thread.space
    assert list(space.map) == []
    assert world.ask("vas_find", world.page) == -E.FAULT
    assert world.ask("mmap", HERE, PAGE, 3, 0x22 | FIXED, -1, 0) == HERE
    assert space.read(HERE, 1) == b"\0"
    top = world.ask("brk", 0)
    assert world.ask("brk", top + PAGE) == top, "there is no heap"
    assert world.ask("brk", HERE) == top
    world.settle()
    world.ask("vas_switch", 0)
    assert world.ask("vas_detach", 0, vid) == 0
    assert world.ask("vas_attach", 0, vid, RW) == 0
    world.ask("vas_switch", vid)
    assert world.thread.space.map.find(HERE) is not None, "it is the VAS's"


@EVERY
def test_what_the_process_maps_or_frees_at_home_is_not_seen(sync: str) -> None:
    world = World(sync=sync)
    vid = bare(world)
    world.ask("vas_switch", vid)
    world.ask("vas_switch", 0)
    world.map(THERE)
    world.ask("brk", world.ask("brk", 0) + PAGE)
    assert world.ask("vas_switch", vid) == 0, "there is nothing to synchronise"
    assert world.thread.space.map.find(THERE) is None
    assert world.ask("vas_switch", 0) == 0
    assert world.ask("munmap", THERE, PAGE) == 0
    world.settle()


@EVERY
def test_from_one_bare_view_to_another_and_to_a_full_one(sync: str) -> None:
    world = World(sync=sync)
    one, two, full = bare(world, name="one"), bare(world, name="two"), world.attached("full")
    for vid in (one, two, full, two, full, one, 0):
        assert world.ask("vas_switch", vid) == 0
        assert world.ask("active_vas") == vid
        at_home = world.thread.space.map.find(world.page) is not None
        assert at_home == (vid in (0, full))
        world.settle()


# Fork, exec, exit ---------------------------------------------------------------------------------


@EVERY
def test_fork_inside_gives_a_child_that_is_at_home(sync: str) -> None:
    world = World(sync=sync)
    vid = bare(world)
    world.ask("vas_switch", vid)
    child = world.fork()
    assert child.space is child.process.space
    assert child.space.map.find(world.page) is not None
    assert world.ask("vas_switch", vid, thread=child) == -E.INVAL
    world.settle()


@EVERY
def test_exec_and_exit_inside_leave_and_detach(sync: str) -> None:
    world = World(sync=sync)
    vid = bare(world)
    world.ask("vas_switch", vid)
    other = world.clone()
    assert other.space is world.thread.space, "a thread made inside starts inside"
    assert world.ask("vas_detach", 0, vid) == -E.BUSY
    world.exec(world.thread)
    assert world.thread.space is world.thread.process.space
    assert other.state == DEAD
    assert world.ask("vas_delete", vid) == 0
    world.settle()


def test_a_thread_that_ends_inside_tells_those_who_wait_at_home() -> None:
    world = World()
    vid = bare(world)
    other = world.clone()
    other.clear_tid_address = world.put(b"\1\0\0\0")
    world.ask("vas_switch", vid, thread=other)
    world.kernel.life.exit_thread(other, 0)
    assert world.process.space.read(world.page, 4) == bytes(4)
    world.settle()
    assert world.ask("vas_detach", 0, vid) == 0


@EVERY
@MMUS
def test_a_child_of_code_that_lies_inside_faults_at_once_and_the_parent_goes_on(
    mmu: str, sync: str
) -> None:
    """At home there is a page as well, but it was filled before the stores: it has no such code."""
    program = furnished(call(57) + call(231, 3))  # fork, exit_group
    assert run(program, sync=sync, mmu=mmu).exit_code == 3


# Signals ------------------------------------------------------------------------------------------


@EVERY
def test_a_handler_that_is_not_inside_is_a_fault_there(sync: str) -> None:
    """The frame goes to the stack inside, if rsp is there; the handler's code is not."""
    stack = b"\x48\xbc" + struct.pack("<Q", STACK + PAGE)  # mov rsp, STACK + PAGE
    kill = call(39) + bytes.fromhex("89c7 be0a000000 b83e000000 0f05")  # kill(getpid(), 10)
    program = Program()
    program.on_signal(USR1, "@handler")
    furnished(stack + kill + call(231, 3), program=program)
    program.label("handler")
    program.exit(1)
    done = run(program, sync=sync)
    assert done.status & 0x7F == SIGSEGV
    assert "no code is mapped there" in b"".join(done.logs).decode()


@EVERY
@MMUS
def test_a_call_can_be_a_signal(mmu: str, sync: str) -> None:
    """Nothing happens but SIGSYS, which ends the process."""
    done = run(furnished(call(231, 3), RW | SIGSYS_BIT), sync=sync, mmu=mmu)
    assert done.status & 0x7F == SIGSYS
    assert "exit_group" not in [each.name for each in done.calls]


# State --------------------------------------------------------------------------------------------


@EVERY
def test_a_checkpoint_in_the_middle_runs_to_the_same_end(sync: str) -> None:
    system = System("vas_trampoline", sync=sync, watched=False)
    kernel = system.kernel
    while not any(thread.space.alone for thread in kernel.tasks.threads.values()):
        turns.run_traps(kernel, 1)
    invariants.check(kernel)
    written: list[bytes] = []
    again = checkpoint.load(checkpoint.save(kernel), written.append)
    invariants.check(again)
    process = again.tasks.processes[system.process.pid]
    turns.run(again, lambda: process.zombie)
    system.run()
    assert b"".join(written).splitlines() == SEEN
