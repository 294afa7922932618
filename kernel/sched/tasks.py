"""Which thread is on which core: dispatch, block, wake, pre-empt.

    READY ──dispatch──► RUNNING ──block──► BLOCKED
      ▲                    │                  │
      └────── pre_empt ────┘                  │
      └─────────────── wake ──────────────────┘

A `Seat` is a core as the scheduler sees it.  A thread that sleeps waits on a *channel*.  The code
that changes what the channel stands for wakes it.  The policy (`kernel.sched.policy`) holds the
threads that are READY; everything here is the same under each policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hw import costs, trace
from hw.cpu import Core
from hw.machine import Machine
from kernel.abi.errno import Channel
from kernel.choose import Chooser
from kernel.mm.objects import Objects
from kernel.mm.shootdown import Shootdowns
from kernel.sched.policy import Policy, slice_length
from kernel.task.process import BLOCKED, READY, RUNNING, Process, Scheduling, Thread

RUN = trace.declare(
    "run",
    "tid:Q space:Q previous:Q rip:Q",
    "A core runs a thread, which goes on at rip; previous is whom it ran before.",
)
WAKE = trace.declare("wake", "tid:Q", "A thread sleeps no more, and is ready for a core.")
PICK = trace.declare(
    "pick",
    "tid:Q waited:Q others:H rank:q",
    "A core takes a thread, which waited so many cycles; others still wait; rank is why it was "
    "next: its level under mlfq, its pass under stride, its deadline under eevdf.",
)


@dataclass(slots=True, eq=False)
class Seat:
    """A core as the scheduler sees it."""

    id: int
    thread: Thread | None = None
    loaded: Thread | None = None
    """Whose context the core's registers hold; it may have stopped running here."""
    held_back: list[Thread] = field(default_factory=list)
    """Threads that may start only when this core's shootdowns have ended."""
    reschedule: bool = False
    """The thread must give up this core at the next chance (Linux's TIF_NEED_RESCHED)."""
    called: bool = False
    """Another core has sent this one an interrupt, so that it looks for a thread to run."""


@dataclass(slots=True)
class Tasks:
    """All processes and threads, the cores that they run on, and the channels they sleep on."""

    machine: Machine
    chooser: Chooser
    policy: Policy
    shootdowns: Shootdowns
    objects: Objects
    seats: list[Seat] = field(init=False)
    processes: dict[int, Process] = field(default_factory=dict)
    threads: dict[int, Thread] = field(default_factory=dict)
    channels: dict[Channel, list[Thread]] = field(default_factory=dict)
    alone: bool = False
    """No thread waited for the current core when its turn began, and none is ready since."""

    def __post_init__(self) -> None:
        self.seats = [Seat(core.state.id) for core in self.machine.cores]
        self.shootdowns.waiter = self

    @property
    def seat(self) -> Seat:
        """The current core's."""
        return self.seats[self.machine.core.state.id]

    def now(self) -> int:
        """The current core's clock, in cycles."""
        return self.machine.core.state.cycles

    # On a core ------------------------------------------------------------------------------

    def dispatch(self, seat: Seat, core: Core) -> Thread | None:
        """Let the core take the thread that the policy picks, if there is one."""
        thread = self.policy.pick(seat.id)
        if thread is None:
            return None
        if seat.called:
            seat.called = False
            core.charge(costs.INTERRUPT)
        core.charge(costs.SCHEDULE_PICK)
        core.state.cycles = max(core.state.cycles, thread.ready_at)
        if thread.slice_left <= 0:
            thread.slice_left = slice_length(self.chooser, self.policy.slice(thread))
        thread.state = RUNNING
        self.seat_thread(seat, thread)
        if self.machine.trace:
            waited, rank = core.state.cycles - thread.ready_at, self.policy.rank(thread)
            self.machine.trace.emit(PICK, thread.tid, waited, len(self.policy), rank)
        return thread

    def seat_thread(self, seat: Seat, thread: Thread | None) -> None:
        """The core runs `thread` from now on; None: it runs nothing."""
        seat.thread = thread
        self.shootdowns.cores[seat.id].running = thread is not None

    def load(self, seat: Seat, thread: Thread, core: Core) -> None:
        """Bring context and address space of `thread` onto the core, if they are not there."""
        if seat.loaded is not thread:
            previous = seat.loaded
            self._save(seat)
            if thread.loaded_on is not None:
                self._save(self.seats[thread.loaded_on])
            core.restore(thread.context, thread.rip)
            seat.loaded, thread.loaded_on = thread, seat.id
            if self.machine.trace:
                before = previous.tid if previous else 0
                self.machine.trace.emit(RUN, thread.tid, thread.space.id, before, thread.rip)
        self.shootdowns.load(thread.space)

    def _save(self, seat: Seat) -> None:
        """Copy the registers of a core to the thread they belong to."""
        thread = seat.loaded
        if thread is not None:
            core = self.machine.cores[seat.id]
            core.save(thread.context)
            thread.rip = core.state.rip
            seat.loaded, thread.loaded_on = None, None

    def unload(self, thread: Thread) -> None:
        """The thread's registers were replaced or do not matter: a core need not save them."""
        if thread.loaded_on is not None:
            self.seats[thread.loaded_on].loaded = None
            thread.loaded_on = None

    def show(self, thread: Thread) -> None:
        """The thread's view has changed; if it is on the current core, so must CR3."""
        if thread.loaded_on == self.machine.core.state.id:
            self.shootdowns.load(thread.space)

    # Off a core -----------------------------------------------------------------------------

    def end_slice(self, seat: Seat, thread: Thread) -> None:
        """The thread has used up its slice."""
        # BEGIN SOLUTION lab4.account
        if self.policy.has(seat.id):
            self._pre_empt(seat, thread)
        else:
            thread.slice_left = slice_length(self.chooser, self.policy.slice(thread))
        # END SOLUTION lab4.account
        # PROMPT lab4.account: another thread that may run here gets the core; or a new slice.

    def _pre_empt(self, seat: Seat, thread: Thread) -> None:
        """`thread` loses its core, though it could go on."""
        # BEGIN SOLUTION lab4.account
        self.seat_thread(seat, None)
        thread.pre_empted += 1
        self._enqueue(thread)
        # END SOLUTION lab4.account
        # PROMPT lab4.account: empty the seat, count it for getrusage, and line up again.

    def reschedule(self, seat: Seat) -> None:
        """Another thread must have this core, or this one must have another core."""
        seat.reschedule = False
        if seat.thread is not None:
            self._pre_empt(seat, seat.thread)

    def yield_core(self, thread: Thread) -> None:
        """sched_yield: the others first."""
        if self.policy.has(self.seat.id):
            self.policy.yielded(thread)
            thread.slice_left = 0
            self.machine.core.leave = True

    def set_scheduling(self, thread: Thread, wanted: Scheduling) -> None:
        """Schedule `thread` by these rules from now on; it leaves a core that they forbid."""
        thread.scheduling = wanted
        self.policy.pinned |= wanted.affinity != -1
        self.policy.reweigh(thread)
        for seat in self.seats:
            if seat.thread is thread and not wanted.affinity >> seat.id & 1:
                self._interrupt_core(seat)

    def unschedule(self, thread: Thread) -> None:
        """`thread` ends: it must not run or wait any more."""
        if thread.state == BLOCKED:
            self._leave_channel(thread)
        self.policy.remove(thread)
        for seat in self.seats:
            if thread in seat.held_back:
                seat.held_back.remove(thread)
        self._off_core(thread)
        self.unload(thread)

    def _off_core(self, thread: Thread) -> None:
        for seat in self.seats:
            if seat.thread is thread:
                self.seat_thread(seat, None)
                self.machine.cores[seat.id].leave = True

    # Ready ----------------------------------------------------------------------------------

    def make_ready(self, thread: Thread) -> None:
        """`thread` is new or was woken, and may run."""
        self._enqueue(thread)
        self._call_idle_core(thread)
        if self.policy.preemptive and not self.shootdowns.current.waiting:
            self._pre_empt_for(thread)

    def _call_idle_core(self, thread: Thread) -> None:
        """A busy core that wakes a thread sends an interrupt to a core with nothing to do."""
        if self.seat.thread is None or self.shootdowns.current.waiting:
            return
        for seat in self.seats:
            idle = seat.thread is None and not self.shootdowns.cores[seat.id].waiting
            if idle and not seat.called and thread.scheduling.affinity >> seat.id & 1:
                seat.called = True
                self.machine.charge(costs.IPI_SEND)
                return

    def _enqueue(self, thread: Thread) -> None:
        seat, thread.state = self.seat, READY
        if self.shootdowns.cores[seat.id].waiting:
            seat.held_back.append(thread)
            return
        thread.ready_at = self.now()
        self.policy.enqueue(thread)
        if self.alone:
            self.alone = False
            self.machine.core.leave = True

    def core_goes_on(self, core_id: int) -> None:
        """The shootdowns of this core have ended: the threads that it held back may start."""
        seat = self.seats[core_id]
        released, seat.held_back = seat.held_back, []
        for thread in released:
            self.make_ready(thread)

    def _pre_empt_for(self, thread: Thread) -> None:
        """Free a core that runs a less urgent thread, unless one is free already."""
        able = [seat for seat in self.seats if thread.scheduling.affinity >> seat.id & 1]
        running = [seat.thread for seat in able if seat.thread is not None]
        if len(running) == len(able):
            victim = self.policy.victim(thread, running)
            if victim is not None:
                self._interrupt_core(able[running.index(victim)])

    def _interrupt_core(self, seat: Seat) -> None:
        """The thread on a core must give it up; another core is sent an interrupt for that."""
        seat.reschedule = True
        if seat is self.seat:
            self.machine.core.leave = True
        else:
            seat.called = True
            self.machine.charge(costs.IPI_SEND)

    # Asleep ---------------------------------------------------------------------------------

    def block(self, thread: Thread, channel: Channel) -> None:
        """`thread`, which runs, sleeps until `channel` is woken."""
        self._off_core(thread)
        thread.waits += 1
        thread.state, thread.channel = BLOCKED, channel
        self.channels.setdefault(channel, []).append(thread)

    def wake(self, channel: Channel, count: int = 1 << 31) -> int:
        """Wake up to `count` threads that sleep on `channel`, oldest first; returns how many."""
        sleepers = self.channels.get(channel, [])
        woken = sleepers[:count]
        for thread in woken:
            self.unblock(thread)
        return len(woken)

    def move_sleeper(self, thread: Thread, channel: Channel) -> None:
        """`thread` sleeps on another channel from now on, as the last one there."""
        self._leave_channel(thread)
        thread.channel = channel
        self.channels.setdefault(channel, []).append(thread)

    def interrupt(self, thread: Thread) -> None:
        """A signal is there for `thread`: it stops waiting, and takes it before user code runs."""
        if thread.state == BLOCKED:
            self.unblock(thread)
            if thread.call is not None:
                thread.call.interrupted = True
        elif self.seat.thread is thread:
            self.machine.core.leave = True

    def unblock(self, thread: Thread) -> None:
        """`thread`, which sleeps, is to look whether it can go on."""
        self._leave_channel(thread)
        if self.machine.trace:
            self.machine.trace.emit(WAKE, thread.tid)
        self.make_ready(thread)

    def _leave_channel(self, thread: Thread) -> None:
        assert thread.channel is not None
        sleepers = self.channels[thread.channel]
        sleepers.remove(thread)
        if not sleepers:
            del self.channels[thread.channel]
        thread.channel = None
