"""System calls by which a process sets its own attributes: prctl(2), personality(2), capget(2)."""

from __future__ import annotations

import struct

from kernel.abi.errno import E, KernelError
from kernel.kernel import Kernel
from kernel.syscalls.table import Flags, Int, Ptr, Size, syscall
from kernel.task.process import Thread
from kernel.wait.signals import SIGNALS

ARCH_SET_GS, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS = 0x1001, 0x1002, 0x1003, 0x1004
PR_SET_PDEATHSIG, PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_DUMPABLE = 1, 2, 3, 4
PR_SET_NAME, PR_GET_NAME = 15, 16
PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37
PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS = 38, 39
NAME_BYTES = 16
ASK_PERSONALITY, ADDR_NO_RANDOMIZE = 0xFFFF_FFFF, 0x004_0000
CAPABILITY_VERSION = 0x2008_0522
_CAP_HEADER, _CAP_DATA = struct.Struct("<Ii"), struct.Struct("<6I")


@syscall(158, stops_guest=True)
def arch_prctl(k: Kernel, t: Thread, code: Int, addr: Ptr) -> int:
    """ARCH_SET_FS, ARCH_SET_GS: set a segment base; the GET forms store it.  EINVAL; EPERM."""
    core = k.machine.core
    name = "fs_base" if code in (ARCH_SET_FS, ARCH_GET_FS) else "gs_base"
    if code in (ARCH_GET_FS, ARCH_GET_GS):
        t.space.write(addr, core.registers()[name].to_bytes(8, "little"))
    elif code not in (ARCH_SET_FS, ARCH_SET_GS):
        raise KernelError(E.INVAL)
    elif addr >> 47:
        raise KernelError(E.PERM)
    else:
        core.set_registers({name: addr})
    return 0


@syscall(157)
def prctl(k: Kernel, t: Thread, option: Int, a: Size, b: Size, c: Size, d: Size) -> int:
    """PR_SET_NAME, PDEATHSIG, DUMPABLE, CHILD_SUBREAPER, NO_NEW_PRIVS, and the GET forms.

    EINVAL: another option, or a value that it does not take; EFAULT.
    """
    if option in (PR_SET_NAME, PR_GET_NAME):
        return _name(t, option, a)
    if option in (PR_GET_PDEATHSIG, PR_GET_CHILD_SUBREAPER):
        value = t.process.death_signal if option == PR_GET_PDEATHSIG else int(t.process.is_heir)
        t.space.write(a, value.to_bytes(4, "little"))
        return 0
    if option == PR_GET_DUMPABLE:
        return t.process.dumpable
    if option == PR_GET_NO_NEW_PRIVS and not (a or b or c or d):
        return int(t.process.gains_nothing)
    _set(t, option, a, bool(b or c or d))
    return 0


def _name(t: Thread, option: int, at: int) -> int:
    """The name of a thread has at most 15 bytes; the first thread shares it with its process."""
    if option == PR_GET_NAME:
        name = (t.name or t.process.name).encode(errors="surrogateescape")[: NAME_BYTES - 1]
        t.space.write(at, name.ljust(NAME_BYTES, b"\0"))
        return 0
    wanted = t.space.read_name(at, NAME_BYTES - 1).decode(errors="surrogateescape")
    t.name = wanted
    if t.tid == t.pid:
        t.process.name = wanted
    return 0


def _set(t: Thread, option: int, value: int, more: bool) -> None:
    process = t.process
    if option == PR_SET_PDEATHSIG and value <= SIGNALS:
        process.death_signal = value
    elif option == PR_SET_DUMPABLE and value <= 1:
        process.dumpable = value
    elif option == PR_SET_CHILD_SUBREAPER:
        process.is_heir = bool(value)
    elif option == PR_SET_NO_NEW_PRIVS and value == 1 and not more:
        process.gains_nothing = True
    else:
        raise KernelError(E.INVAL)


@syscall(135)
def personality(k: Kernel, t: Thread, persona: Flags) -> int:
    """Set the execution domain; returns the one before.  0xffffffff only asks.

    EINVAL: not Linux's own (0), with or without ADDR_NO_RANDOMIZE.
    """
    before = t.process.personality
    if persona == ASK_PERSONALITY:
        return before
    if persona & ~ADDR_NO_RANDOMIZE:
        raise KernelError(E.INVAL)
    t.process.personality = persona
    return before


@syscall(309)
def getcpu(k: Kernel, t: Thread, cpu: Ptr, node: Ptr, cache: Ptr) -> int:
    """Store the number of the core that the caller runs on, and of its memory node, 0.  EFAULT."""
    for at, value in ((cpu, k.machine.core.state.id), (node, 0)):
        if at:
            t.space.write(at, value.to_bytes(4, "little"))
    return 0


# Capabilities: root has all of them, other users have none (capabilities(7)).


@syscall(125)
def capget(k: Kernel, t: Thread, header: Ptr, data: Ptr) -> int:
    """The capabilities of a process.  EINVAL: not version 3 of the structures; ESRCH; EFAULT."""
    pid = _cap_header(t, header)
    target = k.tasks.threads.get(pid) if pid else t
    if target is None:
        raise KernelError(E.SRCH)
    if data:
        t.space.write(data, _CAP_DATA.pack(*_capabilities(target)))
    return 0


@syscall(126)
def capset(k: Kernel, t: Thread, header: Ptr, data: Ptr) -> int:
    """Set the caller's capabilities.  EPERM: to anything but what they are; EINVAL; EFAULT."""
    pid = _cap_header(t, header)
    wanted = _CAP_DATA.unpack(t.space.read(data, _CAP_DATA.size))
    if pid not in (0, t.tid) or wanted != _capabilities(t):
        raise KernelError(E.PERM)
    return 0


def _cap_header(t: Thread, at: int) -> int:
    version, pid = _CAP_HEADER.unpack(t.space.read(at, _CAP_HEADER.size))
    if version != CAPABILITY_VERSION:
        t.space.write(at, CAPABILITY_VERSION.to_bytes(4, "little"))
        raise KernelError(E.INVAL)
    if pid < 0:
        raise KernelError(E.INVAL)
    return t.process.meant(int(pid))


def _capabilities(t: Thread) -> tuple[int, ...]:
    """Effective, permitted and inheritable ones: the low words, then the high words."""
    held = t.process.credentials.capabilities
    low, high = held & 0xFFFF_FFFF, held >> 32
    return (low, low, 0, high, high, 0)
