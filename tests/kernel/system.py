"""Runs programs and kernels in tests, and records what a test can see of a run."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hw import costs, paging
from hw.machine import MachineConfig
from hw.nvm import Image
from hw.trace import Kind, Trace
from kernel import calls, invariants, trap, turns
from kernel.abi.errno import KernelError, Panic
from kernel.boot import Config, boot, plug_in, spawn, trace_header
from kernel.ipc import segment_files
from kernel.kernel import Kernel
from kernel.life import delivery
from kernel.life.life import Life
from kernel.log import LOG
from kernel.servers.sockets import Sockets
from kernel.syscalls import TABLE
from kernel.task.credentials import Credentials
from kernel.task.process import Call, Process, Thread
from kernel.vas.persistent import gone
from tests.kernel.asm import NUMBERS, Program
from tests.kernel.ledger import Ledger
from userland.programs import built_in, read_program

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = [b"HOME=/"]
NVM_MIB = 1
BUILT_IN = built_in()

SMALL: dict[str, tuple[str, ...]] = {
    "basics": ("fork", "2"),
    "cow": ("4",),
    "faults": (),
    "forkbench": ("8", "2"),
    "forks": ("2",),
    "hello": ("a", "b"),
    "many": ("4",),
    "maps": (),
    "matmul": ("8",),
    "memcalls": (),
    "nullcall": ("20",),
    "overcommit": ("20", "2", "1"),
    "pages": ("100",),
    "passing": (),
    "pie": (),
    "pingpong": ("5",),
    "racy": ("3", "3000"),
    "sha256": ("30",),
    "sieve": ("3000",),
    "signals": (),
    "spin": ("500",),
    "stream": ("512", "2", "512"),
    "switcher": ("10",),
    "threads": ("3", "20"),
    "upper": (),
    "vas_brk": (),
    "revive": ("9000", "sieve", "3000"),
    "vas_heap": ("5",),
    "vas_share": (),
    "vas_views": (),
    "crossings": ("views", "5", "3"),
    "handover": ("semaphore", "processes", "5"),
    "prices": ("space_load", "20"),
    "gups": ("jmp", "2", "5"),
    "exam_store": ("7", "find", "10"),
    "vas_vault": (),
    "vas_trampoline": (),
    "vas_sigstack": (),
    "skas": (),
    "vas_lifetime": ("20",),
    "vas_stacks": (),
    "vas_malloc": (),
    "exam_vas": ("7",),
    "exam_segments": ("7",),
    "exam_stale": ("7", "tag"),
    "exam_tlb": (),
    "store": ("messages", "50", "2", "10"),
    "exam_paging": (
        "7",
        "m500000000000,4,3,22",
        "s500000000000,1",
        "(",
        "s500000000000,2",
        ")",
        "W",
    ),
    "exam_sched": ("7", "50", "s0"),
    "exam_lock": ("7",),
    "bank": ("7",),
    "persist": (),
    "dax": (),
}
"""Arguments that make each program short."""


@dataclass
class Wish:
    """How a test sets its system up."""

    cpus: int = 1
    ram: int = 32
    mmu: str = "model"
    pcid: bool = True
    pcids: int = 6
    clock: str = "exact"
    seed: int = 1
    sched: str = "rr"
    swap: int = 0
    replace: str = "clock"
    eager: bool = False
    user: Credentials = field(default_factory=lambda: Credentials(1000, 1000, (1000,)))
    files: dict[bytes, bytes] = field(default_factory=dict)
    source: Callable[[], bytes] | None = None
    sync: str = "subtree"
    sharing: str = "attach"
    vas_limit: int | None = None
    walks: bool = True
    """Are page walks charged?"""
    path: bytes = b""
    """Where the program is in the tree of files, if it is there."""
    init: bool = False
    """Is there a process 1, and the program a child of it, as under `run.py exec`?"""
    checked: bool = False
    """Check all invariants after every trap?"""
    traced: bool = True
    turns: int = 5_000
    """A program that takes more turns than this counts as one that does not end."""
    nvm: Image | None = None
    """What the NVM module of `NVM_MIB` has, if there is one."""
    watched: bool = True
    """Record memory at the end?  Off for checkpoints, which cannot hold a class of the tests."""


@dataclass(frozen=True)
class Ended:
    """A system call as the trace records it; `result` is signed."""

    tid: int
    name: str
    arguments: tuple[int, ...]
    result: int


@dataclass
class Run:
    """What a test can see of a run after its end."""

    status: int
    output: bytes
    faults: list[tuple[Any, ...]]
    calls: list[Ended]
    logs: list[bytes]
    memory: str
    """A digest of all pages that were mapped when the first process ended."""
    leaves: list[tuple[int, int, int]]
    """(space, va, entry) of each of these pages, at the same moment."""
    digest: str
    instructions: int
    cycles: list[int]

    @property
    def exit_code(self) -> int:
        assert not self.status & 0x7F, f"ended by signal {self.status & 0x7F}: {self.output!r}"
        return self.status >> 8

    @property
    def signal(self) -> int:
        return self.status & 0x7F

    def results(self, name: str, tid: int | None = None) -> list[int]:
        """The results of all calls of this name, in order."""
        return [c.result for c in self.calls if c.name == name and tid in (None, c.tid)]


class WatchedLife(Life):
    """Records all of memory when the first process ends."""

    kernel: Kernel
    picture = ""
    leaves: Iterable[tuple[int, int, int]] = ()

    def exit_process(self, process: Process, status: int) -> None:
        if process.pid == self.main:
            self.picture, self.leaves = picture(self.kernel)
        super().exit_process(process, status)


def picture(kernel: Kernel) -> tuple[str, list[tuple[int, int, int]]]:
    """A digest of every mapped page of every space, and the leaf entries."""
    digest, entries = hashlib.sha256(), []
    for space in sorted(invariants.live_spaces(kernel), key=lambda space: space.id):
        for va, entry, _, _ in paging.leaves(kernel.machine.memory.words, space.table.root_pa):
            entries.append((space.id, va, entry))
            page = kernel.machine.memory.read(entry & paging.ADDRESS, 4096)
            digest.update(f"{space.id} {va:x} ".encode() + page)
    return digest.hexdigest(), entries


LAST: list[System] = []
"""The system that was made last.  At the end of each test it has to give everything back."""


class System:
    """A booted system with one program that has not run yet."""

    def __init__(self, program: bytes | str | Program, *arguments: str, **wishes: Any) -> None:
        self.wish = Wish(**wishes)
        self.written: list[bytes] = []
        self.faults: list[tuple[Any, ...]] = []
        self.calls: list[Ended] = []
        self.logs: list[bytes] = []
        self.kernel = self._boot()
        data, name = program, "test"
        if isinstance(program, Program):
            data = program.elf()
        elif isinstance(program, str):
            data, name = read_program(program), program
        assert isinstance(data, bytes)
        words = [word.encode() for word in (name, *arguments)]
        user, path = self.wish.user, self.wish.path
        if self.wish.init:
            self.kernel.life.start_init()
        self.process = spawn(self.kernel, data, words, ENVIRONMENT, user, path)
        LAST[:] = [self]

    def _boot(self) -> Kernel:
        wish = self.wish
        machine = MachineConfig(
            cpus=wish.cpus,
            ram_mib=wish.ram,
            mmu=wish.mmu,
            pcid=wish.pcid,
            clock=wish.clock,
            swap_mib=wish.swap,
            nvm_mib=NVM_MIB if wish.nvm is not None else 0,
        )
        config = Config(
            machine,
            wish.seed,
            wish.pcids,
            wish.user,
            sched=wish.sched,
            replace=wish.replace,
            vas_sync=wish.sync,
            vas_sharing=wish.sharing,
            vas_limit_mib=wish.vas_limit,
            eager=wish.eager,
        )
        kernel = boot(config, BUILT_IN | wish.files, self.written.append, wish.source)
        if not wish.walks:
            for core in kernel.machine.cores:
                core.costs[costs.WALK_STEP] = 0
        self.life = WatchedLife(
            kernel.machine,
            kernel.chooser,
            kernel.memory,
            kernel.tasks,
            kernel.alarms,
            kernel.vases,
            kernel.ipc,
        )
        self.life.kernel = kernel
        if wish.watched:
            kernel.life = self.life
        if wish.checked:
            kernel.after_trap = self.check
        self.ledger = Ledger(kernel)
        if wish.traced:
            self.trace = Trace(trace_header(kernel), None, self._observe)
            kernel.machine.attach_trace(self.trace)
        if wish.nvm is not None:
            plug_in(kernel, wish.nvm)
        return kernel

    def check(self, kernel: Kernel) -> None:
        """All that must hold between two traps.  Raises `Panic`."""
        invariants.check(kernel)
        if self.wish.traced and kernel.machine.trace is self.trace:
            self.ledger.check()

    def _observe(self, kind: Kind, values: tuple[Any, ...]) -> None:
        if self.wish.checked:
            self.ledger.observe(kind, values)
        if kind in (trap.FAULT, delivery.SIGNAL, trap.EXCEPTION):
            self.faults.append((kind.name, *values))
        elif kind is calls.SYSCALL:
            tid, number, *registers, result, _, _ = values
            self.calls.append(Ended(tid, TABLE[number].name, tuple(registers), result))
        elif kind is LOG:
            self.logs.append(values[0])

    @property
    def thread(self) -> Thread:
        return self.process.threads[0]

    def run(self) -> Run:
        """Run until the first process ends, which it must."""
        done = itertools.count()
        turns.run(self.kernel, lambda: self.process.zombie or next(done) > self.wish.turns)
        assert self.process.zombie, "the program does not end"
        return self.finish(self.process.exit_status)

    def finish(self, status: int) -> Run:
        machine = self.kernel.machine
        return Run(
            status,
            b"".join(self.written),
            self.faults,
            self.calls,
            self.logs,
            self.life.picture,
            list(self.life.leaves),
            self.trace.digest() if self.wish.traced else "",
            machine.instructions(),
            [core.state.cycles for core in machine.cores],
        )

    def end(self) -> None:
        """End every process, delete every VAS and segment: then nothing is held or paid for.

        Raises `Panic`.
        """
        kernel = self.kernel
        for process in list(kernel.tasks.processes.values()):
            if process.threads:
                kernel.life.exit_process(process, 0)
        self.answer_shootdowns()
        for vas in list(kernel.vases.vases.values()):
            kernel.vases.delete(Credentials(), vas.id)
            gone(kernel.persistence, vas)
        for segment in list(kernel.vases.segments.values()):
            segment_files.delete(kernel.ipc, kernel.vases, Credentials(), segment.id)
            gone(kernel.persistence, segment)
        shm = kernel.ipc.well_known.shm.endpoint
        for status in kernel.ipc.ports["shm"].shared_segments():
            kernel.ipc.ask(shm, 0, "remove", (status.id,))
        wrong = list(self._left())
        if wrong:
            raise Panic("; ".join(wrong))

    def answer_shootdowns(self) -> None:
        """Deliver every interrupt that is under way."""
        machine = self.kernel.machine
        for core in machine.cores:
            machine.take_turn(core)
            for message in machine.take_ipis():
                self.kernel.memory.shootdowns.answer(message)

    def _left(self) -> Iterator[str]:
        kernel = self.kernel
        for uid, account in kernel.vases.accounts.items():
            if account.charged or account.owned:
                yield f"user {uid} pays for {account.charged} frames, owns {account.owned} objects"
        objects = invariants.live_objects(kernel).values()
        pages = sum(len(made.frames_held()) for made in objects)
        if kernel.persistence is not None:
            pages += len(list(kernel.persistence.medium.frames_held()))
        init = [p for p in kernel.tasks.processes.values() if not p.zombie]
        tables = sum(len(process.space.table.used) for process in init)
        owned = kernel.machine.first_free_frame + 1 + pages + tables  # 1: the kernel's user page
        used = len(kernel.memory.frames.used())
        if used != owned or len(init) > self.wish.init:
            yield f"{used} frames are in use, files and init own {owned}"
        if kernel.tasks.threads or kernel.tasks.channels or kernel.memory.shootdowns.open:
            yield "there are threads, sleepers or shootdowns"
        sockets = kernel.ipc.servers["sockets"]
        if kernel.ipc.parcels.parcels or (isinstance(sockets, Sockets) and sockets.open):
            yield "there are sockets, or descriptors in flight"

    def ask(self, name: str, *arguments: int, thread: Thread | None = None) -> int:
        """Call a handler directly, without the emulator; an error is its negated number."""
        row = TABLE[NUMBERS[name]]
        thread = thread or self.thread
        a, b, c, d, e, f = (*[value & (1 << 64) - 1 for value in arguments], *[0] * 6)[:6]
        registers = (a, b, c, d, e, f)
        thread.call = Call(row.number, registers)
        try:
            result = row.invoke(self.kernel, thread, registers)
        except KernelError as error:
            result = -error.number
        if self.kernel.persistence is not None:
            self.kernel.persistence.settle()
        assert result is not None
        thread.call = None
        return result


def boot_program(name: str, *arguments: str, **wishes: Any) -> Run:
    """Run a built-in program to its end."""
    return System(name, *arguments, **wishes).run()


def run_code(program: Program, **wishes: Any) -> Run:
    """Run a program of `asm`, with all invariants checked, to its end."""
    return System(program, **{"checked": True, "ram": 4, **wishes}).run()


def still(**wishes: Any) -> System:
    """A system whose one process never runs: its handlers are called with `ask`."""
    idle = Program()
    idle.spin()
    return System(idle, **{"ram": 4, **wishes})


def run_python(code: str, *arguments: str, hash_seed: str = "0", data: bytes = b"") -> bytes:
    """Run Python code in a process of its own; returns what it printed."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=environment,
        input=data,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
