"""Replacement: which page leaves memory when it is short, and how it comes back.

    frames.reserve ─► make_room ─► choose ─► _evict ─► disk        (a page out)
    frame_to_read  ─► page_in  ◄─ disk                              (a major fault)

Anonymous pages go to the paging disk; a page of a file that holds what the file's content does
is just dropped.  What may not go: page tables, locked pages (mlock), and frames that somebody
holds besides the memory objects.  The policies are the two of every textbook: FIFO, and clock
(Corbato 1968, "A paging experiment with the Multics system"), here as FIFO with a second chance.

Clock reads A bits.  Whoever clears one must invalidate the translation too, or the CPU need not
set it again (SDM vol. 3A, 4.10.4.2); so a page that is in use costs a shootdown at each pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hw import costs, trace
from hw.memory import PAGE_SIZE
from hw.paging import A
from kernel.abi.errno import E, KernelError
from kernel.mm import rmap
from kernel.mm.objects import MemoryObject
from kernel.mm.space import LOCKED, AddressSpace

if TYPE_CHECKING:
    from kernel.kernel import Kernel

CLOCK, FIFO = "clock", "fifo"
POLICIES = (CLOCK, FIFO)
IN_FILE = -1
TALLY_FAULTS = 64
"""After so many major faults there is a `paging` record."""
IN_VAIN_DISTANCE, IN_VAIN_FAULTS = 8, 1024
"""So many pages in a row that had left just before: fewer are left than instructions need, the
rest being page tables, and no instruction would ever end."""
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
    "So many faults so far; thrashing: most of the last 64 major ones were refaults.",
)


@dataclass(slots=True, eq=False)
class Away:
    """A page that is not in memory: its block (or IN_FILE), who holds it, and when it left."""

    block: int
    holds: int
    left: int


@dataclass(slots=True)
class Replacement:
    """The frames that may leave, and what has left.

    `queue` has every frame with a page of a memory object that is not locked, oldest first, and
    perhaps some that were given back since.  A frame's page has one number in all objects that
    share it.
    """

    kernel: Kernel
    policy: str
    queue: dict[int, tuple[MemoryObject, int]] = field(default_factory=dict)
    locked: dict[int, tuple[MemoryObject, int]] = field(default_factory=dict)
    """What the hand found locked (mlock): not looked at again until a lock goes."""
    free_blocks: list[int] = field(default_factory=list)
    blocks_used: int = 0
    """Blocks below this were given out, and those in `free_blocks` were given back."""
    faults: int = 0
    majors: int = 0
    outs: int = 0
    refaults: int = 0
    in_vain: int = 0
    passed: int = 0
    """How many frames the hand has passed over since it last took one."""
    recent: list[bool] = field(default_factory=list)
    """Which of the last major faults were refaults."""
    stale: dict[int, tuple[AddressSpace, list[int]]] = field(default_factory=dict)
    """By space, the pages whose A bit was cleared and that TLBs still have as accessed."""

    def arrived(self, pfn: int, made: MemoryObject, page: int) -> None:
        """Page `page` of `made` is in this frame now: the youngest of all."""
        self.queue.pop(pfn, None)
        self.locked.pop(pfn, None)
        self.queue[pfn] = (made, page)

    def unlocked(self) -> None:
        """A locked region is gone, or locked no more."""
        self.queue.update(self.locked)
        self.locked.clear()

    # Out ----------------------------------------------------------------------------------------

    def make_room(self, count: int) -> None:
        """Take pages out of memory until `count` frames are free or nothing more can go.

        The guest is left, so that it fetches anew: even the page it runs in may have gone.
        Raises ENOMEM where pages do nothing but come and go.
        """
        if self.in_vain >= IN_VAIN_FAULTS:
            self.in_vain = 0
            raise KernelError(E.NOMEM)
        self.kernel.machine.core.leave = True
        while len(self.kernel.frames.free) < count:
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
        made, page = self.queue[pfn]
        holders = self._holders(pfn)
        if not holders or len(holders) != self.kernel.frames.refs[pfn]:
            return False
        if self._is_locked(pfn):
            return False
        return self._has_block() or self._is_in_file(made, page, pfn)

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
        """The hand moves on: the frame is the last to be looked at again.  One that holds no
        page any more, or a locked one, leaves the queue."""
        holders, locked = self._holders(pfn), self._is_locked(pfn)
        entry, self.passed = self.queue.pop(pfn), self.passed + 1
        if locked:
            self.locked[pfn] = entry
        elif holders:
            self.queue[pfn] = entry

    def _forget_accesses(self) -> None:
        for space, pages in self.stale.values():
            space.shootdowns.invalidate(space, pages, [])
        self.stale.clear()

    def _holders(self, pfn: int) -> list[MemoryObject]:
        made, page = self.queue[pfn]
        return [member for member in made.family if member.frames.get(page) == pfn]

    def _is_locked(self, pfn: int) -> bool:
        page = self.queue[pfn][1]
        places = (place for h in self._holders(pfn) for place in rmap.places(h, page))
        return any(region.flags & LOCKED for region, _ in places)

    def _evict(self, pfn: int, reason: int) -> None:
        """Write the page out, once no core can store into it any more."""
        frames, (made, page), holders = self.kernel.frames, self.queue[pfn], self._holders(pfn)
        for holder in holders:
            rmap.unmap(holder, [page])
        self._settle()
        del self.queue[pfn]
        self.outs += 1
        block = IN_FILE
        if not self._is_in_file(made, page, pfn):
            block = self._take_block()
            self.kernel.machine.disk.write(block, frames.machine.memory.read(pfn << 12, PAGE_SIZE))
        away = Away(block, len(holders), self.outs)
        for holder in holders:
            del holder.frames[page]
            holder.paged_out[page] = away
            frames.release(pfn)
        shape = (pfn, holders[0].id, page, len(holders), block, reason, self.passed)
        self._emit(PAGE_OUT, *shape)

    def _settle(self) -> None:
        """The current core waits inside the kernel until the others have taken their interrupts.

        So no translation is stale afterwards, and what was shot down is released.
        """
        kernel, machine = self.kernel, self.kernel.machine
        me, released = machine.core, []
        for core in machine.cores:
            if machine.state.mailboxes[core.state.id]:
                machine.take_turn(core)
                for message in machine.take_ipis():
                    released += kernel.shootdowns.answer(message)
        machine.take_turn(me)
        for thread in released:
            kernel.make_ready(thread)

    def _is_in_file(self, made: MemoryObject, page: int, pfn: int) -> bool:
        """Is it a page of a file, and as it was when it came from there?"""
        if not made.data:
            return False
        held = self.kernel.machine.memory.read(pfn << 12, PAGE_SIZE)
        return held == made.first_content(page)

    # In -----------------------------------------------------------------------------------------

    def page_in(self, made: MemoryObject, page: int) -> int:
        """Bring a page back, for all who share it; returns its frame.  Raises ENOMEM."""
        frames, away = self.kernel.frames, made.paged_out[page]
        pfn = frames.allocate(made.owner, zero=False)
        frames.machine.memory.write(pfn << 12, self.content(made, page))
        for member in made.family:
            if member.paged_out.get(page) is away:
                del member.paged_out[page]
                member.frames[page] = pfn
                frames.hold(pfn)
        frames.release(pfn)
        self._give_back(away.block)
        self.arrived(pfn, made, page)
        self._count(made, page, pfn, away)
        return pfn

    def content(self, made: MemoryObject, page: int) -> bytes:
        """What a page that is paged out holds; it stays where it is."""
        block, disk = made.paged_out[page].block, self.kernel.machine.disk
        if block != IN_FILE:
            return disk.read(block)
        self.kernel.machine.charge(costs.DISK_READ)
        return made.first_content(page)

    def let_go(self, away: Away) -> None:
        """An object does not need the page any more."""
        away.holds -= 1
        if not away.holds:
            self._give_back(away.block)

    def _count(self, made: MemoryObject, page: int, pfn: int, away: Away) -> None:
        distance = self.outs - away.left
        refault = distance <= len(self.queue)
        self.majors += 1
        self.refaults += refault
        self.in_vain = self.in_vain + 1 if distance < IN_VAIN_DISTANCE else 0
        self.recent = [*self.recent[1 - TALLY_FAULTS :], refault]
        self._emit(PAGE_IN, pfn, made.id, page, away.block, distance, refault)
        if self.majors % TALLY_FAULTS == 0:
            shape = (self.faults - self.majors, self.majors, self.outs, self.refaults)
            self._emit(PAGING, *shape, len(self.queue), self.is_thrashing)

    @property
    def is_thrashing(self) -> bool:
        """Were most of the last major faults for pages that had just left?  (Weiner's refault
        distance: Linux mm/workingset.c.)"""
        return sum(self.recent) > TALLY_FAULTS // 2

    # Blocks -------------------------------------------------------------------------------------

    def _has_block(self) -> bool:
        return bool(self.free_blocks) or self.blocks_used < self.kernel.machine.disk.count

    def _take_block(self) -> int:
        if self.free_blocks:
            return self.free_blocks.pop()
        self.blocks_used += 1
        return self.blocks_used - 1

    def _give_back(self, block: int) -> None:
        if block != IN_FILE:
            self.kernel.machine.disk.discard(block)
            self.free_blocks.append(block)

    def _emit(self, kind: trace.Kind, *values: object) -> None:
        if self.kernel.machine.trace:
            self.kernel.machine.trace.emit(kind, *values)
