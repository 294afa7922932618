"""Bare attachments: views that show a VAS and nothing of the process.

In the RFC's thread Andy Lutomirski asked that an address space stay just that, and that a program
which needs a trampoline write one and map it by hand.  This is that mode.  In the place of the
process's own space the view shows an empty one, so every sync policy serves it as any other view.
What a thread needs inside, its code and its stack first of all, must be mapped or attached in the
VAS beforehand.  There is no heap: brk stays where it is.
"""

from __future__ import annotations

from hw import costs
from hw.paging import ERR_FETCH
from kernel.abi.errno import E, KernelError
from kernel.mm.layout import MAP_TOP
from kernel.mm.space import AddressSpace
from kernel.task.process import Process, Thread
from kernel.vas.records import MAX_ATTACHMENTS, WRITE, Attachment, Holdings
from kernel.vas.vases import VAS_ATTACH, Vases

NEAR_STACK_BYTES = 256
"""A fault so near below the stack pointer is that of a push, a call, or the red zone."""


def attach(vases: Vases, caller: Process, pid: int, vid: int, kind: int, *, traps: bool) -> None:
    """Make a VAS a view of a process that shows nothing else; `traps`: its calls are SIGSYS.

    Raises EINVAL, ESRCH, EACCES, EBUSY also where it is attached otherwise, ENOMEM.
    """
    vases.machine.charge(costs.TABLE_LOOKUP, 2)
    vas, process, who = vases.vas(vid), vases.target(caller, pid), caller.credentials
    vas.check(who, kind)
    home = process.space
    held = vases.holdings.setdefault(home.id, Holdings())
    known = held.attachments.get(vid)
    if known is not None:
        if known.bare is None or known.view.traps != traps:
            raise KernelError(E.BUSY)
        return
    vases.sharing.admit(vas, kind)
    if len(held.attachments) == MAX_ATTACHMENTS:
        raise KernelError(E.BUSY)
    empty = _empty_space(vases)
    try:
        vas.take(kind)
        try:
            view = vases.sync.attach(empty, vas, bool(kind & WRITE))
        except KernelError:
            vas.count(kind, -1)
            raise
    except KernelError:
        empty.destroy()
        raise
    view.vid, view.tagging, view.alone, view.traps = vid, vas.tagging, True, traps
    vases.machine.charge(costs.RECORD_CREATE)
    made = Attachment(vas, home, kind, view, bare=empty)
    held.attachments[vid] = vas.attachments[home.id] = made
    vases.machine.emit(VAS_ATTACH, home.id, vid, view.id, kind, 1)


def _empty_space(vases: Vases) -> AddressSpace:
    """What stands for the process: the kernel's user page, and a heap that has no room."""
    space = vases.memory.new_space()
    space.break_start = space.break_end = MAP_TOP
    return space


def explain(thread: Thread, rsp: int, va: int, error: int) -> str:
    """In a sentence: why a fault at `va` ends a thread that sees nothing of its process."""
    where = f"VAS {thread.space.vid} shows nothing of the process"
    if error & ERR_FETCH:
        return f"{where}: no code is mapped there at {va:#x}; map the code inside first"
    if 0 <= rsp - va <= NEAR_STACK_BYTES and thread.space.map.find(va) is None:
        return (
            f"{where}: its stack is not there, and a push to {va:#x} cannot be done; map a stack "
            "inside, and let rsp point to it before the first push"
        )
    if thread.process.space.map.find(va) is not None and thread.space.map.find(va) is None:
        return f"{where}: what the process has at {va:#x} is not there"
    return f"{where}, and has nothing at {va:#x} that allows this"
