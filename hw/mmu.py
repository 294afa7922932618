"""The model MMU of one core: an instruction and a data TLB in front of the page walk.

The emulator asks here when it has no translation of its own.  What it caches is always a subset
of the two TLBs (`hw/shadow.py`): `on_shrink` is told which entries leave.  So the model does not
see every hit, but every miss, fill and eviction is exact.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from hw import costs, trace
from hw.memory import PAGE_MASK, PAGE_SIZE, PhysicalMemory
from hw.paging import ADDRESS, FETCH, NX, READ, D, G, PageFault, W, Words, page_frame, walk
from hw.tlb import GLOBAL, Entry, Tlb

COLD, CAPACITY, CONFLICT, FLUSHED, PERMISSION, DIRTY = range(6)
CAUSES = ("cold", "capacity", "conflict", "flushed", "permission", "dirty")
"""Why there was no usable entry.  cold: the page was never seen.  capacity: a full TLB evicted it.
conflict: its set was full, others had room.  flushed.  permission: the entry lacks the right.
dirty: the entry does not know that D is set."""

SIDES = ("I", "D")
CR3_NOFLUSH = 1 << 63
PCID_MASK = 0xFFF

TLB_MISS = trace.declare(
    "tlb_miss", "side:B cause:B vpn:Q pcid:H", "No usable entry: the tables are walked."
)
TLB_FILL = trace.declare(
    "tlb_fill",
    "side:B set:H way:H vpn:Q tag:H pfn:Q rights:Q dirty:B "
    "old_vpn:Q old_tag:H old_pfn:Q old_rights:Q old_dirty:B",
    "An entry was written into a way; old_* is what it replaced (all zero if the way was empty).",
)
TLB_DIRTY = trace.declare(
    "tlb_dirty", "set:H way:H vpn:Q", "A store set D; the entry knows it now."
)
TLB_FLUSH = trace.declare(
    "tlb_flush",
    "why:B pcid:H vpn:Q dropped:H entries:s",
    "Entries were dropped: why is 0 page, 1 PCID, 2 all, 3 CR3 write, 4 permission; `entries` "
    "holds side u8, set u16, way u16, vpn u64, tag u16, pfn u64, rights u64, dirty u8 for each.",
)
CR3_LOAD = trace.declare(
    "cr3_load", "old:Q new:Q", "CR3 was written; bit 63 of new: nothing was flushed."
)

ENTRY_LAYOUT = struct.Struct("<BHHQHQQB")
FLUSH_PAGE, FLUSH_PCID, FLUSH_ALL, FLUSH_CR3, FLUSH_PERMISSION = range(5)


@dataclass(slots=True)
class MmuState:
    """All that a core's MMU remembers: plain data, part of a checkpoint."""

    itlb: Tlb
    dtlb: Tlb
    pcid_enabled: bool
    cr3: int = 0
    pcid: int = 0
    misses: list[list[int]] = field(default_factory=lambda: [[0] * len(CAUSES) for _ in SIDES])
    roots: dict[int, int] = field(default_factory=dict)
    """The table root that each PCID was last used with."""
    departed: dict[int, list[dict[int, int]]] = field(default_factory=dict)
    """Per table root and side: why the entry of a page has left."""


class Mmu:
    """Translation for one core.

    `words` is physical memory.  `charge` bills a primitive.  `on_shrink` is told the entries that
    have left.
    """

    def __init__(
        self,
        state: MmuState,
        words: Words,
        charge: Callable[[int, int], None],
        on_shrink: Callable[[list[Entry]], None],
    ) -> None:
        self.state = state
        self.words = words
        self.charge = charge
        self.on_shrink = on_shrink
        self.trace: trace.Trace | None = None

    def translate(self, vpn: int, access: int) -> Entry:
        """A usable entry for this access, from the TLB or by a walk.  Raises `PageFault`."""
        found = self.hit(vpn, access)
        if found is not None:
            return found
        tlb = self.state.itlb if access == FETCH else self.state.dtlb
        entry = tlb.lookup(vpn, self.state.pcid)
        return self._upgrade(entry, access, tlb) if entry else self._miss(vpn, access, tlb)

    def hit(self, vpn: int, access: int) -> Entry | None:
        """A usable entry, if the TLB has one.  A hit changes no state of the machine."""
        state = self.state
        tlb = state.itlb if access == FETCH else state.dtlb
        entry = tlb.lookup(vpn, state.pcid)
        if entry is not None and (
            access == READ
            or (not entry.rights & NX if access == FETCH else entry.dirty and entry.rights & W)
        ):
            return entry
        return None

    def _miss(self, vpn: int, access: int, tlb: Tlb) -> Entry:
        """Walk the tables for a page that has no entry, and fill one."""
        state, side = self.state, int(access != FETCH)
        gone = state.departed.get(state.cr3)
        self._count(side, gone[side].get(vpn, COLD) if gone else COLD, vpn)
        va = vpn << 12
        leaf, level, rights = walk(self.words, state.cr3, va, access)
        self.charge(costs.WALK_STEP, 5 - level)
        pfn = (leaf & ADDRESS) >> 12 if level == 1 else page_frame(leaf, level, va)
        tag = GLOBAL if leaf & G else state.pcid
        entry = Entry(vpn, tag, pfn, rights=rights, dirty=leaf & D != 0, level=level)
        old = tlb.fill(entry)
        if old is not None:
            self._evicted(side, tlb, old)
        if self.trace:
            self._record_fill(side, entry, old)
        return entry

    def _upgrade(self, entry: Entry, access: int, tlb: Tlb) -> Entry:
        """The entry is there, but the tables decide: about D, or about a right."""
        side, vpn = int(access != FETCH), entry.vpn
        if access == FETCH or not entry.rights & W:
            # The tables decide, not the stale entry (SDM vol. 3A, 4.10.4.1).
            self._dropped(tlb.flush_page(vpn, self.state.pcid), side, FLUSH_PERMISSION, vpn)
            self._departed(side, entry.tag)[vpn] = PERMISSION
            return self._miss(vpn, access, tlb)
        self._count(side, DIRTY, vpn)
        _, level, _ = walk(self.words, self.state.cr3, vpn << 12, access)
        self.charge(costs.WALK_STEP, 5 - level)
        entry.dirty = True
        if self.trace:
            self.trace.emit(TLB_DIRTY, entry.set_index, entry.way, vpn)
        return entry

    def _count(self, side: int, cause: int, vpn: int) -> None:
        self.state.misses[side][cause] += 1
        if self.trace:
            self.trace.emit(TLB_MISS, side, cause, vpn, self.state.pcid)

    def _evicted(self, side: int, tlb: Tlb, old: Entry) -> None:
        full = len(tlb.index) == tlb.sets * tlb.ways
        self._departed(side, old.tag)[old.vpn] = CAPACITY if full else CONFLICT
        self.on_shrink([old])

    def _record_fill(self, side: int, new: Entry, old: Entry | None) -> None:
        assert self.trace is not None
        was = (old.vpn, old.tag, old.pfn, old.rights, old.dirty) if old else (0, 0, 0, 0, 0)
        now = (new.vpn, new.tag, new.pfn, new.rights, new.dirty)
        self.trace.emit(TLB_FILL, side, new.set_index, new.way, *now, *was)

    def _departed(self, side: int, tag: int) -> dict[int, int]:
        root = self.state.roots.get(tag, self.state.cr3)
        gone = self.state.departed.get(root)
        if gone is None:
            gone = self.state.departed[root] = [{}, {}]
        return gone[side]

    # Invalidation -------------------------------------------------------------------------

    def load_cr3(self, value: int) -> None:
        """MOV to CR3 (SDM vol. 3A, 4.10.4.1): table root, PCID in bits 11..0, bit 63 = no flush."""
        state = self.state
        old = state.cr3 | state.pcid
        pcid = value & PCID_MASK if state.pcid_enabled else 0
        keep = state.pcid_enabled and value & CR3_NOFLUSH
        if self.trace:
            self.trace.emit(CR3_LOAD, old, value)
        if not keep:
            self._flush(FLUSH_CR3, pcid, 0, lambda tlb: tlb.flush_pcid(pcid))
        state.cr3, state.pcid = value & ADDRESS, pcid
        state.roots[pcid] = state.cr3

    def invlpg(self, va: int, pcid: int) -> None:
        """Drop one page of `pcid` (INVLPG for the current one, INVPCID type 0 for another)."""
        self._flush(FLUSH_PAGE, pcid, va >> 12, lambda tlb: tlb.flush_page(va >> 12, pcid))

    def flush_pcid(self, pcid: int) -> None:
        """INVPCID type 1: drop all of one PCID, but not global entries."""
        self._flush(FLUSH_PCID, pcid, 0, lambda tlb: tlb.flush_pcid(pcid))

    def flush_all(self) -> None:
        """INVPCID type 2: drop everything."""
        self._flush(FLUSH_ALL, 0, 0, Tlb.flush_all)

    def forget(self, cr3: int) -> None:
        """The tables at `cr3` are gone: a later space at this address starts with cold misses."""
        self.state.departed.pop(cr3, None)

    def _flush(self, why: int, pcid: int, vpn: int, drop: Callable[[Tlb], list[Entry]]) -> None:
        for side, tlb in enumerate((self.state.itlb, self.state.dtlb)):
            self._dropped(drop(tlb), side, why, vpn, pcid)

    def _dropped(self, gone: list[Entry], side: int, why: int, vpn: int, pcid: int = 0) -> None:
        if not gone:
            return
        for entry in gone:
            self._departed(side, entry.tag)[entry.vpn] = FLUSHED
        self.on_shrink(gone)
        if self.trace:
            entries = b"".join(_pack_entry(side, entry) for entry in gone)
            self.trace.emit(TLB_FLUSH, why, pcid, vpn, len(gone), entries)


def _pack_entry(side: int, entry: Entry) -> bytes:
    fields = (side, entry.set_index, entry.way, entry.vpn, entry.tag, entry.pfn)
    return ENTRY_LAYOUT.pack(*fields, entry.rights, entry.dirty)


def peek(memory: PhysicalMemory, cr3: int, va: int, size_bytes: int, access: int) -> bytes:
    """At most `size_bytes` at `va`: as much as the tables allow for this kind of access."""
    data = b""
    while len(data) < size_bytes:
        at = va + len(data)
        try:
            leaf, level, _ = walk(memory.words, cr3, at, access)
        except PageFault:
            break
        room = min(size_bytes - len(data), PAGE_SIZE - (at & PAGE_MASK))
        data += memory.read(page_frame(leaf, level, at) << 12 | at & PAGE_MASK, room)
    return data
