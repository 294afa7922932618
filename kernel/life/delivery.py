"""How a thread takes a signal: it dies, stops, or enters a handler and returns from it.

This stands above `kernel.life` because a signal may end the process, and above `kernel.vas` because
a handler returns to the view that the signal found.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from hw import jumps, trace
from hw.cpu import DEBUG, FPU, PAGE_FAULT, SIMD, SYSCALL_BYTES, Core
from hw.paging import READ
from kernel.abi.errno import KernelError
from kernel.life import sigframe
from kernel.life.life import Life
from kernel.life.sigframe import SIGSYS, SYS_USER_DISPATCH, Return
from kernel.log import Log
from kernel.sched.tasks import Tasks
from kernel.task.process import Process, Signal, SignalAction, Thread
from kernel.vas import bare, gate, visit
from kernel.vas.view import place_of
from kernel.wait import jobs, signals, timers
from kernel.wait.signals import (
    CLD_STOPPED,
    HANDLES,
    IGNORES,
    KILLS,
    SA_NODEFER,
    SA_RESETHAND,
    SIGKILL,
    SIGSEGV,
    SIGSTOP,
    STOPS,
    UNBLOCKABLE,
)

SIGNAL = trace.declare(
    "signal",
    "pid:Q tid:Q number:B action:B address:Q",
    "Delivered: action 0 kills, 1 is ignored, 2 calls the handler, 3 stops.",
)


def answer_for(
    life: Life, log: Log, thread: Thread, core: Core, vector: int, *, error: int, va: int
) -> None:
    """The program must answer for an exception: it gets the signal that stands for it."""
    cause = core.cause(vector) if vector in (DEBUG, FPU, SIMD) else 0
    rip = core.state.rip
    thread.process.exception = (vector, error, rip, va)
    signal = signals.of_exception(thread, vector, error, va, rip, cause=cause)
    if thread.space.gated:
        signal = _of_gate(life, thread, core, signal)
    signals.force(thread, signal)
    wild = jumps.is_wild(vector, error, rip) and not thread.space.gated
    if signals.next_action(thread) is None:
        if wild:
            _tell_of_jump(log, thread, core)
        if thread.space.alone and vector == PAGE_FAULT and not thread.space.gated:
            why = bare.explain(thread, core.registers()["rsp"], va, error)
            log.say(f"process {thread.pid} ({thread.process.name}) ends: {why}")


def _tell_of_jump(log: Log, thread: Thread, core: Core) -> None:
    """The program ends because it jumped to nowhere: name what jumped."""
    registers = core.registers()
    how = jumps.explain(registers, lambda va, size: core.peek(va, size, READ))
    log.say(
        f"process {thread.pid} ({thread.process.name}) ran into {registers['rip']:#x}, "
        f"where nothing may run: {how}"
    )


def call_trapped(thread: Thread, core: Core, number: int) -> None:
    """A system call where calls are signals: SIGSYS, as by syscall user dispatch (prctl(2)).

    The thread goes on behind the SYSCALL instruction with the number in RAX, as it was.
    """
    behind, signed = core.state.rip + SYSCALL_BYTES, (number & 0xFFFF_FFFF ^ 1 << 31) - (1 << 31)
    signals.force(thread, Signal(SIGSYS, SYS_USER_DISPATCH, address=behind, value=signed))
    thread.result = number
    core.leave = True


def _of_gate(life: Life, thread: Thread, core: Core, signal: Signal) -> Signal:
    """A gate has faulted: the thread takes the signal at home, and learns nothing but its number.

    Where the thread cannot go home, the signal kills.
    """
    if not gate.abort(life.vases, thread, core):
        thread.process.actions[signal.number] = SignalAction()
    return Signal(signal.number, signals.SI_KERNEL)


def deliver(life: Life, thread: Thread, core: Core) -> None:
    """Take the next signal of the thread that `core` holds: ignore it, die, or call the handler."""
    numbers = signals.open_to(thread)
    signal = None if thread.killed else timers.take(life.alarms, thread, numbers)
    if signal is None:
        life.exit_thread(thread, SIGKILL)
        return
    action = thread.process.actions.get(signal.number, SignalAction())
    kind = signals.what_happens(thread.process, signal.number, action)
    if (
        kind == STOPS
        and signal.number != SIGSTOP
        and jobs.is_orphaned(life.tasks, thread.process.group)
    ):
        kind = IGNORES  # no process could continue it
    if life.machine.trace:
        life.machine.trace.emit(SIGNAL, thread.pid, thread.tid, signal.number, kind, signal.address)
    if kind == STOPS:
        _stop(life.tasks, thread.process, signal.number)
    elif kind == KILLS:
        life.exit_process(thread.process, signal.number)
    elif kind == HANDLES:
        _handle(life, thread, core, signal, action)


def _handle(life: Life, thread: Thread, core: Core, signal: Signal, action: SignalAction) -> None:
    mask = thread.mask if thread.saved_mask is None else thread.saved_mask
    if action.flags & SA_RESETHAND:
        thread.process.actions[signal.number] = replace(action, handler=signals.SIG_DFL)
    found, stack = place_of(thread.space), thread.alternate_stack
    switches = sigframe.changes_stack(thread, core, action)
    try:
        if switches and stack.place is not None:
            visit.enter(life.vases, thread, stack.place)
        sigframe.push(thread, core, signal, action, Return(mask, found, switches))
    except KernelError:
        with suppress(KernelError):
            visit.go_back(life.vases, thread, *found)
        if signal.number == SIGSEGV:
            life.exit_process(thread.process, SIGSEGV)
        else:
            answer_for_frame(thread)
        return
    thread.saved_mask = None
    thread.mask |= action.mask & ~UNBLOCKABLE
    if not action.flags & SA_NODEFER:
        thread.mask |= 1 << signal.number - 1


def answer_for_frame(thread: Thread) -> None:
    """The program's stack cannot hold a signal frame, or held a bad one: SIGSEGV."""
    signals.force(thread, Signal(SIGSEGV, signals.SI_KERNEL))


def sigreturn(life: Life, thread: Thread, core: Core) -> None:
    """The handler is done: the thread is again what it was before it.

    If it ran in another view than the signal found, or left that, the thread goes back there.
    Raises EFAULT, EINVAL if the VAS is not attached any more or has a gate (frames can be forged),
    `Blocked`.
    """
    frame = sigframe.read(thread, core)
    visit.go_back(life.vases, thread, *frame.place)
    sigframe.restore(core, frame)
    signals.set_mask(life.tasks, thread, frame.mask)
    with suppress(KernelError):  # as on Linux, only an unreadable frame is an error
        stack = replace(frame.stack, place=_place_again(life, thread, frame.stack_vid))
        sigframe.set_alternate_stack(thread, stack, frame.registers["rsp"])


def _place_again(life: Life, thread: Thread, vid: int) -> tuple[int, int] | None:
    """Where the alternate stack of a frame is, if it says so and can be there."""
    known = thread.alternate_stack.place
    if vid >= 0 and known is not None and known[0] == vid:
        return known
    with suppress(KernelError):
        return visit.place(life.vases, thread, vid) if vid >= 0 else None
    return None


def _stop(tasks: Tasks, process: Process, number: int) -> None:
    """No thread of the process runs user code until SIGCONT."""
    process.stopped, process.stop_is_news = number, True
    process.continue_is_news = False
    signals.tell_parent(tasks, process, CLD_STOPPED, number)
