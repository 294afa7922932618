"""Processor time: what threads and processes have used (getrusage(2), clock_getcpuclockid(3))."""

from __future__ import annotations

from kernel.abi.errno import E, KernelError
from kernel.sched.tasks import Tasks
from kernel.task.clock import PROCESS_TIME, THREAD_TIME
from kernel.task.process import Process, Thread, Usage


def meter(tasks: Tasks) -> tuple[int, int, int, int]:
    """What the current core has used up to now: cycles, instructions, minor and major faults."""
    core, objects = tasks.machine.core.state, tasks.objects
    major = objects.pager.majors if objects.pager is not None else 0
    return core.cycles, core.instructions, objects.faults - major, major


def end_turn(tasks: Tasks, thread: Thread) -> None:
    """Bill `thread` for its turn, unless it has ended meanwhile."""
    began, now = thread.turn_began, meter(tasks)
    if began is None:
        return
    thread.cycles += now[0] - began[0]
    thread.instructions += now[1] - began[1]
    thread.faults += now[2] - began[2]
    thread.major_faults += now[3] - began[3]
    thread.turn_began = None


def _since(tasks: Tasks, then: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    now = meter(tasks)
    return now[0] - then[0], now[1] - then[1], now[2] - then[2], now[3] - then[3]


def thread_usage(tasks: Tasks, thread: Thread) -> Usage:
    """What a thread has used up to now, its current turn too, and its process's most memory."""
    cycles = user = faults = major = 0
    if thread.turn_began is not None:
        cycles, user, faults, major = _since(tasks, thread.turn_began)
    user += thread.instructions
    return Usage(
        user=user,
        system=max(0, thread.cycles + cycles - user),
        faults=thread.faults + faults,
        major_faults=thread.major_faults + major,
        most_pages=thread.process.space.most_resident_pages,
        waits=thread.waits,
        pre_empted=thread.pre_empted,
    )


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
    number, kind = caller.process.meant(~(which >> 3)), which & 7
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
