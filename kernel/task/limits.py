"""Resource limits: how much of each resource a process may use (getrlimit(2)).

Enforced are CPU, FSIZE, DATA, STACK, NPROC, NOFILE, MEMLOCK, AS, SIGPENDING and NICE.  AS does not
stop a stack that grows.  The others are kept and answered, but limit nothing: there are no core
files (CORE), no message queues (MSGQUEUE) and no real-time classes (RTPRIO, RTTIME), and Linux
ignores RSS and LOCKS itself.
"""

from __future__ import annotations

from kernel.mm.bounds import UNLIMITED, MemoryLimits
from kernel.mm.regions import LOCKED
from kernel.mm.space import AddressSpace
from kernel.task.descriptors import MAX_DESCRIPTORS
from kernel.task.process import MAX_TASKS, Process

CPU, FSIZE, DATA, STACK, CORE, RSS, NPROC, NOFILE = range(8)
MEMLOCK, AS, LOCKS, SIGPENDING, MSGQUEUE, NICE, RTPRIO, RTTIME = range(8, 16)
KINDS = 16
INFINITY = UNLIMITED

DEFAULTS = {
    STACK: (8 << 20, INFINITY),
    CORE: (0, INFINITY),
    NPROC: (MAX_TASKS // 2, MAX_TASKS // 2),
    NOFILE: (MAX_DESCRIPTORS, MAX_DESCRIPTORS),
    MEMLOCK: (8 << 20, 8 << 20),
    SIGPENDING: (1024, 1024),
    MSGQUEUE: (0, 0),
    NICE: (0, 0),
    RTPRIO: (0, 0),
}
"""Resource -> (soft, hard) at the start.  A resource that is not here has no limit."""


def get(process: Process, kind: int) -> tuple[int, int]:
    """The soft and the hard limit."""
    return process.limits.get(kind) or DEFAULTS.get(kind, (INFINITY, INFINITY))


def soft(process: Process, kind: int) -> int:
    """The limit that the kernel enforces."""
    return get(process, kind)[0]


def put(process: Process, kind: int, limit: tuple[int, int]) -> None:
    """Set the soft and the hard limit."""
    process.limits[kind] = limit
    if kind == NOFILE:
        process.descriptors.limit = limit[0]
    elif kind in (STACK, AS, DATA):
        process.space.limit(of_memory(process))


def of_memory(process: Process) -> MemoryLimits:
    """The limits of the space that the process runs in."""
    return MemoryLimits(soft(process, STACK), soft(process, AS), soft(process, DATA))


def may_lock(process: Process, space: AddressSpace, more_bytes: int) -> bool:
    """May `more_bytes` more be locked in `space` (RLIMIT_MEMLOCK; root is not under it)?"""
    limit = soft(process, MEMLOCK)
    if process.credentials.is_root or limit == INFINITY:
        return True
    locked = sum(region.end - region.start for region in space.map if region.flags & LOCKED)
    return locked + more_bytes <= limit
