"""System calls on scheduling: sched(7), getpriority(2), cpuset(7).

As on Linux, a `pid` means one thread here, not a process.
"""

from __future__ import annotations

from dataclasses import replace

from kernel.abi.errno import E, KernelError
from kernel.kernel import Kernel
from kernel.sched.policy import FOR_EVER
from kernel.syscalls.table import Flags, Int, Pid, Ptr, syscall
from kernel.task import limits
from kernel.task.clock import cycles_to_timespec
from kernel.task.process import SCHED_BATCH, SCHED_IDLE, SCHED_OTHER, Scheduling, Thread

PRIO_PROCESS, PRIO_PGRP, PRIO_USER = range(3)
MIN_NICE, MAX_NICE = -20, 19
SCHED_FIFO, SCHED_RR, SCHED_DEADLINE = 1, 2, 6
RESET_ON_FORK = 0x4000_0000
REAL_TIME_PRIORITIES = range(1, 100)
MASK_BYTES = 8
"""The size of an affinity mask, as Linux has it with at most 64 cores (cpumask_size())."""


@syscall(24)
def sched_yield(k: Kernel, t: Thread) -> int:
    """Let the other ready threads run first."""
    k.tasks.yield_core(t)
    return 0


# Nice values ------------------------------------------------------------------------------------


@syscall(140)
def getpriority(k: Kernel, t: Thread, which: Int, who: Int) -> int:
    """20 - the lowest nice value among the threads.  EINVAL; ESRCH: there are none."""
    meant = _meant(k, t, which, who)
    if not meant:
        raise KernelError(E.SRCH)
    return max(20 - thread.scheduling.nice for thread in meant)


@syscall(141)
def setpriority(k: Kernel, t: Thread, which: Int, who: Int, nice: Int) -> int:
    """Set the nice value, -20 to 19, of a thread, a process group, or all threads of a user.

    EPERM: another user's; EACCES: a lower value than RLIMIT_NICE allows, and not root; ESRCH;
    EINVAL.
    """
    meant, wanted = _meant(k, t, which, who), max(MIN_NICE, min(nice, MAX_NICE))
    refused = []
    for thread in meant:
        if not _may_change(t, thread):
            refused.append(E.PERM)
        elif wanted < thread.scheduling.nice and not _may_be_nicer(t, thread, wanted):
            refused.append(E.ACCES)
        else:
            k.tasks.set_scheduling(thread, replace(thread.scheduling, nice=wanted))
    if refused or not meant:
        raise KernelError(refused[-1] if refused else E.SRCH)
    return 0


def _meant(k: Kernel, t: Thread, which: int, who: int) -> list[Thread]:
    if which == PRIO_PROCESS:
        thread = k.tasks.threads.get(who) if who else t
        return [thread] if thread is not None else []
    if which == PRIO_PGRP:
        group = who or t.process.group
        return [thread for thread in k.tasks.threads.values() if thread.process.group == group]
    if which != PRIO_USER:
        raise KernelError(E.INVAL)
    uid = who & 0xFFFF_FFFF if who else t.process.credentials.uid
    return [thread for thread in k.tasks.threads.values() if thread.process.credentials.uid == uid]


def _is_root(t: Thread) -> bool:
    return t.process.credentials.is_root


def _may_change(t: Thread, other: Thread) -> bool:
    return _is_root(t) or t.process.credentials.uid == other.process.credentials.uid


def _may_be_nicer(t: Thread, thread: Thread, nice: int) -> bool:
    """May the thread get this lower nice value (RLIMIT_NICE counts from 20 downwards)?"""
    return _is_root(t) or MAX_NICE + 1 - nice <= limits.soft(thread.process, limits.NICE)


def _thread(k: Kernel, t: Thread, pid: int) -> Thread:
    """The thread that `pid` names; 0 is the caller.  Raises ESRCH; EPERM: init, which has none."""
    thread = k.tasks.threads.get(pid) if pid else t
    if thread is None:
        process = k.tasks.processes.get(pid)
        raise KernelError(E.SRCH if process is None or process.zombie else E.PERM)
    return thread


# Classes ----------------------------------------------------------------------------------------


@syscall(142)
def sched_setparam(k: Kernel, t: Thread, pid: Pid, param: Ptr) -> int:
    """Set the real-time priority.  It must be 0, since no thread has a real-time class here."""
    thread, priority = _with_priority(k, t, pid, param)
    _set_class(k, t, thread, thread.scheduling, priority=priority)
    return 0


@syscall(143)
def sched_getparam(k: Kernel, t: Thread, pid: Pid, param: Ptr) -> int:
    """Store the real-time priority: 0.  EINVAL; ESRCH; EFAULT."""
    if pid < 0 or not param:
        raise KernelError(E.INVAL)
    _thread(k, t, pid)
    t.space.write(param, bytes(4))
    return 0


@syscall(144)
def sched_setscheduler(k: Kernel, t: Thread, pid: Pid, policy: Int, param: Ptr) -> int:
    """Set the class: SCHED_OTHER, SCHED_BATCH or SCHED_IDLE, perhaps with SCHED_RESET_ON_FORK.

    EPERM: another user's; a real-time class; or, unless root, away from SCHED_IDLE, or without
    the flag again; EINVAL; ESRCH; EFAULT.
    """
    if policy < 0:
        raise KernelError(E.INVAL)
    thread, priority = _with_priority(k, t, pid, param)
    wanted = replace(
        thread.scheduling,
        policy=policy & ~RESET_ON_FORK,
        reset_on_fork=bool(policy & RESET_ON_FORK),
    )
    _set_class(k, t, thread, wanted, priority=priority)
    return 0


def _with_priority(k: Kernel, t: Thread, pid: int, param: int) -> tuple[Thread, int]:
    """The thread, and the priority of a struct sched_param."""
    if pid < 0 or not param:
        raise KernelError(E.INVAL)
    priority = int.from_bytes(t.space.read(param, 4), "little", signed=True)
    return _thread(k, t, pid), priority


def _set_class(k: Kernel, t: Thread, thread: Thread, wanted: Scheduling, *, priority: int) -> None:
    """Raises EINVAL: no such class, or a priority that it does not have; EPERM."""
    now, real_time = thread.scheduling, wanted.policy in (SCHED_FIFO, SCHED_RR)
    if not real_time and wanted.policy not in (SCHED_OTHER, SCHED_BATCH, SCHED_IDLE):
        raise KernelError(E.INVAL)
    if priority not in REAL_TIME_PRIORITIES if real_time else priority:
        raise KernelError(E.INVAL)
    leaves_idle = now.policy == SCHED_IDLE != wanted.policy
    takes_back = now.reset_on_fork and not wanted.reset_on_fork
    if real_time or not _may_change(t, thread):
        raise KernelError(E.PERM)
    if (leaves_idle or takes_back) and not _is_root(t):
        raise KernelError(E.PERM)
    k.tasks.set_scheduling(thread, wanted)


@syscall(145)
def sched_getscheduler(k: Kernel, t: Thread, pid: Pid) -> int:
    """The class of a thread.  EINVAL; ESRCH."""
    if pid < 0:
        raise KernelError(E.INVAL)
    found = _thread(k, t, pid).scheduling
    return found.policy | (RESET_ON_FORK if found.reset_on_fork else 0)


@syscall(146)
def sched_get_priority_max(k: Kernel, t: Thread, policy: Int) -> int:
    """The highest real-time priority that a class knows.  EINVAL."""
    return REAL_TIME_PRIORITIES[-1] if _is_real_time(policy) else 0


@syscall(147)
def sched_get_priority_min(k: Kernel, t: Thread, policy: Int) -> int:
    """The lowest real-time priority that a class knows.  EINVAL."""
    return REAL_TIME_PRIORITIES[0] if _is_real_time(policy) else 0


def _is_real_time(policy: int) -> bool:
    if policy in (SCHED_FIFO, SCHED_RR):
        return True
    if policy not in (SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, SCHED_DEADLINE):
        raise KernelError(E.INVAL)
    return False


@syscall(148)
def sched_rr_get_interval(k: Kernel, t: Thread, pid: Pid, interval: Ptr) -> int:
    """Store the length of a time slice (an instruction counts as a cycle); 0: it never ends.

    EINVAL; ESRCH; EFAULT.
    """
    if pid < 0:
        raise KernelError(E.INVAL)
    length = k.tasks.policy.slice(_thread(k, t, pid))
    t.space.write(interval, cycles_to_timespec(0 if length == FOR_EVER else length))
    return 0


# Affinity ---------------------------------------------------------------------------------------


@syscall(203)
def sched_setaffinity(k: Kernel, t: Thread, pid: Pid, length: Flags, mask: Ptr) -> int:
    """Set which cores a thread may run on.  EPERM: another user's; EINVAL: none; ESRCH; EFAULT."""
    size = min(length, MASK_BYTES)
    wanted = int.from_bytes(t.space.read(mask, size), "little") & _all_cores(k)
    thread = _thread(k, t, pid)
    if not _may_change(t, thread):
        raise KernelError(E.PERM)
    if not wanted:
        raise KernelError(E.INVAL)
    k.tasks.set_scheduling(thread, replace(thread.scheduling, affinity=wanted))
    return 0


@syscall(204)
def sched_getaffinity(k: Kernel, t: Thread, pid: Pid, length: Flags, mask: Ptr) -> int:
    """Store which cores a thread may run on; returns the bytes.  EINVAL: too few, or no multiple
    of 8; ESRCH; EFAULT."""
    if 8 * length < len(k.tasks.seats) or length % 8:
        raise KernelError(E.INVAL)
    cores = _thread(k, t, pid).scheduling.affinity & _all_cores(k)
    size = min(length, MASK_BYTES)
    t.space.write(mask, cores.to_bytes(size, "little"))
    return size


def _all_cores(k: Kernel) -> int:
    return (1 << len(k.tasks.seats)) - 1
