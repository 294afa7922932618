"""How costs of VASes grow: with pages, regions, attached VASes, and existing VASes.

In counts, which are the same in every run, and in host time from the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from hw import costs
from hw.costs import PTE_WRITE, TABLE_ALLOCATE
from hw.machine import MachineConfig
from kernel.boot import Config
from labs.crossings import FIGURES, MARK, Figure, Stopwatch, watched

ROUNDS = 100
SMALL, LARGE = 100, 100_000
ROOM = MachineConfig(ram_mib=640)
LIMIT_MIB = 600


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement: `frames` for tables, entries written, cycles and host time of one call."""

    x: int
    frames: int
    writes: int
    cycles: int
    host_us: float


@dataclass(frozen=True, slots=True)
class Curve:
    """`flat`: the claim is that the cost does not grow.  `most`: by how much host time may grow."""

    name: str
    x: str
    doc: str
    points: tuple[Point, ...]
    flat: bool = True
    most: float | None = None

    @property
    def host_growth(self) -> float:
        """Host time at the last point, as a multiple of that at the first."""
        return self.points[-1].host_us / self.points[0].host_us

    @property
    def is_flat(self) -> bool:
        """Do the counts stay the same?"""
        return len({(p.frames, p.writes, p.cycles) for p in self.points}) == 1


def curves(
    config: Config, *, few: int = SMALL, many: int = LARGE, vases: int = 10_000
) -> list[Curve]:
    """All curves, in this configuration with more memory."""
    config = replace(config, machine=replace(config.machine, ram_mib=ROOM.ram_mib))
    config = replace(config, vas_limit_mib=LIMIT_MIB)
    return [curve for make in _MAKERS for curve in make(config, few, many, vases)]


def _create(config: Config, few: int, _many: int, vases: int) -> Iterator[Curve]:
    figure = replace(FIGURES["vas_create"], rounds=vases)
    watch = watched(figure, config)
    places = sorted({few, vases // 10, vases})
    points = tuple(_point(at, watch, at - ROUNDS, at) for at in places)
    yield Curve(
        "create", "VASes that there are", "vas_create takes the same, whatever there is.", points
    )


def _attach(config: Config, few: int, many: int, _vases: int) -> Iterator[Curve]:
    def attached(pages: int, regions: int) -> Point:
        numbers = (pages, regions)
        figure = Figure("", "", "attach", "", "", numbers, ROUNDS, begins="vas_attach")
        watch = watched(figure, config)
        return _point(pages if regions == 1 else regions, watch, ROUNDS // 2, None)

    pages = tuple(attached(count, 1) for count in (few, 10 * few, many))
    flat = config.vas_sync == "subtree"
    yield Curve(
        "attach/pages",
        "pages in the VAS",
        "vas_attach of a VAS shares its tables.",
        pages,
        flat,
        1.2 if flat else None,
    )
    regions = tuple(attached(10 * few, count) for count in (2, few // 10 * 2, few * 2))
    yield Curve(
        "attach/regions",
        "regions in the VAS",
        "vas_attach looks at every region once.",
        regions,
        flat=False,
    )


def _switch(config: Config, few: int, many: int, vases: int) -> Iterator[Curve]:
    def switched(x: int, *numbers: int) -> Point:
        figure = Figure("", "", "views", MARK, "vas_switch", numbers, ROUNDS)
        return _point(x, watched(figure, config), ROUNDS, None)

    pages = tuple(switched(count, count) for count in (few, 10 * few, many))
    yield Curve("switch/pages", "pages in the VAS", "vas_switch looks at no page.", pages)
    regions = tuple(switched(count, 10 * few, count) for count in (1, few // 10, few))
    yield Curve(
        "switch/regions",
        "regions in the VAS",
        "vas_switch looks at no region.",
        regions,
        config.vas_sync != "rfc",
    )
    attached = tuple(switched(count, 8, 1, count) for count in (1, vases // 100, vases))
    yield Curve("switch/attached", "VASes attached", "vas_switch finds its VAS at once.", attached)


_MAKERS: tuple[Callable[[Config, int, int, int], Iterator[Curve]], ...] = (
    _create,
    _attach,
    _switch,
)


def _point(x: int, watch: Stopwatch, first: int, end: int | None) -> Point:
    """The least time of some periods, and the counts of the last period."""
    counts = watch.counts[first:end][-1]
    priced = zip(counts, costs.TABLE, strict=True)
    cycles = sum(n * row.cycles for n, row in priced if row.name != "instruction")
    seconds = min(watch.seconds[first:end])
    return Point(x, counts[TABLE_ALLOCATE], counts[PTE_WRITE], cycles, seconds * 1e6)
