"""Cuts the power at every persistent write of a random script, and looks at what is there then.

A script is a list of steps: calls that make, change and delete persistent objects, and stores.  A
`Model` knows what each step leaves.  After a cut in a step, each object is as it was before the
step or after it, and each line has one of the values that it may have.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hw.nvm import PowerCut
from kernel import invariants
from kernel.choose import DATA, Chooser
from kernel.kernel import Kernel
from kernel.nvm.check import read
from kernel.vas.persistent import PERSISTENT, Persistence
from kernel.vas.records import Named, Segment
from tests.kernel.images import MODE, MemoryImage, booted
from tests.kernel.system import LAST
from tests.kernel.vas_world import PAGE, RW, World

MS_SYNC = 4
PROT_RW, PRIVATE_FIXED = 3, 0x32
SEGMENTS, VASES = ("a", "b", "c"), ("x", "y")
BASE, STEP = 0x10_0000_0000, 0x1_0000_0000
STEPS = 60
Lines = dict[int, set[int]]
"""By address, the values that may be there."""
Layout = dict[tuple[str, bytes], tuple[Any, ...]]


def layout(kernel: Kernel) -> Layout:
    """What the system has of each persistent object, but for its pages."""
    found: Layout = {}
    persistence = kernel.persistence
    assert isinstance(persistence, Persistence)
    for named in (*kernel.vases.segments.values(), *kernel.vases.vases.values()):
        if named.mode & PERSISTENT:
            record = persistence.record(named)
            head = (record.id, record.mode, record.user, record.group, record.body)
            found[_kind(named), record.name] = (*head, [_shape(runs) for runs in record.objects])
    return found


def _kind(named: Named) -> str:
    return "segment" if isinstance(named, Segment) else "VAS"


def _shape(runs: list[tuple[int, int, int]]) -> int:
    """How many pages there are; where they are is nobody's business."""
    return sum(count for _, _, count in runs)


@dataclass
class Script:
    """A machine that goes through the steps; the same choices come again for the same seed."""

    seed: int
    image: MemoryImage
    world: World = field(init=False)
    lines: Lines = field(default_factory=dict)
    before: list[Layout] = field(default_factory=list)
    old_lines: Lines = field(default_factory=dict)
    done: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = booted(self.image)
        self.chooser = Chooser(self.seed)

    def below(self, bound: int) -> int:
        return self.chooser.choose(DATA, bound)

    def run(self, cut_at: int | None = None) -> int:
        """Take all steps; returns the number of persistent writes.  Raises `PowerCut`."""
        nvm = self.world.kernel.machine.nvm
        nvm.cut_at = cut_at
        for _ in range(STEPS):
            self.old_lines = {at: set(values) for at, values in self.lines.items()}
            self.before = [layout(self.world.kernel)]
            step = self.STEPS[self.below(len(self.STEPS))]
            self.done.append(step.__name__)
            step(self)
        return nvm.state.writes

    # Steps --------------------------------------------------------------------------------------

    def _id(self, name: str, *, vas: bool = False) -> int:
        call = "vas_find" if vas else "vas_seg_find"
        return self.world.ask(call, self.world.text(name))

    def _segment(self) -> tuple[str, int]:
        name = SEGMENTS[self.below(len(SEGMENTS))]
        return name, BASE + SEGMENTS.index(name) * STEP

    def make_segment(self) -> None:
        name, at = self._segment()
        pages = 1 + self.below(4)
        world = self.world
        sid = world.segment(name, at, pages, mode=MODE if self.below(4) else 0o600)
        if sid > 0:
            self.lines |= {at + page * PAGE: {0} for page in range(pages)}
            world.ask("vas_seg_attach", 0, sid, RW)

    def make_vas(self) -> None:
        self.world.vas(VASES[self.below(2)], mode=MODE)

    def store(self) -> None:
        _, at = self._segment()
        at += self.below(4) * PAGE
        value = 1 + self.below(255)
        self._store(at, value)

    def _store(self, at: int, value: int) -> None:
        world = self.world
        world.run_on(0, world.thread)
        if world.touch(0, at, value) is not None:
            self.lines.setdefault(at, {0}).add(value)

    def sync(self) -> None:
        _, at = self._segment()
        world, space = self.world, self.world.process.space
        region = space.map.find(at)
        if region is None:
            return
        assert world.ask("msync", at, region.end - at, MS_SYNC) == 0
        for page in range(at, region.end, PAGE):
            world.run_on(0, world.thread)
            value = world.touch(0, page)
            assert value is not None
            self.lines[page] = {value}

    def change_segment(self) -> None:
        """Other rights, or another kind of memory: it is attached again afterwards."""
        name, _ = self._segment()
        world, sid = self.world, self._id(name)
        mode = (0o600, 0o640, 0o666)[self.below(3)] | (PERSISTENT if self.below(3) else 0)
        if sid < 0:
            return
        detached = self.below(2) and world.ask("vas_seg_detach", 0, sid) == 0
        world.ask("vas_seg_setattr", sid, world.put(struct.pack("<III", mode, 1000, 100)))
        if detached:
            world.ask("vas_seg_attach", 0, sid, RW)

    def change_vas(self) -> None:
        vid, mode = self._id(VASES[self.below(2)], vas=True), MODE | self.below(7)
        if vid > 0:
            attributes = struct.pack("<III", mode & (PERSISTENT | 0o666), 1000, 100)
            self.world.ask("vas_setattr", vid, self.world.put(attributes))

    def link(self) -> None:
        vid, (name, _) = self._id(VASES[self.below(2)], vas=True), self._segment()
        sid = self._id(name)
        if vid > 0 and sid > 0:
            world = self.world
            detached = world.ask("vas_seg_detach", 0, sid) == 0
            call = "vas_seg_attach" if self.below(2) else "vas_seg_detach"
            world.ask(call, vid, sid, 0)
            if detached:
                world.ask("vas_seg_attach", 0, sid, RW)

    def map_inside(self) -> None:
        """A mapping comes, grows, changes or goes inside a VAS."""
        world, vid = self.world, self._id(VASES[self.below(2)], vas=True)
        if vid < 0 or world.ask("vas_attach", 0, vid, RW) or world.ask("vas_switch", vid):
            return
        at = BASE + 8 * STEP + self.below(3) * PAGE
        what, pages = self.below(4), 1 + self.below(3)
        if what == 0:
            world.ask("munmap", at, pages * PAGE)
        elif what == 1:
            world.ask("mprotect", at, pages * PAGE, 1 + 2 * self.below(2))
        elif what == 2:
            world.ask("mremap", at, PAGE, (1 + pages) * PAGE, 1, 0)
        elif not world.process.space.map.busy(at, at + pages * PAGE):
            busy = world.thread.space.map.busy(at, at + pages * PAGE)
            if not busy:
                world.ask("mmap", at, pages * PAGE, PROT_RW, PRIVATE_FIXED, -1, 0)
        world.ask("vas_switch", 0)
        world.ask("vas_detach", 0, vid)

    def drop_segment(self) -> None:
        name, _ = self._segment()
        sid = self._id(name)
        if sid > 0:
            self.world.ask("vas_seg_detach", 0, sid)
            self.world.ask("vas_seg_delete", sid)

    def drop_vas(self) -> None:
        vid = self._id(VASES[self.below(2)], vas=True)
        if vid > 0:
            self.world.ask("vas_delete", vid)

    STEPS: tuple[Callable[[Script], None], ...] = (
        *(make_segment, make_segment, make_vas, store, store, store, sync, change_segment),
        *(change_vas, link, map_inside, map_inside, drop_segment, drop_vas),
    )


def look(script: Script, image: MemoryImage, seed: int) -> None:
    """The power was cut in the last step: what is there must be old or new."""
    old, old_lines = script.before[0], script.old_lines
    script.world.kernel.machine.nvm.lose_power(seed)
    new = after_step(script)
    found = read(image.read, len(image.data))
    assert not found.problems, found.problems
    LAST.clear()
    world = booted(image)
    invariants.check(world.kernel)
    there = layout(world.kernel)
    for key in there.keys() | old.keys() | new.keys():
        assert there.get(key) in (old.get(key), new.get(key)), f"{key}: {there.get(key)}"
    for segment in world.kernel.vases.segments.values():
        extents = segment.object.extents
        assert extents is not None
        key = ("segment", segment.name)
        if key not in old:
            continue  # made in this step: its stores are not among the lines yet
        for page in extents.pages():
            at = segment.start + page * PAGE
            value = world.kernel.machine.memory.read(segment.object.frame_to_read(page) << 12, 1)[0]
            allowed = old_lines.get(at, {0}) | script.lines.get(at, {0})
            assert value in allowed, f"{at:#x} has {value}, not one of {allowed}"
    LAST.clear()


def after_step(script: Script) -> Layout:
    """What the step would have left: the script once more, without a cut."""
    LAST.clear()
    whole = Script(script.seed, MemoryImage())
    steps = len(script.done)
    for _ in range(steps):
        step = whole.STEPS[whole.below(len(whole.STEPS))]
        step(whole)
    return layout(whole.world.kernel)


def powercut_case(seed: int, case: int) -> str:
    """A random script, with the power cut at each of its persistent writes."""
    cut_everywhere(seed << 20 ^ case)
    return "cut everywhere"


def cut_everywhere(seed: int, every: int = 1) -> int:
    """Cut a script at each of its persistent writes, or at one in `every`; returns how many."""
    LAST.clear()
    writes, cuts = Script(seed, MemoryImage()).run(), 0
    for cut_at in range(1 + seed % every, writes + 1, every):
        image = MemoryImage()
        LAST.clear()
        script = Script(seed, image)
        try:
            script.run(cut_at)
        except PowerCut:
            try:
                look(script, image, seed * 1_000_003 + cut_at)
            except BaseException as error:
                raise AssertionError(f"cut at {cut_at} in {script.done[-1]}: {error}") from error
            cuts += 1
    LAST.clear()
    return cuts
