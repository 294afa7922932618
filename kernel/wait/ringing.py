"""What an alarm does when it is due: wake a thread, ring a timer, or have a file asked again."""

from __future__ import annotations

from kernel.task.process import BLOCKED
from kernel.wait import timers
from kernel.wait.alarms import Alarms
from kernel.wait.ready import Readiness


def ring(alarms: Alarms, ready: Readiness) -> None:
    """Do what is due by now."""
    tasks = alarms.tasks
    while (deadline := alarms.next()) is not None and deadline <= tasks.now():
        target = alarms.pop()
        if not target:
            for badge in alarms.bells.pop(deadline):
                ready.changed(*badge)
        elif target < 0:
            timers.ring(alarms, tasks.processes[-target])
        elif tasks.threads[target].state == BLOCKED:
            tasks.unblock(tasks.threads[target])
