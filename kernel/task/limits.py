"""Resource limits: what a process may have at most (getrlimit(2))."""

from __future__ import annotations

from kernel.task.process import MAX_DESCRIPTORS, MAX_TASKS, Process

CPU, FSIZE, DATA, STACK, CORE, RSS, NPROC, NOFILE = range(8)
MEMLOCK, AS, LOCKS, SIGPENDING, MSGQUEUE, NICE, RTPRIO, RTTIME = range(8, 16)
KINDS = 16
INFINITY = (1 << 64) - 1

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
"""Resource -> (soft, hard) at the start; the others are without limit."""


def get(process: Process, kind: int) -> tuple[int, int]:
    """(soft, hard)"""
    return process.limits.get(kind) or DEFAULTS.get(kind, (INFINITY, INFINITY))


def soft(process: Process, kind: int) -> int:
    """What is enforced."""
    return get(process, kind)[0]


def put(process: Process, kind: int, limit: tuple[int, int]) -> None:
    process.limits[kind] = limit
    if kind == NOFILE:
        process.descriptors.limit = limit[0]
