"""Sums of primitives, and their ratios, with the intervals that the cost table's ranges span.

A count is how often each primitive of `hw.costs` was charged.  The same primitive has the same
cost wherever it occurs, so the interval of a ratio is not that of two independent sums: its ends
are found with every primitive at one end of its range (a ratio of two linear forms is greatest
and least at corners).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hw import costs
from hw.costs import Primitive

Counts = Mapping[str, float]
"""By the name of the primitive."""
End = Callable[[Primitive], int]
"""Which figure of a row is meant."""
ROWS = {row.name: row for row in costs.TABLE}


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure, and how low and how high it may be."""

    low: float
    value: float
    high: float

    def __format__(self, spec: str) -> str:
        return f"{self.value:{spec}} [{self.low:{spec}} .. {self.high:{spec}}]"

    def as_json(self) -> list[float]:
        return [round(self.low, 3), round(self.value, 3), round(self.high, 3)]


def cycles(counts: Counts) -> Interval:
    """What the counts come to, in modelled cycles."""
    return Interval(_sum(counts, _low), _sum(counts, _value), _sum(counts, _high))


def ratio(above: Counts, below: Counts) -> Interval:
    """How many times `below` is `above`."""
    value = _sum(above, _value) / _sum(below, _value)
    least, most = _extreme(above, below, _low, _high), _extreme(above, below, _high, _low)
    return Interval(least, value, most)


def _low(row: Primitive) -> int:
    return row.low


def _value(row: Primitive) -> int:
    return row.cycles


def _high(row: Primitive) -> int:
    return row.high


def _sum(counts: Counts, end: End) -> float:
    return sum(count * end(ROWS[name]) for name, count in counts.items())


def _extreme(
    above: Counts,
    below: Counts,
    for_above: End,
    for_below: End,
) -> float:
    """Dinkelbach's iteration: what weighs more above than `found` times below takes one end of
    its range, the rest the other, until that changes nothing."""
    names, found, last = {*above, *below}, 1.0, 0.0
    while found != last:
        top = bottom = 0.0
        for name in sorted(names):
            more, less = above.get(name, 0.0), below.get(name, 0.0)
            end = for_above if more > found * less else for_below
            cost = end(ROWS[name])
            top, bottom = top + more * cost, bottom + less * cost
        last, found = found, top / bottom
    return found
