"""The view model: one moment of a trace, and how somebody looks at it.

A `Moment` is all that the panels know of the machine; a `View` adds what the user has chosen.
Panels are functions of a view and of nothing else.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import NamedTuple

from hw.paging import ADDRESS, PS, SHIFTS, P
from hw.panel.model.about import About
from hw.panel.model.answers import Pages, Variant
from hw.panel.model.history import History
from hw.panel.model.state import CoreNow, Edit, State
from hw.panel.model.tracks import Tracks
from hw.trace import Record

LOG_BEFORE, LOG_AFTER = 60, 30
LOOK_BACK = 300
"""How many records back to look for an address that the panels can follow."""


class Leaf(NamedTuple):
    """A page of a space: the physical address of its entry, the entry, and its level."""

    slot: int
    entry: int
    level: int


@dataclass(slots=True)
class Moment:
    """The trace at one position."""

    about: About
    state: State
    tracks: Tracks
    position: int
    total: int
    oldest: int
    """The first record that the history still has."""
    last: Record | None
    records: list[Record]
    """The records of the last step."""
    edits: list[Edit]
    """What the last step changed, one edit per key."""
    log: list[tuple[int, Record]]
    """Records for the log, around the position."""
    address: tuple[int, int] | None
    """(va, access bits of the error code) of the last access, for the walk to follow."""
    changed: dict[tuple[int, object], object] = field(default_factory=dict)
    """(shelf, key) -> the old value, of what the last step changed."""
    _leaves: dict[int, dict[int, Leaf]] = field(default_factory=dict)
    _sorted: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.changed = {(shelf, key): old for shelf, key, old, _ in self.edits}

    @property
    def core_id(self) -> int:
        return self.last.core if self.last else 0

    @property
    def core(self) -> CoreNow:
        return self.state.cores.get(self.core_id) or CoreNow()

    @property
    def cycles(self) -> int:
        return self.last.cycles if self.last else 0

    def gone(self, shelf: int) -> list[tuple[object, object]]:
        """(key, old value) of what the last step removed from a shelf."""
        return [(key, old) for at, key, old, new in self.edits if at == shelf and new is None]

    def leaves(self, root: int) -> dict[int, Leaf]:
        """The pages under the table at `root`, by page number."""
        if root not in self._leaves:
            found: dict[int, Leaf] = {}
            self._collect(root, 4, 0, found)
            self._leaves[root] = found
        return self._leaves[root]

    def _collect(self, table: int, level: int, base: int, found: dict[int, Leaf]) -> None:
        shift = SHIFTS[level] - 12
        for slot, entry in self.entries(table):
            if not entry & P:
                continue
            vpn = base | (slot - table >> 3) << shift
            if level == 1 or entry & PS:
                found[vpn] = Leaf(slot, entry, level)
            else:
                self._collect(entry & ADDRESS, level - 1, vpn, found)

    def entries(self, table: int) -> list[tuple[int, int]]:
        """(physical address, entry) of what a table holds, in order."""
        if table not in self._sorted:
            ptes = self.state.ptes
            slots = range(table, table + 4096, 8)
            self._sorted[table] = [(slot, ptes[slot]) for slot in slots if slot in ptes]
        return self._sorted[table]

    def tables(self) -> dict[int, tuple[int, list[int]]]:
        """Every page table: its level, and the spaces that use it."""
        found: dict[int, tuple[int, list[int]]] = {}

        def visit(table: int, level: int, space: int) -> None:
            _, spaces = found.setdefault(table, (level, []))
            if space not in spaces:
                spaces.append(space)
            if level > 1:
                for _, entry in self.entries(table):
                    if entry & P and not entry & PS:
                        visit(entry & ADDRESS, level - 1, space)

        for space, pml4 in sorted(self.state.spaces.items()):
            visit(pml4, 4, space)
        return found

    def threads_in(self, space: int) -> list[int]:
        """The threads that are in a space."""
        return [tid for tid, t in sorted(self.state.threads.items()) if t.space == space]

    def pcid_of(self, space: int) -> int | None:
        """The PCID of a space, if a core has it loaded."""
        for core in self.state.cores.values():
            if core.space == space and core.cr3:
                return core.cr3 & 0xFFF
        return None


def moment_of(history: History) -> Moment:
    """The moment at which a history stands."""
    records, edits = history.step()
    marks = history.tracks.marks["log"]
    at = bisect_left(marks, history.position)
    numbers = marks[max(0, at - LOG_BEFORE) : at + LOG_AFTER]
    return Moment(
        about=history.about,
        state=history.state,
        tracks=history.tracks,
        position=history.position,
        total=history.scanned,
        oldest=history.oldest,
        last=history.last,
        records=records,
        edits=edits,
        log=[(number, history.remembered(number)) for number in numbers],
        address=_address(history),
    )


def _address(history: History) -> tuple[int, int] | None:
    """The last access on the core that acted last."""
    last = history.last
    for number in range(
        history.position - 1, max(history.oldest - 1, history.position - LOOK_BACK), -1
    ):
        record = history.record(number)
        name = record.kind.name
        if last is None or record.core != last.core:
            continue
        if name == "fault":
            return record["page"], record["error"] & 0x12
        if name == "conflict":
            return record["start"], 0
        if name == "exception" and record["va"]:
            return record["va"], record["error"] & 0x12
        if name in ("tlb_miss", "tlb_fill"):
            write = 2 if name == "tlb_fill" and record["dirty"] and record["side"] else 0
            return record["vpn"] << 12, write if record["side"] else 16
        if name == "tlb_dirty":
            return record["vpn"] << 12, 2
        if name == "run":
            break
    return None


@dataclass(slots=True)
class Focus:
    """What the user looks at: an address in a space. With None, the panels follow the machine."""

    va: int | None = None
    space: int | None = None
    access: int = 0
    pa: int | None = None
    """A physical address that is looked at, instead of one in a space."""
    register: str = ""
    """The register whose value is the address in view, where it is known."""


@dataclass(slots=True)
class View:
    """A moment, and what the user has chosen."""

    moment: Moment
    mode: str = "REPLAY"
    focus: Focus = field(default_factory=Focus)
    chosen: str = "walk"
    zoomed: bool = False
    projector: bool = False
    marks: dict[str, int] = field(default_factory=dict)
    """Marker A and B -> position."""
    since: dict[tuple[int, object], object] = field(default_factory=dict)
    """(shelf, key) -> old value, of what has changed since marker A."""
    axis: str = "folded"
    """How the maps lay addresses out: folded, logarithmic or linear."""
    pinned: int | None = None
    """The space that stands first in the maps; all others are compared with it."""
    log_filter: str = ""
    """The log shows only lines that match this."""
    heat: dict[tuple[int, object], int] | None = None
    """While time runs fast: (shelf, key) -> how fresh its change is, 3 to 1. Nothing is outlined
    then: the outlines would flash."""
    span: tuple[int, int] | None = None
    """The records that the timeline shows; None for all."""
    message: str = ""
    said: str = ""
    """The sentence of the scene."""
    beside: str = ""
    """The panel beside the chosen one in projector mode; empty for the usual one."""
    source: str = ""
    """The name of the trace's file."""
    digest: str = ""
    level: int = 1
    """The level whose table is open beside the zoomed walk."""
    text_step: int = 0
    """How much larger than usual the text is, in pixels."""
    pages: Pages = field(default_factory=Pages)
    """What memory holds, as far as the machine has told."""
    variants: tuple[Variant, ...] = ()
    """What other TLBs would have missed, up to record `variants_place`."""
    variants_place: int = 0
    register: str = "rax"
    """The register that is chosen."""
    words: bool = False
    """Memory as words of 64 bits, and not as bytes."""

    @property
    def space(self) -> int:
        """The space in view."""
        if self.focus.space is not None and self.focus.space in self.moment.state.spaces:
            return self.focus.space
        return self.moment.core.space

    @property
    def va(self) -> int:
        """The address in view."""
        known = self.moment.state.registers.get(self.moment.core_id, {})
        if self.focus.register in known:
            return known[self.focus.register]
        if self.focus.va is not None:
            return self.focus.va
        if self.moment.address is not None:
            return self.moment.address[0]
        regions = self.moment.state.regions_of(self.space)
        return regions[0].start if regions else 0

    @property
    def access(self) -> int:
        """How the address in view was accessed, as bits of the error code."""
        if self.focus.va is not None or self.moment.address is None:
            return self.focus.access
        return self.moment.address[1]

    def is_new(self, shelf: int, key: object) -> bool:
        """True if the last step changed it."""
        return self.heat is None and (shelf, key) in self.moment.changed

    def is_recent(self, shelf: int, key: object) -> bool:
        """True if it has changed since marker A, or lately while time runs fast."""
        return (shelf, key) in self.since or self.heat_of(shelf, key) > 0

    def heat_of(self, shelf: int, key: object) -> int:
        """How fresh a change is while time runs fast: 3 to 1, and 0 where there was none."""
        return self.heat.get((shelf, key), 0) if self.heat else 0
