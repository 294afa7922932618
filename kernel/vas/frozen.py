"""Checkpoints are VASes: one that holds a frozen process can be read, deleted, and restarted.

Its memory is a copy-on-write copy of the process's own, which its owner pays for.  Nobody can
change it: it cannot be attached for writing, and takes no segment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hw import costs
from kernel.abi.errno import E, KernelError
from kernel.mm import freeze
from kernel.mm.objects import MemoryObject
from kernel.mm.space import AddressSpace
from kernel.task.credentials import Credentials
from kernel.task.image import Attached, ProcessImage
from kernel.task.process import Thread
from kernel.vas.records import READ, Vas
from kernel.vas.vases import Vases

MODE = 0o600
"""Of a new checkpoint."""


def make(
    vases: Vases,
    home: AddressSpace,
    image: ProcessImage,
    stays: Callable[[MemoryObject], bool],
) -> Vas:
    """The checkpoint of a process, whose user owns it.  Raises ENOMEM."""
    owner = image.credentials
    vas = vases.create(owner, _free_name(vases, image.id), MODE)
    try:
        freeze.duplicate(home, vas.space, stays, vas.account)
    except KernelError:
        vases.delete(Credentials(), vas.id)
        raise
    finally:
        vases.forked(home)
    vas.space.program, vas.image = home.program, image
    return vas


def _free_name(vases: Vases, pid: int) -> bytes:
    """`ckpt.PID.N`, with the lowest N from 1 that is free."""
    number = 1
    while (name := b"ckpt.%d.%d" % (pid, number)) in vases.vas_names:
        vases.machine.charge(costs.NAME_LOOKUP)
        number += 1
    return name


def for_restart(vases: Vases, vid: int, who: Credentials) -> Vas:
    """The checkpoint with this id.  Raises EINVAL: there is none; EACCES: `who` may not read it."""
    vas = vases.vas(vid)
    if vas.image is None:
        raise KernelError(E.INVAL)
    vas.check(who, READ)
    return vas


# What was attached ------------------------------------------------------------------------------


def attached(vases: Vases, home: AddressSpace) -> tuple[tuple[Attached, ...], tuple[Attached, ...]]:
    """The segments that a process has at home, and the VASes, by name."""
    held = vases.held(home)
    segments = tuple(_by_name(vases, held.segments))
    views = tuple(
        Attached(a.vas.name, a.kind, tuple(_by_name(vases, a.segments)))
        for a in held.attachments.values()
    )
    vases.machine.charge(costs.TABLE_LOOKUP, len(segments) + len(views))
    return segments, views


def _by_name(vases: Vases, segments: dict[int, int]) -> Iterator[Attached]:
    for sid, kind in segments.items():
        yield Attached(vases.segments[sid].name, kind)


def view_of(vases: Vases, thread: Thread) -> bytes | None:
    """The name of the VAS that a thread is in.  Raises EBUSY behind a gate, which has secrets."""
    if thread.space.gated:
        raise KernelError(E.BUSY)
    vid = thread.space.vid
    return vases.vases[vid].name if vid else None
