"""/segs: each segment as a file.  `p_segs.c` shows what it shares with files of Linux; this shows
what is its own: the place of a mapping, the lifetimes, who pays, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from kernel import checkpoint, invariants
from kernel.abi.errno import E
from kernel.abi.nodes import Stat
from kernel.task.process import Thread
from kernel.vas.vases import SYNCS
from tests.kernel.test_vas_files import names, read
from tests.kernel.vas_world import (
    GROUP,
    HERE,
    OTHER,
    OWNER,
    PAGE,
    ROOT,
    RW,
    THERE,
    R,
    World,
)

SHARED, PRIVATE, NOREPLACE, FIXED = 1, 2, 0x100000, 0x10
O_CREAT, O_TRUNC, O_APPEND, O_TMPFILE = 0o100, 0o1000, 0o2000, 0o20200000
EVERY = pytest.mark.parametrize("sync", SYNCS)


def opened(world: World, flags: int = RW, name: str = "books", **more: Any) -> int:
    return world.ask("open", world.text(f"/segs/{name}"), flags, 0, **more)


def mapped(
    world: World,
    fd: int,
    *,
    at: int = 0,
    pages: int = 2,
    prot: int = 3,
    flags: int = SHARED,
    offset: int = 0,
    thread: Thread | None = None,
) -> int:
    return world.ask("mmap", at, pages * PAGE, prot, flags, fd, offset, thread=thread)


def books(**wishes: Any) -> tuple[World, int, int]:
    """A segment of 2 pages, and its file open for both."""
    world = World(**wishes)
    sid = world.segment("books")
    return world, sid, opened(world)


def status(world: World, name: str) -> Stat:
    ipc = world.kernel.ipc
    return Stat(*ipc.ask(ipc.ports["segs"].endpoint, 0, "stat", (0,), name.encode()).words)


# Names --------------------------------------------------------------------------------------------


def test_the_directory_lists_the_segments_that_have_a_file_name() -> None:
    world = World()
    for i, name in enumerate(("b", "a", "", ".", "..", "x/y", "n" * 255)):
        assert world.segment(name, HERE + 16 * i * PAGE) > 0
    assert names(world, "/segs") == [b"b", b"a", b"n" * 255]
    assert opened(world, R, "x/y") == -E.NOENT
    assert opened(world, R, "none") == -E.NOENT
    assert world.ask("vas_seg_delete", 1) == 0
    assert names(world, "/segs") == [b"a", b"n" * 255]


def test_nothing_can_be_made_there() -> None:
    world, _, _ = books()
    new = world.text("/segs/new")
    assert world.ask("open", new, O_CREAT | RW, 0o600) == -E.PERM
    assert world.ask("mkdir", new, 0o700) == -E.PERM
    assert world.ask("mknod", new, 0o100600, 0) == -E.PERM
    assert world.ask("open", world.text("/segs"), O_TMPFILE | RW, 0o600) == -E.ISDIR
    assert world.ask("mkdir", world.text("/segs/books"), 0o700) == -E.EXIST
    assert world.ask("mkdir", world.text("/segs"), 0o700) == -E.EXIST
    assert opened(world, O_CREAT | R) > 0, "it exists"
    assert world.ask("rmdir", world.text("/segs")) == -E.BUSY
    assert world.ask("unlink", world.text("/segs")) == -E.ISDIR
    assert world.ask("rmdir", world.text("/segs/books")) == -E.NOTDIR
    old, name = world.put(b"/segs/books\0/segs/new\0"), 12
    assert world.ask("rename", old, old + name) == -E.PERM


def test_its_rights_are_the_segments() -> None:
    world, sid, fd = books()
    group, other = world.fork(GROUP), world.fork(OTHER)
    assert world.ask("fchmod", fd, 0o7751) == 0, "of which 0640 counts"
    assert world.kernel.vases.segments[sid].mode == 0o640
    for thread in (group, other):
        world.text("/segs/books", thread.process)
    assert world.ask("open", world.page, R, 0, thread=group) > 0
    assert world.ask("open", world.page, RW, 0, thread=group) == -E.ACCES
    assert world.ask("open", world.page, R, 0, thread=other) == -E.ACCES
    assert world.ask("chmod", world.page, 0o666, thread=group) == -E.PERM
    assert world.ask("unlink", world.page, thread=group) == -E.ACCES
    assert world.ask("fchown", fd, OTHER.uid, -1) == -E.PERM
    assert world.ask("fchown", fd, -1, OTHER.gid) == -E.PERM
    assert world.ask("fchown", fd, -1, OWNER.gid) == 0


def test_a_new_owner_pays() -> None:
    world, _, fd = books(user=ROOT)
    at = mapped(world, fd)
    world.process.space.write(at, bytes(2 * PAGE))
    assert world.ask("fchown", fd, OTHER.uid, OTHER.gid) == 0
    vases = world.kernel.vases
    assert vases.account(OTHER.uid).charged == 2
    assert vases.account(0).charged == 0
    invariants.check(world.kernel)


# Where a mapping goes -----------------------------------------------------------------------------


@EVERY
def test_a_mapping_lies_at_the_segments_own_place(sync: str) -> None:
    world, _, fd = books(sync=sync)
    assert mapped(world, fd) == HERE
    assert world.ask("munmap", HERE, 2 * PAGE) == 0
    assert mapped(world, fd, at=THERE) == HERE, "a hint is only a hint"
    assert mapped(world, fd, pages=1, offset=PAGE) == -E.EXIST
    assert mapped(world, fd, pages=1, offset=PAGE, at=HERE + PAGE, flags=SHARED | FIXED) > 0
    assert world.ask("munmap", HERE, 2 * PAGE) == 0
    assert mapped(world, fd, pages=1, offset=PAGE, flags=PRIVATE) == HERE + PAGE


def test_it_lies_there_or_nowhere() -> None:
    world, sid, fd = books()
    assert mapped(world, fd, at=THERE, flags=SHARED | FIXED) == -E.INVAL
    assert mapped(world, fd, at=THERE, flags=SHARED | NOREPLACE) == -E.INVAL
    assert mapped(world, fd, pages=3) == -E.INVAL, "past its end"
    assert mapped(world, fd, pages=2, offset=PAGE) == -E.INVAL
    world.map(HERE + PAGE)
    assert mapped(world, fd) == -E.EXIST
    assert mapped(world, fd, at=HERE, flags=SHARED | NOREPLACE) == -E.EXIST
    assert mapped(world, fd, at=HERE, flags=SHARED | FIXED) == HERE
    world.ask("munmap", HERE, 2 * PAGE)
    assert world.ask("vas_seg_attach", 0, sid, RW) == 0
    assert mapped(world, fd) == -E.EXIST, "an attachment is there"
    assert mapped(world, fd, at=HERE, flags=SHARED | FIXED) == -E.PERM, "and is sealed"


@EVERY
def test_a_view_that_shows_something_there_is_in_the_way(sync: str) -> None:
    world, sid, fd = books(sync=sync)
    vid = world.vas()
    world.ask("vas_seg_attach", vid, sid, RW)
    world.ask("vas_attach", 0, vid, RW)
    expected = HERE if sync == "rfc" else -E.EXIST  # a copied view knows nothing of it
    assert mapped(world, fd) == expected
    if sync == "rfc":
        world.ask("munmap", HERE, 2 * PAGE)


def test_an_attachment_finds_the_mapping_in_its_way() -> None:
    world, sid, fd = books()
    mapped(world, fd)
    assert world.ask("vas_seg_attach", 0, sid, RW) == -E.FAULT


# One memory ---------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("mmu", ["model", "silicon"])
def test_file_mapping_and_attachment_show_one_memory(mmu: str, sync: str) -> None:
    world, sid, fd = books(sync=sync, mmu=mmu)
    other = world.fork()
    mapped(world, fd)
    assert world.ask("vas_seg_attach", 0, sid, RW, thread=other) == 0
    other.process.space.write(HERE + 5, b"attached")
    assert world.process.space.read(HERE + 5, 8) == b"attached"
    world.process.space.write(HERE + PAGE, b"mapped")
    assert other.process.space.read(HERE + PAGE, 6) == b"mapped"
    assert world.ask("pread64", fd, world.page, 8, 5) == 8
    assert world.process.space.read(world.page, 8) == b"attached"
    assert world.ask("pwrite64", fd, world.put(b"written"), 7, PAGE) == 7
    assert other.process.space.read(HERE + PAGE, 7) == b"written"


def test_a_clone_of_a_segment_is_read_by_its_file() -> None:
    world, sid, fd = books()
    world.ask("pwrite64", fd, world.put(b"copy me"), 7, 0)
    assert world.ask("vas_seg_clone", sid, world.text("twin"), 0o600) > 0
    assert read(world, "/segs/twin")[:8] == b"copy me\0"


def test_a_file_ends_where_its_segment_does() -> None:
    world, _, fd = books()
    assert world.ask("pwrite64", fd, world.put(b"abcd"), 4, 2 * PAGE - 2) == 2
    assert world.ask("pwrite64", fd, world.page, 1, 2 * PAGE) == -E.NOSPC
    assert world.ask("pread64", fd, world.page, 4, 2 * PAGE - 2) == 2
    assert world.ask("pread64", fd, world.page, 4, 2 * PAGE) == 0
    assert world.ask("pread64", fd, 8, 4, 0) == -E.FAULT
    assert world.ask("pwrite64", fd, 8, 4, 0) == -E.FAULT
    assert world.ask("write", opened(world, RW | O_APPEND), world.page, 1) == -E.NOSPC
    assert world.ask("ftruncate", fd, PAGE) == -E.PERM
    assert world.ask("ftruncate", fd, 2 * PAGE) == 0
    assert world.ask("fallocate", fd, 0, 0, PAGE) == -E.OPNOTSUPP
    opened(world, RW | O_TRUNC)
    assert world.ask("pread64", fd, world.page, 4, 2 * PAGE - 2) == 2, "O_TRUNC does nothing"
    assert world.process.space.read(world.page, 2) == b"ab"


def test_a_mapping_that_grows_past_the_end_is_a_bus_error() -> None:
    world, _, fd = books()
    mapped(world, fd)
    assert world.ask("mremap", HERE, 2 * PAGE, 3 * PAGE, 0) == HERE
    world.run_on(0, world.thread)
    assert world.touch(0, HERE + PAGE, 1) == 1
    assert world.touch(0, HERE + 2 * PAGE) is None


def test_the_owner_pays_for_what_is_written_up_to_the_limit() -> None:
    world = World(vas_limit=0)
    world.kernel.vases.limit_frames = 1
    world.segment("books")
    fd = opened(world)
    assert world.ask("pwrite64", fd, world.page, PAGE, 0) == PAGE
    assert world.ask("pwrite64", fd, world.page, PAGE, PAGE) == -E.NOMEM
    assert world.kernel.vases.account(OWNER.uid).charged == 1


# Lifetimes ----------------------------------------------------------------------------------------


def test_a_segment_that_is_attached_cannot_be_unlinked() -> None:
    world, sid, _ = books()
    vid = world.vas()
    world.ask("vas_seg_attach", vid, sid, RW)
    assert world.ask("unlink", world.text("/segs/books")) == -E.BUSY
    world.ask("vas_seg_detach", vid, sid)
    assert world.ask("unlink", world.text("/segs/books")) == 0
    assert world.ask("vas_seg_find", world.text("books")) == -E.SRCH


@pytest.mark.parametrize("flags", [SHARED, PRIVATE])
def test_a_mapping_keeps_the_memory_and_its_owner_pays_until_the_last_one_goes(flags: int) -> None:
    world, sid, fd = books()
    world.ask("pwrite64", fd, world.put(b"kept"), 4, PAGE)
    mapped(world, fd, flags=flags)
    child = world.fork()
    assert world.ask("vas_seg_delete", sid) == 0
    account = world.kernel.vases.account(OWNER.uid)
    assert (account.charged, account.owned) == (1, 0)
    invariants.check(world.kernel)
    assert world.segment("books", THERE) == sid, "the name and the id are free"
    assert world.process.space.read(HERE + PAGE, 4) == b"kept"
    maps = read(world, "/proc/self/maps").decode()
    assert "/segs/books (deleted)" in maps
    world.ask("munmap", HERE, 2 * PAGE)
    assert account.charged == 1
    assert child.process.space.read(HERE + PAGE, 4) == b"kept", "it was mapped before the fork"
    world.kernel.life.exit_process(child.process, 0)
    world.settle()
    assert account.charged == 0


def test_an_open_file_of_a_deleted_segment_is_dead() -> None:
    world, sid, fd = books()
    world.ask("pwrite64", fd, world.page, 4, 0)
    assert world.ask("vas_seg_delete", sid) == 0
    assert world.segment("books") == sid, "the same name and id"
    for call in (("read", fd, world.page, 4), ("write", fd, world.page, 4), ("fchmod", fd, 0)):
        assert world.ask(*call) == -E.NODEV
    assert mapped(world, fd) == -E.NODEV
    assert world.ask("close", fd) == 0
    assert mapped(world, opened(world)) == HERE


@EVERY
def test_a_mapping_that_is_made_inside_a_vas_is_the_vass_and_its_new_owner_pays_nothing(
    sync: str,
) -> None:
    world, sid, fd = books(sync=sync)
    vid = world.inside()
    assert mapped(world, fd) == HERE
    world.thread.space.write(HERE, b"inside")
    world.ask("vas_switch", 0)
    assert world.ask("vas_detach", 0, vid) == 0
    vases = world.kernel.vases
    vases.give(vases.vases[vid], OTHER.uid)
    invariants.check(world.kernel)
    assert vases.account(OWNER.uid).charged == 1, "for the segment"
    assert world.ask("vas_seg_delete", sid) == 0
    invariants.check(world.kernel)
    assert vases.account(OWNER.uid).charged == 1
    vases.give(vases.vases[vid], OWNER.uid)
    invariants.check(world.kernel)


def test_a_mapping_takes_no_lock_and_breaks_no_sharing_rule() -> None:
    world, sid, fd = books(sharing="switch")
    world.ask("vas_seg_ctl", sid, 1, 1)
    vid = world.vas()
    world.ask("vas_seg_attach", vid, sid, RW)
    world.ask("vas_attach", 0, vid, RW)
    world.ask("vas_switch", vid)
    other = world.fork()
    assert mapped(world, fd, thread=other) == HERE
    assert other.process.space.read(HERE, 1) == b"\0", "though a writer holds the lock"
    strict, sid, fd = books()
    mapped(strict, fd)
    child = strict.fork()
    assert strict.ask("vas_seg_attach", 0, sid, RW, thread=child) == -E.FAULT, "it is there"
    strict.ask("munmap", HERE, 2 * PAGE, thread=child)
    assert strict.ask("vas_seg_attach", 0, sid, RW, thread=child) == 0, "one writer, as attached"


def test_maps_names_the_file_and_an_attachment_keeps_its_name() -> None:
    world, sid, fd = books()
    mapped(world, fd)
    child = world.fork()
    world.ask("munmap", HERE, 2 * PAGE, thread=child)
    world.ask("vas_seg_attach", 0, sid, R, thread=child)
    line = next(x for x in read(world, "/proc/self/maps").decode().splitlines() if "books" in x)
    assert line.startswith(f"{HERE:08x}-{HERE + 2 * PAGE:08x} rw-s 00000000 00:06 ")
    assert line.endswith(" /segs/books")
    other = read(world, f"/proc/{child.pid}/maps").decode()
    assert "[segment books]" in other
    assert "/segs/books" not in other


def test_the_size_and_the_pages_are_told() -> None:
    world, _, fd = books()
    world.ask("pwrite64", fd, world.page, 4, 0)
    found = status(world, "books")
    assert (found.size_bytes, found.blocks, found.uid) == (2 * PAGE, 8, OWNER.uid)


def test_a_checkpoint_keeps_files_mappings_and_what_a_deleted_segment_has_left() -> None:
    world, sid, fd = books(watched=False)
    world.process.space.write(mapped(world, fd), b"before")
    world.ask("vas_seg_delete", sid)
    world.segment("books", THERE)
    opened(world)
    again = checkpoint.load(checkpoint.save(world.kernel), lambda text: None)
    invariants.check(again)
    process = again.tasks.processes[world.process.pid]
    assert process.space.read(HERE, 6) == b"before"
    assert again.vases.account(OWNER.uid).charged == 1
