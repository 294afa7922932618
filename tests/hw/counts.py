"""Exact counts of primitives: tables of them, and what a machine has spent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hw import costs
from hw.machine import MODEL, Machine

Counts = dict[str, int]
"""By the name of a primitive; what is not there is 0."""
NAMES = [row.name for row in costs.TABLE]


def counts(**named: int) -> Counts:
    assert set(named) <= set(NAMES), named
    return named


def plus(*parts: Counts) -> Counts:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum(part.get(name, 0) for part in parts) for name in names}


def on(mmu: str, row: Counts) -> Counts:
    """Only the model MMU counts the steps of walks."""
    return {n: count for n, count in row.items() if mmu == MODEL or n != "walk_step"}


@dataclass(frozen=True)
class Bill:
    """What all cores have spent until now."""

    counts: tuple[int, ...]
    cycles: int

    @classmethod
    def of(cls, machine: Machine) -> Bill:
        states = [core.state for core in machine.cores]
        columns: Iterable[tuple[int, ...]] = zip(*(s.counts for s in states), strict=True)
        return cls(tuple(map(sum, columns)), sum(state.cycles for state in states))

    def since(self, before: Bill, *, waits: bool = False) -> Counts:
        """The counts from `before` on.  Cycles are their sum, unless a core `waits`."""
        found = [now - then for now, then in zip(self.counts, before.counts, strict=True)]
        price = sum(n * row.cycles for n, row in zip(found, costs.TABLE, strict=True))
        assert waits or self.cycles - before.cycles == price
        return {name: number for name, number in zip(NAMES, found, strict=True) if number}
