"""Systems in which memory is short, to the frame."""

from __future__ import annotations

from typing import Any

from kernel.abi.errno import KernelError
from kernel.boot import spawn
from kernel.mm.replace import Replacement, replacement_of
from kernel.mm.residency import MCL_CURRENT
from kernel.mm.space import FAULT_FRAMES
from kernel.task.credentials import Credentials
from kernel.task.process import Thread
from tests.kernel.asm import Program
from tests.kernel.system import System

PAGE, HERE = 4096, 0x10_0000_0000
RW, SHARED, PRIVATE, FIXED, ANON = 3, 1, 2, 0x10, 0x20
SPARE = FAULT_FRAMES - 1
"""Frames that stay free between two faults when memory is short."""


def pager(system: System) -> Replacement:
    found = replacement_of(system.kernel.memory.objects)
    assert found is not None
    return found


def hog(system: System) -> Thread:
    """A process that sleeps for ever, and whose pages never leave memory."""
    idle = Program()
    idle.spin()
    thread = spawn(system.kernel, idle.elf(), [b"hog"], [], Credentials()).threads[0]
    system.kernel.tasks.policy.remove(thread)
    system.kernel.tasks.block(thread, ("test", thread.tid, 0))
    assert system.ask("mlockall", MCL_CURRENT, thread=thread) == 0
    return thread


def squeeze(system: System, frames: int) -> None:
    """Page out all that may go, and leave exactly `frames` frames free for pages."""
    thread, pages = hog(system), len(system.kernel.memory.frames.free)
    pager(system).make_room(1 << 30)
    free = system.kernel.memory.frames.free
    assert system.ask("mmap", HERE, 1 << 30, RW, PRIVATE | ANON | FIXED, thread=thread) == HERE
    for page in range(pages + (1 << 18)):
        if len(free) == frames + SPARE:
            return
        assert system.ask("mlock", HERE + page * PAGE, PAGE, thread=thread) == 0
    raise AssertionError("there never were so few frames")


def faults_on(
    system: System, run_faults: list[tuple[Any, ...]], first: int, count: int
) -> list[int]:
    """The numbers of the pages of a range that faulted, in order."""
    pages = [(fault[2] - first) // PAGE for fault in run_faults if fault[0] == "fault"]
    return [page for page in pages if 0 <= page < count]


def can_read(system: System, va: int) -> bool:
    try:
        system.thread.space.read(va, 1)
    except KernelError:
        return False
    return True
