"""The page tables of views: shared subtrees.

An entry of a view (policy `subtree`) points to a layer's own table, at the highest level whose
whole span belongs to that layer.  The view sees at once what is mapped there later, at no cost.
Where two layers have regions in one span, the view has a table of its own for that span.  A
`Mirror` pushes into it what the layers write into their tables of that level.  W is clear in every
entry of the view's own that leads to a layer which the view must not change.

Invariant: where two layers have regions in the span of an upper entry, the view has a table of
its own below it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hw import costs, trace
from hw.memory import WORDS_PER_PAGE
from hw.paging import ADDRESS, P, W
from kernel.mm.layout import KUSER
from kernel.mm.pagetable import TABLE_FLAGS, PageTable, span
from kernel.mm.space import AddressSpace

PUSH = trace.declare(
    "push", "space:Q layer:Q va:Q level:B", "A table entry was written into a view as well."
)

_ENTRY_SHIFT = (0, 12, 21, 30, 39)
"""By level: the span of one entry."""
ALL_BITS = (1 << 64) - 1
ROOT = span(4, 0)


@dataclass(slots=True)
class Mirror:
    """How the writes of one layer reach the tables of one view."""

    table: ViewTable
    mask: int
    layer: int

    def write(self, va: int, level: int, old: int, entry: int) -> None:
        self.table.frames.machine.charge(costs.TABLE_LOOKUP)
        self.table.hear(self, va, level, old, entry)


@dataclass(slots=True, eq=False)
class ViewTable(PageTable):
    """The tables of a view that shows `layers`; `space` is the view's id."""

    space: int = 0
    layers: list[tuple[AddressSpace, Mirror]] = field(default_factory=list)
    pushed: int = 0
    """How many entries a layer's change made it write."""

    def add(self, layer: AddressSpace, mirror: Mirror) -> None:
        """Show a layer as well.  Raises ENOMEM."""
        raise NotImplementedError

    def make_room(self, owner: AddressSpace, start: int, end: int) -> None:
        """A layer has or will have a region here.  Raises ENOMEM."""
        raise NotImplementedError

    def hear(self, mirror: Mirror, va: int, level: int, old: int, entry: int) -> None:
        """A layer wrote an entry of a table that the view watches."""
        raise NotImplementedError

    def note(self, mirror: Mirror, va: int, level: int) -> None:
        """A layer's change has come into the view: count and record it."""
        self.pushed += 1
        if self.frames.machine.trace:
            self.frames.machine.trace.emit(PUSH, self.space, mirror.layer, va, level)

    def close(self) -> None:
        """Nothing is shown any more."""
        raise NotImplementedError


@dataclass(slots=True, eq=False)
class SharedTable(ViewTable):
    """The tables of a view that shares the subtrees of its layers.

    `own` are the frames of its own tables below the root, by `span`.
    """

    own: dict[int, int] = field(default_factory=dict)

    def lookup(self, va: int) -> int:
        """The leaf entry for `va`, without W where an upper entry lacks it."""
        words, allowed = self.frames.machine.memory.words, ALL_BITS
        path = self._path(va)
        for slot in path[:-1]:
            allowed &= words[slot] | ~W
        return words[path[-1]] & allowed if len(path) == 4 else 0

    def _slot(self, va: int) -> int | None:
        path = self._path(va)  # each time: a layer frees its tables without a word to its views
        return path[3] if len(path) == 4 else None

    def add(self, layer: AddressSpace, mirror: Mirror) -> None:
        """Show a layer as well; what it maps is mapped nowhere else.  Raises ENOMEM."""
        self.layers.append((layer, mirror))
        for key in (ROOT, *self.own):
            layer.table.watch(key, self.space, mirror)
        if len(self.layers) == 1:
            self._copy(self.root_pfn, layer.table.root_pfn, 4, 0, mirror.mask)
            return
        alone = 0
        self.frames.machine.charge(costs.REGION_FIND, len(layer.map))
        for region in layer.map:
            if region.end > alone:
                self.make_room(layer, region.start, region.end)
                slot = region.start >> 39
                alone = slot + 1 << 39 if span(3, region.start) not in self.own else 0

    def make_room(self, owner: AddressSpace, start: int, end: int, level: int = 4) -> None:
        """`owner` has or will have a region here: give spans that it shares a table of their own.

        What the view shows does not change.  Raises ENOMEM.
        """
        # BEGIN SOLUTION lab5.share
        shift = _ENTRY_SHIFT[level]
        for index in range(start >> shift, (end - 1 >> shift) + 1):
            base, top = index << shift, index + 1 << shift
            others = [pair for pair in self.layers if pair[0] is not owner]
            key = span(level - 1, base)
            if key not in self.own:
                sharers = [pair for pair in others if _uses(pair[0], base, top)]
                if not sharers:
                    self._point(owner, level, base)
                    continue
                self._split(level, base, key)
            if level > 2:
                self.make_room(owner, max(start, base), min(end, top), level - 1)
        # END SOLUTION lab5.share
        # PROMPT lab5.share: share what has one owner, split what has two, level by level.

    def _point(self, owner: AddressSpace, level: int, va: int) -> None:
        """Let the entry for a span that is `owner`'s alone show its table."""
        mask = next(mirror.mask for layer, mirror in self.layers if layer is owner)
        entry = owner.table.word(va, level) & mask
        slot = self._own_slot(level, va)
        if self.frames.machine.memory.words[slot] & ADDRESS != entry & ADDRESS:
            self._write(va, slot, level, entry)

    def _split(self, level: int, va: int, key: int) -> None:
        """Replace a shared subtree by a table of the view's own with the same entries."""
        table = self._new_table()
        self.own[key] = table
        for layer, mirror in self.layers:
            layer.table.watch(key, self.space, mirror)
            entry = layer.table.word(va, level)
            if entry & P:
                self._copy(table, (entry & ADDRESS) >> 12, level - 1, va, mirror.mask)
        self._write(va, self._own_slot(level, va), level, table << 12 | TABLE_FLAGS)

    def _copy(self, table: int, source: int, level: int, va: int, mask: int) -> None:
        words, shift = self.frames.machine.memory.words, _ENTRY_SHIFT[level]
        first = source * WORDS_PER_PAGE
        for i, entry in enumerate(words[first : first + WORDS_PER_PAGE].tolist()):
            if entry & P:
                self._write(va | i << shift, table * WORDS_PER_PAGE + i, level, entry & mask)

    def _own_slot(self, level: int, va: int) -> int:
        table = self.own[span(level, va)] if level < 4 else self.root_pfn
        return table * WORDS_PER_PAGE + (va >> _ENTRY_SHIFT[level] & 511)

    def hear(self, mirror: Mirror, va: int, level: int, old: int, entry: int) -> None:
        """A layer wrote an entry of a table that the view has for itself: push it."""
        if level > 1 and span(level - 1, va) in self.own:
            return
        slot = self._own_slot(level, va)
        shown = self.frames.machine.memory.words[slot]
        if not entry & P and (shown ^ old) & ADDRESS:
            return  # the entry shows another layer's table by now
        self._write(va, slot, level, entry & mirror.mask)
        self.note(mirror, va, level)

    def close(self) -> None:
        """Nothing is shown any more."""
        for layer, _ in self.layers:
            for key in (ROOT, *self.own):
                layer.table.unwatch(key, self.space)
        self.free()


def _uses(layer: AddressSpace, start: int, end: int) -> bool:
    """Has the layer anything in the range?  The kernel's user page belongs to homes."""
    layer.machine.charge(costs.REGION_FIND)
    return layer.map.busy(start, end) or bool(layer.kuser_pfn and start <= KUSER < end)
