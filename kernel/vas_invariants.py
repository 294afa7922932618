"""What must always hold of VASes, segments and views.  As `kernel.invariants`: sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hw import paging
from hw.paging import A, D, W
from kernel.kernel import Kernel
from kernel.mm import frames
from kernel.mm.layout import KUSER
from kernel.mm.objects import MemoryObject
from kernel.mm.pagetable import span
from kernel.mm.shown import SLOT_BITS, slots
from kernel.mm.space import AddressSpace
from kernel.nvm.format import KINDS, SEGMENT, VAS, Key
from kernel.vas.forward import CopiedTable
from kernel.vas.persistent import PERSISTENT, Persistence, key_of
from kernel.vas.records import WRITE, Named, Segment, Vas
from kernel.vas.sharing import AtAttach, AtSwitch
from kernel.vas.tables import ROOT, SharedTable
from kernel.vas.view import LayeredView


def views(kernel: Kernel) -> Iterator[str]:
    """A view shows all of its layers, nothing else, and no more rights than it has."""
    for held in kernel.vases.holdings.values():
        for attachment in held.attachments.values():
            view = attachment.view
            if isinstance(view, LayeredView):
                yield from _layers(view)
                yield from _leaves(kernel, view)
                yield from _tables(view)


def _layers(view: LayeredView) -> Iterator[str]:
    at = 0
    for region in view.map:
        if region.start < at:
            yield f"view {view.id}: {region} overlaps what another layer has"
        at = region.end
    for layer in view.shows:
        if layer.views.get(view.id) is not view:
            yield f"space {layer.id} does not know that view {view.id} shows it"
        for other in view.shows:
            if other is not layer:
                yield from _neighbours(view, layer, other)


def _neighbours(view: LayeredView, layer: AddressSpace, other: AddressSpace) -> Iterator[str]:
    """A space knows the views that show something else in one of its slots."""
    kuser = [KUSER >> SLOT_BITS] if other.kuser_pfn else []
    for slot in (*kuser, *(s for r in other.map for s in slots(r.start, r.end))):
        if view.id not in layer.neighbours.get(slot, {}):
            yield f"space {layer.id} does not know what view {view.id} shows in slot {slot}"


def _leaves(kernel: Kernel, view: LayeredView) -> Iterator[str]:
    seen = 0
    for va, entry, _, rights in paging.leaves(kernel.machine.memory.words, view.table.root_pa):
        layer = view.home if va == KUSER else view.owner(va)
        read_only = layer is view.vas and not view.writable
        wanted = layer.table.lookup(va)
        seen += 1
        if (wanted ^ entry) & ~(A | D | W) or entry & W & ~wanted:
            yield f"view {view.id} at {va:#x}: leaf {entry:#x}, space {layer.id} has {wanted:#x}"
        if read_only and rights & W:
            yield f"view {view.id} at {va:#x}: writable, though the VAS is attached for reading"
        if not read_only and wanted & W and not rights & W:
            yield f"view {view.id} at {va:#x}: not writable, though space {layer.id} is"
    if isinstance(view.table, SharedTable):
        words = kernel.machine.memory.words
        there = sum(1 for layer in view.shows for _ in paging.leaves(words, layer.table.root_pa))
        if seen != there:
            yield f"view {view.id} shows {seen} leaves of {there}"


def _tables(view: LayeredView) -> Iterator[str]:
    table = view.table
    if isinstance(table, CopiedTable):
        return
    assert isinstance(table, SharedTable)
    if {*table.own.values(), table.root_pfn} != set(table.used):
        yield f"view {view.id}: its own tables are not those that it counts"
    for layer in view.shows:
        for key in (ROOT, *table.own):
            if view.id not in layer.table.watchers.get(key, {}):
                yield f"space {layer.id} does not tell view {view.id} of table {key:#x}"
        for region in layer.map:
            yield from _mixed(view, table, layer, region.start, region.end)


def _mixed(
    view: LayeredView, table: SharedTable, owner: AddressSpace, start: int, end: int
) -> Iterator[str]:
    """Upper entries whose span two layers use have a table of the view's own below them."""
    others = [layer for layer in view.shows if layer is not owner]
    for level, shift in ((3, 39), (2, 30), (1, 21)):
        for va in (start, end - 1):
            base = va >> shift << shift
            mixed = any(layer.map.busy(base, base + (1 << shift)) for layer in others)
            if mixed and span(level, va) not in table.own:
                yield f"view {view.id} at {base:#x}: two layers share a table of level {level}"


def counts(kernel: Kernel) -> Iterator[str]:
    """Counts are true: attachments, threads inside, frames that are paid for."""
    vases = kernel.vases
    kinds: dict[int, Counter[bool]] = {}
    for vas in vases.vases.values():
        found = Counter(bool(a.kind & WRITE) for a in vas.attachments.values())
        yield from _named(kernel, "VAS", vas, found)
        for sid, kind in vas.segments.items():
            kinds.setdefault(sid, Counter())[bool(kind & WRITE)] += 1
    for held in vases.holdings.values():
        for group in (held.segments, *(a.segments for a in held.attachments.values())):
            for sid, kind in group.items():
                kinds.setdefault(sid, Counter())[bool(kind & WRITE)] += 1
    for segment in vases.segments.values():
        yield from _named(kernel, "segment", segment, kinds.get(segment.id, Counter()))
        yield from _locks(kernel, segment)
    for sid in sorted(set(kinds) - set(vases.segments)):
        yield f"segment {sid} is attached and does not exist"
    yield from _inside(kernel)
    yield from _accounts(kernel)


def _named(kernel: Kernel, what: str, named: Named, found: Counter[bool]) -> Iterator[str]:
    if (named.readers, named.writers) != (found[False], found[True]):
        yield f"{what} {named.id} counts {named.readers} readers and {named.writers} writers"
    alone = not named.writers or (named.writers == 1 and not named.readers)
    if isinstance(kernel.vases.sharing, AtAttach) and not alone:
        yield f"{what} {named.id} has a writer beside others"
    names = kernel.vases.vas_names if isinstance(named, Vas) else kernel.vases.segment_names
    if names.get(named.name) != named.id:
        yield f"{what} {named.id} is not found by its name"


def _inside(kernel: Kernel) -> Iterator[str]:
    inside = Counter(thread.space.id for thread in kernel.tasks.threads.values())
    homes = {p.space.id for p in kernel.tasks.processes.values() if not p.zombie}
    for home, held in kernel.vases.holdings.items():
        if home not in homes:
            yield f"space {home} is gone and has something attached"
        for vid, attachment in held.attachments.items():
            if attachment.view.users != inside[attachment.view.id]:
                yield f"view {attachment.view.id} counts {attachment.view.users} threads"
            if kernel.vases.vases[vid].attachments.get(home) is not attachment:
                yield f"VAS {vid} does not know that it is attached to space {home}"
    for thread in kernel.tasks.threads.values():
        held_here = kernel.vases.held(thread.process.space).attachments
        views = {thread.process.space.id, *(a.view.id for a in held_here.values())}
        if thread.space.id not in views:
            yield f"thread {thread.tid} is in a view that its process has not attached"


def _locks(kernel: Kernel, segment: Segment) -> Iterator[str]:
    sharing = kernel.vases.sharing
    held = sharing.held if isinstance(sharing, AtSwitch) else {}
    for tid in segment.holders:
        if tid not in kernel.tasks.threads or segment.id not in held.get(tid, []):
            yield f"segment {segment.id} is locked by thread {tid}, which does not hold it"
    for tid in segment.queue:
        if tid not in kernel.tasks.threads:
            yield f"thread {tid} waits for segment {segment.id} and is gone"


def _accounts(kernel: Kernel) -> Iterator[str]:
    vases = kernel.vases
    owed: Counter[int] = Counter()
    owned = Counter(named.user for named in (*vases.vases.values(), *vases.segments.values()))
    objects: dict[int, tuple[Named, MemoryObject]] = {
        s.object.id: (s, s.object) for s in vases.segments.values()
    }
    for vas in vases.vases.values():
        owed[vas.user] += len(vas.space.table.used)
        for region in vas.space.map:
            if region.object.account is vas.account and not region.segment:
                objects[region.object.id] = (vas, region.object)
            elif not (region.segment or region.shared):
                yield f"VAS {vas.id} has {region}, and its owner does not pay for it"
    for named, made in objects.values():
        owed[named.user] += made.cost()
    nameless = _still_mapped(kernel, objects)
    for uid, account in vases.accounts.items():
        theirs = [made for made in nameless if made.account is account]
        owed[uid] += sum(len(made.pages) + len(made.paged_out) for made in theirs)
        if account.charged != owed[uid]:
            yield f"user {uid} pays for {account.charged} frames and has {owed[uid]}"
        if account.owned != owned[uid]:
            yield f"user {uid} should own {owned[uid]} VASes and segments, not {account.owned}"


def _still_mapped(
    kernel: Kernel, known: dict[int, tuple[Named, MemoryObject]]
) -> list[MemoryObject]:
    """The objects of deleted segments that mappings of /segs still hold."""
    homes = [p.space for p in kernel.tasks.processes.values() if not p.zombie]
    spaces = [space for space in (*homes, *kernel.vases.spaces()) if not space.shows]
    found: dict[int, MemoryObject] = {}
    for region in (region for space in spaces for region in space.map):
        made: MemoryObject | None = region.object
        while made is not None:
            if made.owner == frames.SEGMENT and made.account is not None and made.id not in known:
                found[made.id] = made
            made = made.source
    return list(found.values())


def on_medium(kernel: Kernel) -> Iterator[str]:
    """The medium has each persistent object as it is, and no other; its pages are in NVM."""
    persistence = kernel.persistence
    named = [*kernel.vases.vases.values(), *kernel.vases.segments.values()]
    kept = {key_of(one): one for one in named if one.mode & PERSISTENT}
    entries = persistence.medium.entries if persistence is not None else {}
    for key in sorted(kept.keys() ^ {key for key in entries if key[0] in (SEGMENT, VAS)}):
        yield f"{KINDS[key[0]]} {key[1]} is persistent, or on the medium, and not both"
    for key, one in kept.items():
        if persistence is not None and key in entries:
            yield from _recorded(persistence, key, one)


def _recorded(persistence: Persistence, key: Key, named: Named) -> Iterator[str]:
    wanted, found = persistence.record(named), persistence.medium.load(key)
    if wanted != found:
        yield f"the record of {KINDS[key[0]]} {key[1]} is not what it is now"
    for made in persistence.objects(named):
        if made.extents is None:
            yield f"object {made.id} is persistent, and not in NVM"
        elif any(made.extents.frame(page) != pfn for page, pfn in made.pages.items()):
            yield f"object {made.id} has pages elsewhere than its extents say"
