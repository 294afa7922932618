"""System calls on futexes, and on the words that the kernel changes when a thread ends."""

from __future__ import annotations

from kernel.abi.errno import Channel, E, KernelError
from kernel.kernel import Kernel
from kernel.syscalls.table import Flags, Int, Pid, Ptr, Size, syscall
from kernel.syscalls.time import deadline_of
from kernel.task import clock
from kernel.task.process import Thread
from kernel.wait import futex as futexes

WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET = 0, 1, 3, 4, 5, 9, 10
COMMAND, PRIVATE, CLOCK_REALTIME = 0x7F, 0x80, 0x100
ROBUST_HEAD_BYTES = 24


@syscall(202, restarts_timed=False)
def futex(
    k: Kernel, t: Thread, uaddr: Ptr, op: Int, val: Flags, timeout: Ptr, uaddr2: Ptr, val3: Flags
) -> int:
    """WAIT: sleep while *uaddr is val.  WAKE: wake at most val sleepers; returns how many.  The
    _BITSET forms mean sleepers whose bits meet val3.  REQUEUE, CMP_REQUEUE: wake val of them, and
    move at most `timeout` others to uaddr2.  WAKE_OP: change *uaddr2 too, and wake there too.

    EAGAIN: *uaddr was not val (CMP_REQUEUE: val3); ETIMEDOUT; EINTR; EFAULT; EINVAL: unaligned,
    no bits, or a bad count or time; ENOSYS: another op.
    """
    command = op & COMMAND
    if op & CLOCK_REALTIME and command != WAIT_BITSET:
        raise KernelError(E.NOSYS)
    if command in (WAIT, WAIT_BITSET):
        bits = val3 if command == WAIT_BITSET else futexes.ANY_BITS
        return futexes.wait(
            k.alarms, t, uaddr, val, deadline=_deadline(k, t, op, timeout), bits=bits
        )
    if command in (WAKE, WAKE_BITSET):
        bits = val3 if command == WAKE_BITSET else futexes.ANY_BITS
        return futexes.wake(k.tasks, _channel(t, op, uaddr), _count(val), bits)
    if command in (REQUEUE, CMP_REQUEUE):
        return _requeue(k, t, op, (uaddr, uaddr2), (val, timeout, val3))
    if command == WAKE_OP:
        keys = _channel(t, op, uaddr), _channel(t, op, uaddr2)
        counts = (_count(val), _count(timeout))
        return futexes.wake_op(k.tasks, t.space, keys, uaddr2, counts, operation=val3)
    raise KernelError(E.NOSYS)


def _channel(t: Thread, op: int, address: int) -> Channel:
    return futexes.channel(t.space, address, private=bool(op & PRIVATE))


def _deadline(k: Kernel, t: Thread, op: int, timeout: int) -> int | None:
    """When the wait ends, in cycles.  WAIT has a duration, WAIT_BITSET the time of a clock."""
    call = t.current_call()
    if call.deadline is not None or not timeout:
        return call.deadline
    wanted = clock.REALTIME if op & CLOCK_REALTIME else clock.MONOTONIC
    moment = op & COMMAND == WAIT_BITSET
    return deadline_of(k, t.space.read(timeout, 16), wanted, absolute=moment)


def _count(register: int) -> int:
    """How many to wake: at least one, since Linux compares its int only after a wake."""
    number = (register & 0xFFFF_FFFF ^ 1 << 31) - (1 << 31)
    return max(1, number)


def _requeue(
    k: Kernel, t: Thread, op: int, words: tuple[int, int], values: tuple[int, int, int]
) -> int:
    wakes, moves, expected = (value & 0xFFFF_FFFF for value in values)
    if (wakes | moves) >> 31:
        raise KernelError(E.INVAL)
    source, other = _channel(t, op, words[0]), _channel(t, op, words[1])
    if op & COMMAND == CMP_REQUEUE and t.space.read_u32(words[0]) != expected:
        raise KernelError(E.AGAIN)
    woken, moved = futexes.requeue(k.tasks, source, other, wakes=wakes, moves=moves)
    return woken + moved


@syscall(218)
def set_tid_address(k: Kernel, t: Thread, addr: Ptr) -> int:
    """When this thread ends, zero the word at `addr` and wake its futex.  Returns the tid."""
    t.clear_tid_address = addr
    return t.process.seen(t.tid)


@syscall(273)
def set_robust_list(k: Kernel, t: Thread, head: Ptr, size: Size) -> int:
    """When this thread ends, mark the futexes on this list that it holds.  EINVAL: wrong size."""
    if size != ROBUST_HEAD_BYTES:
        raise KernelError(E.INVAL)
    t.robust_list = head
    return 0


@syscall(274)
def get_robust_list(k: Kernel, t: Thread, tid: Pid, head: Ptr, size: Ptr) -> int:
    """Store where a thread's list is.  ESRCH: no such thread; EPERM: another user's; EFAULT."""
    target = k.tasks.threads.get(tid) if tid else t
    if target is None:
        raise KernelError(E.SRCH)
    mine, other = t.process.credentials, target.process.credentials
    if target.process is not t.process and not mine.is_root and mine.uid != other.real_uid:
        raise KernelError(E.PERM)
    t.space.write(size, ROBUST_HEAD_BYTES.to_bytes(8, "little"))
    t.space.write(head, target.robust_list.to_bytes(8, "little"))
    return 0
