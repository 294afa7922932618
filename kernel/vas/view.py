"""Views: what a thread sees inside a VAS, its process's memory and the VAS's together.

A view has no regions of its own.  It shows *layers*: the process's own space (its *home*), the
VAS's, and perhaps one with segments for this attachment alone.  Looking a region up means
asking the layers, and every change is made in the layer that it belongs to.

Page tables (policy `subtree`): an entry of the view points to a layer's own table at the highest
level whose whole span belongs to that layer, so what is mapped there later is seen at once and
costs nothing.  Where two layers have regions in one span, the view has a table of its own for
it; what the layers write into their tables at that level is then pushed into the view's
(`Mirror`).  A layer that the view must not change has W cleared in every entry of the view's own.

Invariant: where two layers have regions in the span of an upper entry, the view has a table of
its own below it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import chain
from operator import attrgetter

from hw import costs, trace
from hw.memory import WORDS_PER_PAGE
from hw.paging import ADDRESS, ERR_WRITE, P, W
from kernel.abi.errno import E, KernelError
from kernel.mm.pagetable import LEAVES, TABLE_FLAGS, PageTable, span
from kernel.mm.regions import RegionMap
from kernel.mm.space import KUSER, SPACE, AddressSpace, Region

PUSH = trace.declare(
    "push", "space:Q layer:Q va:Q level:B", "A table entry was written into a view as well."
)
FORWARD = trace.declare("forward", "space:Q start:Q end:Q", "A region's new extent reached a view.")

_ENTRY_SHIFT = (0, 12, 21, 30, 39)
"""By level: the span of one entry."""
_ALL = (1 << 64) - 1
ROOT = span(4, 0)
TABLES_OF_A_LEAF = 3
_START = attrgetter("start")


class LayeredMap(RegionMap):
    """The regions of a view, which are those of its layers."""

    __slots__ = ("layers",)

    def __init__(self, layers: tuple[AddressSpace, ...]) -> None:
        self.layers = layers

    def __repr__(self) -> str:
        return f"LayeredMap({self.layers!r})"

    def __iter__(self) -> Iterator[Region]:
        return merge(*(layer.map for layer in self.layers), key=_START)

    def __len__(self) -> int:
        return sum(len(layer.map) for layer in self.layers)

    def find(self, va: int) -> Region | None:
        for layer in self.layers:
            region = layer.map.find(va)
            if region is not None:
                return region
        return None

    def overlapping(self, start: int, end: int) -> list[Region]:
        found = (layer.map.overlapping(start, end) for layer in self.layers)
        return sorted(chain.from_iterable(found), key=_START)

    def busy(self, start: int, end: int) -> bool:
        return any(layer.map.busy(start, end) for layer in self.layers)

    def at(self, index: int) -> Region:
        return list(self)[index]

    def next_above(self, va: int) -> Region | None:
        found = (layer.map.next_above(va) for layer in self.layers)
        return min((region for region in found if region), key=_START, default=None)


@dataclass(slots=True)
class Mirror:
    """How the writes of one layer reach the tables of one view."""

    table: SharedTable | CopiedTable
    mask: int
    layer: int

    def write(self, va: int, level: int, old: int, entry: int) -> None:
        self.table.hear(self, va, level, old, entry)


@dataclass(slots=True, eq=False)
class SharedTable(PageTable):
    """The tables of a view that shares the subtrees of its layers.

    `own` are the frames of its own tables below the root, by `span`; `pushed` counts entries that
    a layer's change made it write.
    """

    space: int = 0
    layers: list[tuple[AddressSpace, Mirror]] = field(default_factory=list)
    own: dict[int, int] = field(default_factory=dict)
    pushed: int = 0

    def lookup(self, va: int) -> int:
        """The leaf entry for `va`, without W where an upper entry lacks it."""
        words, allowed = self.frames.machine.memory.words, _ALL
        path = self._path(va)
        for slot in path[:-1]:
            allowed &= words[slot] | ~W
        return words[path[-1]] & allowed if len(path) == 4 else 0

    def add(self, layer: AddressSpace, mirror: Mirror) -> None:
        """Show a layer as well; what it maps is mapped nowhere else.  Raises ENOMEM."""
        self.layers.append((layer, mirror))
        for key in (ROOT, *self.own):
            layer.table.watch(key, self.space, mirror)
        if len(self.layers) == 1:
            self._copy(self.root_pfn, layer.table.root_pfn, 4, 0, mirror.mask)
            return
        alone = 0
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
        self.pushed += 1
        if self.frames.machine.trace:
            self.frames.machine.trace.emit(PUSH, self.space, mirror.layer, va, level)

    def close(self) -> None:
        """Nothing is shown any more."""
        for layer, _ in self.layers:
            for key in (ROOT, *self.own):
                layer.table.unwatch(key, self.space)
        self.free()


@dataclass(slots=True, eq=False)
class CopiedTable(PageTable):
    """The tables of a view that shares none: leaves are copied at the first fault, and changes of
    a layer's leaf are pushed into the copy (policy `forward`)."""

    space: int = 0
    layers: list[tuple[AddressSpace, Mirror]] = field(default_factory=list)
    pushed: int = 0

    def add(self, layer: AddressSpace, mirror: Mirror) -> None:
        self.layers.append((layer, mirror))
        layer.table.watch(LEAVES, self.space, mirror)
        if layer.kuser_pfn:
            self.set(KUSER, layer.table.lookup(KUSER))

    def make_room(self, owner: AddressSpace, start: int, end: int) -> None:
        """Nothing is shared, so nothing is in the way."""

    def fill(self, layer: AddressSpace, va: int) -> None:
        """Copy a layer's leaf.  Raises ENOMEM."""
        mask = next(mirror.mask for other, mirror in self.layers if other is layer)
        self.set(va, layer.table.lookup(va) & mask)

    def close(self) -> None:
        """Nothing is shown any more."""
        for layer, _ in self.layers:
            layer.table.unwatch(LEAVES, self.space)
        self.free()

    def hear(self, mirror: Mirror, va: int, level: int, old: int, entry: int) -> None:
        """A layer wrote a leaf: push it, if the view has a copy."""
        # BEGIN SOLUTION lab6.forward
        if not self.lookup(va) & P:
            return
        if entry & P:
            self.set(va, entry & mirror.mask)
        else:
            self.clear(va)
        self.pushed += 1
        if self.frames.machine.trace:
            self.frames.machine.trace.emit(PUSH, self.space, mirror.layer, va, level)
        # END SOLUTION lab6.forward
        # PROMPT lab6.forward: bring the view's copy of the leaf up to date, and count it.


@dataclass(slots=True, eq=False)
class View(AddressSpace):
    """One attachment's space.  `shows` are its layers: home, VAS, and perhaps a private one."""

    writable: bool = True
    """May threads in it change the VAS?"""

    def __post_init__(self) -> None:
        self.map = LayeredMap(self.shows)
        self.table = self._new_table()
        self._emit(SPACE, self.table.root_pa, 1)
        layers, self.shows = self.shows, ()
        try:
            for layer in layers:
                self.show_layer(layer)
        except KernelError:
            self.destroy()
            raise

    def _new_table(self) -> SharedTable | CopiedTable:
        return SharedTable(self.objects.table, space=self.id)

    @property
    def home(self) -> AddressSpace:
        return self.shows[0]

    @property
    def vas(self) -> AddressSpace:
        return self.shows[1]

    @property
    def tables(self) -> SharedTable | CopiedTable:
        assert isinstance(self.table, (SharedTable, CopiedTable))
        return self.table

    def show_layer(self, layer: AddressSpace) -> None:
        """Show one more space.  Raises EFAULT if a place is taken, ENOMEM."""
        self._check_places(layer)
        may_store = self.writable or not self.shows or len(self.shows) > 1
        mirror = Mirror(self.tables, _ALL if may_store else _ALL ^ W, layer.id)
        self.shows += (layer,)
        self.map = LayeredMap(self.shows)
        layer.views[self.id] = self
        self.tables.add(layer, mirror)

    def _check_places(self, layer: AddressSpace) -> None:
        for shown in self.shows:
            few, many = sorted((layer, shown), key=lambda space: len(space.map))
            self.objects.table.machine.charge(costs.REGION_FIND, len(few.map))
            for region in few.map:
                if many.map.busy(region.start, region.end):
                    other = many.map.overlapping(region.start, region.end)[0]
                    raise self.conflict(region, other)

    def owner(self, va: int) -> AddressSpace:
        """The layer that `va` belongs to; home, where nothing is mapped."""
        for layer in self.shows[1:]:
            if layer.map.find(va) is not None:
                return layer
        return self.home

    # Changes go to the layer that they concern ------------------------------------------------

    def map_region(self, region: Region) -> Region:
        """What is mapped inside a VAS is the VAS's.  Raises EACCES in a read-only view."""
        self._check_writable()
        account = self.vas.table.account
        if account is not None and not region.object.holds:
            account.admit()
            region.object.pay_from(account)
        return self.vas.map_region(region)

    def _check_writable(self) -> None:
        if not self.writable:
            raise KernelError(E.ACCES)

    def place(self, size_bytes: int, wish: int = 0) -> int:
        return self.vas.place(size_bytes, wish)

    def claim(self, start: int, end: int, region: Region | None = None) -> None:
        """A range is about to become the VAS's; what this process has there will go first."""
        self._check_writable()
        other = self.vas.clash(start, end, but=self)
        if other is not None:
            raise self.conflict(Region(start, end, 0, other.object), other)

    def clash(self, start: int, end: int, but: View | None = None) -> Region | None:
        """What other views of these layers show in a range."""
        for layer in self.shows:
            other = layer.clash(start, end, but=self)
            if other is not None:
                return other
        return None

    def unmap(self, start: int, end: int) -> None:
        self._may_change(start, end)
        for layer in self.shows:
            layer.unmap(start, end)

    def _may_change(self, start: int, end: int) -> None:
        """Raises EPERM for a segment, EACCES for the VAS's memory in a read-only view."""
        self._refuse_sealed(start, end)
        self.check_change(start, end)

    def check_change(self, start: int, end: int) -> None:
        """Raises EACCES for the VAS's memory in a read-only view."""
        if self.vas.map.busy(start, end):
            self._check_writable()

    def mark(self, start: int, end: int, on: int, off: int = 0) -> None:
        for layer in self.shows:
            layer.mark(start, end, on, off)

    def extend(self, region: Region, end: int) -> None:
        self.check_change(region.start, region.end)
        region.space.extend(region, end)

    def move(self, start: int, end: int, target: int, new_end: int) -> None:
        """What moves stays whose it was."""
        self._may_change(start, end)
        self.owner(start).move(start, end, target, new_end)

    def protect(self, start: int, end: int, prot: int) -> None:
        parts, at = self.map.overlapping(start, end), start
        for region in parts:
            if region.start > at:
                raise KernelError(E.NOMEM)
            at = region.end
        if at < end:
            raise KernelError(E.NOMEM)
        self._may_change(start, end)
        for region in parts:
            bounds = max(start, region.start), min(end, region.end)
            self.owner(bounds[0]).protect(*bounds, prot)

    def set_break(self, end: int) -> int:
        return self.home.set_break(end)

    @property
    def pushed(self) -> int:
        """How many entries a change in a layer made the kernel write here too."""
        return self.tables.pushed

    def make_room(self, owner: AddressSpace, start: int, end: int) -> None:
        """A layer is about to map a range.  Raises ENOMEM."""
        self.tables.make_room(owner, start, end)

    def resized(self, region: Region) -> None:
        """A layer's region has changed: the look-up in layers sees it by itself."""

    # Faults -----------------------------------------------------------------------------------

    def fault(self, page: int, error: int) -> bool:
        layer = self.owner(page)
        if error & ERR_WRITE and layer is self.vas and not self.writable:
            return False
        return layer.fault(page, error)

    def show(self, region: Region, page: int, *, write: bool) -> None:
        region.space.show(region, page, write=write)

    def _user_frame(self, va: int, error: int) -> int:
        layer = self.owner(va)
        if error and layer is self.vas and not self.writable:
            raise KernelError(E.FAULT)
        return layer._user_frame(va, error)

    # Life -------------------------------------------------------------------------------------

    def fork(self, id: int) -> AddressSpace:
        """A child gets the process's own memory and nothing of any VAS."""
        return self.home.fork(id)

    def destroy(self) -> None:
        """The attachment ends; what it showed stays where it belongs."""
        for layer in self.shows:
            del layer.views[self.id]
        self.tables.close()
        self._emit(SPACE, self.table.root_pa, 0)
        self.forget_root()


@dataclass(slots=True, eq=False)
class ForwardView(View):
    """A view with tables of its own, which every change is forwarded to."""

    forwarded: int = 0

    def _new_table(self) -> SharedTable | CopiedTable:
        return CopiedTable(self.objects.table, space=self.id)

    def fault(self, page: int, error: int) -> bool:
        # BEGIN SOLUTION lab6.forward
        if not View.fault(self, page, error):
            return False
        self._fill(self.owner(page), page)
        return True
        # END SOLUTION lab6.forward
        # PROMPT lab6.forward: let the layer resolve the fault, then copy its leaf.

    def _fill(self, layer: AddressSpace, page: int) -> None:
        """Copy the leaf, unless making room for its tables took it away again."""
        assert isinstance(self.table, CopiedTable)
        self.objects.table.reserve(TABLES_OF_A_LEAF)
        if layer.table.lookup(page) & P:
            self.table.fill(layer, page)

    def show(self, region: Region, page: int, *, write: bool) -> None:
        View.show(self, region, page, write=write)
        self._fill(region.space, page)

    @property
    def pushed(self) -> int:
        return self.tables.pushed + self.forwarded

    def resized(self, region: Region) -> None:
        """The thread's idea: a resize reaches every view at once.  Counted, since it costs."""
        self.forwarded += 1
        self.objects.table.machine.charge(costs.REGION_CHANGE)
        self._emit(FORWARD, region.start, region.end)


def _uses(layer: AddressSpace, start: int, end: int) -> bool:
    """Has the layer anything in the range?  The kernel's user page belongs to homes."""
    return layer.map.busy(start, end) or bool(layer.kuser_pfn and start <= KUSER < end)
