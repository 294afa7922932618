"""Memory objects: the one idea under all memory.

An object is a sequence of pages, each absent, in a frame, or paged out (`kernel.mm.replace`).
Anonymous memory, a program file, shared memory and a VAS segment are all this class.  They
differ in who names them, who may open them, and when they die:

    kind        pages come from      named by              dies with
    anonymous   zeroes               nobody                its last region
    private     its `source`, copied nobody                its last region
    file        `data`               a server's file       its last region and the server
    segment     zeroes               a VAS segment         its deletion
    kernel      the kernel           nobody                the machine

Shared anonymous memory is a file without content whose size is that of its mapping, as on Linux.

Copy-on-write: fork gives the child a second object that holds the same frames, so a frame with
more than one reference is shared and is copied by the first who writes to it.  All such objects
are one `family`, and what they share has the same page number in each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hw import costs
from hw.memory import PAGE_MASK, PAGE_SIZE
from kernel.abi.errno import KernelError
from kernel.mm import frames as owner_tags
from kernel.mm import rmap
from kernel.mm.frames import Account, Frames

if TYPE_CHECKING:
    from kernel.mm.replace import Away, Replacement
    from kernel.mm.space import Region


@dataclass(slots=True, eq=False)
class MemoryObject:
    """`frames[i]` is the frame of page `i`, if it has one.

    `paged_out` has the pages that are in no frame because memory was short.  `source` and
    `source_page` say where the pages of a private copy come from; `copies` are a file's private
    copies.  `regions` lists every region that maps the object; `holds` counts those and whoever
    else keeps it alive.  `data` is a file's first content, put into frames page by page; only a
    file has a size.  `account` is who pays for the pages where their process may be gone: VAS and
    segment memory.
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
    paged_out: dict[int, Away] = field(default_factory=dict)
    family: list[MemoryObject] = field(default_factory=list)
    copies: list[MemoryObject] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.table.machine.charge(costs.RECORD_CREATE)
        self.family.append(self)
        if self.source is not None:
            self.source.holds += 1
            self.source.copies.append(self)

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
        if pfn is None and offset >> 12 in self.paged_out:
            content = self._replacement.content(self, offset >> 12)
            return content[offset & PAGE_MASK :][:size_bytes]
        if pfn is None:
            return self.data[offset : offset + size_bytes].ljust(size_bytes, b"\0")
        return self.table.machine.memory.read(pfn << 12 | offset & PAGE_MASK, size_bytes)

    def store(self, offset: int, data: bytes) -> None:
        """Change a file, which grows to hold `data`.  Raises ENOMEM, perhaps with a part stored."""
        assert self.size_bytes is not None
        done = 0
        for at, room in pieces(offset, len(data)):
            self.table.reserve(2)
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
            self._cut(size_bytes + PAGE_MASK >> 12)
            page, tail = size_bytes >> 12, bytes(-size_bytes & PAGE_MASK)
            if tail and (page in self.frames or page in self.paged_out):
                self.store(size_bytes, tail)
        self.size_bytes = size_bytes

    def _cut(self, first: int) -> None:
        """Forget every page from `first` on; private copies of them go too, as on Linux."""
        for copy in self.copies:
            copy._cut(first - copy.source_page)
        self._forget([page for page in (*self.frames, *self.paged_out) if page >= first])

    def punch(self, first: int, end: int) -> None:
        """The pages of a range hold zeroes again."""
        start, stop = first * PAGE_SIZE, min(end * PAGE_SIZE, len(self.data))
        if start < stop:
            self.data = self.data[:start] + bytes(stop - start) + self.data[stop:]
        own = (*self.frames, *self.paged_out)
        self._forget([page for page in own if first <= page < end])

    def _forget(self, pages: list[int]) -> None:
        rmap.unmap(self, pages)
        for page in pages:
            for pfn in self.discard(page, 1):
                self.table.release(pfn)

    def reaches(self, page: int) -> bool:
        """False for a page that lies wholly behind the end of the file it would come from."""
        if self.source is not None:
            return self.source.reaches(page + self.source_page)
        return self.size_bytes is None or page << 12 < self.size_bytes

    # Pages ------------------------------------------------------------------------------------

    def frame_to_read(self, page: int) -> int:
        """The frame that shows page `page`, taken from the source where this has no own."""
        pfn = self.frames.get(page)
        if pfn is not None:
            return pfn
        if page in self.paged_out:
            return self._replacement.page_in(self, page)
        if self.source is not None and self.source.backs(page + self.source_page):
            return self.source.frame_to_read(page + self.source_page)
        return self._fill(page)

    def frame_to_write(self, page: int, *, shared: bool) -> int:
        """The frame to store into: of its own, and under a private mapping of nobody else's."""
        self.changed = True
        if page in self.paged_out:
            self._replacement.page_in(self, page)
        if page not in self.frames:
            return self._own(page)
        # BEGIN SOLUTION lab3.cow
        pfn = self.frames[page]
        if not shared and self.table.refs[pfn] > 1:
            self._put(page, self.table.copy(pfn, self.owner))
            self.table.release(pfn)
        return self.frames[page]
        # END SOLUTION lab3.cow
        # PROMPT lab3.cow: copy the frame on the first store to a shared page.

    def _own(self, page: int) -> int:
        """The first frame of its own for a page: what was to be read there, to be stored into."""
        # BEGIN SOLUTION lab3.private
        if self.source is None or not self.source.backs(page + self.source_page):
            return self._fill(page)
        pfn = self.source.frame_to_read(page + self.source_page)
        self._admit()
        self._put(page, self.table.copy(pfn, self.owner))
        self._charge(1)
        return self.frames[page]
        # END SOLUTION lab3.private
        # PROMPT lab3.private: zeroes or a file's content, or a copy of the source's frame.

    def copy_into(self, other: MemoryObject) -> None:
        """Give `other` a copy of every page.  Raises ENOMEM, perhaps half-way."""
        for page in (*self.frames, *self.paged_out):
            self.table.reserve(2)
            other._admit()
            other._put(page, self.table.copy(self.frame_to_read(page), other.owner))
            other._charge(1)

    def backs(self, page: int) -> bool:
        """True if the object has content of its own for this page, and not just zeroes."""
        return self.has(page) or page * PAGE_SIZE < len(self.data)

    def first_content(self, page: int) -> bytes:
        """What the page held before anybody changed it."""
        return self.data[page * PAGE_SIZE : (page + 1) * PAGE_SIZE].ljust(PAGE_SIZE, b"\0")

    def has(self, page: int) -> bool:
        """True if the page is the object's own, in memory or not."""
        return page in self.frames or page in self.paged_out

    def _fill(self, page: int) -> int:
        """A new frame with the first content: zeroes, where there is no `data`."""
        content = self.data[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]
        self._admit()
        pfn = self.table.allocate(self.owner)
        self._charge(1)
        if content:
            self.table.machine.memory.write(pfn * PAGE_SIZE, content)
        self._put(page, pfn)
        return pfn

    def pay_from(self, account: Account) -> None:
        """From now on `account` pays for every page of the object."""
        count = len(self.frames) + len(self.paged_out)
        self._charge(-count)
        self.account = account
        self._charge(count)

    def _admit(self) -> None:
        if self.account is not None:
            self.account.admit()

    def _charge(self, count: int) -> None:
        if self.account is not None:
            self.account.frames += count

    def _put(self, page: int, pfn: int) -> None:
        self.frames[page] = pfn
        if self.table.replacement is not None:
            self.table.replacement.arrived(pfn, self, page)

    @property
    def _replacement(self) -> Replacement:
        assert self.table.replacement is not None
        return self.table.replacement

    def clone(self, id: int) -> MemoryObject:
        """A second object with the same pages: what fork makes of private memory."""
        for pfn in self.frames.values():
            self.table.hold(pfn)
        for away in self.paged_out.values():
            away.holds += 1
        return self._relative(id, dict(self.frames), dict(self.paged_out))

    def carve(self, id: int, first_page: int, pages: int) -> MemoryObject:
        """A second object that takes a range of pages over, which keep their numbers."""
        frames = {page: self.frames.pop(page) for page in _within(self.frames, first_page, pages)}
        gone = _within(self.paged_out, first_page, pages)
        carved = self._relative(id, frames, {page: self.paged_out.pop(page) for page in gone})
        carved.account = self.account
        return carved

    def twin(self, id: int) -> MemoryObject:
        """A second object that comes from the same source and has no pages yet."""
        return self._relative(id, {}, {})

    def adopt(self, page: int, pfn: int) -> list[int]:
        """Show a frame of a relative too; returns the frame that this showed before."""
        old = self.frames.get(page)
        if old == pfn:
            return []
        self.table.hold(pfn)
        self._put(page, pfn)
        return [] if old is None else [old]

    def adopt_paged_out(self, other: MemoryObject, first_page: int, pages: int) -> None:
        """Share what a relative has paged out of a range, where this has nothing."""
        for page in _within(other.paged_out, first_page, pages):
            if not self.has(page):
                self.paged_out[page] = other.paged_out[page]
                self.paged_out[page].holds += 1

    def _relative(
        self, id: int, frames: dict[int, int], paged_out: dict[int, Away]
    ) -> MemoryObject:
        shape = (id, self.table, self.owner, self.data, self.source, self.source_page, frames)
        relative = MemoryObject(*shape, paged_out=paged_out, family=self.family)
        relative.size_bytes = self.size_bytes
        return relative

    def discard(self, first_page: int, pages: int) -> list[int]:
        """Forget the pages of a range; the caller releases their frames when it is safe."""
        away = _within(self.paged_out, first_page, pages)
        for page in away:
            self._replacement.let_go(self.paged_out.pop(page))
        gone = [self.frames.pop(page) for page in _within(self.frames, first_page, pages)]
        self._charge(-len(gone) - len(away))
        return gone

    def drop(self) -> list[int]:
        """One holder less.  The last one gets all the frames, to release when it is safe."""
        self.holds -= 1
        if self.holds:
            return []
        gone = list(self.frames.values())
        self._charge(-len(gone) - len(self.paged_out))
        self.frames.clear()
        for away in self.paged_out.values():
            self._replacement.let_go(away)
        self.paged_out.clear()
        self.family.remove(self)
        if self.source is not None:
            self.source.copies.remove(self)
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
    eager: bool = False
    """Nothing is put off: a region's pages get their frames with it, and private ones are copies
    from the start, as in the systems before paging (`--eager`)."""

    def anonymous(self) -> MemoryObject:
        """Zero-filled memory."""
        return self._make(owner_tags.ANONYMOUS)

    def file(self, data: bytes) -> MemoryObject:
        """The contents of a file."""
        made = self._make(owner_tags.FILE, data)
        made.size_bytes = len(data)
        return made

    def shared(self, size_bytes: int) -> MemoryObject:
        """Zero-filled memory to be mapped by many; behind `size_bytes` there is nothing."""
        made = self._make(owner_tags.ANONYMOUS)
        made.size_bytes = size_bytes
        return made

    def private(self, source: MemoryObject, source_page: int) -> MemoryObject:
        """A private copy of `source` from page `source_page` on; pages are copied when written."""
        owner = owner_tags.ANONYMOUS
        if self.eager:
            return self._copy_of_file(source, source_page << 12)
        self.made += 1
        return MemoryObject(self.made, self.table, owner, b"", source, source_page)

    def segment(self) -> MemoryObject:
        """Zero-filled memory that has a name and outlives processes."""
        return self._make(owner_tags.SEGMENT)

    def twin(self, original: MemoryObject) -> MemoryObject:
        """An object with the same source and no pages yet."""
        self.made += 1
        return original.twin(self.made)

    def clone(self, original: MemoryObject) -> MemoryObject:
        """What fork makes of private memory.  Raises ENOMEM, only if eager."""
        if self.eager:
            return self._copy(original)
        self.made += 1
        return original.clone(self.made)

    def _copy(self, original: MemoryObject) -> MemoryObject:
        copy = self.twin(original)
        copy.holds += 1
        try:
            original.copy_into(copy)
        except KernelError:
            for pfn in copy.drop():
                self.table.release(pfn)
            raise
        copy.holds -= 1
        return copy

    def _copy_of_file(self, file: MemoryObject, offset: int) -> MemoryObject:
        """The file's content from `offset` on, as it is now."""
        size = max((file.size_bytes or 0) - offset, 0)
        made = self._make(owner_tags.ANONYMOUS, file.load(offset, size))
        made.size_bytes = size
        return made

    def carve(self, original: MemoryObject, first_page: int, pages: int) -> MemoryObject:
        """What mremap makes of private memory that moves."""
        self.made += 1
        return original.carve(self.made, first_page, pages)

    def _make(self, owner: int, data: bytes = b"") -> MemoryObject:
        self.made += 1
        return MemoryObject(self.made, self.table, owner, data)


def _within(pages: Mapping[int, object], first: int, count: int) -> list[int]:
    """The keys of `pages` in a range, whichever of the two is smaller."""
    if count < len(pages):
        return [page for page in range(first, first + count) if page in pages]
    return [page for page in pages if first <= page < first + count]


def pieces(start: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """A range cut at page boundaries, as (start, bytes)."""
    end = start + size_bytes
    while start < end:
        room = min(PAGE_SIZE - (start & PAGE_MASK), end - start)
        yield start, room
        start += room
