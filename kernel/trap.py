"""Traps: from ring 3 to the handler that serves them, and back.

A call that cannot finish now leaves its thread blocked with the call remembered; when the
thread is woken and gets a core, the call is executed again from the start (`finish`).
"""

from __future__ import annotations

from dataclasses import dataclass

from hw import costs, trace
from hw.cpu import LEAVE, REFUSE, RESUME, Core
from kernel.abi.errno import Blocked, E, KernelError
from kernel.kernel import Kernel
from kernel.life import delivery
from kernel.syscalls import TABLE, SystemCall
from kernel.syscalls.linux import NAMES
from kernel.task.process import DEAD, Call, Registers, Thread
from kernel.wait import signals
from kernel.wait.signals import SA_RESTART

SYSCALL = trace.declare(
    "syscall",
    "tid:Q number:H a:Q b:Q c:Q d:Q e:Q f:Q result:q strings:s rip:Q",
    "A system call ended; `strings` are its string arguments, each with a NUL; `rip` is where "
    "its SYSCALL instruction is.",
)
WAIT = trace.declare(
    "wait", "tid:Q number:H channel:s", "The call cannot finish yet: its thread sleeps."
)
FAULT = trace.declare(
    "fault",
    "tid:Q page:Q error:B outcome:B",
    "A page fault; outcome 0 resolved, 1 resolved after a pause, 2 refused.",
)
EXCEPTION = trace.declare(
    "exception", "tid:Q vector:B error:H rip:Q va:Q", "The program must answer for it."
)

MAX_UNKNOWN = 512
"""So many unknown numbers are logged; a program could make up any number of them."""
NO_RESTART = frozenset((7, 23, 34, 35, 128, 130, 230, 232, 270, 271, 281, 441))
"""The polls, selects and epoll_waits, pause, nanosleep, rt_sigtimedwait, rt_sigsuspend and
clock_nanosleep end with EINTR even under SA_RESTART (signal(7)); so do futex with a time limit,
and a call whose message a program has taken already."""
FUTEX = 202
PROBED = frozenset((334, 435))
"""rseq and clone3: C libraries try them first and do without, which is nothing to report."""
ENDED_BY_STOP = frozenset((128, 232, 281, 441))
"""rt_sigtimedwait and the epoll_waits end with EINTR when they are stopped and continued, though
no handler was called; every other call goes on (signal(7))."""


@dataclass(slots=True)
class Traps:
    """The kernel's vectors: what the machine calls when a core leaves user code."""

    kernel: Kernel

    def syscall(
        self, core: Core, number: int, a: int, b: int, c: int, d: int, e: int, f: int
    ) -> int | None:
        """The result for RAX; None: the thread gets it later, or goes on elsewhere."""
        kernel = self.kernel
        thread = _running(kernel, core)
        row = TABLE.get(number)
        if row is None:
            return _unknown(kernel, number)
        thread.call_number, thread.call_arguments = number, (a, b, c, d, e, f)
        if row.stops_guest:
            thread.current_call()
            return None
        try:
            result = _execute(kernel, row, thread, thread.call_arguments)
        except Blocked as blocked:
            _block(kernel, thread, blocked, core)
            result = None
        if kernel.after_trap:
            kernel.after_trap(kernel)
        return result

    def page_fault(self, core: Core, page: int, error: int) -> int:
        """What the core does about it: RESUME, REFUSE or LEAVE."""
        kernel = self.kernel
        thread, machine = _running(kernel, core), kernel.machine
        machine.charge(costs.REGION_FIND)
        try:
            answer = RESUME if thread.space.fault(page, error) else REFUSE
        except KernelError:
            delivery.out_of_memory(kernel.tasks, kernel.log, thread)
            answer = LEAVE
        if core.leave and answer == RESUME:
            answer = LEAVE
        if machine.trace:
            machine.trace.emit(FAULT, thread.tid, page, error, answer)
        if kernel.after_trap:
            kernel.after_trap(kernel)
        return answer

    def exception(self, core: Core, vector: int, error: int, va: int) -> None:
        """The thread gets the signal that stands for the exception."""
        kernel = self.kernel
        thread, rip = kernel.tasks.seats[core.state.id].thread, core.state.rip
        assert thread is not None
        if kernel.machine.trace:
            kernel.machine.trace.emit(EXCEPTION, thread.tid, vector, error, rip, va)
        signals.force(thread, signals.of_exception(thread, vector, error, va, rip))
        core.leave = True


def _running(kernel: Kernel, core: Core) -> Thread:
    """The thread that trapped on `core`."""
    thread = kernel.tasks.seats[core.state.id].thread
    assert thread is not None
    kernel.taken += 1
    return thread


# Calls ------------------------------------------------------------------------------------------


def finish(kernel: Kernel, thread: Thread, core: Core) -> bool:
    """Execute the call that `thread` is in again; False if it has to wait once more.

    The thread's context is on `core`, which stands still.
    """
    call = thread.call
    assert call is not None
    thread.call_number, thread.call_arguments, call.used = call.number, call.arguments, 0
    try:
        result = _execute(kernel, TABLE[call.number], thread, call.arguments)
    except Blocked as blocked:
        may_end = blocked.interruptible or thread.killed
        if not (call.interrupted and may_end and signals.waiting(thread)):
            call.interrupted = False
            _block(kernel, thread, blocked, core)
            return call.interrupted
        _ask_anew(call, blocked)
        _interrupt(kernel, thread, core, call)
        return True
    if result is not None:
        core.finish_syscall(result)
    return True


def _execute(kernel: Kernel, row: SystemCall, thread: Thread, arguments: Registers) -> int | None:
    """Call the handler; None: there is no result to give.  Raises `Blocked`."""
    port = kernel.machine.trace
    strings = _strings(row, thread, arguments) if port and row.has_strings else b""
    result: int | None
    try:
        result = row.invoke(kernel, thread, *arguments)
    except KernelError as error:
        result = -error.number
    thread.call = None
    if result is None:
        return None
    if thread.saved_mask is not None:
        signals.return_mask(thread)
    if port:
        rip = kernel.machine.core.state.rip
        port.emit(SYSCALL, thread.tid, row.number, *arguments, result, strings, rip)
    return result


def _block(kernel: Kernel, thread: Thread, blocked: Blocked, core: Core) -> None:
    """Let the thread sleep, unless there is a signal that would end its sleep at once."""
    call = thread.current_call()
    _ask_anew(call, blocked)
    if (blocked.interruptible or thread.killed) and signals.waiting(thread):
        call.interrupted = core.leave = True
        return
    if kernel.machine.trace:
        where = ":".join(map(str, blocked.channel)).encode()
        kernel.machine.trace.emit(WAIT, thread.tid, call.number, where)
    kernel.tasks.block(thread, blocked.channel)


def _interrupt(kernel: Kernel, thread: Thread, core: Core, call: Call) -> None:
    """A signal ends the wait: EINTR, what was moved so far, or the call starts anew.

    If no handler will be called, the call goes on where it was when the signal has been
    taken (which may mean that the process stops, and continues much later).
    """
    action = signals.next_action(thread)
    call.interrupted = False
    if action is None:
        delivery.deliver(kernel.life, thread, core)
        if call.number not in ENDED_BY_STOP or thread.state == DEAD:
            return
        signals.return_mask(thread)
    kernel.ipc.cancel(thread, call)
    thread.call = None
    restarts = action is not None and action.flags & SA_RESTART
    if not call.done and restarts and _may_restart(kernel, call):
        return
    result = call.done or -E.INTR
    if kernel.machine.trace:
        rip = core.state.rip
        kernel.machine.trace.emit(
            SYSCALL, thread.tid, call.number, *call.arguments, result, b"", rip
        )
    core.finish_syscall(result)


def _may_restart(kernel: Kernel, call: Call) -> bool:
    if call.number == FUTEX and call.deadline is not None:
        return False
    return call.number not in NO_RESTART and call.message not in kernel.ipc.received


def _unknown(kernel: Kernel, number: int) -> int:
    """ENOSYS, which is logged once for each number."""
    unknown = kernel.unknown
    if number not in PROBED and number not in unknown and len(unknown) < MAX_UNKNOWN:
        unknown.append(number)
        name = f"{NAMES[number]} ({number})" if number in NAMES else str(number)
        kernel.log.say(f"system call {name} is not known here: ENOSYS")
    return -E.NOSYS


def _strings(row: SystemCall, thread: Thread, arguments: Registers) -> bytes:
    """The string arguments, as far as they can be read without touching the machine."""
    found = b""
    for (_, kind), address in zip(row.arguments, arguments, strict=False):
        if kind.string:
            found += thread.space.peek_string(address) + b"\0"
    return found


def _ask_anew(call: Call, blocked: Blocked) -> None:
    """What servers answered is old when the call is executed again, unless it waits for one."""
    if blocked.channel[0] != "reply":
        call.replies.clear()
