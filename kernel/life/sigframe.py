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
SIGSYS, SYS_USER_DISPATCH, AUDIT_ARCH_X86_64 = 31, 2, 0xC000_003E
"""A system call that is a signal; its siginfo has the address behind it, number and machine."""
TICKS_PER_SECOND = 100
"""USER_HZ: the clock_t of siginfo and times(2)."""

TRAMPOLINE = b"\xb8\x0f\x00\x00\x00\x0f\x05"  # mov eax, 15 (rt_sigreturn); syscall
RED_ZONE_BYTES, MIN_STACK_BYTES = 128, 2048
"""MINSIGSTKSZ is the least size of an alternate stack."""
FRAME_REGISTERS = (
    "r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp rip eflags"
).split()
_UCONTEXT_HEAD = struct.Struct("<QQQIiQ")
"""uc_flags, uc_link, uc_stack, whose padding holds the VAS that the stack is in, and 1; 0: none."""
_SIGCONTEXT = struct.Struct("<18QHHHHQQQQQQQ48x")
"""struct sigcontext; its first reserved words hold the VAS that the thread was in, and the space of
that VAS: ids of VASes are used again, ids of spaces are not."""
_SIGINFO_HEAD, SIGINFO_BYTES = struct.Struct("<iiii"), 128
UCONTEXT_BYTES = _UCONTEXT_HEAD.size + _SIGCONTEXT.size + 8
USER_FLAGS = 0x0004_0DD5  # AC, OF, DF, TF, SF, ZF, AF, PF, CF: what a program may set


def in_use(thread: Thread, rsp: int) -> bool:
    """Does the thread, with this stack pointer, run on its alternate stack?"""
    stack = thread.alternate_stack
    return stack.in_use(rsp) and stack.place in (None, place_of(thread.space))


def state(thread: Thread, stack: AlternateStack, rsp: int) -> int:
    """SS_DISABLE, SS_ONSTACK or 0, as sigaltstack(2) reports it of a stack of the thread's."""
    there = stack.place in (None, place_of(thread.space))
    return stack.state(rsp) if there or not stack.size_bytes else 0


def changes_stack(thread: Thread, core: Core, action: SignalAction) -> bool:
    """Will a handler run on the alternate stack, which the thread is not on yet?"""
    rsp = core.registers()["rsp"] - RED_ZONE_BYTES
    wants = action.flags & SA_ONSTACK and thread.alternate_stack.size_bytes
    return bool(wants) and not in_use(thread, rsp)


@dataclass(frozen=True, slots=True)
class Return:
    """What the return of a handler restores besides registers: the signal mask, and the place as of
    `place_of`.  `switches`: the handler runs on the alternate stack, and the thread did not."""

    mask: int
    place: tuple[int, int]
    switches: bool


def push(thread: Thread, core: Core, signal: Signal, action: SignalAction, back: Return) -> None:
    """Let `core` enter the handler, in the view that the thread is in now.  Raises EFAULT."""
    registers = core.registers()
    size = 8 + UCONTEXT_BYTES + SIGINFO_BYTES
    alternate = thread.alternate_stack
    top = alternate.top if back.switches else registers["rsp"] - RED_ZONE_BYTES
    image_at = top - FXSAVE_BYTES & ~63
    frame_at = (image_at - size & ~15) - 8
    stays = back.switches or in_use(thread, registers["rsp"])
    if stays and not alternate.holds(frame_at):
        raise KernelError(E.FAULT)
    thread.space.write(image_at, core.fpu_image())
    frame = struct.pack("<Q", KUSER) + _pack_ucontext(thread, registers, signal, back, image_at)
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

    `stack` is the alternate stack that the thread shall have again (uc_stack), and `stack_vid` the
    VAS that it is in; -1: in none of its own.
    """

    registers: dict[str, int]
    image: bytes
    mask: int
    place: tuple[int, int]
    stack: AlternateStack
    stack_vid: int


def read(thread: Thread, core: Core) -> Frame:
    """The frame above the return address that the handler has popped.  Raises EFAULT."""
    at = core.registers()["rsp"]
    context = thread.space.read(at, UCONTEXT_BYTES)
    values = _SIGCONTEXT.unpack_from(context, _UCONTEXT_HEAD.size)
    image_at = values[26]
    image = thread.space.read(image_at, FXSAVE_BYTES) if image_at else b""
    registers = dict(zip(FRAME_REGISTERS, values, strict=False))
    registers["eflags"] = registers["eflags"] & USER_FLAGS | 0x202
    _, _, base, flags, vid_and_1, size = _UCONTEXT_HEAD.unpack_from(context)
    mask, stack = int.from_bytes(context[-8:], "little"), AlternateStack(base, size, flags)
    return Frame(registers, image, mask, (values[27], values[28]), stack, vid_and_1 - 1)


def restore(core: Core, frame: Frame) -> None:
    """Undo `push`."""
    core.set_registers(frame.registers)
    if frame.image:
        core.load_fpu_image(frame.image)


def set_alternate_stack(thread: Thread, wanted: AlternateStack, rsp: int) -> None:
    """Give the thread, whose stack pointer is `rsp`, another alternate stack.

    Raises EPERM: it runs on the one that it has; EINVAL: unknown flags; ENOMEM: too small.
    """
    if in_use(thread, rsp):
        raise KernelError(E.PERM)
    kind = wanted.flags & ~SS_AUTODISARM
    if kind not in (0, SS_ONSTACK, SS_DISABLE):
        raise KernelError(E.INVAL)
    if kind == SS_DISABLE:
        wanted = AlternateStack(flags=wanted.flags)
    elif wanted.size_bytes < MIN_STACK_BYTES and wanted != thread.alternate_stack:
        raise KernelError(E.NOMEM)
    thread.alternate_stack = wanted


def _pack_ucontext(
    thread: Thread, registers: dict[str, int], signal: Signal, back: Return, image_at: int
) -> bytes:
    stack = thread.alternate_stack
    vid_and_1 = 0 if stack.place is None else stack.place[0] + 1
    head = _UCONTEXT_HEAD.pack(0, 0, stack.base, stack.flags, vid_and_1, stack.size_bytes)
    general = [registers[register] for register in FRAME_REGISTERS]
    cause = (
        signal.error,
        max(signal.vector, 0),
        back.mask,
        signal.address if signal.vector == cpu.PAGE_FAULT else 0,
    )
    return (
        head
        + _SIGCONTEXT.pack(*general, 0x33, 0, 0, 0x2B, *cause, image_at, *back.place)
        + struct.pack("<Q", back.mask)
    )


def pack_siginfo(signal: Signal) -> bytes:
    """A siginfo_t (include/uapi/asm-generic/siginfo.h)."""
    head = _SIGINFO_HEAD.pack(signal.number, 0, signal.code, 0)
    if signal.number == SIGSYS and signal.code == SYS_USER_DISPATCH:
        tail = struct.pack("<QiI", signal.address, signal.value, AUDIT_ARCH_X86_64)
    elif signal.vector >= 0:
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
