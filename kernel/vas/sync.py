"""How the views of a process follow each other: three policies, chosen at boot (`--vas-sync`).

`subtree` shares page tables, so that there is nothing to follow.  `forward` is the idea of the
RFC's thread: every change is pushed to every view.  `rfc` is the RFC as it was sent: a view is
a copy, made at attach and brought up to date at each switch by comparing timestamps of
regions; it fails where two copies cannot be reconciled, and loses writes (mm/vas.c of the RFC:
vas_find_reference, __update_vm_area, __sync_from_task, __sync_to_task, vas_unmerge).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from hw import costs
from hw.paging import ADDRESS, A, D, P, W
from kernel.abi.errno import E, KernelError
from kernel.mm.pagetable import PROT_EXEC, PROT_WRITE
from kernel.mm.space import CREATED, OF_TASK, OF_VAS, AddressSpace, Region
from kernel.vas.view import ForwardView, View

if TYPE_CHECKING:
    from kernel.kernel import Kernel
    from kernel.vas.records import Attachment, Vas


class Sync(Protocol):
    """What the kernel asks of a policy."""

    name: str

    def attach(self, kernel: Kernel, home: AddressSpace, vas: Vas, writable: bool) -> Seen:
        """A view of `vas` for the process whose own space is `home`.  Raises EFAULT, ENOMEM."""

    def switch(self, home: AddressSpace, source: AddressSpace, target: AddressSpace) -> None:
        """A thread of `home` is about to go from one view to another.  Raises EFAULT."""

    def detach(self, attachment: Attachment) -> None:
        """The attachment is about to end.  Raises EFAULT if what it changed fits nowhere."""

    def show_private(self, attachment: Attachment, region: Region) -> None:
        """Show a segment in this attachment alone.  Raises EFAULT, ENOMEM."""

    def hide_private(self, attachment: Attachment, start: int, end: int) -> None:
        """Undo `show_private`."""

    def forked(self, attachment: Attachment) -> None:
        """The process's own memory is copy-on-write from now on."""


@dataclass(slots=True)
class Layered:
    """What `subtree` and `forward` have in common: a view shows layers, and owns nothing."""

    kernel: Kernel

    def switch(self, home: AddressSpace, source: AddressSpace, target: AddressSpace) -> None:
        """Every view shows the same memory at any time."""

    def detach(self, attachment: Attachment) -> None:
        """What was mapped inside is the VAS's already."""

    def show_private(self, attachment: Attachment, region: Region) -> None:
        view, layer = attachment.view, attachment.private
        assert isinstance(view, View)
        if layer is None:
            layer = self.kernel.new_space(runs=False)
            try:
                view.show_layer(layer)
            except KernelError:
                layer.destroy()
                raise
            attachment.private = layer
        layer.map_region(region)

    def hide_private(self, attachment: Attachment, start: int, end: int) -> None:
        assert attachment.private is not None
        attachment.private.remove(start, end)

    def forked(self, attachment: Attachment) -> None:
        """The tables are the same ones, or were told."""


@dataclass(slots=True)
class Subtree(Layered):
    """Page-table subtrees are shared (Barrelfish's way)."""

    name: str = "subtree"

    def attach(self, kernel: Kernel, home: AddressSpace, vas: Vas, writable: bool) -> Seen:
        return View(*kernel.for_space(), shows=(home, vas.space), writable=writable)


@dataclass(slots=True)
class Forward(Layered):
    """Every change is pushed to every view, at once."""

    name: str = "forward"

    def attach(self, kernel: Kernel, home: AddressSpace, vas: Vas, writable: bool) -> Seen:
        return ForwardView(*kernel.for_space(), shows=(home, vas.space), writable=writable)


@dataclass(slots=True, eq=False)
class CopiedView(AddressSpace):
    """A view after the RFC: regions of its own, copied from the process and from the VAS."""

    home: AddressSpace = field(kw_only=True)
    vas: AddressSpace = field(kw_only=True)
    writable: bool = field(kw_only=True)
    pushed: int = 0
    """How many leaves and regions were copied to keep the view and its process alike."""

    def source(self, region: Region) -> AddressSpace:
        return self.home if region.origin == OF_TASK else self.vas

    def copy(self, source: AddressSpace, region: Region, origin: int) -> Region:
        """Copy a region of `source` here; its pages come at the first fault, code at once."""
        if self.map.busy(region.start, region.end):
            raise self.conflict(region, self.map.overlapping(region.start, region.end)[0])
        twin = region.object if region.shared else self.objects.twin(region.object)
        prot = region.prot
        if origin == OF_VAS and not self.writable:
            prot &= ~PROT_WRITE
        copied = self.map_region(replace(region, object=twin, prot=prot, origin=origin, lazy=True))
        copied.changed = region.changed
        self.pushed += 1
        if region.prot & PROT_EXEC:
            self.fill(copied)
        return copied

    def fill(self, region: Region) -> None:
        """Duplicate the leaves of a region that was attached lazily, onto the same frames and
        without copy-on-write."""
        region.lazy = False
        self.pushed += duplicate(self.source(region), self, region)

    def fault(self, page: int, error: int) -> bool:
        region = self.map.find(page)
        if region is not None and region.lazy:
            self.fill(region)
            entry = self.table.lookup(page)
            if entry & P and (entry & W or not error & 2) and region.allows(error):
                return True
        return AddressSpace.fault(self, page, error)

    def protect(self, start: int, end: int, prot: int) -> None:
        for region in self.map.overlapping(start, end):
            if prot & PROT_WRITE and region.origin == OF_VAS and not self.writable:
                raise KernelError(E.ACCES)
            if region.lazy:
                self.fill(region)
        AddressSpace.protect(self, start, end, prot)

    def fork(self, id: int) -> AddressSpace:
        return self.home.fork(id)


Seen = View | CopiedView


@dataclass(slots=True)
class Rfc:
    """The RFC's way, with its holes."""

    kernel: Kernel
    name: str = "rfc"

    def attach(self, kernel: Kernel, home: AddressSpace, vas: Vas, writable: bool) -> Seen:
        view = CopiedView(*kernel.for_space(), home=home, vas=vas.space, writable=writable)
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
        if isinstance(source, CopiedView) and source.changed != home.changed:
            for region in [r for r in source.map if r.origin == OF_TASK]:
                self._update(source, region, home, find_reference(home, region))
            home.changed = source.changed
        if isinstance(target, CopiedView) and home.changed != target.changed:
            self._enter(home, target)
            target.changed = home.changed

    def _enter(self, home: AddressSpace, target: CopiedView) -> None:
        for region in list(home.map):
            found = find_reference(target, region)
            if found is None:
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
                space.pushed += count
        found.changed = stamp
        # END SOLUTION lab6.conflict
        # PROMPT lab6.conflict: refuse what is older, skip what is equal, bring over what is newer.

    def _replace(self, region: Region, target: AddressSpace, found: Region) -> Region:
        origin = found.origin
        target.remove(found.start, found.end)
        twin = region.object if region.shared else target.objects.twin(region.object)
        return target.map_region(replace(region, object=twin, origin=origin, lazy=False))

    def detach(self, attachment: Attachment) -> None:
        """Merge back: what is new goes to the VAS, what changed is brought up to date there."""
        view, space = attachment.view, attachment.vas.space
        assert isinstance(view, CopiedView)
        new = [r for r in view.map if r.origin == CREATED and r.segment not in attachment.segments]
        for region in new:
            if space.map.busy(region.start, region.end):
                raise view.conflict(region, space.map.overlapping(region.start, region.end)[0])
        for region in [r for r in view.map if r.origin == OF_VAS and not r.segment]:
            self._update(view, region, space, find_reference(space, region))
        for region in new:
            memory, pages = region.object, region.end - region.start >> 12
            if not region.shared:
                memory = view.objects.carve(memory, region.page, pages)
            memory.pay_from(attachment.vas.account)
            duplicate(view, space, space.map_region(replace(region, object=memory)))

    def show_private(self, attachment: Attachment, region: Region) -> None:
        view = attachment.view
        if view.map.busy(region.start, region.end):
            raise view.conflict(region, view.map.overlapping(region.start, region.end)[0])
        view.map_region(region)

    def hide_private(self, attachment: Attachment, start: int, end: int) -> None:
        attachment.view.remove(start, end)

    def forked(self, attachment: Attachment) -> None:
        """Copies of the process's pages must fault before they store, or the child would see it
        (hole 4, which stays closed under every policy)."""
        view = attachment.view
        stale = []
        for region in [r for r in view.map if r.origin == OF_TASK and not r.shared]:
            for va, entry in list(view.table.entries(region.start, region.end)):
                if entry & W:
                    view.table.change(va, entry & ~W)
                    stale.append(va)
        view.shootdowns.invalidate(view, stale, [])


def find_reference(space: AddressSpace, region: Region) -> Region | None:
    """The RFC's look-up of a region's counterpart: the same bounds, or a stack's same end."""
    space.objects.table.machine.charge(costs.REGION_FIND)
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
        if not region.shared and original.object.frames.get(original.object_page(va)) == pfn:
            released += region.object.adopt(region.object_page(va), pfn)
            original.duplicated = region.duplicated = True
        entry &= ~(A | D) if region.prot & PROT_WRITE else ~(A | D | W)
        count += 1
        if target.table.set(va, entry) & P:
            stale.append(va)
    if not region.shared:
        for original in source.map.overlapping(region.start, region.end):
            shape = (original.page, original.end - original.start >> 12)
            region.object.adopt_paged_out(original.object, *shape)
    target.shootdowns.invalidate(target, stale, released)
    return count
