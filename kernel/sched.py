"""Which thread runs next.  A policy is one small class; the kernel calls these methods."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from kernel.choose import SCHEDULE, SLICE, Chooser
from kernel.process import Thread

SLICE_INSTRUCTIONS = 20_000
"""The length of a time slice: half of it to one and a half, chosen by the seed."""


class Policy(Protocol):
    """What the kernel asks of a scheduler.  Threads here are READY and on no core."""

    def enqueue(self, thread: Thread) -> None:
        """`thread` became ready, or was pre-empted."""

    def remove(self, thread: Thread) -> None:
        """`thread` must not be picked any more."""

    def pick(self) -> Thread | None:
        """Take out the thread that runs next on the core that asks."""

    def __contains__(self, thread: Thread) -> bool:
        """Is `thread` waiting for a core?"""

    def __len__(self) -> int:
        """How many threads are waiting for a core."""


@dataclass(slots=True)
class RoundRobin:
    """First come, first served, for one slice each."""

    chooser: Chooser
    queue: list[Thread] = field(default_factory=list)

    # BEGIN SOLUTION lab4.round_robin
    def enqueue(self, thread: Thread) -> None:
        self.queue.append(thread)

    def remove(self, thread: Thread) -> None:
        if thread in self.queue:
            self.queue.remove(thread)

    def pick(self) -> Thread | None:
        if not self.queue:
            return None
        return self.queue.pop(self.chooser.choose(SCHEDULE, len(self.queue)))

    # END SOLUTION lab4.round_robin
    # PROMPT lab4.round_robin: keep the ready threads in order and pick the first.

    def __contains__(self, thread: Thread) -> bool:
        return thread in self.queue

    def __len__(self) -> int:
        return len(self.queue)


def slice_length(chooser: Chooser) -> int:
    """Instructions until the next timer interrupt."""
    half = SLICE_INSTRUCTIONS // 2
    return half + chooser.choose(SLICE, SLICE_INSTRUCTIONS)
