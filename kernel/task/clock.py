"""Time, as programs see it.  All of it comes from the cycle clock, none from the host."""

from __future__ import annotations

import struct

from hw.costs import CYCLES_PER_SECOND
from kernel.abi.errno import E, KernelError

NANOSECONDS = 1_000_000_000
BOOT_SECONDS = 1_489_443_240
"""CLOCK_REALTIME at boot: 13 March 2017, 22:14 UTC, when the RFC was posted."""

REALTIME, MONOTONIC, PROCESS_TIME, THREAD_TIME = 0, 1, 2, 3
REALTIME_COARSE, BOOTTIME, REALTIME_ALARM, TAI = 5, 7, 8, 11
CLOCKS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11)
"""The clock ids of clock_gettime(2); 10 is none of them."""
COARSE = (5, 6)
OF_DAY = (REALTIME, REALTIME_COARSE, REALTIME_ALARM, TAI)
USER_TIME = -1
"""What ITIMER_VIRTUAL counts; programs have no id for it."""
OF_PROCESSOR = (PROCESS_TIME, THREAD_TIME, USER_TIME)

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
    """What the cycle clock shows at this time of day."""
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
    """What a clock shows at boot."""
    return BOOT_SECONDS if clock in OF_DAY else 0
