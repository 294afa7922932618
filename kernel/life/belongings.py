"""What tasks share or copy at clone(2): open files, and where paths begin.

CLONE_FILES and CLONE_FS say for each of the two whether the new task has the same one or its own.
The threads of a process nearly always share both, so these belong to the process.  A thread that
was made without one of the flags has its own.
"""

from __future__ import annotations

from hw import costs
from kernel.ipc.endpoints import Endpoints
from kernel.task.descriptors import Descriptors
from kernel.task.process import Process, Surroundings, Thread

CLONE_FS, CLONE_FILES = 0x200, 0x400


def inherited(ipc: Endpoints, parent: Thread, flags: int) -> tuple[Descriptors, Surroundings]:
    """What a new task gets from `parent`; the caller holds both."""
    table, place = parent.descriptors, parent.surroundings
    if flags & CLONE_FILES:
        table.holders += 1
    else:
        ipc.machine.charge(costs.DESCRIPTOR_COPY, len(table.handles))
        table = table.copy()
    if flags & CLONE_FS:
        place.holders += 1
    else:
        place.cwd.holds += 1
        place = Surroundings(place.cwd, place.umask)
    return table, place


def give(ipc: Endpoints, thread: Thread, table: Descriptors, place: Surroundings) -> None:
    """A new thread of an old process keeps only what is not its process's."""
    if table is thread.process.descriptors:
        table.holders -= 1
    else:
        thread.own_descriptors = table
    if place is thread.process.surroundings:
        place.holders -= 1
    else:
        thread.own_surroundings = place


def drop_of_thread(ipc: Endpoints, thread: Thread) -> None:
    """The thread ends."""
    if thread.own_descriptors is not None:
        drop_descriptors(ipc, thread.own_descriptors)
    if thread.own_surroundings is not None:
        drop_surroundings(ipc, thread.own_surroundings)
    thread.own_descriptors = thread.own_surroundings = None


def drop_of_process(ipc: Endpoints, process: Process) -> None:
    """The process ends."""
    drop_descriptors(ipc, process.descriptors)
    process.descriptors = Descriptors()
    drop_surroundings(ipc, process.surroundings)


def drop_descriptors(ipc: Endpoints, table: Descriptors) -> None:
    """One task less has this table; the last one closes everything in it."""
    table.holders -= 1
    if not table.holders:
        for handle in table.handles.values():
            ipc.close(handle)


def drop_surroundings(ipc: Endpoints, place: Surroundings) -> None:
    """One task less has this current directory."""
    place.holders -= 1
    if not place.holders:
        ipc.close(place.cwd)


def settle(ipc: Endpoints, thread: Thread) -> None:
    """Before exec: what the calling thread has is its process's, and its table is no one else's."""
    process = thread.process
    if thread.own_descriptors is not None:
        drop_descriptors(ipc, process.descriptors)
        process.descriptors, thread.own_descriptors = thread.own_descriptors, None
    if thread.own_surroundings is not None:
        drop_surroundings(ipc, process.surroundings)
        process.surroundings, thread.own_surroundings = thread.own_surroundings, None
    if process.descriptors.holders > 1:
        shared, process.descriptors = process.descriptors, process.descriptors.copy()
        drop_descriptors(ipc, shared)
