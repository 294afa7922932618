"""TLB coherence: tags for address spaces, and invalidation on every core.

Each core has a few tags (PCIDs).  The kernel assigns them like Linux (arch/x86/mm/tlb.c): a tag
records its space and the space's generation.  The load of a space flushes if the space has no tag
on this core, or if its generation has changed.  So a core that does not run a space needs no
interrupt.  Cores that run it get one, and the initiator waits until all have answered.  Only then
the kernel releases the frames to which the old translations led.

A view shows the memory of several spaces (`Tagged.shows`).  A change in one of them makes
translations stale in every view of it.  The generation of a view is the sum of the spaces'
generations, so no view needs a counter of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hw import costs, trace
from hw.machine import Machine
from hw.mmu import CR3_NOFLUSH
from kernel.mm.frames import Frames

FLUSH_ALL_ABOVE_PAGES = 33
"""For more pages than this it is cheaper to flush the whole tag, as in Linux."""

TAG_NONE, TAG_ANY, TAG_KEPT = range(3)
"""A space's use of tags: none (each load flushes), any tag that is free, or a tag that it keeps."""

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
    """Recycled only if every tag is kept (`vas_ctl`)."""


class Tagged(Protocol):
    """The owner of tagged translations: an address space, or a view of several."""

    id: int
    generation: int
    tagging: int

    @property
    def shows(self) -> Sequence[Tagged]:
        """The spaces whose memory this one shows besides its own."""

    @property
    def root_pa(self) -> int:
        """The physical address of its top-level page table."""


class Waiter(Protocol):
    """The scheduler.  It has threads that may continue only when a shootdown has ended."""

    def core_goes_on(self, core_id: int) -> None:
        """All shootdowns of this core have ended."""


@dataclass(slots=True, eq=False)
class CoreTlb:
    """The kernel's record of one core's TLBs: the assigned tags, and the loaded space."""

    id: int
    tags: list[Tag]
    next_tag: int = 0
    pcid: int = 0
    space: Tagged | None = None
    running: bool = False
    """A thread runs here, so stale translations must go at once (as Linux's `is_lazy`)."""
    waiting: int = 0
    """Shootdowns that this core began; it continues when all of them have ended."""


@dataclass(slots=True)
class Shootdown:
    """One invalidation under way."""

    id: int
    space: Tagged
    generations: dict[int, int]
    """By core: the generation of the space that it runs, after this change."""
    pages: list[int]
    frames: list[int]
    """The kernel releases these at the end."""
    waiting: int
    initiator: CoreTlb


@dataclass(slots=True)
class Shootdowns:
    """Invalidation for all spaces."""

    machine: Machine
    frames: Frames
    pcids: int
    cores: list[CoreTlb] = field(init=False)
    waiter: Waiter | None = None
    open: dict[int, Shootdown] = field(default_factory=dict)
    limbo: list[int] = field(default_factory=list)
    """Frames to release when all shootdowns have ended."""
    made: int = 0

    def __post_init__(self) -> None:
        self.cores = [CoreTlb(core.state.id, []) for core in self.machine.cores]
        self.forget_tags()

    def forget_tags(self) -> None:
        """No tag stands for any space yet."""
        count = self.pcids if self.machine.config.pcid else 1
        for tlb in self.cores:
            tlb.tags = [Tag() for _ in range(count)]

    @property
    def current(self) -> CoreTlb:
        """The record of the current core."""
        return self.cores[self.machine.core.state.id]

    def load(self, space: Tagged) -> None:
        """Make the current core translate through `space`.  Flush only if its tag may be stale."""
        tlb, now = self.current, generation(space)
        tag = tlb.tags[max(0, tlb.pcid - 1)]
        if tlb.space is space and tag.space == space.id and tag.generation == now:
            return
        if self.machine.config.pcid:
            self.machine.charge(costs.SPACE_LOAD)  # without tags there is nothing to look up
        pcid, keep = self._assign(tlb, space, now)
        tlb.space, tlb.pcid = space, pcid
        value = space.root_pa | (pcid if self.machine.config.pcid else 0)
        self.machine.core.load_cr3(value | (CR3_NOFLUSH if keep else 0))

    def _assign(self, tlb: CoreTlb, space: Tagged, now: int) -> tuple[int, bool]:
        """The tag for `space`, of generation `now`, and whether its entries are still valid."""
        if not self.machine.config.pcid:
            tlb.tags[0] = Tag(space.id, now)
            return 1, False
        for pcid, tag in enumerate(tlb.tags, 1):
            if tag.space == space.id:
                # BEGIN SOLUTION lab2.hunt_tag
                fresh = tag.generation == now and space.tagging != TAG_NONE
                # END SOLUTION lab2.hunt_tag
                # PLANTED lab2.hunt_tag: fresh = space.tagging != TAG_NONE
                tag.generation = now
                return pcid, fresh
        pcid = self._recycle(tlb)
        tlb.tags[pcid - 1] = Tag(space.id, now, space.tagging == TAG_KEPT)
        # BEGIN SOLUTION lab2.hunt_reuse
        return pcid, False
        # END SOLUTION lab2.hunt_reuse
        # PLANTED lab2.hunt_reuse: return pcid, True

    def _recycle(self, tlb: CoreTlb) -> int:
        """The tag to assign next: in turn, but not one that a view keeps, if there is another."""
        for _ in tlb.tags:
            pcid = tlb.next_tag + 1
            tlb.next_tag = pcid % len(tlb.tags)
            if not tlb.tags[pcid - 1].kept:
                break
        return pcid

    def forget(self, space: Tagged) -> None:
        """Before `space` is destroyed: no core has it loaded any more, and it has no tag."""
        for tlb in self.cores:
            if tlb.space is space:
                tlb.space = None
        self.forget_tag(space)

    def forget_tag(self, space: Tagged) -> None:
        """No tag stands for `space` any more: its next load flushes."""
        for tlb in self.cores:
            for tag in tlb.tags:
                if tag.space == space.id:
                    tag.space, tag.generation, tag.kept = 0, -1, False

    def invalidate(self, space: Tagged, pages: list[int], frames: list[int]) -> None:
        """The leaves of `pages` have changed: no core may use the old ones any more.

        The kernel releases `frames` when no core can.
        """
        if pages:
            space.generation += 1
            me = self.current
            if shown_by(space, me.space):
                self._flush(me, pages)
            others = [tlb for tlb in self.cores if tlb is not me and tlb.running]
            targets = [tlb for tlb in others if shown_by(space, tlb.space)]
            if targets:
                self._interrupt(space, pages, frames, targets)
                return
        self.release(frames)

    def release(self, frames: list[int]) -> None:
        """Nothing maps `frames` any more: release them when no shootdown is under way.

        A shootdown for another space may have begun earlier and concern the same frames.
        """
        if self.open:
            self.limbo += frames
            return
        for pfn in frames:
            self.frames.release(pfn)

    def _interrupt(
        self, space: Tagged, pages: list[int], frames: list[int], targets: list[CoreTlb]
    ) -> None:
        self.made += 1
        now = {tlb.id: generation(tlb.space) for tlb in targets if tlb.space}
        down = Shootdown(
            id=self.made,
            space=space,
            generations=now,
            pages=pages,
            frames=frames,
            waiting=len(targets),
            initiator=self.current,
        )
        self.open[down.id] = down
        self.current.waiting += 1
        self.machine.core.leave = True
        if self.machine.trace:
            self.machine.trace.emit(SHOOTDOWN, down.id, space.id, len(pages), len(targets))
        for tlb in targets:
            self.machine.send_ipi(tlb.id, down.id)

    def answer(self, number: int) -> None:
        """The current core takes the interrupt of shootdown `number`.

        After the last answer the core that began it continues.
        """
        down, tlb = self.open[number], self.current
        if shown_by(down.space, tlb.space):
            # BEGIN SOLUTION lab2.hunt_core
            self._flush(tlb, down.pages, down.generations[tlb.id])
            # END SOLUTION lab2.hunt_core
            # PLANTED lab2.hunt_core: self._flush(tlb, down.pages[:1], down.generations[tlb.id])
        down.waiting -= 1
        if not down.waiting:
            self._finish(down)

    def _finish(self, down: Shootdown) -> None:
        del self.open[down.id]
        frames, self.limbo = self.limbo + down.frames, []
        self.release(frames)
        if self.machine.trace:
            self.machine.trace.emit(SHOOTDOWN_DONE, down.id)
        tlb = down.initiator
        tlb.waiting -= 1
        if tlb.waiting:
            return
        core, me = self.machine.cores[tlb.id].state, self.machine.core.state
        core.cycles = max(core.cycles, me.cycles)
        if self.waiter is not None:
            self.waiter.core_goes_on(tlb.id)

    def _flush(self, tlb: CoreTlb, pages: list[int], now: int | None = None) -> None:
        """Drop `pages` on the current core; `now` is its space's generation after the change."""
        assert tlb.space is not None
        core, tag = self.machine.core, tlb.tags[tlb.pcid - 1]
        now = generation(tlb.space) if now is None else now
        pcid = tlb.pcid if self.machine.config.pcid else 0
        if tag.generation == now - 1 and len(pages) <= FLUSH_ALL_ABOVE_PAGES:
            for va in pages:
                core.invlpg(va, pcid)
        elif tag.generation < now:
            core.flush_pcid(pcid)
        tag.generation = max(tag.generation, now)


def generation(space: Tagged) -> int:
    """How often translations of `space`, or of spaces that it shows, have become stale."""
    total = space.generation
    for layer in space.shows:
        total += layer.generation
    return total


def shown_by(space: Tagged, loaded: Tagged | None) -> bool:
    """Does a core with `loaded` in CR3 translate through tables of `space`?"""
    return loaded is space or (loaded is not None and space in loaded.shows)
