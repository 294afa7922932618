"""The reverse map: from a page of a memory object to everywhere it may be mapped.

Linux keeps it for the same reasons (mm/rmap.c): a page is taken out of memory, or out of a file
that is cut off, and no space may show it any more.  Here it is computed and not kept: a region
knows its space, an object its regions and the private copies made of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hw.paging import ADDRESS, P

if TYPE_CHECKING:
    from kernel.mm.objects import MemoryObject
    from kernel.mm.space import AddressSpace, Region


def places(made: MemoryObject, page: int) -> Iterator[tuple[Region, int]]:
    """Each region that shows page `page` of `made`, and the address at which it does."""
    for region in made.regions:
        index = page - region.page
        if 0 <= index < region.end - region.start >> 12:
            yield region, region.start + (index << 12)
    for copy in made.copies:
        if not copy.has(page - copy.source_page):
            yield from places(copy, page - copy.source_page)


def unmap(made: MemoryObject, pages: Iterable[int]) -> None:
    """Let no space show these pages.  Every frame that was shown is held until all cores know."""
    stale: dict[int, tuple[AddressSpace, list[int], list[int]]] = {}
    for page in pages:
        for region, va in places(made, page):
            entry = region.space.table.clear(va)
            if entry & P:
                _, vas, frames = stale.setdefault(region.space.id, (region.space, [], []))
                pfn = (entry & ADDRESS) >> 12
                made.table.hold(pfn)
                vas.append(va)
                frames.append(pfn)
    for space, vas, frames in stale.values():
        space.shootdowns.invalidate(space, vas, frames)
