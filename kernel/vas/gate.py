"""Gates: the one way into a VAS, and out of it.

`vas_entry` registers a gate, an address in the VAS's own memory, for the VAS and all its
attachments.  From then on a switch into the VAS goes on at the gate (after lwC's entry points).
Code outside is not to run inside, so three more doors are shut.  A gate's memory is the VAS's
own: no outsider can write it, protect it, or unmap it.  No handler runs inside: signals that have
one wait until the thread is home.  A gate that faults ends: the thread is home again, its
vas_switch fails, and the signal of the fault is delivered there.
"""

from __future__ import annotations

from hw import costs
from hw.cpu import SYSCALL_BYTES, Core
from kernel.abi.errno import E, KernelError
from kernel.mm.layout import MAP_TOP
from kernel.mm.regions import OF_TASK
from kernel.task.process import Process, Thread
from kernel.vas.records import WRITE, Attachment
from kernel.vas.vases import Vases

FLAGS = 0x202
"""RFLAGS at a gate: interrupts are on.  A caller's trap flag would stop the gate at each
instruction."""


def register(vases: Vases, process: Process, vid: int, entry: int) -> None:
    """Make `entry` the gate of a VAS.  Raises EINVAL, EBUSY, EACCES."""
    attachment = vases.attachment(process, vid)
    vas = attachment.vas
    if not 0 < entry < MAP_TOP:
        raise KernelError(E.INVAL)
    vases.machine.charge(costs.TABLE_LOOKUP, len(vas.attachments))
    on_the_way = any(vases.sharing.awaited(each) for each in vas.attachments.values())
    if vas.entry or on_the_way or any(each.view.users for each in vas.attachments.values()):
        raise KernelError(E.BUSY)
    if not attachment.kind & WRITE or not _is_the_vass_own(attachment, entry):
        raise KernelError(E.ACCES)
    vas.entry = entry


def _is_the_vass_own(attachment: Attachment, va: int) -> bool:
    """Does `va` lie in memory that is seen in this VAS and nowhere else, whatever its rights are?

    A segment can be attached elsewhere, a file can be written, and the process's own memory can
    be changed at home, even where it is not writable now.
    """
    region = attachment.view.map.find(va)
    if region is None or region.segment or region.shared or region.object.source is not None:
        return False
    return region.space is not attachment.home and region.origin != OF_TASK


def enter(thread: Thread, core: Core, entry: int) -> None:
    """The thread has switched in: it goes on at the gate.  The kernel keeps its caller's state."""
    thread.caller = {**core.registers(), "rip": core.state.rip + SYSCALL_BYTES}
    thread.registers = {"rip": entry, "rax": 0, "eflags": FLAGS}


def leave(thread: Thread, core: Core) -> bool:
    """The gate has switched home: where its next instruction is not there, its caller goes on.

    False if the gate goes on itself.
    """
    if not thread.caller or thread.space.map.find(core.state.rip + SYSCALL_BYTES) is not None:
        return False
    thread.registers = {**thread.caller, "rax": 0}
    return True


def abort(vases: Vases, thread: Thread, core: Core) -> bool:
    """The gate has faulted: its caller goes on at home, with EFAULT.  False: it cannot.

    Nothing of the gate's registers reaches the caller.
    """
    if not thread.caller:
        return False
    try:
        vases.switch(thread, 0)
    except KernelError:
        return False
    thread.registers = {**thread.caller, "rax": -E.FAULT & (1 << 64) - 1}
    core.reset_fpu()
    return True
