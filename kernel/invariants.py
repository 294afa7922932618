"""What must always hold between two traps.  Tests run all of it after every one.

Each function returns sentences, one for each thing that is wrong; `check` raises `Panic`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from hw import paging
from hw.cpu import Core
from hw.paging import ADDRESS, NX, PageFault, W
from hw.tlb import GLOBAL, Entry
from kernel import vas_invariants
from kernel.abi.errno import Panic
from kernel.abi.shm import SHM_DEST
from kernel.kernel import Kernel
from kernel.mm import frames as owners
from kernel.mm.layout import KUSER
from kernel.mm.objects import Away, MemoryObject
from kernel.mm.replace import IN_FILE, replacement_of
from kernel.mm.shootdown import CoreTlb, generation
from kernel.mm.space import AddressSpace
from kernel.servers.shm import Shm
from kernel.servers.sockets import Sockets
from kernel.task.descriptors import Handle
from kernel.task.process import BLOCKED, READY, RUNNING


def check(kernel: Kernel) -> None:
    """Raises `Panic` with every broken invariant, in words."""
    wrong = [
        *frame_counts(kernel),
        *page_tables(kernel),
        *regions(kernel),
        *paged_out(kernel),
        *translations(kernel),
        *threads(kernel),
        *descriptors(kernel),
        *shared_segments(kernel),
        *parcels(kernel),
        *vas_invariants.views(kernel),
        *vas_invariants.counts(kernel),
        *vas_invariants.on_medium(kernel),
    ]
    if wrong:
        raise Panic("; ".join(wrong))


def live_spaces(kernel: Kernel) -> list[AddressSpace]:
    """Every address space that a process or a VAS owns, or a thread can be in."""
    living = [process for process in kernel.tasks.processes.values() if not process.zombie]
    homes = {process.space.id: process.space for process in living}
    return [*homes.values(), *kernel.vases.spaces()]


def owners_of_regions(kernel: Kernel) -> list[AddressSpace]:
    """All of them but views, which show what others own."""
    return [space for space in live_spaces(kernel) if not space.shows]


def live_objects(kernel: Kernel) -> dict[int, MemoryObject]:
    """Every memory object that a region, a server, or another object holds."""
    found = {made.id: made for made in kernel.ipc.published.values()}
    found |= {made.id: made for made in kernel.held_files}
    found |= {s.object.id: s.object for s in kernel.vases.segments.values()}
    for space in owners_of_regions(kernel):
        for region in space.map:
            made: MemoryObject | None = region.object
            while made is not None:
                found[made.id] = made
                made = made.source
    return found


def frame_counts(kernel: Kernel) -> Iterator[str]:
    """The count of each frame is the number of its holders; free frames are free."""
    holders = Counter(range(kernel.machine.first_free_frame))
    holders[kernel.memory.kuser_pfn] += 1
    for made in live_objects(kernel).values():
        holders.update(made.frames_held())
    if kernel.persistence is not None:
        holders.update(kernel.persistence.medium.frames_held())
    for space in live_spaces(kernel):
        holders.update(space.table.used.keys())
    for down in kernel.memory.shootdowns.open.values():
        holders.update(down.frames)
    holders.update(kernel.memory.shootdowns.limbo)
    table = kernel.memory.frames
    used = [pfn for pfn, count in enumerate(table.refs) if count]
    for pfn in sorted({*used, *holders}):
        if table.refs[pfn] != holders[pfn]:
            yield f"frame {pfn:#x} should have refcount {holders[pfn]}, has {table.refs[pfn]}"
    for pfn, (count, owner) in enumerate(zip(table.refs, table.owners, strict=True)):
        if (count == 0) != (owner == owners.FREE):
            yield f"frame {pfn:#x} has refcount {count} and is {owners.OWNERS[owner]}"
    if sorted((*table.free, *table.zone, *used)) != list(range(len(table.refs))):
        yield "the free list is not the list of frames with refcount 0"


def paged_out(kernel: Kernel) -> Iterator[str]:
    """A page is in memory or out, in all objects that share it alike; blocks are held or free."""
    objects, pager = live_objects(kernel), replacement_of(kernel.memory.objects)
    known = pager.queue.keys() | pager.locked.keys() if pager else set()
    holds: Counter[Away] = Counter()
    for made in objects.values():
        holds.update(made.paged_out.values())
        for page in sorted(made.paged_out.keys() & made.pages.keys()):
            yield f"page {page:#x} of object {made.id} is in memory and paged out"
        if [m for m in made.family if m is made] != [made]:
            yield f"object {made.id} is not once in its family"
        stays = pager is None or made.extents is not None
        for pfn in () if stays else sorted(set(made.pages.values()) - known):
            yield f"frame {pfn:#x} of object {made.id} could never leave memory"
    for away, count in holds.items():
        if away.holds != count:
            yield f"block {away.block} should have {count} holders, has {away.holds}"
    if pager is None:
        return
    blocks = Counter(away.block for away in holds if away.block != IN_FILE)
    blocks.update(pager.free_blocks)
    if blocks != Counter(range(pager.blocks_used)):
        yield "a block of the paging disk is lost, or is given out twice"


def page_tables(kernel: Kernel) -> Iterator[str]:
    """Every leaf shows what its region's object holds, and allows no more than the region."""
    words = kernel.machine.memory.words
    for space in live_spaces(kernel):
        for va, entry, _, _ in paging.leaves(words, space.table.root_pa):
            yield from _leaf(space, va, entry)
        for pfn, used in space.table.used.items():
            present = len(paging.present(words, pfn << 12))
            if present != used:
                yield f"table {pfn:#x} of space {space.id} has {present} entries, counted {used}"


def _leaf(space: AddressSpace, va: int, entry: int) -> Iterator[str]:
    where = f"space {space.id} at {va:#x}"
    if va == KUSER:
        return
    region = space.map.find(va)
    if region is None:
        yield f"{where}: a leaf and no region"
        return
    page, pfn, made = region.object_page(va), (entry & ADDRESS) >> 12, region.object
    own = made.pages.get(page)
    shown = own
    if own is None and made.source is not None:
        shown = made.source.pages.get(page + made.source_page)
    if shown != pfn:
        yield f"{where}: the leaf shows frame {pfn:#x}, the object holds {shown}"
    shared = (
        region.shared or region.duplicated or (own == pfn and space.objects.frames.refs[pfn] == 1)
    )
    if entry & W and not (region.prot & 2 and shared):
        yield f"{where}: writable, though a store must fault first"
    if not entry & NX and not region.prot & 4:
        yield f"{where}: executable, though its region is not"


def regions(kernel: Kernel) -> Iterator[str]:
    """Regions are sorted and disjoint; objects know their regions and holders."""
    holds: Counter[int] = Counter(made.id for made in kernel.ipc.published.values())
    holds.update(made.id for made in kernel.held_files)
    holds.update(s.object.id for s in kernel.vases.segments.values())
    known: Counter[int] = Counter()
    for space in owners_of_regions(kernel):
        at = 0
        for start, region in zip(space.map.starts, space.map, strict=True):
            if region.start != start or not at <= region.start < region.end:
                yield f"space {space.id}: region at {region.start:#x} is out of place"
            at = region.end
            holds[region.object.id] += 1
            known[region.object.id] += 1
            if region.space is not space:
                yield f"the region at {region.start:#x} does not know that space {space.id} has it"
            if region not in region.object.regions:
                yield f"object {region.object.id} does not know its region at {region.start:#x}"
    for made in live_objects(kernel).values():
        if made.source is not None:
            holds[made.source.id] += 1
    for made in live_objects(kernel).values():
        if made.holds != holds[made.id]:
            yield f"object {made.id} should have {holds[made.id]} holders, has {made.holds}"
        if len(made.regions) != known[made.id]:
            yield f"object {made.id} lists {len(made.regions)} regions, {known[made.id]} map it"


def translations(kernel: Kernel) -> Iterator[str]:
    """No TLB entry that its core may use says anything else than the tables."""
    if kernel.machine.config.mmu == "silicon":
        return
    spaces = {space.id: space for space in live_spaces(kernel)}
    for core, tlb in zip(kernel.machine.cores, kernel.memory.shootdowns.cores, strict=True):
        mmu = core.state.mmu
        for entry in (*mmu.itlb.index.values(), *mmu.dtlb.index.values()):
            space = _space_of(kernel, tlb, entry, spaces)
            if space is not None:
                yield from _translation(core, space, entry)


def _space_of(
    kernel: Kernel, tlb: CoreTlb, entry: Entry, spaces: dict[int, AddressSpace]
) -> AddressSpace | None:
    """Whom an entry translates for; None if the core must flush before it can be used.

    A core that a shootdown is on its way to is in the window: it may still use old entries,
    and what they lead to is not released before it has answered.
    """
    if kernel.machine.state.mailboxes[tlb.id]:
        return None
    if entry.tag == GLOBAL:
        return spaces.get(tlb.space.id) if tlb.space is not None else None
    tag = tlb.tags[entry.tag - 1 if kernel.machine.config.pcid else 0]
    space = spaces.get(tag.space)
    if space is None or tag.generation != generation(space):
        return None
    if not kernel.machine.config.pcid and tlb.space is not space:
        return None
    return space


def _translation(core: Core, space: AddressSpace, entry: Entry) -> Iterator[str]:
    where = f"core {core.state.id}: the TLB has page {entry.vpn:#x} of space {space.id}"
    try:
        tables = _ReadOnly(core.memory.words)
        leaf, level, rights = paging.walk(tables, space.table.root_pa, entry.vpn << 12, paging.READ)
    except PageFault:
        yield f"{where}, and the tables do not"
        return
    if paging.page_frame(leaf, level, entry.vpn << 12) != entry.pfn:
        yield f"{where} in frame {entry.pfn:#x}, the tables say {leaf:#x}"
    if entry.rights & W & ~rights or rights & NX & ~entry.rights:
        yield f"{where} with rights that the tables have not"


class _ReadOnly:
    """Physical memory for a walk that must leave A and D as they are."""

    def __init__(self, words: memoryview[int]) -> None:
        self._words = words

    def __getitem__(self, index: int, /) -> int:
        return self._words[index]

    def __setitem__(self, index: int, word: int, /) -> None:
        """The walker would set A or D here."""

    def __len__(self) -> int:
        return len(self._words)


def threads(kernel: Kernel) -> Iterator[str]:
    """A ready thread waits for a core once, a running one has one, a blocked one has a channel."""
    held_back = [thread for seat in kernel.tasks.seats for thread in seat.held_back]
    for thread in kernel.tasks.threads.values():
        seats = sum(seat.thread is thread for seat in kernel.tasks.seats)
        sleeping = sum(sleepers.count(thread) for sleepers in kernel.tasks.channels.values())
        queued = thread in kernel.tasks.policy or thread in held_back
        wanted = {READY: (0, 0, True), RUNNING: (1, 0, False), BLOCKED: (0, 1, False)}
        if (seats, sleeping, queued) != wanted.get(thread.state):
            yield f"thread {thread.tid} in state {thread.state}: {seats=} {sleeping=} {queued=}"
        if thread.process.threads.count(thread) != 1:
            yield f"thread {thread.tid} is not among those of process {thread.pid}"
    homes = {process.space.id: process.space for process in kernel.tasks.processes.values()}
    for space in homes.values():
        users = sum(thread.process.space is space for thread in kernel.tasks.threads.values())
        if users != space.users:
            yield f"space {space.id} should have {users} users, has {space.users}"


def shared_segments(kernel: Kernel) -> Iterator[str]:
    """A segment of System V shared memory has an object, and a removed one is still mapped."""
    server = kernel.ipc.servers["shm"]
    assert isinstance(server, Shm)
    for segment in server.segments.values():
        made = kernel.ipc.published[segment.cap]
        if not made.counted or made.size_bytes != segment.size_bytes:
            yield f"segment {segment.id} does not know its object"
        if segment.mode & SHM_DEST and not made.regions:
            yield f"segment {segment.id} was removed, and nobody maps it"
    if sum(segment.pages for segment in server.segments.values()) != server.pages:
        yield f"the segments have not {server.pages} pages in all"


def descriptors(kernel: Kernel) -> Iterator[str]:
    """Every handle is held as often as descriptors lead to it."""
    own = (
        *(
            kernel.ipc.well_known.root,
            kernel.ipc.well_known.home,
            kernel.ipc.well_known.pipes,
            kernel.ipc.well_known.names,
            kernel.ipc.well_known.system,
            kernel.ipc.well_known.shm,
            kernel.ipc.well_known.sockets,
        ),
        *(
            kernel.ipc.well_known.console_input,
            kernel.ipc.well_known.console,
            kernel.ipc.well_known.console_errors,
        ),
    )
    holds = Counter(own)
    threads, processes = kernel.tasks.threads.values(), kernel.tasks.processes.values()
    living = [process for process in processes if not process.zombie]
    tables = [*(each.descriptors for each in threads), *(each.descriptors for each in processes)]
    places = [*(each.surroundings for each in threads), *(each.surroundings for each in living)]
    for table in dict.fromkeys(tables):
        holds.update(table.handles.values())
    holds.update(place.cwd for place in dict.fromkeys(places))
    for thread in kernel.tasks.threads.values():
        if thread.call is not None and thread.call.opened is not None:
            holds[thread.call.opened] += 1
    flying = _in_flight(kernel)
    holds.update(flying)
    for handle, count in holds.items():
        if handle.holds != count:
            yield f"a handle should have {count} holders, has {handle.holds}"
        if handle.in_flight != flying[handle]:
            yield f"a handle is in {flying[handle]} parcels, and counts {handle.in_flight}"


def _in_flight(kernel: Kernel) -> Counter[Handle]:
    """How many parcels hold each handle."""
    parcels = kernel.ipc.parcels.parcels.values()
    return Counter(handle for parcel in parcels for handle in parcel.handles)


def parcels(kernel: Kernel) -> Iterator[str]:
    """A parcel waits in one message of the socket that it is for, and a process can receive it."""
    known, server = kernel.ipc.parcels, kernel.ipc.servers.get("sockets")
    if known.dropped or known.suspect or known.unreachable():
        yield "descriptors are in flight that no process can receive"
    users: Counter[int] = Counter()
    places = {number: key for key, some in known.waiting.items() for number in some}
    for number, parcel in known.parcels.items():
        users[parcel.uid] += len(parcel.handles)
        if places.get(number) != parcel.receiver:
            yield f"parcel {number} does not wait where it is noted"
    if dict(users) != known.users or len(places) != len(known.parcels):
        yield "the counts of descriptors in flight are wrong"
    if not isinstance(server, Sockets):
        return
    endpoint, used = kernel.ipc.well_known.sockets.endpoint, Counter[int]()
    for badge, socket in server.open.items():
        for packet in socket.queue:
            used[packet.sender] += packet.cost
            if packet.parcel and places.pop(packet.parcel, None) != (endpoint, badge):
                yield f"parcel {packet.parcel} is in socket {badge}, and is not known to be there"
    if places:
        yield f"parcels {sorted(places)} are in no message"
    for badge, socket in server.open.items():
        if socket.used != used[badge]:
            yield f"socket {badge} should account for {used[badge]} bytes, has {socket.used}"
