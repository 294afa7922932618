"""/proc/PID/vas and /sys/kernel/vas: the kernel's files about VASes."""

from __future__ import annotations

import pytest

from kernel.abi.errno import E
from kernel.vas.vases import SYNCS
from tests.kernel.vas_world import HERE, OWNER, PAGE, RW, THERE, R, World

O_WRONLY = 1


def read(world: World, path: str) -> bytes:
    """The content of a file, as a program reads it."""
    fd = world.ask("open", world.text(path), 0)
    assert fd >= 0, path
    count = world.ask("read", fd, world.page, PAGE)
    assert world.ask("close", fd) == 0
    return world.process.space.read(world.page, count)


def names(world: World, path: str) -> list[bytes]:
    """The names in a directory, without "." and ".."."""
    fd = world.ask("open", world.text(path), 0)
    size = world.ask("getdents64", fd, world.page, PAGE)
    world.ask("close", fd)
    data, found = world.process.space.read(world.page, size), []
    while data:
        length = int.from_bytes(data[16:18], "little")
        found.append(data[19:length].partition(b"\0")[0])
        data = data[length:]
    return [name for name in found if name not in (b".", b"..")]


def contents(world: World, folder: str) -> dict[bytes, bytes]:
    """Name -> content of each file in a directory."""
    return {name: read(world, f"{folder}/{name.decode()}") for name in names(world, folder)}


def test_a_vas_and_a_segment_have_the_files_of_the_rfc() -> None:
    world = World()
    vid, sid = world.vas("library", 0o640), world.segment("books", pages=3, mode=0o604)
    world.ask("vas_seg_attach", vid, sid, RW)
    files = contents(world, f"/sys/kernel/vas/{vid}")
    ids = {b"user": b"%d" % OWNER.uid, b"group": b"%d" % OWNER.gid}
    assert files == ids | {
        b"name": b"library",
        b"mode": b"0640",
        b"attached": b"0",
        b"resident": b"0",
        b"segments": b"%d" % sid,
        b"kind": b"vas",
    }
    files = contents(world, f"/sys/kernel/vas_segs/{sid}")
    assert files == ids | {
        b"name": b"books",
        b"mode": b"0604",
        b"attached": b"1",
        b"resident": b"0",
        b"region": b"%x-%x" % (HERE, HERE + 3 * PAGE),
        b"lockable": b"0",
    }


def test_the_listing_follows_what_is_made_and_deleted() -> None:
    world = World()
    made = [world.vas(name) for name in ("a", "b", "c")]
    assert names(world, "/sys/kernel/vas") == [b"%d" % vid for vid in made]
    world.ask("vas_delete", made[1])
    assert names(world, "/sys/kernel/vas") == [b"1", b"3"]
    for gone in ("2", "02", "1/none", "999999999", "x"):
        assert world.ask("open", world.text(f"/sys/kernel/vas/{gone}"), 0) == -E.NOENT


@pytest.mark.parametrize("sync", SYNCS)
def test_an_attachment_shows_its_kind_its_regions_and_whose_they_are(sync: str) -> None:
    world = World(sync=sync)
    vid, sid = world.vas(), world.segment("books", THERE)
    world.ask("vas_seg_attach", vid, sid, RW)
    world.ask("vas_attach", 0, vid, R)
    own = f"/proc/self/vas/{vid}"
    assert names(world, "/proc/self/vas") == [b"%d" % vid]
    pid = world.process.pid
    assert read(world, f"{own}/status") == b"pid:  %d\nvid:  %d\ntype: ro\n" % (pid, vid)
    lines = read(world, f"{own}/maps").decode().splitlines()
    assert f"{THERE:08x}-{THERE + 2 * PAGE:08x} r--s [v:-] 00000000 [segment books]" in lines
    rest = [line for line in lines if "[v:-]" not in line]
    assert len(rest) == len(lines) - 1 == len(list(world.process.space.map))
    assert all("[-:a]" in line for line in rest)
    assert read(world, f"{own}/vas/name") == b"vas"
    world.ask("vas_detach", 0, vid)
    assert names(world, "/proc/self/vas") == []
    assert world.ask("open", world.text(f"{own}/status"), 0) == -E.NOENT


def test_the_files_cannot_be_written() -> None:
    world = World()
    vid = world.vas()
    for path in (f"/sys/kernel/vas/{vid}/mode", f"/sys/kernel/vas/{vid}/name"):
        assert world.ask("open", world.text(path), O_WRONLY) == -E.ACCES
    assert world.ask("chmod", world.text("/sys/kernel/vas/1/mode"), 0o777) == -E.PERM
