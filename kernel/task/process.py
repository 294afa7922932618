"""Processes and threads: what the kernel remembers about each.

A process owns descriptors, credentials, signal actions and an address space; a thread owns a
CPU context and is what the scheduler runs.  `Thread.space` is the view that this thread runs
in, which is its process's unless it switches.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from kernel.abi.errno import Channel, E, KernelError
from kernel.abi.message import Reply
from kernel.abi.nodes import O_NONBLOCK, O_RDWR, S_ISGID, S_ISUID
from kernel.mm.space import AddressSpace

READY, RUNNING, BLOCKED, DEAD = range(4)

SCHED_OTHER, SCHED_BATCH, SCHED_IDLE = 0, 3, 5
"""Scheduling classes (sched(7)): the usual one, one that never pre-empts, one for what is left."""

MAX_DESCRIPTORS = 1024
MAX_TASKS = 4096
NO_ID = 0xFFFF_FFFF
"""-1 as a uid_t: no id at all."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who a process acts as (credentials(7)).

    `uid` and `gid` are the effective ids, which decide what is permitted; for files, `file_uid`
    and `file_gid` do.  An id that is not given is the same as the effective one.
    """

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    real_uid: int = NO_ID
    saved_uid: int = NO_ID
    file_uid: int = NO_ID
    real_gid: int = NO_ID
    saved_gid: int = NO_ID
    file_gid: int = NO_ID

    def __post_init__(self) -> None:
        for kind in ("real", "saved", "file"):
            for name, effective in ((f"{kind}_uid", self.uid), (f"{kind}_gid", self.gid)):
                if getattr(self, name) == NO_ID:
                    object.__setattr__(self, name, effective)

    @property
    def is_root(self) -> bool:
        return self.uid == 0

    @property
    def is_changed(self) -> bool:
        """Does it act as somebody else than who started it?"""
        return (self.uid, self.gid) != (self.real_uid, self.real_gid)

    def running(self, mode: int, owner: int, group: int) -> Credentials:
        """Who it is when it runs a file (execve(2)): S_ISUID and S_ISGID make it the file's."""
        uid = owner if mode & S_ISUID else self.uid
        gid = group if mode & S_ISGID and mode & 0o010 else self.gid
        return replace(
            self, uid=uid, gid=gid, saved_uid=uid, file_uid=uid, saved_gid=gid, file_gid=gid
        )


@dataclass(slots=True, eq=False)
class Handle:
    """An open file description (open(2)): `badge` is what the server behind `endpoint` knows it by.

    Descriptors of one process or of several share it, with its `flags` (access mode, O_APPEND,
    O_NONBLOCK, O_PATH) and, if it is `seekable`, its `offset`; the last `holds` closes it.
    """

    endpoint: int
    badge: int
    holds: int = 0
    flags: int = O_RDWR
    seekable: bool = False
    offset: int = 0

    @property
    def blocks(self) -> bool:
        """Does a call wait for what cannot be done yet?"""
        return not self.flags & O_NONBLOCK

    def set_blocking(self, *, blocks: bool) -> None:
        self.flags = self.flags & ~O_NONBLOCK | (0 if blocks else O_NONBLOCK)


@dataclass(slots=True, eq=False)
class Descriptors:
    """The capability table of a process, with Linux's rule that the lowest number is next.

    `closes_on_exec` holds the numbers that execve closes; no number below `first_free` is free;
    `limit` is RLIMIT_NOFILE.
    """

    handles: dict[int, Handle] = field(default_factory=dict)
    closes_on_exec: set[int] = field(default_factory=set)
    first_free: int = 0
    limit: int = field(default_factory=lambda: MAX_DESCRIPTORS)

    def add(self, handle: Handle, lowest: int = 0, *, closes_on_exec: bool = False) -> int:
        """Install `handle` at the lowest free number.  Raises EMFILE."""
        number = self.lowest_free(lowest)
        if lowest <= self.first_free:
            self.first_free = number + 1
        self.put(number, handle, closes_on_exec=closes_on_exec)
        return number

    def lowest_free(self, lowest: int = 0) -> int:
        """The number that the next descriptor gets.  Raises EMFILE."""
        number = max(lowest, self.first_free)
        while number in self.handles:
            number += 1
        if number >= self.limit:
            raise KernelError(E.MFILE)
        return number

    def put(self, number: int, handle: Handle, *, closes_on_exec: bool = False) -> None:
        """Install `handle` at a number that is free."""
        self.handles[number] = handle
        handle.holds += 1
        if closes_on_exec:
            self.closes_on_exec.add(number)

    def remove(self, number: int) -> Handle:
        """Take a number out; whoever does so closes the handle.  Raises EBADF."""
        handle = self.get(number)
        del self.handles[number]
        self.closes_on_exec.discard(number)
        self.first_free = min(self.first_free, number)
        return handle

    def mark(self, number: int, *, closes_on_exec: bool) -> None:
        """Shall execve close it?"""
        if closes_on_exec:
            self.closes_on_exec.add(number)
        else:
            self.closes_on_exec.discard(number)

    def copy(self) -> Descriptors:
        """What fork gives to the child."""
        for handle in self.handles.values():
            handle.holds += 1
        held, closing = dict(self.handles), set(self.closes_on_exec)
        return Descriptors(held, closing, self.first_free, self.limit)

    def get(self, number: int) -> Handle:
        """Raises EBADF."""
        handle = self.handles.get(number)
        if handle is None:
            raise KernelError(E.BADF)
        return handle


@dataclass(frozen=True, slots=True)
class SignalAction:
    """struct kernel_sigaction: what to do about one signal."""

    handler: int = 0
    flags: int = 0
    mask: int = 0


@dataclass(slots=True, eq=False)
class Process:
    """A process; it is a zombie from its last thread's end until its parent waits.

    `group` and `session` are the ids of their leaders; `cwd` is an open directory.
    """

    pid: int
    parent: Process | None
    space: AddressSpace
    credentials: Credentials
    name: str
    group: int
    session: int
    cwd: Handle
    umask: int = 0o022
    arguments: tuple[bytes, ...] = ()
    executable: bytes = b""
    """The path of its program."""
    started: int = 0
    """Cycles since boot."""
    descriptors: Descriptors = field(default_factory=Descriptors)
    threads: list[Thread] = field(default_factory=list)
    children: list[Process] = field(default_factory=list)
    actions: dict[int, SignalAction] = field(default_factory=dict)
    pending: list[Signal] = field(default_factory=list)
    stopped: int = 0
    """The signal that stopped it, until SIGCONT."""
    stop_is_news: bool = False
    """The parent has not been told yet by wait."""
    continue_is_news: bool = False
    exit_status: int = 0
    zombie: bool = False
    exit_signal: int = 17
    """What the parent is sent at its end: SIGCHLD, unless clone said otherwise."""
    executed: bool = False
    """It has called execve: its parent may not move it to another group any more."""
    is_heir: bool = False
    """Orphans among its descendants become its children (PR_SET_CHILD_SUBREAPER)."""
    death_signal: int = 0
    """What it is sent when its parent ends (PR_SET_PDEATHSIG)."""
    dumpable: int = 1
    gains_nothing: bool = False
    """PR_SET_NO_NEW_PRIVS."""
    personality: int = 0
    limits: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Resource -> (soft, hard), where they differ from `limits.DEFAULTS`."""
    timers: dict[int, Timer] = field(default_factory=dict)
    """Interval timers, by the numbers of `kernel.wait.timers`."""
    usage: Usage = field(default_factory=lambda: Usage())
    """Processor time of threads that have ended."""
    children_usage: Usage = field(default_factory=lambda: Usage())
    """Of all descendants that were waited for."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time in cycles: in user code, and in the kernel; and how often a core was left,
    to wait, or for another thread."""

    user: int = 0
    system: int = 0
    waits: int = 0
    pre_empted: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.user + other.user,
            self.system + other.system,
            self.waits + other.waits,
            self.pre_empted + other.pre_empted,
        )


@dataclass(slots=True)
class Timer:
    """An interval timer: sends `signal` when its clock reaches `deadline`, then every `interval`.

    Both in cycles.  `thread` is the only one to be told, if it is not 0; `value` goes into the
    siginfo of a POSIX timer; `overrun` counts the times that it rang unheard.
    """

    signal: int
    deadline: int | None = None
    interval: int = 0
    clock: int = 0
    thread: int = 0
    value: int = 0
    overrun: int = 0


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal on its way: number, si_code, and the sender (for SIGCHLD, the child, its status
    and its processor time) or the faulting address and the exception's vector.

    `value` came with it (sigqueue(3)); of a POSIX timer, `pid` is the timer's id."""

    number: int
    code: int = 0
    pid: int = 0
    uid: int = 0
    status: int = 0
    address: int = 0
    vector: int = -1
    error: int = 0
    value: int = 0
    usage: Usage | None = None


Registers = tuple[int, int, int, int, int, int]
"""The argument registers of a system call: RDI, RSI, RDX, R10, R8, R9."""


@dataclass(slots=True)
class Call:
    """A system call that has not been answered yet, and how far it has come.

    A handler may send several messages, the same ones in the same order each time it is
    executed: `message` at `endpoint` is the one that has no answer yet, `replies` are the
    answers so far, and `used` of them were taken since the handler began.  Once it waits for
    anything else, all of them are sent anew.
    `done`: bytes that have been moved already; `opened`: a FIFO that waits for its other end;
    `watched`: what a poll waits for, as endpoint and badge;
    `woken`: a futex wake meant it, which `bits` says it hears; `interrupted`: a signal did;
    `deadline` in cycles; `child` is whom a vfork waits for; `replied`: the first half of a
    reply-and-receive is done; `awaited` are the signals that end it though they are blocked.
    """

    number: int
    arguments: Registers
    message: int = 0
    endpoint: int = 0
    replies: list[Reply] = field(default_factory=list)
    used: int = 0
    done: int = 0
    opened: Handle | None = None
    watched: list[tuple[int, int]] = field(default_factory=list)
    deadline: int | None = None
    woken: bool = False
    interrupted: bool = False
    child: int = 0
    replied: bool = False
    awaited: int = 0
    bits: int = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Scheduling:
    """What a thread asks of the scheduler: nice(2), sched_setscheduler(2), and in `affinity` a
    bit for each core that it may run on."""

    nice: int = 0
    policy: int = SCHED_OTHER
    reset_on_fork: bool = False
    affinity: int = -1

    def of_child(self) -> Scheduling:
        """What a new thread or process begins with (sched(7), SCHED_RESET_ON_FORK)."""
        if not self.reset_on_fork:
            return self
        return Scheduling(max(0, self.nice), SCHED_OTHER, affinity=self.affinity)


@dataclass(slots=True, eq=False)
class Thread:
    """A thread.  `context` and `rip` are its CPU state, unless `loaded_on` names the core that
    still has them; `call` is the system call it is in; `result` is to be given to it."""

    tid: int
    process: Process
    space: AddressSpace
    context: bytearray
    rip: int
    state: int = READY
    channel: Channel | None = None
    call: Call | None = None
    result: int | None = None
    registers: dict[str, int] = field(default_factory=dict)
    loaded_on: int | None = None
    scheduling: Scheduling = field(default_factory=Scheduling)
    slice_left: int = 0
    ready_at: int = 0
    waits: int = 0
    """How often it left its core to wait."""
    pre_empted: int = 0
    """How often it lost its core, though it could have gone on."""
    instructions: int = 0
    cycles: int = 0
    """Processor time, in user code and in the kernel, up to the turn that it is in."""
    turn_began: tuple[int, int] | None = None
    """Cycles and instructions of its core when the current turn began."""
    mask: int = 0
    saved_mask: int | None = None
    """What `mask` is to be again, while a call has borrowed it (sigsuspend(2), ppoll(2))."""
    pending: list[Signal] = field(default_factory=list)
    alternate_stack: tuple[int, int] = (0, 0)
    clear_tid_address: int = 0
    robust_list: int = 0
    """Where its list of held futexes is (get_robust_list(2))."""
    name: str = ""
    """What it calls itself, if not as its process."""
    killed: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid
