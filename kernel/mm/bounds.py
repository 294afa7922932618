"""How large an address space may become (getrlimit(2))."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from kernel.mm.layout import MAP_LOWEST, STACK_BYTES

UNLIMITED = (1 << 64) - 1


class Counted(Protocol):
    """What the limits ask of a region."""

    start: int
    end: int

    @property
    def is_data(self) -> bool:
        """Does it count for RLIMIT_DATA?"""


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """How large a space may become (getrlimit(2)), in bytes; `UNLIMITED`: as large as it likes.

    `stack_bytes`: each region that grows down; `all_bytes`: all regions; `data_bytes`: the private
    ones that can be written, without stacks.
    """

    stack_bytes: int = STACK_BYTES
    all_bytes: int = UNLIMITED
    data_bytes: int = UNLIMITED

    @property
    def count(self) -> bool:
        """Is there a limit for which regions have to be counted?"""
        return min(self.all_bytes, self.data_bytes) < UNLIMITED

    def allow(self, regions: Iterable[Counted], size_bytes: int, data_bytes: int) -> bool:
        """May a space with these regions grow by this much in all, and by this much of data?"""
        sizes = [(region.end - region.start, region.is_data) for region in regions]
        if size_bytes and sum(size for size, _ in sizes) + size_bytes > self.all_bytes:
            return False
        data = sum(size for size, is_data in sizes if is_data)
        return not data_bytes or data + data_bytes <= self.data_bytes

    def floor(self, end: int) -> int:
        """How far down a region may grow that ends there."""
        return max(MAP_LOWEST, end - self.stack_bytes)
