"""A second address space with the same memory: what a checkpoint is made of, and made into.

Private memory is copy-on-write, as after fork.  Shared memory cannot be, since whoever shares it
stores into its frames without a fault: it is copied.  Where a region shows an object that `stays`,
such as a file, the copy shows the same object.  Segments are left out: they have names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hw import costs
from hw.paging import W
from kernel.abi.errno import E, KernelError
from kernel.mm.frames import Account
from kernel.mm.objects import MemoryObject
from kernel.mm.regions import CREATED, LOCKED, Region
from kernel.mm.space import AddressSpace


def duplicate(
    source: AddressSpace,
    target: AddressSpace,
    stays: Callable[[MemoryObject], bool],
    account: Account | None = None,
) -> None:
    """Show in `target`, which is empty, what `source` shows; `account` pays for the pages.

    Raises ENOMEM half-way; the caller destroys `target` then.  No page is locked in the copy.
    """
    twins: dict[int, MemoryObject] = {}
    stale: list[int] = []
    try:
        for region in source.map:
            if region.segment:
                continue
            twin = _twin(region, twins, stays, account)
            flags = region.flags & ~LOCKED
            copy = replace(
                region,
                object=twin,
                flags=flags,
                origin=CREATED,
                lazy=False,
                duplicated=False,
                filler=None,  # as after fork: its descriptor is of another space
            )
            target.map_region(copy)
            if not region.shared:
                stale += _make_stores_fault(source, region)
    finally:
        source.invalidate(stale, [])


def _twin(
    region: Region,
    twins: dict[int, MemoryObject],
    stays: Callable[[MemoryObject], bool],
    account: Account | None,
) -> MemoryObject:
    """The object of a region's copy; regions of one object become regions of one copy."""
    original = region.object
    if original.id in twins:
        return twins[original.id]
    if region.shared and stays(original):
        return original
    objects, count = original.objects, len(original.pages) + len(original.paged_out)
    objects.frames.machine.charge(costs.TABLE_LOOKUP, count)
    limit = account.limit if account is not None else None
    if account is not None and limit is not None and account.charged + count > limit:
        raise KernelError(E.NOMEM)
    twin = _copy(original, account) if region.shared else objects.clone(original)
    if twin.account is not account and account is not None:
        twin.pay_from(account)
    twins[original.id] = twin
    return twin


def _copy(original: MemoryObject, account: Account | None) -> MemoryObject:
    """Every page of shared memory, in frames of their own.  Raises ENOMEM, and nothing is left."""
    twin = original.twin()
    twin.account = account
    twin.holds += 1
    try:
        original.copy_into(twin)
    except KernelError:
        for pfn in twin.drop():
            original.objects.frames.release(pfn)
        raise
    twin.holds -= 1
    return twin


def _make_stores_fault(space: AddressSpace, region: Region) -> list[int]:
    """Take W from the leaves of private memory that two objects hold now; returns those pages."""
    stale = []
    for va, entry in list(space.table.entries(region.start, region.end)):
        if entry & W:
            space.table.change(va, entry & ~W)
            stale.append(va)
    return stale
