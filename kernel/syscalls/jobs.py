"""System calls on process groups and sessions: setpgid(2), setsid(2)."""

from __future__ import annotations

from kernel.abi.errno import E, KernelError
from kernel.kernel import Kernel
from kernel.syscalls.table import Pid, syscall
from kernel.task.process import Process, Thread
from kernel.wait import jobs


@syscall(109)
def setpgid(k: Kernel, t: Thread, pid: Pid, group: Pid) -> int:
    """Put a process (0: the caller) into a group of its session, or a new one (0: its own pid).

    EINVAL: a negative group; ESRCH: neither the caller nor its child; EACCES: a child that has
    called execve; EPERM: a session leader, or another session.
    """
    pid = pid or t.pid
    if group < 0:
        raise KernelError(E.INVAL)
    jobs.move(k.tasks, t.process, pid, group or pid)
    return 0


@syscall(111)
def getpgrp(k: Kernel, t: Thread) -> int:
    """The caller's process group."""
    return t.process.group


@syscall(121)
def getpgid(k: Kernel, t: Thread, pid: Pid) -> int:
    """The process group of a process, 0: the caller.  ESRCH."""
    return _find(k, t, pid).group


@syscall(112)
def setsid(k: Kernel, t: Thread) -> int:
    """Lead a new session, without a terminal; returns its id.  EPERM: the caller leads a group."""
    jobs.start_session(k.tasks, t.process)
    return t.process.session


@syscall(124)
def getsid(k: Kernel, t: Thread, pid: Pid) -> int:
    """The session of a process, 0: the caller.  ESRCH."""
    return _find(k, t, pid).session


def _find(k: Kernel, t: Thread, pid: int) -> Process:
    if not pid:
        return t.process
    found = jobs.process_of(k.tasks, pid)
    if found is None:
        raise KernelError(E.SRCH)
    return found
