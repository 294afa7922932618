"""Views: what a thread sees inside a VAS, its process's memory and the VAS's together.

A view has no regions of its own.  It shows *layers*: the process's own space (its *home*), the
VAS's, and perhaps one with segments for this attachment alone.  A look-up asks the layers.  A
change is made in the layer that has the region.

Its page tables are `kernel.vas.tables`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import chain
from operator import attrgetter
from typing import ClassVar

from hw import costs
from hw.paging import ERR_WRITE, W
from kernel.abi.errno import E, KernelError
from kernel.mm.regions import Region, RegionMap
from kernel.mm.shown import Onlooker
from kernel.mm.space import SPACE, AddressSpace
from kernel.vas.tables import ALL_BITS, Mirror, SharedTable, ViewTable

_START = attrgetter("start")


class LayeredMap(RegionMap):
    """The regions of a view, which are those of its layers."""

    __slots__ = ("layers",)

    def __init__(self, layers: tuple[AddressSpace, ...]) -> None:
        self.layers = layers

    def __repr__(self) -> str:
        return f"LayeredMap({self.layers!r})"

    def __iter__(self) -> Iterator[Region]:
        return merge(*(layer.map for layer in self.layers), key=_START)

    def __len__(self) -> int:
        return sum(len(layer.map) for layer in self.layers)

    def find(self, va: int) -> Region | None:
        for layer in self.layers:
            region = layer.map.find(va)
            if region is not None:
                return region
        return None

    def overlapping(self, start: int, end: int) -> list[Region]:
        found = (layer.map.overlapping(start, end) for layer in self.layers)
        return sorted(chain.from_iterable(found), key=_START)

    def first_in(self, start: int, end: int) -> Region | None:
        found = (layer.map.first_in(start, end) for layer in self.layers)
        return min((region for region in found if region), key=_START, default=None)

    def at(self, index: int) -> Region:
        return list(self)[index]

    def next_above(self, va: int) -> Region | None:
        found = (layer.map.next_above(va) for layer in self.layers)
        return min((region for region in found if region), key=_START, default=None)


@dataclass(slots=True, eq=False)
class View(AddressSpace):
    """One attachment's space: what threads of the process `home` see inside the VAS `vas`."""

    home: AddressSpace = field(kw_only=True)
    vas: AddressSpace = field(kw_only=True)
    writable: bool = field(kw_only=True)
    """May threads in it change the VAS?"""

    @property
    def pushed(self) -> int:
        """How many entries and regions were written to keep the view up to date."""
        raise NotImplementedError

    def fork(self, id: int) -> AddressSpace:
        """A child gets the process's own memory and nothing of any VAS."""
        return self.home.fork(id)


def place_of(space: AddressSpace) -> tuple[int, int]:
    """Which VAS a thread is in: the id of the VAS, and of its space, which never comes again."""
    return (space.vid, space.vas.id) if isinstance(space, View) else (0, 0)


@dataclass(slots=True, eq=False)
class LayeredView(View):
    """A view that owns nothing.  `shows` are its layers: home, VAS, and perhaps a private one."""

    hears_resizes: ClassVar[bool] = False
    """Does each change of a layer's region cost the view something?"""

    def __post_init__(self) -> None:
        self.map = LayeredMap(())
        self.table = self._new_table()
        self._emit(SPACE, self.table.root_pa, 1)
        try:
            for layer in (self.home, self.vas):
                self.show_layer(layer)
        except KernelError:
            self.destroy()
            raise

    def _new_table(self) -> ViewTable:
        return SharedTable(self.objects.frames, space=self.id)

    @property
    def tables(self) -> ViewTable:
        assert isinstance(self.table, ViewTable)
        return self.table

    @property
    def pushed(self) -> int:
        return self.tables.pushed

    def show_layer(self, layer: AddressSpace) -> None:
        """Show one more space.  Raises EFAULT if a place is taken, ENOMEM."""
        self._check_places(layer)
        may_store = self.writable or not self.shows or len(self.shows) > 1
        mirror = Mirror(self.tables, ALL_BITS if may_store else ALL_BITS ^ W, layer.id)
        self.shows += (layer,)
        self.map = LayeredMap(self.shows)
        layer.meet(self)
        if self.hears_resizes:
            layer.followers[self.id] = self
        self.tables.add(layer, mirror)

    def _check_places(self, layer: AddressSpace) -> None:
        for shown in self.shows:
            few, many = sorted((layer, shown), key=lambda space: len(space.map))
            self.objects.frames.machine.charge(costs.REGION_FIND, len(few.map))
            for region in few.map:
                self.check_free(region, many.map)

    def owner(self, va: int) -> AddressSpace:
        """The layer that `va` belongs to; home, where nothing is mapped and no stack of the VAS is
        to grow."""
        for layer in self.shows[1:]:
            if layer.map.find(va) is not None:
                return layer
        return self.vas if self.writable and self._is_below_stack(va) else self.home

    def _is_below_stack(self, va: int) -> bool:
        """Is a stack of the VAS the next thing above `va`, where this process has nothing?"""
        stack, own = self.vas.map.next_above(va), self.home.map.next_above(va)
        if stack is None or not 0 < stack.floor <= va or self.home.map.find(va) is not None:
            return False
        return own is None or stack.start < own.start

    # Changes go to the layer that they concern ------------------------------------------------

    def map_region(self, region: Region) -> Region:
        """What is mapped inside a VAS is the VAS's.  Raises EACCES in a read-only view."""
        self._check_writable()
        account = self.vas.table.account
        if account is not None and not region.object.holds:
            account.admit()
            region.object.pay_from(account)
        return self.vas.map_region(region)

    def _check_writable(self) -> None:
        if not self.writable:
            raise KernelError(E.ACCES)

    def place(self, size_bytes: int, wish: int = 0) -> int:
        return self.vas.place(size_bytes, wish)

    def claim(self, start: int, end: int, region: Region | None = None) -> None:
        """A range is about to become the VAS's; what this process has there will go first."""
        self._check_writable()
        other = self.clash(start, end)
        if other is not None:
            raise self.conflict(Region(start, end, 0, other.object), other)

    def clash(self, start: int, end: int, but: Onlooker | None = None) -> Region | None:
        """What other views of the VAS show in a range: what is mapped inside goes to the VAS."""
        return self.vas.clash(start, end, but=self)

    def unmap(self, start: int, end: int) -> None:
        self._may_change(start, end)
        for layer in self.shows:
            layer.unmap(start, end)

    def _may_change(self, start: int, end: int) -> None:
        """Raises EPERM for a segment, EACCES for the VAS's memory in a read-only view."""
        self._refuse_sealed(start, end)
        self.check_change(start, end)

    def check_change(self, start: int, end: int) -> None:
        """Raises EACCES for the VAS's memory in a read-only view."""
        if self.vas.map.busy(start, end):
            self._check_writable()

    def mark(self, start: int, end: int, on: int, off: int = 0) -> None:
        for layer in self.shows:
            layer.mark(start, end, on, off)

    def extend(self, region: Region, end: int) -> None:
        self.check_change(region.start, region.end)
        region.space.extend(region, end)

    def move(self, start: int, end: int, target: int, new_end: int) -> None:
        """What moves stays whose it was."""
        self._may_change(start, end)
        self.owner(start).move(start, end, target, new_end)

    def protect(self, start: int, end: int, prot: int) -> None:
        self._may_change(start, end)
        at = start
        for region in self.map.overlapping(start, end):
            if region.start > at:
                break
            bounds = max(start, region.start), min(end, region.end)
            at = region.end
            self.owner(bounds[0]).protect(*bounds, prot)
        if at < end:
            raise KernelError(E.NOMEM)

    @property
    def of_heap(self) -> AddressSpace:
        return self.home

    def make_room(self, owner: AddressSpace, start: int, end: int) -> None:
        """A layer is about to map a range.  Raises ENOMEM."""
        self.tables.make_room(owner, start, end)

    def resized(self, region: Region) -> None:
        """A layer's region has changed: the look-up in layers sees it by itself."""

    # Faults -----------------------------------------------------------------------------------

    def fault(self, page: int, error: int) -> bool:
        layer = self.owner(page)
        if error & ERR_WRITE and layer is self.vas and not self.writable:
            return False
        return layer.fault(page, error)

    def lets_store(self, region: Region) -> bool:
        return self.writable or region.space is not self.vas

    def show(self, region: Region, page: int, *, write: bool) -> None:
        region.space.show(region, page, write=write)

    def _user_frame(self, va: int, error: int) -> int:
        layer = self.owner(va)
        if error and layer is self.vas and not self.writable:
            raise KernelError(E.FAULT)
        return layer._user_frame(va, error)

    # Life -------------------------------------------------------------------------------------

    def destroy(self) -> None:
        """The attachment ends; what it showed stays where it belongs."""
        for layer in self.shows:
            layer.part(self)
        self.tables.close()
        self._emit(SPACE, self.table.root_pa, 0)
        self.forget_root()
