"""System calls on virtual address spaces.

1332 to 1347 are the RFC's: 1000 + its numbers.  From 1350 on there are calls that SpaceJMP has
besides, and a gate per VAS, after lwC.  The kernel masks `type` with O_ACCMODE (3), which
leaves an access mode of open(2), and `mode` with 0666 and VAS_PERSISTENT (0x10000).  A name has 0
to 255 bytes.  vid 0 is the process's own space.
`struct vas_attr { u32 mode, user, group; }` serves both kinds.
"""

from __future__ import annotations

import struct

from hw import costs
from kernel.abi.errno import E, KernelError
from kernel.ipc import segment_files
from kernel.kernel import Kernel
from kernel.mm.shootdown import TAG_KEPT, TAG_NONE
from kernel.syscalls.table import Flags, Int, Path, Pid, Ptr, syscall
from kernel.syscalls.vas_notes import NOTES as NOTES  # the manual prints them
from kernel.task.credentials import Credentials
from kernel.task.process import Thread
from kernel.vas import gate, persistent
from kernel.vas.attributes import set_attributes
from kernel.vas.persistent import PERSISTENT
from kernel.vas.records import MODE_MASK, TYPES, Named
from kernel.wait import signals

MAX_NAME_BYTES = 255
O_ACCMODE = 3
_ATTRIBUTES = struct.Struct("<III")
VAS_CTL_TAG, VAS_CTL_PUSHED = 1, 2
SEG_CTL_LOCKABLE = 1


def _name(t: Thread, at: int) -> bytes:
    """Raises EINVAL for a null pointer or an overlong name; EFAULT.  An empty name is a name."""
    if not at:
        raise KernelError(E.INVAL)
    try:
        return t.space.read_string(at, MAX_NAME_BYTES)
    except KernelError as error:
        too_long = error.number == E.NAMETOOLONG
        raise KernelError(E.INVAL if too_long else error.number) from error


def kind_of(type: int) -> int:
    """The rights of a `type`, whose flags beside the access mode do not count.  Raises EINVAL."""
    kind = TYPES.get(type & O_ACCMODE)
    if kind is None:
        raise KernelError(E.INVAL)
    return kind


def find_process(k: Kernel, t: Thread, pid: int, vid: int) -> None:
    """The RFC looks at both ids, then for the process, before anything else: EINVAL, ESRCH."""
    if pid < 0 or vid < 0:
        raise KernelError(E.INVAL)
    k.vases.process(t.process, pid)


def _get(t: Thread, named: Named, out: int) -> int:
    if not out:
        raise KernelError(E.INVAL)
    t.space.write(out, _ATTRIBUTES.pack(named.mode, named.user, named.group))
    return 0


def _set(k: Kernel, t: Thread, named: Named, at: int) -> int:
    if not at:
        raise KernelError(E.INVAL)
    mode, user, group = _ATTRIBUTES.unpack(t.space.read(at, _ATTRIBUTES.size))
    who = t.process.credentials
    if not who.is_root:
        foreign = group != named.group and group not in (who.gid, *who.groups)
        if who.uid != named.user or user != named.user or foreign:
            raise KernelError(E.ACCES)
    old = named.mode & MODE_MASK, named.user, named.group
    set_attributes(k.vases, named, mode, user, group)
    try:
        persistent.follow(k.persistence, named, wanted=bool(mode & PERSISTENT))
    except KernelError:
        set_attributes(k.vases, named, *old)
        raise
    return 0


# The RFC's -------------------------------------------------------------------------------------


@syscall(1332)
def vas_create(k: Kernel, t: Thread, name: Path, mode: Flags) -> int:
    """Make a virtual address space; returns its id.  It lives until it is deleted.

    EINVAL: no name, or too long; EFAULT; EEXIST; ENOMEM, also past the owner's limit.  With
    VAS_PERSISTENT in `mode` ENODEV: there is no NVM module; ENOSPC: no room in it.
    """
    made = k.vases.create(t.process.credentials, _name(t, name), mode)
    try:
        persistent.follow(k.persistence, made, wanted=bool(mode & PERSISTENT))
    except KernelError:
        made.mode |= 0o200
        k.vases.delete(Credentials(), made.id)
        raise
    return made.id


@syscall(1333)
def vas_delete(k: Kernel, t: Thread, vid: Int) -> int:
    """Delete a VAS and the memory that is its own; its segments are detached and live on.

    EINVAL: there is none; EBUSY: attached; EACCES: needs write.
    """
    vas = k.vases.vas(vid)
    k.vases.delete(t.process.credentials, vid)
    persistent.gone(k.persistence, vas)
    return 0


@syscall(1334)
def vas_find(k: Kernel, t: Thread, name: Path) -> int:
    """The id of the VAS with this name.  ESRCH: there is none; EINVAL; EFAULT."""
    return k.vases.find(k.vases.vas_names, _name(t, name))


@syscall(1335)
def vas_attach(k: Kernel, t: Thread, pid: Pid, vid: Int, type: Int) -> int:
    """Make a VAS a view of process `pid` (0: the caller), which its threads can switch to.

    EINVAL, also for a negative id; ESRCH: no such process; EACCES: lacks `type` on the VAS, or
    another user's process; EBUSY: the sharing rule, or too many; EFAULT: a region of the process
    overlaps one of the VAS, and the log names them; ENOMEM.  Attached already: 0.
    """
    find_process(k, t, pid, vid)
    k.vases.attach(t.process, pid, vid, kind_of(type))
    return 0


@syscall(1336)
def vas_detach(k: Kernel, t: Thread, pid: Pid, vid: Int) -> int:
    """Undo vas_attach.  What was mapped inside stays in the VAS.

    EINVAL: not attached, or a negative id; ESRCH: no such process; EACCES: another user's process,
    or the VAS has a gate; EBUSY: a thread is inside, or on its way in; EFAULT: merging back
    failed (policy rfc).
    """
    find_process(k, t, pid, vid)
    k.vases.detach(t.process, pid, vid)
    return 0


@syscall(1337)
def vas_switch(k: Kernel, t: Thread, vid: Int) -> int | None:
    """Let the calling thread see an attached VAS, or with 0 its process's own space.

    Registers stay.  If the thread is there already, the call does nothing.  Under the sharing
    policy `switch` it sleeps until it has the locks of the lockable segments there.  If the VAS has
    a gate (vas_entry), the thread goes on there.  When a gate switches home, its caller goes on,
    unless the gate's next instruction is at home as well.
    EINVAL: not attached; EFAULT: the views cannot be synchronised (policy rfc), or a gate faulted.
    """
    was_gated, core = t.space.gated, k.machine.core
    attachment = k.vases.switch(t, vid)
    if attachment is not None and attachment.entry:
        gate.enter(t, core, attachment.entry)
        return None
    if was_gated and not vid:
        if signals.waiting(t):
            k.tasks.interrupt(t)
        return None if gate.leave(t, core) else 0
    return 0


@syscall(1338)
def active_vas(k: Kernel, t: Thread) -> int:
    """The VAS that the calling thread is in, 0 for its process's own space."""
    return t.space.vid


@syscall(1339)
def vas_getattr(k: Kernel, t: Thread, vid: Int, attr: Ptr) -> int:
    """Store mode, owner and group of a VAS.  EINVAL, also for no `attr`; EFAULT."""
    return _get(t, k.vases.vas(vid), attr)


@syscall(1340)
def vas_setattr(k: Kernel, t: Thread, vid: Int, attr: Ptr) -> int:
    """Set mode, owner and group of a VAS; its owner pays for it.

    EINVAL; EFAULT; EACCES: neither owner nor root; or an owner that sets another owner, or a group
    that is not its own.  VAS_PERSISTENT comes or goes: EBUSY: attached; ENODEV; ENOSPC; ENOMEM;
    EOPNOTSUPP: files, a stack, or segments that are not persistent are mapped in it, or it is a
    checkpoint.
    """
    return _set(k, t, k.vases.vas(vid), attr)


@syscall(1341)
def vas_seg_create(k: Kernel, t: Thread, name: Path, start: Ptr, end: Ptr, mode: Flags) -> int:
    """Make a segment, memory that is at `start`..`end` wherever it is attached; returns its id.

    EINVAL: name, or bounds unaligned or empty; EFAULT: bad pointer, or bounds outside user memory;
    EEXIST; ENOMEM; with VAS_PERSISTENT in `mode` ENODEV and ENOSPC, as vas_create.
    """
    who = t.process.credentials
    made = k.vases.make_segment(who, _name(t, name), start, end, mode)
    try:
        persistent.follow(k.persistence, made, wanted=bool(mode & PERSISTENT))
    except KernelError:
        made.mode |= 0o200
        k.vases.delete_segment(Credentials(), made.id)
        raise
    return made.id


@syscall(1342)
def vas_seg_delete(k: Kernel, t: Thread, sid: Int) -> int:
    """Delete a segment and its contents.  EINVAL; EBUSY: attached; EACCES: needs write.

    A mapping of /segs/NAME keeps the memory, without a name, until it goes.
    """
    segment = k.vases.segment(sid)
    segment_files.delete(k.ipc, k.vases, t.process.credentials, sid)
    persistent.gone(k.persistence, segment)
    return 0


@syscall(1343)
def vas_seg_find(k: Kernel, t: Thread, name: Path) -> int:
    """The id of the segment with this name.  ESRCH; EINVAL; EFAULT."""
    return k.vases.find(k.vases.segment_names, _name(t, name))


@syscall(1344)
def vas_seg_attach(k: Kernel, t: Thread, vid: Int, sid: Int, type: Int) -> int:
    """Show a segment in a VAS, or with vid 0 in the process's own space.

    EINVAL; EACCES: lacks `type` on the segment or write on the VAS; EBUSY: the VAS is attached, or
    the sharing rule; EFAULT: something is there already; ENOMEM; EOPNOTSUPP: the VAS is persistent
    and the segment is not.  Attached already: 0.
    """
    kind = kind_of(type)
    if vid and k.persistence is not None:
        k.persistence.check_link(k.vases.vas(vid), k.vases.segment(sid))
    k.vases.attach_segment(t.process, vid, sid, kind)
    return 0


@syscall(1345)
def vas_seg_detach(k: Kernel, t: Thread, vid: Int, sid: Int) -> int:
    """Undo vas_seg_attach.  EINVAL: not attached; EACCES: needs write on the VAS; EBUSY."""
    k.vases.detach_segment(t.process, vid, sid)
    return 0


@syscall(1346)
def vas_seg_getattr(k: Kernel, t: Thread, sid: Int, attr: Ptr) -> int:
    """Store mode, owner and group of a segment.  EINVAL, also for no `attr`; EFAULT."""
    return _get(t, k.vases.segment(sid), attr)


@syscall(1347)
def vas_seg_setattr(k: Kernel, t: Thread, sid: Int, attr: Ptr) -> int:
    """Set mode, owner and group of a segment; see vas_setattr.  EINVAL; EFAULT; EACCES; EBUSY: it
    would become persistent, or no longer be so, and is attached or mapped from /segs."""
    return _set(k, t, k.vases.segment(sid), attr)


# SpaceJMP's, and a gate -----------------------------------------------------------------------


@syscall(1350)
def vas_clone(k: Kernel, t: Thread, vid: Int, name: Path, mode: Flags) -> int:
    """Make a VAS with the same segments and a copy of the memory of another; returns its id.

    EINVAL; EFAULT; EACCES: needs read on it, and on its segments what they are attached for;
    EEXIST; EBUSY: the sharing rule of a segment; ENOMEM.
    """
    return k.vases.clone(t.process.credentials, vid, _name(t, name), mode).id


@syscall(1351)
def vas_ctl(k: Kernel, t: Thread, vid: Int, command: Int, value: Int) -> int:
    """VAS_CTL_TAG (1): set which TLB tags its views get.  Value 0: none, so each load flushes; 1:
    one while there are enough (the default); 2: one that they keep.
    VAS_CTL_PUSHED (2): how many table entries and regions the kernel has written into the caller's
    view to make it follow changes elsewhere.

    EINVAL, also where it is not attached (2); EACCES: needs write (1).
    """
    if command == VAS_CTL_PUSHED:
        return k.vases.attachment(t.process, vid).view.pushed
    vas = k.vases.vas(vid)
    vas.check(t.process.credentials, 2)
    if command != VAS_CTL_TAG or not TAG_NONE <= value <= TAG_KEPT:
        raise KernelError(E.INVAL)
    vas.tagging = value
    persistent.changed(k.persistence, vas)
    k.machine.charge(costs.TABLE_LOOKUP, len(vas.attachments))
    for attachment in vas.attachments.values():
        attachment.view.tagging = value
        k.memory.shootdowns.forget_tag(attachment.view)
    return 0


@syscall(1352)
def vas_seg_clone(k: Kernel, t: Thread, sid: Int, name: Path, mode: Flags) -> int:
    """Make a segment with the same bounds and a copy of the contents; returns its id.

    EINVAL; EFAULT; EACCES: needs read; EEXIST; ENOMEM.
    """
    return k.vases.clone_segment(t.process.credentials, sid, _name(t, name), mode).id


@syscall(1353)
def vas_seg_ctl(k: Kernel, t: Thread, sid: Int, command: Int, value: Int) -> int:
    """SEG_CTL_LOCKABLE (1): whether a switch takes this segment's lock (policy `switch`).

    EINVAL; EACCES: needs write; EBUSY: attached.
    """
    segment = k.vases.segment(sid)
    segment.check(t.process.credentials, 2)
    if command != SEG_CTL_LOCKABLE or value not in (0, 1):
        raise KernelError(E.INVAL)
    if segment.attached:
        raise KernelError(E.BUSY)
    segment.lockable = bool(value)
    persistent.changed(k.persistence, segment)
    return 0


@syscall(1354)
def vas_local_attach(k: Kernel, t: Thread, vid: Int, sid: Int, type: Int) -> int:
    """Show a segment in the caller's attachment of a VAS only.

    EINVAL: not attached; EACCES: lacks `type` on the segment; EBUSY: the sharing rule; EFAULT:
    something is there already; ENOMEM.  Attached already: 0.
    """
    k.vases.attach_privately(t.process, vid, sid, kind_of(type))
    return 0


@syscall(1355)
def vas_local_detach(k: Kernel, t: Thread, vid: Int, sid: Int) -> int:
    """Undo vas_local_attach.  EINVAL: not attached."""
    k.vases.detach_privately(t.process, vid, sid)
    return 0


@syscall(1356)
def vas_entry(k: Kernel, t: Thread, vid: Int, entry: Ptr) -> int:
    """Register the gate: where every switch into this VAS leads from now on, in any attachment.

    It cannot change, and what has the VAS attached keeps it until exec or exit.  A clone of the VAS
    has the same gate.
    EINVAL: not attached, or no address; EBUSY: there is a gate, or a thread is inside; EACCES: the
    VAS is attached for reading, or `entry` is not in private memory that was mapped inside.
    """
    gate.register(k.vases, t.process, vid, entry)
    persistent.changed(k.persistence, k.vases.vas(vid))
    return 0
