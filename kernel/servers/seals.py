"""Seals: what nobody may do with a file any more (fcntl(2), "File Sealing").

A file in memory has seals, and they are only ever added.  A file with a name has F_SEAL_SEAL from
the start, so that it gets no other; memfd_create(2) makes files without a name, and may leave it
out.  Values are Linux's (include/uapi/linux/fcntl.h).
"""

from __future__ import annotations

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Port
from kernel.abi.nodes import (
    F_SEAL_EXEC,
    F_SEAL_FUTURE_WRITE,
    F_SEAL_GROW,
    F_SEAL_SEAL,
    F_SEAL_SHRINK,
    F_SEAL_WRITE,
)
from kernel.servers.tree import Inode

WRITE_SEALS = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE
ALL_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | WRITE_SEALS | F_SEAL_EXEC
CONTENT = F_SEAL_SHRINK | F_SEAL_GROW | WRITE_SEALS
EXECUTE_BITS = 0o111


def add(node: Inode, seals: int, port: Port) -> None:
    """Add seals to a file whose memory object is `node.cap`.

    EINVAL: unknown ones; EPERM: there is F_SEAL_SEAL; EBUSY: F_SEAL_WRITE, and a mapping may be
    stored to.  A program that gets F_SEAL_EXEC gets those of its content as well, as on Linux:
    what stays executable stays as it is.
    """
    if seals & ~ALL_SEALS:
        raise KernelError(E.INVAL)
    if node.seals & F_SEAL_SEAL:
        raise KernelError(E.PERM)
    if seals & F_SEAL_EXEC and node.mode & EXECUTE_BITS:
        seals |= CONTENT
    if seals & ~node.seals & F_SEAL_WRITE and port.may_be_stored_to(node.cap):
        raise KernelError(E.BUSY)
    node.seals |= seals
    if node.seals & WRITE_SEALS:
        port.seal(node.cap)


def writable_bytes(node: Inode, start: int, count: int, size: int) -> int:
    """How many of the bytes that a write brings fit under the seals; `size` is the file's.

    Under F_SEAL_GROW a write ends with the last whole page in front of the file's end, as it goes
    page by page on Linux.  Raises EPERM if there is nothing to write then.
    """
    if node.seals & WRITE_SEALS:
        raise KernelError(E.PERM)
    if node.seals & F_SEAL_GROW and start + count > size:
        count = max(0, (size & ~4095) - start)
        if not count:
            raise KernelError(E.PERM)
    return count


def check_size(node: Inode, old: int, new: int) -> None:
    """Raises EPERM if the file may not become so long, or so short."""
    if (node.seals & F_SEAL_SHRINK and new < old) or (node.seals & F_SEAL_GROW and new > old):
        raise KernelError(E.PERM)


def check_hole(node: Inode) -> None:
    """Raises EPERM if nobody may punch a hole."""
    if node.seals & WRITE_SEALS:
        raise KernelError(E.PERM)


def check_mode(node: Inode, mode: int) -> None:
    """Raises EPERM if the permission to execute would change, and may not."""
    if node.seals & F_SEAL_EXEC and (node.mode ^ mode) & EXECUTE_BITS:
        raise KernelError(E.PERM)
