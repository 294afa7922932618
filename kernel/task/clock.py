"""Time as programs see it: derived from the cycle clock, never from the host's."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from hw.costs import CYCLES_PER_SECOND
from kernel.abi.errno import E, KernelError
from kernel.task.process import Process, Thread, Usage

if TYPE_CHECKING:
    from kernel.kernel import Kernel

NANOSECONDS = 1_000_000_000
BOOT_SECONDS = 1_489_443_240
"""CLOCK_REALTIME at boot: 13 March 2017, 22:14 UTC, when the RFC was posted."""

REALTIME, MONOTONIC, PROCESS_TIME, THREAD_TIME = 0, 1, 2, 3
REALTIME_COARSE, REALTIME_ALARM, BOOTTIME, BOOTTIME_ALARM, TAI = 5, 8, 7, 9, 11
CLOCKS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11)
"""The clock ids of clock_gettime(2) that there are; 10 is none."""
COARSE = (5, 6)
OF_DAY = (REALTIME, REALTIME_COARSE, REALTIME_ALARM, TAI)
USER_TIME = -1
"""Not an id for programs: what ITIMER_VIRTUAL counts."""

_TIMESPEC = struct.Struct("<qq")


def cycles_to_timespec(cycles: int, offset_seconds: int = 0) -> bytes:
    """A struct timespec."""
    seconds, rest = divmod(cycles, CYCLES_PER_SECOND)
    return _TIMESPEC.pack(seconds + offset_seconds, rest * NANOSECONDS // CYCLES_PER_SECOND)


def cycles_to_timeval(cycles: int, offset_seconds: int = 0) -> bytes:
    """A struct timeval."""
    seconds, rest = divmod(cycles, CYCLES_PER_SECOND)
    return _TIMESPEC.pack(seconds + offset_seconds, rest * 1_000_000 // CYCLES_PER_SECOND)


def now_nanoseconds(cycles: int) -> int:
    """The time of day in nanoseconds since the epoch."""
    return BOOT_SECONDS * NANOSECONDS + cycles * NANOSECONDS // CYCLES_PER_SECOND


def cycles_at(nanoseconds: int) -> int:
    """When the cycle clock will show this time of day."""
    since_boot = nanoseconds - BOOT_SECONDS * NANOSECONDS
    return -(-since_boot * CYCLES_PER_SECOND // NANOSECONDS)


def timespec_to_cycles(data: bytes) -> int:
    """The cycles of a struct timespec, rounded up.  Raises EINVAL."""
    seconds, nanoseconds = (int(part) for part in _TIMESPEC.unpack(data))
    if seconds < 0 or not 0 <= nanoseconds < NANOSECONDS:
        raise KernelError(E.INVAL)
    return seconds * CYCLES_PER_SECOND - -nanoseconds * CYCLES_PER_SECOND // NANOSECONDS


def timeval_to_cycles(data: bytes) -> int:
    """The cycles of a struct timeval, rounded up.  Raises EINVAL."""
    seconds, microseconds = (int(part) for part in _TIMESPEC.unpack(data))
    if seconds < 0 or not 0 <= microseconds < 1_000_000:
        raise KernelError(E.INVAL)
    return seconds * CYCLES_PER_SECOND + -(-microseconds * CYCLES_PER_SECOND // 1_000_000)


def offset_seconds(clock: int) -> int:
    """What a clock showed at boot."""
    return BOOT_SECONDS if clock in OF_DAY else 0


# Processor time ---------------------------------------------------------------------------------


def thread_usage(kernel: Kernel, thread: Thread) -> Usage:
    """Of a thread so far, in the turn that it is in too."""
    user, cycles = thread.instructions, thread.cycles
    if thread.turn_began is not None:
        core = kernel.machine.core.state
        cycles += core.cycles - thread.turn_began[0]
        user += core.instructions - thread.turn_began[1]
    return Usage(user, max(0, cycles - user), thread.waits, thread.pre_empted)


def process_usage(kernel: Kernel, process: Process) -> Usage:
    """Of all threads of a process, those that have ended too."""
    total = process.usage
    for thread in process.threads:
        total += thread_usage(kernel, thread)
    return total


def usage_of_clock(kernel: Kernel, caller: Thread, clock: int) -> Usage | None:
    """What a processor-time clock shows; None if `clock` is another one.

    A negative id names a process or a thread (clock_getcpuclockid(3)).  Raises EINVAL.
    """
    if clock == PROCESS_TIME:
        return process_usage(kernel, caller.process)
    if clock == THREAD_TIME:
        return thread_usage(kernel, caller)
    if clock >= 0:
        return None
    number, kind = ~(clock >> 3), clock & 7
    if kind & 3 == 3:
        raise KernelError(E.INVAL)
    if kind & 4:
        thread = kernel.threads.get(number) if number else caller
        if thread is None or thread.process is not caller.process:
            raise KernelError(E.INVAL)
        return thread_usage(kernel, thread)
    process = kernel.processes.get(number) if number else caller.process
    if process is None:
        raise KernelError(E.INVAL)
    return process_usage(kernel, process)
