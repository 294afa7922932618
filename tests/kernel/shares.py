"""The shares that a scheduler gives to threads: a policy alone on simulated cores, whole systems.

The oracle is the fluid model.  It divides every core at every moment in proportion to the weights,
and no thread can use more than one core (Chandra, Adler, Goyal and Shenoy, Surplus Fair Scheduling,
OSDI 2000, section 2.1).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from kernel import turns
from kernel.choose import Chooser
from kernel.sched import POLICIES
from kernel.sched.policy import SLICE_INSTRUCTIONS, Policy, slice_length
from kernel.task.process import Process, Scheduling, Thread
from tests.kernel.asm import Program
from tests.kernel.system import System, still

PROPORTIONAL = ("stride", "eevdf")
PRE_EMPTIVE = ("rr", "mlfq", "stride", "eevdf")


def fluid_shares(weights: Sequence[int], cores: int) -> list[float]:
    """The part of all the work that each thread is due; no thread is due more than one core."""
    due = [0.0] * len(weights)
    left, free = sum(weights), float(cores)
    for i in sorted(range(len(weights)), key=lambda i: (-weights[i], i)):
        due[i] = min(1.0, free * weights[i] / left)
        left, free = left - weights[i], free - due[i]
    return [share / sum(due) for share in due]


def worst_error(got: Sequence[int], weights: Sequence[int], cores: int) -> float:
    """The largest deviation of a share from its due, relative to that due."""
    due = fluid_shares(weights, cores)
    return max(abs(g / sum(got) / d - 1) for g, d in zip(got, due, strict=True))


# A policy alone -----------------------------------------------------------------------------------


@dataclass
class Cores:
    """Simulated cores that give slices to simulated threads under a real policy."""

    policy: Policy
    count: int = 1
    threads: list[Thread] = field(default_factory=list)
    free: list[tuple[int, int]] = field(default_factory=list)
    """A heap of (time, core): when the slice of each core ends."""
    running: dict[int, tuple[Thread, int]] = field(default_factory=dict)
    owner: Process = field(default_factory=lambda: still().process)
    made: int = 0

    def __post_init__(self) -> None:
        self.free = [(0, core) for core in range(self.count)]

    def add(self, nice: int = 0, affinity: int = -1) -> Thread:
        """A new thread that is ready."""
        self.made += 1  # an id is not used again
        thread = Thread(self.made, self.owner, self.owner.space, bytearray(), 0)
        thread.scheduling = Scheduling(nice, affinity=affinity)
        self.policy.pinned |= affinity != -1
        self.threads.append(thread)
        self.policy.enqueue(thread)
        return thread

    def pause(self, thread: Thread) -> None:
        """`thread`, which is running, goes to sleep."""
        core = next(core for core, (other, _) in self.running.items() if other is thread)
        self._account(core)
        self.policy.sleep(thread)

    def step(self) -> None:
        """The slice of one core is over, and it takes the next thread."""
        time, core = heapq.heappop(self.free)
        if core in self.running:
            self.policy.enqueue(self._account(core))
        chosen = self.policy.pick(core)
        length = SLICE_INSTRUCTIONS
        if chosen is not None:
            length = slice_length(self.policy.chooser, self.policy.slice(chosen))
            self.running[core] = (chosen, length)
        heapq.heappush(self.free, (time + length, core))

    def _account(self, core: int) -> Thread:
        thread, length = self.running.pop(core)
        thread.instructions += length
        self.policy.ran(thread, length)
        return thread

    def run(self, slices: int) -> list[int]:
        """Let `slices` slices pass; returns how long each thread ran meanwhile."""
        before = [thread.instructions for thread in self.threads]
        for _ in range(slices):
            self.step()
        return [t.instructions - b for t, b in zip(self.threads, before, strict=True)]


def cores_with(name: str, nices: Sequence[int], count: int = 1, seed: int = 1) -> Cores:
    made = Cores(POLICIES[name](Chooser(seed)), count)
    for nice in nices:
        made.add(nice)
    return made


# Whole systems ------------------------------------------------------------------------------------


def spinning(nices: Sequence[int], **wishes: object) -> System:
    """The first process sleeps for ever.  Each of the others sets its nice value and spins."""
    program = Program()
    for i, nice in enumerate(nices):
        program.call("fork")
        program.jump_unless_zero(f"after {i}")
        program.call("setpriority", 0, 0, nice)
        program.spin()
        program.label(f"after {i}")
    program.call("wait4", -1, 0, 0, 0)
    return System(program, **{"ram": 4, **wishes})


def spinners_of(system: System) -> list[Thread]:
    return [
        thread for thread in system.kernel.tasks.threads.values() if thread is not system.thread
    ]


def measured(system: System, warm_up: int, instructions: int) -> list[int]:
    """How long each spinner ran in a part of the run, after a warm-up."""
    machine = system.kernel.machine
    turns.run(system.kernel, lambda: machine.instructions() >= warm_up)
    before = [thread.instructions for thread in spinners_of(system)]
    end = machine.instructions() + instructions
    turns.run(system.kernel, lambda: machine.instructions() >= end)
    return [t.instructions - b for t, b in zip(spinners_of(system), before, strict=True)]


def until_all(system: System, nices: Sequence[int]) -> list[Thread]:
    """Run until all spinners exist and have their nice values."""
    wanted = list(nices)
    turns.run(system.kernel, lambda: [t.scheduling.nice for t in spinners_of(system)] == wanted)
    return spinners_of(system)
