"""Interval timers: setitimer(2), alarm(2) and timer_create(2).

A timer's clock is a time (the cycle clock) or the processor time of its process.  The first
kind is an alarm of the kernel; the second is looked at when a turn of one of the threads ends,
and shortens the turn in which it is to ring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel.task import clock
from kernel.task.process import Process, Signal, Timer
from kernel.wait import signals

if TYPE_CHECKING:
    from kernel.kernel import Kernel

REAL, VIRTUAL, PROF = -3, -2, -1
"""Keys of a process's three interval timers; those of timer_create are its ids, from 0 on."""
MAX_TIMERS = 64
ALONE_LIMIT = 1 << 40


def reading(kernel: Kernel, process: Process, timer: Timer) -> int:
    """What the timer's clock shows, in cycles."""
    if timer.clock == clock.USER_TIME:
        return clock.process_usage(kernel, process).user
    if timer.clock == clock.PROCESS_TIME:
        usage = clock.process_usage(kernel, process)
        return usage.user + usage.system
    return kernel.now()


def is_of_time(timer: Timer) -> bool:
    """Does the timer run while its process does not?"""
    return timer.clock not in (clock.USER_TIME, clock.PROCESS_TIME)


def is_due(process: Process, deadline: int) -> bool:
    """Does a timer of the process wait for this moment?"""
    return any(t.deadline == deadline and is_of_time(t) for t in process.timers.values())


def start(kernel: Kernel, process: Process, key: int, timer: Timer) -> None:
    """Set a timer, whose deadline is a reading of its clock."""
    process.timers[key] = timer
    if timer.deadline is not None and is_of_time(timer):
        kernel.alarms.push(timer.deadline, -process.pid)


def ring(kernel: Kernel, process: Process) -> None:
    """Send the signals of all timers that have reached their deadlines."""
    for key, timer in list(process.timers.items()):
        if timer.deadline is None or timer.deadline > reading(kernel, process, timer):
            continue
        _expire(kernel, process, key, timer)


def _expire(kernel: Kernel, process: Process, key: int, timer: Timer) -> None:
    """The next deadline is the first one ahead; those that passed meanwhile are overruns."""
    assert timer.deadline is not None
    missed = 0
    if timer.interval:
        late = reading(kernel, process, timer) - timer.deadline
        missed = late // timer.interval
        timer.deadline += (missed + 1) * timer.interval
        if is_of_time(timer):
            kernel.alarms.push(timer.deadline, -process.pid)
    else:
        timer.deadline = None
    if key < 0 and timer.deadline is None:
        del process.timers[key]
    if not timer.signal or process.zombie:
        return
    if key >= 0:
        _send(kernel, process, key, timer, missed)
    else:
        signals.send(kernel, process, Signal(timer.signal, signals.SI_KERNEL))


def _send(kernel: Kernel, process: Process, key: int, timer: Timer, missed: int) -> None:
    """A POSIX timer has one signal on its way at a time; the others are counted."""
    target = kernel.threads.get(timer.thread) if timer.thread else None
    queue = target.pending if target else process.pending
    if any(s.code == signals.SI_TIMER and s.pid == key for s in queue):
        timer.overrun += missed + 1
        return
    timer.overrun = missed
    told = Signal(timer.signal, signals.SI_TIMER, key, uid=missed, value=timer.value)
    signals.send(kernel, process, told, target)


def cycles_left(kernel: Kernel, process: Process) -> int:
    """Until the first processor-time timer of the process can ring, at least 1."""
    left = [
        timer.deadline - reading(kernel, process, timer)
        for timer in process.timers.values()
        if timer.deadline is not None and not is_of_time(timer)
    ]
    return max(1, min(left, default=ALONE_LIMIT))


def remaining(kernel: Kernel, process: Process, timer: Timer) -> int:
    """Cycles until the timer rings; 0 if it is not set, never 0 if it is."""
    if timer.deadline is None:
        return 0
    return max(1, timer.deadline - reading(kernel, process, timer))
