"""Signals: how a process is told, and how its handler is called and returns.

The frame on the user's stack is Linux's `struct rt_sigframe` (arch/x86/include/asm/sigframe.h):
return address, ucontext, siginfo, and above them the FXSAVE image.  A handler returns through
the kernel's user page (`KUSER`), which is mapped in every space.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from hw import cpu, trace
from hw.cpu import Core
from hw.fpu import FXSAVE_BYTES
from kernel.errno import E, KernelError
from kernel.process import Process, Signal, SignalAction, Thread
from kernel.space import KUSER

if TYPE_CHECKING:
    from kernel.kernel import Kernel

SIGILL, SIGTRAP, SIGFPE, SIGKILL, SIGSEGV = 4, 5, 8, 9, 11
SIGCHLD, SIGCONT, SIGSTOP, SIGURG, SIGWINCH = 17, 18, 19, 23, 28
STOPPED_BY_DEFAULT = (SIGSTOP, 20, 21, 22)  # STOP, TSTP, TTIN, TTOU
FIRST_REAL_TIME = 32
SIGNALS = 64
IGNORED_BY_DEFAULT = (SIGCHLD, SIGCONT, SIGURG, SIGWINCH)
UNBLOCKABLE = 1 << SIGKILL - 1 | 1 << SIGSTOP - 1
SIG_DFL, SIG_IGN = 0, 1
SA_NODEFER, SA_ONSTACK, SA_RESTART, SA_RESETHAND = (
    0x4000_0000,
    0x0800_0000,
    0x1000_0000,
    0x8000_0000,
)
SI_USER, SI_TKILL, SI_KERNEL = 0, -6, 0x80
SEGV_MAPERR, SEGV_ACCERR = 1, 2
CLD_EXITED, CLD_KILLED, CLD_STOPPED = 1, 2, 5
SS_ONSTACK, SS_DISABLE = 1, 2

NAMES = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP "
    "TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
).split()

TRAMPOLINE = b"\xb8\x0f\x00\x00\x00\x0f\x05"  # mov eax, 15 (rt_sigreturn); syscall
RED_ZONE_BYTES = 128
FRAME_REGISTERS = (
    "r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp rip eflags"
).split()
_UCONTEXT_HEAD = struct.Struct("<QQQiiQ")
_SIGCONTEXT = struct.Struct("<18QHHHHQQQQQQ56x")
"""struct sigcontext; the first reserved word holds the VAS that the thread was in."""
_SIGINFO_HEAD, SIGINFO_BYTES = struct.Struct("<iiii"), 128
UCONTEXT_BYTES = _UCONTEXT_HEAD.size + _SIGCONTEXT.size + 8
USER_FLAGS = 0x0004_0DD5  # AC, OF, DF, TF, SF, ZF, AF, PF, CF: what a program may set

SIGNAL = trace.declare(
    "signal",
    "pid:Q tid:Q number:B action:B address:Q",
    "Delivered: action 0 kills, 1 is ignored, 2 calls the handler, 3 stops.",
)

EXCEPTIONS = {
    cpu.DIVIDE: (SIGFPE, 1),
    cpu.DEBUG: (SIGTRAP, 2),
    cpu.BREAKPOINT: (SIGTRAP, SI_KERNEL),
    cpu.INVALID_OPCODE: (SIGILL, 2),
    cpu.FPU: (SIGFPE, 0),
    cpu.SIMD: (SIGFPE, 0),
}
"""Exception vector -> signal and si_code; anything else is SIGSEGV."""


def name(number: int) -> str:
    """`SIGSEGV` for 11."""
    return f"SIG{NAMES[number - 1]}" if 1 <= number <= len(NAMES) else f"SIGRT{number}"


def of_exception(thread: Thread, vector: int, error: int, va: int, rip: int) -> Signal:
    """The signal that an exception becomes (Linux, arch/x86/kernel/traps.c)."""
    if vector == cpu.PAGE_FAULT:
        code = SEGV_ACCERR if thread.space.map.find(va) else SEGV_MAPERR
        return Signal(SIGSEGV, code, address=va, vector=vector, error=error)
    number, code = EXCEPTIONS.get(vector, (SIGSEGV, SI_KERNEL))
    address = 0 if code == SI_KERNEL else rip
    return Signal(number, code, address=address, vector=vector, error=error)


def of_child(child: Process) -> Signal:
    """The SIGCHLD that tells of a child's end."""
    number = child.exit_status & 0x7F
    code, status = (CLD_KILLED, number) if number else (CLD_EXITED, child.exit_status >> 8)
    return Signal(SIGCHLD, code, child.pid, child.credentials.uid, status)


def send(kernel: Kernel, process: Process, signal: Signal, thread: Thread | None = None) -> None:
    """Queue a signal for a process, or for one of its threads; interrupts a thread that waits."""
    if process.zombie:
        return
    if signal.number in (SIGCONT, SIGKILL):
        _go_on(kernel, process)
    if _ignored(process, signal.number):
        return
    queue = thread.pending if thread else process.pending
    waits = any(waiting.number == signal.number for waiting in queue)
    if signal.number >= FIRST_REAL_TIME or not waits:
        queue.append(signal)
    if signal.number == SIGKILL:
        for each in process.threads:
            each.killed = True
            kernel.interrupt(each)
        return
    for each in [thread] if thread else process.threads:
        if not _mask_of(each) >> signal.number - 1 & 1:
            kernel.interrupt(each)
            return


def force(kernel: Kernel, thread: Thread, signal: Signal) -> None:
    """A signal for what the thread itself did: blocked or ignored, it kills."""
    action = thread.process.actions.get(signal.number, SignalAction())
    if action.handler == SIG_IGN or thread.mask >> signal.number - 1 & 1:
        thread.process.actions[signal.number] = SignalAction()
        thread.mask &= ~(1 << signal.number - 1)
    thread.pending.append(signal)


def waiting(thread: Thread) -> bool:
    """Is there a signal that this thread should take now?"""
    if not (thread.pending or thread.process.pending):
        return thread.killed
    return thread.killed or _next(thread) is not None


def next_action(thread: Thread) -> SignalAction:
    """What the next signal of the thread will do."""
    signal = _next(thread)
    return thread.process.actions.get(signal.number if signal else 0, SignalAction())


def deliver(kernel: Kernel, thread: Thread, core: Core) -> None:
    """Take the next signal of the thread that `core` holds: ignore it, die, or call the handler."""
    signal = _next(thread)
    if thread.killed or signal is None:
        kernel.life.exit_thread(thread, SIGKILL)
        return
    queue = thread.pending if signal in thread.pending else thread.process.pending
    queue.remove(signal)
    action = thread.process.actions.get(signal.number, SignalAction())
    kind = _what_happens(thread.process, signal.number, action)
    if kernel.machine.trace:
        shape = (thread.pid, thread.tid, signal.number, kind, signal.address)
        kernel.machine.trace.emit(SIGNAL, *shape)
    if kind == 3:
        _stop(kernel, thread.process, signal.number)
    elif kind == 0:
        kernel.life.exit_process(thread.process, signal.number)
    elif kind == 2:
        try:
            _call_handler(thread, core, signal, action)
        except KernelError:
            kernel.life.exit_process(thread.process, SIGSEGV)


def _what_happens(process: Process, number: int, action: SignalAction) -> int:
    if _ignored(process, number):
        return 1
    if action.handler != SIG_DFL:
        return 2
    return 3 if number in STOPPED_BY_DEFAULT else 0


def _stop(kernel: Kernel, process: Process, number: int) -> None:
    """No thread of the process runs user code until SIGCONT."""
    process.stopped, process.stop_is_news = number, True
    parent = process.parent
    if parent is not None:
        told = Signal(SIGCHLD, CLD_STOPPED, process.pid, process.credentials.uid, number)
        send(kernel, parent, told)
        kernel.wake(("child", parent.pid, 0))


def _go_on(kernel: Kernel, process: Process) -> None:
    process.stopped, process.stop_is_news = 0, False
    kernel.wake(("stopped", process.pid, 0))


def _call_handler(thread: Thread, core: Core, signal: Signal, action: SignalAction) -> None:
    registers = core.registers()
    size = 8 + UCONTEXT_BYTES + SIGINFO_BYTES
    top = _stack_for(thread, action, registers["rsp"])
    image_at = top - FXSAVE_BYTES & ~63
    frame_at = (image_at - size & ~15) - 8
    base, _ = thread.alternate_stack
    if on_alternate_stack(thread, top) and frame_at < base:
        raise KernelError(E.FAULT)
    thread.space.write(image_at, core.fpu_image())
    mask = thread.mask if thread.saved_mask is None else thread.saved_mask
    frame = struct.pack("<Q", KUSER) + _pack_ucontext(thread, registers, signal, mask, image_at)
    thread.space.write(frame_at, frame + _pack_siginfo(signal))
    thread.saved_mask = None
    thread.mask |= action.mask & ~UNBLOCKABLE
    if not action.flags & SA_NODEFER:
        thread.mask |= 1 << signal.number - 1
    if action.flags & SA_RESETHAND:
        thread.process.actions[signal.number] = SignalAction()
    core.set_registers(
        {
            "rip": action.handler,
            "rsp": frame_at,
            "rdi": signal.number,
            "rsi": frame_at + 8 + UCONTEXT_BYTES,
            "rdx": frame_at + 8,
            "rax": 0,
            "eflags": registers["eflags"] & ~0x500,  # TF and DF
        }
    )


def sigreturn(kernel: Kernel, thread: Thread, core: Core) -> None:
    """Undo `_call_handler`: the frame is above the popped return address.

    The handler ran in the view that the signal found; if it left that, the thread goes back.
    Raises EFAULT, EINVAL if the VAS is not attached any more or has a registered entry (frames can
    be forged), `Blocked`.
    """
    at = core.registers()["rsp"]
    context = thread.space.read(at, UCONTEXT_BYTES)
    values = _SIGCONTEXT.unpack_from(context, _UCONTEXT_HEAD.size)
    image_at = values[26]
    image = thread.space.read(image_at, FXSAVE_BYTES) if image_at else b""
    if values[27] != thread.space.vid:
        kernel.vases.go_back(thread, values[27])
    registers = dict(zip(FRAME_REGISTERS, values, strict=False))
    registers["eflags"] = registers["eflags"] & USER_FLAGS | 0x202
    thread.mask = int.from_bytes(context[-8:], "little") & ~UNBLOCKABLE
    core.set_registers(registers)
    if image:
        core.load_fpu_image(image)


def on_alternate_stack(thread: Thread, rsp: int) -> bool:
    base, size = thread.alternate_stack
    return base < rsp <= base + size


def _stack_for(thread: Thread, action: SignalAction, rsp: int) -> int:
    base, size = thread.alternate_stack
    if action.flags & SA_ONSTACK and size and not on_alternate_stack(thread, rsp):
        return base + size
    return rsp - RED_ZONE_BYTES


def _pack_ucontext(
    thread: Thread, registers: dict[str, int], signal: Signal, mask: int, image_at: int
) -> bytes:
    base, size = thread.alternate_stack
    inside = SS_ONSTACK if on_alternate_stack(thread, registers["rsp"]) else 0
    head = _UCONTEXT_HEAD.pack(0, 0, base, inside if size else SS_DISABLE, 0, size)
    general = [registers[register] for register in FRAME_REGISTERS]
    cause = (
        signal.error,
        max(signal.vector, 0),
        mask,
        signal.address if signal.vector == cpu.PAGE_FAULT else 0,
    )
    return (
        head
        + _SIGCONTEXT.pack(*general, 0x33, 0, 0, 0x2B, *cause, image_at, thread.space.vid)
        + struct.pack("<Q", mask)
    )


def _pack_siginfo(signal: Signal) -> bytes:
    head = _SIGINFO_HEAD.pack(signal.number, 0, signal.code, 0)
    if signal.vector >= 0:
        tail = struct.pack("<Q", signal.address)
    else:
        tail = struct.pack("<IIi", signal.pid, signal.uid, signal.status)
    return (head + tail).ljust(SIGINFO_BYTES, b"\0")


def _next(thread: Thread) -> Signal | None:
    """The one to take now: the thread's own before the process's, the lowest number first."""
    for queue in (thread.pending, thread.process.pending):
        open_ones = [signal for signal in queue if not thread.mask >> signal.number - 1 & 1]
        if open_ones:
            return min(open_ones, key=lambda signal: signal.number)
    return None


def _mask_of(thread: Thread) -> int:
    return thread.mask & ~UNBLOCKABLE


def _ignored(process: Process, number: int) -> bool:
    action = process.actions.get(number, SignalAction())
    return action.handler == SIG_IGN or (action.handler == SIG_DFL and number in IGNORED_BY_DEFAULT)
