"""Page tables: the words in physical memory that the walker reads.

One `PageTable` is the tree under one PML4.  Tables are frames: the kernel allocates one when it
first needs it, and frees it when its last entry goes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from hw import costs, trace
from hw.memory import WORDS_PER_PAGE
from hw.paging import ADDRESS, NX, P, U, W
from kernel.mm.frames import TABLE, Account, Frames

PTE = trace.declare(
    "pte", "pml4:Q table:Q index:H level:B old:Q new:Q", "A page-table entry was written."
)

TABLE_FLAGS = P | W | U
"""Upper entries allow everything; the leaf decides."""

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4

LEAVES = -1
"""The key of all tables of leaves together; `span` is the key of one table."""


class Watcher(Protocol):
    """Who hears of the entries that are written into a table."""

    def write(self, va: int, level: int, old: int, entry: int) -> None:
        """The entry for `va` in the table of this level was `old` and is `entry` now."""


NOBODY: dict[int, Watcher] = {}


def leaf_flags(prot: int, *, writable: bool) -> int:
    """The flags of a user leaf for `prot`; `writable` is False where a store must fault first."""
    flags = P | U
    if writable and prot & PROT_WRITE:
        flags |= W
    if not prot & PROT_EXEC:
        flags |= NX
    return flags


@dataclass(slots=True, eq=False)
class PageTable:
    """The tree under `root_pfn`.  `used[pfn]` counts the present entries of each of its tables."""

    frames: Frames
    root_pfn: int = field(init=False)
    used: dict[int, int] = field(default_factory=dict)
    span: int = -1
    """The 2 MiB span that was last looked up, and the word index of its table."""
    leaves: int = 0
    peak: int = 0
    """How many leaves are present, and the most that were when one was taken out."""
    span_slot: int = 0
    watchers: dict[int, dict[int, Watcher]] = field(default_factory=dict)
    """Who hears of what is written here: by `span` of the table or `LEAVES`, and by id of the
    view."""
    account: Account | None = None
    """Who pays for the tables, if anybody."""

    def __post_init__(self) -> None:
        self.root_pfn = self._new_table()

    @property
    def root_pa(self) -> int:
        """The physical address of the PML4, for CR3."""
        return self.root_pfn << 12

    def lookup(self, va: int) -> int:
        """The leaf entry for `va`, or 0."""
        slot = self._slot(va)
        return self.frames.machine.memory.words[slot] if slot is not None else 0

    def word(self, va: int, level: int) -> int:
        """The entry for `va` in the table of this level, or 0 where there is no such table."""
        path = self._path(va)
        return self.frames.machine.memory.words[path[4 - level]] if len(path) > 4 - level else 0

    def set(self, va: int, entry: int) -> int:
        """Write the leaf entry for `va` (not 0), and make the tables that it needs.

        Returns the old entry.  Raises ENOMEM; then empty tables may be all that has changed.
        """
        if va >> 21 != self.span:
            self.span_slot = self._make_tables(va)
            self.span = va >> 21
        return self._write(va, self.span_slot + (va >> 12 & 511), 1, entry)

    def _make_tables(self, va: int) -> int:
        """The word index of the lowest table for `va`."""
        words = self.frames.machine.memory.words
        table = self.root_pfn
        for level, shift in ((4, 39), (3, 30), (2, 21)):
            slot = table * WORDS_PER_PAGE + (va >> shift & 511)
            below = words[slot]
            if not below & P:
                below = self._new_table() << 12 | TABLE_FLAGS
                self._write(va, slot, level, below)
            table = (below & ADDRESS) >> 12
        return table * WORDS_PER_PAGE

    def clear(self, va: int) -> int:
        """Remove the leaf for `va`, and tables that become empty; returns the old entry."""
        path = self._path(va)
        if len(path) < 4 or not self.frames.machine.memory.words[path[-1]] & P:
            return 0
        old = self._write(va, path[-1], 1, 0)
        self._prune(va, path)
        return old

    def change(self, va: int, entry: int) -> None:
        """Rewrite a leaf that is present."""
        slot = self._slot(va)
        assert slot is not None
        self._write(va, slot, 1, entry)

    def entries(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Every present leaf of a range as (va, entry); skips what has no tables."""
        words = self.frames.machine.memory.words
        va = start
        while va < end:
            path = self._path(va)
            if len(path) < 4:
                span = 1 << (39, 30, 21)[len(path) - 1]
                va = (va // span + 1) * span
                continue
            stop = min(end, (va >> 21) + 1 << 21)
            first = path[-1]
            for i, entry in enumerate(words[first : first + (stop - va >> 12)].tolist()):
                if entry & P:
                    yield va + (i << 12), entry
            va = stop

    def clear_range(self, start: int, end: int) -> list[int]:
        """Remove every leaf of a range; returns the addresses that had one."""
        gone = [va for va, _ in self.entries(start, end)]
        for va in gone:
            self.clear(va)
        return gone

    def free(self) -> None:
        """Give every table back.  No core may have them loaded."""
        for pfn in self.used:
            self._free_table(pfn)
        self.used.clear()

    def _path(self, va: int) -> list[int]:
        """The word index of the entry at each level, as far as there are tables."""
        words = self.frames.machine.memory.words
        table, path = self.root_pfn, []
        for shift in (39, 30, 21):
            slot = table * WORDS_PER_PAGE + (va >> shift & 511)
            path.append(slot)
            if not words[slot] & P:
                return path
            table = (words[slot] & ADDRESS) >> 12
        path.append(table * WORDS_PER_PAGE + (va >> 12 & 511))
        return path

    def _slot(self, va: int) -> int | None:
        if va >> 21 != self.span:
            path = self._path(va)
            if len(path) < 4:
                return None
            self.span, self.span_slot = va >> 21, path[3] & ~511
        return self.span_slot + (va >> 12 & 511)

    def _prune(self, va: int, path: list[int]) -> None:
        for level in (1, 2, 3):
            table = path[4 - level] // WORDS_PER_PAGE
            if self.used[table]:
                return
            del self.used[table]
            self._write(va, path[3 - level], level + 1, 0)
            self._free_table(table)

    def _new_table(self) -> int:
        if self.account:
            self.account.admit()
        pfn = self.frames.allocate(TABLE)
        if self.account:
            self.account.charged += 1
        self.frames.machine.charge(costs.TABLE_ALLOCATE)
        self.used[pfn] = 0
        return pfn

    def _free_table(self, pfn: int) -> None:
        self.frames.release(pfn)
        if self.account:
            self.account.charged -= 1

    def _write(self, va: int, slot: int, level: int, entry: int) -> int:
        machine = self.frames.machine
        old = machine.memory.words[slot]
        machine.memory.words[slot] = entry
        if level > 1:
            self.span = -1
        table = slot // WORDS_PER_PAGE
        more = (entry & P) - (old & P)
        if more:
            self.used[table] += more
            if level == 1:
                if more < 0 and self.leaves > self.peak:
                    self.peak = self.leaves
                self.leaves += more
        if level == 1 and entry & P:
            if not entry & NX:
                machine.memory.executable((entry & ADDRESS) >> 12)
            elif entry & W and machine.memory.on_silicon:
                machine.memory.writable((entry & ADDRESS) >> 12)
        machine.core.charge(costs.PTE_WRITE)
        if machine.trace:
            machine.trace.emit(
                PTE, self.root_pa, table << 12, slot % WORDS_PER_PAGE, level, old, entry
            )
        if self.watchers:
            self._tell(va, level, old, entry)
        return old

    # Figures ----------------------------------------------------------------------------

    @property
    def most_leaves(self) -> int:
        """The most leaves that ever were present at once."""
        return max(self.peak, self.leaves)

    # Watchers -----------------------------------------------------------------------------

    def _tell(self, va: int, level: int, old: int, entry: int) -> None:
        for watcher in self.watchers.get(span(level, va), NOBODY).values():
            watcher.write(va, level, old, entry)
        if level == 1:
            for watcher in self.watchers.get(LEAVES, NOBODY).values():
                watcher.write(va, level, old, entry)

    def watch(self, key: int, view: int, watcher: Watcher) -> None:
        """From now on the view hears of what is written into the tables of this key."""
        self.watchers.setdefault(key, {})[view] = watcher

    def unwatch(self, key: int, view: int) -> None:
        """Undo `watch`."""
        watchers = self.watchers[key]
        del watchers[view]
        if not watchers:
            del self.watchers[key]


def span(level: int, va: int) -> int:
    """A key for the table of `level` that translates `va`."""
    return va >> 9 * level + 12 << 3 | level
