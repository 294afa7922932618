"""Descriptors by which a program fills missing pages: userfaultfd(2), ioctl_userfaultfd(2).

What there is to read is never stored.  It is the threads that sleep for a page of this descriptor,
less those that were read already.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hw.memory import PAGE_MASK
from kernel.mm.filler import CHANNEL, Filler
from kernel.mm.space import AddressSpace
from kernel.sched.tasks import Tasks
from kernel.task.descriptors import Handle
from kernel.task.process import Thread


@dataclass(slots=True, eq=False, kw_only=True)
class UserFault(Handle):
    """The descriptor.  It fills pages of `space`, whoever uses it.

    `features` are those that UFFDIO_API agreed on, None before.  `told[tid]` is which of its waits
    a thread was in when it was read of.
    """

    filler: Filler
    space: AddressSpace
    features: int | None = None
    told: dict[int, int] = field(default_factory=dict)


def sleepers(tasks: Tasks, filler: Filler) -> list[tuple[Thread, int, bool]]:
    """(thread, page, whether to store) of each thread that sleeps for a page."""
    return [
        (thread, channel[2] & ~PAGE_MASK, bool(channel[2] & 1))
        for channel, threads in tasks.channels.items()
        if channel[:2] == (CHANNEL, filler.id)
        for thread in threads
    ]


def unread(tasks: Tasks, handle: UserFault) -> list[tuple[Thread, int, bool]]:
    """Those of `sleepers` that nobody has read of yet."""
    found = sleepers(tasks, handle.filler)
    return [row for row in found if handle.told.get(row[0].tid) != row[0].waits]


def wake(tasks: Tasks, filler: Filler, start: int, end: int) -> None:
    """The threads that sleep for a page of the range try again."""
    for channel in [c for c in tasks.channels if c[:2] == (CHANNEL, filler.id)]:
        if start <= channel[2] < end:
            tasks.wake(channel)


def close(tasks: Tasks, handle: UserFault) -> None:
    """The last descriptor is gone: missing pages are zeroes again."""
    handle.filler.is_open = False
    for region in handle.space.map:
        if region.filler is handle.filler:
            region.filler = None
    wake(tasks, handle.filler, 0, 1 << 64)
