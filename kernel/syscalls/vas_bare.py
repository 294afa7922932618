"""Views that are more than a process's own: a VAS without anything of the process
(`kernel.vas.bare`), and signal stacks in a view of their own (`kernel.vas.visit`).

    struct vas_stack { void *sp; int flags; int vid; size_t size; }    stack_t, with a view
"""

from __future__ import annotations

import struct

from kernel.abi.errno import E, KernelError
from kernel.kernel import Kernel
from kernel.life import sigframe
from kernel.syscalls.table import Int, Pid, Ptr, syscall
from kernel.syscalls.vas import O_ACCMODE, find_process, kind_of
from kernel.task.process import SS_AUTODISARM, AlternateStack, Thread
from kernel.vas import bare, visit

VAS_SIGSYS = 0x100
"""In `type`: each system call that is made inside is a SIGSYS instead."""
_STACK = struct.Struct("<QIiQ")


@syscall(1360)
def vas_attach_bare(k: Kernel, t: Thread, pid: Pid, vid: Int, type: Int) -> int:
    """As vas_attach, but inside nothing of the process is seen: only what the VAS has.

    So there is no layout conflict.  A thread that switches in must find its next instruction, and
    its stack at the next push, in the VAS.  With VAS_SIGSYS in `type`, each system call inside is
    a SIGSYS with the code SYS_USER_DISPATCH, as prctl(2) has it, and nothing else happens.
    EINVAL, also for other bits of `type`; ESRCH; EACCES; EBUSY: the sharing rule, or attached
    otherwise; ENOMEM.  Attached so already: 0.
    """
    find_process(k, t, pid, vid)
    if type & ~(O_ACCMODE | VAS_SIGSYS):
        raise KernelError(E.INVAL)
    traps = bool(type & VAS_SIGSYS)
    bare.attach(k.vases, t.process, pid, vid, kind_of(type), traps=traps)
    return 0


@syscall(1361, stops_guest=True)
def vas_sigaltstack(k: Kernel, t: Thread, new: Ptr, old: Ptr) -> int:
    """As sigaltstack, with a struct vas_stack that says in which view the stack is.

    A signal that is delivered on the stack switches its thread there first, and rt_sigreturn
    leads back.  vid 0 is the process's own space, -1 the view that the signal finds.
    EINVAL, also for a VAS that is not attached, or has a gate; EBUSY: a switch there takes locks;
    EPERM: in use; ENOMEM: too small; EFAULT.
    """
    before, rsp = t.alternate_stack, k.machine.core.registers()["rsp"]
    if new:
        base, flags, vid, size = _STACK.unpack(t.space.read(new, _STACK.size))
        if vid < -1:
            raise KernelError(E.INVAL)
        where = visit.place(k.vases, t, vid) if vid >= 0 else None
        sigframe.set_alternate_stack(t, AlternateStack(base, size, flags, where), rsp)
    if old:
        flags = sigframe.state(t, before, rsp) | before.flags & SS_AUTODISARM
        vid = -1 if before.place is None else before.place[0]
        t.space.write(old, _STACK.pack(before.base, flags, vid, before.size_bytes))
    return 0
