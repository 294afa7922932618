"""The medium of a running system: where each record is, and how a change becomes durable.

Frames have the numbers of physical memory here, and those of the module in what is written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from hw import trace
from hw.machine import Machine
from hw.memory import PAGE_SHIFT, PAGE_SIZE
from kernel.abi.errno import KernelError
from kernel.mm.extents import Run
from kernel.mm.frames import FRAME, FREE, KERNEL, SEGMENT, Frames
from kernel.nvm.check import SEE, read
from kernel.nvm.format import (
    SLOTS,
    Entry,
    Key,
    MediumError,
    Record,
    Root,
    checksum,
    frames_for,
    pack_catalogue,
    pack_record,
    pack_root,
    runs_of,
    unpack_record,
)

SPARE_FRAMES = 8
"""Beside as many frames as the records take now, so many are kept back for the next commits."""
COMMIT = trace.declare(
    "nvm_commit", "number:Q changed:I gone:I", "The NVM module's records are in a new state."
)


@dataclass(slots=True)
class Medium:
    """The records of the module, by kind and id."""

    machine: Machine
    frames: Frames
    root: Root = field(init=False)
    slot: int = 0
    """Where the root is; the next commit writes the other slot."""
    entries: dict[Key, Entry] = field(default_factory=dict)

    @property
    def _base(self) -> int:
        return self.frames.zone.first

    def mount(self) -> list[Record]:
        """Take over what is on the module; its frames are in use from now on.

        Raises `MediumError`.
        """
        nvm = self.machine.nvm
        found = read(nvm.read, nvm.size_bytes)
        if found.problems:
            raise MediumError(f"it is damaged: {'; '.join(found.problems[:3])}", SEE)
        self.root, self.slot = found.root, found.slot
        self.entries = {entry.key: entry for entry in found.entries}
        self._claim(0, SLOTS, KERNEL)
        self._claim(self.root.pfn, frames_for(self.root.size_bytes), KERNEL)
        for entry, record in zip(found.entries, found.records, strict=True):
            self._claim(entry.pfn, frames_for(entry.size_bytes), KERNEL)
            for _, pfn, count in runs_of(record):
                self._claim(pfn, count, SEGMENT)
            record.objects = [self._moved(runs, self._base) for runs in record.objects]
        self._keep_back()
        return found.records

    def load(self, key: Key) -> Record:
        """A record, as it is in the mirror."""
        entry = self.entries[key]
        memory, pa = self.machine.memory, entry.pfn * PAGE_SIZE + self.machine.nvm.base
        record = unpack_record(memory.read(pa, entry.size_bytes))
        record.objects = [self._moved(runs, self._base) for runs in record.objects]
        return record

    def _claim(self, pfn: int, count: int, owner: int) -> None:
        if count:
            self.frames.zone.remove(pfn + self._base, count)
            self._own(pfn + self._base, count, owner)

    def _own(self, pfn: int, count: int, owner: int) -> None:
        """Frames that the zone has given out have one holder now."""
        frames, end = self.frames, pfn + count
        frames.refs[pfn:end], frames.owners[pfn:end] = [1] * count, bytes([owner]) * count
        if self.machine.trace:
            for one in range(pfn, end):
                self.machine.emit(FRAME, one, 0, 1, FREE, owner)

    @staticmethod
    def _moved(runs: list[Run], by: int) -> list[Run]:
        return [(page, pfn + by, count) for page, pfn, count in runs]

    # Pages --------------------------------------------------------------------------------------

    def allocate(self, wanted: list[tuple[int, int]]) -> list[Run]:
        """Zeroed frames for pages, which are given as (page, count).  Raises ENOSPC."""
        runs: list[Run] = []
        free = self._take(sum(count for _, count in wanted))
        for page, count in wanted:
            while count:
                pfn, length = free.pop(0)
                used = min(length, count)
                runs.append((page, pfn, used))
                page, count = page + used, count - used
                if used < length:
                    free.insert(0, (pfn + used, length - used))
        for _, pfn, count in runs:
            self._own(pfn, count, SEGMENT)
            for one in range(pfn, pfn + count):
                self.machine.nvm.clear(one)
        return runs

    def _take(self, count: int) -> list[tuple[int, int]]:
        zone = self.frames.zone
        if count > len(zone) - zone.kept_back:  # what waits may be enough
            for _ in range(2 if zone.waiting or zone.older else 0):
                self.commit((), ())
        return zone.take(count)

    # Commit -------------------------------------------------------------------------------------

    def commit(self, changed: Iterable[Record], gone: Iterable[Key]) -> None:
        """Let these records be new, or as they are here, and those be no more: all or nothing.

        Raises ENOSPC, and then nothing has changed.
        """
        changed, gone = list(changed), list(gone)
        entries, taken = dict(self.entries), list[int]()
        try:
            for record in changed:
                entries[record.key] = self._write_record(record, taken)
            for key in gone:
                entries.pop(key, None)
            catalogue = pack_catalogue(list(entries.values()))
            pfn = self._write(catalogue, taken)
        except KernelError:
            for one in taken:
                self.frames.release(one)
            raise
        self.machine.nvm.fence()
        old, self.root = (
            self.root,
            replace(
                self.root,
                number=self.root.number + 1,
                pfn=pfn - self._base,
                size_bytes=len(catalogue),
                checksum=checksum(catalogue),
            ),
        )
        self._write_root()
        replaced = [
            self.entries[key] for key in self.entries if entries.get(key) is not self.entries[key]
        ]
        self.entries = entries
        self._let_go(old.pfn, old.size_bytes)
        for entry in replaced:
            self._let_go(entry.pfn, entry.size_bytes)
        self.frames.zone.committed()
        self._keep_back()
        self.machine.emit(COMMIT, self.root.number, len(changed), len(gone))

    def _write_record(self, record: Record, taken: list[int]) -> Entry:
        objects = [self._moved(runs, -self._base) for runs in record.objects]
        data = pack_record(replace(record, objects=objects))
        pfn = self._write(data, taken)
        return Entry(record.kind, record.id, pfn - self._base, len(data), checksum(data))

    def _write(self, data: bytes, taken: list[int]) -> int:
        """Put bytes into frames of their own, and flush them; returns the first frame."""
        count = frames_for(len(data))
        if not count:
            return self._base + SLOTS
        pfn = self.frames.zone.take_together(count)
        taken += range(pfn, pfn + count)
        self._own(pfn, count, KERNEL)
        nvm, pa = self.machine.nvm, pfn << PAGE_SHIFT
        for one in range(pfn, pfn + count):
            nvm.load(one)
        self.machine.memory.write(pa, data)
        nvm.flush_range(pa, len(data))
        return pfn

    def _write_root(self) -> None:
        self.slot = 1 - self.slot
        pa = (self._base + self.slot) * PAGE_SIZE
        line = pack_root(self.root)
        self.machine.memory.write(pa, line)
        self.machine.nvm.flush_range(pa, len(line))
        self.machine.nvm.fence()

    def _let_go(self, pfn: int, size_bytes: int) -> None:
        for one in range(pfn, pfn + frames_for(size_bytes)):
            self.frames.release(one + self._base)

    def frames_held(self) -> Iterable[int]:
        """The frames of the records, the catalogue and the root slots."""
        places = [(0, SLOTS), (self.root.pfn, frames_for(self.root.size_bytes))]
        places += [(entry.pfn, frames_for(entry.size_bytes)) for entry in self.entries.values()]
        for pfn, count in places:
            yield from range(pfn + self._base, pfn + self._base + count)

    def _keep_back(self) -> None:
        self.frames.zone.kept_back = len(list(self.frames_held())) + SPARE_FRAMES
