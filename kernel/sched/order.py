"""Ready threads sorted by a number, such as a pass or a deadline."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from kernel.task.process import Thread


@dataclass(slots=True)
class Order:
    """Threads by rising key, and by tid where keys are equal.

    A place is found in O(log n) steps; making room there moves a block of memory.
    """

    rows: list[tuple[int, int, Thread]] = field(default_factory=list)
    keys: dict[Thread, int] = field(default_factory=dict)

    def add(self, thread: Thread, key: int) -> None:
        self.keys[thread] = key
        insort(self.rows, (key, thread.tid, thread))

    def remove(self, thread: Thread) -> None:
        """It must be there."""
        del self.rows[bisect_left(self.rows, (self.keys.pop(thread), thread.tid))]

    def lowest(self, core: int) -> list[Thread]:
        """The threads with the lowest key of those that may run on `core`."""
        found: list[Thread] = []
        lowest = 0
        for key, _, thread in self.rows:
            if found and key != lowest:
                break
            if thread.scheduling.affinity >> core & 1:
                lowest = key
                found.append(thread)
        return found

    def __contains__(self, thread: Thread) -> bool:
        return thread in self.keys

    def __len__(self) -> int:
        return len(self.rows)
