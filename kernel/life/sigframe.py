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
from kernel.task.process import Signal, SignalAction, Thread

SA_ONSTACK = 0x0800_0000
SS_ONSTACK, SS_DISABLE = 1, 2
TICKS_PER_SECOND = 100
"""USER_HZ: the clock_t of siginfo and times(2)."""

TRAMPOLINE = b"\xb8\x0f\x00\x00\x00\x0f\x05"  # mov eax, 15 (rt_sigreturn); syscall
RED_ZONE_BYTES = 128
FRAME_REGISTERS = (
    "r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp rip eflags"
).split()
_UCONTEXT_HEAD = struct.Struct("<QQQiiQ")
_SIGCONTEXT = struct.Struct("<18QHHHHQQQQQQ56x")
"""struct sigcontext; its first reserved word holds the VAS that the thread was in."""
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
    base, _ = thread.alternate_stack
    if on_alternate_stack(thread, top) and frame_at < base:
        raise KernelError(E.FAULT)
    thread.space.write(image_at, core.fpu_image())
    frame = struct.pack("<Q", KUSER) + _pack_ucontext(thread, registers, signal, mask, image_at)
    thread.space.write(frame_at, frame + pack_siginfo(signal))
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
    """What `push` left on the stack; `vid` is the VAS that the thread was in."""

    registers: dict[str, int]
    image: bytes
    mask: int
    vid: int


def read(thread: Thread, core: Core) -> Frame:
    """The frame above the return address that the handler has popped.  Raises EFAULT."""
    at = core.registers()["rsp"]
    context = thread.space.read(at, UCONTEXT_BYTES)
    values = _SIGCONTEXT.unpack_from(context, _UCONTEXT_HEAD.size)
    image_at = values[26]
    image = thread.space.read(image_at, FXSAVE_BYTES) if image_at else b""
    registers = dict(zip(FRAME_REGISTERS, values, strict=False))
    registers["eflags"] = registers["eflags"] & USER_FLAGS | 0x202
    return Frame(registers, image, int.from_bytes(context[-8:], "little"), values[27])


def restore(core: Core, frame: Frame) -> None:
    """Undo `push`."""
    core.set_registers(frame.registers)
    if frame.image:
        core.load_fpu_image(frame.image)


def on_alternate_stack(thread: Thread, rsp: int) -> bool:
    """Is the thread on its alternate stack (sigaltstack(2))?"""
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
