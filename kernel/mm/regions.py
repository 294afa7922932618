"""Regions: what a space shows where, and the map that finds a region by its address."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from hw.paging import ERR_FETCH, ERR_WRITE
from kernel.mm.filler import Filler
from kernel.mm.objects import MemoryObject
from kernel.mm.pagetable import PROT_EXEC, PROT_WRITE, PageTable

LOCKED, NOT_FORKED, WIPED_BY_FORK, STAYS_READ_ONLY = 1, 2, 4, 8
"""Flags of a region: its pages never leave memory; a child does not get it; a child gets zeroes;
it shows a file that was opened for reading only."""

CREATED, OF_TASK, OF_VAS = range(3)
"""Whom a region was copied from."""


class Owner(Protocol):
    """What a region asks of the address space that it is in."""

    id: int
    table: PageTable

    def invalidate(self, pages: list[int], pfns: list[int]) -> None:
        """The leaves of `pages` have changed; `pfns` are released once no TLB has them."""

    def place(self, size_bytes: int, wish: int = 0) -> int:
        """A free range for `size_bytes`.  Raises ENOMEM."""

    def clash(self, start: int, end: int) -> Region | None:
        """What a view shows of another space in a range."""

    def extend(self, region: Region, end: int) -> None:
        """Let a region reach up to `end`.  Raises EPERM, EFAULT, ENOMEM."""

    def dropped(self, region: Region) -> None:
        """Private pages of a region were forgotten."""

    def show(self, region: Region, page: int, *, write: bool) -> None:
        """Put the frame that the region shows at `page` into the tables."""


@dataclass(slots=True, eq=False)
class Region:
    """The pages `start`..`end` show `object` from its page `page` on.

    A shared region stores into the object; a private one copies shared frames first.
    `floor` is how far down a growing stack may reach, else 0.  `segment` is the VAS segment that
    the region shows: such a region is sealed, as by mseal(2).  `changed`: when, in steps of
    `Objects.changes`.  Only the sync policy `rfc`, which copies regions, uses the rest: whom from
    (`origin`), whether the pages are still to come (`lazy`), whether frames are shared without
    copy-on-write (`duplicated`).  `filler`: a program that fills missing pages.
    """

    start: int
    end: int
    prot: int
    object: MemoryObject
    page: int = 0
    shared: bool = False
    name: str = ""
    floor: int = 0
    flags: int = 0
    segment: int = 0
    changed: int = 0
    origin: int = CREATED
    lazy: bool = False
    duplicated: bool = False
    filler: Filler | None = None
    space: Owner = field(init=False)

    def __str__(self) -> str:
        return f"{self.name or 'a mapping'} at {self.start:#x}-{self.end:#x}"

    def object_page(self, va: int) -> int:
        """The page of the object that the region shows at `va`."""
        return self.page + (va - self.start >> 12)

    def allows(self, error: int) -> bool:
        """May a program make the access that faulted with this error code?"""
        if error & ERR_FETCH:
            return bool(self.prot & PROT_EXEC)
        if error & ERR_WRITE:
            return bool(self.prot & PROT_WRITE)
        return bool(self.prot)

    @property
    def is_data(self) -> bool:
        """Does it count for RLIMIT_DATA?"""
        return bool(self.prot & PROT_WRITE) and not (self.shared or self.floor)

    def is_past_end(self, va: int) -> bool:
        """True where the file that the region shows has ended before this page: SIGBUS."""
        memory_object = self.object
        if memory_object.size_bytes is None and memory_object.source is None:
            return False
        return not memory_object.reaches(self.object_page(va))

    def content_until(self, va: int) -> int:
        """Where the region ends, or before it the file that it shows (`is_past_end`)."""
        memory_object, page = self.object, self.object_page(va)
        while memory_object.source is not None:
            page += memory_object.source_page
            memory_object = memory_object.source
        if memory_object.size_bytes is None:
            return self.end
        last = (memory_object.size_bytes - 1 >> 12) + 1
        return max(va, min(self.end, va + (last - page << 12)))

    def is_continued_by(self, after: Region) -> bool:
        """Could this region and the one behind it be one region?"""
        return (
            after.object is self.object
            and not after.object.counted  # as on Linux, two attachments stay two
            and after.page == self.object_page(after.start)
            and (after.prot, after.shared, after.name, after.floor, after.flags, after.origin)
            == (self.prot, self.shared, self.name, self.floor, self.flags, self.origin)
            and after.filler is self.filler
        )


@dataclass(slots=True)
class RegionMap:
    """The regions of a space, sorted and disjoint."""

    starts: list[int] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)

    def __iter__(self) -> Iterator[Region]:
        return iter(self.regions)

    def __len__(self) -> int:
        return len(self.regions)

    def size_bytes(self) -> int:
        """How much is mapped."""
        return sum(region.end - region.start for region in self.regions)

    def find(self, va: int) -> Region | None:
        """The region that covers `va`."""
        i = bisect_right(self.starts, va) - 1
        if i >= 0 and va < self.regions[i].end:
            return self.regions[i]
        return None

    def overlapping(self, start: int, end: int) -> list[Region]:
        """Every region with a page in the range, in order."""
        first = bisect_right(self.starts, start)
        if first and self.regions[first - 1].end > start:
            first -= 1
        return self.regions[first : bisect_left(self.starts, end)]

    def first_in(self, start: int, end: int) -> Region | None:
        """The lowest region with a page in the range."""
        i = bisect_right(self.starts, start)
        if i and self.regions[i - 1].end > start:
            return self.regions[i - 1]
        return self.regions[i] if i < len(self.starts) and self.starts[i] < end else None

    def busy(self, start: int, end: int) -> bool:
        """Is anything mapped in the range?"""
        return self.first_in(start, end) is not None

    def at(self, index: int) -> Region:
        """The region with this place in the order."""
        return self.regions[index]

    def next_above(self, va: int) -> Region | None:
        """The region with the lowest start that is not below `va`."""
        i = bisect_left(self.starts, va)
        return self.regions[i] if i < len(self.regions) else None

    def add(self, region: Region) -> None:
        """Put a region where none is."""
        i = bisect_left(self.starts, region.start)
        self.starts.insert(i, region.start)
        self.regions.insert(i, region)

    def remove(self, region: Region) -> None:
        """Take a region out."""
        i = bisect_left(self.starts, region.start)
        del self.starts[i], self.regions[i]

    def restart(self, region: Region, start: int) -> None:
        """Move a region's start; it must stay between its neighbours."""
        self.starts[bisect_left(self.starts, region.start)] = start
        region.start = start


# What the calls ask -------------------------------------------------------------------------------


def covers(regions: list[Region], start: int, end: int) -> bool:
    """True if these regions, in order, leave no hole in a range."""
    at = start
    for region in regions:
        if region.start > at:
            return False
        at = region.end
    return at >= end


# Fork ---------------------------------------------------------------------------------------------


def inherited(region: Region, memory_object: MemoryObject) -> Region:
    """What a child gets of a region: the same, showing `memory_object`, and not locked (mlock(2)).
    Written out: `dataclasses.replace` would be a fifteenth of a fork."""
    return Region(
        start=region.start,
        end=region.end,
        prot=region.prot,
        object=memory_object,
        page=region.page,
        shared=region.shared,
        name=region.name,
        floor=region.floor,
        flags=region.flags & ~LOCKED,
        origin=region.origin,
        lazy=region.lazy,
        duplicated=region.duplicated,
    )


def left_out(regions: list[Region], twins: dict[int, MemoryObject]) -> list[int]:
    """Take out of a child's objects what it does not get (MADV_DONTFORK, MADV_WIPEONFORK): one
    object may have pages of that kind beside others.  Returns the frames."""
    pfns: list[int] = []
    for region in regions:
        twin = twins.get(region.object.id)
        if twin is not None:
            pfns += twin.discard(region.page, region.end - region.start >> 12)
    return pfns
