"""Traps: from ring 3 to the handler that serves them, and back.

A call that cannot finish now leaves its thread blocked with the call remembered; when the
thread is woken and gets a core, the call is executed again from the start (`finish`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hw import costs, trace
from hw.cpu import FPU, LEAVE, REFUSE, RESUME, SIMD, Core
from kernel.abi.errno import Blocked, E, KernelError
from kernel.syscalls import TABLE, SystemCall
from kernel.syscalls.linux import NAMES
from kernel.task.process import DEAD, Call, Registers, Thread
from kernel.wait import signals
from kernel.wait.signals import SA_RESTART

if TYPE_CHECKING:
    from kernel.kernel import Kernel
    from kernel.mm.shootdown import Seat

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
    """The kernel's vectors."""

    kernel: Kernel
    seats: list[Seat]
    number: int = 0
    registers: Registers = (0,) * 6
    """Number and argument registers of the call that is being executed."""
    taken: int = 0
    """How many traps there have been."""
    unknown: list[int] = field(default_factory=list)
    """Call numbers that programs asked for and that do not exist here."""

    # From the guest -----------------------------------------------------------------------------

    def syscall(
        self, core: Core, number: int, a: int, b: int, c: int, d: int, e: int, f: int
    ) -> int | None:
        kernel = self.kernel
        thread = self.seats[core.state.id].thread
        assert thread is not None
        self.taken += 1
        row = TABLE.get(number)
        if row is None:
            return self._unknown(number)
        self.number, self.registers = number, (a, b, c, d, e, f)
        if row.stops_guest:
            thread.call = Call(number, self.registers)
            return None
        result: int | None
        try:
            if kernel.machine.trace is None:  # the common case, and the one that is measured
                result = row.invoke(kernel, thread, a, b, c, d, e, f)
                thread.call = None
                if thread.saved_mask is not None:
                    signals.return_mask(thread)
            else:
                result = self._execute(row, thread)
        except KernelError as error:
            thread.call, result = None, -error.number
            signals.return_mask(thread)
        except Blocked as blocked:
            self._block(thread, blocked, core)
            result = None
        if kernel.after_trap:
            kernel.after_trap(kernel)
        return result

    def page_fault(self, core: Core, page: int, error: int) -> int:
        thread = self.seats[core.state.id].thread
        assert thread is not None
        self.taken += 1
        self.kernel.machine.charge(costs.REGION_FIND)
        try:
            answer = RESUME if thread.space.fault(page, error) else REFUSE
        except KernelError:
            self.kernel.out_of_memory(thread)
            answer = LEAVE
        if core.leave and answer == RESUME:
            answer = LEAVE
        if self.kernel.machine.trace:
            self.kernel.machine.trace.emit(FAULT, thread.tid, page, error, answer)
        if self.kernel.after_trap:
            self.kernel.after_trap(self.kernel)
        return answer

    def exception(self, core: Core, vector: int, error: int, va: int) -> None:
        thread = self.seats[core.state.id].thread
        assert thread is not None
        rip = core.state.rip
        if self.kernel.machine.trace:
            self.kernel.machine.trace.emit(EXCEPTION, thread.tid, vector, error, rip, va)
        floats = core.pending_float_exceptions(vector) if vector in (FPU, SIMD) else 0
        signal = signals.of_exception(thread, vector, error, va, rip, floats=floats)
        signals.force(self.kernel, thread, signal)
        core.leave = True

    def remark(self, text: str) -> None:
        """Tell people, once, what the core says about a program."""
        if text not in self.kernel.messages:
            self.kernel.log(text)

    # Calls --------------------------------------------------------------------------------------

    def current_call(self, thread: Thread) -> Call:
        """The call that `thread` is in, as something that outlives this trap."""
        if thread.call is None:
            thread.call = Call(self.number, self.registers)
        return thread.call

    def finish(self, thread: Thread, core: Core) -> bool:
        """Execute the call that `thread` is in again; False if it has to wait once more.

        The thread's context is on `core`, which stands still.
        """
        call = thread.call
        assert call is not None
        self.number, self.registers, call.used = call.number, call.arguments, 0
        try:
            result = self._execute(TABLE[call.number], thread)
        except Blocked as blocked:
            may_end = blocked.interruptible or thread.killed
            if not (call.interrupted and may_end and signals.waiting(thread)):
                call.interrupted = False
                self._block(thread, blocked, core)
                return call.interrupted
            _ask_anew(call, blocked)
            self._interrupt(thread, core, call)
            return True
        if result is not None:
            core.finish_syscall(result)
        return True

    def _execute(self, row: SystemCall, thread: Thread) -> int | None:
        port, result = self.kernel.machine.trace, 0
        strings = self._strings(row, thread) if port and row.has_strings else b""
        try:
            answer = row.invoke(self.kernel, thread, *self.registers)
            if answer is None:
                thread.call = None
                return None
            result = answer
        except KernelError as error:
            result = -error.number
        thread.call = None
        signals.return_mask(thread)
        if port:
            rip = self.kernel.machine.core.state.rip
            port.emit(SYSCALL, thread.tid, self.number, *self.registers, result, strings, rip)
        return result

    def _block(self, thread: Thread, blocked: Blocked, core: Core) -> None:
        """Let the thread sleep, unless there is a signal that would end its sleep at once."""
        call = self.current_call(thread)
        _ask_anew(call, blocked)
        if (blocked.interruptible or thread.killed) and signals.waiting(thread):
            call.interrupted = core.leave = True
            return
        if self.kernel.machine.trace:
            where = ":".join(map(str, blocked.channel)).encode()
            self.kernel.machine.trace.emit(WAIT, thread.tid, call.number, where)
        self.kernel.block(thread, blocked.channel)

    def _interrupt(self, thread: Thread, core: Core, call: Call) -> None:
        """A signal ends the wait: EINTR, what was moved so far, or the call starts anew.

        If no handler will be called, the call goes on where it was when the signal has been
        taken (which may mean that the process stops, and continues much later).
        """
        action = signals.next_action(thread)
        call.interrupted = False
        if action is None:
            signals.deliver(self.kernel, thread, core)
            if call.number not in ENDED_BY_STOP or thread.state == DEAD:
                return
            signals.return_mask(thread)
        self.kernel.ipc.cancel(thread, call)
        thread.call = None
        restarts = action is not None and action.flags & SA_RESTART
        if not call.done and restarts and self._may_restart(call):
            return
        result = call.done or -E.INTR
        if self.kernel.machine.trace:
            shape = (thread.tid, call.number, *call.arguments, result, b"", core.state.rip)
            self.kernel.machine.trace.emit(SYSCALL, *shape)
        core.finish_syscall(result)

    def _may_restart(self, call: Call) -> bool:
        if call.number == FUTEX and call.deadline is not None:
            return False
        return call.number not in NO_RESTART and call.message not in self.kernel.ipc.received

    def _unknown(self, number: int) -> int:
        if number not in PROBED and number not in self.unknown and len(self.unknown) < MAX_UNKNOWN:
            self.unknown.append(number)
            name = f"{NAMES[number]} ({number})" if number in NAMES else str(number)
            self.kernel.log(f"system call {name} is not known here: ENOSYS")
        return -E.NOSYS

    def _strings(self, row: SystemCall, thread: Thread) -> bytes:
        """The string arguments, as far as they can be read without touching the machine."""
        found = b""
        for (_, kind), address in zip(row.arguments, self.registers, strict=False):
            if kind.string:
                found += thread.space.peek_string(address) + b"\0"
        return found


def _ask_anew(call: Call, blocked: Blocked) -> None:
    """Whatever servers answered is old when the call is executed again, unless it waits for one."""
    if blocked.channel[0] != "reply":
        call.replies.clear()
