"""Time as programs see it: derived from the cycle clock, never from the host's."""

from __future__ import annotations

import struct

from hw.costs import CYCLES_PER_SECOND
from kernel.errno import E, KernelError

NANOSECONDS = 1_000_000_000
BOOT_SECONDS = 1_489_443_240
"""CLOCK_REALTIME at boot: 13 March 2017, 22:14 UTC, when the RFC was posted."""

_TIMESPEC = struct.Struct("<qq")


def cycles_to_timespec(cycles: int, offset_seconds: int = 0) -> bytes:
    """A struct timespec."""
    seconds, rest = divmod(cycles, CYCLES_PER_SECOND)
    return _TIMESPEC.pack(seconds + offset_seconds, rest * NANOSECONDS // CYCLES_PER_SECOND)


def now_nanoseconds(cycles: int) -> int:
    """The time of day in nanoseconds since the epoch."""
    return BOOT_SECONDS * NANOSECONDS + cycles * NANOSECONDS // CYCLES_PER_SECOND


def timespec_to_cycles(data: bytes) -> int:
    """The cycles of a struct timespec, rounded up.  Raises EINVAL."""
    seconds, nanoseconds = (int(part) for part in _TIMESPEC.unpack(data))
    if seconds < 0 or not 0 <= nanoseconds < NANOSECONDS:
        raise KernelError(E.INVAL)
    return seconds * CYCLES_PER_SECOND - -nanoseconds * CYCLES_PER_SECOND // NANOSECONDS
