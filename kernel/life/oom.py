"""Out of memory: which process ends, so that the others can go on.

As on Linux (mm/oom_kill.c) it is the one with the most resident memory, page tables counted, where
`oom_score_adj` adds thousandths of all memory.
"""

from __future__ import annotations

from hw.memory import PAGE_SIZE
from kernel.life.life import Life
from kernel.log import Log
from kernel.task.process import Process, Signal, Thread
from kernel.wait import signals
from kernel.wait.signals import SIGKILL

NEVER = -1000


def kill(life: Life, log: Log, thread: Thread) -> None:
    """There is no frame for a page that `thread` may use.

    Its access begins again once the chosen process has ended.  If that is its own process, or
    frames are on their way back already, the thread has nothing more to do here.
    """
    if life.memory.shootdowns.limbo:
        return
    victim = _largest(life, thread.process)
    score, own = _score(life, victim), thread.process
    log.say(
        f"out of memory: process {victim.pid} ({victim.name}) is killed: it has the most memory, "
        f"{victim.space.table.leaves * PAGE_SIZE >> 10} KiB resident, badness {score} pages; "
        f"process {own.pid} ({own.name}) asked for a page"
    )
    if victim is own:
        signals.send(life.tasks, own, Signal(SIGKILL, signals.SI_KERNEL))
    else:
        life.exit_process(victim, SIGKILL)


def _largest(life: Life, asks: Process) -> Process:
    """The process to end; among equals the youngest.  `asks`, if none may be chosen."""
    able = [p for p in life.tasks.processes.values() if _may_be_chosen(p)]
    if not able:
        return asks
    return max(able, key=lambda process: (_score(life, process), process.pid))


def _may_be_chosen(process: Process) -> bool:
    alive = not process.zombie and bool(process.threads)
    return alive and process.oom_score_adj != NEVER


def _score(life: Life, process: Process) -> int:
    """Resident pages and page tables, with the adjustment."""
    table, frames = process.space.table, len(life.memory.frames.refs)
    return table.leaves + len(table.used) + process.oom_score_adj * frames // 1000
