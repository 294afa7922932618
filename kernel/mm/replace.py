"""Replacement: which page leaves memory when it is short, and how it comes back.

    objects.reserve ─► make_room ─► choose ─► _evict ─► disk        (a page out)
    frame_to_read   ─► page_in  ◄─ disk                              (a major fault)

Anonymous pages go to the paging disk.  A file's page that nobody has changed is dropped: the file
still has its content.  Three kinds of frame stay in memory: page tables, locked pages (mlock), and
frames with a holder that is no memory object.  The policies are the two of every textbook: FIFO,
and clock (Corbato 1968, "A paging experiment with the Multics system"), here as FIFO with a
second chance.

Clock reads A bits.  When the kernel clears an A bit, it must invalidate the translation too, or
the CPU need not set the bit again (SDM vol. 3A, 4.10.4.2).  So a page in use costs a shootdown at
each pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hw import costs, trace
from hw.machine import Machine
from hw.memory import PAGE_SIZE
from hw.paging import A
from kernel.abi.errno import E, KernelError
from kernel.mm import rmap
from kernel.mm.frames import Frames
from kernel.mm.objects import Away, MemoryObject, Objects
from kernel.mm.regions import LOCKED, Owner
from kernel.mm.shootdown import Shootdowns

CLOCK, FIFO = "clock", "fifo"
POLICIES = (CLOCK, FIFO)
IN_FILE = -1
"""The block of a page that its file still has."""
TALLY_FAULTS = 64
"""The major faults between two `paging` records."""
IN_VAIN_DISTANCE, IN_VAIN_FAULTS = 8, 1024
"""Memory is too small when this many major faults in a row bring back a page that left fewer than
this many page-outs before.  Page tables have the rest of memory then, an instruction needs more
pages than can be in memory together, and it would never end."""
OLDEST, UNREFERENCED, ALL_REFERENCED = range(3)

PAGE_OUT = trace.declare(
    "page_out",
    "pfn:Q object:Q page:Q holders:H block:q reason:B passed:Q",
    "A page left memory for a block (-1: its file has it); reason 0: it was the oldest, 1: not "
    "referenced since the hand came by, 2: all were; `passed` frames were looked at before.",
)
PAGE_IN = trace.declare(
    "page_in",
    "pfn:Q object:Q page:Q block:q distance:Q refault:B",
    "A page came back, `distance` page-outs after it had left; refault: memory that held twice "
    "as much would have kept it.",
)
PAGING = trace.declare(
    "paging",
    "minor:Q major:Q outs:Q refaults:Q resident:Q thrashing:B",
    "How many faults there were so far; thrashing: most of the last 64 major ones were refaults.",
)


@dataclass(slots=True)
class Replacement:
    """The frames that may leave, and what has left: the `Pager` of memory objects.

    `queue` has every frame with a page of a memory object that is not locked, oldest first.  It may
    also have frames that were released since.  A frame's page has one number in all objects that
    share it.
    """

    objects: Objects
    shootdowns: Shootdowns
    policy: str
    queue: dict[int, tuple[MemoryObject, int]] = field(default_factory=dict)
    locked: dict[int, tuple[MemoryObject, int]] = field(default_factory=dict)
    """The frames that the hand found locked (mlock).  It skips them until a lock goes."""
    free_blocks: list[int] = field(default_factory=list)
    blocks_used: int = 0
    """Blocks below this were given out, and those in `free_blocks` were given back."""
    majors: int = 0
    outs: int = 0
    refaults: int = 0
    in_vain: int = 0
    passed: int = 0
    """How many frames the hand has passed over since it last took one."""
    recent: list[bool] = field(default_factory=list)
    """Which of the last major faults were refaults."""
    stale: dict[int, tuple[Owner, list[int]]] = field(default_factory=dict)
    """By space, the pages whose A bit was cleared and that TLBs still have as accessed."""

    @property
    def frames(self) -> Frames:
        """The frame table."""
        return self.objects.frames

    @property
    def machine(self) -> Machine:
        """The machine, whose disk takes the pages."""
        return self.objects.frames.machine

    def arrived(self, pfn: int, memory_object: MemoryObject, page: int) -> None:
        """A page of an object is in this frame now: the youngest of all."""
        self.queue.pop(pfn, None)
        self.locked.pop(pfn, None)
        self.queue[pfn] = (memory_object, page)

    def unlocked(self) -> None:
        """A locked region is gone, or locked no more."""
        self.queue.update(self.locked)
        self.locked.clear()

    # Out ----------------------------------------------------------------------------------------

    def make_room(self, count: int) -> None:
        """Take pages out of memory until `count` frames are free or nothing more can go.

        The core leaves the guest, which then fetches anew: even the page it runs in may have gone.
        Raises ENOMEM where pages only come and go.
        """
        if self.in_vain >= IN_VAIN_FAULTS:
            self.in_vain = 0
            raise KernelError(E.NOMEM)
        self.machine.core.leave = True
        while len(self.frames.free) < count:
            candidates, self.passed = len(self.queue), 0
            pfn = self.choose()
            self._forget_accesses()
            if pfn is None:
                return
            reason = OLDEST
            if self.policy == CLOCK:
                reason = UNREFERENCED if self.passed < candidates else ALL_REFERENCED
            self._evict(pfn, reason)

    def choose(self) -> int | None:
        """The frame that has to go: a key of `queue` for which `may_go` holds, or None.

        Under FIFO it is the oldest.  Under clock, one that was referenced since the hand last
        came by is passed over.
        """
        # BEGIN SOLUTION lab3.replacement
        for _ in range(2 * len(self.queue)):
            pfn = next(iter(self.queue), None)
            if pfn is None:
                break
            if self.may_go(pfn) and not (self.policy == CLOCK and self.take_reference(pfn)):
                return pfn
            self.pass_over(pfn)
        return None
        # END SOLUTION lab3.replacement
        # PROMPT lab3.replacement: the oldest that may go; clock gives a second chance.

    def may_go(self, pfn: int) -> bool:
        """Can the page in this frame leave memory now?"""
        memory_object, page = self.queue[pfn]
        holders = self._holders(pfn)
        if not holders or len(holders) != self.frames.refs[pfn]:
            return False
        if self._is_locked(pfn):
            return False
        return self._has_block() or self._is_in_file(memory_object, page, pfn)

    def take_reference(self, pfn: int) -> bool:
        """Was the frame accessed since this was last asked?  Clears the A bits.

        What was cleared goes into `stale`: the pages of each space, by its id.
        """
        # BEGIN SOLUTION lab3.reference
        page, referenced = self.queue[pfn][1], False
        for holder in self._holders(pfn):
            for region, va in rmap.places(holder, page):
                entry = region.space.table.lookup(va)
                if entry & A:
                    referenced = True
                    region.space.table.change(va, entry & ~A)
                    space = region.space
                    self.stale.setdefault(space.id, (space, []))[1].append(va)
        return referenced
        # END SOLUTION lab3.reference
        # PROMPT lab3.reference: ask and clear the A bit in every place that shows the frame.

    def pass_over(self, pfn: int) -> None:
        """The hand moves on: the frame goes to the end of the queue.  A frame that holds no page
        any more, or a locked one, leaves the queue."""
        holders, locked = self._holders(pfn), self._is_locked(pfn)
        entry, self.passed = self.queue.pop(pfn), self.passed + 1
        if locked:
            self.locked[pfn] = entry
        elif holders:
            self.queue[pfn] = entry

    def _forget_accesses(self) -> None:
        for space, pages in self.stale.values():
            space.invalidate(pages, [])
        self.stale.clear()

    def _holders(self, pfn: int) -> list[MemoryObject]:
        memory_object, page = self.queue[pfn]
        return [member for member in memory_object.family if member.pages.get(page) == pfn]

    def _is_locked(self, pfn: int) -> bool:
        page, holders = self.queue[pfn][1], self._holders(pfn)
        places = (place for h in holders for place in rmap.places(h, page))
        return any(h.locked for h in holders) or any(r.flags & LOCKED for r, _ in places)

    def _evict(self, pfn: int, reason: int) -> None:
        """Write the page out, once no core can store into it any more."""
        (memory_object, page), holders = self.queue[pfn], self._holders(pfn)
        for holder in holders:
            rmap.unmap(holder, [page])
        self._settle()
        del self.queue[pfn]
        self.outs += 1
        block = IN_FILE
        if not self._is_in_file(memory_object, page, pfn):
            block = self._take_block()
            self.machine.disk.write(block, self.machine.memory.read(pfn << 12, PAGE_SIZE))
        away = Away(block, len(holders), self.outs)
        for holder in holders:
            del holder.pages[page]
            holder.paged_out[page] = away
            self.frames.release(pfn)
        first, count = holders[0].id, len(holders)
        self.machine.emit(PAGE_OUT, pfn, first, page, count, block, reason, self.passed)

    def _settle(self) -> None:
        """The current core waits inside the kernel until the others have taken their interrupts.

        Then no translation is stale, and the frames that were shot down are released.
        """
        machine, me = self.machine, self.machine.core
        for core in machine.cores:
            if machine.state.mailboxes[core.state.id]:
                machine.take_turn(core)
                for message in machine.take_ipis():
                    self.shootdowns.answer(message)
        machine.take_turn(me)

    def _is_in_file(self, memory_object: MemoryObject, page: int, pfn: int) -> bool:
        """Is it a page of a file, and as it was when it came from there?"""
        if not memory_object.data:
            return False
        held = self.machine.memory.read(pfn << 12, PAGE_SIZE)
        return held == memory_object.first_content(page)

    # In -----------------------------------------------------------------------------------------

    def page_in(self, memory_object: MemoryObject, page: int) -> int:
        """Bring a page back, for all who share it; returns its frame.  Raises ENOMEM."""
        away = memory_object.paged_out[page]
        pfn = self.frames.allocate(memory_object.owner, zero=False)
        self.machine.memory.write(pfn << 12, self.content(memory_object, page))
        for member in memory_object.family:
            if member.paged_out.get(page) is away:
                del member.paged_out[page]
                member.pages[page] = pfn
                self.frames.hold(pfn)
        self.frames.release(pfn)
        self._give_back(away.block)
        self.arrived(pfn, memory_object, page)
        self._count(memory_object, page, pfn, away)
        return pfn

    def content(self, memory_object: MemoryObject, page: int) -> bytes:
        """What a page that is paged out holds; it stays where it is."""
        block = memory_object.paged_out[page].block
        if block != IN_FILE:
            return self.machine.disk.read(block)
        self.machine.charge(costs.DISK_READ)
        return memory_object.first_content(page)

    def let_go(self, away: Away) -> None:
        """An object does not need the page any more."""
        away.holds -= 1
        if not away.holds:
            self._give_back(away.block)

    def _count(self, memory_object: MemoryObject, page: int, pfn: int, away: Away) -> None:
        distance = self.outs - away.left
        refault = distance <= len(self.queue)
        self.majors += 1
        self.refaults += refault
        self.in_vain = self.in_vain + 1 if distance < IN_VAIN_DISTANCE else 0
        self.recent = [*self.recent[1 - TALLY_FAULTS :], refault]
        self.machine.emit(PAGE_IN, pfn, memory_object.id, page, away.block, distance, refault)
        if self.majors % TALLY_FAULTS == 0:
            minors, resident = self.objects.faults - self.majors, len(self.queue)
            totals = (minors, self.majors, self.outs, self.refaults)
            self.machine.emit(PAGING, *totals, resident, self.is_thrashing)

    @property
    def is_thrashing(self) -> bool:
        """Were most of the last major faults for pages that had just left?

        The measure is the refault distance, as in Linux's mm/workingset.c.
        """
        return sum(self.recent) > TALLY_FAULTS // 2

    # Blocks -------------------------------------------------------------------------------------

    def _has_block(self) -> bool:
        return bool(self.free_blocks) or self.blocks_used < self.machine.disk.count

    def _take_block(self) -> int:
        if self.free_blocks:
            return self.free_blocks.pop()
        self.blocks_used += 1
        return self.blocks_used - 1

    def _give_back(self, block: int) -> None:
        if block != IN_FILE:
            self.machine.disk.discard(block)
            self.free_blocks.append(block)


def replacement_of(objects: Objects) -> Replacement | None:
    """The pager of a machine with a paging disk.  `Replacement` is the only one that there is."""
    assert objects.pager is None or isinstance(objects.pager, Replacement)
    return objects.pager
