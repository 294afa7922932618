"""The server of System V shared memory (shmget(2), shmat(2), shmctl(2)).

A segment is a memory object with a number for a name.  Nobody holds it open: it lives until it is
removed, and then until its last mapping goes.  The core says each time a region maps it (`mapped`)
or stops to (`unmapped`), and the object itself knows how many regions there are.

Badge 0 is the server, and an id + 1 a segment.  Messages, to badge 0 except for the last row:

    operation   words in                  the reply
    get         key, bytes, flags         result: the id
    attach      id, permissions wanted    caps: the memory object
    status      id; index instead (1);    words: `SegmentStatus`
                without a check (1)
    set         id, user, group, mode
    remove      id
    lock        id, 1: lock, the most bytes that the sender may lock
    usage                                 words: segments, pages, resident, swapped, the limit of
                                          pages, highest index
    list                                  words: the index of each segment
    mapped, unmapped, stat, path          of one segment

The sender's ids are its effective ones, which decide here and not those for files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Message, Port, Reply
from kernel.abi.nodes import S_IFREG, Stat
from kernel.abi.shm import (
    INDEX_BITS,
    IPC_CREAT,
    IPC_EXCL,
    IPC_PRIVATE,
    MODE_MASK,
    SHM_DEST,
    SHM_HUGETLB,
    SHM_LOCKED,
    SHMMAX,
    SHMMIN,
    SHMMNI,
    SegmentStatus,
)

DEVICE = 1
"""What stat(2) says that segments are on."""
MAX_INDEX, MIN_CYCLE = 1 << INDEX_BITS, 64
"""Indexes are given out in turn, up to `MIN_CYCLE` while there are few segments."""
MAX_SEQUENCE = (1 << 31 - INDEX_BITS) - 1
READ_BY_ALL = 0o444
NO_ID = 0xFFFF_FFFF
NANOSECONDS = 1_000_000_000


@dataclass(slots=True, eq=False)
class SharedSegment:
    """A segment; `cap` is its memory object.  `name` stays when the key goes with the removal."""

    id: int
    key: int
    name: bytes
    size_bytes: int
    cap: int
    mode: int
    uid: int
    gid: int
    creator_uid: int
    creator_gid: int
    creator: int
    changed_at: int
    last: int = 0
    attached_at: int = 0
    detached_at: int = 0
    locker: int = 0
    """Who has locked it, if it is locked."""

    @property
    def pages(self) -> int:
        return -(-self.size_bytes // 4096)


@dataclass(slots=True)
class Shm:
    """Each operation is a method; `OPERATIONS` finds it by name."""

    segments: dict[int, SharedSegment] = field(default_factory=dict)
    """By index."""
    keys: dict[int, int] = field(default_factory=dict)
    """The index of the segment with a key."""
    next_index: int = 0
    last_index: int = -1
    sequence: int = 0
    pages: int = 0
    """What all segments could come to hold."""
    name: str = "shm"

    def handle(self, message: Message, port: Port) -> Reply:
        operation = OPERATIONS.get(str(message.operation))
        if operation is None:
            raise KernelError(E.INVAL)
        return operation(self, message, port)

    def interrupt(self, port: Port) -> None:
        """It has no device."""

    def restarted(self) -> Shm:
        """Segments are stored; a new server finds them as they were."""
        return Shm(
            segments=self.segments,
            keys=self.keys,
            next_index=self.next_index,
            last_index=self.last_index,
            sequence=self.sequence,
            pages=self.pages,
        )

    # Making and finding -------------------------------------------------------------------------

    def _get(self, message: Message, port: Port) -> Reply:
        key, size, flags = message.words
        index = self.keys.get(key) if key != IPC_PRIVATE else None
        if index is None:
            if key != IPC_PRIVATE and not flags & IPC_CREAT:
                raise KernelError(E.NOENT)
            return Reply(self._make(message, port).id)
        if flags & IPC_CREAT and flags & IPC_EXCL:
            raise KernelError(E.EXIST)
        segment = self.segments[index]
        if size > segment.size_bytes:
            raise KernelError(E.INVAL)
        check(segment, message, flags)
        return Reply(segment.id)

    def _make(self, message: Message, port: Port) -> SharedSegment:
        key, size, flags = message.words
        if not SHMMIN <= size <= SHMMAX:
            raise KernelError(E.INVAL)
        if self.pages + -(-size // 4096) > all_pages(port):
            raise KernelError(E.NOSPC)
        if flags & SHM_HUGETLB:  # no huge page is set aside
            raise KernelError(E.NOMEM)
        if len(self.segments) >= SHMMNI:
            raise KernelError(E.NOSPC)
        number = self._new_id()
        cap = port.publish(b"", number + 1, counted=True)
        port.resize(cap, size)
        segment = self.segments[number % MAX_INDEX] = SharedSegment(
            id=number,
            key=key,
            name=b"SYSV%08x" % (key & 0xFFFF_FFFF),
            size_bytes=size,
            cap=cap,
            mode=flags & MODE_MASK,
            uid=message.uid,
            gid=message.gid,
            creator_uid=message.uid,
            creator_gid=message.gid,
            creator=message.pid,
            changed_at=_seconds(port),
        )
        self.pages += segment.pages
        if key != IPC_PRIVATE:
            self.keys[key] = number % MAX_INDEX
        return segment

    def _new_id(self) -> int:
        """The next free index; the sequence number goes up when the indexes start over."""
        room = min(max(len(self.segments) * 3 // 2, MIN_CYCLE), MAX_INDEX)
        index = self._free_index(self.next_index, room)
        if index is None:
            index = self._free_index(0, room)
        assert index is not None
        self.next_index = index + 1
        if index <= self.last_index:
            self.sequence = (self.sequence + 1) % MAX_SEQUENCE
        self.last_index = index
        return self.sequence << INDEX_BITS | index

    def _free_index(self, first: int, end: int) -> int | None:
        return next((i for i in range(first, end) if i not in self.segments), None)

    def _find(self, id: int) -> SharedSegment:
        """Raises EINVAL: there is none with this id, or none any more."""
        segment = self.segments.get(id % MAX_INDEX)
        if segment is None or segment.id != id:
            raise KernelError(E.INVAL)
        return segment

    # Using --------------------------------------------------------------------------------------

    def _attach(self, message: Message, port: Port) -> Reply:
        id, wanted = message.words
        segment = self._find(id)
        check(segment, message, wanted)
        return Reply(caps=(segment.cap,))

    def _mapped(self, message: Message, port: Port) -> Reply:
        segment = self._find(message.badge - 1)
        segment.attached_at, segment.last = _seconds(port), message.pid
        return Reply()

    def _unmapped(self, message: Message, port: Port) -> Reply:
        segment = self._find(message.badge - 1)
        segment.detached_at, segment.last = _seconds(port), message.pid
        self._destroy_if_gone(segment, port)
        return Reply()

    # Controlling --------------------------------------------------------------------------------

    def _status(self, message: Message, port: Port) -> Reply:
        id, by_index, any_user = message.words
        segment = self.segments.get(id % MAX_INDEX) if by_index else self._find(id)
        if segment is None:
            raise KernelError(E.INVAL)
        if not any_user:
            check(segment, message, READ_BY_ALL)
        return Reply(words=_status_of(segment, port))

    def _set(self, message: Message, port: Port) -> Reply:
        id, uid, gid, mode = message.words
        segment = self._owned(id, message)
        if NO_ID in (uid, gid):
            raise KernelError(E.INVAL)
        segment.uid, segment.gid = uid, gid
        segment.mode = segment.mode & ~MODE_MASK | mode & MODE_MASK
        segment.changed_at = _seconds(port)
        return Reply()

    def _remove(self, message: Message, port: Port) -> Reply:
        """It cannot be found by its key any more, and goes when nobody maps it."""
        segment = self._owned(message.words[0], message)
        segment.mode |= SHM_DEST
        self._forget_key(segment)
        self._destroy_if_gone(segment, port)
        return Reply()

    def _owned(self, id: int, who: Message) -> SharedSegment:
        """Raises EPERM unless the sender owns or made it, or is root."""
        segment = self._find(id)
        if who.uid not in (0, segment.uid, segment.creator_uid):
            raise KernelError(E.PERM)
        return segment

    def _forget_key(self, segment: SharedSegment) -> None:
        if segment.key != IPC_PRIVATE:
            del self.keys[segment.key]
            segment.key = IPC_PRIVATE

    def _destroy_if_gone(self, segment: SharedSegment, port: Port) -> None:
        if segment.mode & SHM_DEST and not port.mappings(segment.cap):
            del self.segments[segment.id % MAX_INDEX]
            self.pages -= segment.pages
            port.drop(segment.cap)

    def _lock(self, message: Message, port: Port) -> Reply:
        """Keep a segment's pages in memory, or let them go (shmctl(2), SHM_LOCK)."""
        id, locks, most_bytes = message.words
        segment = self._find(id)
        if message.uid and (
            message.uid not in (segment.uid, segment.creator_uid) or (locks and not most_bytes)
        ):
            raise KernelError(E.PERM)
        if bool(segment.mode & SHM_LOCKED) != bool(locks):
            if locks and message.uid and self._locked_by(message.uid, segment) > most_bytes:
                raise KernelError(E.NOMEM)
            segment.mode ^= SHM_LOCKED
            segment.locker = message.uid
            port.lock(segment.cap, locks=bool(locks))
        return Reply()

    def _locked_by(self, uid: int, more: SharedSegment) -> int:
        """How many bytes a user would have locked with one segment more."""
        held = [s for s in self.segments.values() if s.mode & SHM_LOCKED and s.locker == uid]
        return sum(segment.pages << 12 for segment in (more, *held))

    # What is known ------------------------------------------------------------------------------

    def _usage(self, message: Message, port: Port) -> Reply:
        caps = [segment.cap for segment in self.segments.values()]
        resident, swapped = sum(map(port.pages, caps)), sum(map(port.paged_out, caps))
        highest = max(self.segments, default=0)
        counts = (len(caps), self.pages, resident, swapped)
        return Reply(words=(*counts, all_pages(port), highest))

    def _list(self, message: Message, port: Port) -> Reply:
        return Reply(words=tuple(sorted(self.segments)))

    def _stat(self, message: Message, port: Port) -> Reply:
        segment = self._find(message.badge - 1)
        found = Stat(
            device=DEVICE,
            inode=segment.id,
            mode=S_IFREG | segment.mode & MODE_MASK,
            links=0,
            uid=segment.uid,
            gid=segment.gid,
            size_bytes=segment.size_bytes,
        )
        return Reply(words=found)

    def _path(self, message: Message, port: Port) -> Reply:
        return Reply(data=b"/" + self._find(message.badge - 1).name + b" (deleted)")


def check(segment: SharedSegment, who: Message, wanted: int) -> None:
    """Raises EACCES unless `who` has the permissions that a mode asks for, in any of its classes.

    A creator keeps the rights of an owner, and its group those of the group (sysvipc(7)).
    """
    wanted, granted = (wanted >> 6 | wanted >> 3 | wanted) & 7, segment.mode
    if who.uid in (segment.uid, segment.creator_uid):
        granted >>= 6
    elif {segment.gid, segment.creator_gid} & {who.gid, *who.groups}:
        granted >>= 3
    if who.uid and wanted & ~granted:
        raise KernelError(E.ACCES)


def all_pages(port: Port) -> int:
    """SHMALL, how many pages all segments may come to hold: half of the memory.

    Segments outlive their makers, and no process that can be killed has them.
    """
    return port.memory()[0] // 2


def _seconds(port: Port) -> int:
    return port.now() // NANOSECONDS


def _status_of(segment: SharedSegment, port: Port) -> SegmentStatus:
    return SegmentStatus(
        key=segment.key,
        id=segment.id,
        mode=segment.mode,
        uid=segment.uid,
        gid=segment.gid,
        creator_uid=segment.creator_uid,
        creator_gid=segment.creator_gid,
        size_bytes=segment.size_bytes,
        attached=port.mappings(segment.cap),
        creator=segment.creator,
        last=segment.last,
        attached_at=segment.attached_at,
        detached_at=segment.detached_at,
        changed_at=segment.changed_at,
        resident=port.pages(segment.cap),
        swapped=port.paged_out(segment.cap),
    )


NAMES = "get attach mapped unmapped status set remove lock usage list stat path".split()
OPERATIONS: dict[str, Callable[[Shm, Message, Port], Reply]] = {
    name: getattr(Shm, f"_{name}") for name in NAMES
}
