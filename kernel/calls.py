"""A system call from its number to its result: the row of the table, the handler, the record."""

from __future__ import annotations

from hw import trace
from kernel.abi.errno import E, KernelError
from kernel.kernel import Kernel
from kernel.syscalls import SystemCall
from kernel.syscalls.linux import NAMES, PROBED
from kernel.task.process import Registers, Thread

SYSCALL = trace.declare(
    "syscall",
    "tid:Q number:H a:Q b:Q c:Q d:Q e:Q f:Q result:q strings:s rip:Q",
    "A system call ended; `strings` are its string arguments, each with a NUL; `rip` is where "
    "its SYSCALL instruction is.",
)

MAX_UNKNOWN = 512
"""At most this many unknown numbers are logged; a program could make up any number of them."""


def execute(kernel: Kernel, row: SystemCall, thread: Thread, arguments: Registers) -> int | None:
    """Call the handler; None: there is no result to give.  Raises `Blocked`."""
    port = kernel.machine.trace
    strings = strings_of(row, thread, arguments) if port and row.has_strings else b""
    result: int | None
    try:
        invoke = row.invoke  # called as `row.invoke(...)` it would be looked up as a method first
        result = invoke(kernel, thread, arguments)
    except KernelError as error:
        result = -error.number
    if kernel.persistence is not None:
        kernel.persistence.settle()
    thread.call = None
    if result is None:
        return None
    if thread.saved_mask is not None:
        thread.return_mask()
    if port:
        rip = kernel.machine.core.state.rip
        port.emit(SYSCALL, thread.tid, row.number, *arguments, result, strings, rip)
    return result


def strings_of(row: SystemCall, thread: Thread, arguments: Registers) -> bytes:
    """The string arguments, as far as they can be read without touching the machine."""
    found = b""
    for (_, kind), address in zip(row.arguments, arguments, strict=False):
        if kind.string:
            found += thread.space.peek_string(address) + b"\0"
    return found


def refuse_unknown(kernel: Kernel, number: int) -> int:
    """ENOSYS, which is logged once for each number: the int in EAX."""
    number, unknown = (number & 0xFFFF_FFFF ^ 1 << 31) - (1 << 31), kernel.unknown
    known = number in unknown or NAMES.get(number) in PROBED
    if not known and len(unknown) < MAX_UNKNOWN:
        unknown.append(number)
        name = f"{NAMES[number]} ({number})" if number in NAMES else str(number)
        kernel.log.say(f"system call {name} is not known here: ENOSYS")
    return -E.NOSYS
