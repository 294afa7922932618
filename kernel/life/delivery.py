"""How a thread takes a signal: it dies, stops, or enters a handler and returns from it.

This stands above `kernel.life` because a signal may end the process, and above `kernel.vas` because
a handler returns to the view that the signal found.
"""

from __future__ import annotations

from hw import trace
from hw.cpu import FPU, SIMD, Core
from kernel.abi.errno import KernelError
from kernel.life import sigframe
from kernel.life.life import Life
from kernel.log import Log
from kernel.sched.tasks import Tasks
from kernel.task.process import Process, Signal, SignalAction, Thread
from kernel.wait import jobs, signals
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


def answer_for(thread: Thread, core: Core, vector: int, error: int, va: int) -> None:
    """The program must answer for an exception: it gets the signal that stands for it."""
    floats = core.pending_float_exceptions(vector) if vector in (FPU, SIMD) else 0
    rip = core.state.rip
    signals.force(thread, signals.of_exception(thread, vector, error, va, rip, floats=floats))


def deliver(life: Life, thread: Thread, core: Core) -> None:
    """Take the next signal of the thread that `core` holds: ignore it, die, or call the handler."""
    signal = None if thread.killed else signals.take(thread, ~thread.mask)
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
        kind = IGNORES  # nobody could continue it
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
    try:
        sigframe.push(thread, core, signal, action, mask)
    except KernelError:
        life.exit_process(thread.process, SIGSEGV)
        return
    thread.saved_mask = None
    thread.mask |= action.mask & ~UNBLOCKABLE
    if not action.flags & SA_NODEFER:
        thread.mask |= 1 << signal.number - 1
    if action.flags & SA_RESETHAND:
        thread.process.actions[signal.number] = SignalAction()


def sigreturn(life: Life, thread: Thread, core: Core) -> None:
    """The handler is done: the thread is again what it was before it.

    It ran in the view that the signal found; if it left that, the thread goes back there.
    Raises EFAULT, EINVAL if the VAS is not attached any more or has a registered entry (frames can
    be forged), `Blocked`.
    """
    frame = sigframe.read(thread, core)
    if frame.vid != thread.space.vid:
        life.vases.go_back(thread, frame.vid)
    sigframe.restore(core, frame)
    signals.set_mask(life.tasks, thread, frame.mask)


def _stop(tasks: Tasks, process: Process, number: int) -> None:
    """No thread of the process runs user code until SIGCONT."""
    process.stopped, process.stop_is_news = number, True
    process.continue_is_news = False
    signals.tell_parent(tasks, process, CLD_STOPPED, number)


def out_of_memory(tasks: Tasks, log: Log, thread: Thread) -> None:
    """There is no frame for a page that the program may use: it is killed, as on Linux."""
    log.say(f"out of memory: process {thread.pid} ({thread.process.name}) is killed")
    signals.send(tasks, thread.process, Signal(SIGKILL, signals.SI_KERNEL))
