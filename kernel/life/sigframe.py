"""The frame that a signal handler finds on its stack, and returns (Linux's `struct rt_sigframe`).

From low to high: return address, ucontext, siginfo, and above them the FXSAVE image
(arch/x86/include/asm/sigframe.h).  A handler returns through the kernel's user page (`KUSER`),
which every space maps.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from hw import cpu
from hw.costs import CYCLES_PER_SECOND
from hw.cpu import Core
from hw.fpu import FXSAVE_BYTES
from kernel.abi.errno import E, KernelError
from kernel.mm.layout import KUSER
from kernel.task.process import (
    SS_AUTODISARM,
    SS_DISABLE,
    SS_ONSTACK,
    AlternateStack,
    Signal,
    SignalAction,
    Thread,
)
from kernel.vas.view import place_of

SA_ONSTACK = 0x0800_0000
TICKS_PER_SECOND = 100
"""USER_HZ: the clock_t of siginfo and times(2)."""

TRAMPOLINE = b"\xb8\x0f\x00\x00\x00\x0f\x05"  # mov eax, 15 (rt_sigreturn); syscall
RED_ZONE_BYTES, MIN_STACK_BYTES = 128, 2048
"""MINSIGSTKSZ is the least size of an alternate stack."""
FRAME_REGISTERS = (
    "r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp rip eflags"
).split()
_UCONTEXT_HEAD = struct.Struct("<QQQIiQ")
_SIGCONTEXT = struct.Struct("<18QHHHHQQQQQQQ48x")
"""struct sigcontext; its first reserved words hold the VAS that the thread was in, and the space of
that VAS: ids of VASes are used again, ids of spaces are not."""
_SIGINFO_HEAD, SIGINFO_BYTES = struct.Struct("<iiii"), 128
UCONTEXT_BYTES = _UCONTEXT_HEAD.size + _SIGCONTEXT.size + 8
USER_FLAGS = 0x0004_0DD5  # AC, OF, DF, TF, SF, ZF, AF, PF, CF: what a program may set


def push(thread: Thread, core: Core, signal: Signal, action: SignalAction, mask: int) -> None:
    """Let `core` enter the handler; `mask` is what its return restores.  Raises EFAULT."""
    registers = core.registers()
    size = 8 + UCONTEXT_BYTES + SIGINFO_BYTES
    top = _stack_for(thread, action, registers["rsp"])
    image_at = top - FXSAVE_BYTES & ~63
    frame_at = (image_at - size & ~15) - 8
    alternate = thread.alternate_stack
    switches = alternate.size_bytes and top == alternate.top
    if (switches or alternate.in_use(registers["rsp"])) and not alternate.holds(frame_at):
        raise KernelError(E.FAULT)
    thread.space.write(image_at, core.fpu_image())
    frame = struct.pack("<Q", KUSER) + _pack_ucontext(thread, registers, signal, mask, image_at)
    thread.space.write(frame_at, frame + pack_siginfo(signal))
    if alternate.flags & SS_AUTODISARM:
        thread.alternate_stack = AlternateStack(flags=SS_DISABLE)
    core.reset_fpu()
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


@dataclass(frozen=True, slots=True)
class Frame:
    """What `push` left on the stack; `place` is where the thread was, as of `place_of`.

    `stack` is the alternate stack that the thread shall have again (uc_stack).
    """

    registers: dict[str, int]
    image: bytes
    mask: int
    place: tuple[int, int]
    stack: AlternateStack


def read(thread: Thread, core: Core) -> Frame:
    """The frame above the return address that the handler has popped.  Raises EFAULT."""
    at = core.registers()["rsp"]
    context = thread.space.read(at, UCONTEXT_BYTES)
    values = _SIGCONTEXT.unpack_from(context, _UCONTEXT_HEAD.size)
    image_at = values[26]
    image = thread.space.read(image_at, FXSAVE_BYTES) if image_at else b""
    registers = dict(zip(FRAME_REGISTERS, values, strict=False))
    registers["eflags"] = registers["eflags"] & USER_FLAGS | 0x202
    _, _, base, flags, _, size = _UCONTEXT_HEAD.unpack_from(context)
    mask, stack = int.from_bytes(context[-8:], "little"), AlternateStack(base, size, flags)
    return Frame(registers, image, mask, (values[27], values[28]), stack)


def restore(core: Core, frame: Frame) -> None:
    """Undo `push`."""
    core.set_registers(frame.registers)
    if frame.image:
        core.load_fpu_image(frame.image)


def set_alternate_stack(thread: Thread, wanted: AlternateStack, rsp: int) -> None:
    """Give the thread, whose stack pointer is `rsp`, another alternate stack.

    Raises EPERM: it runs on the one that it has; EINVAL: unknown flags; ENOMEM: too small.
    """
    if thread.alternate_stack.in_use(rsp):
        raise KernelError(E.PERM)
    kind = wanted.flags & ~SS_AUTODISARM
    if kind not in (0, SS_ONSTACK, SS_DISABLE):
        raise KernelError(E.INVAL)
    if kind == SS_DISABLE:
        wanted = AlternateStack(flags=wanted.flags)
    elif wanted.size_bytes < MIN_STACK_BYTES and wanted != thread.alternate_stack:
        raise KernelError(E.NOMEM)
    thread.alternate_stack = wanted


def _stack_for(thread: Thread, action: SignalAction, rsp: int) -> int:
    top = rsp - RED_ZONE_BYTES
    if action.flags & SA_ONSTACK and not thread.alternate_stack.state(top):
        return thread.alternate_stack.top
    return top


def _pack_ucontext(
    thread: Thread, registers: dict[str, int], signal: Signal, mask: int, image_at: int
) -> bytes:
    stack = thread.alternate_stack
    head = _UCONTEXT_HEAD.pack(0, 0, stack.base, stack.flags, 0, stack.size_bytes)
    general = [registers[register] for register in FRAME_REGISTERS]
    cause = (
        signal.error,
        max(signal.vector, 0),
        mask,
        signal.address if signal.vector == cpu.PAGE_FAULT else 0,
    )
    return (
        head
        + _SIGCONTEXT.pack(*general, 0x33, 0, 0, 0x2B, *cause, image_at, *place_of(thread.space))
        + struct.pack("<Q", mask)
    )


def pack_siginfo(signal: Signal) -> bytes:
    """A siginfo_t (include/uapi/asm-generic/siginfo.h)."""
    head = _SIGINFO_HEAD.pack(signal.number, 0, signal.code, 0)
    if signal.vector >= 0:
        tail = struct.pack("<Q", signal.address)
    elif signal.usage is not None:
        times = (ticks(signal.usage.user), ticks(signal.usage.system))
        tail = struct.pack("<IIi4xqq", signal.pid, signal.uid, signal.status, *times)
    else:
        tail = struct.pack("<IIQ", signal.pid, signal.uid, signal.value)
    return (head + tail).ljust(SIGINFO_BYTES, b"\0")


def ticks(cycles: int) -> int:
    """A clock_t."""
    return cycles * TICKS_PER_SECOND // CYCLES_PER_SECOND
