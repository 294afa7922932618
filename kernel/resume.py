"""The way back to user code: a thread finishes its call, takes its signals, and goes on.

A call that cannot finish leaves its thread blocked with the call remembered.  When the thread is
woken and gets a core, the call is executed again from the start.
"""

from __future__ import annotations

from hw import trace
from hw.cpu import LEAVE, Core
from kernel.abi.errno import Blocked, E
from kernel.calls import SYSCALL, execute
from kernel.kernel import Kernel
from kernel.life import delivery
from kernel.sched.tasks import Seat
from kernel.syscalls import TABLE
from kernel.task.process import DEAD, Call, Thread
from kernel.wait import signals
from kernel.wait.signals import SA_RESTART

WAIT = trace.declare(
    "wait", "tid:Q number:H channel:s", "The call cannot finish yet: its thread sleeps."
)
STOP = trace.declare(
    "stop", "tid:Q", "The process is stopped: its thread sleeps until SIGCONT or SIGKILL."
)


def prepare(kernel: Kernel, seat: Seat, thread: Thread, core: Core) -> bool:
    """Make `thread` able to run user code; False if it is not on the core any more."""
    while seat.thread is thread:
        if thread.process.stopped and not thread.killed:
            if kernel.machine.trace:
                kernel.machine.trace.emit(STOP, thread.tid)
            kernel.tasks.block(thread, ("stopped", thread.pid, 0))
            return False
        kernel.tasks.load(seat, thread, core)
        if thread.call is not None:
            if not finish(kernel, thread, core):
                return False
        elif thread.registers or thread.result is not None:
            _set_registers(thread, core)
        elif signals.waiting(thread):
            delivery.deliver(kernel.life, thread, core)
        else:
            return not kernel.memory.shootdowns.cores[seat.id].waiting
    return False


def _set_registers(thread: Thread, core: Core) -> None:
    if thread.registers:
        core.set_registers(thread.registers)
        thread.registers = {}
    if thread.result is not None:
        core.finish_syscall(thread.result)
        thread.result = None


def finish(kernel: Kernel, thread: Thread, core: Core) -> bool:
    """Execute the call that `thread` is in again; False if it has to wait once more.

    The thread's context is on `core`, which stands still.
    """
    call = thread.call
    assert call is not None
    thread.call_number, thread.call_arguments, call.used = call.number, call.arguments, 0
    try:
        result = execute(kernel, TABLE[call.number], thread, call.arguments)
    except Blocked as blocked:
        may_end = blocked.interruptible or thread.killed
        if not (call.interrupted and may_end and signals.waiting(thread)):
            call.interrupted = False
            block(kernel, thread, blocked, core)
            return call.interrupted
        _ask_anew(call, blocked)
        _interrupt(kernel, thread, core, call)
        return True
    if result is not None:
        core.finish_syscall(result)
    return True


def block(kernel: Kernel, thread: Thread, blocked: Blocked, core: Core) -> None:
    """Let the thread sleep, unless there is a signal that would end its sleep at once."""
    call = thread.current_call()
    _ask_anew(call, blocked)
    if (blocked.interruptible or thread.killed) and signals.waiting(thread):
        call.interrupted = core.leave = True
        return
    if kernel.machine.trace:
        where = ":".join(map(str, blocked.channel)).encode()
        kernel.machine.trace.emit(WAIT, thread.tid, call.number, where)
    _sleep(kernel, thread, blocked)


def _sleep(kernel: Kernel, thread: Thread, blocked: Blocked) -> None:
    """Until the channel is woken.  Who waits to hear of that hears of it."""
    kernel.tasks.block(thread, blocked.channel)
    if blocked.tells is not None:
        kernel.ipc.ready.changed(*blocked.tells)


def wait_for_page(kernel: Kernel, thread: Thread, blocked: Blocked) -> int:
    """The access is tried again when a program has filled the page, or after a signal."""
    if not signals.waiting(thread):
        _sleep(kernel, thread, blocked)
    return LEAVE


def _interrupt(kernel: Kernel, thread: Thread, core: Core, call: Call) -> None:
    """A signal ends the wait: EINTR, what was moved so far, or the call starts anew.

    If no handler will be called, the call goes on where it was when the signal has been
    taken (which may mean that the process stops, and continues much later).
    """
    action = signals.next_action(thread)
    call.interrupted = False
    if action is None:
        delivery.deliver(kernel.life, thread, core)
        if not TABLE[call.number].ended_by_stop or thread.state == DEAD:
            return
        thread.return_mask()
    kernel.ipc.cancel(thread, call)
    thread.call = None
    restarts = action is not None and action.flags & SA_RESTART
    moved = call.messages or call.done
    if not moved and restarts and _may_restart(kernel, call):
        return
    result = moved or -E.INTR
    if kernel.machine.trace:
        rip = core.state.rip
        kernel.machine.trace.emit(
            SYSCALL, thread.tid, call.number, *call.arguments, result, b"", rip
        )
    core.finish_syscall(result)


def _may_restart(kernel: Kernel, call: Call) -> bool:
    """Not if a program has taken the call's message already: it would come twice."""
    row = TABLE[call.number]
    restarts = row.restarts and (row.restarts_timed or call.deadline is None)
    return restarts and call.message not in kernel.ipc.received


def _ask_anew(call: Call, blocked: Blocked) -> None:
    """What servers answered is old when the call is executed again, unless it waits for one."""
    if blocked.channel[0] != "reply":
        call.replies.clear()
