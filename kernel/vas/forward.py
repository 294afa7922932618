"""Policy `forward`: every change is pushed to every view, at once.

The idea comes from the RFC's thread.  A view has page tables of its own: it copies a leaf at the
first fault, and each later change of that leaf in a layer is pushed into the copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hw import costs, trace
from hw.paging import P
from kernel.mm.layout import KUSER
from kernel.mm.pagetable import LEAVES
from kernel.mm.regions import Owner, Region
from kernel.mm.space import AddressSpace
from kernel.vas.records import Vas
from kernel.vas.sync import Layered
from kernel.vas.tables import Mirror, ViewTable
from kernel.vas.view import LayeredView, View

FORWARD = trace.declare("forward", "space:Q start:Q end:Q", "A region's new extent reached a view.")
TABLES_OF_A_LEAF = 3


@dataclass(slots=True, eq=False)
class CopiedTable(ViewTable):
    """The tables of a view that shares none."""

    def add(self, layer: AddressSpace, mirror: Mirror) -> None:
        self.layers.append((layer, mirror))
        layer.table.watch(LEAVES, self.space, mirror)
        if layer.kuser_pfn:
            self.set(KUSER, layer.table.lookup(KUSER))

    def make_room(self, owner: AddressSpace, start: int, end: int) -> None:
        """Nothing is shared, so nothing is in the way."""

    def fill(self, layer: Owner, va: int) -> None:
        """Copy a layer's leaf.  Raises ENOMEM."""
        mask = next(mirror.mask for other, mirror in self.layers if other is layer)
        self.set(va, layer.table.lookup(va) & mask)

    def close(self) -> None:
        """Nothing is shown any more."""
        for layer, _ in self.layers:
            layer.table.unwatch(LEAVES, self.space)
        self.free()

    def hear(self, mirror: Mirror, va: int, level: int, old: int, entry: int) -> None:
        """A layer wrote a leaf: push it, if the view has a copy."""
        # BEGIN SOLUTION lab6.forward
        if not self.lookup(va) & P:
            return
        if entry & P:
            self.set(va, entry & mirror.mask)
        else:
            self.clear(va)
        self.note(mirror, va, level)
        # END SOLUTION lab6.forward
        # PROMPT lab6.forward: bring the view's copy of the leaf up to date, and note that.


@dataclass(slots=True, eq=False)
class ForwardView(LayeredView):
    """A view with tables of its own, which every change is forwarded to."""

    hears_resizes: ClassVar[bool] = True
    forwarded: int = 0

    def _new_table(self) -> ViewTable:
        return CopiedTable(self.objects.frames, space=self.id)

    def fault(self, page: int, error: int) -> bool:
        # BEGIN SOLUTION lab6.forward
        if not LayeredView.fault(self, page, error):
            return False
        self._fill(self.owner(page), page)
        return True
        # END SOLUTION lab6.forward
        # PROMPT lab6.forward: let the layer resolve the fault, then copy its leaf.

    def _fill(self, layer: Owner, page: int) -> None:
        """Copy the leaf, unless making room for its tables took it away again."""
        assert isinstance(self.table, CopiedTable)
        self.objects.reserve(TABLES_OF_A_LEAF)
        if layer.table.lookup(page) & P:
            self.table.fill(layer, page)

    def show(self, region: Region, page: int, *, write: bool) -> None:
        LayeredView.show(self, region, page, write=write)
        self._fill(region.space, page)

    @property
    def pushed(self) -> int:
        return self.tables.pushed + self.forwarded

    def resized(self, region: Region) -> None:
        """The thread's idea: a resize reaches every view at once.  Counted, since it costs."""
        self.forwarded += 1
        self.objects.frames.machine.charge(costs.REGION_CHANGE)
        self._emit(FORWARD, region.start, region.end)


@dataclass(slots=True)
class Forward(Layered):
    """Every change is pushed to every view, at once."""

    name: ClassVar[str] = "forward"

    def attach(self, home: AddressSpace, vas: Vas, writable: bool) -> View:
        return ForwardView(*self.memory.for_space(), home=home, vas=vas.space, writable=writable)
