"""System calls on signals.  signal(7), sigaction(2), sigaltstack(2)."""

from __future__ import annotations

import struct

from kernel.abi.errno import Blocked, E, KernelError
from kernel.kernel import Kernel
from kernel.life import delivery, sigframe
from kernel.syscalls.table import Int, Pid, Ptr, Size, syscall
from kernel.task.clock import timespec_to_cycles
from kernel.task.process import (
    SS_AUTODISARM,
    AlternateStack,
    Process,
    Signal,
    SignalAction,
    Thread,
)
from kernel.wait import jobs, signals, timers
from kernel.wait.signals import SI_TKILL, SI_USER, SIGCONT, SIGNALS, UNBLOCKABLE

SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK = 0, 1, 2
MASK_BYTES = 8
_ACTION = struct.Struct("<QQQQ")  # handler, flags, restorer, mask
_STACK = struct.Struct("<QIiQ")  # sp, flags, padding, size
_SIGINFO = struct.Struct("<iiiiIIQ96x")  # number, errno, code, padding, pid, uid, value


@syscall(13)
def rt_sigaction(k: Kernel, t: Thread, number: Int, new: Ptr, old: Ptr, mask_size: Size) -> int:
    """Set or read what a signal does.  EINVAL: no such signal, or KILL or STOP; EFAULT."""
    _check(number, mask_size)
    current = t.process.actions.get(number, SignalAction())
    wanted = t.space.read(new, _ACTION.size) if new else b""
    if wanted and UNBLOCKABLE >> number - 1 & 1:
        raise KernelError(E.INVAL)
    if old:
        t.space.write(old, _ACTION.pack(current.handler, current.flags, 0, current.mask))
    if wanted:
        handler, flags, _, mask = _ACTION.unpack(wanted)
        t.process.actions[number] = SignalAction(handler, flags, mask & ~UNBLOCKABLE)
        signals.drop_ignored(t.process, number)
        timers.go_on(k.alarms, t.process)
    return 0


@syscall(14)
def rt_sigprocmask(k: Kernel, t: Thread, how: Int, new: Ptr, old: Ptr, mask_size: Size) -> int:
    """Block and unblock signals for the calling thread.  EINVAL; EFAULT."""
    if mask_size != MASK_BYTES:
        raise KernelError(E.INVAL)
    before = t.mask
    if new:
        mask = t.space.read_u64(new)
        if not 0 <= how <= SIG_SETMASK:
            raise KernelError(E.INVAL)
        changed = {SIG_BLOCK: before | mask, SIG_UNBLOCK: before & ~mask, SIG_SETMASK: mask}
        signals.set_mask(k.tasks, t, changed[how])
    if old:
        t.space.write(old, before.to_bytes(MASK_BYTES, "little"))
    return 0


@syscall(15, stops_guest=True)
def rt_sigreturn(k: Kernel, t: Thread) -> int | None:
    """Return from a handler: registers, mask and alternate stack come back from the frame on the
    stack.  A frame that cannot be read is SIGSEGV."""
    try:
        delivery.sigreturn(k.life, t, k.machine.core)
    except KernelError:
        delivery.answer_for_frame(t)
        return 0
    return None


@syscall(127)
def rt_sigpending(k: Kernel, t: Thread, out: Ptr, mask_size: Size) -> int:
    """Store which signals wait because they are blocked.  EINVAL; EFAULT."""
    if mask_size > MASK_BYTES:
        raise KernelError(E.INVAL)
    waiting = {signal.number for signal in (*t.pending, *t.process.pending)}
    blocked = sum(1 << number - 1 for number in waiting) & t.mask
    t.space.write(out, blocked.to_bytes(MASK_BYTES, "little")[:mask_size])
    return 0


@syscall(128, restarts=False, ended_by_stop=True)
def rt_sigtimedwait(
    k: Kernel, t: Thread, wanted: Ptr, info: Ptr, timeout: Ptr, mask_size: Size
) -> int:
    """Wait for one of the wanted signals, which a program should block, and take it.

    Returns its number.  EAGAIN: none came in time; EINTR: another signal came; EINVAL; EFAULT.
    """
    if mask_size != MASK_BYTES:
        raise KernelError(E.INVAL)
    numbers = t.space.read_u64(wanted) & ~UNBLOCKABLE
    call = t.current_call()
    limit = timespec_to_cycles(t.space.read(timeout, 16)) if timeout else None
    signal = timers.take(k.alarms, t, numbers)
    if signal is not None:
        if info:
            t.space.write(info, sigframe.pack_siginfo(signal))
        return signal.number
    if limit == 0 or (call.deadline is not None and k.tasks.now() >= call.deadline):
        raise KernelError(E.AGAIN)
    call.awaited = numbers
    if limit is not None and call.deadline is None:
        k.alarms.wake(t, k.tasks.now() + limit)
    raise Blocked(("signal", t.tid, 0))


@syscall(130, restarts=False)
def rt_sigsuspend(k: Kernel, t: Thread, mask: Ptr, mask_size: Size) -> int:
    """Sleep with another mask until a handler has run: always EINTR.  EINVAL; EFAULT."""
    if mask_size != MASK_BYTES:
        raise KernelError(E.INVAL)
    signals.borrow_mask(t, t.space.read_u64(mask))
    raise Blocked(("signal", t.tid, 0))


@syscall(34, restarts=False)
def pause(k: Kernel, t: Thread) -> int:
    """Sleep until a handler has run: always EINTR."""
    raise Blocked(("signal", t.tid, 0))


# Sending ------------------------------------------------------------------------------------------


@syscall(62)
def kill(k: Kernel, t: Thread, pid: Pid, number: Int) -> int:
    """Send a signal to a process (pid > 0), the caller's group (0), a group (< -1) or all (-1).

    Signal 0 only checks.  ESRCH: no such process; EPERM: only other users', and not root; EINVAL.
    """
    check_number(number)
    found = _targets(k, t.process, pid)
    allowed = [p for p in found if may_signal(t.process, p, number)]
    if not allowed:
        raise KernelError(E.PERM if found else E.SRCH)
    for process in allowed if number else []:
        signals.send(k.tasks, process, from_caller(t, number, SI_USER))
    return 0


@syscall(234)
def tgkill(k: Kernel, t: Thread, pid: Pid, tid: Pid, number: Int) -> int:
    """Send a signal to one thread of a process.  ESRCH; EPERM; EINVAL."""
    if pid <= 0:
        raise KernelError(E.INVAL)
    return _to_thread(k, t, pid, tid, from_caller(t, number, SI_TKILL))


@syscall(200)
def tkill(k: Kernel, t: Thread, tid: Pid, number: Int) -> int:
    """Send a signal to one thread.  ESRCH; EPERM; EINVAL."""
    return _to_thread(k, t, 0, tid, from_caller(t, number, SI_TKILL))


def _to_thread(k: Kernel, t: Thread, pid: int, tid: int, signal: Signal) -> int:
    if tid <= 0:
        raise KernelError(E.INVAL)
    target = k.tasks.threads.get(tid)
    if target is None or pid not in (0, target.pid):
        raise KernelError(E.SRCH)
    check_number(signal.number)
    if not may_signal(t.process, target.process, signal.number):
        raise KernelError(E.PERM)
    if signal.number and not signals.send(k.tasks, target.process, signal, target):
        raise KernelError(E.AGAIN)
    return 0


@syscall(129)
def rt_sigqueueinfo(k: Kernel, t: Thread, pid: Pid, number: Int, info: Ptr) -> int:
    """Send a signal with a siginfo_t of the caller's.  EPERM: a code of the kernel or of kill, or
    another user's process; ESRCH; EINVAL; EAGAIN: too many are pending; EFAULT."""
    signal = read_siginfo(t, number, info)
    if pid != t.pid and (signal.code >= 0 or signal.code == SI_TKILL):
        raise KernelError(E.PERM)
    target = jobs.process_of(k.tasks, pid)
    if target is None:
        raise KernelError(E.SRCH)
    check_number(number)
    if not may_signal(t.process, target, number):
        raise KernelError(E.PERM)
    if number and not signals.send(k.tasks, target, signal):
        raise KernelError(E.AGAIN)
    return 0


@syscall(297)
def rt_tgsigqueueinfo(k: Kernel, t: Thread, pid: Pid, tid: Pid, number: Int, info: Ptr) -> int:
    """As rt_sigqueueinfo, but to one thread of a process."""
    signal = read_siginfo(t, number, info)
    if pid <= 0 or tid <= 0:
        raise KernelError(E.INVAL)
    if pid != t.pid and (signal.code >= 0 or signal.code == SI_TKILL):
        raise KernelError(E.PERM)
    return _to_thread(k, t, pid, tid, signal)


def read_siginfo(t: Thread, number: int, at: int) -> Signal:
    """What a siginfo_t of the caller's says.  Raises EFAULT."""
    _, _, code, _, pid, uid, value = _SIGINFO.unpack(t.space.read(at, _SIGINFO.size))
    return Signal(number, code, pid=pid, uid=uid, value=value)


@syscall(131, stops_guest=True)
def sigaltstack(k: Kernel, t: Thread, new: Ptr, old: Ptr) -> int:
    """Set or read the stack for handlers with SA_ONSTACK; SS_AUTODISARM: a handler takes it away
    until it returns.  EPERM: in use; ENOMEM: too small; EINVAL: unknown flags; EFAULT."""
    before, rsp = t.alternate_stack, k.machine.core.registers()["rsp"]
    if new:
        base, flags, _, size = _STACK.unpack(t.space.read(new, _STACK.size))
        sigframe.set_alternate_stack(t, AlternateStack(base, size, flags), rsp)
    if old:
        flags = sigframe.state(t, before, rsp) | before.flags & SS_AUTODISARM
        t.space.write(old, _STACK.pack(before.base, flags, 0, before.size_bytes))
    return 0


def _check(number: int, mask_size: int) -> None:
    if not 1 <= number <= SIGNALS or mask_size != MASK_BYTES:
        raise KernelError(E.INVAL)


def check_number(number: int) -> None:
    """EINVAL: there is no such signal."""
    if not 0 <= number <= SIGNALS:
        raise KernelError(E.INVAL)


def from_caller(t: Thread, number: int, code: int) -> Signal:
    """A signal that the calling process sends."""
    return Signal(number, code, pid=t.pid, uid=t.process.credentials.real_uid)


def _targets(k: Kernel, sender: Process, pid: int) -> list[Process]:
    """The processes that `pid` means for kill(2); the id of a thread means its process."""
    if pid > 0:
        process = jobs.process_of(k.tasks, pid)
        return [] if process is None else [process]
    if pid == -1:
        return [p for p in k.tasks.processes.values() if p.pid > 1 and p is not sender]
    return jobs.members(k.tasks, -pid or sender.group)


def may_signal(sender: Process, target: Process, number: int) -> bool:
    """Root may, and so may a sender whose real or effective uid is the target's real or saved one.
    SIGCONT may go to the whole session (kill(2))."""
    mine, other = sender.credentials, target.credentials
    if mine.is_root or sender is target:
        return True
    if number == SIGCONT and sender.session == target.session:
        return True
    theirs = (other.real_uid, other.saved_uid)
    return mine.uid in theirs or mine.real_uid in theirs
