"""Stride scheduling: each thread advances by its stride, and the one furthest behind is next.

Waldspurger and Weihl, Stride Scheduling: Deterministic Proportional-Share Resource Management,
MIT/LCS/TM-528, 1995.  A stride is inverse to the weight, so passes that keep level mean work in
proportion to the weights.  A thread that sleeps keeps its distance to the others and no more
(section 3.2 there).  Their time is, as in start-time fair queueing (Goyal, Guo and Vin, 1996),
the pass of the last thread that was picked: right on several cores too, where a thread can be
due more than the one core that it can use.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from kernel.choose import SCHEDULE
from kernel.sched.order import Order
from kernel.sched.policy import SLICE_INSTRUCTIONS, Policy
from kernel.sched.weights import VIRTUAL, weight
from kernel.task.process import Thread

CREDIT_INSTRUCTIONS = 2 * SLICE_INSTRUCTIONS
"""A thread may be so far behind the others; what it lacks beyond that, it has lost."""


@dataclass(slots=True)
class Client:
    """A thread's stride, its pass, and the common time when it fell asleep."""

    stride: int
    passed: int
    asleep_at: int | None = None


@dataclass(slots=True)
class Stride(Policy):
    """Shares by weight, exact to a slice."""

    clients: dict[Thread, Client] = field(default_factory=dict)
    order: Order = field(default_factory=Order)
    time: int = 0
    """The pass of the last thread that was picked; it never goes back."""
    step: int = 0
    """The stride of that thread."""

    name: ClassVar[str] = "stride"

    def enqueue(self, thread: Thread) -> None:
        # BEGIN SOLUTION lab4.stride
        client = self.clients.get(thread)
        if client is None:
            client = self.clients[thread] = Client(VIRTUAL // weight(thread), self.time)
        if client.asleep_at is not None:
            client.passed += self.time - client.asleep_at
            client.asleep_at = None
        credit = CREDIT_INSTRUCTIONS * max(client.stride, self.step)
        client.passed = max(client.passed, self.time - credit)
        self.order.add(thread, client.passed)
        # END SOLUTION lab4.stride
        # PROMPT lab4.stride: a new client begins at the common time; who slept keeps its distance.

    def remove(self, thread: Thread) -> None:
        self.clients.pop(thread, None)
        if thread in self.order:
            self.order.remove(thread)

    def pick(self, core: int) -> Thread | None:
        # BEGIN SOLUTION lab4.stride
        first = self.order.lowest(core)
        if not first:
            return None
        thread = first[self.chooser.choose(SCHEDULE, len(first))]
        self.order.remove(thread)
        self._advance(self.clients[thread])
        return thread
        # END SOLUTION lab4.stride
        # PROMPT lab4.stride: take out one with the lowest pass; the common time advances to it.

    def _advance(self, client: Client) -> None:
        if client.passed > self.time:
            self.time, self.step = client.passed, client.stride

    def ran(self, thread: Thread, instructions: int) -> None:
        # BEGIN SOLUTION lab4.stride
        client = self.clients.get(thread)
        if client is not None:
            client.passed += instructions * client.stride
            if not self.order:
                self._advance(client)  # no client is behind it
        # END SOLUTION lab4.stride
        # PROMPT lab4.stride: a pass grows by the stride for each instruction.

    def sleep(self, thread: Thread) -> None:
        self.clients[thread].asleep_at = self.time

    def yielded(self, thread: Thread) -> None:
        """It pays for a whole slice."""
        client = self.clients[thread]
        client.passed += SLICE_INSTRUCTIONS * client.stride

    def slice(self, thread: Thread) -> int:
        return SLICE_INSTRUCTIONS

    def reweigh(self, thread: Thread) -> None:
        """Its distance to the others is worth as much work as before."""
        client, stride = self.clients.get(thread), VIRTUAL // weight(thread)
        if client is None:
            return
        base = self.time if client.asleep_at is None else client.asleep_at
        client.passed = base + (client.passed - base) * stride // client.stride
        client.stride = stride
        if thread in self.order:
            self.order.remove(thread)
            self.order.add(thread, client.passed)

    def rank(self, thread: Thread) -> int:
        return self.clients[thread].passed

    def waiting(self) -> list[Thread]:
        return [thread for _, _, thread in self.order.rows]

    def __contains__(self, thread: Thread) -> bool:
        return thread in self.order

    def __len__(self) -> int:
        return len(self.order)
