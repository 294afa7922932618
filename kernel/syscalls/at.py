"""How a call says which file it means: a path from a directory, or a descriptor (openat(2)).

The kernel follows a path from server to server (`kernel.ipc.paths`).  The servers decide what the
caller may do.
"""

from __future__ import annotations

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Reply
from kernel.abi.nodes import O_PATH
from kernel.ipc import paths
from kernel.kernel import Kernel
from kernel.task.process import Thread

AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR, AT_EACCESS = 0x100, 0x200, 0x200
AT_SYMLINK_FOLLOW, AT_NO_AUTOMOUNT, AT_EMPTY_PATH = 0x400, 0x800, 0x1000


def check_flags(flags: int, allowed: int) -> None:
    """Raises EINVAL for any other flag."""
    if flags & ~allowed:
        raise KernelError(E.INVAL)


def nofollow(flags: int) -> int:
    """1 if the call means a link at the end of the path itself, as messages to servers say it."""
    return int(flags & AT_SYMLINK_NOFOLLOW != 0)


def path_argument(t: Thread, address: int, flags: int = 0) -> bytes:
    """The path at `address`, which is empty only under AT_EMPTY_PATH.

    Raises ENOENT if it is empty, EFAULT, ENAMETOOLONG.
    """
    if flags & AT_EMPTY_PATH:
        return t.space.read_string(address, paths.MAX_PATH_BYTES - 1)
    return paths.read(t, address)


def at(
    k: Kernel,
    t: Thread,
    dirfd: int,
    path: int,
    operation: str,
    *,
    words: tuple[int, ...] = (),
    more: bytes = b"",
    flags: int = 0,
) -> Reply:
    """Ask for `operation` at a path argument; under AT_EMPTY_PATH an empty one means `dirfd`."""
    name = path_argument(t, path, flags)
    start = paths.start(k.ipc, t, dirfd, name)
    reply, _ = paths.send(k.ipc, t, start, name, operation, words=words, more=more)
    return reply


def on(
    k: Kernel,
    t: Thread,
    fd: int,
    operation: str,
    *,
    words: tuple[int, ...] = (),
    path: bool = False,
) -> Reply:
    """Ask for `operation` on what a descriptor is open to.

    Raises EBADF if the descriptor is open with O_PATH only, unless that is enough (`path`).
    """
    handle = t.descriptors.get(fd)
    if handle.flags & O_PATH and not path:
        raise KernelError(E.BADF)
    reply, _ = paths.send(k.ipc, t, handle, b"", operation, words=words)
    return reply
