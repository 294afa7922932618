"""What the records say so far: the panel's model of the machine.

The state is a row of shelves: dictionaries with immutable values. A record means a list of edits
`(shelf, key, old, new)`, with None for "not there". Edits apply forwards and backwards, add up to a
net change, and tell a panel what the last step changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

FRAMES, PTES, SPACES, REGIONS, THREADS, CORES, TLB, COUNTS, CALLS = range(9)
VASES, VIEWS, REGISTERS, MEMORY = range(9, 13)
SHELVES = MEMORY + 1

Edit = tuple[int, Any, Any, Any]


class Frame(NamedTuple):
    """A frame in use: how many hold it, and the kind of its holder."""

    refs: int
    owner: int


class Region(NamedTuple):
    """Pages `start`..`end` of a space show `object` from its page `page` on."""

    space: int
    start: int
    end: int
    prot: int
    shared: int
    object: int
    page: int
    name: str

    @property
    def pages(self) -> int:
        return (self.end - self.start) >> 12


class Thread(NamedTuple):
    """A thread; `doing` is what it was last seen doing, in words."""

    tid: int
    pid: int
    parent: int
    space: int
    name: str
    doing: str


class CoreNow(NamedTuple):
    """A core: the thread on it, the value of CR3 (with the PCID in bits 11..0), and where user code
    was last seen. `switch` is the kind of its last switch."""

    tid: int = 0
    space: int = 0
    cr3: int = 0
    cycles: int = 0
    rip: int = 0
    switch: int = 0


class TlbEntry(NamedTuple):
    """One entry of a TLB; `born` is the number of the record that filled it."""

    vpn: int
    tag: int
    pfn: int
    rights: int
    dirty: int
    born: int


class Call(NamedTuple):
    """The last system call of a thread: the registers of its arguments, and its result."""

    number: int
    registers: tuple[int, ...]
    result: int
    rip: int


class Vas(NamedTuple):
    """A VAS: `space` holds what is its own."""

    vid: int
    space: int
    name: str


class Attachment(NamedTuple):
    """A view: a space in which a process's own space and a VAS are seen together."""

    home: int
    vid: int
    kind: int


class State:
    """The shelves, by name. Their keys: frames by pfn; table entries by physical address; spaces by
    number (the value is their PML4); regions by (space, start); threads and last calls by tid;
    cores by number; TLB entries by (core, side, set, way); counts by a tuple that begins with a
    word; VASes by number; views by their space. Where a core is stepped, registers by core, and the
    contents of frames by pfn."""

    __slots__ = ("copied_views", "shelves")

    def __init__(
        self, shelves: list[dict[Any, Any]] | None = None, *, copied_views: bool = False
    ) -> None:
        self.shelves = shelves or [{} for _ in range(SHELVES)]
        self.copied_views = copied_views
        """A view has copies of all regions that it shows, as in the RFC."""

    @property
    def frames(self) -> dict[int, Frame]:
        return self.shelves[FRAMES]

    @property
    def ptes(self) -> dict[int, int]:
        return self.shelves[PTES]

    @property
    def spaces(self) -> dict[int, int]:
        return self.shelves[SPACES]

    @property
    def regions(self) -> dict[tuple[int, int], Region]:
        return self.shelves[REGIONS]

    @property
    def threads(self) -> dict[int, Thread]:
        return self.shelves[THREADS]

    @property
    def cores(self) -> dict[int, CoreNow]:
        return self.shelves[CORES]

    @property
    def tlb(self) -> dict[tuple[int, int, int, int], TlbEntry]:
        return self.shelves[TLB]

    @property
    def counts(self) -> dict[tuple[Any, ...], int]:
        return self.shelves[COUNTS]

    @property
    def calls(self) -> dict[int, Call]:
        return self.shelves[CALLS]

    @property
    def vases(self) -> dict[int, Vas]:
        return self.shelves[VASES]

    @property
    def views(self) -> dict[int, Attachment]:
        return self.shelves[VIEWS]

    @property
    def registers(self) -> dict[int, dict[str, int]]:
        return self.shelves[REGISTERS]

    @property
    def memory(self) -> dict[int, bytes]:
        return self.shelves[MEMORY]

    def layers(self, space: int) -> tuple[int, ...]:
        """The spaces whose regions are seen in `space`. A view shows those of its process and its
        VAS."""
        view = self.views.get(space)
        if view is None or self.copied_views:
            return (space,)
        vas = self.vases.get(view.vid)
        return (space, view.home, vas.space) if vas else (space, view.home)

    def regions_of(self, space: int) -> list[Region]:
        """The regions that are seen in a space, in address order."""
        layers = self.layers(space)
        seen = [region for region in self.regions.values() if region.space in layers]
        return sorted(seen, key=lambda region: (region.start, region.space))

    def region_at(self, space: int, va: int) -> Region | None:
        """The region that holds `va` in `space`."""
        layers = self.layers(space)
        for region in self.regions.values():
            if region.start <= va < region.end and region.space in layers:
                return region
        return None

    def redo(self, edits: Iterable[Edit]) -> None:
        """Apply edits."""
        for shelf, key, _, new in edits:
            _put(self.shelves[shelf], key, new)

    def undo(self, edits: list[Edit]) -> None:
        """Undo edits, the last one first."""
        for shelf, key, old, _ in reversed(edits):
            _put(self.shelves[shelf], key, old)

    def copy(self) -> State:
        """Another state with the same contents; values are immutable and shared."""
        return State([dict(shelf) for shelf in self.shelves], copied_views=self.copied_views)


def net(edits: Iterable[Edit]) -> list[Edit]:
    """The same change in one edit per key."""
    first: dict[tuple[int, Any], Any] = {}
    last: dict[tuple[int, Any], Any] = {}
    for shelf, key, old, new in edits:
        first.setdefault((shelf, key), old)
        last[shelf, key] = new
    return [
        (shelf, key, old, last[shelf, key])
        for (shelf, key), old in first.items()
        if old != last[shelf, key]
    ]


def _put(shelf: dict[Any, Any], key: Any, value: Any) -> None:
    if value is None:
        shelf.pop(key, None)
    else:
        shelf[key] = value
