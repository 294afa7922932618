"""A translation lookaside buffer: set-associative, FIFO, tagged with PCIDs.

SDM vol. 3A, 4.10.  An entry belongs to one process-context identifier unless it is global.
Large pages are held as 4 KiB pieces, which 4.10.2.3 allows; `flush_page` drops every piece.

FIFO and not LRU, because a hit then changes nothing: the emulator answers hits on its own, and
the contents here stay exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field

GLOBAL = 1 << 12
"""The tag of a global entry; real PCIDs have 12 bits and stay below it."""

TAG_BITS = 13


@dataclass(slots=True)
class Entry:
    """One cached translation of a 4 KiB page (or of a 4 KiB piece of a large page)."""

    vpn: int
    tag: int  # the PCID, or GLOBAL
    pfn: int
    rights: int  # effective W, U and NX of the walk, as paging bits
    dirty: bool  # the leaf's D bit is known to be set: stores need no walk
    level: int  # 1, 2 or 3: the size of the page it is a piece of
    set_index: int = 0
    way: int = 0
    key: int = 0  # vpn << TAG_BITS | tag: set when it is filled in


@dataclass(slots=True)
class Tlb:
    """`sets` x `ways` entries.  The set of a page is `vpn % sets`."""

    sets: int
    ways: int
    slots: list[list[Entry | None]] = field(init=False)
    ages: list[list[int]] = field(init=False)
    """For each set, the ways in use, oldest first."""
    index: dict[int, Entry] = field(default_factory=dict)
    """Every resident entry by `vpn << 13 | tag`, so that a look-up costs one hash."""
    large: int = 0
    """How many of them are pieces of large pages."""

    def __post_init__(self) -> None:
        if self.sets < 1 or self.ways < 1:
            raise ValueError(
                f"a TLB needs at least one set and one way, not {self.sets}x{self.ways}"
            )
        self.slots = [[None] * self.ways for _ in range(self.sets)]
        self.ages = [[] for _ in range(self.sets)]

    def __len__(self) -> int:
        return len(self.index)

    def lookup(self, vpn: int, pcid: int) -> Entry | None:
        """The entry for `vpn` under `pcid`, or a global one; None on a miss."""
        # BEGIN SOLUTION lab2.lookup
        key = vpn << TAG_BITS
        return self.index.get(key | pcid) or self.index.get(key | GLOBAL)
        # END SOLUTION lab2.lookup
        # PROMPT lab2.lookup: find the entry with this page number and this tag, or a global one.

    def fill(self, entry: Entry) -> Entry | None:
        """Insert `entry` in its set, at an empty way or in place of the oldest.

        Returns the entry that had to go.  The caller has seen a miss: no entry with this key
        is resident.
        """
        # BEGIN SOLUTION lab2.fill
        set_index = entry.vpn % self.sets
        ways, ages = self.slots[set_index], self.ages[set_index]
        victim = None
        if len(ages) < self.ways:
            way = ways.index(None)
        else:
            way = ages.pop(0)
            victim = ways[way]
            assert victim is not None
            del self.index[victim.key]
            self.large -= victim.level > 1
        ages.append(way)
        entry.set_index, entry.way = set_index, way
        entry.key = entry.vpn << TAG_BITS | entry.tag
        ways[way] = self.index[entry.key] = entry
        self.large += entry.level > 1
        return victim
        # END SOLUTION lab2.fill
        # PROMPT lab2.fill: choose an empty way or evict the oldest, then insert the entry.

    def flush_page(self, vpn: int, pcid: int) -> list[Entry]:
        """INVLPG: drop the page of `vpn` under `pcid`, and global entries for it.

        Returns what went.
        """
        # BEGIN SOLUTION lab2.flush_page
        if self.large:
            mine = [entry for entry in self.index.values() if entry.tag in (pcid, GLOBAL)]
            return self._drop([entry for entry in mine if _same_page(entry, vpn)])
        key = vpn << TAG_BITS
        found = (self.index.get(key | pcid), self.index.get(key | GLOBAL))
        return self._drop([entry for entry in found if entry is not None])
        # END SOLUTION lab2.flush_page
        # PROMPT lab2.flush_page: drop this page's entries, every piece of a large page too.

    def flush_pcid(self, pcid: int) -> list[Entry]:
        """A CR3 write without bit 63, or INVPCID type 1: drop what `pcid` tags, keep globals."""
        # BEGIN SOLUTION lab2.flush_pcid
        return self._drop([entry for entry in self.index.values() if entry.tag == pcid])
        # END SOLUTION lab2.flush_pcid
        # PROMPT lab2.flush_pcid: drop every entry with this tag, and nothing else.

    def flush_all(self) -> list[Entry]:
        """INVPCID type 2: drop everything, global entries included."""
        return self._drop(list(self.index.values()))

    def _drop(self, gone: list[Entry]) -> list[Entry]:
        for entry in gone:
            self.slots[entry.set_index][entry.way] = None
            self.ages[entry.set_index].remove(entry.way)
            del self.index[entry.key]
            self.large -= entry.level > 1
        return gone


def _same_page(entry: Entry, vpn: int) -> bool:
    shift = 9 * (entry.level - 1)
    return entry.vpn >> shift == vpn >> shift
