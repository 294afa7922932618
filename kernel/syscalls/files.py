"""System calls on names: files, directories, links, and what is known of them.

The old forms are the *at forms from the current directory.  How a path is followed from server to
server is in `kernel.ipc.paths`; what is allowed, the servers decide.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Reply
from kernel.abi.nodes import (
    KEEP,
    NOW,
    O_ACCMODE,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_LARGEFILE,
    O_PATH,
    O_TMPFILE,
    O_TRUNC,
    O_WRONLY,
    Stat,
)
from kernel.ipc import paths
from kernel.ipc.paths import AT_FDCWD
from kernel.kernel import Kernel
from kernel.syscalls import Fd, Flags, Id, Int, Long, Path, Ptr, Size, syscall
from kernel.syscalls.descriptors import install
from kernel.syscalls.io import MAX_TRANSFER_BYTES, too_large
from kernel.task import limits
from kernel.task.clock import NANOSECONDS
from kernel.task.process import Thread

AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR, AT_EACCESS = 0x100, 0x200, 0x200
AT_SYMLINK_FOLLOW, AT_NO_AUTOMOUNT, AT_EMPTY_PATH = 0x400, 0x800, 0x1000
AT_STATX_SYNC = 0x6000
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
BLOCK_BYTES, MAX_NAME_BYTES = 4096, 255
TMPFS_MAGIC = 0x0102_1994
STATX_BASIC_STATS = 0x7FF
_STAT = struct.Struct("<QQQIIIIQqqq6q24x")
_STATX = struct.Struct("<IIQIIIHxxQQQQ4x")
_TIME = struct.Struct("<qq")


def at(
    k: Kernel,
    t: Thread,
    dirfd: int,
    path: int,
    operation: str,
    words: tuple[int, ...] = (),
    more: bytes = b"",
    *,
    may_be_empty: bool = False,
) -> Reply:
    """Ask for `operation` at a path argument; an empty one may mean `dirfd` itself."""
    name = _path(t, path, may_be_empty=may_be_empty)
    reply, _ = paths.send(k, t, paths.start(k, t, dirfd, name), name, operation, words, more)
    return reply


def _path(t: Thread, address: int, *, may_be_empty: bool = False) -> bytes:
    if may_be_empty:
        return t.space.read_string(address, paths.MAX_PATH_BYTES - 1)
    return paths.read(t, address)


def on(
    k: Kernel, t: Thread, fd: int, operation: str, words: tuple[int, ...], *, path: bool = False
) -> Reply:
    """Ask for `operation` on what a descriptor is open to; `path`: O_PATH is enough."""
    handle = t.process.descriptors.get(fd)
    if handle.flags & O_PATH and not path:
        raise KernelError(E.BADF)
    reply, _ = paths.send(k, t, handle, b"", operation, words)
    return reply


def _check(flags: int, allowed: int) -> None:
    if flags & ~allowed:
        raise KernelError(E.INVAL)


# Opening ------------------------------------------------------------------------------------------


@syscall(2, owner="files")
def open(k: Kernel, t: Thread, path: Path, flags: Int, mode: Flags) -> int:
    """As openat, from the current directory."""
    return openat(k, t, AT_FDCWD, path, flags, mode)


@syscall(85, owner="files")
def creat(k: Kernel, t: Thread, path: Path, mode: Flags) -> int:
    """As open with O_CREAT | O_WRONLY | O_TRUNC."""
    return openat(k, t, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode)


@syscall(257, owner="files")
def openat(k: Kernel, t: Thread, dirfd: Fd, path: Path, flags: Int, mode: Flags) -> int:
    """Open a file, and with O_CREAT make it; returns the lowest free descriptor.

    ENOENT; EACCES; EEXIST: O_EXCL; EISDIR; ENOTDIR; ELOOP; ENAMETOOLONG; EMFILE; ENOSPC; ENXIO: a
    FIFO that nobody reads; EBADF; EINVAL; EFAULT.
    """
    if flags & O_ACCMODE == O_ACCMODE and not flags & O_PATH:
        raise KernelError(E.INVAL)
    if flags & O_CREAT and flags & O_DIRECTORY and flags & O_TMPFILE == 0:
        raise KernelError(E.INVAL)
    name = paths.read(t, path)
    t.process.descriptors.lowest_free()
    start = paths.start(k, t, dirfd, name)
    handle = paths.open_file(k, t, start, name, flags | O_LARGEFILE, mode)
    return install(k, t, handle, closes_on_exec=bool(flags & O_CLOEXEC))


# What is known of a node --------------------------------------------------------------------------


def _pack_stat(stat: Stat) -> bytes:
    """A struct stat (arch/x86/include/uapi/asm/stat.h)."""
    times = (stat.accessed, stat.modified, stat.changed)
    return _STAT.pack(
        stat.device, stat.inode, stat.links, stat.mode, stat.uid, stat.gid, 0, stat.special,
        stat.size_bytes, BLOCK_BYTES, stat.blocks,
        *(part for time in times for part in divmod(time, NANOSECONDS)),
    )  # fmt: skip


def _pack_statx(stat: Stat) -> bytes:
    """A struct statx (include/uapi/linux/stat.h)."""
    head = _STATX.pack(
        STATX_BASIC_STATS, BLOCK_BYTES, 0, stat.links, stat.uid, stat.gid, stat.mode & 0xFFFF,
        stat.inode, stat.size_bytes, stat.blocks, 0,
    )[:64]  # fmt: skip
    times = b"".join(
        struct.pack("<qIi", *divmod(time, NANOSECONDS), 0)
        for time in (stat.accessed, 0, stat.changed, stat.modified)
    )
    devices = (stat.special >> 8, stat.special & 255, stat.device >> 8, stat.device & 255)
    return (head + times + struct.pack("<4I", *devices)).ljust(256, b"\0")


@syscall(4, owner="files")
def stat(k: Kernel, t: Thread, path: Path, out: Ptr) -> int:
    """Store a struct stat of what a path leads to.  ENOENT; EACCES; ENOTDIR; ELOOP; EFAULT."""
    return newfstatat(k, t, AT_FDCWD, path, out, 0)


@syscall(6, owner="files")
def lstat(k: Kernel, t: Thread, path: Path, out: Ptr) -> int:
    """As stat, of a link itself."""
    return newfstatat(k, t, AT_FDCWD, path, out, AT_SYMLINK_NOFOLLOW)


@syscall(5, owner="files")
def fstat(k: Kernel, t: Thread, fd: Fd, out: Ptr) -> int:
    """As stat, of an open file.  EBADF."""
    reply = on(k, t, fd, "stat", (0,), path=True)
    t.space.write(out, _pack_stat(Stat(*reply.words)))
    return 0


@syscall(262, owner="files")
def newfstatat(k: Kernel, t: Thread, dirfd: Fd, path: Path, out: Ptr, flags: Int) -> int:
    """As stat, from a directory.  EBADF; EINVAL: other flags."""
    _check(flags, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)
    nofollow, empty = int(flags & AT_SYMLINK_NOFOLLOW != 0), bool(flags & AT_EMPTY_PATH)
    reply = at(k, t, dirfd, path, "stat", (nofollow,), may_be_empty=empty)
    t.space.write(out, _pack_stat(Stat(*reply.words)))
    return 0


@syscall(332, owner="files")
def statx(k: Kernel, t: Thread, dirfd: Fd, path: Path, flags: Int, mask: Flags, out: Ptr) -> int:
    """As newfstatat, as a struct statx.  EINVAL: other flags, or a reserved bit of `mask`."""
    _check(flags, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC)
    if mask >> 31:
        raise KernelError(E.INVAL)
    nofollow, empty = int(flags & AT_SYMLINK_NOFOLLOW != 0), bool(flags & AT_EMPTY_PATH)
    reply = at(k, t, dirfd, path, "stat", (nofollow,), may_be_empty=empty)
    t.space.write(out, _pack_statx(Stat(*reply.words)))
    return 0


@syscall(21, owner="files")
def access(k: Kernel, t: Thread, path: Path, mode: Int) -> int:
    """May the real user read (4), write (2), execute (1) it?  EACCES; ENOENT; EINVAL."""
    return faccessat2(k, t, AT_FDCWD, path, mode, 0)


@syscall(269, owner="files")
def faccessat(k: Kernel, t: Thread, dirfd: Fd, path: Path, mode: Int) -> int:
    """As access, from a directory."""
    return faccessat2(k, t, dirfd, path, mode, 0)


@syscall(439, owner="files")
def faccessat2(k: Kernel, t: Thread, dirfd: Fd, path: Path, mode: Int, flags: Int) -> int:
    """As access, from a directory; AT_EACCESS asks with the effective ids.  EBADF; EINVAL."""
    _check(flags, AT_SYMLINK_NOFOLLOW | AT_EACCESS | AT_EMPTY_PATH)
    _check(mode, 7)
    nofollow, empty = int(flags & AT_SYMLINK_NOFOLLOW != 0), bool(flags & AT_EMPTY_PATH)
    name = _path(t, path, may_be_empty=empty)
    start, real = paths.start(k, t, dirfd, name), not flags & AT_EACCESS
    paths.send(k, t, start, name, "access", (mode, nofollow), as_real=real)
    return 0


@syscall(89, owner="files")
def readlink(k: Kernel, t: Thread, path: Path, buf: Ptr, size: Size) -> int:
    """Store where a link leads, without a NUL; returns how many bytes.  EINVAL: no link."""
    return readlinkat(k, t, AT_FDCWD, path, buf, size)


@syscall(267, owner="files")
def readlinkat(k: Kernel, t: Thread, dirfd: Fd, path: Path, buf: Ptr, size: Size) -> int:
    """As readlink, from a directory.  EBADF; EINVAL: no link, or no room."""
    if not 0 < size < 1 << 31:
        raise KernelError(E.INVAL)
    target = _link(k, t, dirfd, path)[:size]
    t.space.write(buf, target)
    return len(target)


def _link(k: Kernel, t: Thread, dirfd: int, path: int) -> bytes:
    """Without a path `dirfd` is the link itself, and anything else does not exist."""
    try:
        return at(k, t, dirfd, path, "readlink", may_be_empty=True).data
    except KernelError as error:
        if error.number == E.INVAL:
            paths.read(t, path)  # ENOENT
        raise


@syscall(137, owner="files")
def statfs(k: Kernel, t: Thread, path: Path, out: Ptr) -> int:
    """Store how much room there is, as struct statfs.  ENOENT; EFAULT."""
    reply = at(k, t, AT_FDCWD, path, "statfs")
    t.space.write(out, _pack_statfs(reply))
    return 0


@syscall(138, owner="files")
def fstatfs(k: Kernel, t: Thread, fd: Fd, out: Ptr) -> int:
    """As statfs, by an open file.  EBADF."""
    t.space.write(out, _pack_statfs(on(k, t, fd, "statfs", (), path=True)))
    return 0


def _pack_statfs(reply: Reply) -> bytes:
    blocks, free, nodes, free_nodes = reply.words
    head = (TMPFS_MAGIC, BLOCK_BYTES, blocks, free, free, nodes, free_nodes, 0)
    return struct.pack("<12q32x", *head, MAX_NAME_BYTES, BLOCK_BYTES, 0, 0)[:120]


# Directories --------------------------------------------------------------------------------------


@syscall(217, owner="files")
def getdents64(k: Kernel, t: Thread, fd: Fd, out: Ptr, room: Flags) -> int:
    """Store the next struct linux_dirent64 of a directory; returns their bytes, 0 at the end.

    EBADF; ENOTDIR; EINVAL: no room for one; EFAULT.
    """
    handle = t.process.descriptors.get(fd)
    size = min(room, MAX_TRANSFER_BYTES)
    reply, _ = paths.send(k, t, handle, b"", "readdir", (handle.offset, size))
    t.space.write(out, reply.data)
    handle.offset = reply.words[0]
    return len(reply.data)


@syscall(79, owner="files")
def getcwd(k: Kernel, t: Thread, buf: Ptr, size: Size) -> int:
    """Store the path of the current directory with its NUL; returns its bytes.  ERANGE; ENOENT."""
    path = k.ipc.call(t, t.process.cwd, "path").data
    if path.endswith(b" (deleted)"):
        raise KernelError(E.NOENT)
    if len(path) + 1 > size:
        raise KernelError(E.RANGE)
    t.space.write(buf, path + b"\0")
    return len(path) + 1


@syscall(80, owner="files")
def chdir(k: Kernel, t: Thread, path: Path) -> int:
    """Change the current directory.  ENOENT; ENOTDIR; EACCES."""
    name = paths.read(t, path)
    return _move_to(k, t, AT_FDCWD, name)


@syscall(81, owner="files")
def fchdir(k: Kernel, t: Thread, fd: Fd) -> int:
    """As chdir, to an open directory.  EBADF; ENOTDIR; EACCES."""
    return _move_to(k, t, fd, b".")


def _move_to(k: Kernel, t: Thread, dirfd: int, name: bytes) -> int:
    start = paths.start(k, t, dirfd, name)
    paths.send(k, t, start, name.rstrip(b"/") + b"/.", "access", (1, 0))
    cwd = paths.open_file(k, t, start, name, O_PATH | O_DIRECTORY, 0)
    cwd.holds = 1
    before, t.process.cwd = t.process.cwd, cwd
    k.ipc.close(before)
    return 0


@syscall(83, owner="files")
def mkdir(k: Kernel, t: Thread, path: Path, mode: Flags) -> int:
    """Make a directory.  EEXIST; ENOENT; EACCES; ENOTDIR; ENOSPC."""
    return mkdirat(k, t, AT_FDCWD, path, mode)


@syscall(258, owner="files")
def mkdirat(k: Kernel, t: Thread, dirfd: Fd, path: Path, mode: Flags) -> int:
    """As mkdir, from a directory.  EBADF."""
    at(k, t, dirfd, path, "mkdir", (mode,))
    return 0


@syscall(133, owner="files")
def mknod(k: Kernel, t: Thread, path: Path, mode: Flags, device: Flags) -> int:
    """Make a file or a FIFO.  EEXIST; EPERM: a device; EINVAL: no such kind."""
    return mknodat(k, t, AT_FDCWD, path, mode, device)


@syscall(259, owner="files")
def mknodat(k: Kernel, t: Thread, dirfd: Fd, path: Path, mode: Flags, device: Flags) -> int:
    """As mknod, from a directory.  EBADF."""
    at(k, t, dirfd, path, "mknod", (mode, device))
    return 0


@syscall(84, owner="files")
def rmdir(k: Kernel, t: Thread, path: Path) -> int:
    """Remove an empty directory.  ENOTEMPTY; ENOTDIR; ENOENT; EBUSY; EINVAL: "."."""
    return unlinkat(k, t, AT_FDCWD, path, AT_REMOVEDIR)


@syscall(87, owner="files")
def unlink(k: Kernel, t: Thread, path: Path) -> int:
    """Remove a name; the file stays while somebody has it open.  EISDIR; ENOENT; EACCES; EPERM."""
    return unlinkat(k, t, AT_FDCWD, path, 0)


@syscall(263, owner="files")
def unlinkat(k: Kernel, t: Thread, dirfd: Fd, path: Path, flags: Int) -> int:
    """As unlink or, with AT_REMOVEDIR, rmdir, from a directory.  EBADF; EINVAL: other flags."""
    _check(flags, AT_REMOVEDIR)
    at(k, t, dirfd, path, "unlink", (int(flags != 0),))
    return 0


# Two names ----------------------------------------------------------------------------------------


@syscall(82, owner="files")
def rename(k: Kernel, t: Thread, old: Path, new: Path) -> int:
    """Move a name, over what is there.  ENOENT; EACCES; ENOTEMPTY; EISDIR; ENOTDIR; EINVAL: into
    itself; EXDEV: another server; EBUSY; EPERM."""
    return renameat2(k, t, AT_FDCWD, old, AT_FDCWD, new, 0)


@syscall(264, owner="files")
def renameat(k: Kernel, t: Thread, olddir: Fd, old: Path, newdir: Fd, new: Path) -> int:
    """As rename, from directories.  EBADF."""
    return renameat2(k, t, olddir, old, newdir, new, 0)


@syscall(316, owner="files")
def renameat2(
    k: Kernel, t: Thread, olddir: Fd, old: Path, newdir: Fd, new: Path, flags: Flags
) -> int:
    """As renameat; RENAME_NOREPLACE: EEXIST if something is there.  EINVAL: other flags."""
    first, second = paths.read(t, old), paths.read(t, new)
    source, source_at = paths.send(k, t, paths.start(k, t, olddir, first), first, "parent")
    target, target_at = paths.send(k, t, paths.start(k, t, newdir, second), second, "parent")
    if source_at != target_at:
        raise KernelError(E.XDEV)
    directory = k.ipc.node(source_at, source.words[0])
    words = (target.words[0], flags)
    paths.send(k, t, directory, source.data, "rename", words, target.data)
    return 0


@syscall(86, owner="files")
def link(k: Kernel, t: Thread, old: Path, new: Path) -> int:
    """Give a file another name.  EEXIST; ENOENT; EPERM: a directory; EXDEV; EACCES."""
    return linkat(k, t, AT_FDCWD, old, AT_FDCWD, new, 0)


@syscall(265, owner="files")
def linkat(k: Kernel, t: Thread, olddir: Fd, old: Path, newdir: Fd, new: Path, flags: Int) -> int:
    """As link, from directories; AT_SYMLINK_FOLLOW: through a link.  EBADF; EINVAL."""
    _check(flags, AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)
    first = _path(t, old, may_be_empty=bool(flags & AT_EMPTY_PATH))
    second = paths.read(t, new)
    nofollow = int(not flags & AT_SYMLINK_FOLLOW)
    start = paths.start(k, t, olddir, first)
    found, found_at = paths.send(k, t, start, first, "stat", (nofollow,))
    target, target_at = paths.send(k, t, paths.start(k, t, newdir, second), second, "parent")
    if found_at != target_at:
        raise KernelError(E.XDEV)
    directory = k.ipc.node(target_at, target.words[0])
    paths.send(k, t, directory, target.data, "link", (Stat(*found.words).inode,))
    return 0


@syscall(88, owner="files")
def symlink(k: Kernel, t: Thread, target: Path, path: Path) -> int:
    """Make a link that leads to `target`, whatever that is.  EEXIST; ENOENT; EACCES."""
    return symlinkat(k, t, target, AT_FDCWD, path)


@syscall(266, owner="files")
def symlinkat(k: Kernel, t: Thread, target: Path, dirfd: Fd, path: Path) -> int:
    """As symlink, from a directory.  EBADF."""
    at(k, t, dirfd, path, "symlink", (), paths.read(t, target))
    return 0


# Changing what is known ---------------------------------------------------------------------------


@syscall(76, owner="files")
def truncate(k: Kernel, t: Thread, path: Path, size: Long) -> int:
    """Cut a file off, or let it grow by a hole.  EISDIR; EACCES; EINVAL: negative; EFBIG."""
    if size < 0:
        raise KernelError(E.INVAL)
    _may_become(k, t, at(k, t, AT_FDCWD, path, "stat", (0,)), size)
    at(k, t, AT_FDCWD, path, "truncate", (size,))
    return 0


def _may_become(k: Kernel, t: Thread, status: Reply, size: int) -> None:
    """Raises EFBIG: it would grow beyond RLIMIT_FSIZE."""
    if max(limits.soft(t.process, limits.FSIZE), Stat(*status.words).size_bytes) < size:
        raise too_large(k, t)


@syscall(77, owner="files")
def ftruncate(k: Kernel, t: Thread, fd: Fd, size: Long) -> int:
    """As truncate, of a file that is open for writing.  EBADF; EINVAL: negative, or no file."""
    if size < 0:
        raise KernelError(E.INVAL)
    handle = t.process.descriptors.get(fd)
    if not handle.flags & O_PATH and not (handle.flags & O_ACCMODE and handle.seekable):
        raise KernelError(E.INVAL)
    _may_become(k, t, on(k, t, fd, "stat", (0,)), size)
    on(k, t, fd, "truncate", (size,))
    return 0


@syscall(285, owner="files")
def fallocate(k: Kernel, t: Thread, fd: Fd, mode: Int, offset: Long, length: Long) -> int:
    """Make a file at least `offset + length` bytes long.  EINVAL; EBADF; EOPNOTSUPP: a mode."""
    handle = t.process.descriptors.get(fd)
    if offset < 0 or length <= 0:
        raise KernelError(E.INVAL)
    if mode:
        raise KernelError(E.OPNOTSUPP)
    if not handle.flags & O_ACCMODE:
        raise KernelError(E.BADF)
    size = Stat(*on(k, t, fd, "stat", (0,)).words).size_bytes
    if offset + length > size:
        on(k, t, fd, "truncate", (offset + length,))
    return 0


@syscall(90, owner="files")
def chmod(k: Kernel, t: Thread, path: Path, mode: Flags) -> int:
    """Change the permission bits.  EPERM: not the owner; ENOENT; EACCES."""
    return fchmodat(k, t, AT_FDCWD, path, mode)


@syscall(91, owner="files")
def fchmod(k: Kernel, t: Thread, fd: Fd, mode: Flags) -> int:
    """As chmod, of an open file.  EBADF."""
    on(k, t, fd, "chmod", (mode, 0))
    return 0


@syscall(268, owner="files")
def fchmodat(k: Kernel, t: Thread, dirfd: Fd, path: Path, mode: Flags) -> int:
    """As chmod, from a directory.  EBADF."""
    at(k, t, dirfd, path, "chmod", (mode, 0))
    return 0


@syscall(452, owner="files")
def fchmodat2(k: Kernel, t: Thread, dirfd: Fd, path: Path, mode: Flags, flags: Int) -> int:
    """As fchmodat.  EOPNOTSUPP: AT_SYMLINK_NOFOLLOW of a link; EINVAL: other flags."""
    _check(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)
    nofollow, empty = int(flags & AT_SYMLINK_NOFOLLOW != 0), bool(flags & AT_EMPTY_PATH)
    at(k, t, dirfd, path, "chmod", (mode, nofollow), may_be_empty=empty)
    return 0


def _id(number: int) -> int:
    """-1 keeps what is there."""
    return -1 if number == 0xFFFF_FFFF else number


@syscall(92, owner="files")
def chown(k: Kernel, t: Thread, path: Path, uid: Id, gid: Id) -> int:
    """Give a file to another user or group.  EPERM: not root, or not one's own group; ENOENT."""
    return fchownat(k, t, AT_FDCWD, path, uid, gid, 0)


@syscall(94, owner="files")
def lchown(k: Kernel, t: Thread, path: Path, uid: Id, gid: Id) -> int:
    """As chown, of a link itself."""
    return fchownat(k, t, AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW)


@syscall(93, owner="files")
def fchown(k: Kernel, t: Thread, fd: Fd, uid: Id, gid: Id) -> int:
    """As chown, of an open file.  EBADF."""
    on(k, t, fd, "chown", (_id(uid), _id(gid), 0))
    return 0


@syscall(260, owner="files")
def fchownat(k: Kernel, t: Thread, dirfd: Fd, path: Path, uid: Id, gid: Id, flags: Int) -> int:
    """As chown, from a directory.  EBADF; EINVAL: other flags."""
    _check(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)
    words = (_id(uid), _id(gid), int(flags & AT_SYMLINK_NOFOLLOW != 0))
    at(k, t, dirfd, path, "chown", words, may_be_empty=bool(flags & AT_EMPTY_PATH))
    return 0


@syscall(95)
def umask(k: Kernel, t: Thread, mask: Flags) -> int:
    """Set which permissions new files do not get; returns what it was."""
    before, t.process.umask = t.process.umask, mask & 0o777
    return before


@syscall(280, owner="files")
def utimensat(k: Kernel, t: Thread, dirfd: Fd, path: Path, times: Ptr, flags: Int) -> int:
    """Set the times of access and change; without a path, of `dirfd`.

    EPERM, EACCES: not allowed; EINVAL: no such time, or other flags; ENOENT; EBADF; EFAULT.
    """
    _check(flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)
    wanted = _times(t, times, _wish)
    if wanted == (KEEP, KEEP):
        return 0
    if not path:
        on(k, t, dirfd, "utimens", (*wanted, 0))
        return 0
    words = (*wanted, int(flags & AT_SYMLINK_NOFOLLOW != 0))
    at(k, t, dirfd, path, "utimens", words, may_be_empty=bool(flags & AT_EMPTY_PATH))
    return 0


def _times(t: Thread, times: int, wish: Callable[[int, int], int]) -> tuple[int, int]:
    """Two times that a program has stored, or twice now if it has not."""
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
    at(k, t, AT_FDCWD, path, "utimens", (*_times(t, times, _micro), 0))
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
    at(k, t, AT_FDCWD, path, "utimens", (*wanted, 0))
    return 0
