"""Mappings that grow, shrink and move: mremap(2)."""

from __future__ import annotations

from hw.memory import PAGE_MASK
from kernel.abi.errno import E, KernelError
from kernel.mm.layout import MAP_LOWEST, MAP_TOP, page_up
from kernel.mm.regions import Region
from kernel.mm.space import AddressSpace

MREMAP_MAYMOVE, MREMAP_FIXED = 1, 2


def remap(
    space: AddressSpace, old: int, old_bytes: int, new_bytes: int, flags: int, target: int
) -> int:
    """What mremap does; returns where the mapping is now.

    Raises EINVAL, EFAULT (not one mapping), ENOMEM.  As on Linux, a fixed target loses its
    mappings even if the call then fails.
    """
    if flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED) or old & PAGE_MASK:
        raise KernelError(E.INVAL)
    old_bytes, new_bytes = page_up(old_bytes), page_up(new_bytes)
    if not new_bytes:
        raise KernelError(E.INVAL)
    if flags & MREMAP_FIXED:
        _check_target(old, old_bytes, new_bytes, flags, target)
    region = space.map.find(old)
    if region is None:
        raise KernelError(E.FAULT)
    if not old_bytes and not region.shared:
        raise KernelError(E.INVAL)
    if old_bytes > new_bytes:
        space.unmap(old + new_bytes, old + old_bytes)
        old_bytes = new_bytes
    if not flags & MREMAP_FIXED and old_bytes == new_bytes:
        return old
    return _resize(space, old, old_bytes, new_bytes, flags=flags, target=target)


def _check_target(old: int, old_bytes: int, new_bytes: int, flags: int, target: int) -> None:
    if not flags & MREMAP_MAYMOVE or target & PAGE_MASK:
        raise KernelError(E.INVAL)
    if new_bytes > MAP_TOP or target > MAP_TOP - new_bytes:
        raise KernelError(E.INVAL)
    if target < old + old_bytes and old < target + new_bytes:
        raise KernelError(E.INVAL)
    if target < MAP_LOWEST:
        raise KernelError(E.PERM)


def _resize(
    space: AddressSpace, old: int, old_bytes: int, new_bytes: int, *, flags: int, target: int
) -> int:
    """Grow a mapping in place, or have it elsewhere."""
    region = space.map.find(old)
    if region is None or old_bytes > region.end - old:
        raise KernelError(E.FAULT)
    end = old + new_bytes
    if flags & MREMAP_FIXED:
        space.unmap(target, target + new_bytes)
    elif old_bytes == region.end - old and _can_reach(space, region, end):
        space.extend(region, end)
        return old
    elif not flags & MREMAP_MAYMOVE:
        raise KernelError(E.NOMEM)
    else:
        target = region.space.place(new_bytes)  # what moves stays whose it was
    if old_bytes:
        space.move(old, old + old_bytes, target, target + new_bytes)
    else:
        _duplicate(space, old, target, new_bytes)
    return target


def _can_reach(space: AddressSpace, region: Region, end: int) -> bool:
    """Is the range behind a region free up to `end`, here and in every view of its space?"""
    taken = end > MAP_TOP or space.map.busy(region.end, end)
    return not taken and region.space.clash(region.end, end) is None


def _duplicate(space: AddressSpace, old: int, target: int, size_bytes: int) -> None:
    """An old size of 0: show shared memory a second time."""
    region = space.map.find(old)
    assert region is not None
    space.map_region(
        Region(
            start=target,
            end=target + size_bytes,
            prot=region.prot,
            object=region.object,
            page=region.object_page(old),
            shared=region.shared,
            name=region.name,
            flags=region.flags,
        )
    )
