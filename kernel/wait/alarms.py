"""Alarms: what shall happen at a time, in cycles."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from kernel.sched.tasks import Tasks
from kernel.task.process import Thread
from kernel.wait.ready import Key


@dataclass(slots=True)
class Alarms:
    """The alarms of the system, earliest first.

    `heap` holds (deadline, serial number, target).  A target is a thread, the timers of process
    `-target`, or for 0 the badges of servers in `bells`.  An alarm is passed over if its target
    does not wait for it any more.
    """

    tasks: Tasks
    heap: list[tuple[int, int, int]] = field(default_factory=list)
    made: int = 0
    bells: dict[int, list[Key]] = field(default_factory=dict)

    def wake(self, thread: Thread, deadline: int) -> None:
        """Wake `thread` at `deadline`, whatever it waits for then in this same call."""
        thread.current_call().deadline = deadline
        self.push(deadline, thread.tid)

    def ring_bell(self, deadline: int, endpoint: int, badge: int) -> None:
        """Threads that wait for this badge of a server try again at `deadline`."""
        if deadline not in self.bells:
            self.bells[deadline] = []
            self.push(deadline, 0)
        self.bells[deadline].append((endpoint, badge))

    def push(self, deadline: int, target: int) -> None:
        """Look at a thread, or at the timers of process `-target`, at `deadline`."""
        self.made += 1
        heapq.heappush(self.heap, (deadline, self.made, target))

    def next(self) -> int | None:
        """The earliest deadline whose target still waits for it."""
        while self.heap:
            deadline, _, target = self.heap[0]
            if self._is_awaited(target, deadline):
                return deadline
            heapq.heappop(self.heap)
        return None

    def pop(self) -> int:
        """Take the earliest alarm out; returns its target."""
        return heapq.heappop(self.heap)[2]

    def _is_awaited(self, target: int, deadline: int) -> bool:
        if not target:
            return True
        if target < 0:
            process = self.tasks.processes.get(-target)
            return process is not None and process.awaits(deadline)
        thread = self.tasks.threads.get(target)
        return thread is not None and thread.call is not None and thread.call.deadline == deadline
