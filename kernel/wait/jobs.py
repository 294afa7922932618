"""Job control: sessions, process groups, and orphaned groups (credentials(7))."""

from __future__ import annotations

from kernel.abi.errno import E, KernelError
from kernel.sched.tasks import Tasks
from kernel.task.process import Process


def members(tasks: Tasks, group: int) -> list[Process]:
    """The processes of a group, zombies too, oldest first."""
    return [process for process in tasks.processes.values() if process.group == group]


def process_of(tasks: Tasks, id: int) -> Process | None:
    """The process with this pid, or of the thread with this tid; a zombie too."""
    thread = tasks.threads.get(id)
    return thread.process if thread is not None else tasks.processes.get(id)


def session_of(tasks: Tasks, group: int) -> int:
    """The session that a group belongs to; 0 if there is no such group."""
    return next((process.session for process in members(tasks, group)), 0)


def start_session(tasks: Tasks, process: Process) -> None:
    """The process leads a new session and a new group in it.  EPERM: it leads a group."""
    if members(tasks, process.pid):
        raise KernelError(E.PERM)
    process.session = process.group = process.pid


def move(tasks: Tasks, caller: Process, pid: int, group: int) -> None:
    """Put a process, the caller or a child that has not called execve, into a group.

    ESRCH: it is neither; EACCES: a child that has called execve; EPERM: it leads its session or
    is in another one, or no process of the caller's session is in that group.
    """
    target = tasks.processes.get(pid)
    if target is None or not (target is caller or target.parent is caller):
        raise KernelError(E.SRCH)
    if target is not caller:
        if target.session != caller.session:
            raise KernelError(E.PERM)
        if target.executed:
            raise KernelError(E.ACCES)
    if target.session == target.pid:
        raise KernelError(E.PERM)
    if group != pid and session_of(tasks, group) != caller.session:
        raise KernelError(E.PERM)
    target.group = group


def is_orphaned(tasks: Tasks, group: int) -> bool:
    """Has no process of the group a parent in another group of its session?

    No process could continue such a group if it stopped (POSIX, 3.264 Orphaned Process Group).
    """
    for process in members(tasks, group):
        parent = process.parent
        if process.zombie or parent is None:
            continue
        if parent.group != group and parent.session == process.session:
            return False
    return True


def looked_after(tasks: Tasks, process: Process) -> list[int]:
    """The groups that the end of `process` could orphan."""
    groups = [process.group, *(child.group for child in process.children)]
    return [group for group in dict.fromkeys(groups) if not is_orphaned(tasks, group)]
