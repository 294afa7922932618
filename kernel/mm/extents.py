"""Runs of frames: which are free in the NVM module, and which hold the pages of an object there.

Memory in NVM is given out when an object is made, not page by page, so a fault never needs a change
of what is on the medium.  A run is (page, pfn, count): `count` pages from `page` on are in as many
frames from `pfn` on.  An object of any size has few runs, unless the module is full of holes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from kernel.abi.errno import E, KernelError

Run = tuple[int, int, int]


@dataclass(slots=True)
class Extents:
    """The pages of one object, sorted by page."""

    runs: list[Run] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(count for _, _, count in self.runs)

    def __contains__(self, page: int) -> bool:
        return self.frame(page) is not None

    def frame(self, page: int) -> int | None:
        """The frame of a page, if it has one."""
        i = bisect_right(self.runs, page, key=_page) - 1
        if i < 0 or page >= self.runs[i][0] + self.runs[i][2]:
            return None
        return self.runs[i][1] + page - self.runs[i][0]

    def pages(self) -> Iterator[int]:
        """Every page, in order."""
        for page, _, count in self.runs:
            yield from range(page, page + count)

    def frames(self) -> Iterator[int]:
        """Every frame, in the order of pages."""
        for _, pfn, count in self.runs:
            yield from range(pfn, pfn + count)

    def add(self, runs: list[Run]) -> None:
        """More pages, which have no frame yet."""
        joined: list[Run] = []
        for page, pfn, count in sorted((*self.runs, *runs)):
            if joined and _continues(joined[-1], page, pfn):
                joined[-1] = (joined[-1][0], joined[-1][1], joined[-1][2] + count)
            else:
                joined.append((page, pfn, count))
        self.runs = joined

    def cut(self, first: int, pages: int) -> list[Run]:
        """Take the pages of a range out."""
        kept: list[Run] = []
        gone: list[Run] = []
        end = first + pages
        for page, pfn, count in self.runs:
            low, high = max(page, first), min(page + count, end)
            if low >= high:
                kept.append((page, pfn, count))
                continue
            gone.append((low, pfn + low - page, high - low))
            if page < low:
                kept.append((page, pfn, low - page))
            if high < page + count:
                kept.append((high, pfn + high - page, page + count - high))
        self.runs = kept
        return gone

    def holes(self, first: int, pages: int) -> list[tuple[int, int]]:
        """The parts of a range without frames, as (page, count)."""
        found, at, end = [], first, first + pages
        for page, _, count in self.runs:
            if page >= end:
                break
            if page > at:
                found.append((at, page - at))
            at = max(at, page + count)
        return [*found, (at, end - at)] if at < end else found


def _page(run: Run) -> int:
    return run[0]


def _continues(run: Run, page: int, pfn: int) -> bool:
    return run[0] + run[2] == page and run[1] + run[2] == pfn


@dataclass(slots=True)
class Zone:
    """The free frames of the module, as sorted runs of (pfn, count).

    What was let go waits until the medium does not lead to it any more.
    """

    first: int
    free: list[tuple[int, int]] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    older: list[int] = field(default_factory=list)
    """What waited already at the last commit: the older root may lead to it."""
    kept_back: int = 0
    """So many frames are for the medium's own records, and for nothing else."""

    def __len__(self) -> int:
        return sum(count for _, count in self.free)

    def __iter__(self) -> Iterator[int]:
        for pfn, count in self.free:
            yield from range(pfn, pfn + count)
        yield from self.waiting
        yield from self.older

    def take(self, count: int) -> list[tuple[int, int]]:
        """So many frames, in as few runs as the first fit gives.  Raises ENOSPC."""
        if count > len(self) - self.kept_back:
            raise KernelError(E.NOSPC)
        whole = next((i for i, run in enumerate(self.free) if run[1] >= count), None)
        if whole is not None:
            return [self._take_from(whole, count)]
        taken = []
        while count:
            run = self._take_from(0, min(count, self.free[0][1]))
            taken.append(run)
            count -= run[1]
        return taken

    def take_together(self, count: int) -> int:
        """So many neighbours, from the end of the module.  Raises ENOSPC."""
        for i in range(len(self.free) - 1, -1, -1):
            pfn, length = self.free[i]
            if length >= count:
                self.free[i : i + 1] = [(pfn, length - count)] if length > count else []
                return pfn + length - count
        raise KernelError(E.NOSPC)

    def _take_from(self, i: int, count: int) -> tuple[int, int]:
        pfn, length = self.free[i]
        self.free[i : i + 1] = [(pfn + count, length - count)] if length > count else []
        return pfn, count

    def remove(self, pfn: int, count: int) -> None:
        """These frames are in use.  They must be free."""
        i = bisect_right(self.free, pfn, key=_page_of_run) - 1
        start, length = self.free[i]
        parts = [(start, pfn - start), (pfn + count, start + length - pfn - count)]
        assert i >= 0
        assert all(size >= 0 for _, size in parts)
        self.free[i : i + 1] = [part for part in parts if part[1]]

    def committed(self) -> None:
        """One commit more: what waited for two of them is free."""
        runs = sorted((*self.free, *((pfn, 1) for pfn in self.older)))
        self.older, self.waiting = self.waiting, []
        joined: list[tuple[int, int]] = []
        for pfn, count in runs:
            if joined and sum(joined[-1]) == pfn:
                joined[-1] = (joined[-1][0], joined[-1][1] + count)
            else:
                joined.append((pfn, count))
        self.free = joined


def _page_of_run(run: tuple[int, int]) -> int:
    return run[0]
