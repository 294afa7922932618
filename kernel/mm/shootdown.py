"""Keeping TLBs true: tags for address spaces, and invalidation on every core.

Each core has a few tags (PCIDs) and gives them out like Linux (arch/x86/mm/tlb.c): a tag
remembers its space and the space's generation; when a space is loaded whose generation moved
on, or which has no tag here, the load flushes.  So a core that does not run a space needs no
interrupt.  Cores that run it get one, and the initiator waits until all have answered; frames
that the old translations led to are released only then.

A view shows the memory of several spaces (`AddressSpace.shows`), so what changes in one of them
is stale in every view of it.  The generation of a view is the sum of theirs: nobody needs to
count up in each view, however many there are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hw import costs, trace
from hw.machine import Machine
from hw.mmu import CR3_NOFLUSH

if TYPE_CHECKING:
    from kernel.mm.frames import Frames
    from kernel.mm.space import AddressSpace
    from kernel.task.process import Thread

FLUSH_ALL_ABOVE_PAGES = 33
"""Past this many pages it is cheaper to flush the whole tag, as in Linux."""

TAG_NONE, TAG_ANY, TAG_KEPT = range(3)
"""What a space asks of tags: to be flushed at each load, one while there are enough, to keep it."""

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
    kept: bool = False
    """Not to be recycled while there are others (`vas_ctl`)."""


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
    generations: dict[int, int]
    """By seat: the generation that what it runs has had since."""
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
    limbo: list[int] = field(default_factory=list)
    """Frames that wait for all shootdowns to end."""
    made: int = 0

    def __post_init__(self) -> None:
        self.seats = [Seat(core.state.id, []) for core in self.machine.cores]
        self.forget_tags()

    def forget_tags(self) -> None:
        """No tag stands for any space yet."""
        count = self.pcids if self.machine.config.pcid else 1
        for seat in self.seats:
            seat.tags = [Tag() for _ in range(count)]

    @property
    def seat(self) -> Seat:
        """The current core's."""
        return self.seats[self.machine.core.state.id]

    def load(self, space: AddressSpace) -> None:
        """Make the current core translate through `space`, flushing only what may be stale."""
        seat, now = self.seats[self.machine.core.state.id], generation(space)
        tag = seat.tags[max(0, seat.pcid - 1)]
        if seat.space is space and tag.space == space.id and tag.generation == now:
            return
        self.machine.charge(costs.SPACE_LOAD)
        pcid, keep = self._assign(seat, space, now)
        seat.space, seat.pcid = space, pcid
        value = space.table.root_pa | (pcid if self.machine.config.pcid else 0)
        self.machine.core.load_cr3(value | (CR3_NOFLUSH if keep else 0))

    def _assign(self, seat: Seat, space: AddressSpace, now: int) -> tuple[int, bool]:
        """The tag for `space`, of generation `now`, and whether its entries are still good."""
        if not self.machine.config.pcid:
            seat.tags[0] = Tag(space.id, now)
            return 1, False
        for pcid, tag in enumerate(seat.tags, 1):
            if tag.space == space.id:
                # BEGIN SOLUTION lab2.hunt_tag
                fresh = tag.generation == now and space.tagging != TAG_NONE
                # END SOLUTION lab2.hunt_tag
                # PLANTED lab2.hunt_tag: fresh = space.tagging != TAG_NONE
                tag.generation = now
                return pcid, fresh
        pcid = self._recycle(seat)
        seat.tags[pcid - 1] = Tag(space.id, now, space.tagging == TAG_KEPT)
        # BEGIN SOLUTION lab2.hunt_reuse
        return pcid, False
        # END SOLUTION lab2.hunt_reuse
        # PLANTED lab2.hunt_reuse: return pcid, True

    def _recycle(self, seat: Seat) -> int:
        """The tag to give away next: in turn, passing over those that a view asked to keep."""
        for _ in seat.tags:
            pcid = seat.next_tag + 1
            seat.next_tag = pcid % len(seat.tags)
            if not seat.tags[pcid - 1].kept:
                break
        return pcid

    def forget_tag(self, space: AddressSpace) -> None:
        """Whatever tag `space` has is not its own any more: its next load flushes."""
        for seat in self.seats:
            for tag in seat.tags:
                if tag.space == space.id:
                    tag.space, tag.generation, tag.kept = 0, -1, False

    def invalidate(self, space: AddressSpace, pages: list[int], frames: list[int]) -> None:
        """The leaves of `pages` have changed: no core may use the old ones any more.

        `frames` are released as soon as that is so.
        """
        if pages:
            space.generation += 1
            me = self.seat
            if shown_by(space, me.space):
                self._flush(me, pages)
            others = [seat for seat in self.seats if seat is not me and seat.thread]
            targets = [seat for seat in others if shown_by(space, seat.space)]
            if targets:
                self._interrupt(space, pages, frames, targets)
                return
        self.release(space.objects.table, frames)

    def release(self, table: Frames, frames: list[int]) -> None:
        """Nothing maps `frames` any more: give them back, once no shootdown is under way.

        One that began earlier, for another space, may be about the very same frames.
        """
        if self.open:
            self.limbo += frames
            return
        for pfn in frames:
            table.release(pfn)

    def _interrupt(
        self, space: AddressSpace, pages: list[int], frames: list[int], targets: list[Seat]
    ) -> None:
        self.made += 1
        now = {seat.id: generation(seat.space) for seat in targets if seat.space}
        down = Shootdown(self.made, space, now, pages, frames, len(targets), self.seat)
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
        if shown_by(down.space, seat.space):
            # BEGIN SOLUTION lab2.hunt_core
            self._flush(seat, down.pages, down.generations[seat.id])
            # END SOLUTION lab2.hunt_core
            # PLANTED lab2.hunt_core: self._flush(seat, down.pages[:1], down.generations[seat.id])
        down.waiting -= 1
        return [] if down.waiting else self._finish(down)

    def _finish(self, down: Shootdown) -> list[Thread]:
        del self.open[down.id]
        frames, self.limbo = self.limbo + down.frames, []
        self.release(down.space.objects.table, frames)
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

    def _flush(self, seat: Seat, pages: list[int], now: int | None = None) -> None:
        """Drop `pages` on the current core, whose space has had generation `now` since."""
        assert seat.space is not None
        core, tag = self.machine.core, seat.tags[seat.pcid - 1]
        now = generation(seat.space) if now is None else now
        pcid = seat.pcid if self.machine.config.pcid else 0
        if tag.generation == now - 1 and len(pages) <= FLUSH_ALL_ABOVE_PAGES:
            for va in pages:
                core.invlpg(va, pcid)
        elif tag.generation < now:
            core.flush_pcid(pcid)
        tag.generation = max(tag.generation, now)


def generation(space: AddressSpace) -> int:
    """How often translations of `space` have gone stale, its own and those it shows of others."""
    total = space.generation
    for layer in space.shows:
        total += layer.generation
    return total


def shown_by(space: AddressSpace, loaded: AddressSpace | None) -> bool:
    """Does a core with `loaded` in CR3 translate through tables of `space`?"""
    return loaded is space or (loaded is not None and space in loaded.shows)
