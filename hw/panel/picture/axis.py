"""The folded axis: 48 bits of address on a few hundred pixels, the same for every space.

The ends of all regions of all spaces cut the addresses into pieces. A piece that some space maps is
a run, as tall as the logarithm of its pages. Between runs there are gaps of a fixed height. The
order is kept: higher addresses are further down. An address has the same height in every column.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from math import log2

TALLEST, GAP = 90, 16
STRETCH = 4.0
"""How much taller than wished a run may become where there is room."""


@dataclass(frozen=True, slots=True)
class Run:
    """Addresses `start`..`end` lie on pixels `top`..`bottom`. `folded` counts the pieces in the
    run: more than 1 if there was no room for each."""

    start: int
    end: int
    top: float
    bottom: float
    folded: int = 1


@dataclass(frozen=True, slots=True)
class Axis:
    """Runs in order."""

    runs: tuple[Run, ...]
    height: float

    def y(self, va: int) -> float:
        """The height of `va`; it never falls as addresses rise."""
        index = bisect_right(self.runs, va, key=lambda run: run.start) - 1
        if index < 0:
            return 0.0
        run = self.runs[index]
        if va < run.end:
            return run.top + (run.bottom - run.top) * (va - run.start) / (run.end - run.start)
        return run.bottom

    def address(self, y: float) -> int | None:
        """The address at a height; None in a gap."""
        for run in self.runs:
            if run.top <= y < run.bottom:
                share = (y - run.top) / (run.bottom - run.top)
                return min(run.end - 1, run.start + int(share * (run.end - run.start)))
        return None

    def gaps(self) -> list[tuple[float, int]]:
        """(height of its middle, bytes) of each gap between two runs."""
        pairs = zip(self.runs, self.runs[1:], strict=False)
        return [((a.bottom + b.top) / 2, b.start - a.end) for a, b in pairs if b.start > a.end]


def build(ranges: Iterable[tuple[int, int]], height: float, least: int = 15) -> Axis:
    """An axis of at most `height` pixels for the ranges (start, end) of all spaces. A run is at
    least `least` pixels tall, twice that where there is room, and taller if it has many pages. A
    gap is `GAP` pixels tall, and where there is room at least `least`: a line of text fits into
    it."""
    rows = _folded(_pieces(set(ranges)), height, least)
    if not rows:
        return Axis((), 0.0)
    gaps = [two[0] > one[1] for one, two in itertools.pairwise(rows)]
    roomy = len(rows) * least + sum(gaps) * least <= height
    between = [(max(GAP, least) if roomy else GAP) if is_gap else 0 for is_gap in gaps]
    heights = _heights([_wish(end - start) for start, end, _ in rows], height - sum(between), least)
    runs, y = [], 0.0
    for (start, end, folded), tall, gap in zip(rows, heights, [*between, 0], strict=True):
        runs.append(Run(start, end, y, y + tall, folded))
        y += tall + gap
    return Axis(tuple(runs), y)


LOWEST_OCTAVE, HIGHEST_OCTAVE = 12, 47
"""A logarithmic axis begins with the first page and ends with the lower half of 48 bits."""


def linear(height: float) -> Axis:
    """The lower half of 48 bits to scale, so that one sees how empty it is."""
    return Axis((Run(0, 1 << HIGHEST_OCTAVE, 0.0, float(height)),), float(height))


def logarithmic(height: float) -> Axis:
    """The same height for each doubling of the address."""
    edges = [0, *(1 << bit for bit in range(LOWEST_OCTAVE, HIGHEST_OCTAVE + 1))]
    tall = height / (len(edges) - 1)
    pairs = enumerate(itertools.pairwise(edges))
    return Axis(tuple(Run(a, b, n * tall, (n + 1) * tall) for n, (a, b) in pairs), float(height))


def size_in_words(size: int) -> str:
    """`127.9 TiB`."""
    for unit, shift in (("TiB", 40), ("GiB", 30), ("MiB", 20)):
        if size >> shift:
            return f"{size / (1 << shift):.1f} {unit}".replace(".0 ", " ")
    return f"{size >> 10} KiB"


def _pieces(ranges: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is mapped, cut at every end of a range."""
    opens: dict[int, int] = {}
    for start, end in sorted(ranges):
        opens[start] = opens.get(start, 0) + 1
        opens[end] = opens.get(end, 0) - 1
    pieces, depth, before = [], 0, 0
    for edge in sorted(opens):
        if depth:
            pieces.append((before, edge))
        depth, before = depth + opens[edge], edge
    return pieces


def _folded(pieces: list[tuple[int, int]], height: float, least: int) -> list[tuple[int, int, int]]:
    """Rows (start, end, pieces in it) that fit: the closest and smallest neighbours are joined."""
    most = max(1, int((height + GAP) / (least + GAP)))
    gaps = sum(1 for one, two in itertools.pairwise(pieces) if two[0] > one[1])
    if len(pieces) * least + gaps * GAP <= height:
        most = len(pieces)
    nearest = sorted(
        range(1, len(pieces)),
        key=lambda i: (pieces[i][0] - pieces[i - 1][1], pieces[i][1] - pieces[i - 1][0], i),
    )
    closed = set(nearest[: max(0, len(pieces) - most)])
    rows: list[tuple[int, int, int]] = []
    for i, (start, end) in enumerate(pieces):
        if i in closed:
            first, _, held = rows[-1]
            rows[-1] = (first, end, held + 1)
        else:
            rows.append((start, end, 1))
    return rows


def _wish(size: int) -> float:
    return min(TALLEST, 8 * log2(1 + (size >> 12)))


def _heights(wished: list[float], room: float, least: int) -> list[float]:
    """The same height for each; the rest is shared out in proportion to the wishes."""
    floor = max(1.0, min(2.2 * least, room / len(wished)))
    spare = max(0.0, room - floor * len(wished))
    above = [max(1.0, wish - least) for wish in wished]
    scale = min(STRETCH, spare / sum(above))
    return [floor + extra * scale for extra in above]
