"""Futexes: a thread sleeps until a word in memory changes (futex(2)).

The word is known by the memory object it lies in and its offset there, so it is the same futex
in every process and every view that maps the object.
"""

from __future__ import annotations

import struct
from contextlib import suppress

from hw.memory import PAGE_MASK
from hw.paging import USER_TOP
from kernel.abi.errno import Blocked, Channel, E, KernelError
from kernel.mm.space import AddressSpace
from kernel.sched.tasks import Tasks
from kernel.task.process import Thread
from kernel.wait.alarms import Alarms

ANY_BITS = 0xFFFF_FFFF
OWNER_DIED, WAITERS, OWNER = 0x4000_0000, 0x8000_0000, 0x3FFF_FFFF
MAX_ROBUST = 2048
_ROBUST_HEAD = struct.Struct("<QqQ")
_SIGN = 1 << 31


def channel(space: AddressSpace, address: int, *, private: bool = False) -> Channel:
    """What waiters of the word at `address` wait for.

    Raises EINVAL: it is not aligned; EFAULT: it cannot be read.  Of a `private` futex only the
    address counts (FUTEX_PRIVATE_FLAG): it may be any below the end of user memory.
    """
    if address & 3:
        raise KernelError(E.INVAL)
    if not private:
        space.read_u32(address)
    elif address >= USER_TOP:
        raise KernelError(E.FAULT)
    region = space.map.find(address)
    if region is None:
        return ("futex", -space.id, address)
    return ("futex", region.object.id, region.object_page(address) << 12 | address & PAGE_MASK)


def wait(
    alarms: Alarms,
    thread: Thread,
    address: int,
    expected: int,
    deadline: int | None,
    bits: int = ANY_BITS,
) -> int:
    """Sleep while the word holds `expected`, until `deadline` in cycles.

    Raises EAGAIN if it holds something else, ETIMEDOUT when the time is over, EINVAL: no bits.
    """
    call = thread.current_call()
    if call.woken:
        return 0
    if not bits:
        raise KernelError(E.INVAL)
    key = channel(thread.space, address, private=True)  # its word is read below
    if call.deadline is not None and alarms.tasks.now() >= call.deadline:
        raise KernelError(E.TIMEDOUT)
    if call.interrupted:  # the word may have changed since, but the signal came first
        raise Blocked(key)
    if thread.space.read_u32(address) != expected:
        raise KernelError(E.AGAIN)
    call.bits = bits
    if deadline is not None and call.deadline is None:
        alarms.wake(thread, deadline)
    raise Blocked(key)


def wake(tasks: Tasks, key: Channel, count: int, bits: int = ANY_BITS) -> int:
    """Wake at most `count` waiters that hear one of `bits`; returns how many there were."""
    if not bits:
        raise KernelError(E.INVAL)
    return _wake(tasks, key, count, bits)


def _wake(tasks: Tasks, key: Channel, count: int, bits: int = ANY_BITS) -> int:
    woken = [t for t in tasks.channels.get(key, []) if t.call is not None and t.call.bits & bits]
    woken = woken[:count]
    for thread in woken:
        assert thread.call is not None
        thread.call.woken = True
        tasks.unblock(thread)
    return len(woken)


def requeue(
    tasks: Tasks, source: Channel, other: Channel, wakes: int, moves: int
) -> tuple[int, int]:
    """Wake some waiters of a word and let others wait for another one; how many of each."""
    woken = _wake(tasks, source, wakes)
    moved = list(tasks.channels.get(source, []))[:moves]
    if source != other:
        for sleeper in moved:
            tasks.move_sleeper(sleeper, other)
    return woken, len(moved)


def wake_op(
    tasks: Tasks,
    space: AddressSpace,
    keys: tuple[Channel, Channel],
    word: int,
    counts: tuple[int, int],
    operation: int,
) -> int:
    """Change the second word, which is at `word`; wake waiters of the first key, and of the
    second if the old value compares.  Raises ENOSYS: an unknown operation or comparison."""
    kind, compared = operation >> 28 & 15, operation >> 24 & 15
    operand, limit = _signed12(operation >> 12), _signed12(operation)
    if kind & 8:
        operand = 1 << (operand & 31)
    old = space.read_u32(word)
    new = _OPERATIONS.get(kind & 7)
    holds = _COMPARISONS.get(compared)
    if new is None or holds is None:
        raise KernelError(E.NOSYS)
    space.write(word, (new(old, operand) & 0xFFFF_FFFF).to_bytes(4, "little"))
    woken = _wake(tasks, keys[0], counts[0])
    if holds((old ^ _SIGN) - _SIGN, limit):
        woken += _wake(tasks, keys[1], counts[1])
    return woken


_OPERATIONS = {
    0: lambda old, operand: operand,
    1: lambda old, operand: old + operand,
    2: lambda old, operand: old | operand,
    3: lambda old, operand: old & ~operand,
    4: lambda old, operand: old ^ operand,
}
_COMPARISONS = {
    0: lambda old, limit: old == limit,
    1: lambda old, limit: old != limit,
    2: lambda old, limit: old < limit,
    3: lambda old, limit: old <= limit,
    4: lambda old, limit: old > limit,
    5: lambda old, limit: old >= limit,
}


def _signed12(word: int) -> int:
    return ((word & 0xFFF) ^ 0x800) - 0x800


# Robust futexes: Documentation/robust-futexes.rst -------------------------------------------------


def owner_died(tasks: Tasks, thread: Thread) -> None:
    """A thread ends: every futex on its list that it holds is marked, and a waiter wakes.

    The list is the program's, so it may lead anywhere; a bad address ends it.
    """
    head, thread.robust_list = thread.robust_list, 0
    if not head:
        return
    with suppress(KernelError):
        entry, offset, pending = _ROBUST_HEAD.unpack(thread.space.read(head, _ROBUST_HEAD.size))
        for _ in range(MAX_ROBUST):
            if entry & ~1 == head:
                break
            following = thread.space.read_u64(entry & ~1)
            if entry != pending:
                _mark(tasks, thread, (entry & ~1) + offset)
            entry = following
        if pending:
            _mark(tasks, thread, (pending & ~1) + offset, pending=True)


def _mark(tasks: Tasks, thread: Thread, address: int, *, pending: bool = False) -> None:
    """`pending`: the thread was about to take or give up the futex.  If it is free now, the thread
    may not have come to wake the next one (Linux, handle_futex_death)."""
    key = channel(thread.space, address)
    word = thread.space.read_u32(address)
    if pending and not word:
        _wake(tasks, key, 1)
    if word & OWNER != thread.process.seen(thread.tid):
        return
    thread.space.write(address, (word & WAITERS | OWNER_DIED).to_bytes(4, "little"))
    if word & WAITERS:
        _wake(tasks, key, 1)
