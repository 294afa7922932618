"""A second pair of TLBs, fed by hooks on every instruction, load and store.

The emulator reports only misses to the machine's own TLBs.  This pair sees every single access.
So it does not matter what the emulator keeps in its own cache: if both pairs see the same misses
and evictions, the machine's TLBs are exact.

This pair sees an invalidation when the kernel asks for it, even if the machine fails to do it.
CR3 loads come from the trace, page faults from the vector, before the kernel answers.  Hooks on
memory report physical addresses, which are mapped back through the page tables.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from unicorn.unicorn_const import (
    UC_HOOK_CODE,
    UC_HOOK_MEM_READ,
    UC_HOOK_MEM_WRITE,
    UC_MEM_WRITE,
)

from hw.cpu import Core, Vectors
from hw.mmu import CAUSES
from hw.paging import ADDRESS, ERR_FETCH, D, G, P, W
from hw.trace import Kind

GLOBAL_TAG = 1 << 12
NO_FLUSH = 1 << 63
CODE_SIDE, DATA_SIDE = 0, 1

Event = tuple[object, ...]
"""("miss", vpn, pcid, cause), or ("fill", vpn, set, way, victim's vpn and tag or None)."""

COLD, CAPACITY, CONFLICT, FLUSHED = "cold", "capacity", "conflict", "flushed"
PERMISSION, DIRTY = "permission", "dirty"


@dataclass(eq=False)
class Line:
    vpn: int
    tag: int
    writable: bool
    dirty: bool
    way: int
    root: int
    """The tables that it was read from."""


@dataclass
class Side:
    """One TLB: for each set its lines, the oldest first."""

    sets: int
    ways: int
    lines: list[list[Line]] = field(init=False)
    events: list[Event] = field(default_factory=list)
    seen: list[Event] = field(default_factory=list)
    """What the machine's TLB did, from the trace."""
    root: int = 0
    """The tables in use."""
    left: dict[tuple[int, int], str] = field(default_factory=dict)
    """Why the last entry of a page has left, by (tables, vpn)."""

    def __post_init__(self) -> None:
        self.lines = [[] for _ in range(self.sets)]

    def find(self, vpn: int, pcid: int) -> Line | None:
        for line in self.lines[vpn % self.sets]:
            if line.vpn == vpn and line.tag in (pcid, GLOBAL_TAG):
                return line
        return None

    def miss(self, vpn: int, pcid: int, cause: str = "") -> None:
        cause = cause or self.left.get((self.root, vpn), COLD)
        self.events.append(("miss", vpn, pcid, cause))

    def leaves(self, line: Line, cause: str) -> None:
        """A global entry belongs to no tables: those in use miss it."""
        root = self.root if line.tag == GLOBAL_TAG else line.root
        self.left[root, line.vpn] = cause

    def drop(self, doomed: Callable[[Line], bool], cause: str) -> None:
        for line in [line for lines in self.lines for line in lines if doomed(line)]:
            self.leaves(line, cause)
        self.lines = [[line for line in lines if not doomed(line)] for lines in self.lines]

    def fill(self, vpn: int, tag: int, leaf: int, *, dirty: bool) -> None:
        lines, victim = self.lines[vpn % self.sets], None
        if len(lines) == self.ways:
            full = sum(map(len, self.lines)) == self.sets * self.ways
            oldest = lines.pop(0)
            victim = (oldest.vpn, oldest.tag)
            self.leaves(oldest, CAPACITY if full else CONFLICT)
        way = min(set(range(self.ways)) - {line.way for line in lines})
        lines.append(Line(vpn, tag, bool(leaf & W), dirty, way, self.root))
        self.events.append(("fill", vpn, vpn % self.sets, way, victim))


class Heard:
    """The vectors of a core, where the reference hears of a page fault first."""

    def __init__(self, vectors: Vectors, reference: Reference) -> None:
        self.vectors, self.reference = vectors, reference
        self.syscall, self.exception = vectors.syscall, vectors.exception

    def page_fault(self, core: Core, page: int, error: int) -> int:
        self.reference.fault(page, error)
        try:
            return self.vectors.page_fault(core, page, error)
        finally:
            self.reference.answered()


class Reference:
    """Watches one core; make it before the first instruction runs.

    When several pages of a space show one frame, `belongs(va)` tells which of them is meant.
    """

    def __init__(self, core: Core, belongs: Callable[[int], bool] = lambda va: True) -> None:
        self.core = core
        self.words = core.memory.words
        self.belongs = belongs
        state = core.state.mmu
        self.sides = (
            Side(state.itlb.sets, state.itlb.ways),
            Side(state.dtlb.sets, state.dtlb.ways),
        )
        self.pcid = state.pcid
        self._walk_from(state.cr3)
        self.instructions = 0
        self.steps = 0
        """The entries that walks have read; a walk that faults has no price."""
        self.failure: BaseException | None = None
        self._pages: dict[int, list[int]] = {}
        engine = core.engine
        engine.uc.hook_add(UC_HOOK_CODE, self._guarded(self._on_code))
        engine.uc.hook_add(UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, self._guarded(self._on_memory))
        engine.flush_code()
        self._listen()

    def _listen(self) -> None:
        """To what the machine is asked to drop."""
        mmu = self.core.mmu
        invlpg, flush_pcid, forget = mmu.invlpg, mmu.flush_pcid, mmu.forget

        def on_invlpg(va: int, pcid: int) -> None:
            self._drop(lambda line: line.vpn == va >> 12 and line.tag in (pcid, GLOBAL_TAG))
            invlpg(va, pcid)

        def on_flush_pcid(pcid: int) -> None:
            self._drop(lambda line: line.tag == pcid)
            flush_pcid(pcid)

        def on_forget(cr3: int) -> None:
            for side in self.sides:
                side.left = {page: why for page, why in side.left.items() if page[0] != cr3}
            forget(cr3)

        mmu.invlpg, mmu.flush_pcid = on_invlpg, on_flush_pcid  # type: ignore[method-assign]
        mmu.forget = on_forget  # type: ignore[method-assign]
        self.core.vectors = Heard(self.core.vectors, self)

    def differences(self) -> list[tuple[int, int, list[Event], list[Event]]]:
        """For each TLB that differs: its number, and both histories around the first difference."""
        if self.failure is not None:
            raise self.failure
        found = []
        for number, side in enumerate(self.sides):
            if side.events != side.seen:
                pairs = zip(side.events, side.seen, strict=False)
                shorter = min(len(side.events), len(side.seen))
                first = next((i for i, (a, b) in enumerate(pairs) if a != b), shorter)
                window = slice(max(0, first - 3), first + 3)
                found.append((number, first, side.events[window], side.seen[window]))
        return found

    def _guarded(self, hook: Callable[..., None]) -> Callable[..., None]:
        """Keep what a hook raises.  The emulator would lose it and stop the guest repeatedly."""

        def guarded(*arguments: Any) -> None:
            if self.failure is None:
                try:
                    hook(*arguments)
                except BaseException as failure:
                    self.failure = failure
                    self.core.abort()

        return guarded

    # From the trace -----------------------------------------------------------------------------

    def observe(self, kind: Kind, values: tuple[Any, ...]) -> None:
        """One record of this core."""
        row = dict(zip(kind.fields, values, strict=True))
        if kind.name == "tlb_miss":
            told = (row["vpn"], row["pcid"], CAUSES[row["cause"]])
            self.sides[row["side"]].seen.append(("miss", *told))
        elif kind.name == "tlb_fill":
            old = (row["old_vpn"], row["old_tag"])
            victim = old if row["old_pfn"] else None
            place = (row["vpn"], row["set"], row["way"])
            self.sides[row["side"]].seen.append(("fill", *place, victim))
        elif kind.name == "cr3_load":
            self._load(row["new"])
        elif kind.name == "pte":
            self._pages.clear()

    def _load(self, value: int) -> None:
        tagged = self.core.state.mmu.pcid_enabled
        pcid = value & 0xFFF if tagged else 0
        if not (tagged and value & NO_FLUSH):
            self._drop(lambda line: line.tag == pcid)
        self.pcid = pcid
        self._walk_from(value & ADDRESS)
        self._pages.clear()

    def _walk_from(self, root: int) -> None:
        self.root = root
        for side in self.sides:
            side.root = root

    def _drop(self, doomed: Callable[[Line], bool]) -> None:
        for side in self.sides:
            side.drop(doomed, FLUSHED)

    def fault(self, page: int, error: int) -> None:
        """A walk failed.  It counts as a miss and drops the entry that refused the access.

        The emulator looks code up when a block begins, which may be on the page before.
        """
        vpn = page >> 12
        if error & ERR_FETCH:
            begin = self.core.engine.rip() >> 12
            if begin != vpn:
                self._use(CODE_SIDE, begin)
        side = self.sides[CODE_SIDE if error & ERR_FETCH else DATA_SIDE]
        side.drop(lambda line: line.vpn == vpn and line.tag in (self.pcid, GLOBAL_TAG), PERMISSION)
        side.miss(vpn, self.pcid)

    def answered(self) -> None:
        """The tables may show other pages now."""
        self._pages.clear()

    # From the hooks -----------------------------------------------------------------------------

    def _on_code(self, _uc: object, va: int, size_bytes: int, _: object) -> None:
        self.instructions += 1
        self._use(CODE_SIDE, va >> 12)
        if va >> 12 != va + size_bytes - 1 >> 12:
            self._use(CODE_SIDE, (va >> 12) + 1)

    def _on_memory(
        self, _uc: object, access: int, pa: int, size_bytes: int, _value: int, _: object
    ) -> None:
        first, write = self._page_of(pa), access == UC_MEM_WRITE
        pages = [first, first + 1] if (pa & 0xFFF) + size_bytes > 4096 else [first]
        if write and len(pages) == 2:
            pages *= 2  # a store checks both pages, and then stores byte by byte
        for vpn in pages:
            self._use(DATA_SIDE, vpn, write=write)

    def _page_of(self, pa: int) -> int:
        if not self._pages:
            self._list_pages(self.root, 4, 0)
        pages = self._pages[pa >> 12]
        if len(pages) > 1:
            pages = [vpn for vpn in pages if self.belongs(vpn << 12 | pa & 0xFFF)]
        assert len(pages) == 1, f"the frame of {pa:#x} is at {[hex(vpn) for vpn in pages]}"
        return pages[0]

    def _list_pages(self, table: int, level: int, above: int) -> None:
        for index, entry in enumerate(self.words[table >> 3 : (table >> 3) + 512].tolist()):
            if entry & P and level > 1:
                self._list_pages(entry & ADDRESS, level - 1, above << 9 | index)
            elif entry & P:
                self._pages.setdefault((entry & ADDRESS) >> 12, []).append(above << 9 | index)

    def _use(self, number: int, vpn: int, *, write: bool = False) -> None:
        side = self.sides[number]
        line = side.find(vpn, self.pcid)
        if line is not None and (line.dirty or not write):
            return
        if line is not None and line.writable:
            side.miss(vpn, self.pcid, DIRTY)
            self._leaf(vpn)
            line.dirty = True
            return
        side.drop(lambda other: other is line, PERMISSION)
        side.miss(vpn, self.pcid)
        leaf = self._leaf(vpn)
        tag = GLOBAL_TAG if leaf & G else self.pcid
        side.fill(vpn, tag, leaf, dirty=write or bool(leaf & D))

    def _leaf(self, vpn: int) -> int:
        table = self.root
        for shift in (27, 18, 9, 0):
            entry = self.words[(table >> 3) + (vpn >> shift & 511)]
            assert entry & P, f"an access to {vpn:#x}000 went through, which has no page"
            table = entry & ADDRESS
            self.steps += 1
        return entry
