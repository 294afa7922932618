"""Keeping TLBs true: tags for address spaces, and invalidation on every core.

Each core has a few tags (PCIDs) and gives them out like Linux (arch/x86/mm/tlb.c): a tag
remembers its space and the space's generation; when a space is loaded whose generation moved
on, or which has no tag here, the load flushes.  So a core that does not run a space needs no
interrupt.  Cores that run it get one, and the initiator waits until all have answered; frames
that the old translations led to are released only then.

A view shows the memory of several spaces (`Tagged.shows`), so what changes in one of them is stale
in every view of it.  The generation of a view is the sum of theirs: nobody counts up in each view.
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


class Tagged(Protocol):
    """What translations are tagged for: an address space, or a view of several."""

    id: int
    generation: int
    tagging: int

    @property
    def shows(self) -> Sequence[Tagged]:
        """The spaces whose memory this one shows besides its own."""

    @property
    def root_pa(self) -> int:
        """Where its top-level page table is."""


class Waiter(Protocol):
    """Who has threads that may start only when a shootdown has ended: the scheduler."""

    def core_goes_on(self, core_id: int) -> None:
        """All shootdowns of this core have ended."""


@dataclass(slots=True, eq=False)
class CoreTlb:
    """What the kernel knows of the TLBs of one core: tags given out, and what is loaded."""

    id: int
    tags: list[Tag]
    next_tag: int = 0
    pcid: int = 0
    space: Tagged | None = None
    running: bool = False
    """A thread runs here, so stale translations must go at once (as Linux's `is_lazy`)."""
    waiting: int = 0
    """Shootdowns of its own that this core must see finished before it goes on."""


@dataclass(slots=True)
class Shootdown:
    """One invalidation under way."""

    id: int
    space: Tagged
    generations: dict[int, int]
    """By core: the generation that the space it runs has had since."""
    pages: list[int]
    frames: list[int]
    """To be released at the end."""
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
    """Frames that wait for all shootdowns to end."""
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
        """The current core's."""
        return self.cores[self.machine.core.state.id]

    def load(self, space: Tagged) -> None:
        """Make the current core translate through `space`, flushing only what may be stale."""
        tlb, now = self.current, generation(space)
        tag = tlb.tags[max(0, tlb.pcid - 1)]
        if tlb.space is space and tag.space == space.id and tag.generation == now:
            return
        self.machine.charge(costs.SPACE_LOAD)
        pcid, keep = self._assign(tlb, space, now)
        tlb.space, tlb.pcid = space, pcid
        value = space.root_pa | (pcid if self.machine.config.pcid else 0)
        self.machine.core.load_cr3(value | (CR3_NOFLUSH if keep else 0))

    def _assign(self, tlb: CoreTlb, space: Tagged, now: int) -> tuple[int, bool]:
        """The tag for `space`, of generation `now`, and whether its entries are still good."""
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
        """The tag to give away next: in turn, passing over those that a view asked to keep."""
        for _ in tlb.tags:
            pcid = tlb.next_tag + 1
            tlb.next_tag = pcid % len(tlb.tags)
            if not tlb.tags[pcid - 1].kept:
                break
        return pcid

    def forget(self, space: Tagged) -> None:
        """`space` is about to be destroyed: no core has it loaded any more, and no tag is its."""
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

        `frames` are released as soon as that is so.
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
        """Nothing maps `frames` any more: give them back, once no shootdown is under way.

        One that began earlier, for another space, may be about the very same frames.
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

        The last answer lets the core that began it go on.
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
        """Drop `pages` on the current core, whose space has had generation `now` since."""
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
    """How often translations of `space` have gone stale, its own and those it shows of others."""
    total = space.generation
    for layer in space.shows:
        total += layer.generation
    return total


def shown_by(space: Tagged, loaded: Tagged | None) -> bool:
    """Does a core with `loaded` in CR3 translate through tables of `space`?"""
    return loaded is space or (loaded is not None and space in loaded.shows)
