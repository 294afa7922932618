"""Files as core and servers speak of them: modes, open flags, and what stat tells.

Values are Linux's (include/uapi/linux/stat.h, asm-generic/fcntl.h; x86-64).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

S_IFMT, S_IFSOCK, S_IFLNK, S_IFREG, S_IFBLK = 0o170000, 0o140000, 0o120000, 0o100000, 0o060000
S_IFDIR, S_IFCHR, S_IFIFO = 0o040000, 0o020000, 0o010000
S_ISUID, S_ISGID, S_ISVTX, PERMISSIONS = 0o4000, 0o2000, 0o1000, 0o7777

O_WRONLY, O_RDWR, O_ACCMODE, O_CREAT, O_EXCL = 1, 2, 3, 0o100, 0o200
O_TRUNC, O_APPEND, O_NONBLOCK = 0o1000, 0o2000, 0o4000
O_DIRECTORY, O_NOFOLLOW, O_CLOEXEC, O_PATH = 0o200000, 0o400000, 0o2000000, 0o10000000
O_TMPFILE, O_LARGEFILE = 0o20000000, 0o100000

POLLIN, POLLPRI, POLLOUT, POLLERR, POLLHUP, POLLNVAL = 1, 2, 4, 8, 16, 32
POLLRDNORM, POLLWRNORM = 0x40, 0x100

READ, WRITE, EXECUTE = 4, 2, 1
"""Rights, as access(2) and the mode of a file have them."""

MAX_NAME_BYTES, MAX_LINKS, PIPE_BYTES = 255, 40, 65_536
KEEP, NOW = -2, -1
"""Instead of a time in `utimens`; KEEP + 1 = -1 also stands for "keep" in `chown`."""


class Stat(NamedTuple):
    """What there is to know of a node; times in nanoseconds since the epoch."""

    device: int
    inode: int
    mode: int
    links: int
    uid: int
    gid: int
    special: int
    size_bytes: int
    blocks: int
    """Of 512 bytes."""
    accessed: int
    modified: int
    changed: int


@dataclass(frozen=True, slots=True)
class Given:
    """A file, directory or link that the host gives at boot; `content` of a link is its target."""

    path: bytes
    mode: int
    content: bytes = b""
    uid: int = 0
    gid: int = 0


_ENTRY = struct.Struct("<QqHB")
_TYPES = {
    S_IFIFO: 1, S_IFCHR: 2, S_IFDIR: 4, S_IFBLK: 6, S_IFREG: 8, S_IFLNK: 10, S_IFSOCK: 12,
}  # fmt: skip


def pack_entry(inode: int, next_cookie: int, name: bytes, mode: int) -> bytes:
    """A struct linux_dirent64, padded to 8 bytes."""
    size = _ENTRY.size + len(name) + 1 + 7 & ~7
    head = _ENTRY.pack(inode, next_cookie, size, _TYPES[mode & S_IFMT])
    return (head + name).ljust(size, b"\0")


def makedev(major: int, minor: int) -> int:
    """A device number (sysmacros.h, small numbers only)."""
    return major << 8 | minor
