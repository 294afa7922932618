"""Address spaces: regions of memory objects, page tables that follow them, faults in between.

Views (`kernel.vas.view`) may show a space together with other spaces.  What the space maps must be
free in all of those, and each view hears of a range before it becomes this space's.

Invariant: a page has a present leaf only if a region covers it, and the leaf's frame is the one
that the region's object (or its source) holds for that page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hw import costs, trace
from hw.memory import PAGE_SIZE
from hw.paging import ADDRESS, ERR_WRITE, A, D, G, P, U, W
from kernel.abi.errno import E, KernelError
from kernel.mm.bounds import MemoryLimits
from kernel.mm.conflict import CONFLICT, Conflict
from kernel.mm.filler import Missing
from kernel.mm.layout import (
    KUSER,
    MAP_BASE,
    MAP_LOWEST,
    MAP_TOP,
    STACK_GUARD_PAGES,
    STACK_RESERVE,
)
from kernel.mm.objects import MemoryObject, Objects
from kernel.mm.pagetable import PROT_WRITE, PageTable, leaf_flags
from kernel.mm.regions import (
    LOCKED,
    NOT_FORKED,
    STAYS_READ_ONLY,
    WIPED_BY_FORK,
    Region,
    RegionMap,
    inherited,
    left_out,
)
from kernel.mm.shootdown import TAG_ANY, Shootdowns
from kernel.mm.shown import Backer, Onlooker, Shown

SPLIT_FRAMES = 6
"""The most frames that making room in one view takes: three tables at either end of a range."""
FAULT_FRAMES = 5
"""The most frames that one fault takes: a page of a file, a copy of it, and three tables."""
MAX_REGIONS = 65_530  # as Linux's vm.max_map_count

REGION = trace.declare(
    "region",
    "space:Q start:Q end:Q prot:B shared:B object:Q page:Q name:s",
    "A region is now like this; prot 255: it is gone.",
)
SPACE = trace.declare("space", "space:Q pml4:Q alive:B", "An address space was made or is gone.")


@dataclass(slots=True, eq=False)
class AddressSpace(Shown):
    """What one or more threads see.  `id` is never used again; `kuser_pfn` 0: nobody runs here.

    `generation` counts invalidations: a core whose tag for this space is older must flush.
    `shows`: a view's layers; `views`: the views that have this space as a layer, by id.  `vid` is
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
    views: dict[int, Onlooker] = field(default_factory=dict)
    followers: dict[int, Onlooker] = field(default_factory=dict)
    """Those of the views that hear of each change of a region."""
    slots: dict[int, None] = field(default_factory=dict)
    """Where the space has had something since a view shows it, in steps of `SLOT_BITS`."""
    neighbours: dict[int, dict[int, Onlooker]] = field(default_factory=dict)
    """By slot: the views that show another space there.  Only these can be in the way."""
    vid: int = 0
    gated: bool = False
    """A view that has one way in: no signal handler runs there (`kernel.vas.gate`)."""
    alone: bool = False
    """A view that shows nothing of its process (`kernel.vas.bare`)."""
    traps: bool = False
    """Each system call in this view is a SIGSYS."""
    tagging: int = TAG_ANY
    changed: int = 0
    """When its regions last did, as `Region.changed`."""
    locks_new: int = 0
    """mlockall: the flags for mappings to come."""
    auxiliary: bytes = b""
    environment: tuple[bytes, ...] = ()
    program: int = 0
    """What execve put here: the auxiliary vector, the environment and the file's object."""
    barriers: int = 0
    """membarrier: the commands that the process has registered for."""
    limits: MemoryLimits = field(default_factory=MemoryLimits)
    backer: Backer | None = None  # of a persistent VAS

    def __post_init__(self) -> None:
        self.table = PageTable(self.objects.frames)
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

    @property
    def of_heap(self) -> AddressSpace:
        """The space whose heap a thread here moves the end of."""
        return self

    @property
    def root_pa(self) -> int:
        """The physical address of the top-level page table, for CR3."""
        return self.table.root_pa

    def invalidate(self, pages: list[int], pfns: list[int]) -> None:
        """The leaves of `pages` have changed; `pfns` are released once no TLB has them."""
        self.shootdowns.invalidate(self, pages, pfns)

    # Mapping ------------------------------------------------------------------------------

    def map_region(self, region: Region) -> Region:
        """Add a region where nothing is mapped.

        Raises ENOMEM past the limit of regions, and where the eager kernel has no frames for it.
        """
        self._add(region)
        self._appear(region.start, region.end)
        return region

    def _add(self, region: Region) -> None:
        if len(self.map) >= MAX_REGIONS:
            raise KernelError(E.NOMEM)
        if self.views:
            self.claim(region.start, region.end, region)
        if self.backer is not None:
            self.backer.back(region, region.end)
        self.map.add(region)
        region.space = self
        region.object.holds += 1
        region.object.regions.append(region)
        self._changed(region)
        if region.object.counted and self.objects.keeper is not None:
            self.objects.keeper.mapped(region.object)

    def _appear(self, start: int, end: int) -> None:
        """A range was mapped.  Raises ENOMEM, and then it is gone again."""
        try:
            self._populate(start, end)
        except KernelError:
            self.remove(start, end)
            raise

    def _populate(self, start: int, end: int) -> None:
        """Eager: a space in which threads run gets its frames now.  Raises ENOMEM."""
        if not (self.objects.eager and self.kuser_pfn):
            return
        for region in self.map.overlapping(start, end):
            if region.prot and not region.lazy:
                for va in range(max(start, region.start), min(end, region.end), PAGE_SIZE):
                    if not (self.table.lookup(va) & P or region.is_past_end(va)):
                        self.show(region, va, write=False)

    def dropped(self, region: Region) -> None:
        """Private pages were forgotten: those in NVM have frames always, so they get others."""
        if self.backer is not None:
            self.backer.back(region, region.end)
            self.objects.changes += 1
            self.changed = self.objects.changes

    def place(self, size_bytes: int, wish: int = 0) -> int:
        """A free range for `size_bytes`, at `wish` if that is possible.  Raises ENOMEM."""
        end = wish + size_bytes
        fits = wish >= MAP_LOWEST and end <= MAP_TOP and not self.map.busy(wish, end)
        if fits and self.clash(wish, end) is None:
            return wish
        for lowest in (self.hint, self.base, MAP_LOWEST):
            start = self._first_fit(lowest, size_bytes)
            while start is not None and (other := self.clash(start, start + size_bytes)):
                start = self._first_fit(other.end, size_bytes)
            if start is not None:
                self.hint = max(self.base, start + size_bytes)
                return start
        raise KernelError(E.NOMEM)

    def claim(self, start: int, end: int, region: Region | None = None) -> None:
        """The range is about to be this space's: every view makes room for it.

        Raises EFAULT if a view shows something else there, ENOMEM.
        """
        other = self.clash(start, end)
        if other is not None:
            raise self.conflict(region or Region(start, end, 0, other.object), other)
        self.occupy(start, end)
        for view in self._near(start, end):
            self.objects.reserve(SPLIT_FRAMES)
            view.make_room(self, start, end)

    def check_free(self, region: Region, regions: RegionMap | None = None) -> None:
        """Raises EFAULT if one of `regions`, else of this space's, is where `region` is to go."""
        there = self.map if regions is None else regions
        other = there.first_in(region.start, region.end)
        if other is not None:
            raise self.conflict(region, other)

    def conflict(self, region: Region, other: Region) -> Conflict:
        """The error for two regions that want one place; the trace names them."""
        ours, theirs = region.name.encode(), other.name.encode()
        self._emit(CONFLICT, region.start, region.end, ours, other.start, other.end, theirs)
        return Conflict(f"{region} overlaps {other}")

    def _first_fit(self, lowest: int, size_bytes: int) -> int | None:
        start = lowest
        for region in self.map.overlapping(lowest, MAP_TOP):
            bottom = region.start
            if region.floor:
                bottom = min(bottom, max(region.floor, region.end - STACK_RESERVE))
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

    def lets_store(self, region: Region) -> bool:
        """May a thread here store where the region shows?  Only a view can say no."""
        return True

    def check_change(self, start: int, end: int) -> None:
        """May a thread here change what a range holds?  Only a view can say no."""

    def _refuse_sealed(self, start: int, end: int) -> None:
        for region in self.map.overlapping(start, end):
            if region.segment:
                raise KernelError(E.PERM)

    def remove(self, start: int, end: int) -> None:
        """As `unmap`, segments too."""
        pfns: list[int] = []
        for region in self._isolate(start, end):
            pfns += self._remove(region)
        self.invalidate(self.table.clear_range(start, end), pfns)
        if self.base <= start < self.hint:
            self.hint = start

    def protect(self, start: int, end: int, prot: int) -> None:
        """Change what may be done with a range.

        Raises ENOMEM where it has a hole or exceeds a limit, and EACCES for stores to a file
        opened for reading.  What is before that place has changed then, as on Linux.
        """
        self._refuse_sealed(start, end)
        stale: list[int] = []
        try:
            self._protect(start, end, prot, stale)
        finally:
            for region in self.map.overlapping(start - 1, end + 1):
                self._merge_upwards(region)
            self.invalidate(stale, [])
        self._populate(start, end)

    def _protect(self, start: int, end: int, prot: int, stale: list[int]) -> None:
        stop, why = self._protectable(start, end, prot)
        for region in self._isolate(start, stop) if start < stop else ():
            if prot & PROT_WRITE and not region.is_data and not (region.shared or region.floor):
                self.admit(0, data_bytes=region.end - region.start)
            if region.prot != prot:
                region.prot = prot
                self._changed(region)
                stale += self._reprotect(region)
        if stop < end:
            raise KernelError(why)

    def _protectable(self, start: int, end: int, prot: int) -> tuple[int, E]:
        """Where in a range a change of rights has to stop, and the error if that is not its end.
        Nothing is split there."""
        at = start
        for region in self.map.overlapping(start, end):
            if region.start > at:
                break
            if prot & PROT_WRITE and region.flags & STAYS_READ_ONLY:
                return at, E.ACCES
            at = min(region.end, end)
        return at, E.NOMEM

    def admit(self, size_bytes: int, data_bytes: int = 0) -> None:
        """May the space grow by this much in all, and by this much of data?

        Raises ENOMEM past RLIMIT_AS or RLIMIT_DATA.
        """
        if self.limits.count:
            self.machine.charge(costs.REGION_FIND, (len(self.map) >> 4) + 1)
            if not self.limits.allow(self.map, size_bytes, data_bytes):
                raise KernelError(E.NOMEM)

    def limit(self, limits: MemoryLimits) -> None:
        """These limits hold from now on; what grows down may grow so far at once."""
        self.limits = limits
        for region in self.map:
            if region.floor:
                region.floor = limits.floor(region.end)

    def mark(self, start: int, end: int, on: int, off: int = 0) -> None:
        """Set and clear flags of the regions of a range.  ENOMEM: a split makes too many."""

        def change(region: Region) -> None:
            region.flags = region.flags & ~off | on

        self.alter(start, end, change)
        self._unlocked(off)

    def alter(self, start: int, end: int, change: Callable[[Region], None]) -> None:
        """Change the regions of a range, and only there.  ENOMEM: a split makes too many."""
        for region in self._isolate(start, end):
            change(region)
        for region in self.map.overlapping(start - 1, end + 1):
            self._merge_upwards(region)

    def extend(self, region: Region, end: int) -> None:
        """Let a region reach up to `end`, where nothing is.  Raises EPERM, EFAULT, ENOMEM."""
        self._refuse_sealed(region.start, region.end)
        if self.views:
            self.claim(region.end, end, region)
        if self.backer is not None:
            self.backer.back(region, end)
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
            memory = memory.carve(region.page, end - start >> 12)
        self.map_region(
            Region(
                start=target,
                end=new_end,
                prot=region.prot,
                object=memory,
                page=region.page,
                shared=region.shared,
                name=region.name,
                flags=region.flags,
            )
        )
        pfns = self._remove(region)
        self.invalidate(self.table.clear_range(start, end), pfns)

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
            if after is None or not region.is_continued_by(after):
                return
            self._forget(after)
            after.object.drop()
            region.end = after.end
            self._changed(region)

    def _remove(self, region: Region) -> list[int]:
        """Take a region out; returns the frames to release once no TLB can have them."""
        self._forget(region)
        self._unlocked(region.flags)
        pfns = []
        if not region.shared:  # what is shared stays until its object dies
            pfns = region.object.discard(region.page, region.end - region.start >> 12)
        return pfns + region.object.drop()

    def _forget(self, region: Region) -> None:
        self.machine.charge(costs.REGION_CHANGE)
        self.map.remove(region)
        self.objects.changes += 1
        self.changed = self.objects.changes
        region.object.regions.remove(region)
        self._gone(region)
        if region.object.counted and self.objects.keeper is not None:
            self.objects.keeper.unmapped(region.object)

    # Faults -------------------------------------------------------------------------------

    def fault(self, page: int, error: int) -> bool:
        """Make an access to `page` possible, if a region allows it.  Raises ENOMEM."""
        # BEGIN SOLUTION lab3.demand
        region = self.map.find(page) or self._grow_stack(page)
        if region is None or not region.allows(error) or region.is_past_end(page):
            return False
        if region.filler is not None and region.object.is_missing(region.object_page(page)):
            raise Missing(region.filler, page, error)
        self.show(region, page, write=bool(error & ERR_WRITE))
        return True
        # END SOLUTION lab3.demand
        # PROMPT lab3.demand: find the region, check the access, and show the page.

    def storable_until(self, page: int) -> int:
        region = self.map.find(page)
        if region is None or not (region.allows(ERR_WRITE) and self.lets_store(region)):
            return page
        if region.filler is not None:
            missing = region.object.is_missing(region.object_page(page))
            return page if missing else page + PAGE_SIZE
        return region.content_until(page)

    def show(self, region: Region, page: int, *, write: bool) -> None:
        """Put the frame that the region shows at `page` into the tables."""
        index = region.object_page(page)
        self.objects.faults += 1
        self.objects.reserve(FAULT_FRAMES)
        if write:
            pfn = region.object.frame_to_write(index, shared=region.shared)
        else:
            pfn = region.object.frame_to_read(index)
        flags = leaf_flags(region.prot, writable=self._may_store(region, page, pfn))
        old = self.table.set(page, pfn << 12 | flags)
        if old & P and (old & ADDRESS) >> 12 != pfn:
            self.invalidate([page], [])

    def _may_store(self, region: Region, page: int, pfn: int) -> bool:
        """True if a store needs no fault first.

        The region is shared, or its object is the one holder of the frame.
        """
        if region.shared:
            return True
        own = region.object.pages.get(region.object_page(page)) == pfn
        return own and self.objects.frames.refs[pfn] == 1

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
        self.objects.reserve(len(self.table.used))
        child = AddressSpace(id, self.objects, self.shootdowns, self.kuser_pfn)
        child.break_start, child.break_end, child.hint = self.break_start, self.break_end, self.hint
        child.auxiliary, child.environment = self.auxiliary, self.environment
        child.program = self.program
        child.limits = self.limits
        twins: dict[int, MemoryObject] = {}
        stale: list[int] = []
        kept_back = [r for r in self.map if r.flags & (NOT_FORKED | WIPED_BY_FORK)]
        try:
            for region in self.map:
                if region.segment or region.flags & NOT_FORKED:
                    continue
                twin = region.object
                if region.flags & WIPED_BY_FORK:
                    twin = self.objects.anonymous()
                elif not region.shared:
                    twin = twins.get(twin.id) or twins.setdefault(twin.id, self.objects.clone(twin))
                child.map_region(inherited(region, twin))
                if not (region.flags & WIPED_BY_FORK or self.objects.eager):
                    self._share_leaves(region, child, stale)
            self.shootdowns.release(left_out(kept_back, twins))
        except KernelError:
            child.destroy()
            raise
        finally:
            self.invalidate(stale, [])
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
        """No thread uses the space any more: give everything back."""
        pfns: list[int] = []
        for region in list(self.map):
            pfns += self._remove(region)
        self.generation += 1
        self.table.free()
        self._emit(SPACE, self.table.root_pa, 0)
        self.forget_root()
        self.shootdowns.release(pfns)

    def forget_root(self) -> None:
        """The tables are gone."""
        for core in self.machine.cores:
            core.mmu.forget(self.table.root_pa)

    @property
    def most_resident_pages(self) -> int:
        """The most pages that the space ever had in memory at once; `KUSER` is not its own."""
        return self.table.most_leaves - bool(self.kuser_pfn)

    def _unlocked(self, flags: int) -> None:
        """These flags were taken from a region: pages may leave memory that could not before."""
        if flags & LOCKED and self.objects.pager is not None:
            self.objects.pager.unlocked()

    def _changed(self, region: Region) -> None:
        self.shootdowns.machine.charge(costs.REGION_CHANGE)
        self.objects.changes += 1
        region.changed = self.changed = self.objects.changes
        for view in self.followers.values():
            view.resized(region)
        self._emit_region(region, region.prot, region.shared, region.name)

    def _gone(self, region: Region) -> None:
        self._emit_region(region, 255, False, "")

    def _emit_region(self, region: Region, prot: int, shared: bool, name: str) -> None:
        if self.shootdowns.machine.trace:  # fork makes a record for each region
            start, end, page = region.start, region.end, region.page
            self._emit(REGION, start, end, prot, shared, region.object.id, page, name.encode())

    def _emit(self, kind: trace.Kind, *values: object) -> None:
        """A record whose first field is the space."""
        self.machine.emit(kind, self.id, *values)
