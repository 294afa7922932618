"""Calls on files: where paths lead, what is followed, what is listed, and who may."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from kernel.abi import ioctls
from kernel.abi.errno import E
from kernel.task.credentials import Credentials
from tests.kernel.vas_world import World

CWD, EMPTY_PATH, NOFOLLOW = -100, 0x1000, 0x100
O_CREAT, O_EXCL, O_PATH, O_DIRECTORY, O_TMPFILE, O_RDWR = 0o100, 0o200, 1 << 21, 1 << 16, 1 << 22, 2
MOST_LINKS = 40
NANO = 10**9


class Files(World):
    """Paths and structures in one page each."""

    def at(self, text: str, place: int = 0) -> int:
        address = self.page + place * 512
        self.process.space.write(address, text.encode() + b"\0")
        return address

    def make(self, path: str, mode: int = 0o644) -> None:
        fd = self.ask("open", self.at(path), O_CREAT | O_RDWR, mode)
        assert fd >= 0
        self.ask("close", fd)

    def stat(self, path: str, flags: int = NOFOLLOW) -> dict[str, int]:
        out = self.page + 2048
        assert self.ask("newfstatat", CWD, self.at(path), out, flags) == 0, path
        names = "dev ino links mode uid gid pad special size block blocks"
        names += " accessed a modified m changed c"
        row = struct.unpack("<QQQIIIIQQQQQQQQQQ", self.process.space.read(out, 120))
        return dict(zip(names.split(), row, strict=True))

    def link(self, target: str, path: str) -> int:
        return self.ask("symlink", self.at(target), self.at(path, 1))

    def listed(self, path: str, room: int) -> list[tuple[int, bytes, int]]:
        """(inode, name, type) of each entry, from as many calls as the room makes necessary."""
        fd, found = self.ask("open", self.at(path), O_DIRECTORY), []
        assert fd >= 0
        while size := self.ask("getdents64", fd, self.page + 2048, room):
            assert size > 0
            data = self.process.space.read(self.page + 2048, size)
            while data:
                inode, _, length, kind = struct.unpack_from("<QQHB", data)
                found.append((inode, data[19:length].partition(b"\0")[0], kind))
                data = data[length:]
        self.ask("close", fd)
        return found


@pytest.mark.parametrize("folder", ["/tmp/d", "/proc/self", "/proc", "/sys/kernel"])
@pytest.mark.parametrize("room", [40, 64, 120])
def test_a_directory_is_listed_in_pieces_as_it_is_at_once(folder: str, room: int) -> None:
    files = Files()
    files.ask("mkdir", files.at("/tmp/d"), 0o755)
    for name in ("one", "two", "three"):
        files.make(f"/tmp/d/{name}")
    files.link("one", "/tmp/d/four")
    whole = files.listed(folder, 2000)
    assert files.listed(folder, room) == whole
    assert [name for _, name, _ in whole[:2]] == [b".", b".."]
    assert len(set(whole)) == len(whole) > 2
    for inode, entry, kind in whole:
        stat = files.stat(f"{folder}/{entry.decode()}")
        assert stat["mode"] >> 12 == kind
        if entry != b"..":
            assert stat["ino"] == inode


def test_a_path_leads_over_at_most_40_links() -> None:
    """path_resolution(7)."""
    files = Files()
    files.make("/tmp/end")
    for number in range(MOST_LINKS + 1):
        files.link("end" if not number else f"l{number - 1}", f"/tmp/l{number}")
    assert files.ask("open", files.at(f"/tmp/l{MOST_LINKS - 1}"), 0) >= 0
    assert files.ask("open", files.at(f"/tmp/l{MOST_LINKS}"), 0) == -E.LOOP
    files.link("loop", "/tmp/loop")
    assert files.ask("open", files.at("/tmp/loop"), 0) == -E.LOOP
    assert files.ask("open", files.at("/tmp/loop"), O_CREAT | O_EXCL) == -E.EXIST


CHANGES: dict[str, Callable[[Files, int], int]] = {
    "chmod": lambda f, path: f.ask("chmod", path, 0o600),
    "fchmodat": lambda f, path: f.ask("fchmodat", CWD, path, 0o600),
    "fchmodat2": lambda f, path: f.ask("fchmodat2", CWD, path, 0o600, 0),
    "chown": lambda f, path: f.ask("chown", path, -1, 200),
    "fchownat": lambda f, path: f.ask("fchownat", CWD, path, -1, 200, 0),
    "lchown": lambda f, path: f.ask("lchown", path, -1, 200),
    "fchownat no": lambda f, path: f.ask("fchownat", CWD, path, -1, 200, NOFOLLOW),
    "utime": lambda f, path: f.ask("utime", path, f.page + 1024),
    "utimes": lambda f, path: f.ask("utimes", path, f.page + 1024),
    "utimensat": lambda f, path: f.ask("utimensat", CWD, path, f.page + 1024, 0),
    "utimensat no": lambda f, path: f.ask("utimensat", CWD, path, f.page + 1024, NOFOLLOW),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_reaches_the_file_or_the_link_to_it(name: str) -> None:
    files = Files(user=Credentials(0, 0))
    files.make("/tmp/file")
    files.link("file", "/tmp/link")
    files.process.space.write(files.page + 1024, struct.pack("<4q", 5, 6, 5, 6))
    before = files.stat("/tmp/file"), files.stat("/tmp/link")
    assert CHANGES[name](files, files.at("/tmp/link")) == 0
    after = files.stat("/tmp/file"), files.stat("/tmp/link")
    of_file, of_link = (
        [name for name in ("mode", "gid", "modified") if old[name] != new[name]]
        for old, new in zip(before, after, strict=True)
    )
    changed = "mode" if "chmod" in name else "gid" if "chown" in name else "modified"
    if name == "lchown" or name.endswith("no"):
        assert (of_file, of_link) == ([], [changed])
    else:
        assert (of_file, of_link) == ([changed], [])


@pytest.mark.parametrize(
    ("call", "accessed", "modified"),
    [
        ("utime", (5, 0), (6, 0)),
        ("utimes", (5, 6_000), (7, 8_000)),
        ("utimensat", (5, 6), (7, 8)),
    ],
)
def test_times_are_seconds_and_what_the_call_counts_beside_them(
    call: str, accessed: tuple[int, int], modified: tuple[int, int]
) -> None:
    files = Files()
    files.make("/tmp/file")
    times = (5, 6) if call == "utime" else (5, 6, 7, 8)
    files.process.space.write(files.page + 1024, struct.pack(f"<{len(times)}q", *times))
    where = (CWD,) if call == "utimensat" else ()
    assert files.ask(call, *where, files.at("/tmp/file"), files.page + 1024, 0) == 0
    stat = files.stat("/tmp/file")
    assert (stat["accessed"], stat["a"]) == accessed
    assert (stat["modified"], stat["m"]) == modified


def test_an_empty_path_reads_the_link_that_is_open_and_nothing_else() -> None:
    """readlink(2): ENOENT where the descriptor is no link, EINVAL where the path is none."""
    files = Files()
    files.make("/tmp/file")
    files.link("file", "/tmp/link")
    link = files.ask("open", files.at("/tmp/link"), O_PATH | 0o400000)
    file = files.ask("open", files.at("/tmp/file"), 0)
    out = files.page + 2048
    assert files.ask("readlinkat", link, files.at(""), out, 100) == 4
    assert files.process.space.read(out, 5) == b"file\0"
    assert files.ask("readlinkat", file, files.at(""), out, 100) == -E.NOENT
    assert files.ask("readlinkat", CWD, files.at("/tmp/file"), out, 100) == -E.INVAL
    assert files.ask("readlinkat", CWD, files.at("/tmp/link"), out, 2) == 2
    assert files.ask("readlinkat", CWD, files.at(f"/proc/self/fd/{file}"), out, 100) == 9
    assert files.process.space.read(out, 9) == b"/tmp/file"


IN_A_FOLDER_OF_ROOT: dict[str, Callable[[Files], int]] = {
    "open": lambda f: f.ask("open", f.at("/bin/new"), O_CREAT | O_RDWR, 0o600),
    "O_TMPFILE": lambda f: f.ask("open", f.at("/bin"), O_TMPFILE | O_DIRECTORY | O_RDWR, 0o600),
    "mkdir": lambda f: f.ask("mkdir", f.at("/bin/new"), 0o700),
    "mknod": lambda f: f.ask("mknod", f.at("/bin/new"), 0o10600, 0),
    "symlink": lambda f: f.ask("symlink", f.at("x"), f.at("/bin/new", 1)),
    "link": lambda f: f.ask("link", f.at("/tmp/own"), f.at("/bin/new", 1)),
    "rename to": lambda f: f.ask("rename", f.at("/tmp/own"), f.at("/bin/new", 1)),
    "rename from": lambda f: f.ask("rename", f.at("/bin/sh"), f.at("/tmp/sh", 1)),
    "unlink": lambda f: f.ask("unlink", f.at("/bin/sh")),
    "rmdir": lambda f: f.ask("rmdir", f.at("/bin/empty")),
}


@pytest.mark.parametrize("name", IN_A_FOLDER_OF_ROOT)
def test_who_may_not_write_a_folder_changes_no_name_in_it(name: str) -> None:
    files = Files()
    files.make("/tmp/own")
    user, files.process.credentials = files.process.credentials, Credentials(0, 0)
    files.ask("mkdir", files.at("/bin"), 0o755)
    files.ask("mkdir", files.at("/bin/empty"), 0o755)
    files.make("/bin/sh", 0o755)
    files.process.credentials = user
    before = files.listed("/bin", 2000)
    assert IN_A_FOLDER_OF_ROOT[name](files) == -E.ACCES
    assert files.listed("/bin", 2000) == before
    files.process.credentials = Credentials(0, 0)
    assert IN_A_FOLDER_OF_ROOT[name](files) >= 0


@pytest.mark.parametrize("request_number", sorted(ioctls.READS))
def test_only_a_request_that_sets_something_reads_its_argument(request_number: int) -> None:
    """ioctl(2) of what is no terminal: ENOTTY, wherever the argument leads; else EFAULT first."""
    files = Files()
    files.make("/tmp/file")
    file = files.ask("open", files.at("/tmp/file"), 0)
    sets = request_number in (ioctls.TCSETS, ioctls.TCSETSW, ioctls.TCSETSF, ioctls.TIOCSPGRP)
    sets = sets or request_number == ioctls.TIOCSWINSZ
    assert files.ask("ioctl", file, request_number, 8) == (-E.FAULT if sets else -E.NOTTY)
    assert files.ask("ioctl", file, request_number, files.page) == -E.NOTTY
