"""Files in messages between the core and servers: modes, open flags, and the result of stat(2).

Values are Linux's (include/uapi/linux/stat.h, asm-generic/fcntl.h; x86-64).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

S_IFMT, S_IFSOCK, S_IFLNK, S_IFREG, S_IFBLK = 0o170000, 0o140000, 0o120000, 0o100000, 0o060000
S_IFDIR, S_IFCHR, S_IFIFO = 0o040000, 0o020000, 0o010000
S_ISUID, S_ISGID, S_ISVTX, S_IXGRP, PERMISSIONS = 0o4000, 0o2000, 0o1000, 0o010, 0o7777

O_RDONLY, O_WRONLY, O_RDWR, O_ACCMODE = range(4)
O_CREAT, O_EXCL = 0o100, 0o200
O_TRUNC, O_APPEND, O_NONBLOCK = 0o1000, 0o2000, 0o4000
O_DIRECTORY, O_NOFOLLOW, O_CLOEXEC, O_PATH = 0o200000, 0o400000, 0o2000000, 0o10000000
O_TMPFILE, O_LARGEFILE = 0o20000000, 0o100000

POLLIN, POLLPRI, POLLOUT, POLLERR, POLLHUP, POLLNVAL = 1, 2, 4, 8, 16, 32
POLLRDNORM, POLLWRNORM, POLLRDHUP = 0x40, 0x100, 0x2000

F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE = 1, 2, 4, 8
F_SEAL_FUTURE_WRITE, F_SEAL_EXEC = 16, 32
"""What nobody may do with a file any more (fcntl(2), "File Sealing")."""
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2

READ, WRITE, EXECUTE = 4, 2, 1
"""Rights, with the values of access(2)."""

MAX_NAME_BYTES, MAX_LINKS = 255, 40
FILES_DEVICE = 1
"""What stat(2) says that ordinary files are on."""
KEEP, NOW = -2, -1
"""In a `utimens` message these replace a time: keep the old one, or use the time of now."""


class Stat(NamedTuple):
    """The attributes of a node; times in nanoseconds since the epoch."""

    device: int
    inode: int
    mode: int
    links: int = 1
    uid: int = 0
    gid: int = 0
    special: int = 0
    """The device number of a device file."""
    size_bytes: int = 0
    blocks: int = 0
    """Blocks of 512 bytes."""
    accessed: int = 0
    modified: int = 0
    changed: int = 0


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
    S_IFIFO: 1,
    S_IFCHR: 2,
    S_IFDIR: 4,
    S_IFBLK: 6,
    S_IFREG: 8,
    S_IFLNK: 10,
    S_IFSOCK: 12,
}
"""Kind of a node -> d_type."""


def pack_entry(inode: int, next_cookie: int, name: bytes, mode: int) -> bytes:
    """A struct linux_dirent64, padded to 8 bytes."""
    size = _ENTRY.size + len(name) + 1 + 7 & ~7
    head = _ENTRY.pack(inode, next_cookie, size, _TYPES[mode & S_IFMT])
    return (head + name).ljust(size, b"\0")


def makedev(major: int, minor: int) -> int:
    """A device number (sysmacros.h, small numbers only)."""
    return major << 8 | minor
