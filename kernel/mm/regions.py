"""Regions in the order of their addresses, for looking one up."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernel.mm.space import Region


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

    def busy(self, start: int, end: int) -> bool:
        """Is anything mapped in the range?"""
        i = bisect_right(self.starts, start)
        if i and self.regions[i - 1].end > start:
            return True
        return i < len(self.starts) and self.starts[i] < end

    def at(self, index: int) -> Region:
        return self.regions[index]

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
