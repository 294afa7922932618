"""The loop that gives cores their turns.

The core with the lowest clock takes its interrupts, finishes a call that its thread was in,
delivers a signal, and runs user code until the slice ends or a trap leaves the guest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hw import trace
from hw.cpu import Core
from hw.machine import FAST
from kernel import deadlock, resume
from kernel.choose import SCHEDULE, SLICE
from kernel.kernel import Kernel, Turn
from kernel.sched import usage
from kernel.task.process import BLOCKED, Thread
from kernel.wait import ringing, timers

TURN_INSTRUCTIONS = 4_000
"""How long a core runs before another one, whose clock is behind, gets its turn: on average.  The
seed decides from half of it to one and a half, or every seed would show the same interleaving."""
ALONE_INSTRUCTIONS = 2_000_000
"""The same where no other thread waits for a core."""
LIVE_INSTRUCTIONS = 100_000
"""The same while somebody may type: a Ctrl-C is noticed between two turns, and a program that does
nothing but call the system traps every few instructions."""

LEVEL = trace.declare(
    "level", "tid:Q before:B after:B", "The feedback queue moves a thread; level 0 runs first."
)


class Deadlock(Exception):
    """Every thread waits, and nothing is left that could wake one."""


def run(kernel: Kernel, until: Callable[[], bool]) -> None:
    """Run the system until `until()` is true or the machine is aborted.

    Raises `Deadlock` if nothing can happen any more.
    """
    machine = kernel.machine
    while not until() and not machine.aborted:
        if kernel.unfinished is not None:
            _go_on(kernel, kernel.unfinished)
            continue
        _listen(kernel)
        core = _next_core(kernel)
        if core is None:
            _idle(kernel)
            continue
        machine.take_turn(core)
        _turn(kernel, core)
        if kernel.after_trap:
            kernel.after_trap(kernel)


def _next_core(kernel: Kernel) -> Core | None:
    """The core with the lowest clock among those that have something to do."""
    able = [core for core in kernel.machine.cores if _can_act(kernel, core)]
    if len(able) < 2:
        return able[0] if able else None
    lowest = min(core.state.cycles for core in able)
    first = [core for core in able if core.state.cycles == lowest]
    return first[kernel.chooser.choose(SCHEDULE, len(first))]


def _can_act(kernel: Kernel, core: Core) -> bool:
    number, tasks = core.state.id, kernel.tasks
    if kernel.machine.state.mailboxes[number]:
        return True
    if tasks.shootdowns.cores[number].waiting:
        return False
    return tasks.seats[number].thread is not None or tasks.policy.has(number)


def _turn(kernel: Kernel, core: Core) -> None:
    tasks, tlb = kernel.tasks, kernel.memory.shootdowns.cores[core.state.id]
    seat = tasks.seats[core.state.id]
    for message in kernel.machine.take_ipis():
        tasks.shootdowns.answer(message)
    ringing.ring(kernel.alarms, kernel.ready)
    if tlb.waiting:
        return
    if seat.reschedule:
        tasks.reschedule(seat)
    thread = seat.thread or tasks.dispatch(seat, core)
    if thread is None:
        return
    thread.turn_began = usage.meter(tasks)
    if resume.prepare(kernel, seat, thread, core):
        _run_guest(kernel, thread, core, _plan(kernel, thread, core))
    elif thread.state == BLOCKED:
        tasks.policy.sleep(thread)
    if kernel.unfinished is None:
        _end_turn(kernel, thread)


def _plan(kernel: Kernel, thread: Thread, core: Core) -> Turn:
    """How far the core may run: to the end of the slice, of the turn, or to the next alarm."""
    budget = LIVE_INSTRUCTIONS if kernel.machine.console.is_live else ALONE_INSTRUCTIONS
    if _cores_take_turns(kernel):
        varied = kernel.chooser.choose(SLICE, TURN_INSTRUCTIONS)
        budget = max(1, TURN_INSTRUCTIONS // 2 + varied)
    alone = not kernel.tasks.policy.has(core.state.id)
    if not alone:
        budget = min(budget, max(1, thread.slice_left))
    alarm = kernel.alarms.next()
    if alarm is not None:
        budget = min(budget, max(1, alarm - core.state.cycles))
    if thread.process.timers:
        budget = min(budget, timers.cycles_left(kernel.tasks, thread.process))
    return Turn(core.state.id, budget, alone)


def _cores_take_turns(kernel: Kernel) -> bool:
    tasks, tlbs = kernel.tasks, kernel.memory.shootdowns.cores
    if len(tlbs) == 1:
        return False
    busy = sum(1 for s in tasks.seats if s.thread or tlbs[s.id].waiting)
    return bool(tasks.policy) or busy > 1


def _run_guest(kernel: Kernel, thread: Thread, core: Core, turn: Turn) -> None:
    """Run user code as the turn says, and see to the slice.

    The policy hears of the whole turn at its end, so that a pause changes nothing.
    """
    tasks, seat = kernel.tasks, kernel.tasks.seats[turn.core]
    kernel.unfinished, tasks.alone = None, turn.alone
    counted = not (kernel.machine.config.clock == FAST and _nothing_pending(kernel))
    left = core.run(turn.budget, counted=counted)
    tasks.alone = False
    thread.rip = core.state.rip
    ran = turn.budget - left
    if not turn.alone:
        thread.slice_left -= ran
    if left and not core.leave and not core.aborted:
        kernel.unfinished = replace(turn, budget=left, done=turn.done + ran)
        return
    _account(kernel, thread, turn.done + ran)
    if seat.reschedule:
        tasks.reschedule(seat)
    elif seat.thread is thread and thread.slice_left <= 0:
        tasks.end_slice(seat, thread)


def _nothing_pending(kernel: Kernel) -> bool:
    """Fast clock: may the guest run uncounted?"""
    running = [seat.thread.process for seat in kernel.tasks.seats if seat.thread]
    busy = len(running) + any(process.timers for process in running)
    return (
        busy == 1
        and not kernel.tasks.policy
        and kernel.alarms.next() is None
        and not kernel.machine.console.is_live
    )


def _account(kernel: Kernel, thread: Thread, instructions: int) -> None:
    """The policy hears that `thread` ran before it hears that it sleeps."""
    policy = kernel.tasks.policy
    policy.ran(thread, instructions)
    if thread.state == BLOCKED:
        policy.sleep(thread)
    if policy.moves:
        moves, policy.moves = policy.moves, []
        if kernel.machine.trace:
            for move in moves:
                kernel.machine.trace.emit(LEVEL, *move)


def _end_turn(kernel: Kernel, thread: Thread) -> None:
    """Bill `thread` for its turn, and let its processor-time timers ring."""
    usage.end_turn(kernel.tasks, thread)
    if thread.process.timers:
        timers.ring(kernel.alarms, thread.process)


# Pausing ----------------------------------------------------------------------------------


def run_until(kernel: Kernel, reached: Callable[[], bool]) -> None:
    """Run until `reached()` is true after a trap, and stop in the middle of the turn.

    The pause leaves no mark: the rest of the run is what it would have been without.
    """

    def look(kernel: Kernel) -> None:
        kernel.machine.core.pausing = reached()

    before, kernel.after_trap = kernel.after_trap, look
    try:
        run(kernel, reached)
    finally:
        kernel.after_trap = before


def run_traps(kernel: Kernel, count: int) -> None:
    """Run until `count` more traps were taken, or the first process has ended."""
    last, main = kernel.taken + count, kernel.tasks.processes.get(kernel.life.main)
    run_until(kernel, lambda: kernel.taken >= last or main is None or main.zombie)


def _go_on(kernel: Kernel, turn: Turn) -> None:
    """Finish a turn that a pause cut short, at once if a signal was sent in the pause."""
    core = kernel.machine.cores[turn.core]
    if core.leave:
        turn = replace(turn, budget=0)
    kernel.machine.take_turn(core)
    thread = kernel.tasks.seat.thread
    assert thread is not None
    _run_guest(kernel, thread, core, turn)
    if kernel.unfinished is None:
        _end_turn(kernel, thread)


# Time -------------------------------------------------------------------------------------


def _listen(kernel: Kernel) -> None:
    """Input may have arrived for the console."""
    if kernel.machine.console.look(kernel.machine.moment):
        kernel.ipc.interrupt("console")


def _idle(kernel: Kernel) -> None:
    """No core has work: let time pass until the next alarm, or wait for input."""
    deadline = kernel.alarms.next()
    arrived = kernel.machine.console.wait(*kernel.machine.moment(), deadline)
    if arrived is not None:
        _let_time_pass(kernel, arrived)
        kernel.ipc.interrupt("console")
    elif deadline is not None:
        _let_time_pass(kernel, deadline)
        ringing.ring(kernel.alarms, kernel.ready)
    else:
        raise Deadlock(deadlock.why(kernel))


def _let_time_pass(kernel: Kernel, until: int) -> None:
    kernel.idle_cycles += max(0, until - kernel.tasks.now())
    for core in kernel.machine.cores:
        core.state.cycles = max(core.state.cycles, until)
