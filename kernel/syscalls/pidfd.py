"""System calls on descriptors for processes, which never mean another process.  pidfd_open(2).

Such a descriptor stays when its process has ended, and even when its parent has waited for it.
poll(2) tells of both; waitid(2) takes it as P_PIDFD.
"""

from __future__ import annotations

from kernel.abi.errno import E, KernelError
from kernel.abi.nodes import O_NONBLOCK
from kernel.kernel import Kernel
from kernel.syscalls.signal import check_number, from_caller, may_signal, read_siginfo
from kernel.syscalls.table import Fd, Flags, Int, Pid, Ptr, syscall
from kernel.task.descriptors import PROCESSES, Handle
from kernel.task.process import Process, Signal, Thread
from kernel.wait import jobs, signals
from kernel.wait.signals import SI_TKILL, SI_USER

PIDFD_NONBLOCK = O_NONBLOCK
TO_THREAD, TO_PROCESS, TO_GROUP = 1, 2, 4
"""PIDFD_SIGNAL_...: whom the signal is for; without them, the process."""


@syscall(434)
def pidfd_open(k: Kernel, t: Thread, pid: Pid, flags: Flags) -> int:
    """A descriptor for a process, which execve closes; with PIDFD_NONBLOCK waitid does not wait.

    EINVAL: other flags, or no pid; ESRCH; ENOENT: a thread that does not lead its process; EMFILE.
    """
    if flags & ~PIDFD_NONBLOCK or pid <= 0:
        raise KernelError(E.INVAL)
    if pid not in k.tasks.processes:
        raise KernelError(E.NOENT if pid in k.tasks.threads else E.SRCH)
    handle = Handle(PROCESSES, pid)
    handle.flags |= flags
    return t.descriptors.add(handle, closes_on_exec=True)


@syscall(424)
def pidfd_send_signal(k: Kernel, t: Thread, pidfd: Fd, number: Int, info: Ptr, flags: Flags) -> int:
    """Send a signal to a process, to its first thread or to the group that it leads.

    `info`: a siginfo_t of the caller's.  EBADF: no descriptor for a process; ESRCH: its parent has
    waited for it; EPERM; EINVAL: number, flags, or another number in `info`; EAGAIN; EFAULT.
    """
    if flags not in (0, TO_THREAD, TO_PROCESS, TO_GROUP):
        raise KernelError(E.INVAL)
    pid = t.descriptors.process(pidfd).badge
    signal = from_caller(t, number, SI_TKILL if flags == TO_THREAD else SI_USER)
    if info:
        signal = read_siginfo(t, number, info)
        if t.space.read_u32(info) != number & 0xFFFF_FFFF:
            raise KernelError(E.INVAL)
        made_up = signal.code >= 0 or signal.code == SI_TKILL
        if made_up and (pid != t.tid or flags == TO_GROUP):
            raise KernelError(E.PERM)
    found = jobs.members(k.tasks, pid) if flags == TO_GROUP else _process(k, pid)
    _send_to_any(k, t, found, signal, to_thread=flags == TO_THREAD)
    return 0


def _process(k: Kernel, pid: int) -> list[Process]:
    process = k.tasks.processes.get(pid)
    return [process] if process is not None else []


def _send_to_any(
    k: Kernel, t: Thread, targets: list[Process], signal: Signal, *, to_thread: bool
) -> None:
    """Send to those that the caller may signal.  ESRCH; EINVAL; EPERM: there is none; EAGAIN."""
    if not targets:
        raise KernelError(E.SRCH)
    check_number(signal.number)
    allowed = [each for each in targets if may_signal(t.process, each, signal.number)]
    if not allowed:
        raise KernelError(E.PERM)
    for each in allowed if signal.number else []:
        thread = each.threads[0] if to_thread and each.threads else None
        if not signals.send(k.tasks, each, signal, thread):
            raise KernelError(E.AGAIN)


@syscall(438)
def pidfd_getfd(k: Kernel, t: Thread, pidfd: Fd, fd: Fd, flags: Flags) -> int:
    """A copy of a descriptor of another process, which execve closes.

    EINVAL: flags; EBADF: either of them; ESRCH: the process has ended; EPERM: the caller may not
    look into it; EMFILE.
    """
    if flags:
        raise KernelError(E.INVAL)
    process = k.tasks.processes.get(t.descriptors.process(pidfd).badge)
    if process is None:
        raise KernelError(E.SRCH)
    if not _may_trace(t.process, process):
        raise KernelError(E.PERM)
    if process.zombie:
        raise KernelError(E.SRCH)
    return t.descriptors.add(process.descriptors.get(fd), closes_on_exec=True)


def _may_trace(caller: Process, target: Process) -> bool:
    """Root may, and so may who has all ids of a process that can be dumped (ptrace(2))."""
    mine, other = caller.credentials, target.credentials
    if caller is target or mine.is_root:
        return True
    users = {other.real_uid, other.uid, other.saved_uid}
    groups = {other.real_gid, other.gid, other.saved_gid}
    same = users == {mine.real_uid} and groups == {mine.real_gid}
    return same and not other.is_root and (target.zombie or target.dumpable == 1)
