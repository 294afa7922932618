"""Earliest eligible virtual deadline first: shares by weight, and a bound on every wait.

Stoica and Abdel-Wahab, Earliest Eligible Virtual Deadline First: A Flexible and Accurate
Mechanism for Proportional Share Resource Allocation, ODU TR-95-22, 1995; with the choices of
Linux since 6.6 (kernel/sched/fair.c).  Each thread has a virtual runtime v, which advances
inversely to its weight; the virtual time V is the mean of all v, by weight.  A thread's lag is
w * (V - v), the work that it is owed.  Eligible is who is owed something; of these the one whose
request for a slice must be served first, by v + slice / w, is next.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from kernel.choose import SCHEDULE
from kernel.sched.order import Order
from kernel.sched.policy import SLICE_INSTRUCTIONS, Policy
from kernel.sched.weights import VIRTUAL, weight
from kernel.task.process import SCHED_OTHER, Thread

LAG_INSTRUCTIONS = 2 * SLICE_INSTRUCTIONS
"""What a sleeping thread may be owed, or owe (Linux, update_entity_lag)."""
BEHIND_INSTRUCTIONS = 4 * SLICE_INSTRUCTIONS
"""What a thread may be owed that does not sleep: on several cores one can be due more than the
core that it can use."""


@dataclass(slots=True)
class Entity:
    """What is known of a thread.  `pace` is its virtual time in one instruction; `behind` is
    V - v when it fell asleep."""

    weight: int
    pace: int
    vruntime: int = 0
    deadline: int = 0
    behind: int = 0
    competes: bool = False
    """It wants a core, or has one."""


@dataclass(slots=True)
class Eevdf(Policy):
    """Two orders: of the eligible by deadline, and of the others by when they will be."""

    entities: dict[Thread, Entity] = field(default_factory=dict)
    eligible: Order = field(default_factory=Order)
    early: Order = field(default_factory=Order)
    load: int = 0
    """The sum of the weights of all that compete."""
    sum: int = 0
    """The sum of their w * v: V is sum / load."""
    last: int = 0
    """V when the last one fell asleep."""

    name: ClassVar[str] = "eevdf"
    preemptive: ClassVar[bool] = True

    def enqueue(self, thread: Thread) -> None:
        entity = self.entities.get(thread)
        if entity is None:
            entity = self.entities[thread] = Entity(weight(thread), VIRTUAL // weight(thread))
        if entity.competes:
            self._shift(entity, max(0, self._behind(entity) - BEHIND_INSTRUCTIONS * entity.pace))
            if entity.vruntime >= entity.deadline:
                entity.deadline = entity.vruntime + SLICE_INSTRUCTIONS * entity.pace
        else:
            self._join(entity)
        self.early.add(thread, entity.vruntime)

    def _join(self, entity: Entity) -> None:
        """With the lag that it left with: V moves as it joins, so more distance is needed."""
        behind = entity.behind
        if self.load:
            behind = behind * (self.load + entity.weight) // self.load
        entity.vruntime = self._now() - behind
        entity.deadline = entity.vruntime + SLICE_INSTRUCTIONS * entity.pace
        entity.competes = True
        self._count(entity, 1)

    def _leave(self, entity: Entity) -> None:
        bound = LAG_INSTRUCTIONS * entity.pace
        entity.behind = max(-bound, min(self._behind(entity), bound))
        self.last = self._now()
        self._count(entity, -1)
        entity.competes = False

    def _count(self, entity: Entity, sign: int) -> None:
        self.load += sign * entity.weight
        self.sum += sign * entity.weight * entity.vruntime

    def _now(self) -> int:
        return self.sum // self.load if self.load else self.last

    def _behind(self, entity: Entity) -> int:
        return self._now() - entity.vruntime

    def _shift(self, entity: Entity, virtual: int) -> None:
        entity.vruntime += virtual
        self.sum += virtual * entity.weight

    def _is_eligible(self, entity: Entity) -> bool:
        return entity.vruntime * self.load <= self.sum

    def remove(self, thread: Thread) -> None:
        entity = self.entities.pop(thread, None)
        if entity is not None and entity.competes:
            self._leave(entity)
        for order in (self.eligible, self.early):
            if thread in order:
                order.remove(thread)

    def pick(self, core: int) -> Thread | None:
        """The first to become eligible, where no thread that waits is: those on other cores are."""
        self._sort()
        order = self.eligible
        able = order.lowest(core)
        if not able:
            order = self.early
            able = order.lowest(core)
        if not able:
            return None
        thread = able[self.chooser.choose(SCHEDULE, len(able))]
        order.remove(thread)
        return thread

    def _sort(self) -> None:
        """V moves on with work, and back when a thread leaves that is ahead of it."""
        while self.early and self._is_eligible(self.entities[first := self.early.rows[0][2]]):
            self.early.remove(first)
            self.eligible.add(first, self.entities[first].deadline)
        while self.eligible:
            first = self.eligible.rows[0][2]
            if self._is_eligible(self.entities[first]):
                return
            self.eligible.remove(first)
            self.early.add(first, self.entities[first].vruntime)

    def ran(self, thread: Thread, instructions: int) -> None:
        entity = self.entities.get(thread)
        if entity is not None:
            self._shift(entity, instructions * entity.pace)

    def sleep(self, thread: Thread) -> None:
        self._leave(self.entities[thread])

    def yielded(self, thread: Thread) -> None:
        """It gives up what is left of its request."""
        entity = self.entities[thread]
        self._shift(entity, max(0, entity.deadline - entity.vruntime))

    def slice(self, thread: Thread) -> int:
        return SLICE_INSTRUCTIONS

    def victim(self, thread: Thread, running: list[Thread]) -> Thread | None:
        """The thread with the latest deadline, if that of `thread` is earlier."""
        entity = self.entities[thread]
        if thread.scheduling.policy != SCHED_OTHER or not self._is_eligible(entity):
            return None
        latest = max(self.rank(other) for other in running)
        if latest <= entity.deadline:
            return None
        able = [other for other in running if self.rank(other) == latest]
        return able[self.chooser.choose(SCHEDULE, len(able))]

    def reweigh(self, thread: Thread) -> None:
        """It is owed as much work as before, and its request is as long."""
        entity, heavier = self.entities.get(thread), weight(thread)
        if entity is None:
            return
        before, behind = entity.weight, self._behind(entity)
        left = (entity.deadline - entity.vruntime) * before // heavier
        waits = thread in self
        if entity.competes:
            self._count(entity, -1)
            entity.vruntime += behind - behind * before // heavier
        entity.behind = entity.behind * before // heavier
        entity.deadline = entity.vruntime + left
        entity.weight, entity.pace = heavier, VIRTUAL // heavier
        if entity.competes:
            self._count(entity, 1)
        if waits:
            (self.early if thread in self.early else self.eligible).remove(thread)
            self.early.add(thread, entity.vruntime)

    def rank(self, thread: Thread) -> int:
        return self.entities[thread].deadline

    def waiting(self) -> list[Thread]:
        return [row[2] for order in (self.eligible, self.early) for row in order.rows]

    def __contains__(self, thread: Thread) -> bool:
        return thread in self.eligible or thread in self.early

    def __len__(self) -> int:
        return len(self.eligible) + len(self.early)
