"""Memory objects: the one idea under all memory.

An object is a sequence of pages.  Each is absent, in a frame, or paged out.  All memory is of this
class.  Its kinds differ in how they are named, who may open them, and when they die:

    kind         pages come from  named by                   opened by     dies with
    anonymous    zeroes           nobody                     nobody        its last region
    private      its `source`     nobody                     nobody        its last region
    shared       zeroes           nobody                     nobody        its last region
    file         `data`           paths in `files`           its mode      names, opens, regions
    memfd        zeroes           a descriptor               who has that  opens, regions
    shm          zeroes           a key and an id in `shm`   its mode      removal, then regions
    VAS segment  zeroes           a name and an id in `vas`, its mode      its deletion, then
                                  a path in `segs`                         regions
    in NVM       the NVM module   as one of those above      as that       its deletion, only

"Names, opens, regions" means with the last one of all these; fork gives a region to a child.
Shared anonymous memory, a memfd and System V shared memory are files without content, as on Linux.
Each has the size that its maker gave it.  Memory in a VAS is anonymous, and its regions die with
the VAS, not with a process.  process_vm_readv(2) has no row: it copies, and shares nothing.
What is in NVM has frames there for all of its pages, from the start (`extents`, `kernel.nvm`).

Copy-on-write: fork gives the child a second object that holds the same frames.  A frame with more
than one reference is shared, and the first who stores to it gets a copy.  All such objects are one
`family`.  A page that they share has the same page number in each of them.
"""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from hw import costs
from hw.memory import PAGE_SHIFT, PAGE_SIZE
from kernel.abi.errno import E, KernelError
from kernel.mm import frames as owner_tags
from kernel.mm.extents import Extents, Run
from kernel.mm.frames import Account, Frames


class Mapping(Protocol):
    """What an object knows of a region that maps it: pages from `page` on, at `start`..`end`."""

    start: int
    end: int
    page: int


@dataclass(slots=True, eq=False)
class Away:
    """A page that is not in memory: its disk block, how many objects hold it, when it left."""

    block: int
    holds: int
    left: int


@dataclass(slots=True, eq=False)
class MemoryObject:
    """`pages[i]` is the frame of page `i`, if it has one.

    `paged_out` has the pages that are in no frame because memory was short.  `source` and
    `source_page` say where the pages of a private copy come from; `copies` are a file's private
    copies.  `regions` lists every region that maps the object.  `holds` counts the regions and all
    others that keep the object alive.  `data` is a file's first content, put into frames page by
    page; only a file has a size.  `account` pays for the pages of VASes and segments, whose
    process may be gone.
    """

    id: int
    objects: Objects
    owner: int
    data: bytes = b""
    source: MemoryObject | None = None
    source_page: int = 0
    pages: dict[int, int] = field(default_factory=dict)
    regions: list[Mapping] = field(default_factory=list)
    holds: int = 0
    size_bytes: int | None = None
    account: Account | None = None
    changed: bool = False
    """A file is not what `data` says any more."""
    paged_out: dict[int, Away] = field(default_factory=dict)
    family: list[MemoryObject] = field(default_factory=list)
    copies: list[MemoryObject] = field(default_factory=list)
    node: tuple[int, int] = (0, 0)
    """Endpoint and badge of the file that a server made it for."""
    last_path: bytes = b""
    """What the server called it when it let it go."""
    counted: bool = False
    """The server hears of each region that comes and goes: its lifetime depends on them."""
    locked: bool = False
    """No page leaves memory, whoever maps it."""
    extents: Extents | None = None
    """Where the pages are in NVM.  `pages` has those that were used since the machine booted."""
    sealed: bool = False
    """No new mapping may be stored to, and no hole be made: the server has sealed the file."""

    def __post_init__(self) -> None:
        self.objects.frames.machine.charge(costs.RECORD_CREATE)
        self.family.append(self)
        if self.source is not None:
            self.source.holds += 1
            self.source.copies.append(self)

    # Pages ------------------------------------------------------------------------------------

    def frame_to_read(self, page: int) -> int:
        """The frame that shows a page: the object's own, or the source's where it has none."""
        pfn = self.pages.get(page)
        if pfn is not None:
            return pfn
        if page in self.paged_out:
            return self._pager.page_in(self, page)
        if self.source is not None and self.source.backs(page + self.source_page):
            return self.source.frame_to_read(page + self.source_page)
        return self._fill(page)

    def frame_to_write(self, page: int, *, shared: bool) -> int:
        """The frame to store into: the object's own, and no other object's unless `shared`."""
        self.changed = True
        if page in self.paged_out:
            self._pager.page_in(self, page)
        if page not in self.pages:
            return self._own(page)
        # BEGIN SOLUTION lab3.cow
        frames, pfn = self.objects.frames, self.pages[page]
        if not shared and frames.refs[pfn] > 1:
            self._put(page, frames.copy(pfn, self.owner))
            frames.release(pfn)
        return self.pages[page]
        # END SOLUTION lab3.cow
        # PROMPT lab3.cow: copy the frame on the first store to a shared page.

    def _own(self, page: int) -> int:
        """A page's first frame of its own, with what a load found there; for a store."""
        # BEGIN SOLUTION lab3.private
        if self.source is None or not self.source.backs(page + self.source_page):
            return self._fill(page)
        pfn = self.source.frame_to_read(page + self.source_page)
        self._admit()
        self._put(page, self.objects.frames.copy(pfn, self.owner))
        self._charge(1)
        return self.pages[page]
        # END SOLUTION lab3.private
        # PROMPT lab3.private: zeroes or a file's content, or a copy of the source's frame.

    def backs(self, page: int) -> bool:
        """True if the object has content of its own for this page, and not just zeroes."""
        return self.has(page) or page * PAGE_SIZE < len(self.data)

    def has(self, page: int) -> bool:
        """True if the page is the object's own, in memory or not."""
        return page in self.pages or page in (self.extents or self.paged_out)

    def reaches(self, page: int) -> bool:
        """False for a page that lies wholly behind the end of the file it would come from."""
        if self.source is not None:
            return self.source.reaches(page + self.source_page)
        return self.size_bytes is None or page << 12 < self.size_bytes

    def _fill(self, page: int) -> int:
        """A new frame with the first content: zeroes, where there is no `data`."""
        if self.extents is not None:
            return self._bring(page)
        content = self.data[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]
        frames = self.objects.frames
        self._admit()
        pfn = frames.allocate(self.owner)
        self._charge(1)
        if content:
            frames.machine.memory.write(pfn * PAGE_SIZE, content)
        self._put(page, pfn)
        return pfn

    def _put(self, page: int, pfn: int) -> None:
        self.pages[page] = pfn
        if self.objects.pager is not None:
            self.objects.pager.arrived(pfn, self, page)

    # Relatives ----------------------------------------------------------------------------------

    def clone(self) -> MemoryObject:
        """A second object with the same pages: what fork makes of private memory."""
        for pfn in self.pages.values():
            self.objects.frames.hold(pfn)
        for away in self.paged_out.values():
            away.holds += 1
        return self._relative(dict(self.pages), dict(self.paged_out))

    def move_to(self, runs: list[Run]) -> list[int]:
        """Let these frames in NVM have the pages from now on, with what the pages hold.

        Returns the frames that had them.  Nobody may map the object meanwhile.
        """
        memory, extents = self.objects.frames.machine.memory, Extents(runs)
        for page in [*self.pages, *self.paged_out] if self.extents is None else ():
            self.objects.reserve(1)
            pfn = extents.frame(page)
            assert pfn is not None
            memory.copy_frame(self.frame_to_read(page), pfn)
            self.objects.frames.machine.nvm.flush_range(pfn << PAGE_SHIFT, PAGE_SIZE)
        cost, old = self.cost(), self.frames_held()
        self.pages, self.extents = {}, extents
        self._charge(self.cost() - cost)
        return old

    def leave_nvm(self, pages: dict[int, int]) -> list[int]:
        """Have these frames instead of those in NVM, which are returned."""
        cost, old = self.cost(), self.frames_held()
        self.pages, self.extents = {}, None
        for page, pfn in pages.items():
            self._put(page, pfn)
        self._charge(self.cost() - cost)
        return old

    def grow(self, runs: list[Run]) -> None:
        """More pages have frames in NVM."""
        self.extents = self.extents or Extents()
        self.extents.add(runs)
        self._charge(sum(count for _, _, count in runs))

    def carve(self, first_page: int, pages: int) -> MemoryObject:
        """A second object that takes a range of pages over: what mremap makes of private memory.
        The pages keep their numbers."""
        taken = {page: self.pages.pop(page) for page in _within(self.pages, first_page, pages)}
        away = _within(self.paged_out, first_page, pages)
        carved = self._relative(taken, {page: self.paged_out.pop(page) for page in away})
        carved.account = self.account
        if self.extents is not None:
            carved.extents = Extents(self.extents.cut(first_page, pages))
        return carved

    def twin(self) -> MemoryObject:
        """A second object that comes from the same source and has no pages yet."""
        return self._relative({}, {})

    def _relative(self, pages: dict[int, int], paged_out: dict[int, Away]) -> MemoryObject:
        return MemoryObject(
            self.objects.next_id(),
            self.objects,
            self.owner,
            data=self.data,
            source=self.source,
            source_page=self.source_page,
            pages=pages,
            size_bytes=self.size_bytes,
            paged_out=paged_out,
            family=self.family,
        )

    def adopt(self, page: int, pfn: int) -> list[int]:
        """Show a frame of a relative too; returns the frame that this showed before."""
        old = self.pages.get(page)
        if old == pfn:
            return []
        self.objects.frames.hold(pfn)
        self._charge(not self.has(page))
        self._put(page, pfn)
        return [] if old is None else [old]

    def adopt_paged_out(self, other: MemoryObject, first_page: int, pages: int) -> None:
        """Share what a relative has paged out of a range, where this has nothing."""
        for page in _within(other.paged_out, first_page, pages):
            if not self.has(page):
                self.paged_out[page] = other.paged_out[page]
                self.paged_out[page].holds += 1
                self._charge(1)

    def copy_into(self, other: MemoryObject) -> None:
        """Give `other` a copy of every page.  Raises ENOMEM, perhaps half-way."""
        for page in self.own_pages():
            self.objects.reserve(2)
            other._admit()
            other._put(page, self.objects.frames.copy(self.frame_to_read(page), other.owner))
            other._charge(1)

    # The end ------------------------------------------------------------------------------------

    def discard(self, first_page: int, pages: int) -> list[int]:
        """Forget the pages of a range; the caller releases their frames when it is safe."""
        away = _within(self.paged_out, first_page, pages)
        for page in away:
            self._pager.let_go(self.paged_out.pop(page))
        gone = [self.pages.pop(page) for page in _within(self.pages, first_page, pages)]
        if self.extents is not None:
            gone = list(Extents(self.extents.cut(first_page, pages)).frames())
        self._charge(-len(gone) - len(away))
        return gone

    def drop(self) -> list[int]:
        """One holder less.  The last one gets all the frames, to release when it is safe."""
        self.holds -= 1
        if self.holds:
            return []
        gone = self.frames_held()
        self._charge(-len(gone) - len(self.paged_out))
        self.pages.clear()
        for away in self.paged_out.values():
            self._pager.let_go(away)
        self.paged_out.clear()
        self.family.remove(self)
        if self.source is not None:
            self.source.copies.remove(self)
            gone += self.source.drop()
            self.source = None
        return gone

    # Pages that a program fills -------------------------------------------------------------------

    def is_missing(self, page: int) -> bool:
        """True if the page would be zeroes that nobody has touched."""
        source = self.source
        return not self.backs(page) and not (source and source.backs(page + self.source_page))

    def supply(self, page: int, content: bytes) -> None:
        """Give a missing page its content: whole, before anybody sees it."""
        self._admit()
        pfn = self.objects.frames.allocate(self.owner, zero=not content)
        if content:
            machine = self.objects.frames.machine
            machine.memory.write(pfn * PAGE_SIZE, content)
            machine.charge(costs.FRAME_COPY)
        self._charge(1)
        self._put(page, pfn)
        self.changed = True

    # Who pays, and what is not in memory --------------------------------------------------------

    def pay_from(self, account: Account) -> None:
        """From now on `account` pays for every page of the object."""
        count = self.cost()
        self._charge(-count)
        self.account = account
        self._charge(count)

    def _bring(self, page: int) -> int:
        """The frame in NVM that has had the page all the time."""
        pfn = self.extents.frame(page) if self.extents is not None else None
        if pfn is None:
            raise KernelError(E.NOMEM)
        self.objects.frames.machine.nvm.load(pfn)
        self.pages[page] = pfn
        return pfn

    def frames_held(self) -> list[int]:
        """Every frame that the object holds."""
        return list(self.pages.values() if self.extents is None else self.extents.frames())

    def own_pages(self) -> list[int]:
        """Every page that is the object's own."""
        return list(self.extents.pages() if self.extents else (*self.pages, *self.paged_out))

    def cost(self) -> int:
        """For how many pages its account pays."""
        own = self.pages if self.extents is None else self.extents
        return len(own) + len(self.paged_out)

    def _admit(self) -> None:
        if self.account is not None:
            self.account.admit()

    def _charge(self, count: int) -> None:
        if self.account is not None:
            self.account.charged += count

    def first_content(self, page: int) -> bytes:
        """What the page held before anybody changed it."""
        return self.data[page * PAGE_SIZE : (page + 1) * PAGE_SIZE].ljust(PAGE_SIZE, b"\0")

    @property
    def _pager(self) -> Pager:
        assert self.objects.pager is not None
        return self.objects.pager


# Whom objects ask and tell ---------------------------------------------------------------------


class Pager(Protocol):
    """What takes pages out of memory when frames are short, and brings them back."""

    majors: int
    """How many faults have read from disk."""

    def make_room(self, count: int) -> None:
        """Have `count` frames free if that can be done."""

    def arrived(self, pfn: int, memory_object: MemoryObject, page: int) -> None:
        """A page of an object is in this frame now."""

    def page_in(self, memory_object: MemoryObject, page: int) -> int:
        """Bring a page back; returns its frame.  Raises ENOMEM."""

    def content(self, memory_object: MemoryObject, page: int) -> bytes:
        """What a page that is paged out holds; it stays where it is."""

    def let_go(self, away: Away) -> None:
        """One object less needs a page that is paged out."""

    def unlocked(self) -> None:
        """Pages may leave memory that were locked."""


class Keeper(Protocol):
    """Who hears of the regions of an object that is `counted`, by the object's `node`."""

    def mapped(self, memory_object: MemoryObject) -> None:
        """One region more shows it."""

    def unmapped(self, memory_object: MemoryObject) -> None:
        """One region less shows it, and still holds it."""


@dataclass(slots=True)
class Objects:
    """All memory objects of the system are made here, with ids that are never used again."""

    frames: Frames
    pager: Pager | None = None
    """None: there is no paging disk, and no page leaves memory."""
    keeper: Keeper | None = None
    """Tells servers of the regions of their objects."""
    last_id: int = 0
    changes: int = 0
    """How many changes of regions there have been: the clock of `Region.changed`."""
    faults: int = 0
    """How many pages were shown on demand."""
    eager: ClassVar[bool] = False
    """Does a region get its frames at once (`kernel.mm.eager`)?"""

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def reserve(self, count: int) -> None:
        """Have `count` frames free if that can be done.

        Pages leave memory only here.  A caller that will take frames calls this first, before it
        holds any frame number and before it walks any table.
        """
        if self.pager is not None and len(self.frames.free) < count:
            self.pager.make_room(count)

    def anonymous(self) -> MemoryObject:
        """Zero-filled memory."""
        return MemoryObject(self.next_id(), self, owner_tags.ANONYMOUS)

    def file(self, data: bytes) -> MemoryObject:
        """The contents of a file."""
        size = len(data)
        return MemoryObject(self.next_id(), self, owner_tags.FILE, data=data, size_bytes=size)

    def shared(self, size_bytes: int) -> MemoryObject:
        """Zero-filled memory for several mappings; behind `size_bytes` there is nothing."""
        return MemoryObject(self.next_id(), self, owner_tags.ANONYMOUS, size_bytes=size_bytes)

    def segment(self, size_bytes: int) -> MemoryObject:
        """Zero-filled memory that has a name and outlives processes."""
        made = MemoryObject(self.next_id(), self, owner_tags.SEGMENT, size_bytes=size_bytes)
        made.changed = True  # its content is in its pages only
        return made

    def private(self, source: MemoryObject, source_page: int) -> MemoryObject:
        """A private copy of `source` from page `source_page` on; a store copies its page."""
        return MemoryObject(
            self.next_id(), self, owner_tags.ANONYMOUS, source=source, source_page=source_page
        )

    def clone(self, original: MemoryObject) -> MemoryObject:
        """What fork makes of private memory.  Raises ENOMEM, only if eager."""
        return original.clone()


def _within(pages: Dictionary[int, object], first: int, count: int) -> list[int]:
    """The keys of `pages` in a range; it looks through the shorter of the two."""
    if count < len(pages):
        return [page for page in range(first, first + count) if page in pages]
    return [page for page in pages if first <= page < first + count]
