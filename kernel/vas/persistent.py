"""Persistent segments and VASes: objects that live in NVM, and come back after a reboot.

An object is persistent while its mode has PERSISTENT.  Then all of its pages have frames in NVM,
its record is on the medium, and each change of it ends with a commit, before the call returns.  Ids
stay as well.  What is attached, locked or inside is a matter of the running system and is not kept,
nor are page tables: they fill with faults again.

A persistent VAS holds anonymous memory and persistent segments.  What else could be mapped in it
would be gone after a reboot: EOPNOTSUPP.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from heapq import heapify, heappush

from hw import costs
from kernel.abi.errno import E, KernelError
from kernel.mm.extents import Extents, Run
from kernel.mm.objects import MemoryObject
from kernel.mm.regions import Region
from kernel.nvm.format import FILE, SEGMENT, VAS, Damage, Key, MediumError, Record
from kernel.nvm.medium import Medium
from kernel.task.credentials import Credentials
from kernel.vas.records import MODE_MASK, Ids, Named, Segment, Vas, pages
from kernel.vas.rfc import Rfc
from kernel.vas.vases import Vases

_SEGMENT = struct.Struct("<QQI")
_VAS = struct.Struct("<QIIII")
_LINK = struct.Struct("<II")
_SIZE = struct.Struct("<Q")
_REGION = struct.Struct("<QQQIIII")
PERSISTENT = 0x1_0000
"""In a mode, above all bits that a file's mode has: the object is in NVM (`kernel.vas.persistent`).
"""
FILES = (FILE, 1)
"""The record of all files in NVM."""
NO_SIZE = (1 << 64) - 1
"""In a record: the object has no size of its own."""


@dataclass(slots=True)
class Persistence:
    """Keeps the medium in step with `vases`."""

    vases: Vases
    medium: Medium
    saved: dict[int, int] = field(default_factory=dict)
    """By id of a persistent VAS: when the regions changed that its record has."""
    seen: int = 0

    # Beginning and ending ---------------------------------------------------------------------

    def keep(self, named: Named) -> None:
        """Make an object persistent, with its contents, by one commit.

        Raises EBUSY: it is attached or mapped; EOPNOTSUPP: it holds what cannot be kept; ENOSPC: no
        room in the module; ENOMEM: past the owner's limit.  Then nothing has changed.
        """
        self._check_idle(named)
        if isinstance(named, Vas) and named.image:
            raise KernelError(E.OPNOTSUPP)  # the record of a checkpoint is not written yet
        wanted = self._wanted(named)
        more = sum(count for runs in wanted.values() for _, count in runs)
        more -= sum(made.cost() for made in self.objects(named))
        account = named.account
        if account.limit is not None and account.charged + more > account.limit:
            raise KernelError(E.NOMEM)
        objects = self.objects(named)
        rows = [row for made in objects for row in wanted[made.id]]
        runs = Extents()
        runs.add(self.medium.allocate([(0, sum(count for _, count in rows))]))
        for made in objects:
            self._unmap(named, made)
            for pfn in made.move_to(_dealt(runs, wanted[made.id])):
                made.objects.frames.release(pfn)
        self._mark(named, persistent=True)
        try:
            self.save(named)
        except KernelError:
            self._mark(named, persistent=False)
            for made in objects:
                self._to_dram(made)
            raise

    @staticmethod
    def _check_idle(named: Named) -> None:
        """No page table may show what moves: it is attached nowhere, nor mapped from /segs."""
        if named.attached or (isinstance(named, Segment) and named.object.regions):
            raise KernelError(E.BUSY)

    def _mark(self, named: Named, *, persistent: bool) -> None:
        named.mode = named.mode | PERSISTENT if persistent else named.mode & ~PERSISTENT
        if isinstance(named, Vas):
            named.space.backer = self if persistent else None

    def forget(self, named: Named) -> None:
        """An object is in DRAM from now on, and ends with the power.  Raises EBUSY, ENOMEM."""
        self._check_idle(named)
        for made in self.objects(named):
            self._unmap(named, made)
            self._to_dram(made)
        self._mark(named, persistent=False)
        self.remove(named)

    def _to_dram(self, made: MemoryObject) -> None:
        """Give each page of an object that is not all zeroes a frame in DRAM.  Raises ENOMEM."""
        extents, frames = made.extents, made.objects.frames
        if extents is None:
            return
        pages: dict[int, int] = {}
        try:
            for page in extents.pages():
                pfn = made.frame_to_read(page)
                if any(frames.machine.memory.read(pfn << 12, 4096)):
                    pages[page] = frames.copy(pfn, made.owner)
        except KernelError:
            for pfn in pages.values():
                frames.release(pfn)
            raise
        for pfn in made.leave_nvm(pages):
            frames.release(pfn)

    def _unmap(self, named: Named, made: MemoryObject) -> None:
        """Nobody is inside: the leaves of a VAS go, and come back with faults."""
        space = named.space if isinstance(named, Vas) else None
        for region in space.map if space is not None else ():
            if space is not None and region.object is made:
                space.invalidate(space.table.clear_range(region.start, region.end), [])

    def objects(self, named: Named) -> list[MemoryObject]:
        """The memory objects that go with it, each once, in the order of its record."""
        if isinstance(named, Segment):
            return [named.object]
        assert isinstance(named, Vas)
        own = [region for region in named.space.map if not region.segment]
        return list({region.object.id: region.object for region in own}.values())

    def _wanted(self, named: Named) -> dict[int, list[tuple[int, int]]]:
        """By object, the pages that need a frame.  Raises EOPNOTSUPP."""
        if isinstance(named, Segment):
            return {named.object.id: [(0, pages(named))]}
        assert isinstance(named, Vas)
        if isinstance(self.vases.sync, Rfc):
            raise KernelError(E.OPNOTSUPP)
        for sid in named.segments:
            self.check_link(named, self.vases.segments[sid], always=True)
        wanted: dict[int, list[tuple[int, int]]] = {}
        for region in named.space.map:
            if not region.segment:
                self._check(region)
                rows = wanted.setdefault(region.object.id, [])
                rows.append((region.page, region.end - region.start >> 12))
        return {id: sorted(rows) for id, rows in wanted.items()}

    @staticmethod
    def _check(region: Region) -> None:
        """Raises EOPNOTSUPP for all but anonymous memory of a fixed size."""
        made = region.object
        if made.source is not None or region.floor or made.data or made.node != (0, 0):
            raise KernelError(E.OPNOTSUPP)

    def check_link(self, vas: Vas, segment: Segment, *, always: bool = False) -> None:
        """A persistent VAS shows persistent segments only.  Raises EOPNOTSUPP."""
        if (always or vas.mode & PERSISTENT) and not segment.mode & PERSISTENT:
            raise KernelError(E.OPNOTSUPP)

    def back(self, region: Region, end: int) -> None:
        """Memory that is being mapped in a persistent VAS gets its frames.

        Raises ENOMEM, EOPNOTSUPP.
        """
        if region.segment:
            return
        self._check(region)
        made, count = region.object, end - region.start >> 12
        holes = made.extents.holes(region.page, count) if made.extents else [(region.page, count)]
        if not holes:
            return
        try:
            made.grow(self.medium.allocate(holes))
        except KernelError as error:
            raise KernelError(E.NOMEM) from error

    # Commits ----------------------------------------------------------------------------------

    def save(self, *named: Named) -> None:
        """The medium has these objects as they are now.  Raises ENOSPC."""
        self.medium.commit([self.record(one) for one in named], ())
        for one in named:
            if isinstance(one, Vas):
                self.saved[one.id] = one.space.changed

    def remove(self, named: Named) -> None:
        """The medium has this object no more."""
        self.medium.commit((), [key_of(named)])
        if isinstance(named, Vas):
            self.saved.pop(named.id, None)

    def keep_files(self, data: bytes, objects: list[MemoryObject]) -> None:
        """The medium has this tree of files, and these objects of its files.  Raises ENOSPC."""
        record = Record(*FILES, b"files", 0o755, 0, 0, data)
        record.objects = [list(one.extents.runs) if one.extents else [] for one in objects]
        self.medium.commit([record], ())

    def settle(self) -> None:
        """A call has ended: VASes whose regions it has changed are saved."""
        changes = self.vases.memory.objects.changes
        if changes == self.seen:
            return
        self.seen = changes
        self.vases.machine.charge(costs.TABLE_LOOKUP, len(self.saved))
        vases = [self.vases.vases[vid] for vid in self.saved]
        stale = [vas for vas in vases if vas.space.changed != self.saved[vas.id]]
        if stale:
            self.save(*stale)

    # Records ----------------------------------------------------------------------------------

    def record(self, named: Named) -> Record:
        """What the medium has of an object."""
        record = Record(*key_of(named), named.name, named.mode, named.user, named.group)
        made = self.objects(named)
        record.objects = [list(one.extents.runs) if one.extents else [] for one in made]
        if isinstance(named, Segment):
            record.body = _SEGMENT.pack(named.start, named.end, named.lockable)
        else:
            assert isinstance(named, Vas)
            record.body = self._body(named, [one.id for one in made])
            sizes = (NO_SIZE if one.size_bytes is None else one.size_bytes for one in made)
            record.body += b"".join(_SIZE.pack(size) for size in sizes)
        return record

    def _body(self, vas: Vas, ids: list[int]) -> bytes:
        regions = [region for region in vas.space.map if not region.segment]
        counts = (len(vas.segments), len(regions), len(ids))
        parts = [_VAS.pack(vas.entry, vas.tagging, *counts)]
        parts += [_LINK.pack(*link) for link in vas.segments.items()]
        for region in regions:
            name = region.name.encode()
            place = (region.start, region.end, region.page)
            rights = (region.prot, region.shared, ids.index(region.object.id), len(name))
            parts.append(_REGION.pack(*place, *rights) + name)
        return b"".join(parts)

    # After a reboot ---------------------------------------------------------------------------

    def restore(self, records: list[Record]) -> None:
        """Make again what was persistent.  Raises `MediumError`."""
        for uid in {record.user: None for record in records}:
            self.vases.account(uid).limit = None
        try:
            for record in records:
                if record.kind == SEGMENT:
                    self._restore_segment(record)
            for record in records:
                if record.kind == VAS:
                    self._restore_vas(record)
        except (KernelError, struct.error, IndexError, KeyError, Damage) as error:
            raise MediumError(
                "an object on it cannot be made again", "more memory (--ram, --vas-limit) may help"
            ) from error
        for uid, account in self.vases.accounts.items():
            account.limit = self.vases.limit_frames if uid else None
        self.seen = self.vases.memory.objects.changes

    def _restore_segment(self, record: Record) -> None:
        start, end, lockable = _SEGMENT.unpack(record.body)
        who = Credentials(record.user, record.group)
        _claim(self.vases.segment_ids, record.id)
        made = self.vases.make_segment(
            who, record.name, start, end, record.mode & MODE_MASK, sid=record.id
        )
        made.mode, made.lockable = record.mode, bool(lockable)
        made.object.grow(record.objects[0])

    def _restore_vas(self, record: Record) -> None:
        if isinstance(self.vases.sync, Rfc):
            raise MediumError("it holds VASes, and --vas-sync rfc keeps none", "use another policy")
        who, at = Credentials(record.user, record.group), _VAS.size
        entry, tagging, links, regions, objects = _VAS.unpack_from(record.body)
        _claim(self.vases.vas_ids, record.id)
        vas = self.vases.create(who, record.name, record.mode & MODE_MASK, vid=record.id)
        vas.mode, vas.entry, vas.tagging = record.mode, entry, tagging
        for _ in range(links):
            sid, kind = _LINK.unpack_from(record.body, at)
            self.vases.link(vas, self.vases.segments[sid], kind)
            at += _LINK.size
        made = self._restore_objects(record, vas, objects)
        for _ in range(regions):
            *row, size = _REGION.unpack_from(record.body, at)
            name = record.body[at + _REGION.size : at + _REGION.size + size]
            at += _REGION.size + size
            start, end, page, prot, shared, index = row
            vas.space.map_region(
                Region(
                    start,
                    end,
                    prot,
                    made[index],
                    page,
                    shared=bool(shared),
                    name=name.decode(errors="replace"),
                )
            )
        vas.space.backer = self
        self.saved[vas.id] = vas.space.changed

    def _restore_objects(self, record: Record, vas: Vas, count: int) -> list[MemoryObject]:
        sizes = record.body[len(record.body) - count * _SIZE.size :]
        found = []
        for (size,), runs in zip(_SIZE.iter_unpack(sizes), record.objects, strict=True):
            objects = self.vases.memory.objects
            made = objects.anonymous() if size == NO_SIZE else objects.shared(size)
            made.account = vas.account
            made.grow(runs)
            found.append(made)
        return found


def _claim(ids: Ids, id: int) -> None:
    """Give out this id, which is free."""
    while ids.given < id:
        ids.given += 1
        heappush(ids.free, ids.given)
    ids.free.remove(id)
    heapify(ids.free)


def _dealt(free: Extents, rows: list[tuple[int, int]]) -> list[Run]:
    """Frames for these pages, out of `free`, whose own pages only count them."""
    found: list[Run] = []
    for page, count in rows:
        first = free.runs[0][0]
        for at, pfn, length in free.cut(first, count):
            found.append((page + at - first, pfn, length))
    return found


def key_of(named: Named) -> Key:
    """Kind and id, as on the medium."""
    return (SEGMENT if isinstance(named, Segment) else VAS), named.id


def follow(persistence: Persistence | None, named: Named, *, wanted: bool) -> None:
    """An object was made or changed, and shall be persistent or not.

    Raises ENODEV without a module, and as `Persistence.keep` and `forget`.
    """
    is_kept = bool(named.mode & PERSISTENT)
    if persistence is None:
        if wanted:
            raise KernelError(E.NODEV)
    elif wanted and not is_kept:
        persistence.keep(named)
    elif is_kept and not wanted:
        persistence.forget(named)
    else:
        changed(persistence, named)


def changed(persistence: Persistence | None, named: Named) -> None:
    """An object was changed: if it is persistent, so is the change."""
    if persistence is not None and named.mode & PERSISTENT:
        persistence.save(named)


def gone(persistence: Persistence | None, named: Named) -> None:
    """An object was deleted."""
    if persistence is not None and named.mode & PERSISTENT:
        persistence.remove(named)
