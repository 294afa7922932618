"""Address spaces: regions of memory objects, page tables that follow them, faults in between.

    0x0000_0000_0001_0000   lowest address that may be mapped
    0x0000_0000_0040_0000   programs (static, not position-independent)
    0x0000_5555_5555_0000   programs (position-independent), their heap behind them
    0x0000_7f00_0000_0000   mappings without a wished address, upwards
    0x0000_7fff_ffff_e000   the stack's end; it grows down by up to 8 MiB
    0x0000_7fff_ffff_e000   one page of kernel code that users may run (global): `KUSER`
    0x0000_7fff_ffff_f000   never mapped

A space may be shown by views (`kernel.vas.view`) together with other spaces: what it maps must then
be free in all of those, and a view is told before a range becomes this space's.

Invariant: a page has a present leaf only if a region covers it, and the leaf's frame is the one
that the region's object (or its source) holds for that page.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hw import costs, trace
from hw.memory import PAGE_MASK, PAGE_SIZE
from hw.paging import ADDRESS, ERR_FETCH, ERR_WRITE, USER_TOP, A, D, G, P, U, W
from kernel.abi.errno import E, KernelError
from kernel.mm.objects import MemoryObject, Objects
from kernel.mm.pagetable import PROT_EXEC, PROT_READ, PROT_WRITE, PageTable, leaf_flags
from kernel.mm.regions import RegionMap
from kernel.mm.shootdown import TAG_ANY
from kernel.mm.usermem import UserMemory

if TYPE_CHECKING:
    from kernel.mm.shootdown import Shootdowns
    from kernel.vas.view import View

KUSER = USER_TOP - PAGE_SIZE
MAP_LOWEST, MAP_TOP, MAP_BASE = 0x1_0000, KUSER, 0x7F00_0000_0000
STACK_TOP, STACK_BYTES, STACK_GUARD_PAGES = KUSER, 8 << 20, 16
LOCKED, NOT_FORKED, WIPED_BY_FORK, STAYS_READ_ONLY = 1, 2, 4, 8
"""Flags of a region: its pages never leave memory; a child does not get it; a child gets zeroes;
it shows a file that was opened for reading only."""
SPLIT_FRAMES = 6
"""What making room in one view takes at most: three tables at either end of a range."""
FAULT_FRAMES = 5
"""What one fault takes at most: a page of a file, a copy of it, and three tables."""
MAX_REGIONS = 65_530  # as Linux's vm.max_map_count

REGION = trace.declare(
    "region",
    "space:Q start:Q end:Q prot:B shared:B object:Q page:Q name:s",
    "A region is now like this; prot 255: it is gone.",
)
CONFLICT = trace.declare(
    "conflict",
    "space:Q start:Q end:Q name:s other_start:Q other_end:Q other_name:s",
    "Two regions want the same place in one view.",
)
SPACE = trace.declare("space", "space:Q pml4:Q alive:B", "An address space was made or is gone.")


CREATED, OF_TASK, OF_VAS = range(3)
"""Whom a region was copied from."""


@dataclass(slots=True, eq=False)
class Region:
    """Pages `start`..`end` show `object` from its page `page` on.

    A shared region stores into the object; a private one copies shared frames first.
    `floor` is how far down a growing stack may reach, else 0.  `segment` is the VAS segment that
    it shows: such a region is sealed, as by mseal(2).  `changed`: when, in steps of `Objects`.
    The rest is of the sync policy `rfc` alone, which copies regions: whom from (`origin`), whether
    the pages are still to come (`lazy`), whether frames are shared without copy-on-write.
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
    space: AddressSpace = field(init=False)

    def __str__(self) -> str:
        return f"{self.name or 'a mapping'} at {self.start:#x}-{self.end:#x}"

    def object_page(self, va: int) -> int:
        return self.page + (va - self.start >> 12)

    def allows(self, error: int) -> bool:
        """May a program make the access that faulted with this error code?"""
        if error & ERR_FETCH:
            return bool(self.prot & PROT_EXEC)
        if error & ERR_WRITE:
            return bool(self.prot & PROT_WRITE)
        return bool(self.prot)

    def is_past_end(self, va: int) -> bool:
        """True where the file that the region shows has ended before this page: SIGBUS."""
        made = self.object
        if made.size_bytes is None and made.source is None:
            return False
        return not made.reaches(self.object_page(va))


class Conflict(KernelError):
    """EFAULT: two regions want the same place; the text says which."""

    def __init__(self, text: str) -> None:
        KernelError.__init__(self, E.FAULT)
        self.text = text


@dataclass(slots=True, eq=False)
class AddressSpace(UserMemory):
    """What one or more threads see.  `id` is never used again; `kuser_pfn` 0: nobody runs here.

    `generation` counts invalidations: a core whose tag for this space is older must flush.
    `shows`: a view's layers; `views`: the views that have this space as one, by id.  `vid` is
    what `active_vas` answers.  `users` are the threads whose home this is, or who are in the view.
    """

    id: int
    objects: Objects
    shootdowns: Shootdowns
    kuser_pfn: int
    table: PageTable = field(init=False)
    map: RegionMap = field(default_factory=RegionMap)
    users: int = 0
    generation: int = 0
    break_start: int = 0
    break_end: int = 0
    base: int = MAP_BASE
    hint: int = MAP_BASE
    shows: tuple[AddressSpace, ...] = ()
    views: dict[int, View] = field(default_factory=dict)
    vid: int = 0
    tagging: int = TAG_ANY
    changed: int = 0
    """When its regions last did, as `Region.changed`."""
    locks_new: int = 0
    """mlockall: the flags for mappings to come."""
    barriers: int = 0
    """membarrier: the commands that the process has registered for."""

    def __post_init__(self) -> None:
        self.table = PageTable(self.objects.table)
        self.hint = self.base
        if not self.kuser_pfn:
            self._emit(SPACE, self.table.root_pa, 1)
            return
        try:
            self.table.set(KUSER, self.kuser_pfn << 12 | P | U | G)
        except KernelError:
            self.table.free()
            raise
        self._emit(SPACE, self.table.root_pa, 1)

    # Mapping ------------------------------------------------------------------------------

    def map_region(self, region: Region) -> Region:
        """Add a region where nothing is mapped.  Raises ENOMEM past the limit of regions, and where
        the eager kernel has no frames for it."""
        self._add(region)
        self._appear(region.start, region.end)
        return region

    def _add(self, region: Region) -> None:
        if len(self.map) >= MAX_REGIONS:
            raise KernelError(E.NOMEM)
        if self.views:
            self.claim(region.start, region.end, region)
        self.map.add(region)
        region.space = self
        region.object.holds += 1
        region.object.regions.append(region)
        self._changed(region)

    def _appear(self, start: int, end: int) -> None:
        """A range was mapped.  Raises ENOMEM, and then it is gone again."""
        try:
            self._populate(start, end)
        except KernelError:
            self.remove(start, end)
            raise

    def _populate(self, start: int, end: int) -> None:
        """Eager: what a process has for itself gets its frames now.  Raises ENOMEM."""
        if not (self.objects.eager and self.kuser_pfn):
            return
        for region in self.map.overlapping(start, end):
            if region.prot and not region.lazy:
                for va in range(max(start, region.start), min(end, region.end), PAGE_SIZE):
                    if not (self.table.lookup(va) & P or region.is_past_end(va)):
                        self.show(region, va, write=False)

    def place(self, size_bytes: int, wish: int = 0) -> int:
        """A free range for `size_bytes`, at `wish` if that is possible.  Raises ENOMEM."""
        end = wish + size_bytes
        fits = wish >= MAP_LOWEST and end <= MAP_TOP and not self.map.busy(wish, end)
        if fits and self.clash(wish, end) is None:
            return wish
        for lowest in (self.hint, self.base):
            start = self._first_fit(lowest, size_bytes)
            while start is not None and (other := self.clash(start, start + size_bytes)):
                start = self._first_fit(other.end, size_bytes)
            if start is not None:
                self.hint = start + size_bytes
                return start
        raise KernelError(E.NOMEM)

    def clash(self, start: int, end: int, but: View | None = None) -> Region | None:
        """What a view shows in a range that is not this space's, and so cannot be."""
        for view in self.views.values():
            for layer in view.shows if view is not but else ():
                if layer is not self and layer.map.busy(start, end):
                    return layer.map.overlapping(start, end)[0]
        return None

    def claim(self, start: int, end: int, region: Region | None = None) -> None:
        """The range is about to be this space's: every view makes room for it.

        Raises EFAULT if a view shows something else there, ENOMEM.
        """
        other = self.clash(start, end)
        if other is not None:
            raise self.conflict(region or Region(start, end, 0, other.object), other)
        for view in self.views.values():
            self.objects.table.reserve(SPLIT_FRAMES)
            view.make_room(self, start, end)

    def conflict(self, region: Region, other: Region) -> Conflict:
        """The error for two regions that want one place; the trace names them."""
        ours = (region.start, region.end, region.name.encode())
        self._emit(CONFLICT, *ours, other.start, other.end, other.name.encode())
        return Conflict(f"{region} overlaps {other}")

    def _first_fit(self, lowest: int, size_bytes: int) -> int | None:
        start = lowest
        for region in self.map.overlapping(lowest, MAP_TOP):
            bottom = region.floor or region.start
            if start + size_bytes <= bottom:
                return start
            start = max(start, region.end)
        return start if start + size_bytes <= MAP_TOP else None

    def unmap(self, start: int, end: int) -> None:
        """Remove everything in a page-aligned range.

        Raises ENOMEM if a split makes too many regions, EPERM if a segment is there.
        """
        self._refuse_sealed(start, end)
        self.remove(start, end)

    def check_change(self, start: int, end: int) -> None:
        """May a thread here change what a range holds?  Only a view can say no."""

    def _refuse_sealed(self, start: int, end: int) -> None:
        for region in self.map.overlapping(start, end):
            if region.segment:
                raise KernelError(E.PERM)

    def remove(self, start: int, end: int) -> None:
        """As `unmap`, segments too."""
        frames: list[int] = []
        for region in self._isolate(start, end):
            frames += self._remove(region)
        self.shootdowns.invalidate(self, self.table.clear_range(start, end), frames)
        if self.base <= start < self.hint:
            self.hint = start

    def protect(self, start: int, end: int, prot: int) -> None:
        """Change what may be done with a fully mapped range.

        Raises ENOMEM if it has holes, EACCES for stores to a file opened for reading.
        """
        affected = self.map.overlapping(start, end)
        if not covers(affected, start, end):
            raise KernelError(E.NOMEM)
        if prot & PROT_WRITE and any(region.flags & STAYS_READ_ONLY for region in affected):
            raise KernelError(E.ACCES)
        self._refuse_sealed(start, end)
        stale: list[int] = []
        for region in self._isolate(start, end):
            if region.prot != prot:
                region.prot = prot
                self._changed(region)
                stale += self._reprotect(region)
        for region in self.map.overlapping(start - 1, end + 1):
            self._merge_upwards(region)
        self.shootdowns.invalidate(self, stale, [])
        self._populate(start, end)

    def mark(self, start: int, end: int, on: int, off: int = 0) -> None:
        """Set and clear flags of the regions of a range.  ENOMEM: a split makes too many."""
        for region in self._isolate(start, end):
            region.flags = region.flags & ~off | on
        self._unlocked(off)
        for region in self.map.overlapping(start - 1, end + 1):
            self._merge_upwards(region)

    def extend(self, region: Region, end: int) -> None:
        """Let a region reach up to `end`, where nothing is.  Raises EPERM, EFAULT, ENOMEM."""
        self._refuse_sealed(region.start, region.end)
        if self.views:
            self.claim(region.end, end, region)
        start, region.end = region.end, end
        self._changed(region)
        self._appear(start, end)

    def move(self, start: int, end: int, target: int, new_end: int) -> None:
        """Show a part of one region at `target`..`new_end` instead, where nothing is mapped.

        Private pages move to an object of their own, so that no two regions lead to one page.
        """
        if len(self.map) > MAX_REGIONS - 3:
            raise KernelError(E.NOMEM)
        self._refuse_sealed(start, end)
        (region,) = self._isolate(start, end)
        memory = region.object
        if not region.shared:
            memory = self.objects.carve(memory, region.page, end - start >> 12)
        shape = (target, new_end, region.prot, memory, region.page, region.shared, region.name)
        self.map_region(Region(*shape, 0, region.flags))
        frames = self._remove(region)
        self.shootdowns.invalidate(self, self.table.clear_range(start, end), frames)

    def _reprotect(self, region: Region) -> list[int]:
        """Make the leaves of a region follow it; returns what a TLB may have wrong."""
        stale = []
        for va, entry in list(self.table.entries(region.start, region.end)):
            stale.append(va)
            if not region.prot:
                self.table.clear(va)
            else:
                writable = self._may_store(region, va, (entry & ADDRESS) >> 12)
                flags = leaf_flags(region.prot, writable=writable)
                self.table.change(va, entry & (ADDRESS | A | D) | flags)
        return stale

    def set_break(self, end: int) -> int:
        """Move the end of the heap; returns where it is now (unchanged if that cannot be)."""
        old_top, new_top = page_up(self.break_end), page_up(end)
        if end < self.break_start or new_top > MAP_TOP:
            return self.break_end
        if new_top < old_top:
            if any(region.segment for region in self.map.overlapping(new_top, old_top)):
                return self.break_end
            self.unmap(new_top, old_top)
        elif new_top > old_top:
            if self.map.overlapping(old_top, new_top + PAGE_SIZE):
                return self.break_end
            if self.views:
                if self.clash(old_top, new_top + PAGE_SIZE):
                    return self.break_end
                self.claim(old_top, new_top)
            try:
                self._grow_heap(old_top, new_top)
            except KernelError:
                return self.break_end
        self.break_end = end
        return end

    def _grow_heap(self, old_top: int, new_top: int) -> None:
        heap = self.map.find(old_top - 1)
        if heap is not None and heap.name == "[heap]" and heap.prot == PROT_READ | PROT_WRITE:
            self.extend(heap, new_top)
        else:
            prot = PROT_READ | PROT_WRITE
            region = Region(old_top, new_top, prot, self.objects.anonymous(), name="[heap]")
            self.map_region(region)

    def _isolate(self, start: int, end: int) -> list[Region]:
        """Split regions at both ends of a range, and return those that are exactly inside."""
        for edge in (start, end):
            region = self.map.find(edge)
            if region is not None and region.start < edge:
                self._split(region, edge)
        return self.map.overlapping(start, end)

    def _split(self, region: Region, at: int) -> None:
        """Cut a region in two at `at`.  Raises ENOMEM past the limit of regions."""
        if len(self.map) >= MAX_REGIONS:
            raise KernelError(E.NOMEM)
        upper = replace(region, start=at, page=region.object_page(at))
        region.end = at
        self._changed(region)
        self._add(upper)

    def _merge_upwards(self, region: Region) -> None:
        """Make one region of this one and those behind it that continue it."""
        while self.map.find(region.start) is region:
            after = self.map.find(region.end)
            if after is None or not _continues(region, after):
                return
            self._forget(after)
            after.object.drop()
            region.end = after.end
            self._changed(region)

    def _remove(self, region: Region) -> list[int]:
        """Take a region out; returns the frames to release once no TLB can have them."""
        self._forget(region)
        self._unlocked(region.flags)
        frames = []
        if not region.shared:  # what is shared stays until its object dies
            frames = region.object.discard(region.page, region.end - region.start >> 12)
        return frames + region.object.drop()

    def _forget(self, region: Region) -> None:
        self.map.remove(region)
        self.objects.changes += 1
        self.changed = self.objects.changes
        region.object.regions.remove(region)
        self._gone(region)

    # Faults -------------------------------------------------------------------------------

    def fault(self, page: int, error: int) -> bool:
        """Make an access to `page` possible, if a region allows it.  Raises ENOMEM."""
        # BEGIN SOLUTION lab3.demand
        region = self.map.find(page) or self._grow_stack(page)
        if region is None or not region.allows(error) or region.is_past_end(page):
            return False
        self.show(region, page, write=bool(error & ERR_WRITE))
        return True
        # END SOLUTION lab3.demand
        # PROMPT lab3.demand: find the region, check the access, and show the page.

    def show(self, region: Region, page: int, *, write: bool) -> None:
        """Put the frame that the region shows at `page` into the tables."""
        index, frames = region.object_page(page), self.objects.table
        if frames.replacement is not None:
            frames.replacement.faults += 1
            frames.reserve(FAULT_FRAMES)
        if write:
            pfn = region.object.frame_to_write(index, shared=region.shared)
        else:
            pfn = region.object.frame_to_read(index)
        flags = leaf_flags(region.prot, writable=self._may_store(region, page, pfn))
        old = self.table.set(page, pfn << 12 | flags)
        if old & P and (old & ADDRESS) >> 12 != pfn:
            self.shootdowns.invalidate(self, [page], [])

    def _may_store(self, region: Region, page: int, pfn: int) -> bool:
        """True if a store needs no fault first: the frame is shared on purpose, or all its own."""
        if region.shared:
            return True
        own = region.object.frames.get(region.object_page(page)) == pfn
        return own and self.objects.table.refs[pfn] == 1

    def _grow_stack(self, page: int) -> Region | None:
        """The stack, which now reaches down to `page`; None if it may not.

        Not below `floor`, and not where `STACK_GUARD_PAGES` below it would meet another mapping.
        """
        # BEGIN SOLUTION lab3.stack
        stack = self.map.next_above(page)
        if stack is None or not stack.floor or page < stack.floor:
            return None
        guard = page - STACK_GUARD_PAGES * PAGE_SIZE
        if self.map.overlapping(guard, stack.start):
            return None
        if self.views:
            if self.clash(guard, stack.start):
                return None
            self.claim(page, stack.start)
        self._gone(stack)
        stack.page -= stack.start - page >> 12
        self.map.restart(stack, page)
        self._changed(stack)
        return stack
        # END SOLUTION lab3.stack
        # PROMPT lab3.stack: the region above may grow down to this page, if it is a stack.

    # Life ---------------------------------------------------------------------------------

    def fork(self, id: int) -> AddressSpace:
        """A copy-on-write copy; eager: a copy.  Raises ENOMEM, and then the copy is gone again."""
        self.objects.table.reserve(len(self.table.used))
        child = AddressSpace(id, self.objects, self.shootdowns, self.kuser_pfn)
        child.break_start, child.break_end, child.hint = self.break_start, self.break_end, self.hint
        twins: dict[int, MemoryObject] = {}
        stale: list[int] = []
        try:
            for region in self.map:
                if region.segment or region.flags & NOT_FORKED:
                    continue
                twin = region.object
                if region.flags & WIPED_BY_FORK:
                    twin = self.objects.anonymous()
                elif not region.shared:
                    twin = twins.get(twin.id) or twins.setdefault(twin.id, self.objects.clone(twin))
                child.map_region(replace(region, object=twin, flags=region.flags & ~LOCKED))
                if not (region.flags & WIPED_BY_FORK or self.objects.eager):
                    self._share_leaves(region, child, stale)
        except KernelError:
            child.destroy()
            raise
        finally:
            self.shootdowns.invalidate(self, stale, [])
        return child

    def _share_leaves(self, region: Region, child: AddressSpace, stale: list[int]) -> None:
        """Copy a region's leaves; private ones lose W on both sides, and are added to `stale`."""
        # BEGIN SOLUTION lab3.fork
        for va, entry in self.table.entries(region.start, region.end):
            if not region.shared and entry & W:
                entry &= ~W
                self.table.change(va, entry)
                stale.append(va)
            child.table.set(va, entry & ~(A | D))
        # END SOLUTION lab3.fork
        # PROMPT lab3.fork: give the child the parent's frames, so that the next store faults.

    def destroy(self) -> None:
        """Nobody uses the space any more: give everything back."""
        frames: list[int] = []
        for region in list(self.map):
            frames += self._remove(region)
        self.generation += 1
        self.table.free()
        self._emit(SPACE, self.table.root_pa, 0)
        self.forget_root()
        self.shootdowns.release(self.objects.table, frames)

    def forget_root(self) -> None:
        """The tables are gone."""
        for core in self.objects.table.machine.cores:
            core.mmu.forget(self.table.root_pa)

    def resident_pages(self, region: Region) -> int:
        """How many pages of a region have a leaf."""
        return sum(1 for _ in self.table.entries(region.start, region.end))

    def _unlocked(self, flags: int) -> None:
        """These flags were taken from a region: pages may leave memory that could not before."""
        replacement = self.objects.table.replacement
        if flags & LOCKED and replacement is not None:
            replacement.unlocked()

    def _changed(self, region: Region) -> None:
        self.objects.table.machine.charge(costs.REGION_CHANGE)
        self.objects.changes += 1
        region.changed = self.changed = self.objects.changes
        for view in self.views.values():
            view.resized(region)
        shape = (region.start, region.end, region.prot, region.shared)
        self._emit(REGION, *shape, region.object.id, region.page, region.name.encode())

    def _gone(self, region: Region) -> None:
        self._emit(REGION, region.start, region.end, 255, 0, region.object.id, region.page, b"")

    def _emit(self, kind: trace.Kind, *values: object) -> None:
        machine = self.objects.table.machine
        if machine.trace:
            machine.trace.emit(kind, self.id, *values)


def page_up(va: int) -> int:
    """Round up to a page boundary."""
    return va + PAGE_MASK & ~PAGE_MASK


def _continues(region: Region, after: Region) -> bool:
    return (
        after.object is region.object
        and after.page == region.object_page(after.start)
        and (after.prot, after.shared, after.name, after.floor, after.flags, after.origin)
        == (region.prot, region.shared, region.name, region.floor, region.flags, region.origin)
    )


def covers(regions: list[Region], start: int, end: int) -> bool:
    """True if these regions, in order, leave no hole in a range."""
    at = start
    for region in regions:
        if region.start > at:
            return False
        at = region.end
    return at >= end
