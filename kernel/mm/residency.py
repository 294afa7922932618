"""Which pages of a range are in memory, and must be: madvise, mlock, mincore, MAP_POPULATE."""

from __future__ import annotations

from hw.memory import PAGE_SIZE
from hw.paging import P, W
from kernel.abi.errno import E, KernelError
from kernel.mm import truncate
from kernel.mm.pagetable import PROT_WRITE
from kernel.mm.regions import LOCKED, Region, covers
from kernel.mm.space import AddressSpace

MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4


def populate(space: AddressSpace, start: int, end: int, *, write: bool | None = None) -> None:
    """Give every page of a range its frame, as accesses would; holes are left out.

    `write` None: a private page that can be written gets a frame of its own, and others are read.
    Raises EINVAL for what may not be accessed, EFAULT behind the end of a file, ENOMEM.
    """
    for region in list(space.map.overlapping(start, end)):
        store = write
        if store is None:
            store = bool(region.prot & PROT_WRITE) and not region.shared
        if not region.prot or (store and not region.prot & PROT_WRITE):
            raise KernelError(E.INVAL)
        for va in range(max(start, region.start), min(end, region.end), PAGE_SIZE):
            wanted = P | (W if store else 0)
            if space.table.lookup(va) & wanted != wanted:
                if region.is_past_end(va):
                    raise KernelError(E.FAULT)
                space.show(region, va, write=store)


def drop(space: AddressSpace, start: int, end: int) -> None:
    """Forget private pages, and hide shared ones until their next use."""
    space.check_change(start, end)
    for region in space.map.overlapping(start, end):
        owner, first, last = region.space, max(start, region.start), min(end, region.end)
        pfns: list[int] = []
        if not region.shared:
            pfns = region.object.discard(region.object_page(first), last - first >> 12)
        owner.invalidate(owner.table.clear_range(first, last), pfns)
        if pfns:
            owner.dropped(region)


def punch(space: AddressSpace, start: int, end: int) -> None:
    """From now on these shared pages read as zeroes, in every space.

    Raises EINVAL, EACCES; EPERM: the file is sealed.
    """
    space.check_change(start, end)
    for region in space.map.overlapping(start, end):
        if not region.shared:
            raise KernelError(E.INVAL)
        if not region.prot & PROT_WRITE:
            raise KernelError(E.ACCES)
        if region.object.sealed:
            raise KernelError(E.PERM)
        first, last = max(start, region.start), min(end, region.end)
        page = region.object_page(first)
        truncate.punch(region.object, page, page + (last - first >> 12))


def write_back(regions: list[Region], start: int, end: int) -> None:
    """What these regions show of NVM in a range is durable when this returns."""
    nvm = None
    for region in regions:
        made, first, last = region.object, max(start, region.start), min(end, region.end)
        if made.extents is not None:
            nvm = made.objects.frames.machine.nvm
            wanted = range(region.object_page(first), region.object_page(last))
            for page in wanted if len(wanted) < len(made.pages) else list(made.pages):
                if page in wanted and page in made.pages:
                    nvm.flush_range(made.pages[page] << 12, PAGE_SIZE)
    if nvm is not None:
        nvm.fence()


def is_resident(space: AddressSpace, region: Region, va: int) -> bool:
    """Could the page be read without waiting for a disk, and does it have a frame?"""
    memory_object, page = region.object, region.object_page(va)
    if page in memory_object.pages:
        return True
    source = memory_object.source
    if source is None or memory_object.has(page):
        return False
    return page + memory_object.source_page in source.pages


def lock(space: AddressSpace, start: int, end: int, *, on_fault: bool) -> None:
    """Keep a range in memory from now on; bring it there first, unless `on_fault`.

    Raises ENOMEM if the range has holes, or a page cannot be had.
    """
    if not covers(space.map.overlapping(start, end), start, end):
        raise KernelError(E.NOMEM)
    space.mark(start, end, LOCKED)
    if not on_fault:
        try:
            populate(space, start, end)
        except KernelError as error:
            number = E.AGAIN if error.number == E.NOMEM else E.NOMEM  # as mlock(2) has it
            raise KernelError(number) from error


def unlock(space: AddressSpace, start: int, end: int) -> None:
    """The pages of a range may leave again.  Raises ENOMEM if it has holes."""
    if not covers(space.map.overlapping(start, end), start, end):
        raise KernelError(E.NOMEM)
    space.mark(start, end, 0, LOCKED)
