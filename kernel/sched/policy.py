"""What the kernel asks of a scheduler, and the simplest one: first in, first out.

A policy holds the threads that are READY and on no core.  All cores share it; a thread runs
where its affinity allows.  The kernel tells it what happens to a thread:

    enqueue -> pick -> ran, ran, ... -> enqueue      its slice is over, or another came first
                                     -> sleep        it waits; enqueue when it is woken
                                     -> remove       it has ended

Time is guest instructions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from kernel.choose import SCHEDULE, SLICE, Chooser
from kernel.task.process import Thread

SLICE_INSTRUCTIONS = 20_000
"""The usual length of a time slice."""
FOR_EVER = 1 << 62


@dataclass(slots=True)
class Policy:
    """First in, first out: a thread runs until it waits or yields."""

    chooser: Chooser
    queue: list[Thread] = field(default_factory=list)
    pinned: bool = False
    """Some thread may not run on every core."""
    moves: list[tuple[int, int, int]] = field(default_factory=list)
    """Threads that changed their level, from where and to where, until the trace has taken them."""

    name: ClassVar[str] = "fifo"
    preemptive: ClassVar[bool] = False
    """Has `victim` anything to say?"""

    def enqueue(self, thread: Thread) -> None:
        """`thread` became ready, or gave up its core."""
        self.queue.append(thread)

    def remove(self, thread: Thread) -> None:
        """`thread` has ended: nothing of it is kept.  It may be unknown."""
        if thread in self.queue:
            self.queue.remove(thread)

    def pick(self, core: int) -> Thread | None:
        """Take out the thread that runs next on `core`."""
        return self.choose_from(self.queue, core)

    def has(self, core: int) -> bool:
        """Does a thread wait that may run on `core`?"""
        if self.pinned:
            return bool(self.able(self.waiting(), core))
        return len(self) > 0

    def ran(self, thread: Thread, instructions: int) -> None:
        """`thread`, which is on a core or just leaves it, ran so long."""

    def sleep(self, thread: Thread) -> None:
        """`thread` left its core to wait for something."""

    def yielded(self, thread: Thread) -> None:
        """`thread` asks that others run first; `enqueue` follows."""

    def slice(self, thread: Thread) -> int:
        """The length of its next slice, in instructions, before the seed varies it."""
        return FOR_EVER

    def victim(self, thread: Thread, running: list[Thread]) -> Thread | None:
        """The thread on a core that must give way at once to `thread`, which was woken."""
        return None

    def reweigh(self, thread: Thread) -> None:
        """Its nice value or its class has changed."""

    def rank(self, thread: Thread) -> int:
        """What made it the next one, in the policy's own units; lower is earlier."""
        return 0

    def waiting(self) -> list[Thread]:
        """All threads that wait for a core."""
        return self.queue

    def __contains__(self, thread: Thread) -> bool:
        """Is `thread` waiting for a core?"""
        return thread in self.queue

    def __len__(self) -> int:
        """How many threads are waiting for a core."""
        return len(self.queue)

    def able(self, threads: list[Thread], core: int) -> list[Thread]:
        """Those of `threads` that may run on `core`."""
        return [thread for thread in threads if thread.scheduling.affinity >> core & 1]

    def choose_from(self, queue: list[Thread], core: int) -> Thread | None:
        """Take out one of `queue` that may run on `core`: the first, or an explorer's choice."""
        able = self.able(queue, core) if self.pinned else queue
        if not able:
            return None
        thread = able[self.chooser.choose(SCHEDULE, len(able))]
        queue.remove(thread)
        return thread


def slice_length(chooser: Chooser, middle: int = SLICE_INSTRUCTIONS) -> int:
    """Instructions until the next timer interrupt: half of `middle` to one and a half of it."""
    return middle // 2 + chooser.choose(SLICE, middle)
