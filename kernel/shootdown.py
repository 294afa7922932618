"""Keeping TLBs true: tags for address spaces, and invalidation on every core.

Each core has a few tags (PCIDs) and gives them out like Linux (arch/x86/mm/tlb.c): a tag
remembers its space and the space's generation; when a space is loaded whose generation moved
on, or which has no tag here, the load flushes.  So a core that does not run a space needs no
interrupt.  Cores that run it get one, and the initiator waits until all have answered; frames
that the old translations led to are released only then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hw import trace
from hw.machine import Machine
from hw.mmu import CR3_NOFLUSH

if TYPE_CHECKING:
    from kernel.process import Thread
    from kernel.space import AddressSpace

FLUSH_ALL_ABOVE_PAGES = 33
"""Past this many pages it is cheaper to flush the whole tag, as in Linux."""

SHOOTDOWN = trace.declare(
    "shootdown",
    "id:Q space:Q pages:Q waiting:B",
    "Stale translations: `waiting` cores must answer.",
)
SHOOTDOWN_DONE = trace.declare("shootdown_done", "id:Q", "The last core has answered.")


@dataclass(slots=True)
class Tag:
    """A PCID of one core: the space it stands for and the generation its entries are from."""

    space: int = 0
    generation: int = -1


@dataclass(slots=True, eq=False)
class Seat:
    """What the kernel keeps per core."""

    id: int
    tags: list[Tag]
    next_tag: int = 0
    pcid: int = 0
    space: AddressSpace | None = None
    thread: Thread | None = None
    loaded: Thread | None = None
    """Whose context the core's registers hold; it may have stopped running here."""
    waiting: int = 0
    """Shootdowns of its own that this core must see finished before it goes on."""
    held_back: list[Thread] = field(default_factory=list)
    """Threads that may start only then."""
    reschedule: bool = False
    """The thread must give up this core at the next chance (Linux's TIF_NEED_RESCHED)."""


@dataclass(slots=True)
class Shootdown:
    """One invalidation under way."""

    id: int
    space: AddressSpace
    generation: int
    pages: list[int]
    frames: list[int]
    """To be released at the end."""
    waiting: int
    initiator: Seat


@dataclass(slots=True)
class Shootdowns:
    """Invalidation for all spaces."""

    machine: Machine
    pcids: int
    seats: list[Seat] = field(init=False)
    open: dict[int, Shootdown] = field(default_factory=dict)
    made: int = 0

    def __post_init__(self) -> None:
        count = self.pcids if self.machine.config.pcid else 1
        self.seats = [
            Seat(core.state.id, [Tag() for _ in range(count)]) for core in self.machine.cores
        ]

    @property
    def seat(self) -> Seat:
        """The current core's."""
        return self.seats[self.machine.core.state.id]

    def load(self, space: AddressSpace) -> None:
        """Make the current core translate through `space`, flushing only what may be stale."""
        seat = self.seat
        tag = seat.tags[max(0, seat.pcid - 1)]
        if seat.space is space and tag.space == space.id and tag.generation == space.generation:
            return
        pcid, keep = self._assign(seat, space)
        seat.space, seat.pcid = space, pcid
        value = space.table.root_pa | (pcid if self.machine.config.pcid else 0)
        self.machine.core.load_cr3(value | (CR3_NOFLUSH if keep else 0))

    def _assign(self, seat: Seat, space: AddressSpace) -> tuple[int, bool]:
        """The tag for `space` on this core, and whether its entries are still good."""
        if not self.machine.config.pcid:
            seat.tags[0] = Tag(space.id, space.generation)
            return 1, False
        for pcid, tag in enumerate(seat.tags, 1):
            if tag.space == space.id:
                fresh = tag.generation == space.generation
                tag.generation = space.generation
                return pcid, fresh
        pcid = seat.next_tag + 1
        seat.next_tag = pcid % len(seat.tags)
        seat.tags[pcid - 1] = Tag(space.id, space.generation)
        return pcid, False

    def invalidate(self, space: AddressSpace, pages: list[int], frames: list[int]) -> None:
        """The leaves of `pages` have changed: no core may use the old ones any more.

        `frames` are released as soon as that is so.
        """
        if pages:
            space.generation += 1
            me = self.seat
            if me.space is space:
                self._flush(me, pages, space.generation)
            targets = [s for s in self.seats if s is not me and s.thread and s.space is space]
            if targets:
                self._interrupt(space, pages, frames, targets)
                return
        for pfn in frames:
            space.objects.table.release(pfn)

    def _interrupt(
        self, space: AddressSpace, pages: list[int], frames: list[int], targets: list[Seat]
    ) -> None:
        self.made += 1
        down = Shootdown(self.made, space, space.generation, pages, frames, len(targets), self.seat)
        self.open[down.id] = down
        self.seat.waiting += 1
        self.machine.core.leave = True
        if self.machine.trace:
            self.machine.trace.emit(SHOOTDOWN, down.id, space.id, len(pages), len(targets))
        for seat in targets:
            self.machine.send_ipi(seat.id, down.id)

    def answer(self, number: int) -> list[Thread]:
        """The current core takes the interrupt of shootdown `number`.

        Returns the threads that may start because this was the last answer.
        """
        down, seat = self.open[number], self.seat
        if seat.space is down.space:
            self._flush(seat, down.pages, down.generation)
        down.waiting -= 1
        return [] if down.waiting else self._finish(down)

    def _finish(self, down: Shootdown) -> list[Thread]:
        del self.open[down.id]
        for pfn in down.frames:
            down.space.objects.table.release(pfn)
        if self.machine.trace:
            self.machine.trace.emit(SHOOTDOWN_DONE, down.id)
        seat = down.initiator
        seat.waiting -= 1
        if seat.waiting:
            return []
        core, me = self.machine.cores[seat.id].state, self.machine.core.state
        core.cycles = max(core.cycles, me.cycles)
        released, seat.held_back = seat.held_back, []
        return released

    def _flush(self, seat: Seat, pages: list[int], generation: int) -> None:
        core, tag = self.machine.core, seat.tags[seat.pcid - 1]
        pcid = seat.pcid if self.machine.config.pcid else 0
        if tag.generation == generation - 1 and len(pages) <= FLUSH_ALL_ABOVE_PAGES:
            for va in pages:
                core.invlpg(va, pcid)
        elif tag.generation < generation:
            core.flush_pcid(pcid)
        tag.generation = max(tag.generation, generation)
