"""The image of a process: what must be known besides its memory so that it can go on.

`vas_fork` makes one and `vas_exec` uses it.  An image is plain and names nothing that only one boot
knows: files, VASes and segments are named by path and name, times are what is left of them, and ids
of processes and threads are those that the program itself knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kernel.task.credentials import Credentials
from kernel.task.process import AlternateStack, Registers, Scheduling, Signal, SignalAction

FILE, CONSOLE, PIPE, EVENT, OUTER = "file", "console", "pipe", "event", "outer"
"""Kinds of open files; an OUTER one leads to somebody who is not in the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFile:
    """An open file description, and the descriptors that lead to it."""

    kind: str
    numbers: tuple[int, ...]
    closes_on_exec: tuple[int, ...] = ()
    flags: int = 0
    offset: int = 0
    path: bytes = b""
    """Of a FILE."""
    number: int = 0
    """The stream of a CONSOLE, the counter of an EVENT, or which of the image's pipes a PIPE is."""
    end: int = 0
    """Of a PIPE: 1 the end for writing.  Of an EVENT: 1 a semaphore."""


@dataclass(frozen=True, slots=True)
class PipeImage:
    """A pipe both of whose ends are in the image: how many opens each has, and what is in it."""

    capacity: int
    """Pages."""
    readers: int
    writers: int
    content: bytes
    """As the server of pipes packs it: of each slot its length, u32, and its bytes."""


@dataclass(frozen=True, slots=True)
class FileMapping:
    """Where a range of memory comes from a file that has a name.

    A private range has pages of its own besides, which are in the checkpoint.  A shared one has
    none: the file's bytes are not in the checkpoint.
    """

    start: int
    end: int
    path: bytes
    page: int
    """The page of the file that `start` shows."""
    shared: bool


@dataclass(frozen=True, slots=True)
class Attached:
    """A segment or VAS that is attached, by name; `kind` is 4 read, 2 write."""

    name: bytes
    kind: int
    segments: tuple[Attached, ...] = ()
    """Of a VAS: the segments that this process alone sees there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerImage:
    """A timer of setitimer(2) or timer_create(2); `process.Timer` explains the fields."""

    key: int
    signal: int
    left: int | None
    """Cycles until it rings; below 0: since it should have.  None: it is not set."""
    interval: int
    clock: int
    owner: int
    thread: int
    stands: bool
    value: int
    overrun: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallImage:
    """A system call that a thread was waiting in; `process.Call` explains the fields.

    It is executed again.  Times are what is left of them, in cycles.
    """

    number: int
    arguments: Registers
    done: int = 0
    told: tuple[int, ...] = ()
    messages: int = 0
    until_left: int | None = None
    deadline_left: int | None = None
    woken: bool = False
    awaited: int = 0
    bits: int = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadImage:
    """One thread.  RIP is at its SYSCALL instruction if it is in a `call`."""

    id: int
    name: str
    registers: dict[str, int]
    fpu: bytes
    """An FXSAVE image (SDM vol. 1, table 10-2)."""
    call: CallImage | None
    mask: int
    saved_mask: int | None
    pending: tuple[Signal, ...]
    alternate_stack: AlternateStack
    clear_tid_address: int
    robust_list: int
    scheduling: Scheduling
    view: bytes | None
    """The name of the VAS that it is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryImage:
    """What an address space knows besides its regions."""

    break_start: int
    break_end: int
    hint: int
    auxiliary: bytes
    environment: tuple[bytes, ...]
    barriers: int
    files: tuple[FileMapping, ...]
    segments: tuple[Attached, ...]
    views: tuple[Attached, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessImage:
    """One process with all of its threads.  The first thread is the leader, if that still runs."""

    id: int
    name: str
    arguments: tuple[bytes, ...]
    executable: bytes
    credentials: Credentials
    umask: int
    cwd: bytes
    limits: dict[int, tuple[int, int]]
    actions: dict[int, SignalAction]
    pending: tuple[Signal, ...]
    timers: tuple[TimerImage, ...]
    personality: int
    dumpable: int
    gains_nothing: bool
    is_heir: bool
    death_signal: int
    open_files: tuple[OpenFile, ...]
    pipes: tuple[PipeImage, ...]
    memory: MemoryImage
    threads: tuple[ThreadImage, ...] = field(default=())

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids that the program knows as its own."""
        return (self.id, *(thread.id for thread in self.threads))
