"""System calls on virtual address spaces: 1332 to 1347 are the RFC's, 1000 + its numbers; from 1350
on, what SpaceJMP has besides, and an entry per attachment after lwC.

`type` is an access mode of open(2); `mode` is masked with 0666; names have at most 255 bytes; vid 0
is the process's own space.  `struct vas_attr { u32 mode, user, group; }` serves both kinds.
"""

from __future__ import annotations

import struct

from kernel.abi.errno import E, KernelError
from kernel.kernel import Kernel
from kernel.mm.shootdown import TAG_KEPT, TAG_NONE
from kernel.syscalls import Flags, Int, Path, Pid, Ptr, syscall
from kernel.task.process import Thread
from kernel.vas.records import MODE_MASK, TYPES, Named

MAX_NAME_BYTES = 255
_ATTRIBUTES = struct.Struct("<III")
VAS_CTL_TAG, VAS_CTL_PUSHED = 1, 2
SEG_CTL_LOCKABLE = 1

NOTES: dict[str, tuple[str, ...]] = {
    "How views follow each other (--vas-sync)": (
        "subtree (default): a view shares page-table subtrees with its process and with the VAS, "
        "at the highest level whose span has one owner. There is one heap, one mapping, one page, "
        "whatever view it is changed in.",
        "forward: a view has tables of its own; every change is pushed into them at once and is "
        "counted (vas_ctl, VAS_CTL_PUSHED). What programs see is the same as under subtree.",
        "rfc: a view is a copy, brought up to date at each switch by timestamps of regions, as "
        "the RFC has it. A heap that grew, in either view, makes the next switch fail with "
        "EFAULT; what the process unmaps lives on in the view; a page first touched inside is "
        "another one outside; readers can add mappings, and the second of them cannot detach. What "
        "is mapped inside becomes the VAS's, and is paid for, only at detach or exit.",
    ),
    "Who may be in a VAS at the same time (--vas-sharing)": (
        "attach (default): one writer alone or any number of readers, decided when something is "
        "attached and held until it is detached; EBUSY for who comes too late.",
        "switch: anybody may attach. vas_switch takes the reader/writer lock of every lockable "
        "segment (vas_seg_ctl) in the order of their ids, having given up those of the VAS that "
        "it leaves, and sleeps until it has them; only SIGKILL ends that sleep. Who came first "
        "goes first, but a reader waits for writers alone. A thread that is made inside is in the "
        "same critical section. Switching away, exit, exec and death by a signal release them.",
    ),
    "What the RFC left open": (
        "A signal handler runs in the view that the signal found. The frame remembers it, so a "
        "handler may switch, and its return leads back; if the VAS is not attached any more, or "
        "has a registered entry, the return is a SIGSEGV.",
        "fork copies the process's own memory and nothing of a VAS: the child is at home with "
        "nothing attached. If its code or stack was in the VAS, it faults at once.",
        "vfork borrows the parent's view until exec or exit. A thread made inside a VAS starts "
        "there.",
        "exec and exit switch back and detach everything; a VAS and a segment stay until deleted.",
        "A thread whose stack was mapped inside a VAS faults at its first push after it has "
        "switched away: it must change to a stack of its process first.",
        "Two processes with their stacks at one place share a VAS without harm, since each view "
        "shows its own process's stack. A segment in that place is a layout conflict.",
        "malloc takes memory by brk, which is the process's in every view, or by mmap, which is "
        "the VAS's when it is made inside: its lists are lost to others. A vas_heap (vas.h) keeps "
        "its lists in the segment that it manages.",
        "A futex is known by the memory that it lies in, so in a segment it is one futex in every "
        "process and every view.",
        "Who pays: every frame of a VAS, of its tables, and of a segment is charged to its owner, "
        "dead or alive, up to --vas-limit (root has none). At the limit calls answer ENOMEM, and "
        "a touch ends the toucher as no memory does. Of the 65,535 ids of each kind a user owns "
        "32,767 at most, VASes and segments together.",
        "What a compartment does not stop: code that was hijacked can call vas_switch itself. "
        "vas_entry closes that way in, and forged signal frames are no way round it. Whoever may "
        "attach the VAS anew, after a fork for instance, has no entry to pass: take the rights "
        "away.",
    ),
    "Where this is not what the RFC does": (
        "The numbers are 1000 + the RFC's. pid 0 is the caller.",
        "vas_seg_attach and vas_seg_detach take vid 0, the process's own space.",
        "Attaching to or detaching from another user's process is EACCES, unless by root.",
        "setattr needs the owner or root; only root changes the owner, and the group only to "
        "one's own; else EACCES. vas_seg_detach needs write on the VAS.",
        "vas_detach is EBUSY while any thread is inside, not just the caller.",
        "Through an attachment for reading nobody maps, unmaps or protects the VAS's memory: "
        "EACCES. On x86 what may be written may be read, so O_WRONLY shows as O_RDWR does.",
        "A segment's pages are sealed, as by mseal(2): munmap, mprotect and mmap over them are "
        "EPERM.",
        "mmap with MAP_FIXED where an attached view shows something else is EFAULT; brk stays "
        "where it is; a stack does not grow there.",
        "Too many attachments (65,535 of one VAS, segment or process) are EBUSY.",
        "Under subtree and forward, vas_switch and vas_detach never answer EFAULT.",
        "A layout conflict is EFAULT, and the kernel's log and the trace name the two regions.",
        "/sys/kernel/vas/ID has besides the RFC's files attached, resident, segments; vas_segs/ID "
        "has attached, resident and lockable. In /proc/PID/vas/VID/maps, v marks what is the VAS's "
        "and a what is the process's.",
    ),
}
"""What `run.py manual vas` prints in front of the calls."""


def _name(t: Thread, at: int) -> bytes:
    """Raises EINVAL for no name, an empty or an overlong one; EFAULT."""
    if not at:
        raise KernelError(E.INVAL)
    try:
        name = t.space.read_string(at, MAX_NAME_BYTES)
    except KernelError as error:
        too_long = error.number == E.NAMETOOLONG
        raise KernelError(E.INVAL if too_long else error.number) from error
    if not name:
        raise KernelError(E.INVAL)
    return name


def _kind(type: int) -> int:
    """Raises EINVAL."""
    kind = TYPES.get(type)
    if kind is None:
        raise KernelError(E.INVAL)
    return kind


def _get(t: Thread, named: Named, out: int) -> int:
    t.space.write(out, _ATTRIBUTES.pack(named.mode, named.user, named.group))
    return 0


def _set(k: Kernel, t: Thread, named: Named, at: int) -> int:
    mode, user, group = _ATTRIBUTES.unpack(t.space.read(at, _ATTRIBUTES.size))
    who = t.process.credentials
    if not who.is_root:
        foreign = group != named.group and group not in (who.gid, *who.groups)
        if who.uid != named.user or user != named.user or foreign:
            raise KernelError(E.ACCES)
    named.mode, named.group = mode & MODE_MASK, group
    if user != named.user:
        k.vases.give(named, user)
    return 0


# The RFC's -------------------------------------------------------------------------------------


@syscall(1332)
def vas_create(k: Kernel, t: Thread, name: Path, mode: Flags) -> int:
    """Make a virtual address space; returns its id.  It lives until it is deleted.

    EINVAL: no name, or too long; EFAULT; EEXIST; ENOMEM, also past the owner's limit.
    """
    return k.vases.create(t.process.credentials, _name(t, name), mode).id


@syscall(1333)
def vas_delete(k: Kernel, t: Thread, vid: Int) -> int:
    """Delete a VAS and the memory that is its own; its segments are detached and live on.

    EINVAL: there is none; EACCES: needs write; EBUSY: attached.
    """
    k.vases.delete(t.process.credentials, vid)
    return 0


@syscall(1334)
def vas_find(k: Kernel, t: Thread, name: Path) -> int:
    """The id of the VAS with this name.  ESRCH: there is none; EINVAL; EFAULT."""
    vid = k.vases.vas_names.get(_name(t, name))
    if vid is None:
        raise KernelError(E.SRCH)
    return vid


@syscall(1335)
def vas_attach(k: Kernel, t: Thread, pid: Pid, vid: Int, type: Int) -> int:
    """Make a VAS a view of process `pid` (0: the caller), which its threads can switch to.

    EINVAL; ESRCH: no such process; EACCES: lacks `type` on the VAS, or another user's process;
    EBUSY: the sharing rule, or too many; EFAULT: a region of the process overlaps one of the
    VAS, and the log names them; ENOMEM.  Attached already: 0.
    """
    k.vases.attach(t.process, pid, vid, _kind(type))
    return 0


@syscall(1336)
def vas_detach(k: Kernel, t: Thread, pid: Pid, vid: Int) -> int:
    """Undo vas_attach.  What was mapped inside stays in the VAS.

    EINVAL: not attached; ESRCH; EACCES: another user's process, or an entry is registered; EBUSY:
    a thread is inside, or on its way in; EFAULT: merging back failed (policy rfc).
    """
    k.vases.detach(t.process, pid, vid)
    return 0


@syscall(1337)
def vas_switch(k: Kernel, t: Thread, vid: Int) -> int | None:
    """Let the calling thread see an attached VAS, or with 0 its process's own space.

    Registers stay.  The VAS it is in already: 0, and no work.  Under the sharing policy `switch` it
    sleeps until it has the locks of the lockable segments there.  If the attachment has a
    registered entry, the thread goes on there.
    EINVAL: not attached; EFAULT: the views cannot be synchronised (policy rfc).
    """
    attachment = k.vases.switch(t, vid)
    if attachment is None or not attachment.entry:
        return 0
    t.registers = {"rip": attachment.entry, "rax": 0}
    return None


@syscall(1338)
def active_vas(k: Kernel, t: Thread) -> int:
    """The VAS that the calling thread is in, 0 for its process's own space."""
    return t.space.vid


@syscall(1339)
def vas_getattr(k: Kernel, t: Thread, vid: Int, attr: Ptr) -> int:
    """Store mode, owner and group of a VAS.  EINVAL; EFAULT."""
    return _get(t, k.vases.vas(vid), attr)


@syscall(1340)
def vas_setattr(k: Kernel, t: Thread, vid: Int, attr: Ptr) -> int:
    """Set mode, owner and group of a VAS; who owns it pays for it.

    EINVAL; EFAULT; EACCES: not the owner and not root, or an owner who gives it away, or to a
    group that is not his.
    """
    return _set(k, t, k.vases.vas(vid), attr)


@syscall(1341)
def vas_seg_create(k: Kernel, t: Thread, name: Path, start: Ptr, end: Ptr, mode: Flags) -> int:
    """Make a segment, memory that is at `start`..`end` wherever it is attached; returns its id.

    EINVAL: name, or bounds unaligned or empty; EFAULT: bad pointer, or bounds outside user memory;
    EEXIST; ENOMEM.
    """
    who = t.process.credentials
    return k.vases.make_segment(who, _name(t, name), start, end, mode).id


@syscall(1342)
def vas_seg_delete(k: Kernel, t: Thread, sid: Int) -> int:
    """Delete a segment and its contents.  EINVAL; EACCES: needs write; EBUSY: attached."""
    k.vases.delete_segment(t.process.credentials, sid)
    return 0


@syscall(1343)
def vas_seg_find(k: Kernel, t: Thread, name: Path) -> int:
    """The id of the segment with this name.  ESRCH; EINVAL; EFAULT."""
    sid = k.vases.segment_names.get(_name(t, name))
    if sid is None:
        raise KernelError(E.SRCH)
    return sid


@syscall(1344)
def vas_seg_attach(k: Kernel, t: Thread, vid: Int, sid: Int, type: Int) -> int:
    """Show a segment in a VAS, or with vid 0 in the process's own space.

    EINVAL; EACCES: lacks `type` on the segment or write on the VAS; EBUSY: the VAS is attached, or
    the sharing rule; EFAULT: something is there already; ENOMEM.  Attached already: 0.
    """
    k.vases.attach_segment(t.process, vid, sid, _kind(type))
    return 0


@syscall(1345)
def vas_seg_detach(k: Kernel, t: Thread, vid: Int, sid: Int) -> int:
    """Undo vas_seg_attach.  EINVAL: not attached; EACCES: needs write on the VAS; EBUSY."""
    k.vases.detach_segment(t.process, vid, sid)
    return 0


@syscall(1346)
def vas_seg_getattr(k: Kernel, t: Thread, sid: Int, attr: Ptr) -> int:
    """Store mode, owner and group of a segment.  EINVAL; EFAULT."""
    return _get(t, k.vases.segment(sid), attr)


@syscall(1347)
def vas_seg_setattr(k: Kernel, t: Thread, sid: Int, attr: Ptr) -> int:
    """Set mode, owner and group of a segment.  EINVAL; EFAULT; EACCES, as vas_setattr."""
    return _set(k, t, k.vases.segment(sid), attr)


# SpaceJMP's, and an entry -----------------------------------------------------------------------


@syscall(1350)
def vas_clone(k: Kernel, t: Thread, vid: Int, name: Path, mode: Flags) -> int:
    """Make a VAS with the same segments and a copy of the memory of another; returns its id.

    EINVAL; EFAULT; EACCES: needs read on it, and on its segments what they are attached for;
    EEXIST; EBUSY: a segment admits nobody more; ENOMEM.
    """
    return k.vases.clone(t.process.credentials, vid, _name(t, name), mode).id


@syscall(1351)
def vas_ctl(k: Kernel, t: Thread, vid: Int, command: Int, value: Int) -> int:
    """VAS_CTL_TAG (1): what its views ask of TLB tags.  Value 0: none, so that each load flushes;
    1: one while there are enough (the default); 2: to keep it.
    VAS_CTL_PUSHED (2): how many table entries and regions the kernel wrote into the caller's view
    to make it follow changes elsewhere.

    EINVAL, also where it is not attached (2); EACCES: needs write (1).
    """
    if command == VAS_CTL_PUSHED:
        return k.vases.attachment(t.process, vid).view.pushed
    vas = k.vases.vas(vid)
    vas.check(t.process.credentials, 2)
    if command != VAS_CTL_TAG or not TAG_NONE <= value <= TAG_KEPT:
        raise KernelError(E.INVAL)
    vas.tagging = value
    for attachment in vas.attachments.values():
        attachment.view.tagging = value
        k.shootdowns.forget_tag(attachment.view)
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
    return 0


@syscall(1354)
def vas_local_attach(k: Kernel, t: Thread, vid: Int, sid: Int, type: Int) -> int:
    """Show a segment in the caller's attachment of a VAS, and in nobody else's.

    EINVAL: not attached; EACCES: lacks `type` on the segment; EBUSY: the sharing rule; EFAULT:
    something is there already; ENOMEM.  Attached already: 0.
    """
    k.vases.attach_privately(t.process, vid, sid, _kind(type))
    return 0


@syscall(1355)
def vas_local_detach(k: Kernel, t: Thread, vid: Int, sid: Int) -> int:
    """Undo vas_local_attach.  EINVAL: not attached."""
    k.vases.detach_privately(t.process, vid, sid)
    return 0


@syscall(1356)
def vas_entry(k: Kernel, t: Thread, vid: Int, entry: Ptr) -> int:
    """Register where every switch into this attachment leads from now on, whoever makes it.

    It cannot be changed, and the VAS stays attached until exec or exit.
    EINVAL: not attached, or no address; EBUSY: there is one.
    """
    attachment = k.vases.attachment(t.process, vid)
    if not 0 < entry < 1 << 47:
        raise KernelError(E.INVAL)
    if attachment.entry:
        raise KernelError(E.BUSY)
    attachment.entry = entry
    return 0
