"""A restarted process attaches again what its checkpoint had, by name.

`check` asks everything that can be asked beforehand, while the process still is what it was.
`attach` and `enter` do it later.  What the process itself has attached is not in its way: it lets
go of that in between.
"""

from __future__ import annotations

from collections.abc import Iterable

from hw import costs
from kernel.abi.errno import E, KernelError
from kernel.task.credentials import Credentials
from kernel.task.image import Attached, ProcessImage
from kernel.task.process import Process, Thread
from kernel.vas.records import WRITE, Named, Segment, Vas
from kernel.vas.sharing import AtAttach
from kernel.vas.vases import VAS_SWITCH, Vases


def check(vases: Vases, who: Credentials, process: Process, frozen: Vas) -> None:
    """Could `process` have what the checkpoint had attached?

    Raises ESRCH: something is gone; EACCES: `who` lacks a right, or there is a gate now; EBUSY:
    the sharing rule; EFAULT: something is where the checkpoint has memory.
    """
    assert frozen.image is not None
    inside = {thread.view for thread in frozen.image.threads}
    for wanted in frozen.image.memory.segments:
        _check_segment(vases, who, process, frozen, wanted)
    for wanted in frozen.image.memory.views:
        vas = vases.vases[vases.find(vases.vas_names, wanted.name)]
        _admit(vases, who, process, vas, wanted.kind)
        if vas.entry:
            raise KernelError(E.ACCES)
        _check_free(vases, frozen, ((region.start, region.end) for region in vas.space.map))
        for own in wanted.segments:
            _check_segment(vases, who, process, frozen, own)
        if wanted.name in inside:
            own_ids = [vases.segment_names[each.name] for each in wanted.segments]
            _check_locks(vases, process, [*vas.segments, *own_ids])


def _check_segment(
    vases: Vases, who: Credentials, process: Process, frozen: Vas, wanted: Attached
) -> None:
    segment = vases.segments[vases.find(vases.segment_names, wanted.name)]
    _admit(vases, who, process, segment, wanted.kind)
    _check_free(vases, frozen, [(segment.start, segment.end)])


def _admit(vases: Vases, who: Credentials, process: Process, named: Named, kind: int) -> None:
    """The rights, and the sharing rule without what the process has attached itself."""
    named.check(who, kind)
    held, own = vases.held(process.space), []
    if isinstance(named, Segment):
        groups = (held.segments, *(each.segments for each in held.attachments.values()))
        own = [group[named.id] for group in groups if named.id in group]
    elif named.id in held.attachments:
        own = [held.attachments[named.id].kind]
    writers = named.writers - sum(bool(each & WRITE) for each in own)
    others = named.attached - len(own)
    if isinstance(vases.sharing, AtAttach) and (writers or (kind & WRITE and others)):
        raise KernelError(E.BUSY)


def _check_free(vases: Vases, frozen: Vas, ranges: Iterable[tuple[int, int]]) -> None:
    """Raises EFAULT, and the log names the checkpoint's region."""
    for start, end in ranges:
        vases.machine.charge(costs.REGION_FIND)
        other = frozen.space.map.first_in(start, end)
        if other is not None:
            vases.log.say_once(f"layout conflict: {start:#x}-{end:#x} overlaps {other}")
            raise KernelError(E.FAULT)


def _check_locks(vases: Vases, process: Process, segments: list[int]) -> None:
    """Raises EBUSY: a thread of another process is inside a lockable segment, or waits for it."""
    own = {thread.tid for thread in process.threads}
    vases.machine.charge(costs.TABLE_LOOKUP, len(segments))
    for sid in segments:
        segment = vases.segments[sid]
        if segment.lockable and not own >= {*segment.holders, *segment.queue}:
            raise KernelError(E.BUSY)


def attach(vases: Vases, process: Process, image: ProcessImage) -> None:
    """Attach everything.  Raises what `check` could not know, ENOMEM above all."""
    for wanted in image.memory.segments:
        sid = vases.find(vases.segment_names, wanted.name)
        vases.attach_segment(process, 0, sid, wanted.kind)
    for wanted in image.memory.views:
        vid = vases.find(vases.vas_names, wanted.name)
        vases.attach(process, 0, vid, wanted.kind)
        for own in wanted.segments:
            sid = vases.find(vases.segment_names, own.name)
            vases.attach_privately(process, vid, sid, own.kind)


def enter(vases: Vases, threads: list[Thread], views: list[bytes | None]) -> None:
    """Each thread is in its VAS again.

    The first one in a VAS takes the locks there.  The others join it, as threads do that are made
    inside.  Raises EFAULT (policy rfc).
    """
    first: dict[bytes, Thread] = {}
    for thread, view in zip(threads, views, strict=True):
        if view is None:
            continue
        if view not in first:
            first[view] = thread
            vases.switch(thread, vases.find(vases.vas_names, view))
            continue
        thread.space = first[view].space
        vases.join(first[view], thread)
        vases.machine.emit(VAS_SWITCH, thread.tid, 0, thread.space.vid, thread.space.id)
