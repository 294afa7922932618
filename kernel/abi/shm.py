"""System V shared memory in messages between the core and its server (shmget(2), shmctl(2)).

Values and layouts are Linux's (include/uapi/linux/ipc.h, shm.h; x86-64).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

IPC_PRIVATE = 0
IPC_CREAT, IPC_EXCL = 0o1000, 0o2000
SHM_HUGETLB = 0o4000
SHM_RDONLY, SHM_RND, SHM_REMAP, SHM_EXEC = 0o10000, 0o20000, 0o40000, 0o100000

IPC_RMID, IPC_SET, IPC_STAT, IPC_INFO = range(4)
SHM_LOCK, SHM_UNLOCK, SHM_STAT, SHM_INFO, SHM_STAT_ANY = range(11, 16)

SHM_DEST, SHM_LOCKED = 0o1000, 0o2000
"""Marks beside the permissions: it dies with its last mapping; its pages stay in memory."""
MODE_MASK = 0o777

SHMMIN, SHMMAX, SHMMNI = 1, (1 << 64) - 1 - (1 << 24), 4096
"""The least and the most bytes of a segment, and how many segments there can be, as on Linux."""
INDEX_BITS = 15
"""An id is an index below and a sequence number above: an index that is used again has another
id."""


class SegmentStatus(NamedTuple):
    """What is known of a segment; times in seconds since the epoch, 0: never."""

    key: int
    id: int
    mode: int
    """Permissions, SHM_DEST and SHM_LOCKED."""
    uid: int
    gid: int
    creator_uid: int
    creator_gid: int
    size_bytes: int
    attached: int
    """How many regions map it."""
    creator: int
    """The process that made it."""
    last: int
    """The process that mapped or unmapped it last."""
    attached_at: int
    detached_at: int
    changed_at: int
    resident: int
    swapped: int
    """Pages in memory, and on the paging disk."""


_DS = struct.Struct("<iIIIIIHHxxxxQQQQQQIIQQQ")
_INFO = struct.Struct("<9Q")
_USAGE = struct.Struct("<ixxxxQQQQQ")
DS_BYTES = _DS.size


def pack_status(status: SegmentStatus) -> bytes:
    """A struct shmid64_ds."""
    who = (status.uid, status.gid, status.creator_uid, status.creator_gid)
    permissions = (status.key, *who, status.mode, status.id >> INDEX_BITS, 0, 0, 0)
    times = (status.attached_at, status.detached_at, status.changed_at)
    pids = (status.creator, status.last)
    return _DS.pack(*permissions, status.size_bytes, *times, *pids, status.attached, 0, 0)


def unpack_wish(data: bytes) -> tuple[int, int, int]:
    """The user, group and mode that a struct shmid64_ds asks for."""
    _, uid, gid, _, _, mode, *_ = _DS.unpack(data)
    return uid, gid, mode


def pack_limits(all_pages: int) -> bytes:
    """A struct shminfo64; `all_pages` is SHMALL."""
    return _INFO.pack(SHMMAX, SHMMIN, SHMMNI, SHMMNI, all_pages, 0, 0, 0, 0)


def pack_usage(segments: int, pages: int, resident: int, swapped: int) -> bytes:
    """A struct shm_info: how many segments there are, and what they hold in pages."""
    return _USAGE.pack(segments, pages, resident, swapped, 0, 0)
