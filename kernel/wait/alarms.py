"""Alarms: what shall happen at a time, in cycles."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kernel.task.process import BLOCKED, Thread
from kernel.wait import timers
from kernel.wait.ready import Key

if TYPE_CHECKING:
    from kernel.kernel import Kernel


@dataclass(slots=True)
class Alarms:
    """`heap` holds (deadline, serial number, whom): a thread, the timers of process `-whom`, or
    for 0 the badges of servers in `bells`.  Who does not wait for it any more is passed over."""

    kernel: Kernel
    heap: list[tuple[int, int, int]] = field(default_factory=list)
    made: int = 0
    bells: dict[int, list[Key]] = field(default_factory=dict)

    def wake(self, thread: Thread, deadline: int) -> None:
        """Wake `thread` at `deadline`, whatever it waits for then in this same call."""
        self.kernel.traps.current_call(thread).deadline = deadline
        self.push(deadline, thread.tid)

    def ring_bell(self, deadline: int, endpoint: int, badge: int) -> None:
        """Who waits for this badge of a server tries again at `deadline`."""
        if deadline not in self.bells:
            self.bells[deadline] = []
            self.push(deadline, 0)
        self.bells[deadline].append((endpoint, badge))

    def push(self, deadline: int, whom: int) -> None:
        """Look at a thread, or at the timers of process `-whom`, at `deadline`."""
        self.made += 1
        heapq.heappush(self.heap, (deadline, self.made, whom))

    def next(self) -> int | None:
        """The earliest deadline that somebody still waits for."""
        while self.heap:
            deadline, _, whom = self.heap[0]
            if self._is_awaited(whom, deadline):
                return deadline
            heapq.heappop(self.heap)
        return None

    def _is_awaited(self, whom: int, deadline: int) -> bool:
        kernel = self.kernel
        if not whom:
            return True
        if whom < 0:
            process = kernel.processes.get(-whom)
            return process is not None and timers.is_due(process, deadline)
        call = kernel.threads[whom].call if whom in kernel.threads else None
        return call is not None and call.deadline == deadline

    def ring(self) -> None:
        """Do what is due by now."""
        kernel = self.kernel
        while (deadline := self.next()) is not None and deadline <= kernel.now():
            whom = heapq.heappop(self.heap)[2]
            if not whom:
                for badge in self.bells.pop(deadline):
                    kernel.ready.changed(*badge)
            elif whom < 0:
                timers.ring(kernel, kernel.processes[-whom])
            elif kernel.threads[whom].state == BLOCKED:
                kernel.unblock(kernel.threads[whom])
