"""Traps: what happens when a core leaves user code, by a call, a page fault or an exception."""

from __future__ import annotations

from dataclasses import dataclass

from hw import costs, trace
from hw.cpu import LEAVE, REFUSE, RESUME, Core
from kernel.abi.errno import Blocked, KernelError
from kernel.calls import execute, refuse_unknown
from kernel.kernel import Kernel
from kernel.life import delivery, oom
from kernel.resume import block, wait_for_page
from kernel.syscalls import TABLE

FAULT = trace.declare(
    "fault",
    "tid:Q page:Q error:B outcome:B",
    "A page fault; outcome 0 resolved, 1 resolved after a pause, 2 refused.",
)
EXCEPTION = trace.declare(
    "exception", "tid:Q vector:B error:H rip:Q va:Q", "The program must answer for it."
)


@dataclass(slots=True)
class Traps:
    """The kernel's vectors: what the machine calls when a core leaves user code."""

    kernel: Kernel

    def syscall(
        self, core: Core, number: int, a: int, b: int, c: int, d: int, e: int, f: int
    ) -> int | None:
        """The result for RAX; None: the thread gets it later, or goes on elsewhere."""
        kernel = self.kernel
        kernel.taken += 1
        thread = kernel.tasks.seats[core.state.id].thread
        assert thread is not None
        if thread.space.traps and not thread.space.gated:
            delivery.call_trapped(thread, core, number)
            return None
        row = TABLE.get(number) or TABLE.get(number & 0xFFFF_FFFF)  # in EAX (Linux, do_syscall_64)
        if row is None:
            return refuse_unknown(kernel, number)
        thread.call_number, thread.call_arguments = row.number, (a, b, c, d, e, f)
        if row.stops_guest:
            thread.current_call()
            return None
        try:
            result = execute(kernel, row, thread, thread.call_arguments)
        except Blocked as blocked:
            block(kernel, thread, blocked, core)
            result = None
        if kernel.after_trap:
            kernel.after_trap(kernel)
        return result

    def page_fault(self, core: Core, page: int, error: int) -> int:
        """What the core does about it: RESUME, REFUSE or LEAVE."""
        kernel, machine = self.kernel, self.kernel.machine
        thread = kernel.tasks.seats[core.state.id].thread
        if thread is None:  # as in `exception`
            core.leave = True
            return LEAVE
        kernel.taken += 1
        machine.charge(costs.REGION_FIND)
        try:
            answer = RESUME if thread.space.fault(page, error) else REFUSE
        except KernelError:
            oom.kill(kernel.life, kernel.log, thread)
            answer = LEAVE
        except Blocked as blocked:
            answer = wait_for_page(kernel, thread, blocked)
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
        if thread is None:  # a single step over a call that ended its thread, or put it to sleep
            core.leave = True
            return
        if kernel.machine.trace:
            kernel.machine.trace.emit(EXCEPTION, thread.tid, vector, error, rip, va)
        delivery.answer_for(kernel.life, kernel.log, thread, core, vector, error=error, va=va)
        core.leave = True
