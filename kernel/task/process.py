"""Processes and threads: what the kernel remembers about each.

A process owns descriptors, credentials, signal actions and an address space.  A thread owns a
CPU context, and the scheduler runs it.  `Thread.space` is the view that this thread runs in: its
process's own space, unless the thread switches.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from kernel.abi.errno import Channel
from kernel.abi.message import Reply
from kernel.mm.space import AddressSpace
from kernel.task import clock
from kernel.task.credentials import Credentials
from kernel.task.descriptors import Descriptors, Handle

READY, RUNNING, BLOCKED, DEAD = range(4)

SCHED_OTHER, SCHED_BATCH, SCHED_IDLE = 0, 3, 5
"""Scheduling classes (sched(7)): the default, one that never pre-empts, one for spare time."""

MAX_TASKS = 4096
"""Threads in the whole system, at most."""


# What a process and its threads have besides memory and files -----------------------------------


@dataclass(frozen=True, slots=True)
class SignalAction:
    """struct kernel_sigaction: what a process does about one signal."""

    handler: int = 0
    flags: int = 0
    mask: int = 0


SS_ONSTACK, SS_DISABLE, SS_AUTODISARM = 1, 2, 1 << 31


@dataclass(frozen=True, slots=True)
class AlternateStack:
    """Where handlers with SA_ONSTACK run (sigaltstack(2)); `size_bytes` 0: nowhere else.

    `flags` are those that the program set: SS_DISABLE, SS_AUTODISARM.  `place` is the view that it
    is in, as of `kernel.vas.view.place_of`; None: whichever the signal finds.
    """

    base: int = 0
    size_bytes: int = 0
    flags: int = 0
    place: tuple[int, int] | None = None

    @property
    def top(self) -> int:
        return self.base + self.size_bytes

    def holds(self, rsp: int) -> bool:
        """Is a stack pointer in the range?"""
        return self.base < rsp <= self.top

    def in_use(self, rsp: int) -> bool:
        """Does a thread with this stack pointer run on it?  Not if a handler disarms it."""
        return not self.flags & SS_AUTODISARM and self.holds(rsp)

    def state(self, rsp: int) -> int:
        """SS_DISABLE, SS_ONSTACK or 0, as sigaltstack(2) reports it."""
        if not self.size_bytes:
            return SS_DISABLE
        return SS_ONSTACK if self.in_use(rsp) else 0


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time in cycles, in user code and in the kernel; switches, faults, and memory."""

    user: int = 0
    system: int = 0
    faults: int = 0
    """Page faults, without those that read from disk; a page that the kernel touches counts."""
    major_faults: int = 0
    """Page faults that read from disk."""
    most_pages: int = 0
    """The most pages that were resident at once; of several processes, in the largest one."""
    waits: int = 0
    """How often a thread left its core to wait."""
    pre_empted: int = 0
    """How often a thread lost its core, though it could go on."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            user=self.user + other.user,
            system=self.system + other.system,
            faults=self.faults + other.faults,
            major_faults=self.major_faults + other.major_faults,
            most_pages=max(self.most_pages, other.most_pages),
            waits=self.waits + other.waits,
            pre_empted=self.pre_empted + other.pre_empted,
        )


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal on its way.

    `pid` and `uid` name the sender.  For SIGCHLD that is the child, and `status` and `usage` are
    the child's; for a POSIX timer `pid` is the timer's id.  `address` and `error` belong to an
    exception, whose `vector` is -1 if there was none.  `value` came with the signal (sigqueue(3)).
    """

    number: int
    code: int = 0
    """si_code."""
    pid: int = 0
    uid: int = 0
    status: int = 0
    address: int = 0
    vector: int = -1
    error: int = 0
    value: int = 0
    usage: Usage | None = None


@dataclass(slots=True)
class Timer:
    """An interval timer: it sends `signal` when its clock reaches `deadline`, then every
    `interval`, both in cycles.

    After a signal the timer stands still until a thread takes that signal: what it would have
    rung meanwhile is computed then.
    """

    signal: int
    """0: it sends none, and only its reading matters (SIGEV_NONE)."""
    deadline: int | None = None
    """None: the timer is not set."""
    interval: int = 0
    clock: int = 0
    owner: int = 0
    """The thread whose processor time the clock shows, for THREAD_TIME."""
    thread: int = 0
    """The only thread that gets the signal; 0: any thread of the process."""
    stands: bool = False
    """Its signal is on its way."""
    value: int = 0
    """What the siginfo of a POSIX timer carries."""
    overrun: int = 0
    """How often the timer rang while its last signal was still on its way."""

    @property
    def is_of_time(self) -> bool:
        """Does the timer run while its process does not?"""
        return self.clock not in clock.OF_PROCESSOR

    @property
    def rings(self) -> bool:
        """Will it send a signal at its deadline?"""
        return self.deadline is not None and bool(self.signal) and not self.stands


@dataclass(slots=True, eq=False)
class Surroundings:
    """Where paths begin, and which permissions new files do not get.  `cwd` is an open directory.

    `holders` are the processes and threads that have it (CLONE_FS).
    """

    cwd: Handle
    umask: int = 0o022
    holders: int = 1


@dataclass(slots=True, eq=False, kw_only=True)
class Process:
    """A process; it is a zombie from its last thread's end until its parent waits.

    `group` and `session` are the ids of their leaders.
    """

    pid: int
    parent: Process | None
    space: AddressSpace
    credentials: Credentials
    name: str
    group: int
    session: int
    surroundings: Surroundings
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
    """No wait of the parent has reported the stop yet."""
    continue_is_news: bool = False
    exit_status: int = 0
    exception: tuple[int, int, int, int] | None = None
    """The last one that it had to answer for: vector, error code, rip, address."""
    zombie: bool = False
    exit_signal: int = 17
    """What its parent gets at its end: SIGCHLD, unless clone said otherwise."""
    executed: bool = False
    """It has called execve: its parent may not move it to another group any more."""
    is_heir: bool = False
    """Orphans among its descendants become its children (PR_SET_CHILD_SUBREAPER)."""
    death_signal: int = 0
    """What it gets when its parent ends (PR_SET_PDEATHSIG)."""
    dumpable: int = 1
    gains_nothing: bool = False
    """PR_SET_NO_NEW_PRIVS."""
    personality: int = 0
    limits: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Resource -> (soft, hard), where they differ from `limits.DEFAULTS`."""
    oom_score_adj: int = 0
    """-1000 to 1000 thousandths of all memory, added to its size when memory is out (proc(5));
    -1000: it is never chosen."""
    timers: dict[int, Timer] = field(default_factory=dict)
    """The key is the id of a POSIX timer (timer_create(2)), or negative for setitimer(2)."""
    usage: Usage = field(default_factory=Usage)
    """Of threads that have ended."""
    children_usage: Usage = field(default_factory=Usage)
    """Of all descendants that were waited for."""
    ids: dict[int, int] = field(default_factory=dict)
    """Of a restarted process and its descendants: the ids that the program remembers from before,
    and whom each of them means now."""

    def seen(self, id: int) -> int:
        """The id by which the program knows a task."""
        return next((old for old, now in self.ids.items() if now == id), id) if self.ids else id

    def meant(self, id: int) -> int:
        """The task that the program means by an id; a negative one stands for a group."""
        if not self.ids:
            return id
        return self.ids.get(id, id) if id >= 0 else -self.ids.get(-id, -id)

    @property
    def cwd(self) -> Handle:
        """The current directory."""
        return self.surroundings.cwd

    def awaits(self, deadline: int) -> bool:
        """Does a timer of the process that runs by time ring at `deadline`?"""
        own = self.timers.values()
        return any(t.deadline == deadline and t.is_of_time and t.rings for t in own)


# What a thread is doing -------------------------------------------------------------------------

Registers = tuple[int, int, int, int, int, int]
"""The argument registers of a system call: RDI, RSI, RDX, R10, R8, R9."""


@dataclass(slots=True)
class Call:
    """A system call that has not been answered yet, and how far it has come.

    The kernel executes the handler of such a call again each time the thread is woken.  A handler
    may send several messages; it sends the same ones in the same order each time.
    """

    number: int
    arguments: Registers
    message: int = 0
    """The message that has no reply yet."""
    endpoint: int = 0
    """Where that message went."""
    replies: list[Reply] = field(default_factory=list)
    """What came back so far.  When the call waits for anything but a reply, it forgets them."""
    used: int = 0
    """How many `replies` the handler has taken since it began."""
    done: int = 0
    """Bytes that were moved already."""
    told: tuple[int, ...] = ()
    """Who sent those of a socket: process, user and group."""
    messages: int = 0
    """Whole messages that were moved already, by a call for several."""
    until: int = 0
    """When such a call shall end after the message that it is at; in cycles."""
    opened: Handle | None = None
    """A FIFO that waits for its other end."""
    watched: list[tuple[int, int]] = field(default_factory=list)
    """What a poll waits for: endpoints and badges."""
    deadline: int | None = None
    """In cycles."""
    woken: bool = False
    """A futex wake chose this thread."""
    interrupted: bool = False
    """A signal woke this thread."""
    child: int = 0
    """The process that a vfork waits for."""
    replied: bool = False
    """The first half of a reply-and-receive is done."""
    awaited: int = 0
    """Signals that end the call, even if the thread blocks them."""
    bits: int = 0xFFFF_FFFF
    """The futex wakes that the thread hears (FUTEX_WAIT_BITSET)."""


@dataclass(frozen=True, slots=True)
class Scheduling:
    """What a thread asks of the scheduler (nice(2), sched_setscheduler(2))."""

    nice: int = 0
    policy: int = SCHED_OTHER
    reset_on_fork: bool = False
    affinity: int = -1
    """A bit for each core that the thread may run on."""

    def of_child(self) -> Scheduling:
        """What a new thread or process begins with (sched(7), SCHED_RESET_ON_FORK)."""
        if not self.reset_on_fork:
            return self
        return replace(self, nice=max(0, self.nice), policy=SCHED_OTHER, reset_on_fork=False)


@dataclass(slots=True, eq=False)
class Thread:
    """A thread.  `context` and `rip` are its CPU state, unless `loaded_on` names the core that
    still has them.

    `call_number` and `call_arguments` are what its last SYSCALL instruction trapped with.  `call`
    is the record of that call, once it has to outlive the trap.
    """

    tid: int
    process: Process
    space: AddressSpace
    context: bytearray
    rip: int
    state: int = READY
    channel: Channel | None = None
    call_number: int = 0
    call_arguments: Registers = (0, 0, 0, 0, 0, 0)
    call: Call | None = None
    result: int | None = None
    """What its call returns, before it runs user code again."""
    registers: dict[str, int] = field(default_factory=dict)
    """Registers to set, before it runs user code again."""
    loaded_on: int | None = None
    scheduling: Scheduling = field(default_factory=Scheduling)
    slice_left: int = 0
    ready_at: int = 0
    waits: int = 0
    """How often it left its core to wait."""
    pre_empted: int = 0
    """How often it lost its core, though it could go on."""
    instructions: int = 0
    cycles: int = 0
    """Processor time, in user code and in the kernel, before its current turn."""
    faults: int = 0
    major_faults: int = 0
    """Before its current turn, as in `Usage`."""
    turn_began: tuple[int, int, int, int] | None = None
    """What `kernel.sched.usage` metered when the current turn began: cycles and instructions of
    its core, page faults, and those that read from disk."""
    mask: int = 0
    saved_mask: int | None = None
    """Its own mask, while a call uses another one (sigsuspend(2), ppoll(2))."""
    pending: list[Signal] = field(default_factory=list)
    alternate_stack: AlternateStack = field(default_factory=AlternateStack)
    clear_tid_address: int = 0
    robust_list: int = 0
    """Where its list of held futexes is (get_robust_list(2))."""
    name: str = ""
    """Its own name, if it has another one than its process."""
    killed: bool = False
    own_descriptors: Descriptors | None = None
    own_surroundings: Surroundings | None = None
    """What it does not share with its process (`kernel.life.belongings`)."""
    caller: dict[str, int] = field(default_factory=dict)
    """The registers with which it switched to a gate; it gets them back if the gate faults."""

    @property
    def pid(self) -> int:
        return self.process.pid

    def return_mask(self) -> None:
        """The call that borrowed a mask of blocked signals ends, and no handler is why."""
        if self.saved_mask is not None:
            self.mask, self.saved_mask = self.saved_mask, None

    @property
    def descriptors(self) -> Descriptors:
        """The descriptors that its calls mean."""
        own = self.own_descriptors
        return self.process.descriptors if own is None else own

    @property
    def surroundings(self) -> Surroundings:
        """Where the paths of its calls begin."""
        own = self.own_surroundings
        return self.process.surroundings if own is None else own

    def current_call(self) -> Call:
        """The call that the thread is in, as a record that outlives this trap."""
        if self.call is None:
            self.call = Call(self.call_number, self.call_arguments)
        return self.call
