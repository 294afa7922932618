"""System calls on time: clocks, sleeping, and interval timers."""

from __future__ import annotations

import struct

from hw.costs import CYCLES_PER_SECOND
from kernel.abi.errno import Blocked, E, KernelError
from kernel.kernel import Kernel
from kernel.sched.usage import usage_of_clock
from kernel.syscalls.table import Flags, Int, Ptr, syscall
from kernel.task import clock
from kernel.task.clock import BOOT_SECONDS, cycles_to_timespec, timespec_to_cycles
from kernel.task.process import Thread, Timer
from kernel.wait import timers
from kernel.wait.signals import SIGALRM, SIGNALS, SIGPROF, SIGVTALRM

TIMER_ABSTIME = 1
SLEEPABLE = (clock.REALTIME, clock.MONOTONIC, clock.BOOTTIME, clock.TAI)
ITIMERS = {
    0: (timers.REAL, SIGALRM, clock.MONOTONIC),
    1: (timers.VIRTUAL, SIGVTALRM, clock.USER_TIME),
    2: (timers.PROF, SIGPROF, clock.PROCESS_TIME),
}
"""ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF: key, signal and clock."""
SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD_ID = 0, 1, 4
_SIGEVENT = struct.Struct("<QiiI")


# Clocks -----------------------------------------------------------------------------------------


@syscall(228)
def clock_gettime(k: Kernel, t: Thread, which: Int, out: Ptr) -> int:
    """What a clock shows: the cycle clock, or processor time.  EINVAL: no such clock; EFAULT."""
    usage = usage_of_clock(k.tasks, t, which)
    if usage is not None:
        t.space.write(out, cycles_to_timespec(usage.user + usage.system))
    elif which in clock.CLOCKS:
        t.space.write(out, cycles_to_timespec(k.tasks.now(), clock.offset_seconds(which)))
    else:
        raise KernelError(E.INVAL)
    return 0


@syscall(229)
def clock_getres(k: Kernel, t: Thread, which: Int, out: Ptr) -> int:
    """The resolution of a clock: 1 ns, 4 ms for the coarse ones.  EINVAL: no such clock; EFAULT."""
    if usage_of_clock(k.tasks, t, which) is None and which not in clock.CLOCKS:
        raise KernelError(E.INVAL)
    nanoseconds = 4_000_000 if which in clock.COARSE else 1
    if out:
        t.space.write(out, struct.pack("<qq", 0, nanoseconds))
    return 0


@syscall(227)
def clock_settime(k: Kernel, t: Thread, which: Int, new: Ptr) -> int:
    """Set a clock: nobody may.  EPERM: the time of day; EINVAL: any other clock; EFAULT."""
    if which != clock.REALTIME:
        raise KernelError(E.INVAL)
    timespec_to_cycles(t.space.read(new, 16))
    raise KernelError(E.PERM)


@syscall(96)
def gettimeofday(k: Kernel, t: Thread, out: Ptr, zone: Ptr) -> int:
    """The time of day in microseconds, and the time zone, which is UTC.  EFAULT."""
    if out:
        t.space.write(out, clock.cycles_to_timeval(k.tasks.now(), BOOT_SECONDS))
    if zone:
        t.space.write(zone, bytes(8))
    return 0


@syscall(201)
def time(k: Kernel, t: Thread, out: Ptr) -> int:
    """The time of day in seconds.  EFAULT."""
    seconds = BOOT_SECONDS + k.tasks.now() // CYCLES_PER_SECOND
    if out:
        t.space.write(out, seconds.to_bytes(8, "little"))
    return seconds


# Sleeping ---------------------------------------------------------------------------------------


def deadline_of(k: Kernel, timespec: bytes, which: int, *, absolute: bool) -> int:
    """In cycles: the end of a duration from now, or the moment when a clock shows this time."""
    cycles = timespec_to_cycles(timespec)
    if absolute:
        return cycles - clock.offset_seconds(which) * CYCLES_PER_SECOND
    return k.tasks.now() + cycles


@syscall(35, restarts=False)
def nanosleep(k: Kernel, t: Thread, duration: Ptr, remaining: Ptr) -> int:
    """Sleep.  EINTR: a signal came, and `remaining` holds what was left; EINVAL; EFAULT."""
    return _sleep(k, t, clock.MONOTONIC, duration, remaining, absolute=False)


@syscall(230, restarts=False)
def clock_nanosleep(
    k: Kernel, t: Thread, which: Int, flags: Int, moment: Ptr, remaining: Ptr
) -> int:
    """Sleep for a time, or until a clock shows it (TIMER_ABSTIME).

    EINTR: a signal came, and for a duration `remaining` holds what was left; EINVAL: no such
    clock or time; EOPNOTSUPP: no call can sleep by this clock; EFAULT.
    """
    if which not in clock.CLOCKS:
        raise KernelError(E.INVAL)
    if which not in SLEEPABLE:
        raise KernelError(E.OPNOTSUPP)
    absolute = bool(flags & TIMER_ABSTIME)
    return _sleep(k, t, which, moment, remaining, absolute=absolute)


def _sleep(k: Kernel, t: Thread, which: int, moment: int, remaining: int, *, absolute: bool) -> int:
    call = t.current_call()
    if call.deadline is None:
        timespec = t.space.read(moment, 16)
        k.alarms.wake(t, deadline_of(k, timespec, which, absolute=absolute))
    assert call.deadline is not None
    left = call.deadline - k.tasks.now()
    if left <= 0:
        return 0
    if call.interrupted and remaining and not absolute:
        t.space.write(remaining, cycles_to_timespec(left))
    raise Blocked(("sleep", t.tid, 0))


# Interval timers --------------------------------------------------------------------------------


@syscall(37)
def alarm(k: Kernel, t: Thread, seconds: Flags) -> int:
    """Send SIGALRM after `seconds`, 0: never; returns how many an earlier alarm had left."""
    old = _itimer(k, t, timers.REAL)
    left = old[0]
    _set_itimer(k, t, 0, seconds * CYCLES_PER_SECOND, 0)
    rounded = (left + CYCLES_PER_SECOND // 2) // CYCLES_PER_SECOND
    return max(rounded, 1) if left else 0


@syscall(36)
def getitimer(k: Kernel, t: Thread, which: Int, out: Ptr) -> int:
    """What is left of an interval timer, and its interval.  EINVAL: no such timer; EFAULT."""
    if which not in ITIMERS:
        raise KernelError(E.INVAL)
    t.space.write(out, _pack_itimer(_itimer(k, t, ITIMERS[which][0])))
    return 0


@syscall(38)
def setitimer(k: Kernel, t: Thread, which: Int, new: Ptr, old: Ptr) -> int:
    """Start or stop a timer: SIGALRM by the clock, SIGVTALRM by the time in user code, SIGPROF by
    processor time.  EINVAL: no such timer or time; EFAULT."""
    data = t.space.read(new, 32) if new else bytes(32)
    interval, first = (clock.timeval_to_cycles(data[at : at + 16]) for at in (0, 16))
    if which not in ITIMERS:
        raise KernelError(E.INVAL)
    before = _itimer(k, t, ITIMERS[which][0])
    _set_itimer(k, t, which, first, interval)
    if old:
        t.space.write(old, _pack_itimer(before))
    return 0


def _itimer(k: Kernel, t: Thread, key: int) -> tuple[int, int]:
    """(left, interval) in cycles."""
    timer = t.process.timers.get(key)
    return (
        (0, 0) if timer is None else (timers.remaining(k.tasks, t.process, timer), timer.interval)
    )


def _set_itimer(k: Kernel, t: Thread, which: int, first: int, interval: int) -> None:
    key, signal, by = ITIMERS[which]
    t.process.timers.pop(key, None)
    if first:
        timer = Timer(signal, interval=interval, clock=by)
        timer.deadline = timers.reading(k.tasks, t.process, timer) + first
        timers.start(k.alarms, t.process, key, timer)


def _pack_itimer(value: tuple[int, int]) -> bytes:
    left, interval = value
    return clock.cycles_to_timeval(interval) + clock.cycles_to_timeval(left)


# POSIX timers -----------------------------------------------------------------------------------


@syscall(222)
def timer_create(k: Kernel, t: Thread, which: Int, event: Ptr, out: Ptr) -> int:
    """Make a timer that sends a signal to the process or, with SIGEV_THREAD_ID, to one thread.

    EINVAL: no such clock, notification, signal or thread; EOPNOTSUPP: a clock without timers;
    EAGAIN: too many timers; EFAULT.
    """
    by, owner = _clock_of_timer(t, which)
    own = t.process.timers
    number = next((n for n in range(timers.MAX_TIMERS) if n not in own), None)
    if number is None:
        raise KernelError(E.AGAIN)
    timer = Timer(SIGALRM, clock=by, owner=owner, value=number)
    if event:
        _notify(k, t, timer, t.space.read(event, _SIGEVENT.size))
    t.space.write(out, number.to_bytes(4, "little"))
    own[number] = timer
    return 0


def _clock_of_timer(t: Thread, which: int) -> tuple[int, int]:
    """The clock of a timer, and the thread whose processor time it shows, if it is that.

    A negative id is the processor time of the caller's process or of one of its threads.
    """
    if which < 0:
        number, kind = t.process.meant(~(which >> 3)), which & 7
        owner = number or t.tid
        of_thread = kind & 4 and any(thread.tid == owner for thread in t.process.threads)
        if kind & 3 == 3 or not (of_thread or (not kind & 4 and number in (0, t.pid))):
            raise KernelError(E.INVAL)
        return (clock.THREAD_TIME, owner) if of_thread else (clock.PROCESS_TIME, 0)
    if which not in clock.CLOCKS:
        raise KernelError(E.INVAL)
    if which not in (*SLEEPABLE, clock.PROCESS_TIME, clock.THREAD_TIME):
        raise KernelError(E.OPNOTSUPP)
    return which, t.tid if which == clock.THREAD_TIME else 0


def _notify(k: Kernel, t: Thread, timer: Timer, event: bytes) -> None:
    timer.value, timer.signal, kind, tid = _SIGEVENT.unpack(event)
    if kind == SIGEV_NONE:
        timer.signal = 0
    elif kind not in (SIGEV_SIGNAL, SIGEV_THREAD_ID) or not 1 <= timer.signal <= SIGNALS:
        raise KernelError(E.INVAL)
    if kind == SIGEV_THREAD_ID:
        target = k.tasks.threads.get(t.process.meant(tid))
        if target is None or target.process is not t.process:
            raise KernelError(E.INVAL)
        timer.thread = target.tid


def _timer(t: Thread, number: int) -> Timer:
    timer = t.process.timers.get(number) if number >= 0 else None
    if timer is None:
        raise KernelError(E.INVAL)
    return timer


@syscall(223)
def timer_settime(k: Kernel, t: Thread, number: Int, flags: Int, new: Ptr, old: Ptr) -> int:
    """Start a timer, for a time or until its clock shows it (TIMER_ABSTIME), or stop it (0).

    EINVAL: no such timer or time; EFAULT.
    """
    if not new:
        raise KernelError(E.INVAL)
    data = t.space.read(new, 32)
    timer = _timer(t, number)
    interval, first = timespec_to_cycles(data[:16]), timespec_to_cycles(data[16:])
    before = (timers.remaining(k.tasks, t.process, timer), timer.interval)
    timer.interval, timer.deadline, timer.overrun = interval, None, 0
    timer.stands = False
    if first and flags & TIMER_ABSTIME:
        timer.deadline = first - clock.offset_seconds(timer.clock) * CYCLES_PER_SECOND
    elif first:
        timer.deadline = timers.reading(k.tasks, t.process, timer) + first
    timers.start(k.alarms, t.process, number, timer)
    if old:
        t.space.write(old, _pack_itimerspec(before))
    return 0


@syscall(224)
def timer_gettime(k: Kernel, t: Thread, number: Int, out: Ptr) -> int:
    """What is left of a timer, and its interval.  EINVAL: no such timer; EFAULT."""
    timer = _timer(t, number)
    left = timers.remaining(k.tasks, t.process, timer)
    t.space.write(out, _pack_itimerspec((left, timer.interval)))
    return 0


@syscall(225)
def timer_getoverrun(k: Kernel, t: Thread, number: Int) -> int:
    """How often the timer rang again before its last signal was taken.  EINVAL: no such timer."""
    return _timer(t, number).overrun


@syscall(226)
def timer_delete(k: Kernel, t: Thread, number: Int) -> int:
    """Stop a timer and give its id back.  EINVAL: no such timer."""
    _timer(t, number)
    del t.process.timers[number]
    return 0


def _pack_itimerspec(value: tuple[int, int]) -> bytes:
    left, interval = value
    return cycles_to_timespec(interval) + cycles_to_timespec(left)
