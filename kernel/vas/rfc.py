"""Policy `rfc`: a view is a copy, made at attach and brought up to date at each switch.

This is the RFC as it was sent.  It compares timestamps of regions, fails where it cannot reconcile
two copies, and loses writes (mm/vas.c of the RFC: vas_find_reference, __update_vm_area,
__sync_from_task, __sync_to_task, vas_unmerge).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from hw import costs
from hw.paging import ADDRESS, ERR_WRITE, NX, A, D, P, W
from kernel.abi.errno import E, KernelError
from kernel.mm.memory import Memory
from kernel.mm.pagetable import LEAVES, PROT_EXEC, PROT_WRITE, leaf_flags
from kernel.mm.regions import CREATED, OF_TASK, OF_VAS, Region
from kernel.mm.space import FAULT_FRAMES, AddressSpace
from kernel.vas.records import Attachment, Vas
from kernel.vas.view import View


@dataclass(slots=True)
class Follower:
    """Keeps the pages that a process and its view both show one page.

    After a fork they are copy-on-write.  The process's own space makes the copy, and the view
    shows it too: otherwise a return address that was stored inside would not be there at home.
    """

    view: CopiedView

    def write(self, va: int, level: int, old: int, entry: int) -> None:
        """The process's own space has a new leaf."""
        if old & entry & P and (old ^ entry) & ADDRESS:
            self.view.follow(va, (old & ADDRESS) >> 12)


@dataclass(slots=True, eq=False)
class CopiedView(View):
    """Regions of its own, copied from the process and from the VAS."""

    copied: int = 0
    """How many leaves and regions were copied to keep the view and its process alike."""

    def __post_init__(self) -> None:
        AddressSpace.__post_init__(self)
        self.home.table.watch(LEAVES, self.id, Follower(self))

    def destroy(self) -> None:
        self.home.table.unwatch(LEAVES, self.id)
        AddressSpace.destroy(self)

    @property
    def pushed(self) -> int:
        return self.copied

    def source(self, region: Region) -> AddressSpace:
        return self.home if region.origin == OF_TASK else self.vas

    def copy(self, source: AddressSpace, region: Region, origin: int) -> Region:
        """Copy a region of `source` here; its pages come at the first fault, code at once."""
        self.check_free(region)
        twin = region.object if region.shared else region.object.twin()
        prot = region.prot
        if origin == OF_VAS and not self.writable:
            prot &= ~PROT_WRITE
        copy = replace(region, object=twin, prot=prot, origin=origin, lazy=True, filler=None)
        copied = self.map_region(copy)
        copied.changed = region.changed
        self.copied += 1
        if region.prot & PROT_EXEC:
            self.fill(copied)
        return copied

    def fill(self, region: Region) -> None:
        """Duplicate the leaves of a region that was attached lazily, onto the same frames and
        without copy-on-write."""
        region.lazy = False
        self.copied += duplicate(self.source(region), self, region)

    def fault(self, page: int, error: int) -> bool:
        region = self.map.find(page)
        if region is not None and region.lazy:
            self.fill(region)
            entry = self.table.lookup(page)
            if entry & P and (entry & W or not error & ERR_WRITE) and region.allows(error):
                return True
        if region is not None and error & ERR_WRITE and region.origin == OF_TASK:
            self.objects.reserve(FAULT_FRAMES)
            if self._is_one_page(region, page):
                return self.home.fault(page, error) and self._show_as_home(region, page)
        return AddressSpace.fault(self, page, error)

    def _is_one_page(self, region: Region, page: int) -> bool:
        """Do the process's own space and the view share one private page, which both may write?"""
        original = self.home.map.find(page)
        if original is None or original.shared or region.shared:
            return False
        if not region.prot & original.prot & PROT_WRITE:
            return False
        ours, theirs = region.object, original.object
        at, there = region.object_page(page), original.object_page(page)
        if ours.pages.get(at) is None:
            away = ours.paged_out.get(at)
            return away is not None and away is theirs.paged_out.get(there)
        return ours.pages[at] == theirs.pages.get(there)

    def _show_as_home(self, region: Region, page: int) -> bool:
        """Show the frame that the process's own space has at `page`.  Raises ENOMEM."""
        original = self.home.map.find(page)
        assert original is not None
        entry = self.home.table.lookup(page)
        released = region.object.adopt(region.object_page(page), (entry & ADDRESS) >> 12)
        original.duplicated = region.duplicated = True
        flags = leaf_flags(region.prot, writable=bool(entry & W))
        old = self.table.set(page, entry & ADDRESS | flags)
        self.copied += 1
        self.invalidate([page] if old & P else [], released)
        return True

    def follow(self, va: int, pfn: int) -> None:
        """The process's own space showed `pfn` at `va`, and shows a copy of it now.

        If the view showed `pfn` as well, it shows the copy from now on.  A core may still use the
        old translation of the process's own space, so its invalidation comes first.
        """
        region, original = self.map.find(va), self.home.map.find(va)
        if region is None or original is None or region.shared or region.origin != OF_TASK:
            return
        ours, theirs = region.object.pages, original.object.pages
        copy = (self.home.table.lookup(va) & ADDRESS) >> 12
        one = ours.get(region.object_page(va)) == pfn and self.table.lookup(va) & P
        if one and theirs.get(original.object_page(va)) == copy:
            self.home.invalidate([va], [])
            self._show_as_home(region, va)

    def protect(self, start: int, end: int, prot: int) -> None:
        for region in self.map.overlapping(start, end):
            if prot & PROT_WRITE and region.origin == OF_VAS and not self.writable:
                raise KernelError(E.ACCES)
            if region.lazy:
                self.fill(region)
        AddressSpace.protect(self, start, end, prot)


@dataclass(slots=True)
class Rfc:
    """The RFC's way, with its holes."""

    memory: Memory
    name: ClassVar[str] = "rfc"

    def attach(self, home: AddressSpace, vas: Vas, writable: bool) -> View:
        view = CopiedView(*self.memory.for_space(), home=home, vas=vas.space, writable=writable)
        view.break_start, view.break_end = home.break_start, home.break_end
        try:
            for region in list(vas.space.map):
                view.copy(vas.space, region, OF_VAS)
            for region in list(home.map):
                view.copy(home, region, OF_TASK)
        except KernelError:
            view.destroy()
            raise
        view.changed = home.changed
        return view

    def switch(self, home: AddressSpace, source: AddressSpace, target: AddressSpace) -> None:
        if _copies(source, home) and source.changed != home.changed:
            self.memory.machine.charge(costs.REGION_FIND, len(source.map))
            for region in [r for r in source.map if r.origin == OF_TASK]:
                self._update(source, region, home, find_reference(home, region))
            home.changed = source.changed
        if _copies(target, home) and home.changed != target.changed:
            assert isinstance(target, CopiedView)
            self._enter(home, target)
            target.changed = home.changed

    def _enter(self, home: AddressSpace, target: CopiedView) -> None:
        for region in list(home.map):
            found = find_reference(target, region)
            if found is None or found.origin != OF_TASK:
                target.copy(home, region, OF_TASK)
            else:
                self._update(home, region, target, found)

    def _update(
        self, source: AddressSpace, region: Region, target: AddressSpace, found: Region | None
    ) -> None:
        """Bring the copy `found` up to date; EFAULT where it is newer, or there is none."""
        # BEGIN SOLUTION lab6.conflict
        if found is None or region.changed < found.changed:
            near = target.map.overlapping(region.start, region.end)
            raise target.conflict(region, found or (near[0] if near else region))
        if region.changed == found.changed:
            return
        if isinstance(source, CopiedView) and region.lazy:
            source.fill(region)
        stamp = region.changed
        if region.start != found.start:
            found = self._replace(region, target, found)
        count = duplicate(source, target, found)
        for space in (source, target):
            if isinstance(space, CopiedView):
                space.copied += count
        found.changed = stamp
        # END SOLUTION lab6.conflict
        # PROMPT lab6.conflict: refuse what is older, skip what is equal, bring over what is newer.

    def _replace(self, region: Region, target: AddressSpace, found: Region) -> Region:
        origin, account = found.origin, found.object.account
        target.remove(found.start, found.end)
        twin = region.object
        if not region.shared:
            twin = twin.twin()
            twin.account = account
        return target.map_region(
            replace(region, object=twin, origin=origin, lazy=False, filler=None)
        )

    def detach(self, attachment: Attachment) -> None:
        """Merge back: what is new goes to the VAS, what changed is brought up to date there.  A
        checkpoint stays as it is."""
        if attachment.vas.image is not None:
            return
        view, space = attachment.view, attachment.vas.space
        self.memory.machine.charge(costs.REGION_FIND, len(view.map))
        assert isinstance(view, CopiedView)
        new = [r for r in view.map if r.origin == CREATED and r.segment not in attachment.segments]
        for region in new:
            view.check_free(region, space.map)
        for region in [r for r in view.map if r.origin == OF_VAS and not r.segment]:
            self._update(view, region, space, find_reference(space, region))
        for region in new:
            memory, pages = region.object, region.end - region.start >> 12
            if not region.shared:
                memory = memory.carve(region.page, pages)
            memory.pay_from(attachment.vas.account)
            duplicate(view, space, space.map_region(replace(region, object=memory)))

    def show_private(self, attachment: Attachment, region: Region) -> None:
        attachment.view.map_region(region)

    def hide_private(self, attachment: Attachment, start: int, end: int) -> None:
        attachment.view.remove(start, end)

    def forked(self, attachment: Attachment) -> None:
        """Copies of the process's pages must fault before they store, or the child would see it
        (hole 4, which stays closed under every policy)."""
        view = attachment.view
        self.memory.machine.charge(costs.REGION_FIND, len(view.map))
        stale = []
        for region in [r for r in view.map if r.origin == OF_TASK and not r.shared]:
            for va, entry in list(view.table.entries(region.start, region.end)):
                if entry & W:
                    view.table.change(va, entry & ~W)
                    stale.append(va)
        view.shootdowns.invalidate(view, stale, [])


def _copies(view: AddressSpace, home: AddressSpace) -> bool:
    """Is it a view with copies of what `home` has?  A bare one has none."""
    return isinstance(view, CopiedView) and view.home is home


def find_reference(space: AddressSpace, region: Region) -> Region | None:
    """The RFC's look-up of a region's counterpart: the same bounds, or a stack's same end."""
    space.objects.frames.machine.charge(costs.REGION_FIND)
    found = space.map.find(region.start) or space.map.next_above(region.start)
    if found is None or found.end != region.end:
        return None
    same = found.start == region.start or bool(region.floor)
    return found if same else None


def duplicate(source: AddressSpace, target: AddressSpace, region: Region) -> int:
    """Put the frames that `source` shows in a region of `target` there too; returns how many.

    Raises ENOMEM.
    """
    stale, released, count = [], [], 0
    for va, entry in list(source.table.entries(region.start, region.end)):
        original = source.map.find(va)
        if original is None:
            continue
        pfn = (entry & ADDRESS) >> 12
        if not region.shared and original.object.pages.get(original.object_page(va)) == pfn:
            released += region.object.adopt(region.object_page(va), pfn)
            original.duplicated = region.duplicated = True
        entry &= ~(A | D) if region.prot & PROT_WRITE else ~(A | D | W)
        entry |= 0 if region.prot & PROT_EXEC else NX
        count += 1
        if target.table.set(va, entry) & P:
            stale.append(va)
    if not region.shared:
        for original in source.map.overlapping(region.start, region.end):
            pages = original.end - original.start >> 12
            region.object.adopt_paged_out(original.object, original.page, pages)
    target.shootdowns.invalidate(target, stale, released)
    return count
