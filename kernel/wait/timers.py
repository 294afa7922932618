"""Interval timers: setitimer(2), alarm(2) and timer_create(2).

A timer's clock is a time (the cycle clock) or the processor time of its process.  The first
kind is an alarm of the kernel; the second is looked at when a turn of one of the threads ends,
and shortens the turn in which it is to ring.
"""

from __future__ import annotations

from dataclasses import replace

from hw.costs import CYCLES_PER_SECOND
from kernel.sched.tasks import Tasks
from kernel.sched.usage import process_usage, thread_usage
from kernel.task import clock, limits
from kernel.task.process import Process, Signal, Thread, Timer
from kernel.wait import signals
from kernel.wait.alarms import Alarms

REAL, VIRTUAL, PROF = -3, -2, -1
"""Keys of a process's three interval timers; those of timer_create are its ids, from 0 on."""
CPU_HARD, CPU_SOFT = -5, -4
"""Keys of the two that enforce RLIMIT_CPU."""
MAX_TIMERS = 64
MAX_OVERRUN = (1 << 31) - 1
IGNORED_PAUSE = CYCLES_PER_SECOND // 250
"""The shortest rest of a timer whose signal no thread has to take: a tick, as on Linux
(posix_timer_fn).  So a short interval costs nothing."""
ALONE_LIMIT = 1 << 40


def reading(tasks: Tasks, process: Process, timer: Timer) -> int:
    """What the timer's clock shows, in cycles."""
    if timer.is_of_time:
        return tasks.now()
    if timer.clock == clock.THREAD_TIME:
        thread = tasks.threads.get(timer.owner)
        if thread is None:
            return 0
        usage = thread_usage(tasks, thread)
    else:
        usage = process_usage(tasks, process)
    return usage.user if timer.clock == clock.USER_TIME else usage.user + usage.system


def start(alarms: Alarms, process: Process, key: int, timer: Timer) -> None:
    """Set a timer, whose deadline is a reading of its clock."""
    process.timers[key] = timer
    if timer.rings and timer.is_of_time:
        assert timer.deadline is not None
        alarms.push(timer.deadline, -process.pid)


def limit_processor(process: Process) -> None:
    """Enforce RLIMIT_CPU: SIGXCPU at the soft limit and each second from then on, SIGKILL at the
    hard one."""
    soft, hard = limits.get(process, limits.CPU)
    for key, signal, seconds, interval in (
        (CPU_SOFT, signals.SIGXCPU, soft, CYCLES_PER_SECOND),
        (CPU_HARD, signals.SIGKILL, hard, 0),
    ):
        process.timers.pop(key, None)
        if seconds != limits.INFINITY:
            deadline = max(1, seconds) * CYCLES_PER_SECOND
            process.timers[key] = Timer(signal, deadline, interval, clock=clock.PROCESS_TIME)


def ring(alarms: Alarms, process: Process) -> None:
    """Send the signals of all timers that have reached their deadlines."""
    for key, timer in list(process.timers.items()):
        if not timer.rings or _late(alarms.tasks, process, timer) < 0:
            continue
        if key >= 0:
            _expire(alarms, process, key, timer)
        else:
            _expire_interval(alarms, process, key, timer)


def _late(tasks: Tasks, process: Process, timer: Timer) -> int:
    """Cycles since the deadline of a timer that is set."""
    assert timer.deadline is not None
    return reading(tasks, process, timer) - timer.deadline


def _expire(alarms: Alarms, process: Process, key: int, timer: Timer) -> None:
    """A timer of timer_create rings; it goes on when a thread takes its signal."""
    target = alarms.tasks.threads.get(timer.thread) if timer.thread else None
    told = Signal(timer.signal, signals.SI_TIMER, key, value=timer.value)
    signals.send(alarms.tasks, process, told, target)
    queue = target.pending if target is not None else process.pending
    if not timer.interval:
        timer.deadline = None
    elif any(waiting is told for waiting in queue):
        timer.stands = True
    else:
        _forward(alarms, process, key, timer, pause=IGNORED_PAUSE)


def _expire_interval(alarms: Alarms, process: Process, key: int, timer: Timer) -> None:
    """A timer of setitimer rings.  One that runs by time goes on when a thread takes SIGALRM."""
    told = Signal(timer.signal, signals.SI_KERNEL)
    if not timer.interval:
        del process.timers[key]
    signals.send(alarms.tasks, process, told)
    if timer.interval:
        waits = any(waiting.number == timer.signal for waiting in process.pending)
        if waits and timer.is_of_time:
            timer.stands = True
        else:
            _forward(alarms, process, key, timer, pause=IGNORED_PAUSE)


def _forward(alarms: Alarms, process: Process, key: int, timer: Timer, *, pause: int = 0) -> int:
    """Set the next deadline, at least `pause` ahead; returns how many others have passed."""
    assert timer.deadline is not None
    first = timer.deadline
    ahead = _late(alarms.tasks, process, timer) + pause
    steps = max(1, ahead // timer.interval + 1)
    timer.deadline, timer.stands = first + steps * timer.interval, False
    start(alarms, process, key, timer)
    return steps - 1


def take(alarms: Alarms, thread: Thread, numbers: int) -> Signal | None:
    """As `signals.take`; the timer that sent the signal goes on, and its overruns are counted."""
    signal = signals.take(thread, numbers)
    if signal is None:
        return None
    process = thread.process
    if signal.code == signals.SI_TIMER:
        timer = process.timers.get(signal.pid)
        if timer is None:
            return signal
        passed = _forward(alarms, process, signal.pid, timer) if timer.stands else 0
        timer.overrun = min(passed, MAX_OVERRUN)
        return replace(signal, uid=timer.overrun)
    real = process.timers.get(REAL)
    if signal.number == signals.SIGALRM and real is not None and real.stands:
        _forward(alarms, process, REAL, real)
    return signal


def go_on(alarms: Alarms, process: Process) -> None:
    """Signals that waited are ignored now: the timers that sent them stand still no longer."""
    waiting = [*process.pending, *(s for thread in process.threads for s in thread.pending)]
    for key, timer in list(process.timers.items()):
        if timer.stands and not any(s.number == timer.signal for s in waiting):
            _forward(alarms, process, key, timer, pause=IGNORED_PAUSE)


def cycles_left(tasks: Tasks, process: Process) -> int:
    """Until the first processor-time timer of the process can ring, at least 1."""
    left = [
        -_late(tasks, process, timer)
        for timer in process.timers.values()
        if timer.rings and not timer.is_of_time
    ]
    return max(1, min(left, default=ALONE_LIMIT))


def remaining(tasks: Tasks, process: Process, timer: Timer) -> int:
    """Cycles until the timer rings; 0 if it is not set, never 0 if it is."""
    if timer.deadline is None:
        return 0
    late = _late(tasks, process, timer)
    if late >= 0 and timer.interval:
        return timer.interval - late % timer.interval
    if late >= 0 and not timer.signal:
        return 0
    return max(1, -late)
