"""Memory objects: the one idea under all memory.

An object is a sequence of pages, each absent or in a frame.  Anonymous memory, a program file,
shared memory and a VAS segment are all this class.  They differ in who names them, who may
open them, and when they die:

    kind        pages come from      named by              dies with
    anonymous   zeroes               nobody                its last region
    private     its `source`, copied nobody                its last region
    file        `data`               a server's file       its last region and the server
    segment     zeroes               a VAS segment         its deletion
    kernel      the kernel           nobody                the machine

Copy-on-write: fork gives the child a second object that holds the same frames, so a frame with
more than one reference is shared and is copied by the first who writes to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hw.memory import PAGE_MASK, PAGE_SIZE
from kernel import frames as owner_tags
from kernel.frames import Account, Frames

if TYPE_CHECKING:
    from kernel.space import Region


@dataclass(slots=True, eq=False)
class MemoryObject:
    """`frames[i]` is the frame of page `i`, if it has one.

    `source` and `source_page` say where the pages of a private copy come from.  `regions` lists
    every region that maps the object; `holds` counts those and whoever else keeps it alive.
    `data` is a file's first content, put into frames page by page; only a file has a size.
    `account` is who pays for the frames where their process may be gone: VAS and segment memory.
    """

    id: int
    table: Frames
    owner: int
    data: bytes = b""
    source: MemoryObject | None = None
    source_page: int = 0
    frames: dict[int, int] = field(default_factory=dict)
    regions: list[Region] = field(default_factory=list)
    holds: int = 0
    size_bytes: int | None = None
    account: Account | None = None
    changed: bool = False
    """A file is not what `data` says any more."""

    # A file's content -------------------------------------------------------------------------

    def content(self) -> bytes:
        """All of a file."""
        return self.load(0, self.size_bytes or 0) if self.changed else self.data

    def load(self, offset: int, size_bytes: int) -> bytes:
        """The bytes of a file from `offset` on, up to its end; takes no frames."""
        assert self.size_bytes is not None
        if not self.changed:
            return self.data[offset : offset + size_bytes]
        end = min(offset + size_bytes, self.size_bytes)
        return b"".join([self._peek(at, room) for at, room in pieces(offset, end - offset)])

    def _peek(self, offset: int, size_bytes: int) -> bytes:
        pfn = self.frames.get(offset >> 12)
        if pfn is None:
            return self.data[offset : offset + size_bytes].ljust(size_bytes, b"\0")
        return self.table.machine.memory.read(pfn << 12 | offset & PAGE_MASK, size_bytes)

    def store(self, offset: int, data: bytes) -> None:
        """Change a file, which grows to hold `data`.  Raises ENOMEM, perhaps with a part stored."""
        assert self.size_bytes is not None
        done = 0
        for at, room in pieces(offset, len(data)):
            pfn = self.frame_to_write(at >> 12, shared=True)
            pa = pfn << 12 | at & PAGE_MASK
            self.table.machine.memory.write(pa, data[done : done + room])
            done += room
            self.size_bytes = max(self.size_bytes, at + room)

    def resize(self, size_bytes: int) -> None:
        """Cut a file off at `size_bytes`, or let it grow by a hole that reads as zeroes."""
        assert self.size_bytes is not None
        self.changed = True
        if size_bytes < self.size_bytes:
            self.data = self.data[:size_bytes]
            first = size_bytes + PAGE_MASK >> 12
            for pfn in self.discard(first, (self.size_bytes + PAGE_MASK >> 12) - first):
                self.table.release(pfn)
            pfn = self.frames.get(size_bytes >> 12, 0)
            if pfn:
                tail = bytes(-size_bytes & PAGE_MASK)
                self.table.machine.memory.write(pfn << 12 | size_bytes & PAGE_MASK, tail)
        self.size_bytes = size_bytes

    # Pages ------------------------------------------------------------------------------------

    def frame_to_read(self, page: int) -> int:
        """The frame that shows page `page`, taken from the source where this has no own."""
        pfn = self.frames.get(page)
        if pfn is not None:
            return pfn
        if self.source is not None and self.source.backs(page + self.source_page):
            return self.source.frame_to_read(page + self.source_page)
        return self._fill(page)

    def frame_to_write(self, page: int, *, shared: bool) -> int:
        """The frame to store into: of its own, and under a private mapping of nobody else's."""
        self.changed = True
        # BEGIN SOLUTION lab3.cow
        pfn = self.frames.get(page)
        if pfn is None:
            if self.source is None or not self.source.backs(page + self.source_page):
                return self._fill(page)
            pfn = self.source.frame_to_read(page + self.source_page)
            self._admit()
            self.frames[page] = self.table.copy(pfn, self.owner)
            self._charge(1)
        elif not shared and self.table.refs[pfn] > 1:
            self.frames[page] = self.table.copy(pfn, self.owner)
            self.table.release(pfn)
        return self.frames[page]
        # END SOLUTION lab3.cow
        # PROMPT lab3.cow: copy the frame on the first write to a shared page.

    def copy_into(self, other: MemoryObject) -> None:
        """Give `other` a copy of every page that has a frame.  Raises ENOMEM, perhaps half-way."""
        for page, pfn in self.frames.items():
            other._admit()
            other.frames[page] = self.table.copy(pfn, other.owner)
            other._charge(1)

    def backs(self, page: int) -> bool:
        """True if the object has content of its own for this page, and not just zeroes."""
        return page in self.frames or page * PAGE_SIZE < len(self.data)

    def _fill(self, page: int) -> int:
        content = self.data[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]
        self._admit()
        pfn = self.table.allocate(self.owner)
        self._charge(1)
        if content:
            self.table.machine.memory.write(pfn * PAGE_SIZE, content)
        self.frames[page] = pfn
        return pfn

    def pay_from(self, account: Account) -> None:
        """From now on `account` pays for every frame of the object."""
        self._charge(-len(self.frames))
        self.account = account
        self._charge(len(self.frames))

    def _admit(self) -> None:
        if self.account is not None:
            self.account.admit()

    def _charge(self, count: int) -> None:
        if self.account is not None:
            self.account.frames += count

    def clone(self, id: int) -> MemoryObject:
        """A second object with the same frames: what fork makes of private memory."""
        for pfn in self.frames.values():
            self.table.hold(pfn)
        if self.source is not None:
            self.source.holds += 1
        return MemoryObject(
            id, self.table, self.owner, self.data, self.source, self.source_page, dict(self.frames)
        )

    def discard(self, first_page: int, pages: int) -> list[int]:
        """Forget the frames of a range; the caller releases them when it is safe."""
        if pages < len(self.frames):
            gone = [page for page in range(first_page, first_page + pages) if page in self.frames]
        else:
            gone = [page for page in self.frames if first_page <= page < first_page + pages]
        self._charge(-len(gone))
        return [self.frames.pop(page) for page in gone]

    def drop(self) -> list[int]:
        """One holder less.  The last one gets all the frames, to release when it is safe."""
        self.holds -= 1
        if self.holds:
            return []
        gone = list(self.frames.values())
        self._charge(-len(gone))
        self.frames.clear()
        if self.source is not None:
            gone += self.source.drop()
            self.source = None
        return gone


@dataclass(slots=True)
class Objects:
    """All memory objects of the system are made here, with ids that are never used again."""

    table: Frames
    made: int = 0
    changes: int = 0
    """How many changes of regions there have been: the clock of `Region.changed`."""

    def anonymous(self) -> MemoryObject:
        """Zero-filled memory."""
        return self._make(owner_tags.ANONYMOUS)

    def file(self, data: bytes) -> MemoryObject:
        """The contents of a file."""
        made = self._make(owner_tags.FILE, data)
        made.size_bytes = len(data)
        return made

    def private(self, source: MemoryObject, source_page: int) -> MemoryObject:
        """A private copy of `source` from page `source_page` on; pages are copied when written."""
        source.holds += 1
        made = self._make(owner_tags.ANONYMOUS)
        made.source, made.source_page = source, source_page
        return made

    def segment(self) -> MemoryObject:
        """Zero-filled memory that has a name and outlives processes."""
        return self._make(owner_tags.SEGMENT)

    def twin(self, original: MemoryObject) -> MemoryObject:
        """An object with the same source and no frames yet."""
        if original.source is None:
            return self._make(original.owner, original.data)
        return self.private(original.source, original.source_page)

    def clone(self, original: MemoryObject) -> MemoryObject:
        """What fork makes of private memory."""
        self.made += 1
        return original.clone(self.made)

    def _make(self, owner: int, data: bytes = b"") -> MemoryObject:
        self.made += 1
        return MemoryObject(self.made, self.table, owner, data)


def pieces(start: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """A range cut at page boundaries, as (start, bytes)."""
    end = start + size_bytes
    while start < end:
        room = min(PAGE_SIZE - (start & PAGE_MASK), end - start)
        yield start, room
        start += room
