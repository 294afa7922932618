"""Processor time: what threads and processes have used (getrusage(2), clock_getcpuclockid(3))."""

from __future__ import annotations

from kernel.abi.errno import E, KernelError
from kernel.sched.tasks import Tasks
from kernel.task.clock import PROCESS_TIME, THREAD_TIME
from kernel.task.process import Process, Thread, Usage


def thread_usage(tasks: Tasks, thread: Thread) -> Usage:
    """What a thread has used up to now; its current turn counts."""
    user, cycles = thread.instructions, thread.cycles
    if thread.turn_began is not None:
        core = tasks.machine.core.state
        cycles += core.cycles - thread.turn_began[0]
        user += core.instructions - thread.turn_began[1]
    return Usage(user, max(0, cycles - user), thread.waits, thread.pre_empted)


def process_usage(tasks: Tasks, process: Process) -> Usage:
    """What all threads of a process have used; those that have ended count."""
    total = process.usage
    for thread in process.threads:
        total += thread_usage(tasks, thread)
    return total


def usage_of_clock(tasks: Tasks, caller: Thread, which: int) -> Usage | None:
    """What a processor-time clock shows; None if `which` is another clock.

    A negative id names a process or a thread (clock_getcpuclockid(3)).  Raises EINVAL.
    """
    if which == PROCESS_TIME:
        return process_usage(tasks, caller.process)
    if which == THREAD_TIME:
        return thread_usage(tasks, caller)
    if which >= 0:
        return None
    number, kind = ~(which >> 3), which & 7
    if kind & 3 == 3:
        raise KernelError(E.INVAL)
    if kind & 4:
        thread = tasks.threads.get(number) if number else caller
        if thread is None or thread.process is not caller.process:
            raise KernelError(E.INVAL)
        return thread_usage(tasks, thread)
    process = tasks.processes.get(number) if number else caller.process
    if process is None:
        raise KernelError(E.INVAL)
    return process_usage(tasks, process)
