"""Address spaces: regions of memory objects, page tables that follow them, faults in between.

    0x0000_0000_0001_0000   lowest address that may be mapped
    0x0000_0000_0040_0000   programs (static, not position-independent)
    0x0000_5555_5555_0000   programs (position-independent), their heap behind them
    0x0000_7f00_0000_0000   mappings without a wished address, upwards
    0x0000_7fff_ffff_e000   the stack's end; it grows down by up to 8 MiB
    0x0000_7fff_ffff_e000   one page of kernel code that users may run (global): `KUSER`
    0x0000_7fff_ffff_f000   never mapped

Invariant: a page has a present leaf only if a region covers it, and the leaf's frame is the one
that the region's object (or its source) holds for that page.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hw import costs, trace
from hw.memory import PAGE_MASK, PAGE_SIZE
from hw.paging import ADDRESS, ERR_FETCH, ERR_WRITE, USER_TOP, A, D, G, P, U, W
from kernel.errno import E, KernelError
from kernel.objects import MemoryObject, Objects, pieces
from kernel.pagetable import PROT_EXEC, PROT_READ, PROT_WRITE, PageTable, leaf_flags

if TYPE_CHECKING:
    from kernel.shootdown import Shootdowns

KUSER = USER_TOP - PAGE_SIZE
MAP_LOWEST, MAP_TOP, MAP_BASE = 0x1_0000, KUSER, 0x7F00_0000_0000
STACK_TOP, STACK_BYTES, STACK_GUARD_PAGES = KUSER, 8 << 20, 16
LOCKED, NOT_FORKED, WIPED_BY_FORK, STAYS_READ_ONLY = 1, 2, 4, 8
"""Flags of a region: its pages never leave memory; a child does not get it; a child gets zeroes;
it shows a file that was opened for reading only."""
FAULT_FRAMES = 5
"""What one fault takes at most: a page of a file, a copy of it, and three tables."""
MAX_REGIONS = 65_530  # as Linux's vm.max_map_count

REGION = trace.declare(
    "region",
    "space:Q start:Q end:Q prot:B shared:B object:Q page:Q name:s",
    "A region is now like this; prot 255: it is gone.",
)
SPACE = trace.declare("space", "space:Q pml4:Q alive:B", "An address space was made or is gone.")


@dataclass(slots=True, eq=False)
class Region:
    """Pages `start`..`end` show `object` from its page `page` on.

    A shared region stores into the object; a private one copies shared frames first.
    `floor` is how far down a growing stack may reach, else 0.
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
    space: AddressSpace = field(init=False)

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


@dataclass(slots=True)
class RegionMap:
    """The regions of a space, sorted and disjoint."""

    starts: list[int] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)

    def __iter__(self) -> Iterator[Region]:
        return iter(self.regions)

    def __len__(self) -> int:
        return len(self.regions)

    def find(self, va: int) -> Region | None:
        """The region that covers `va`."""
        i = bisect_right(self.starts, va) - 1
        if i >= 0 and va < self.regions[i].end:
            return self.regions[i]
        return None

    def overlapping(self, start: int, end: int) -> list[Region]:
        first = bisect_right(self.starts, start)
        if first and self.regions[first - 1].end > start:
            first -= 1
        return self.regions[first : bisect_left(self.starts, end)]

    def next_above(self, va: int) -> Region | None:
        """The region with the lowest start that is not below `va`."""
        i = bisect_left(self.starts, va)
        return self.regions[i] if i < len(self.regions) else None

    def add(self, region: Region) -> None:
        i = bisect_left(self.starts, region.start)
        self.starts.insert(i, region.start)
        self.regions.insert(i, region)

    def remove(self, region: Region) -> None:
        i = bisect_left(self.starts, region.start)
        del self.starts[i], self.regions[i]

    def restart(self, region: Region, start: int) -> None:
        """Move a region's start; it must stay between its neighbours."""
        self.starts[bisect_left(self.starts, region.start)] = start
        region.start = start


@dataclass(slots=True, eq=False)
class AddressSpace:
    """What one or more threads see.  `id` is never used again.

    `generation` counts invalidations: a core whose tag for this space is older must flush.
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
    hint: int = MAP_BASE
    locks_new: int = 0
    """mlockall: the flags for mappings to come."""
    barriers: int = 0
    """membarrier: the commands that the process has registered for."""

    def __post_init__(self) -> None:
        self.table = PageTable(self.objects.table)
        try:
            self.table.set(KUSER, self.kuser_pfn << 12 | P | U | G)
        except KernelError:
            self.table.free()
            raise
        self._emit(SPACE, self.table.root_pa, 1)

    # Mapping ------------------------------------------------------------------------------

    def map_region(self, region: Region) -> Region:
        """Add a region where nothing is mapped.  Raises ENOMEM past the limit of regions."""
        if len(self.map) >= MAX_REGIONS:
            raise KernelError(E.NOMEM)
        self.map.add(region)
        region.space = self
        region.object.holds += 1
        region.object.regions.append(region)
        self._changed(region)
        return region

    def place(self, size_bytes: int, wish: int = 0) -> int:
        """A free range for `size_bytes`, at `wish` if that is possible.  Raises ENOMEM."""
        fits = wish >= MAP_LOWEST and wish + size_bytes <= MAP_TOP
        if fits and not self.map.overlapping(wish, wish + size_bytes):
            return wish
        for lowest in (self.hint, MAP_BASE):
            start = self._first_fit(lowest, size_bytes)
            if start is not None:
                self.hint = start + size_bytes
                return start
        raise KernelError(E.NOMEM)

    def _first_fit(self, lowest: int, size_bytes: int) -> int | None:
        start = lowest
        for region in self.map.overlapping(lowest, MAP_TOP):
            bottom = region.floor or region.start
            if start + size_bytes <= bottom:
                return start
            start = max(start, region.end)
        return start if start + size_bytes <= MAP_TOP else None

    def unmap(self, start: int, end: int) -> None:
        """Remove everything in a page-aligned range.  ENOMEM: a split makes too many regions."""
        frames: list[int] = []
        for region in self._isolate(start, end):
            frames += self._remove(region)
        self.shootdowns.invalidate(self, self.table.clear_range(start, end), frames)
        if MAP_BASE <= start < self.hint:
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
        stale: list[int] = []
        for region in self._isolate(start, end):
            if region.prot != prot:
                region.prot = prot
                self._changed(region)
                stale += self._reprotect(region)
        for region in self.map.overlapping(start - 1, end + 1):
            self._merge_upwards(region)
        self.shootdowns.invalidate(self, stale, [])

    def mark(self, start: int, end: int, on: int, off: int = 0) -> None:
        """Set and clear flags of the regions of a range.  ENOMEM: a split makes too many."""
        for region in self._isolate(start, end):
            region.flags = region.flags & ~off | on
        self._unlocked(off)
        for region in self.map.overlapping(start - 1, end + 1):
            self._merge_upwards(region)

    def extend(self, region: Region, end: int) -> None:
        """Let a region reach up to `end`, where nothing is mapped."""
        region.end = end
        self._changed(region)

    def move(self, start: int, end: int, target: int, new_end: int) -> None:
        """Show a part of one region at `target`..`new_end` instead, where nothing is mapped.

        Private pages move to an object of their own, so that no two regions lead to one page.
        """
        if len(self.map) > MAX_REGIONS - 3:
            raise KernelError(E.NOMEM)
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
            self.unmap(new_top, old_top)
        elif new_top > old_top:
            if self.map.overlapping(old_top, new_top + PAGE_SIZE):
                return self.break_end
            self._grow_heap(old_top, new_top)
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
        shape = (at, region.end, region.prot, region.object, region.object_page(at))
        upper = Region(*shape, region.shared, region.name, region.floor, region.flags)
        region.end = at
        self._changed(region)
        self.map_region(upper)

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
        # PROMPT lab3.demand: find the region, check the access, and give the page a frame.

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
        stack = self.map.next_above(page)
        if stack is None or not stack.floor or page < stack.floor:
            return None
        guard = page - STACK_GUARD_PAGES * PAGE_SIZE
        if self.map.overlapping(guard, stack.start):
            return None
        self._gone(stack)
        stack.page -= stack.start - page >> 12
        self.map.restart(stack, page)
        self._changed(stack)
        return stack

    # The kernel reads and writes user memory ------------------------------------------------

    def read(self, va: int, size_bytes: int) -> bytes:
        """Copy in.  Raises EFAULT."""
        self._check_range(va, size_bytes)
        memory, parts = self.objects.table.machine.memory, []
        for at, room in pieces(va, size_bytes):
            pa = self._user_frame(at, 0) << 12 | at & PAGE_MASK
            parts.append(memory.read(pa, room))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, va: int, data: bytes) -> None:
        """Copy out.  Raises EFAULT, perhaps after some pages were written."""
        self._check_range(va, len(data))
        memory, done = self.objects.table.machine.memory, 0
        for at, room in pieces(va, len(data)):
            pa = self._user_frame(at, ERR_WRITE) << 12 | at & PAGE_MASK
            memory.write(pa, data[done : done + room])
            done += room

    def read_string(self, va: int, limit_bytes: int) -> bytes:
        """A NUL-terminated string without its NUL.  Raises EFAULT, or ENAMETOOLONG past `limit`."""
        found = b""
        while len(found) <= limit_bytes:
            room = PAGE_SIZE - (va + len(found) & PAGE_MASK)
            piece, nul, _ = self.read(va + len(found), room).partition(b"\0")
            found += piece
            if nul and len(found) <= limit_bytes:
                return found
        raise KernelError(E.NAMETOOLONG)

    def read_name(self, va: int, limit_bytes: int) -> bytes:
        """A string like `read_string`, but cut off at the limit instead.  Raises EFAULT."""
        found = b""
        while len(found) < limit_bytes:
            at = va + len(found)
            room = min(PAGE_SIZE - (at & PAGE_MASK), limit_bytes - len(found))
            piece, nul, _ = self.read(at, room).partition(b"\0")
            found += piece
            if nul:
                break
        return found

    def peek_string(self, va: int, limit_bytes: int = 256) -> bytes:
        """What can be seen of a string without changing anything: for the trace."""
        memory, found = self.objects.table.machine.memory, b""
        while len(found) < limit_bytes:
            at = va + len(found)
            entry = self.table.lookup(at & ~PAGE_MASK)
            if not entry & P:
                return found
            room = min(PAGE_SIZE - (at & PAGE_MASK), limit_bytes - len(found))
            piece, nul, _ = memory.read(entry & ADDRESS | at & PAGE_MASK, room).partition(b"\0")
            found += piece
            if nul:
                break
        return found

    def read_u64(self, va: int) -> int:
        return int.from_bytes(self.read(va, 8), "little")

    def read_u32(self, va: int) -> int:
        return int.from_bytes(self.read(va, 4), "little")

    def _check_range(self, va: int, size_bytes: int) -> None:
        if va + size_bytes > USER_TOP:
            raise KernelError(E.FAULT)
        self.objects.table.machine.charge(costs.USER_COPY_LINE, (size_bytes + 63) >> 6)

    def _user_frame(self, va: int, error: int) -> int:
        """The frame behind `va`, for the kernel to act on as the user; sets A and D as it would."""
        wanted = P | U | (W if error else 0)
        page = va & ~PAGE_MASK
        entry = self.table.lookup(page)
        if entry & wanted != wanted:
            if not self.fault(page, error):
                raise KernelError(E.FAULT)
            entry = self.table.lookup(page)
        used = entry | A | (D if error else 0)
        if used != entry:
            self.table.change(page, used)
        return (entry & ADDRESS) >> 12

    # Life ---------------------------------------------------------------------------------

    def fork(self, id: int) -> AddressSpace:
        """A copy-on-write copy.  Raises ENOMEM, and then the copy is gone again."""
        self.objects.table.reserve(len(self.table.used))
        child = AddressSpace(id, self.objects, self.shootdowns, self.kuser_pfn)
        child.break_start, child.break_end, child.hint = self.break_start, self.break_end, self.hint
        twins: dict[int, MemoryObject] = {}
        stale: list[int] = []
        try:
            for region in self.map:
                if region.flags & NOT_FORKED:
                    continue
                twin = region.object
                if region.flags & WIPED_BY_FORK:
                    twin = self.objects.anonymous()
                elif not region.shared:
                    twin = twins.get(twin.id) or twins.setdefault(twin.id, self.objects.clone(twin))
                child.map_region(_copy_region(region, twin))
                if not region.flags & WIPED_BY_FORK:
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
        for core in self.objects.table.machine.cores:
            core.mmu.forget(self.table.root_pa)
        for pfn in frames:
            self.objects.table.release(pfn)

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
        and (after.prot, after.shared, after.name, after.floor)
        == (region.prot, region.shared, region.name, region.floor)
        and after.flags == region.flags
    )


def _copy_region(region: Region, twin: MemoryObject) -> Region:
    shape = (region.start, region.end, region.prot, twin, region.page)
    return Region(*shape, region.shared, region.name, region.floor, region.flags & ~LOCKED)


def covers(regions: list[Region], start: int, end: int) -> bool:
    """True if these regions, in order, leave no hole in a range."""
    at = start
    for region in regions:
        if region.start > at:
            return False
        at = region.end
    return at >= end
