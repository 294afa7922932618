"""System calls on user and group ids: credentials(7), setresuid(2) and its kin.

A process of root (effective uid 0) may take any ids; another one may only exchange its real,
effective and saved ids among each other.
"""

from __future__ import annotations

from dataclasses import replace

from kernel.abi.errno import E, KernelError
from kernel.kernel import Kernel
from kernel.syscalls import Id, Int, Ptr, Size, syscall
from kernel.task.process import NO_ID, Credentials, Thread

MAX_GROUPS = 65_536


@syscall(102)
def getuid(k: Kernel, t: Thread) -> int:
    """The real user id."""
    return t.process.credentials.real_uid


@syscall(104)
def getgid(k: Kernel, t: Thread) -> int:
    """The real group id."""
    return t.process.credentials.real_gid


@syscall(107)
def geteuid(k: Kernel, t: Thread) -> int:
    """The effective user id."""
    return t.process.credentials.uid


@syscall(108)
def getegid(k: Kernel, t: Thread) -> int:
    """The effective group id."""
    return t.process.credentials.gid


@syscall(105)
def setuid(k: Kernel, t: Thread, uid: Id) -> int:
    """Set the effective uid; root sets the real and the saved one too.

    EPERM: neither the real nor the saved one, and not root; EINVAL for -1.
    """
    old = t.process.credentials
    if uid == NO_ID:
        raise KernelError(E.INVAL)
    if old.is_root:
        _become(t, _users(old, uid, uid, uid))
    else:
        _permit(uid, (old.real_uid, old.saved_uid))
        _become(t, _users(old, NO_ID, uid, NO_ID))
    return 0


@syscall(106)
def setgid(k: Kernel, t: Thread, gid: Id) -> int:
    """Set the effective gid; root sets the real and the saved one too.  EPERM; EINVAL for -1."""
    old = t.process.credentials
    if gid == NO_ID:
        raise KernelError(E.INVAL)
    if old.is_root:
        _become(t, _groups(old, gid, gid, gid))
    else:
        _permit(gid, (old.real_gid, old.saved_gid))
        _become(t, _groups(old, NO_ID, gid, NO_ID))
    return 0


@syscall(113)
def setreuid(k: Kernel, t: Thread, real: Id, effective: Id) -> int:
    """Set the real and the effective uid, -1 to leave one.  EPERM: not one of the caller's.

    The saved one follows if the real one is set, or the effective one to another than the real.
    """
    old = t.process.credentials
    if not old.is_root:
        _permit(real, (NO_ID, old.real_uid, old.uid))
        _permit(effective, (NO_ID, old.real_uid, old.uid, old.saved_uid))
    new = _users(old, real, effective, NO_ID)
    if real != NO_ID or effective not in (NO_ID, old.real_uid):
        new = replace(new, saved_uid=new.uid)
    _become(t, new)
    return 0


@syscall(114)
def setregid(k: Kernel, t: Thread, real: Id, effective: Id) -> int:
    """Set the real and the effective gid, -1 to leave one.  EPERM: not one of the caller's."""
    old = t.process.credentials
    if not old.is_root:
        _permit(real, (NO_ID, old.real_gid, old.gid))
        _permit(effective, (NO_ID, old.real_gid, old.gid, old.saved_gid))
    new = _groups(old, real, effective, NO_ID)
    if real != NO_ID or effective not in (NO_ID, old.real_gid):
        new = replace(new, saved_gid=new.gid)
    _become(t, new)
    return 0


@syscall(117)
def setresuid(k: Kernel, t: Thread, real: Id, effective: Id, saved: Id) -> int:
    """Set the real, effective and saved uid, -1 to leave one.  EPERM: not one of the caller's."""
    old = t.process.credentials
    for wanted in (real, effective, saved) if not old.is_root else ():
        _permit(wanted, (NO_ID, old.real_uid, old.uid, old.saved_uid))
    _become(t, _users(old, real, effective, saved))
    return 0


@syscall(119)
def setresgid(k: Kernel, t: Thread, real: Id, effective: Id, saved: Id) -> int:
    """Set the real, effective and saved gid, -1 to leave one.  EPERM: not one of the caller's."""
    old = t.process.credentials
    for wanted in (real, effective, saved) if not old.is_root else ():
        _permit(wanted, (NO_ID, old.real_gid, old.gid, old.saved_gid))
    _become(t, _groups(old, real, effective, saved))
    return 0


@syscall(118)
def getresuid(k: Kernel, t: Thread, real: Ptr, effective: Ptr, saved: Ptr) -> int:
    """Store the real, effective and saved uid.  EFAULT."""
    who = t.process.credentials
    _store(t, (real, effective, saved), (who.real_uid, who.uid, who.saved_uid))
    return 0


@syscall(120)
def getresgid(k: Kernel, t: Thread, real: Ptr, effective: Ptr, saved: Ptr) -> int:
    """Store the real, effective and saved gid.  EFAULT."""
    who = t.process.credentials
    _store(t, (real, effective, saved), (who.real_gid, who.gid, who.saved_gid))
    return 0


@syscall(122)
def setfsuid(k: Kernel, t: Thread, uid: Id) -> int:
    """Set the uid that files are opened with, if the caller may; returns the one before."""
    old = t.process.credentials
    if uid != NO_ID and (
        old.is_root or uid in (old.real_uid, old.uid, old.saved_uid, old.file_uid)
    ):
        _become(t, replace(old, file_uid=uid))
    return old.file_uid


@syscall(123)
def setfsgid(k: Kernel, t: Thread, gid: Id) -> int:
    """Set the gid that files are opened with, if the caller may; returns the one before."""
    old = t.process.credentials
    if gid != NO_ID and (
        old.is_root or gid in (old.real_gid, old.gid, old.saved_gid, old.file_gid)
    ):
        _become(t, replace(old, file_gid=gid))
    return old.file_gid


@syscall(115)
def getgroups(k: Kernel, t: Thread, size: Int, out: Ptr) -> int:
    """Store the supplementary groups, if `size` is not 0; returns how many.  EINVAL: too small."""
    groups = t.process.credentials.groups
    if size < 0 or (size and size < len(groups)):
        raise KernelError(E.INVAL)
    if size:
        t.space.write(out, b"".join(gid.to_bytes(4, "little") for gid in groups))
    return len(groups)


@syscall(116)
def setgroups(k: Kernel, t: Thread, size: Size, groups: Ptr) -> int:
    """Set the supplementary groups.  EPERM unless root; EINVAL: too many; EFAULT."""
    old = t.process.credentials
    if not old.is_root:
        raise KernelError(E.PERM)
    if size > MAX_GROUPS:
        raise KernelError(E.INVAL)
    data = t.space.read(groups, 4 * size)
    words = tuple(int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4))
    _become(t, replace(old, groups=tuple(sorted(words))))
    return 0


def _become(t: Thread, new: Credentials) -> None:
    """Another effective id ends the wish to be told of the parent's death (prctl(2))."""
    old, t.process.credentials = t.process.credentials, new
    if (old.uid, old.gid, old.file_uid, old.file_gid) != (
        *(new.uid, new.gid, new.file_uid, new.file_gid),
    ):
        t.process.death_signal = t.process.dumpable = 0


def _permit(wanted: int, own: tuple[int, ...]) -> None:
    if wanted not in own:
        raise KernelError(E.PERM)


def _users(old: Credentials, real: int, effective: int, saved: int) -> Credentials:
    """The ids that are not -1 replaced; the file uid follows the effective one."""
    uid = old.uid if effective == NO_ID else effective
    real = old.real_uid if real == NO_ID else real
    saved = old.saved_uid if saved == NO_ID else saved
    return replace(old, uid=uid, real_uid=real, saved_uid=saved, file_uid=uid)


def _groups(old: Credentials, real: int, effective: int, saved: int) -> Credentials:
    gid = old.gid if effective == NO_ID else effective
    real = old.real_gid if real == NO_ID else real
    saved = old.saved_gid if saved == NO_ID else saved
    return replace(old, gid=gid, real_gid=real, saved_gid=saved, file_gid=gid)


def _store(t: Thread, places: tuple[int, int, int], ids: tuple[int, int, int]) -> None:
    for at, id in zip(places, ids, strict=True):
        t.space.write(at, id.to_bytes(4, "little"))
