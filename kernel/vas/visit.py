"""Signal stacks in a view of their own: a signal takes its thread there, and its return back.

Andy Lutomirski's other idea in the RFC's thread: a mode of sigaltstack(2) in which a signal also
switches the address space.  `vas_sigaltstack` says where a thread's alternate stack is: in a VAS,
or at home.  A signal that is delivered on it enters that view first; the frame remembers the view
that the signal found, and the return of the handler leads back there.

A visit takes no segment lock and gives none up, so a critical section that a signal interrupts
stays one.  Hence a view that would need locks cannot be visited; nor can one with a gate.
"""

from __future__ import annotations

from hw import costs
from kernel.abi.errno import E, KernelError
from kernel.mm.space import AddressSpace
from kernel.task.process import Thread
from kernel.vas.records import Attachment
from kernel.vas.vases import Vases
from kernel.vas.view import place_of


def place(vases: Vases, thread: Thread, vid: int) -> tuple[int, int]:
    """The VAS with this id as a place for a signal stack; 0: home.

    Raises EINVAL: not attached, or it has a gate; EBUSY: it needs locks.
    """
    if not vid:
        return 0, 0
    attachment = vases.attachment(thread.process, vid)
    _check(vases, attachment)
    return vid, attachment.vas.space.id


def _check(vases: Vases, attachment: Attachment) -> None:
    if attachment.entry:
        raise KernelError(E.INVAL)
    if vases.sharing.needs_locks(attachment):
        raise KernelError(E.BUSY)


def enter(vases: Vases, thread: Thread, where: tuple[int, int]) -> None:
    """A signal takes the thread to `where`.  Raises EINVAL if it is not attached any more, or has
    a gate; EBUSY: it needs locks; EFAULT (policy rfc)."""
    if where == place_of(thread.space):
        return
    vid, space = where
    target: AddressSpace = thread.process.space
    if vid:
        attachment = vases.attachment(thread.process, vid)
        if attachment.vas.space.id != space:
            raise KernelError(E.INVAL)
        _check(vases, attachment)
        target = attachment.view
    _go(vases, thread, target)


def go_back(vases: Vases, thread: Thread, vid: int, space: int) -> None:
    """A signal handler ends: the thread returns to the VAS where it was interrupted.

    `space` is the id of the VAS's space; 0: of whatever VAS has the id, as a user-space kernel
    writes it.  Raises EINVAL if that VAS is not attached, though another one may have its id now,
    or has a gate; EFAULT (policy rfc), `Blocked` where the locks were given up.
    """
    if (vid, space) == place_of(thread.space) or (thread.space.vid == vid and not space):
        return
    if vid:
        attachment = vases.attachment(thread.process, vid)
        if attachment.entry or space not in (0, attachment.vas.space.id):
            raise KernelError(E.INVAL)
        if vases.sharing.has_locks(thread, attachment):
            _go(vases, thread, attachment.view)
            return
    vases.switch(thread, vid)


def _go(vases: Vases, thread: Thread, target: AddressSpace) -> None:
    """The move of a switch, without its locks.  Raises EFAULT."""
    vases.machine.charge(costs.TABLE_LOOKUP)
    vases.sync.switch(thread.process.space, thread.space, target)
    vases.move(thread, target)
    vases.tasks.show(thread)
