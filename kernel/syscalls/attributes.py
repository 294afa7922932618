"""System calls on what is known of a file: stat(2), access(2), chmod(2), chown(2), utimensat(2).

The old forms are the *at forms from the current directory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Reply
from kernel.abi.nodes import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    KEEP,
    MAX_NAME_BYTES,
    NOW,
    O_ACCMODE,
    O_PATH,
    S_IFIFO,
    S_IFMT,
    S_IFREG,
    Stat,
)
from kernel.ipc import paths
from kernel.ipc.paths import AT_FDCWD
from kernel.kernel import Kernel
from kernel.syscalls.at import (
    AT_EACCESS,
    AT_EMPTY_PATH,
    AT_NO_AUTOMOUNT,
    AT_SYMLINK_NOFOLLOW,
    at,
    check_flags,
    nofollow,
    on,
    path_argument,
)
from kernel.syscalls.table import Fd, Flags, Id, Int, Long, Path, Ptr, syscall
from kernel.syscalls.transfer import too_large
from kernel.task import limits
from kernel.task.clock import NANOSECONDS
from kernel.task.credentials import NO_ID
from kernel.task.process import Thread

AT_STATX_SYNC = 0x6000
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
BLOCK_BYTES = 4096
TMPFS_MAGIC = 0x0102_1994
STATX_BASIC_STATS = 0x7FF
_STAT = struct.Struct("<QQQIIIIQqqq6q24x")
_STATX = struct.Struct("<IIQIIIHxxQQQQ4x")
_TIME = struct.Struct("<qq")


# Reading ------------------------------------------------------------------------------------------


def _pack_stat(stat: Stat) -> bytes:
    """A struct stat (arch/x86/include/uapi/asm/stat.h)."""
    times = (stat.accessed, stat.modified, stat.changed)
    who = (stat.mode, stat.uid, stat.gid, 0)
    room = (stat.size_bytes, BLOCK_BYTES, stat.blocks)
    parts = (part for time in times for part in divmod(time, NANOSECONDS))
    return _STAT.pack(*(stat.device, stat.inode, stat.links), *who, stat.special, *room, *parts)


def _pack_statx(stat: Stat) -> bytes:
    """A struct statx (include/uapi/linux/stat.h)."""
    who = (stat.links, stat.uid, stat.gid, stat.mode & 0xFFFF)
    room = (stat.inode, stat.size_bytes, stat.blocks)
    head = _STATX.pack(STATX_BASIC_STATS, BLOCK_BYTES, 0, *who, *room, 0)[:64]
    times = b"".join(
        struct.pack("<qIi", *divmod(time, NANOSECONDS), 0)
        for time in (stat.accessed, 0, stat.changed, stat.modified)
    )
    devices = (stat.special >> 8, stat.special & 255, stat.device >> 8, stat.device & 255)
    return (head + times + struct.pack("<4I", *devices)).ljust(256, b"\0")


@syscall(4, owner="files")
def stat(k: Kernel, t: Thread, path: Path, out: Ptr) -> int:
    """Store a struct stat of what a path leads to.  ENOENT; EACCES; ENOTDIR; ELOOP; EFAULT."""
    return newfstatat(k, t, AT_FDCWD, path, out, flags=0)


@syscall(6, owner="files")
def lstat(k: Kernel, t: Thread, path: Path, out: Ptr) -> int:
    """As stat, of a link itself."""
    return newfstatat(k, t, AT_FDCWD, path, out, flags=AT_SYMLINK_NOFOLLOW)


@syscall(5, owner="files")
def fstat(k: Kernel, t: Thread, fd: Fd, out: Ptr) -> int:
    """As stat, of an open file.  EBADF."""
    reply = on(k, t, fd, "stat", words=(0,), path=True)
    t.space.write(out, _pack_stat(Stat(*reply.words)))
    return 0


@syscall(262, owner="files")
def newfstatat(k: Kernel, t: Thread, dirfd: Fd, path: Path, out: Ptr, flags: Int) -> int:
    """As stat, from a directory.  EBADF; EINVAL: other flags."""
    check_flags(flags, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)
    reply = at(k, t, dirfd, path, "stat", words=(nofollow(flags),), flags=flags)
    t.space.write(out, _pack_stat(Stat(*reply.words)))
    return 0


@syscall(332, owner="files")
def statx(k: Kernel, t: Thread, dirfd: Fd, path: Path, flags: Int, mask: Flags, out: Ptr) -> int:
    """As newfstatat, as a struct statx.  EINVAL: other flags, or a reserved bit of `mask`."""
    check_flags(flags, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC)
    if mask >> 31:
        raise KernelError(E.INVAL)
    reply = at(k, t, dirfd, path, "stat", words=(nofollow(flags),), flags=flags)
    t.space.write(out, _pack_statx(Stat(*reply.words)))
    return 0


@syscall(21, owner="files")
def access(k: Kernel, t: Thread, path: Path, mode: Int) -> int:
    """May the real user read (4), write (2), execute (1) it?  EACCES; ENOENT; EINVAL."""
    return faccessat2(k, t, AT_FDCWD, path, mode, flags=0)


@syscall(269, owner="files")
def faccessat(k: Kernel, t: Thread, dirfd: Fd, path: Path, mode: Int) -> int:
    """As access, from a directory."""
    return faccessat2(k, t, dirfd, path, mode, flags=0)


@syscall(439, owner="files")
def faccessat2(k: Kernel, t: Thread, dirfd: Fd, path: Path, mode: Int, flags: Int) -> int:
    """As access, from a directory; AT_EACCESS asks with the effective ids.  EBADF; EINVAL."""
    check_flags(flags, AT_SYMLINK_NOFOLLOW | AT_EACCESS | AT_EMPTY_PATH)
    check_flags(mode, 7)
    name = path_argument(t, path, flags)
    start, words = paths.start(k.ipc, t, dirfd, name), (mode, nofollow(flags))
    who = t.process.credentials
    real = None if flags & AT_EACCESS else (who.real_uid, who.real_gid)
    paths.send(k.ipc, t, start, name, "access", words=words, as_ids=real)
    return 0


@syscall(137, owner="files")
def statfs(k: Kernel, t: Thread, path: Path, out: Ptr) -> int:
    """Store the size and free space of a file system, as struct statfs.  ENOENT; EFAULT."""
    reply = at(k, t, AT_FDCWD, path, "statfs")
    t.space.write(out, _pack_statfs(reply))
    return 0


@syscall(138, owner="files")
def fstatfs(k: Kernel, t: Thread, fd: Fd, out: Ptr) -> int:
    """As statfs, by an open file.  EBADF."""
    t.space.write(out, _pack_statfs(on(k, t, fd, "statfs", path=True)))
    return 0


def _pack_statfs(reply: Reply) -> bytes:
    blocks, free, nodes, free_nodes = reply.words
    room = (blocks, free, free, nodes, free_nodes)
    tail = (0, MAX_NAME_BYTES, BLOCK_BYTES, 0, 0)
    return struct.pack("<12q24x", TMPFS_MAGIC, BLOCK_BYTES, *room, *tail)


# Changing -----------------------------------------------------------------------------------------


@syscall(76, owner="files")
def truncate(k: Kernel, t: Thread, path: Path, size: Long) -> int:
    """Cut a file off, or let it grow by a hole.  EISDIR; EACCES; EINVAL: negative; EFBIG."""
    if size < 0:
        raise KernelError(E.INVAL)
    _may_become(k, t, at(k, t, AT_FDCWD, path, "stat", words=(0,)), size)
    at(k, t, AT_FDCWD, path, "truncate", words=(size,))
    return 0


def _may_become(k: Kernel, t: Thread, status: Reply, size: int) -> None:
    """Raises EFBIG if the file would grow beyond RLIMIT_FSIZE."""
    if max(limits.soft(t.process, limits.FSIZE), Stat(*status.words).size_bytes) < size:
        raise too_large(k, t)


@syscall(77, owner="files")
def ftruncate(k: Kernel, t: Thread, fd: Fd, size: Long) -> int:
    """As truncate, of a file that is open for writing.  EBADF; EINVAL: negative, or no file."""
    if size < 0:
        raise KernelError(E.INVAL)
    handle = t.descriptors.get(fd)
    if not handle.flags & O_PATH and not (handle.flags & O_ACCMODE and handle.seekable):
        raise KernelError(E.INVAL)
    _may_become(k, t, on(k, t, fd, "stat", words=(0,)), size)
    on(k, t, fd, "truncate", words=(size,))
    return 0


@syscall(285, owner="files")
def fallocate(k: Kernel, t: Thread, fd: Fd, mode: Int, offset: Long, length: Long) -> int:
    """Make a file at least `offset + length` bytes long, unless FALLOC_FL_KEEP_SIZE is given.  With
    FALLOC_FL_PUNCH_HOLE as well, the range reads as zeroes.

    EINVAL; EBADF; EOPNOTSUPP: other modes; EPERM: sealed; EFBIG; ESPIPE, ENODEV: not a file.
    """
    handle = t.descriptors.get(fd)
    if handle.flags & O_PATH:
        raise KernelError(E.BADF)
    if offset < 0 or length <= 0:
        raise KernelError(E.INVAL)
    punches = mode == FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
    if mode & ~FALLOC_FL_KEEP_SIZE and not punches:
        raise KernelError(E.OPNOTSUPP)
    if not handle.flags & O_ACCMODE:
        raise KernelError(E.BADF)
    status = on(k, t, fd, "stat", words=(0,))
    kind = Stat(*status.words).mode & S_IFMT
    if kind != S_IFREG:
        raise KernelError(E.SPIPE if kind == S_IFIFO else E.NODEV)
    if not punches:
        _may_become(k, t, status, offset + length)
    return k.ipc.call(t, handle, "allocate", (mode, offset, length)).result


@syscall(90, owner="files")
def chmod(k: Kernel, t: Thread, path: Path, mode: Flags) -> int:
    """Change the permission bits.  EPERM: not the owner; ENOENT; EACCES."""
    return fchmodat(k, t, AT_FDCWD, path, mode)


@syscall(91, owner="files")
def fchmod(k: Kernel, t: Thread, fd: Fd, mode: Flags) -> int:
    """As chmod, of an open file.  EBADF."""
    on(k, t, fd, "chmod", words=(mode, 0))
    return 0


@syscall(268, owner="files")
def fchmodat(k: Kernel, t: Thread, dirfd: Fd, path: Path, mode: Flags) -> int:
    """As chmod, from a directory.  EBADF."""
    at(k, t, dirfd, path, "chmod", words=(mode, 0))
    return 0


@syscall(452, owner="files")
def fchmodat2(k: Kernel, t: Thread, dirfd: Fd, path: Path, mode: Flags, flags: Int) -> int:
    """As fchmodat.  EOPNOTSUPP: AT_SYMLINK_NOFOLLOW of a link; EINVAL: other flags."""
    check_flags(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)
    at(k, t, dirfd, path, "chmod", words=(mode, nofollow(flags)), flags=flags)
    return 0


def _id(number: int) -> int:
    """-1 keeps what is there."""
    return -1 if number == NO_ID else number


@syscall(92, owner="files")
def chown(k: Kernel, t: Thread, path: Path, uid: Id, gid: Id) -> int:
    """Give a file to another user or group.  EPERM: not root, or a foreign group; ENOENT."""
    return fchownat(k, t, AT_FDCWD, path, uid=uid, gid=gid, flags=0)


@syscall(94, owner="files")
def lchown(k: Kernel, t: Thread, path: Path, uid: Id, gid: Id) -> int:
    """As chown, of a link itself."""
    return fchownat(k, t, AT_FDCWD, path, uid=uid, gid=gid, flags=AT_SYMLINK_NOFOLLOW)


@syscall(93, owner="files")
def fchown(k: Kernel, t: Thread, fd: Fd, uid: Id, gid: Id) -> int:
    """As chown, of an open file.  EBADF."""
    on(k, t, fd, "chown", words=(_id(uid), _id(gid), 0))
    return 0


@syscall(260, owner="files")
def fchownat(k: Kernel, t: Thread, dirfd: Fd, path: Path, uid: Id, gid: Id, flags: Int) -> int:
    """As chown, from a directory.  EBADF; EINVAL: other flags."""
    check_flags(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)
    words = (_id(uid), _id(gid), nofollow(flags))
    at(k, t, dirfd, path, "chown", words=words, flags=flags)
    return 0


@syscall(95)
def umask(k: Kernel, t: Thread, mask: Flags) -> int:
    """Set the permissions that new files do not get; returns the old mask."""
    place = t.surroundings
    before, place.umask = place.umask, mask & 0o777
    return before


@syscall(280, owner="files")
def utimensat(k: Kernel, t: Thread, dirfd: Fd, path: Path, times: Ptr, flags: Int) -> int:
    """Set the times of access and change; without a path, of `dirfd`.

    EPERM, EACCES: not allowed; EINVAL: no such time, or other flags; ENOENT; EBADF; EFAULT.
    """
    check_flags(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)
    wanted = _times(t, times, _wish)
    if wanted == (KEEP, KEEP):
        return 0
    if not path:
        on(k, t, dirfd, "utimens", words=(*wanted, 0))
        return 0
    at(k, t, dirfd, path, "utimens", words=(*wanted, nofollow(flags)), flags=flags)
    return 0


def _times(t: Thread, times: int, wish: Callable[[int, int], int]) -> tuple[int, int]:
    """The two times that a program has stored; without an address, now."""
    if not times:
        return NOW, NOW
    accessed, modified = _TIME.iter_unpack(t.space.read(times, 2 * _TIME.size))
    return wish(*accessed), wish(*modified)


def _wish(seconds: int, nanoseconds: int) -> int:
    if nanoseconds in (UTIME_NOW, UTIME_OMIT):
        return NOW if nanoseconds == UTIME_NOW else KEEP
    if not 0 <= nanoseconds < NANOSECONDS:
        raise KernelError(E.INVAL)
    return max(seconds, 0) * NANOSECONDS + nanoseconds


@syscall(235, owner="files")
def utimes(k: Kernel, t: Thread, path: Path, times: Ptr) -> int:
    """As utimensat, in microseconds."""
    at(k, t, AT_FDCWD, path, "utimens", words=(*_times(t, times, _micro), 0))
    return 0


def _micro(seconds: int, microseconds: int) -> int:
    if not 0 <= microseconds < 1_000_000:
        raise KernelError(E.INVAL)
    return max(seconds, 0) * NANOSECONDS + microseconds * 1000


@syscall(132, owner="files")
def utime(k: Kernel, t: Thread, path: Path, times: Ptr) -> int:
    """As utimensat, in seconds."""
    wanted = (NOW, NOW)
    if times:
        accessed, modified = _TIME.unpack(t.space.read(times, _TIME.size))
        wanted = (max(accessed, 0) * NANOSECONDS, max(modified, 0) * NANOSECONDS)
    at(k, t, AT_FDCWD, path, "utimens", words=(*wanted, 0))
    return 0
