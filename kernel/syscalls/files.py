"""System calls on names: files, directories and links.

The old forms are the *at forms from the current directory.
"""

from __future__ import annotations

from kernel.abi.errno import E, KernelError
from kernel.abi.nodes import (
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
from kernel.syscalls.at import (
    AT_EMPTY_PATH,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    at,
    check_flags,
    path_argument,
)
from kernel.syscalls.descriptors import install
from kernel.syscalls.table import Fd, Flags, Int, Path, Ptr, Size, syscall
from kernel.syscalls.transfer import CHUNK_BYTES
from kernel.task.process import Thread

# Opening ------------------------------------------------------------------------------------------


@syscall(2, owner="files")
def open(k: Kernel, t: Thread, path: Path, flags: Int, mode: Flags) -> int:
    """As openat, from the current directory."""
    return openat(k, t, AT_FDCWD, path, flags=flags, mode=mode)


@syscall(85, owner="files")
def creat(k: Kernel, t: Thread, path: Path, mode: Flags) -> int:
    """As open with O_CREAT | O_WRONLY | O_TRUNC."""
    return openat(k, t, AT_FDCWD, path, flags=O_CREAT | O_WRONLY | O_TRUNC, mode=mode)


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
    t.descriptors.lowest_free()
    start = paths.start(k.ipc, t, dirfd, name)
    handle = paths.open_file(k.ipc, t, start, name, flags=flags | O_LARGEFILE, mode=mode)
    return install(k, t, handle, closes_on_exec=bool(flags & O_CLOEXEC))


# Directories --------------------------------------------------------------------------------------


@syscall(217, owner="files")
def getdents64(k: Kernel, t: Thread, fd: Fd, out: Ptr, room: Flags) -> int:
    """Store the next struct linux_dirent64 of a directory; returns their bytes, 0 at the end.

    EBADF; ENOTDIR; EINVAL: no room for one; EFAULT.
    """
    handle = t.descriptors.get(fd)
    size = min(room, CHUNK_BYTES)
    words = handle.offset, size, t.space.room(out, size)
    reply, _ = paths.send(k.ipc, t, handle, b"", "readdir", words=words)
    t.space.write(out, reply.data)
    handle.offset = reply.words[0]
    return len(reply.data)


@syscall(79, owner="files")
def getcwd(k: Kernel, t: Thread, buf: Ptr, size: Size) -> int:
    """Store the path of the current directory with its NUL; returns its bytes.  ERANGE; ENOENT."""
    path = k.ipc.call(t, t.surroundings.cwd, "path").data
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
    start = paths.start(k.ipc, t, dirfd, name)
    paths.send(k.ipc, t, start, name.rstrip(b"/") + b"/.", "access", words=(1, 0))
    cwd = paths.open_file(k.ipc, t, start, name, flags=O_PATH | O_DIRECTORY, mode=0)
    cwd.holds = 1
    place = t.surroundings
    before, place.cwd = place.cwd, cwd
    k.ipc.close(before)
    return 0


@syscall(83, owner="files")
def mkdir(k: Kernel, t: Thread, path: Path, mode: Flags) -> int:
    """Make a directory.  EEXIST; ENOENT; EACCES; ENOTDIR; ENOSPC."""
    return mkdirat(k, t, AT_FDCWD, path, mode)


@syscall(258, owner="files")
def mkdirat(k: Kernel, t: Thread, dirfd: Fd, path: Path, mode: Flags) -> int:
    """As mkdir, from a directory.  EBADF."""
    at(k, t, dirfd, path, "mkdir", words=(mode,))
    return 0


@syscall(133, owner="files")
def mknod(k: Kernel, t: Thread, path: Path, mode: Flags, device: Flags) -> int:
    """Make a file or a FIFO.  EEXIST; EPERM: a device; EINVAL: no such kind."""
    return mknodat(k, t, AT_FDCWD, path, mode=mode, device=device)


@syscall(259, owner="files")
def mknodat(k: Kernel, t: Thread, dirfd: Fd, path: Path, mode: Flags, device: Flags) -> int:
    """As mknod, from a directory.  EBADF."""
    at(k, t, dirfd, path, "mknod", words=(mode, device))
    return 0


@syscall(84, owner="files")
def rmdir(k: Kernel, t: Thread, path: Path) -> int:
    """Remove an empty directory.  ENOTEMPTY; ENOTDIR; ENOENT; EBUSY; EINVAL: "."."""
    return unlinkat(k, t, AT_FDCWD, path, AT_REMOVEDIR)


@syscall(87, owner="files")
def unlink(k: Kernel, t: Thread, path: Path) -> int:
    """Remove a name; an open file stays until it is closed.  EISDIR; ENOENT; EACCES; EPERM."""
    return unlinkat(k, t, AT_FDCWD, path, 0)


@syscall(263, owner="files")
def unlinkat(k: Kernel, t: Thread, dirfd: Fd, path: Path, flags: Int) -> int:
    """As unlink or, with AT_REMOVEDIR, rmdir, from a directory.  EBADF; EINVAL: other flags."""
    check_flags(flags, AT_REMOVEDIR)
    at(k, t, dirfd, path, "unlink", words=(int(flags != 0),))
    return 0


# Two names ----------------------------------------------------------------------------------------


@syscall(82, owner="files")
def rename(k: Kernel, t: Thread, old: Path, new: Path) -> int:
    """Move a name, and replace what is there.

    ENOENT; EACCES; ENOTEMPTY; EISDIR; ENOTDIR; EINVAL: into itself; EXDEV: another server; EBUSY;
    EPERM.
    """
    return renameat2(k, t, AT_FDCWD, old, newdir=AT_FDCWD, new=new, flags=0)


@syscall(264, owner="files")
def renameat(k: Kernel, t: Thread, olddir: Fd, old: Path, newdir: Fd, new: Path) -> int:
    """As rename, from directories.  EBADF."""
    return renameat2(k, t, olddir, old, newdir=newdir, new=new, flags=0)


@syscall(316, owner="files")
def renameat2(
    k: Kernel, t: Thread, olddir: Fd, old: Path, newdir: Fd, new: Path, flags: Flags
) -> int:
    """As renameat; RENAME_NOREPLACE: EEXIST if something is there.  EINVAL: other flags."""
    first, second = paths.read(t, old), paths.read(t, new)
    source, source_at = paths.send(k.ipc, t, paths.start(k.ipc, t, olddir, first), first, "parent")
    target, target_at = paths.send(
        k.ipc, t, paths.start(k.ipc, t, newdir, second), second, "parent"
    )
    if source_at != target_at:
        raise KernelError(E.XDEV)
    directory = k.ipc.node(source_at, source.words[0])
    words = (target.words[0], flags)
    paths.send(k.ipc, t, directory, source.data, "rename", words=words, more=target.data)
    return 0


@syscall(86, owner="files")
def link(k: Kernel, t: Thread, old: Path, new: Path) -> int:
    """Give a file another name.  EEXIST; ENOENT; EPERM: a directory; EXDEV; EACCES."""
    return linkat(k, t, AT_FDCWD, old, newdir=AT_FDCWD, new=new, flags=0)


@syscall(265, owner="files")
def linkat(k: Kernel, t: Thread, olddir: Fd, old: Path, newdir: Fd, new: Path, flags: Int) -> int:
    """As link, from directories; AT_SYMLINK_FOLLOW: through a link.  EBADF; EINVAL."""
    check_flags(flags, AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)
    first = path_argument(t, old, flags)
    second = paths.read(t, new)
    start, nofollow = paths.start(k.ipc, t, olddir, first), int(not flags & AT_SYMLINK_FOLLOW)
    found, found_at = paths.send(k.ipc, t, start, first, "stat", words=(nofollow,))
    target, target_at = paths.send(
        k.ipc, t, paths.start(k.ipc, t, newdir, second), second, "parent"
    )
    if found_at != target_at:
        raise KernelError(E.XDEV)
    directory = k.ipc.node(target_at, target.words[0])
    words = (Stat(*found.words).inode,)
    paths.send(k.ipc, t, directory, target.data, "link", words=words)
    return 0


@syscall(89, owner="files")
def readlink(k: Kernel, t: Thread, path: Path, buf: Ptr, size: Size) -> int:
    """Store where a link leads, without a NUL; returns how many bytes.  EINVAL: no link."""
    return readlinkat(k, t, AT_FDCWD, path, buf=buf, size=size)


@syscall(267, owner="files")
def readlinkat(k: Kernel, t: Thread, dirfd: Fd, path: Path, buf: Ptr, size: Size) -> int:
    """As readlink, from a directory.  EBADF; EINVAL: no link, or no room."""
    if not 0 < size < 1 << 31:
        raise KernelError(E.INVAL)
    target = _link(k, t, dirfd, path)[:size]
    t.space.write(buf, target)
    return len(target)


def _link(k: Kernel, t: Thread, dirfd: int, path: int) -> bytes:
    """Where a link leads.  An empty path means `dirfd`: ENOENT if that is no link."""
    try:
        return at(k, t, dirfd, path, "readlink", flags=AT_EMPTY_PATH).data
    except KernelError as error:
        if error.number == E.INVAL:
            paths.read(t, path)  # ENOENT
        raise


@syscall(88, owner="files")
def symlink(k: Kernel, t: Thread, target: Path, path: Path) -> int:
    """Make a link with any text as its target.  EEXIST; ENOENT; EACCES."""
    return symlinkat(k, t, target, AT_FDCWD, path)


@syscall(266, owner="files")
def symlinkat(k: Kernel, t: Thread, target: Path, dirfd: Fd, path: Path) -> int:
    """As symlink, from a directory.  EBADF."""
    at(k, t, dirfd, path, "symlink", more=paths.read(t, target))
    return 0
