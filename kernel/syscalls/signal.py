"""System calls on signals.  signal(7), sigaction(2), sigaltstack(2)."""

from __future__ import annotations

import struct

from kernel import signals
from kernel.errno import E, KernelError
from kernel.kernel import Kernel
from kernel.process import Process, Signal, SignalAction, Thread
from kernel.signals import SI_TKILL, SI_USER, SIGNALS, UNBLOCKABLE
from kernel.syscalls import Int, Pid, Ptr, Size, syscall

SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK = 0, 1, 2
MASK_BYTES, MIN_STACK_BYTES = 8, 2048
_ACTION = struct.Struct("<QQQQ")  # handler, flags, restorer, mask
_STACK = struct.Struct("<QiiQ")  # sp, flags, padding, size


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
        t.process.actions[number] = SignalAction(handler, flags, mask)
    return 0


@syscall(14)
def rt_sigprocmask(k: Kernel, t: Thread, how: Int, new: Ptr, old: Ptr, mask_size: Size) -> int:
    """Block and unblock signals for the calling thread.  EINVAL; EFAULT."""
    if mask_size != MASK_BYTES or not 0 <= how <= SIG_SETMASK:
        raise KernelError(E.INVAL)
    before = t.mask
    if new:
        mask = t.space.read_u64(new)
        changed = {SIG_BLOCK: before | mask, SIG_UNBLOCK: before & ~mask, SIG_SETMASK: mask}
        t.mask = changed[how] & ~UNBLOCKABLE
        k.interrupt(t)
    if old:
        t.space.write(old, before.to_bytes(MASK_BYTES, "little"))
    return 0


@syscall(15, stops_guest=True)
def rt_sigreturn(k: Kernel, t: Thread) -> None:
    """Return from a handler: registers and mask come back from the frame on the stack."""
    try:
        signals.sigreturn(k, t, k.machine.core)
    except KernelError:
        k.life.exit_process(t.process, signals.SIGSEGV)


@syscall(62)
def kill(k: Kernel, t: Thread, pid: Pid, number: Int) -> int:
    """Send a signal to a process (pid > 0), one's group (0), a group (< -1) or everybody (-1).

    Signal 0 only checks.  ESRCH: nobody there; EPERM: not one's own, and not root; EINVAL.
    """
    if not 0 <= number <= SIGNALS:
        raise KernelError(E.INVAL)
    found = [p for p in k.processes.values() if _is_target(p, pid, t.process)]
    allowed = [p for p in found if _may_signal(t.process, p)]
    if not allowed:
        raise KernelError(E.PERM if found else E.SRCH)
    for process in allowed if number else []:
        signals.send(k, process, _from(t, number, SI_USER))
    return 0


@syscall(234)
def tgkill(k: Kernel, t: Thread, pid: Pid, tid: Pid, number: Int) -> int:
    """Send a signal to one thread.  ESRCH; EPERM; EINVAL."""
    if not 0 <= number <= SIGNALS or pid <= 0 or tid <= 0:
        raise KernelError(E.INVAL)
    target = k.threads.get(tid)
    if target is None or target.pid != pid:
        raise KernelError(E.SRCH)
    if not _may_signal(t.process, target.process):
        raise KernelError(E.PERM)
    if number:
        signals.send(k, target.process, _from(t, number, SI_TKILL), target)
    return 0


@syscall(131, stops_guest=True)
def sigaltstack(k: Kernel, t: Thread, new: Ptr, old: Ptr) -> int:
    """Set or read the stack for handlers with SA_ONSTACK.  EPERM: in use; ENOMEM: too small."""
    base, size = t.alternate_stack
    inside = signals.on_alternate_stack(t, k.machine.core.registers()["rsp"])
    wanted = t.space.read(new, _STACK.size) if new else b""
    if wanted and inside:
        raise KernelError(E.PERM)
    if old:
        flags = signals.SS_DISABLE if not size else signals.SS_ONSTACK if inside else 0
        t.space.write(old, _STACK.pack(base, flags, 0, size))
    if wanted:
        t.alternate_stack = _alternate_stack(wanted)
    return 0


def _alternate_stack(wanted: bytes) -> tuple[int, int]:
    base, flags, _, size = _STACK.unpack(wanted)
    if flags & ~(signals.SS_DISABLE | signals.SS_ONSTACK):
        raise KernelError(E.INVAL)
    if flags & signals.SS_DISABLE:
        return 0, 0
    if size < MIN_STACK_BYTES:
        raise KernelError(E.NOMEM)
    return base, size


def _check(number: int, mask_size: int) -> None:
    if not 1 <= number <= SIGNALS or mask_size != MASK_BYTES:
        raise KernelError(E.INVAL)


def _from(t: Thread, number: int, code: int) -> Signal:
    return Signal(number, code, t.process.pid, t.process.credentials.uid)


def _is_target(process: Process, pid: int, sender: Process) -> bool:
    if pid > 0:
        return process.pid == pid
    if pid == -1:
        return process.pid > 1 and process is not sender
    return process.group == (sender.group if pid == 0 else -pid)


def _may_signal(sender: Process, target: Process) -> bool:
    return sender.credentials.is_root or sender.credentials.uid == target.credentials.uid
