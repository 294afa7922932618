"""The reverse map: from a page of a memory object to everywhere it may be mapped.

Linux has one for the same reasons (mm/rmap.c): when a page leaves memory, or a file that is cut
off, no space may show it any more.  Here the map is computed and not kept: a region knows its
space, an object its regions and the private copies made of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hw.paging import ADDRESS, P
from kernel.mm.objects import MemoryObject
from kernel.mm.regions import Owner, Region


def regions(memory_object: MemoryObject) -> Iterator[Region]:
    """Each region that shows the object itself, and no copy of it."""
    for region in memory_object.regions:
        assert isinstance(region, Region)
        yield region


def places(memory_object: MemoryObject, page: int) -> Iterator[tuple[Region, int]]:
    """Each region that shows a page of an object, and the address at which it does."""
    for region in regions(memory_object):
        index = page - region.page
        if 0 <= index < region.end - region.start >> 12:
            yield region, region.start + (index << 12)
    for copy in memory_object.copies:
        if not copy.has(page - copy.source_page):
            yield from places(copy, page - copy.source_page)


def unmap(memory_object: MemoryObject, pages: Iterable[int]) -> None:
    """Let no space show these pages.  Every frame that was shown is held until all cores know."""
    stale: dict[int, tuple[Owner, list[int], list[int]]] = {}
    for page in pages:
        for region, va in places(memory_object, page):
            entry = region.space.table.clear(va)
            if entry & P:
                _, vas, pfns = stale.setdefault(region.space.id, (region.space, [], []))
                pfn = (entry & ADDRESS) >> 12
                memory_object.objects.frames.hold(pfn)
                vas.append(va)
                pfns.append(pfn)
    for space, vas, pfns in stale.values():
        space.invalidate(vas, pfns)
