"""What a space knows of the views that show it together with other spaces.

A range may be mapped only where no view shows another space.  To look at every view would cost more
the more there are; so each space keeps, by slot, the views that show another space there.
"""

from __future__ import annotations

from typing import Any, Protocol

from hw import costs
from hw.memory import PAGE_SIZE
from kernel.mm.layout import KUSER
from kernel.mm.regions import Region, RegionMap
from kernel.mm.usermem import UserMemory

SLOT_BITS = 39
"""A slot is what one entry of the top-level table spans: 512 GiB."""


class Backer(Protocol):
    """Who gives what is mapped in a space its frames in NVM, from the start."""

    def back(self, region: Region, end: int) -> None:
        """The region is about to be there, up to `end`.  Raises ENOMEM, EOPNOTSUPP."""


class Onlooker(Protocol):
    """A view that shows this space together with others."""

    id: int

    @property
    def shows(self) -> tuple[Shown, ...]:
        """The spaces that the view shows."""

    def make_room(self, owner: Any, start: int, end: int) -> None:
        """`owner`, an address space, is about to map a range.  Raises ENOMEM."""

    def resized(self, region: Region) -> None:
        """A region of a space that the view shows has changed."""


class Shown(UserMemory):
    """The part of an address space that views look at."""

    __slots__ = ()
    map: RegionMap
    kuser_pfn: int
    views: dict[int, Onlooker]
    followers: dict[int, Onlooker]
    slots: dict[int, None]
    neighbours: dict[int, dict[int, Onlooker]]

    def clash(self, start: int, end: int, but: Onlooker | None = None) -> Region | None:
        """What a view shows of another space in a range: this space cannot have it there."""
        for view in self._near(start, end):
            for layer in view.shows if view is not but else ():
                if layer is not self:
                    self.machine.charge(costs.REGION_FIND)
                    other = layer.map.first_in(start, end)
                    if other is not None:
                        return other
        return None

    def _near(self, start: int, end: int) -> list[Onlooker]:
        """The views that show another space in a slot of this range."""
        found: dict[int, Onlooker] = {}
        for slot in slots(start, end) if self.neighbours else ():
            found.update(self.neighbours.get(slot, {}))
        return list(found.values())

    def occupy(self, start: int, end: int) -> None:
        """The space has or will have something in a range.

        Where that is news of a slot, the other spaces of each view hear of it.
        """
        for slot in slots(start, end):
            if slot not in self.slots:
                self.slots[slot] = None
                self.machine.charge(costs.TABLE_LOOKUP, len(self.views))
                for view in self.views.values():
                    for layer in view.shows:
                        if layer is not self:
                            layer.neighbours.setdefault(slot, {})[view.id] = view

    def meet(self, view: Onlooker) -> None:
        """A view shows this space from now on, besides those that it shows already."""
        if not self.views:
            for region in self.map:
                self.occupy(region.start, region.end)
            if self.kuser_pfn:
                self.occupy(KUSER, KUSER + PAGE_SIZE)
        self.views[view.id] = view
        for layer in view.shows:
            for one, other in ((self, layer), (layer, self)):
                for slot in one.slots if one is not other else ():
                    other.neighbours.setdefault(slot, {})[view.id] = view

    def part(self, view: Onlooker) -> None:
        """The view shows this space no longer."""
        del self.views[view.id]
        self.followers.pop(view.id, None)
        for slot in [slot for slot, near in self.neighbours.items() if view.id in near]:
            del self.neighbours[slot][view.id]
            if not self.neighbours[slot]:
                del self.neighbours[slot]
        if not self.views:
            self.slots.clear()


def slots(start: int, end: int) -> range:
    """The slots that a range reaches into."""
    return range(start >> SLOT_BITS, (end - 1 >> SLOT_BITS) + 1)
