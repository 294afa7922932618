"""System calls on resources: what a process may use and has used, and what the machine has."""

from __future__ import annotations

import struct

from hw.costs import CYCLES_PER_SECOND
from hw.memory import PAGE_SIZE
from kernel.abi.errno import E, KernelError
from kernel.kernel import Kernel
from kernel.life.sigframe import ticks
from kernel.sched.usage import process_usage, thread_usage
from kernel.syscalls.table import Flags, Int, Pid, Ptr, syscall
from kernel.task import clock, limits
from kernel.task.descriptors import MAX_DESCRIPTORS
from kernel.task.process import Process, Thread, Usage
from kernel.wait import jobs, timers

RUSAGE_SELF, RUSAGE_CHILDREN, RUSAGE_THREAD = 0, -1, 1
_LIMIT = struct.Struct("<QQ")
_SYSINFO = struct.Struct("<q3Q6QHxxxxxxQQI4x")


@syscall(97)
def getrlimit(k: Kernel, t: Thread, kind: Flags, out: Ptr) -> int:
    """Store the soft and the hard limit of a resource.  EINVAL: no such resource; EFAULT."""
    _check_kind(kind)
    t.space.write(out, _LIMIT.pack(*limits.get(t.process, kind)))
    return 0


@syscall(160)
def setrlimit(k: Kernel, t: Thread, kind: Flags, new: Ptr) -> int:
    """Set the limits of a resource.  Enforced are CPU, FSIZE, DATA, STACK, NPROC, NOFILE, MEMLOCK,
    AS, SIGPENDING and NICE; the others are kept only.

    EPERM: raise the hard one, and not root; EINVAL; EFAULT."""
    wanted = _read_limit(t, new)
    _check_kind(kind)
    _set(t, t.process, kind, wanted)
    return 0


@syscall(302)
def prlimit64(k: Kernel, t: Thread, pid: Pid, kind: Flags, new: Ptr, old: Ptr) -> int:
    """Read and set the limits of a process, 0: the caller's.  ESRCH; EPERM; EINVAL; EFAULT."""
    _check_kind(kind)
    wanted = _read_limit(t, new) if new else None
    target = _target(k, t, pid)
    before = limits.get(target, kind)
    if wanted is not None:
        _set(t, target, kind, wanted)
    if old:
        t.space.write(old, _LIMIT.pack(*before))
    return 0


def _check_kind(kind: int) -> None:
    if kind >= limits.KINDS:
        raise KernelError(E.INVAL)


def _read_limit(t: Thread, at: int) -> tuple[int, int]:
    soft, hard = _LIMIT.unpack(t.space.read(at, _LIMIT.size))
    return soft, hard


def _target(k: Kernel, t: Thread, pid: int) -> Process:
    """The process that `pid` names.  Raises ESRCH.

    EPERM: one of its ids is not the caller's real one, and the caller is not root.
    """
    target = jobs.process_of(k.tasks, pid) if pid else t.process
    if target is None or target.zombie:
        raise KernelError(E.SRCH)
    mine, other = t.process.credentials, target.credentials
    same_user = {other.real_uid, other.uid, other.saved_uid} == {mine.real_uid}
    same_group = {other.real_gid, other.gid, other.saved_gid} == {mine.real_gid}
    may = target is t.process or mine.is_root or (same_user and same_group)
    if not may:
        raise KernelError(E.PERM)
    return target


def _set(t: Thread, target: Process, kind: int, wanted: tuple[int, int]) -> None:
    soft, hard = wanted
    if soft > hard:
        raise KernelError(E.INVAL)
    if kind == limits.NOFILE and hard > MAX_DESCRIPTORS:
        raise KernelError(E.PERM)
    if hard > limits.get(target, kind)[1] and not t.process.credentials.is_root:
        raise KernelError(E.PERM)
    limits.put(target, kind, wanted)
    if kind == limits.CPU:
        timers.limit_processor(target)


# What was used ----------------------------------------------------------------------------------


def pack_rusage(usage: Usage) -> bytes:
    """A struct rusage: times, most memory, faults and switches; the rest is 0, as on Linux, or
    counts blocks, which no disk here has."""
    times = clock.cycles_to_timeval(usage.user) + clock.cycles_to_timeval(usage.system)
    memory = struct.pack("<q24x", usage.most_pages * PAGE_SIZE >> 10)
    faults = struct.pack("<qq48x", usage.faults, usage.major_faults)
    return times + memory + faults + struct.pack("<qq", usage.waits, usage.pre_empted)


@syscall(98)
def getrusage(k: Kernel, t: Thread, who: Int, out: Ptr) -> int:
    """What this process, its children, or this thread used: processor time, the most memory at
    once (maxrss), page faults without and with disk (minflt, majflt), switches to wait (nvcsw)
    and by pre-emption (nivcsw).  EINVAL; EFAULT."""
    if who == RUSAGE_SELF:
        usage = process_usage(k.tasks, t.process)
    elif who == RUSAGE_CHILDREN:
        usage = t.process.children_usage
    elif who == RUSAGE_THREAD:
        usage = thread_usage(k.tasks, t)
    else:
        raise KernelError(E.INVAL)
    t.space.write(out, pack_rusage(usage))
    return 0


@syscall(100)
def times(k: Kernel, t: Thread, out: Ptr) -> int:
    """Processor times in hundredths of a second, as struct tms; returns the time since boot."""
    own, children = process_usage(k.tasks, t.process), t.process.children_usage
    counts = [ticks(c) for c in (own.user, own.system, children.user, children.system)]
    if out:
        t.space.write(out, struct.pack("<4q", *counts))
    return ticks(k.tasks.now())


@syscall(99)
def sysinfo(k: Kernel, t: Thread, out: Ptr) -> int:
    """Uptime, memory and number of threads, as struct sysinfo.  EFAULT."""
    total, free = len(k.memory.frames.refs), len(k.memory.frames.free)
    uptime, loads, swap, high = k.tasks.now() // CYCLES_PER_SECOND, (0, 0, 0), (0, 0), (0, 0)
    pages = (total, free, 0, 0, *swap)
    t.space.write(
        out, _SYSINFO.pack(uptime, *loads, *pages, len(k.tasks.threads), *high, PAGE_SIZE)
    )
    return 0
