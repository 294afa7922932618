"""The root of the system: all state hangs off one `Kernel`.

Nothing happens here.  Each floor below keeps its own part of the state; the floors above are
handed this root: `syscalls` and `port` use it, `trap` enters it, `turns` drives it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hw.machine import Machine
from kernel.choose import Chooser
from kernel.ipc.endpoints import Endpoints
from kernel.life.life import Life
from kernel.life.sigframe import TRAMPOLINE
from kernel.log import Log
from kernel.mm.memory import Memory
from kernel.mm.objects import MemoryObject
from kernel.sched.policy import Policy
from kernel.sched.tasks import Tasks
from kernel.vas.persistent import Persistence
from kernel.vas.vases import Vases
from kernel.wait.alarms import Alarms
from kernel.wait.ready import Readiness


@dataclass(slots=True)
class Turn:
    """One core's turn in user code: how far it may run, and how far it has run."""

    core: int
    budget: int
    """Instructions that are left."""
    alone: bool
    """No other thread waited for the core when the turn began: the slice is not used up."""
    done: int = 0
    """Instructions that were run before a pause."""


@dataclass(slots=True)
class Kernel:
    """One system.  Everything below is plain data, or the machine."""

    machine: Machine
    chooser: Chooser
    log: Log
    memory: Memory
    tasks: Tasks
    ready: Readiness
    alarms: Alarms
    vases: Vases
    ipc: Endpoints
    life: Life
    persistence: Persistence | None = None
    """What keeps the NVM module in step, if there is one."""
    taken: int = 0
    """How many traps there have been."""
    unknown: list[int] = field(default_factory=list)
    """Call numbers that programs asked for and that do not exist here."""
    unfinished: Turn | None = None
    """A turn that a pause cut short."""
    idle_cycles: int = 0
    """How long no core had any work."""
    held_files: list[MemoryObject] = field(default_factory=list)
    """Programs that were started from outside."""
    after_trap: Callable[[Kernel], None] | None = None
    """Called after every trap and every turn; tests put `invariants.check` here."""


def assemble(
    machine: Machine, chooser: Chooser, policy: Policy, pcids: int, *, eager: bool = False
) -> Kernel:
    """A kernel with no servers and no processes."""
    log, memory = Log(machine), Memory(machine, pcids, eager)
    machine.memory.write(memory.kuser_pfn << 12, TRAMPOLINE)
    tasks = Tasks(machine, chooser, policy, memory.shootdowns, memory.objects)
    ready, alarms = Readiness(tasks), Alarms(tasks)
    vases = Vases(machine, log, memory, tasks)
    ipc = memory.objects.keeper = Endpoints(machine, log, tasks, ready)
    life = Life(
        machine=machine,
        chooser=chooser,
        memory=memory,
        tasks=tasks,
        alarms=alarms,
        vases=vases,
        ipc=ipc,
    )
    return Kernel(
        machine=machine,
        chooser=chooser,
        log=log,
        memory=memory,
        tasks=tasks,
        ready=ready,
        alarms=alarms,
        vases=vases,
        ipc=ipc,
        life=life,
    )
