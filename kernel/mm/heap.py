"""The heap of a program: a region whose end brk(2) moves."""

from __future__ import annotations

from hw.memory import PAGE_SIZE
from kernel.abi.errno import KernelError
from kernel.mm.layout import MAP_TOP, page_up
from kernel.mm.pagetable import PROT_READ, PROT_WRITE
from kernel.mm.regions import Region
from kernel.mm.space import AddressSpace


def set_break(seen: AddressSpace, end: int) -> int:
    """Move the end of the heap; returns where it is now (unchanged if that cannot be)."""
    space = seen.of_heap
    old_top, new_top = page_up(space.break_end), page_up(end)
    if end < space.break_start or new_top > MAP_TOP:
        return space.break_end
    if new_top < old_top:
        if any(region.segment for region in space.map.overlapping(new_top, old_top)):
            return space.break_end
        space.unmap(new_top, old_top)
    elif new_top > old_top:
        if space.map.busy(old_top, new_top + PAGE_SIZE):
            return space.break_end
        if space.views and space.clash(old_top, new_top + PAGE_SIZE):
            return space.break_end
        try:
            space.claim(old_top, new_top)
            space.admit(new_top - old_top, new_top - old_top)
            _grow(space, old_top, new_top)
        except KernelError:
            return space.break_end
    space.break_end = end
    return end


def _grow(space: AddressSpace, old_top: int, new_top: int) -> None:
    heap = space.map.find(old_top - 1)
    if heap is not None and heap.name == "[heap]" and heap.prot == PROT_READ | PROT_WRITE:
        space.extend(heap, new_top)
    else:
        prot = PROT_READ | PROT_WRITE
        region = Region(old_top, new_top, prot, space.objects.anonymous(), name="[heap]")
        space.map_region(region)
