"""Futexes: a thread sleeps until a word in memory changes (futex(2)).

The word is known by the memory object it lies in and its offset there, so it is the same futex
in every process and every view that maps the object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hw.memory import PAGE_MASK
from kernel.errno import Blocked, Channel, E, KernelError
from kernel.process import Thread
from kernel.space import AddressSpace

if TYPE_CHECKING:
    from kernel.kernel import Kernel


def channel(space: AddressSpace, address: int) -> Channel:
    """What waiters of the word at `address` wait for.  Raises EINVAL or EFAULT."""
    if address & 3:
        raise KernelError(E.INVAL)
    region = space.map.find(address)
    if region is None:
        raise KernelError(E.FAULT)
    return ("futex", region.object.id, region.object_page(address) << 12 | address & PAGE_MASK)


def wait(kernel: Kernel, thread: Thread, address: int, expected: int, timeout: int | None) -> int:
    """Sleep while the word holds `expected`; `timeout` in cycles from now.

    Raises EAGAIN if it holds something else, ETIMEDOUT when the time is over.
    """
    call = kernel.traps.current_call(thread)
    if call.woken:
        return 0
    if call.deadline is not None and kernel.now() >= call.deadline:
        raise KernelError(E.TIMEDOUT)
    key = channel(thread.space, address)
    if thread.space.read_u32(address) != expected:
        raise KernelError(E.AGAIN)
    if timeout is not None and call.deadline is None:
        kernel.set_alarm(thread, kernel.now() + timeout)
    raise Blocked(key)


def wake(kernel: Kernel, thread: Thread, address: int, count: int) -> int:
    """Wake up to `count` waiters; returns how many there were."""
    return kernel.wake(channel(thread.space, address), count)
