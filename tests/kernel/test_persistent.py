"""Persistent segments and VASes: what is there after a reboot, and after a power cut."""

from __future__ import annotations

import struct

from kernel import invariants
from kernel.abi.errno import E
from kernel.vas.persistent import PERSISTENT
from tests.kernel.images import MODE, MemoryImage, after_power_cut, again, booted
from tests.kernel.vas_world import HERE, OWNER, PAGE, RW, THERE, World

MS_SYNC = 4
PROT_RW, PRIVATE_FIXED = 3, 0x32


def segment(world: World, name: str = "segment", start: int = HERE, pages: int = 2) -> int:
    return world.segment(name, start, pages, mode=MODE)


def load(world: World, at: int) -> int | None:
    world.run_on(0, world.thread)
    return world.touch(0, at)


def store(world: World, at: int, value: int) -> None:
    world.run_on(0, world.thread)
    assert world.touch(0, at, value) == value


def test_a_segment_is_there_after_a_reboot() -> None:
    image = MemoryImage()
    world = booted(image)
    sid = segment(world)
    assert world.ask("vas_seg_attach", 0, sid, RW) == 0
    store(world, HERE + PAGE + 5, 77)
    world.settle()
    world.kernel.machine.nvm.write_back()
    world = again(image)
    found = world.ask("vas_seg_find", world.text("segment"))
    assert found == sid
    assert world.ask("vas_seg_getattr", sid, world.page) == 0
    assert struct.unpack("<III", world.process.space.read(world.page, 12)) == (MODE, 1000, 100)
    assert world.ask("vas_seg_attach", 0, sid, RW) == 0
    assert load(world, HERE + PAGE + 5) == 77
    assert load(world, HERE) == 0
    world.settle()


def test_a_vas_is_there_with_its_layout_after_a_power_cut() -> None:
    image = MemoryImage()
    world = booted(image)
    sid, vid = segment(world), world.vas(mode=MODE)
    assert world.ask("vas_seg_attach", vid, sid, RW) == 0
    assert world.ask("vas_attach", 0, vid, RW) == 0
    assert world.ask("vas_switch", vid) == 0
    assert world.ask("mmap", THERE, 3 * PAGE, PROT_RW, PRIVATE_FIXED, -1, 0) == THERE
    assert world.ask("munmap", THERE + PAGE, PAGE) == 0
    assert world.ask("mprotect", THERE + 2 * PAGE, PAGE, 1) == 0
    store(world, THERE, 5)
    store(world, HERE, 6)
    assert world.ask("msync", THERE, PAGE, MS_SYNC) == 0
    assert world.ask("msync", HERE, PAGE, MS_SYNC) == 0
    store(world, THERE + 64, 9)
    world.settle()
    layout = world.kernel.vases.vas(vid).space.map
    rows = [(r.start, r.end, r.prot, r.segment) for r in layout]
    world = after_power_cut(world, image)
    vas = world.kernel.vases.vas(vid)
    assert [(r.start, r.end, r.prot, r.segment) for r in vas.space.map] == rows
    assert world.ask("vas_attach", 0, vid, RW) == 0
    assert world.ask("vas_switch", vid) == 0
    assert (load(world, THERE), load(world, HERE)) == (5, 6)
    assert load(world, THERE + 64) in (0, 9)
    assert load(world, THERE + PAGE) is None
    assert world.touch(0, THERE + 2 * PAGE, 1) is None
    world.settle()


def test_a_segment_becomes_persistent_with_what_it_holds_and_ceases_to_be() -> None:
    image = MemoryImage()
    world = booted(image)
    sid = world.segment()
    assert world.ask("vas_seg_attach", 0, sid, RW) == 0
    store(world, HERE, 42)
    attributes = struct.pack("<III", MODE, 1000, 100)
    assert world.ask("vas_seg_setattr", sid, world.put(attributes)) == -E.BUSY
    assert world.ask("vas_seg_detach", 0, sid) == 0
    assert world.ask("vas_seg_setattr", sid, world.put(attributes)) == 0
    invariants.check(world.kernel)
    world = after_power_cut(world, image)
    assert world.ask("vas_seg_attach", 0, sid, RW) == 0
    assert load(world, HERE) == 42
    assert world.ask("vas_seg_detach", 0, sid) == 0
    attributes = struct.pack("<III", 0o640, 1000, 100)
    assert world.ask("vas_seg_setattr", sid, world.put(attributes)) == 0
    world.settle()
    assert world.ask("vas_seg_attach", 0, sid, RW) == 0
    assert load(world, HERE) == 42
    world = after_power_cut(world, image)
    assert world.ask("vas_seg_find", world.text("segment")) == -E.SRCH


def test_a_vas_becomes_persistent_with_its_memory() -> None:
    image = MemoryImage()
    world = booted(image)
    vid = world.inside()
    world.map(HERE)
    store(world, HERE, 3)
    assert world.ask("vas_switch", 0) == 0
    assert world.ask("vas_detach", 0, vid) == 0
    attributes = struct.pack("<III", MODE, 1000, 100)
    assert world.ask("vas_setattr", vid, world.put(attributes)) == 0
    world.settle()
    world = after_power_cut(world, image)
    assert world.ask("vas_attach", 0, vid, RW) == 0
    assert world.ask("vas_switch", vid) == 0
    assert load(world, HERE) == 3
    world.settle()


def test_what_is_deleted_is_gone_and_its_room_is_free_again() -> None:
    image = MemoryImage()
    world = booted(image)
    for _ in range(30):
        sid = segment(world, pages=100)
        assert sid == 1
        assert world.ask("vas_seg_delete", sid) == 0
        invariants.check(world.kernel)
    world = after_power_cut(world, image)
    assert world.ask("vas_seg_find", world.text("segment")) == -E.SRCH


def test_the_errors_of_persistence() -> None:
    plain = World()
    assert plain.vas(mode=MODE) == -E.NODEV
    assert plain.segment(mode=MODE) == -E.NODEV
    assert not plain.kernel.vases.vases
    world = booted(MemoryImage())
    assert segment(world, pages=300) == -E.NOSPC
    assert not world.kernel.vases.segments
    vid, volatile = world.vas(mode=MODE), world.segment()
    assert world.ask("vas_seg_attach", vid, volatile, RW) == -E.OPNOTSUPP
    assert world.ask("vas_attach", 0, vid, RW) == 0
    assert world.ask("vas_switch", vid) == 0
    fd = world.open_bytes()
    assert world.ask("mmap", THERE, PAGE, 1, 2, fd, 0) == -E.OPNOTSUPP
    assert world.ask("mmap", THERE, PAGE, PROT_RW, 0x122, -1, 0) == -E.OPNOTSUPP
    assert world.ask("mmap", THERE, 300 * PAGE, PROT_RW, 0x22, -1, 0) == -E.NOMEM
    assert world.ask("mmap", THERE, PAGE, PROT_RW, PRIVATE_FIXED, -1, 0) == THERE
    world.settle()


def test_dropped_pages_of_a_persistent_vas_read_as_zeroes() -> None:
    image = MemoryImage()
    world = booted(image)
    vid = world.vas(mode=MODE)
    assert world.ask("vas_attach", 0, vid, RW) == 0
    assert world.ask("vas_switch", vid) == 0
    assert world.ask("mmap", THERE, 4 * PAGE, PROT_RW, PRIVATE_FIXED, -1, 0) == THERE
    for page in range(4):
        store(world, THERE + page * PAGE, 7)
    assert world.ask("madvise", THERE + PAGE, 2 * PAGE, 4) == 0
    assert [load(world, THERE + page * PAGE) for page in range(4)] == [7, 0, 0, 7]
    moved = world.ask("mremap", THERE, 4 * PAGE, 8 * PAGE, 1, 0)
    assert [load(world, moved + page * PAGE) for page in range(8)] == [7, 0, 0, 7, 0, 0, 0, 0]
    world.settle()


def test_who_made_it_pays_for_it_after_the_reboot_too() -> None:
    image = MemoryImage()
    world = booted(image)
    segment(world, pages=10)
    charged = world.kernel.vases.account(OWNER.uid).charged
    assert charged == 10
    world = again(image)
    assert world.kernel.vases.account(OWNER.uid).charged == 10
    assert world.kernel.vases.account(OWNER.uid).owned == 1
    assert PERSISTENT & world.kernel.vases.segment(1).mode
