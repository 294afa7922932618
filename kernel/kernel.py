"""The root of the system: all state hangs off one `Kernel`, and its loop gives cores their turns.

The loop: the core with the lowest clock takes its interrupts, finishes a call that its thread
was in, delivers a signal, and runs user code until the slice ends or a trap leaves the guest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hw import costs, trace
from hw.cpu import Core
from hw.machine import FAST, Machine
from kernel.abi.errno import Channel
from kernel.choose import SCHEDULE, Chooser
from kernel.ipc.endpoints import Ipc
from kernel.life.life import Life
from kernel.life.sigframe import TRAMPOLINE
from kernel.mm import frames
from kernel.mm.frames import Frames
from kernel.mm.objects import MemoryObject, Objects
from kernel.mm.shootdown import Seat, Shootdowns
from kernel.mm.space import AddressSpace
from kernel.sched.policy import Policy, slice_length
from kernel.task.process import BLOCKED, READY, RUNNING, Handle, Process, Scheduling, Signal, Thread
from kernel.trap import Traps
from kernel.vas.vases import Vases
from kernel.wait import signals, timers
from kernel.wait.alarms import Alarms
from kernel.wait.ready import Readiness
from kernel.wait.signals import SIGKILL

TURN_INSTRUCTIONS = 4_000
"""How long a core runs before another one, whose clock is behind, gets its turn."""
ALONE_INSTRUCTIONS = 2_000_000
"""The same where no other thread waits for a core."""

TABLES_OF_A_SPACE = 4
MAX_MESSAGES = 100

RUN = trace.declare(
    "run",
    "tid:Q space:Q previous:Q rip:Q",
    "A core runs a thread, which goes on at rip; previous is whom it ran before.",
)
PICK = trace.declare(
    "pick",
    "tid:Q waited:Q others:H rank:q",
    "A core takes a thread, which waited so many cycles; others still wait; rank is why it was "
    "next: its level under mlfq, its pass under stride, its deadline under eevdf.",
)
LEVEL = trace.declare(
    "level", "tid:Q before:B after:B", "The feedback queue moves a thread; level 0 runs first."
)
LOG = trace.declare("log", "text:s", "The kernel says something.")


class Deadlock(Exception):
    """Every thread waits, and nothing is left that could wake one."""


@dataclass(slots=True)
class Kernel:
    """One system.  Everything below is plain data, or the machine."""

    machine: Machine
    chooser: Chooser
    policy: Policy
    pcids: int
    frames: Frames = field(init=False)
    objects: Objects = field(init=False)
    shootdowns: Shootdowns = field(init=False)
    ipc: Ipc = field(init=False)
    ready: Readiness = field(init=False)
    alarms: Alarms = field(init=False)
    life: Life = field(init=False)
    traps: Traps = field(init=False)
    vases: Vases = field(init=False)
    root: Handle = field(init=False)
    """The directory / of the file server."""
    home: Handle = field(init=False)
    """Where the first program starts."""
    pipes: Handle = field(init=False)
    names: Handle = field(init=False)
    system: Handle = field(init=False)
    console_input: Handle = field(init=False)
    console: Handle = field(init=False)
    console_errors: Handle = field(init=False)
    kuser_pfn: int = field(init=False)
    held_files: list[MemoryObject] = field(default_factory=list)
    """Programs that were started from outside."""
    processes: dict[int, Process] = field(default_factory=dict)
    threads: dict[int, Thread] = field(default_factory=dict)
    channels: dict[Channel, list[Thread]] = field(default_factory=dict)
    spaces_made: int = 0
    messages: list[str] = field(default_factory=list)
    """What the kernel had to say, the first of it."""
    unfinished: tuple[int, int, int] | None = None
    """A turn that a pause cut short: its core, and the instructions left of it and done in it."""
    after_trap: Callable[[Kernel], None] | None = None
    """Called after every trap and every turn; tests put `invariants.check` here."""
    debug: bool = False
    """A bug in a server is a traceback, and not the server's end."""
    idle_cycles: int = 0
    """How long no core had any work."""
    alone: bool = False
    """The current core runs as if nobody waited; whoever becomes ready ends that."""

    def __post_init__(self) -> None:
        self.frames = Frames(self.machine)
        self.objects = Objects(self.frames)
        self.shootdowns = Shootdowns(self.machine, self.pcids)
        self.ipc, self.ready, self.life = Ipc(self), Readiness(self), Life(self)
        self.alarms = Alarms(self)
        self.vases = Vases(self)
        self.traps = Traps(self, self.seats)
        self.kuser_pfn = self.frames.allocate(frames.KERNEL)
        self.machine.memory.write(self.kuser_pfn << 12, TRAMPOLINE)

    @property
    def seats(self) -> list[Seat]:
        return self.shootdowns.seats

    @property
    def seat(self) -> Seat:
        return self.shootdowns.seat

    def now(self) -> int:
        """The current core's clock, in cycles."""
        return self.machine.core.state.cycles

    def run_until(self, reached: Callable[[], bool]) -> None:
        """Run until `reached()` is true after a trap, and stop in the middle of the turn.

        The pause leaves no mark: the rest of the run is what it would have been without.
        """

        def look(kernel: Kernel) -> None:
            kernel.machine.core.pausing = reached()

        before, self.after_trap = self.after_trap, look
        try:
            self.run(reached)
        finally:
            self.after_trap = before

    def run_traps(self, count: int) -> None:
        """Run until `count` more traps were taken, or the first process has ended."""
        last, first = self.traps.taken + count, self.processes[1]
        self.run_until(lambda: self.traps.taken >= last or first.zombie)

    def log(self, text: str) -> None:
        """A line for people, in the trace and among the messages."""
        if len(self.messages) < MAX_MESSAGES:
            self.messages.append(text)
        if self.machine.trace:
            self.machine.trace.emit(LOG, text.encode())

    # The loop -------------------------------------------------------------------------------

    def run(self, until: Callable[[], bool]) -> None:
        """Run the system until `until()` is true or the machine is aborted.

        Raises `Deadlock` if nothing can happen any more.
        """
        while not until() and not self.machine.aborted:
            if self.unfinished is not None:
                self._go_on(*self.unfinished)
                continue
            if self.machine.console.look(self.machine.instructions(), self.now()):
                self.ipc.interrupt("console")
            core = self._next_core()
            if core is None:
                self._idle()
                continue
            self.machine.take_turn(core)
            self._turn(core)
            if self.after_trap:
                self.after_trap(self)

    def _next_core(self) -> Core | None:
        """The core with the lowest clock among those that have something to do."""
        able = [core for core in self.machine.cores if self._can_act(core)]
        if len(able) < 2:
            return able[0] if able else None
        lowest = min(core.state.cycles for core in able)
        first = [core for core in able if core.state.cycles == lowest]
        return first[self.chooser.choose(SCHEDULE, len(first))]

    def _can_act(self, core: Core) -> bool:
        seat = self.seats[core.state.id]
        if self.machine.state.mailboxes[seat.id]:
            return True
        return not seat.waiting and (seat.thread is not None or self.policy.has(seat.id))

    def _turn(self, core: Core) -> None:
        seat = self.seat
        for message in self.machine.take_ipis():
            for released in self.shootdowns.answer(message):
                self.make_ready(released)
        self.alarms.ring()
        if seat.waiting:
            return
        if seat.reschedule:
            self._reschedule(seat)
        thread = seat.thread or self._dispatch(seat, core)
        if thread is None:
            return
        thread.turn_began = (core.state.cycles, core.state.instructions)
        if self._prepare(seat, thread, core):
            self._run_guest(thread, core, self._budget(thread, core))
        elif thread.state == BLOCKED:
            self.policy.sleep(thread)
        if self.unfinished is None:
            self._end_turn(thread, core)

    def _prepare(self, seat: Seat, thread: Thread, core: Core) -> bool:
        """Make `thread` able to run user code; False if it is not on the core any more."""
        while seat.thread is thread:
            if thread.process.stopped and not thread.killed:
                self.block(thread, ("stopped", thread.pid, 0))
                return False
            self._load(seat, thread, core)
            if thread.call is not None:
                if not self.traps.finish(thread, core):
                    return False
            elif thread.registers or thread.result is not None:
                self._set_registers(thread, core)
            elif signals.waiting(thread):
                signals.deliver(self, thread, core)
            else:
                return not seat.waiting
        return False

    def _go_on(self, core_id: int, budget: int, done: int) -> None:
        core = self.machine.cores[core_id]
        self.machine.take_turn(core)
        thread = self.seat.thread
        assert thread is not None
        self.alone = not self.policy.has(core_id)
        self._run_guest(thread, core, budget, done)
        if self.unfinished is None:
            self._end_turn(thread, core)

    def _run_guest(self, thread: Thread, core: Core, budget: int, done: int = 0) -> None:
        """Run user code for up to `budget` instructions, and see to the slice.

        The policy hears of the whole turn at its end, so that a pause, before which `done`
        instructions of it were run, changes nothing.
        """
        seat, was_alone, self.unfinished = self.seat, self.alone, None
        counted = not (self.machine.config.clock == FAST and self._nothing_pending())
        left = core.run(budget, counted=counted)
        thread.rip = core.state.rip
        if not was_alone:
            thread.slice_left -= budget - left
        self.alone = False
        done += budget - left
        if left and not core.leave and not core.aborted:
            self.unfinished = (core.state.id, left, done)
            return
        self._account(thread, done)
        if seat.reschedule:
            self._reschedule(seat)
        elif seat.thread is thread and thread.slice_left <= 0:
            self._end_slice(seat, thread)

    def _account(self, thread: Thread, instructions: int) -> None:
        """The policy hears that `thread` ran before it hears that it sleeps."""
        self.policy.ran(thread, instructions)
        if thread.state == BLOCKED:
            self.policy.sleep(thread)
        if self.policy.moves:
            self._report_moves()

    def _end_turn(self, thread: Thread, core: Core) -> None:
        """Bill `thread` for its turn on `core`, and let its processor-time timers ring."""
        if thread.turn_began is not None:
            thread.cycles += core.state.cycles - thread.turn_began[0]
            thread.instructions += core.state.instructions - thread.turn_began[1]
            thread.turn_began = None
        if thread.process.timers:
            timers.ring(self, thread.process)

    def _report_moves(self) -> None:
        moves, self.policy.moves = self.policy.moves, []
        if self.machine.trace:
            for move in moves:
                self.machine.trace.emit(LEVEL, *move)

    def _nothing_pending(self) -> bool:
        """Fast clock: may the guest run uncounted?"""
        running = [seat.thread.process for seat in self.seats if seat.thread]
        busy = len(running) + any(process.timers for process in running)
        return (
            busy == 1
            and not self.policy
            and self.alarms.next() is None
            and not self.machine.console.is_live
        )

    def _budget(self, thread: Thread, core: Core) -> int:
        """Instructions until the end of the slice, of the turn, or until the next alarm."""
        budget = TURN_INSTRUCTIONS if self._cores_take_turns() else ALONE_INSTRUCTIONS
        self.alone = not self.policy.has(core.state.id)
        if not self.alone:
            budget = min(budget, max(1, thread.slice_left))
        alarm = self.alarms.next()
        if alarm is not None:
            budget = min(budget, max(1, alarm - core.state.cycles))
        if thread.process.timers:
            budget = min(budget, timers.cycles_left(self, thread.process))
        return budget

    def _cores_take_turns(self) -> bool:
        if len(self.seats) == 1:
            return False
        return bool(self.policy) or sum(1 for s in self.seats if s.thread or s.waiting) > 1

    def _idle(self) -> None:
        """No core has work: let time pass until the next alarm, or wait for input."""
        deadline = self.alarms.next()
        arrived = self.machine.console.wait(self.machine.instructions(), self.now(), deadline)
        if arrived is not None:
            self._let_time_pass(arrived)
            self.ipc.interrupt("console")
        elif deadline is not None:
            self._let_time_pass(deadline)
            self.alarms.ring()
        else:
            waiting = ", ".join(f"{t.tid} in {t.channel}" for t in self.threads.values())
            raise Deadlock(f"every thread waits and nothing can wake one: {waiting}")

    def _let_time_pass(self, until: int) -> None:
        self.idle_cycles += max(0, until - self.now())
        for core in self.machine.cores:
            core.state.cycles = max(core.state.cycles, until)

    # Threads and cores --------------------------------------------------------------------------

    def _dispatch(self, seat: Seat, core: Core) -> Thread | None:
        thread = self.policy.pick(seat.id)
        if thread is None:
            return None
        core.charge(costs.SCHEDULE_PICK)
        core.state.cycles = max(core.state.cycles, thread.ready_at)
        if thread.slice_left <= 0:
            thread.slice_left = slice_length(self.chooser, self.policy.slice(thread))
        thread.state = RUNNING
        seat.thread = thread
        if self.machine.trace:
            waited, rank = core.state.cycles - thread.ready_at, self.policy.rank(thread)
            self.machine.trace.emit(PICK, thread.tid, waited, len(self.policy), rank)
        return thread

    def _load(self, seat: Seat, thread: Thread, core: Core) -> None:
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

    def _set_registers(self, thread: Thread, core: Core) -> None:
        if thread.registers:
            core.set_registers(thread.registers)
            thread.registers = {}
        if thread.result is not None:
            core.finish_syscall(thread.result)
            thread.result = None

    def _end_slice(self, seat: Seat, thread: Thread) -> None:
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
        seat.thread = None
        thread.pre_empted += 1
        self._enqueue(thread)
        # END SOLUTION lab4.account
        # PROMPT lab4.account: empty the seat, count it for getrusage, and line up again.

    def _reschedule(self, seat: Seat) -> None:
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

    def make_ready(self, thread: Thread) -> None:
        """`thread` is new or was woken, and may run."""
        self._enqueue(thread)
        if self.policy.preemptive and not self.seat.waiting:
            self._pre_empt_for(thread)

    def _enqueue(self, thread: Thread) -> None:
        seat, thread.state = self.seat, READY
        if seat.waiting:
            seat.held_back.append(thread)
            return
        thread.ready_at = self.now()
        self.policy.enqueue(thread)
        if self.alone:
            self.alone = False
            self.machine.core.leave = True

    def _pre_empt_for(self, thread: Thread) -> None:
        """A core that runs somebody who matters less is made free, unless one is free already."""
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
            self.machine.charge(costs.IPI_SEND)

    def set_scheduling(self, thread: Thread, wanted: Scheduling) -> None:
        """From now on `thread` is scheduled by these rules; it leaves a core that they forbid."""
        thread.scheduling = wanted
        self.policy.pinned |= wanted.affinity != -1
        self.policy.reweigh(thread)
        for seat in self.seats:
            if seat.thread is thread and not wanted.affinity >> seat.id & 1:
                self._interrupt_core(seat)

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
        self.make_ready(thread)

    def _leave_channel(self, thread: Thread) -> None:
        assert thread.channel is not None
        sleepers = self.channels[thread.channel]
        sleepers.remove(thread)
        if not sleepers:
            del self.channels[thread.channel]
        thread.channel = None

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
                seat.thread = None
                self.machine.cores[seat.id].leave = True

    # Spaces ---------------------------------------------------------------------------------

    def new_space_id(self) -> int:
        self.spaces_made += 1
        return self.spaces_made

    def for_space(self, *, runs: bool = True) -> tuple[int, Objects, Shootdowns, int]:
        """What every address space is made of; none `runs` that only views show."""
        self.frames.reserve(TABLES_OF_A_SPACE)
        self.machine.charge(costs.RECORD_CREATE)
        kuser_pfn = self.kuser_pfn if runs else 0
        return self.new_space_id(), self.objects, self.shootdowns, kuser_pfn

    def new_space(self, *, runs: bool = True) -> AddressSpace:
        """An empty address space.  Raises ENOMEM."""
        return AddressSpace(*self.for_space(runs=runs))

    def show(self, thread: Thread) -> None:
        """The thread's view has changed; if it is on the current core, so must CR3."""
        if thread.loaded_on == self.machine.core.state.id:
            self.shootdowns.load(thread.space)

    def retire_space(self, space: AddressSpace) -> None:
        """The last thread has left `space`."""
        for seat in self.seats:
            if seat.space is space:
                seat.space = None
        self.shootdowns.forget_tag(space)
        space.destroy()

    def out_of_memory(self, thread: Thread) -> None:
        """There is no frame for a page that the program may use: it is killed, as on Linux."""
        self.log(f"out of memory: process {thread.pid} ({thread.process.name}) is killed")
        signals.send(self, thread.process, Signal(SIGKILL, signals.SI_KERNEL))
