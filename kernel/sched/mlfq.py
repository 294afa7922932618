"""A multi-level feedback queue: threads that wait a lot come before those that compute a lot.

Corbato, Merwin-Daggett and Daley, An experimental time-sharing system, 1962; the rules are those
of Arpaci-Dusseau, Operating Systems: Three Easy Pieces, chapter 8:
1, 2. the highest level that has a thread runs, in a circle;  3. a new thread starts at the top;
4. whose allotment at a level is used up, however often it waited meanwhile, goes one down;
5. after some time all go back to the top, so that no thread starves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from kernel.choose import SCHEDULE
from kernel.sched.policy import SLICE_INSTRUCTIONS, Policy
from kernel.task.process import SCHED_OTHER, Thread

LEVELS = 4
BOOST_INSTRUCTIONS = 200 * SLICE_INSTRUCTIONS
"""So much work of all cores lies between two boosts."""


@dataclass(slots=True)
class Standing:
    """Where a thread stands: 0 is the highest level; `used` of its allotment there is gone."""

    level: int = 0
    used: int = 0
    asleep: bool = False


@dataclass(slots=True)
class Mlfq(Policy):
    """Four levels; a slice, and the allotment, doubles with each.  It knows no weights."""

    queues: list[list[Thread]] = field(default_factory=lambda: [[] for _ in range(LEVELS)])
    standings: dict[Thread, Standing] = field(default_factory=dict)
    since_boost: int = 0

    name: ClassVar[str] = "mlfq"
    preemptive: ClassVar[bool] = True

    def enqueue(self, thread: Thread) -> None:
        """A thread that only made way for a better one goes on before its equals."""
        # BEGIN SOLUTION lab4.mlfq
        standing = self.standings.setdefault(thread, Standing(asleep=True))
        queue = self.queues[standing.level]
        made_way = thread.slice_left > 0 and not standing.asleep
        queue.insert(0 if made_way else len(queue), thread)
        standing.asleep = False
        # END SOLUTION lab4.mlfq
        # PROMPT lab4.mlfq: rule 3, and the end of its level for whose slice is over.

    def remove(self, thread: Thread) -> None:
        self.standings.pop(thread, None)
        for queue in self.queues:
            if thread in queue:
                queue.remove(thread)

    def pick(self, core: int) -> Thread | None:
        # BEGIN SOLUTION lab4.mlfq
        for queue in self.queues:
            thread = self.choose_from(queue, core)
            if thread is not None:
                return thread
        return None
        # END SOLUTION lab4.mlfq
        # PROMPT lab4.mlfq: rules 1 and 2; `choose_from` takes one that may run on this core.

    def ran(self, thread: Thread, instructions: int) -> None:
        # BEGIN SOLUTION lab4.mlfq
        standing = self.standings.get(thread)
        if standing is not None:
            standing.used += instructions
            level = standing.level
            while level < LEVELS - 1 and standing.used >= SLICE_INSTRUCTIONS << level:
                standing.used -= SLICE_INSTRUCTIONS << level
                level += 1
            self._move(thread, standing, level)
        self.since_boost += instructions
        if self.since_boost >= BOOST_INSTRUCTIONS:
            self._boost()
        # END SOLUTION lab4.mlfq
        # PROMPT lab4.mlfq: rule 4, with `_move`; and the work of all counts for rule 5.

    def _move(self, thread: Thread, standing: Standing, level: int) -> None:
        if level != standing.level:
            self.moves.append((thread.tid, standing.level, level))
            standing.level = level

    def _boost(self) -> None:
        # BEGIN SOLUTION lab4.mlfq
        self.since_boost = 0
        self.queues = [self.waiting(), *([] for _ in range(LEVELS - 1))]
        for thread, standing in self.standings.items():
            self._move(thread, standing, 0)
            standing.used = 0
        # END SOLUTION lab4.mlfq
        # PROMPT lab4.mlfq: rule 5, for those that wait, run and sleep alike.

    def sleep(self, thread: Thread) -> None:
        self.standings[thread].asleep = True

    def slice(self, thread: Thread) -> int:
        # BEGIN SOLUTION lab4.mlfq
        return SLICE_INSTRUCTIONS << self.rank(thread)
        # END SOLUTION lab4.mlfq
        # PROMPT lab4.mlfq: a slice doubles with each level down.

    def victim(self, thread: Thread, running: list[Thread]) -> Thread | None:
        # BEGIN SOLUTION lab4.mlfq
        if thread.scheduling.policy != SCHED_OTHER:
            return None
        lowest = max(self.rank(other) for other in running)
        if lowest <= self.rank(thread):
            return None
        below = [other for other in running if self.rank(other) == lowest]
        return below[self.chooser.choose(SCHEDULE, len(below))]
        # END SOLUTION lab4.mlfq
        # PROMPT lab4.mlfq: one of the lowest level, if below `thread`; a batch thread: nobody.

    def rank(self, thread: Thread) -> int:
        standing = self.standings.get(thread)
        return standing.level if standing else 0

    def waiting(self) -> list[Thread]:
        return [thread for queue in self.queues for thread in queue]

    def __contains__(self, thread: Thread) -> bool:
        return any(thread in queue for queue in self.queues)

    def __len__(self) -> int:
        return sum(map(len, self.queues))
