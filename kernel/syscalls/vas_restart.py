"""Checkpoint and restart of a process, as a VAS.

The author of the RFC added these two calls to his library after the RFC.  `vas_fork` makes a
checkpoint, `vas_exec` restarts it, as often as one likes.  `run.py manual vas` says what is kept.
"""

from __future__ import annotations

from kernel.abi.errno import E, KernelError
from kernel.kernel import Kernel
from kernel.life import imaging, restart
from kernel.life.openfiles import CannotKeep
from kernel.syscalls.table import Int, Pid, syscall
from kernel.task.process import Thread
from kernel.vas import frozen


@syscall(1348, stops_guest=True)
def vas_fork(k: Kernel, t: Thread, pid: Pid) -> int:
    """Make a checkpoint of process `pid` (0: the caller), which goes on; returns the id of a VAS.

    The caller's own checkpoint sees the result 0 when it is restarted, as a child of fork does.
    EINVAL: a negative id; ESRCH: no such process; EACCES: another user's, and the caller is not
    root; EBUSY: not now, since it has children, shares its memory, or is behind a gate; EOPNOTSUPP:
    it has something that cannot be kept, and the log says what; ENOMEM.
    """
    if pid < 0:
        raise KernelError(E.INVAL)
    process = k.vases.target(t.process, pid)
    try:
        return imaging.checkpoint(k.life, process, t).id
    except CannotKeep as refused:
        k.log.say_once(f"no checkpoint of process {process.pid}: {refused.why}")
        raise


@syscall(1349, stops_guest=True)
def vas_exec(k: Kernel, t: Thread, pid: Pid, vid: Int) -> int | None:
    """Let process `pid` (0: the caller) go on as the checkpoint `vid`, which stays as it is.

    Its own program ends.  It keeps its pid, parent, children, group, session and terminal.
    EINVAL: no checkpoint, or a negative id; ESRCH: no such process, or a VAS or segment that the
    checkpoint had attached is gone; EACCES: needs read on it, another user's process, or lacks a
    right on what it had attached; EBUSY: the sharing rule; EFAULT: something is mapped where the
    checkpoint has memory; EAGAIN: too many threads; ENOENT and other errors of open: a file that
    it had open; ENOMEM.
    """
    if pid < 0 or vid < 0:
        raise KernelError(E.INVAL)
    process = k.vases.target(t.process, pid)
    vas = frozen.for_restart(k.vases, vid, t.process.credentials)
    is_own = process is t.process
    restart.restart(k.life, process, vas, t)
    return None if is_own else 0
