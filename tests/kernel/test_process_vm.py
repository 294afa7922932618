"""Memory of another process: frames, views, costs.  `tests/native/p_process_vm.c` has the rest."""

from __future__ import annotations

import struct

import pytest

from hw import costs
from kernel import invariants
from kernel.abi.errno import E
from kernel.task.process import Thread
from tests.kernel.system import System, still

PAGE = 4096
HERE = 0x10_0000_0000
SHARED, PRIVATE, FIXED, ANON = 1, 2, 0x10, 0x20
RW = 3
CHUNK = 1 << 20


def pair(**wishes: object) -> tuple[System, Thread]:
    """A process with four pages, the first two of them touched, and its child."""
    system = still(**wishes)
    system.ask("mmap", HERE, 4 * PAGE, RW, PRIVATE | FIXED | ANON, -1, 0)
    system.thread.space.write(HERE, b"p" * 2 * PAGE)
    tid = system.ask("fork")
    return system, system.kernel.tasks.threads[tid]


def parts(system: System, at: int, *buffers: tuple[int, int]) -> tuple[int, int]:
    """An array of struct iovec in the caller's memory."""
    system.thread.space.write(at, b"".join(struct.pack("<QQ", *buffer) for buffer in buffers))
    return at, len(buffers)


def move(system: System, name: str, pid: int, here: int, there: int, size: int) -> int:
    local = parts(system, HERE + 3 * PAGE, (here, size))
    remote = parts(system, HERE + 3 * PAGE + 64, (there, size))
    return system.ask(name, pid, *local, *remote, 0)


@pytest.mark.parametrize("eager", [False, True])
def test_a_store_into_a_child_copies_the_page_that_both_show(*, eager: bool) -> None:
    system, child = pair(eager=eager)
    system.thread.space.write(HERE + PAGE, b"new")
    assert move(system, "process_vm_writev", child.pid, HERE + PAGE, HERE + 100, 3) == 3
    assert child.space.read(HERE + 99, 5) == b"pnewp"
    assert system.thread.space.read(HERE + 99, 5) == b"ppppp"
    invariants.check(system.kernel)


def test_pages_come_back_from_the_disk_for_the_copy() -> None:
    system, child = pair(swap=4, ram=4)
    system.kernel.memory.objects.reserve(len(system.kernel.memory.frames.free) + 50)
    majors = system.kernel.memory.objects.pager.majors  # type: ignore[union-attr]
    assert move(system, "process_vm_readv", child.pid, HERE + 2 * PAGE, HERE, PAGE) == PAGE
    assert system.thread.space.read(HERE + 2 * PAGE, PAGE) == b"p" * PAGE
    assert system.kernel.memory.objects.pager.majors > majors  # type: ignore[union-attr]
    invariants.check(system.kernel)


def test_a_child_without_frames_left_is_an_error_and_not_half_a_page() -> None:
    system, child = pair()
    frames = system.kernel.memory.frames
    local = parts(system, HERE + 3 * PAGE, (HERE, 3 * PAGE))
    remote = parts(system, HERE + 3 * PAGE + 64, (HERE, 3 * PAGE))
    taken = [frames.allocate(1) for _ in range(len(frames.free) - 1)]
    # One page of the child can be copied; the caller's third page would be the next frame.
    assert system.ask("process_vm_writev", child.pid, *local, *remote, 0) == -E.NOMEM
    for pfn in taken:
        frames.release(pfn)
    assert system.ask("process_vm_writev", child.pid, *local, *remote, 0) == 3 * PAGE
    invariants.check(system.kernel)


def test_a_long_copy_goes_in_chunks_and_is_charged_by_the_line() -> None:
    system, child = pair(ram=16)
    big = HERE + (1 << 30)
    for thread in (system.thread, child):
        flags = SHARED | FIXED | ANON
        system.ask("mmap", big, 2 * CHUNK + PAGE, RW, flags, -1, 0, thread=thread)
    child.space.write(big + 2 * CHUNK, b"end")
    state = system.kernel.machine.core.state
    before = state.counts[costs.USER_COPY_LINE]
    size = 2 * CHUNK + 3
    assert move(system, "process_vm_readv", child.pid, big, big, size) == size
    assert system.thread.space.read(big + 2 * CHUNK, 3) == b"end"
    assert state.counts[costs.USER_COPY_LINE] - before >= 2 * (size >> 6)


def test_a_thread_in_a_view_is_seen_as_it_sees_itself() -> None:
    """The memory of a thread inside a VAS is the view's, for others as in /proc/PID/mem."""
    system, child = pair()
    vases, space = system.kernel.vases, system.thread.space
    space.write(HERE + PAGE, b"view\0")
    vid = system.ask("vas_create", HERE + PAGE, 0o600, thread=system.thread)
    assert system.ask("vas_attach", 0, vid, 2, thread=child) == 0
    assert system.ask("vas_switch", vid, thread=child) == 0
    at = system.ask("mmap", 0, PAGE, RW, PRIVATE | ANON, -1, 0, thread=child)
    child.space.write(at, b"inside")
    assert move(system, "process_vm_readv", child.pid, HERE, at, 6) == 6
    assert space.read(HERE, 6) == b"inside"
    assert system.ask("vas_switch", 0, thread=child) == 0
    assert move(system, "process_vm_readv", child.pid, HERE, at, 6) == -E.FAULT
    assert vases.vases
    invariants.check(system.kernel)


def test_no_stack_grows_for_another_process() -> None:
    system, child = pair()
    stack = next(region for region in child.space.map if region.floor)
    bottom = stack.start
    assert move(system, "process_vm_readv", child.pid, HERE, bottom - 8, 4) == -E.FAULT
    assert stack.start == bottom
