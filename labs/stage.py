"""A program watched in acts: a `null_call` ends each, and then the machine stands still to be read.

What a demo says of a run is taken from here: the calls, signals and messages of an act as the
trace has them, the frames that were let go, what was printed, and a picture of the kernel's state
at the mark.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from hw.trace import Kind, Trace
from kernel.boot import boot, run_to_end, spawn, trace_header
from kernel.calls import SYSCALL
from kernel.kernel import Kernel
from kernel.life.delivery import SIGNAL
from kernel.log import LOG
from kernel.mm.frames import FRAME
from kernel.syscalls import TABLE
from kernel.wait.signals import KILLS, name
from labs.claim import Options, cannot_play
from userland.programs import built_in, describe, read_program

MARK = "null_call"
P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Done:
    """A system call that ended; `result` is a negated errno if it failed."""

    tid: int
    name: str
    arguments: tuple[int, ...]
    result: int


@dataclass(frozen=True, slots=True)
class Death:
    """A signal that ended a process, and the address that it was about."""

    pid: int
    signal: str
    address: int


@dataclass(slots=True)
class Act(Generic[P]):
    """`picture` is of the mark; `freed` are the frames that somebody had and that were free after
    it, if only for a moment; `said` is what was printed meanwhile."""

    calls: list[Done] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    freed: set[int] = field(default_factory=set)
    said: str = ""
    picture: P | None = None

    @property
    def words(self) -> list[str]:
        """What was printed, word by word."""
        return self.said.split()

    def results(self, call: str) -> list[int]:
        """What all calls of this name answered, in order."""
        return [done.result for done in self.calls if done.name == call]


@dataclass(slots=True)
class Stage(Generic[P]):
    """Listens to the trace of `kernel`.  `take` makes the picture, and is told who marked.

    The first null_call is `vantage_required`'s, with which every such program begins.
    """

    kernel: Kernel
    take: Callable[[Kernel, int], P]
    acts: list[Act[P]] = field(default_factory=lambda: [Act()])
    begun: bool = False

    def __call__(self, kind: Kind, values: tuple[Any, ...]) -> None:
        """A record was made."""
        act = self.acts[-1]
        if kind is SYSCALL:
            tid, number, *arguments, result, _, _ = values
            act.calls.append(Done(tid, TABLE[number].name, tuple(arguments), result))
            if TABLE[number].name == MARK:
                self._mark(act, tid)
        elif kind is SIGNAL and values[3] == KILLS:
            act.deaths.append(Death(values[0], name(values[2]), values[4]))
        elif kind is FRAME and not values[2]:
            act.freed.add(values[0])
        elif kind is LOG:
            act.logs.append(values[0].decode())

    def _mark(self, act: Act[P], tid: int) -> None:
        if self.begun:
            act.picture = self.take(self.kernel, tid)
            self.acts.append(Act())
        self.begun = True

    def hear(self, data: bytes) -> None:
        """The console got something."""
        self.acts[-1].said += data.decode()


def play(options: Options, program: str, take: Callable[[Kernel, int], P]) -> list[Act[P]]:
    """The acts of a built-in program that prints whole lines.

    Recorded, if asked for, in a run of its own, which is the same one.
    """
    heard: list[Stage[P]] = []
    kernel = boot(options.config, built_in(), lambda data: heard[0].hear(data))
    heard.append(Stage(kernel, take))
    kernel.machine.attach_trace(Trace(trace_header(kernel), None, heard[0]))
    if _status(options, kernel, program):
        raise cannot_play(program, "".join(act.said for act in heard[0].acts))
    if options.trace:
        again = boot(options.config, built_in(), lambda _: None)
        with options.recording(again, describe(program, read_program(program))):
            _status(options, again, program)
    return heard[0].acts


def _status(options: Options, kernel: Kernel, program: str) -> int:
    words, data = [program.encode()], read_program(program)
    return run_to_end(kernel, spawn(kernel, data, words, [], options.config.user))
