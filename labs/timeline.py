"""Who had which core, and how long who waited for one: a trace's schedule, for the judge.

A turn begins where a core takes a thread (`pick`) and ends where that thread goes to sleep
(`wait`) or the core takes another one.  Stops of the program bound what is looked at: only turns
that begin after stop `first` and before stop `last` count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median_low
from typing import Any

from hw.trace import Record

NULL_CALL = 1212
"""The call that makes a stop; its first argument is the stop's number (<exam.h>)."""


@dataclass(slots=True)
class Turn:
    """A thread on a core.  `waited` and `rank` are those of its `pick` record."""

    tid: int
    start: int
    waited: int
    rank: int
    end: int | None = None
    slept: bool = False

    @property
    def cycles(self) -> int:
        return 0 if self.end is None else self.end - self.start


class Timeline:
    """The turns and the changes of level of one run, in order."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.turns: list[Turn] = []
        self.levels: list[tuple[int, int, int]] = []
        """When, which thread, and the level that it came to."""
        self.stops: dict[int, int] = {}
        on_core: dict[int, Turn] = {}
        for record in records:
            name = record.kind.name
            if name == "pick":
                self._end(on_core.pop(record.core, None), record.cycles)
                turn = Turn(record["tid"], record.cycles, record["waited"], record["rank"])
                on_core[record.core] = turn
                self.turns.append(turn)
            elif name in ("wait", "stop") and record.core in on_core:
                if on_core[record.core].tid == record["tid"]:
                    self._end(on_core.pop(record.core), record.cycles, slept=True)
            elif name == "level":
                self.levels.append((record.cycles, record["tid"], record["after"]))
            elif name == "syscall" and record["number"] == NULL_CALL:
                self.stops.setdefault(record["a"], record.cycles)

    def _end(self, turn: Turn | None, at: int, slept: bool = False) -> None:
        if turn is not None:
            turn.end, turn.slept = at, slept

    def between(self, first: int, last: int) -> list[Turn]:
        """The turns that begin between two stops; none if they were not both made."""
        if first not in self.stops or last not in self.stops:
            return []
        start, end = self.stops[first], self.stops[last]
        return [turn for turn in self.turns if start <= turn.start < end]

    def of(self, tid: int, first: int, last: int) -> list[Turn]:
        return [turn for turn in self.between(first, last) if turn.tid == tid]


def longest_turn(line: Timeline, tid: int, first: int, last: int, rank: int) -> int:
    """In cycles, of the turns with this rank that another thread ended."""
    return max(_lengths(line, tid, first, last, rank), default=0)


def shortest_turn(line: Timeline, tid: int, first: int, last: int, rank: int) -> int:
    return min(_lengths(line, tid, first, last, rank), default=0)


def _lengths(line: Timeline, tid: int, first: int, last: int, rank: int) -> list[int]:
    turns = line.of(tid, first, last)
    return [turn.cycles for turn in turns if turn.rank == rank and turn.end and not turn.slept]


def overtaken(line: Timeline, tid: int, first: int, last: int) -> int:
    """How often at most one other thread had a core between two turns of this one."""
    most, others = 0, Counter[int]()
    for turn in line.between(first, last):
        if turn.tid == tid:
            others.clear()
        else:
            others[turn.tid] += 1
            most = max(most, others[turn.tid])
    return most


def middle_wait(line: Timeline, tid: int, first: int, last: int) -> int:
    """The median of the cycles for which it was ready and had no core."""
    waits = [turn.waited for turn in line.of(tid, first, last)]
    return median_low(waits) if waits else 0


def handed_on(line: Timeline, tid: int, first: int, last: int) -> int:
    """How many of its turns one thread ran before and another one after, on a single core."""
    among = line.between(first, last)
    around = zip(among, among[1:], among[2:], strict=False)
    return sum(own.tid == tid and before.tid != after.tid for before, own, after in around)


def turns(line: Timeline, tid: int, first: int, last: int) -> int:
    return len(line.of(tid, first, last))


def first_rank(line: Timeline, tid: int) -> int | None:
    """With which it was taken for the first time."""
    return next((turn.rank for turn in line.turns if turn.tid == tid), None)


def levels(line: Timeline, tid: int, count: int) -> list[int]:
    """The first levels that it came to."""
    return [after for _, moved, after in line.levels if moved == tid][:count]


def boosts(line: Timeline, tid: int, first: int, last: int) -> int:
    """How often it came back to the top."""
    if first not in line.stops or last not in line.stops:
        return 0
    start, end = line.stops[first], line.stops[last]
    return sum(start <= at < end and moved == tid and not to for at, moved, to in line.levels)


def switches(line: Timeline, tid: int, last: int, slept: bool) -> int:
    """How many of its turns ended before stop `last` by sleep, or because it lost its core."""
    end = line.stops.get(last, 0)
    own = [turn for turn in line.turns if turn.tid == tid and turn.end is not None]
    return sum(turn.slept is slept and (turn.end or 0) <= end for turn in own)


MEASURES: dict[str, Callable[..., Any]] = {
    made.__name__: made
    for made in (
        longest_turn,
        shortest_turn,
        overtaken,
        middle_wait,
        handed_on,
        turns,
        first_rank,
        levels,
        boosts,
        switches,
    )
}
