"""Weights: how much of a core a thread gets beside others that want it too."""

from __future__ import annotations

from kernel.task.process import SCHED_IDLE, Thread

WEIGHTS = (
    *(88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916),
    *(9548, 7620, 6100, 4904, 3906, 3121, 2501, 1991, 1586, 1277),
    *(1024, 820, 655, 526, 423, 335, 272, 215, 172, 137),
    *(110, 87, 70, 56, 45, 36, 29, 23, 18, 15),
)
"""By nice value from -20 on: a step is a factor of 1.25, so that one nicer means a tenth less of
the core (Linux, kernel/sched/core.c, sched_prio_to_weight)."""
IDLE_WEIGHT = 3
"""Of SCHED_IDLE (Linux, kernel/sched/sched.h, WEIGHT_IDLEPRIO)."""
VIRTUAL = 1 << 26
"""Virtual time that a thread of weight 1 spends in one instruction."""


def weight(thread: Thread) -> int:
    """The share that `thread` is due, relative to others."""
    if thread.scheduling.policy == SCHED_IDLE:
        return IDLE_WEIGHT
    return WEIGHTS[thread.scheduling.nice + 20]
