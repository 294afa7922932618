"""Files, compared with an oracle that we did not write: the host's Linux.

The test makes random calls on a small tree, in a folder of the host and inside Vantage.  Both have
the same results, the same errors, and the same tree at the end.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kernel import invariants
from kernel.task.credentials import Credentials
from tests.kernel.system import still

NAMES = st.sampled_from(["a", "b", "c", "d", "d/a", "d/b", "d/e", "d/e/a", "l", "l/a", "m"])
PATHS = st.one_of(
    NAMES,
    NAMES,
    NAMES.map(lambda name: name + "/"),
    NAMES.map(lambda name: f"./{name}"),
    NAMES.map(lambda name: f"{name}/../a"),
    NAMES.map(lambda name: f"../base/{name}"),
    st.sampled_from([".", "..", "d/.", "d/..", "d/e/..", "x" * 256, "d//a", "d/e/."]),
)
TARGETS = st.sampled_from(["a", "d", "d/", "../base/b", "l", "m", "missing", "d/e/../b", "."])
FLAGS = st.sampled_from(
    [
        os.O_RDONLY,
        os.O_RDWR,
        os.O_RDWR | os.O_CREAT,
        os.O_WRONLY | os.O_CREAT | os.O_EXCL,
        os.O_RDWR | os.O_CREAT | os.O_TRUNC,
        os.O_WRONLY | os.O_APPEND | os.O_CREAT,
        os.O_RDONLY | os.O_DIRECTORY,
        os.O_RDONLY | os.O_NOFOLLOW,
        os.O_WRONLY | os.O_TRUNC,
    ]
)
MODES = st.sampled_from([0o777, 0o644, 0o600, 0o400, 0o000, 0o755, 0o1777, 0o2755, 0o4755])
DATA = st.binary(min_size=0, max_size=20)
OFFSETS = st.integers(-3, 9000)
PLACES = st.sampled_from([0, 1, 2, 3])
AT_EMPTY, NOFOLLOW, REMOVEDIR, FOLLOW = 0x1000, 0x100, 0x200, 0x400


class Guest:
    """Calls inside Vantage, from their own directory; an error is a negated number."""

    def __init__(self) -> None:
        uid, gid = os.geteuid(), os.getegid()
        self.system = still(user=Credentials(uid, gid, tuple(os.getgroups())), ram=8)
        self.memory = self.system.ask("mmap", 0, 1 << 20, 3, 0x22, -1, 0)
        for name in ("/tmp/over", "/tmp/over/base"):
            assert self.call("mkdirat", -100, name, 0o777) == 0
        self.base = self.call("openat", -100, "/tmp/over/base", os.O_DIRECTORY, 0)
        self.frames_before = 0
        self.frames_before = self.frames()

    def call(self, name: str, *arguments: int | str | bytes) -> int:
        """Make a call; its strings and bytes are first stored in memory."""
        at, words = self.memory, []
        for argument in arguments:
            if isinstance(argument, int):
                words.append(argument)
                continue
            data = os.fsencode(argument) + b"\0" if isinstance(argument, str) else argument
            self.system.process.space.write(at, data)
            words.append(at)
            at += len(data) + 1
        return self.system.ask(name, *words)

    def frames(self) -> int:
        """How many frames files have now, without those that they had at first."""
        files = [o for o in invariants.live_objects(self.system.kernel).values() if o.node[0]]
        return sum(len(file.pages) for file in files) - self.frames_before

    def remove_all(self, path: str) -> None:
        """Remove what is in a directory."""
        found = self.names(path)
        assert not isinstance(found, int)
        for name in found:
            below = f"{path}/{name}"
            kind = self.status(below, NOFOLLOW)
            is_directory = isinstance(kind, tuple) and stat.S_ISDIR(kind[0])
            if is_directory:
                assert self.call("fchmodat", self.base, below, 0o700) == 0
                self.remove_all(below)
            flags = REMOVEDIR if is_directory else 0
            assert self.call("unlinkat", self.base, below, flags) == 0

    def take(self, name: str, *arguments: int | str, room: int = 4096) -> int | bytes:
        """What a call stores whose last arguments are a buffer and its size."""
        buffer = self.memory + (1 << 16)
        got = self.call(name, *arguments[:2], buffer, room, *arguments[2:])
        return got if got < 0 else self.system.process.space.read(buffer, got)

    def status(self, path: str, flags: int) -> int | tuple[int, ...]:
        buffer = self.memory + (1 << 16)
        got = self.call("newfstatat", self.base, path, buffer, flags)
        if got < 0:
            return got
        raw = self.system.process.space.read(buffer, 144)
        links, mode = (int.from_bytes(raw[a:b], "little") for a, b in ((16, 24), (24, 28)))
        return _shape(mode, links, int.from_bytes(raw[48:56], "little"))

    def names(self, path: str) -> int | list[str]:
        fd = self.call("openat", self.base, path, os.O_DIRECTORY, 0)
        if fd < 0:
            return fd
        buffer, found = self.memory + (1 << 16), []
        while (got := self.call("getdents64", fd, buffer, 200)) > 0:
            raw = self.system.process.space.read(buffer, got)
            while raw:
                size = int.from_bytes(raw[16:18], "little")
                found.append(raw[19:size].split(b"\0")[0].decode())
                raw = raw[size:]
        self.call("close", fd)
        return sorted(set(found) - {".", ".."})


def _shape(mode: int, links: int, size: int) -> tuple[int, ...]:
    """What must be equal.  File systems count a directory's links and size differently."""
    if stat.S_ISDIR(mode):
        return (mode,)
    return mode, links, size


def host(work: Callable[[], Any]) -> Any:
    """The result of a call of the host, or its negated error."""
    try:
        return work()
    except OSError as error:
        return -(error.errno or 0)


class Files(RuleBasedStateMachine):
    """Every rule makes one call on both sides."""

    def __init__(self) -> None:
        super().__init__()
        shm = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = tempfile.TemporaryDirectory(dir=shm)
        self.umask = os.umask(0o022)
        self.root = Path(self.folder.name, "base")
        self.root.mkdir()
        self.root.parent.chmod(0o755)
        self.here = os.open(self.root, os.O_DIRECTORY)
        self.guest = Guest()
        self.open: list[tuple[int, int]] = []

    def teardown(self) -> None:
        for ours, theirs in self.open:
            os.close(ours)
            assert self.guest.call("close", theirs) == 0
        os.close(self.here)
        os.umask(self.umask)
        assert self.guest.call("fchmod", self.guest.base, 0o700) == 0
        self.guest.remove_all(".")
        assert not self.guest.frames(), "no name and no descriptor leads to any of them"
        invariants.check(self.guest.system.kernel)
        assert not self.guest.system.kernel.ipc.restarts
        self.folder.cleanup()

    def both(self, ours: Callable[[], Any], name: str, *arguments: int | str | bytes) -> None:
        expected = host(ours)
        got = self.guest.call(name, *arguments)
        assert got == (0 if expected is None else expected), (name, arguments, expected, got)

    def descriptor(self, place: int) -> tuple[int, int]:
        return self.open[place % len(self.open)] if self.open else (999, 999)

    @rule(path=PATHS, flags=FLAGS, mode=MODES)
    def opens(self, path: str, flags: int, mode: int) -> None:
        ours = host(lambda: os.open(path, flags, mode, dir_fd=self.here))
        theirs = self.guest.call("openat", self.guest.base, path, flags, mode)
        assert min(ours, 0) == min(theirs, 0), (path, oct(flags), ours, theirs)
        if ours >= 0:
            self.open.append((ours, theirs))

    @rule(old=NAMES, new=NAMES, data=DATA)
    def replaces(self, old: str, new: str, data: bytes) -> None:
        """Write a file and close it, then rename another one over it."""
        for name in (old, new):
            count = len(self.open)
            self.opens(name, os.O_RDWR | os.O_CREAT, 0o644)
            if len(self.open) > count:
                self.writes(count, data)
                self.closes(count)
        self.renames(old, new)

    @rule(place=PLACES)
    def closes(self, place: int) -> None:
        ours, theirs = self.descriptor(place)
        self.both(lambda: os.close(ours), "close", theirs)
        self.open = [pair for pair in self.open if pair != (ours, theirs)]

    @rule(place=PLACES, data=DATA)
    def writes(self, place: int, data: bytes) -> None:
        ours, theirs = self.descriptor(place)
        self.both(lambda: os.write(ours, data), "write", theirs, data, len(data))

    @rule(place=PLACES, data=DATA, offset=OFFSETS)
    def writes_at(self, place: int, data: bytes, offset: int) -> None:
        ours, theirs = self.descriptor(place)
        self.both(
            lambda: os.pwrite(ours, data, offset), "pwrite64", theirs, data, len(data), offset
        )

    @rule(place=PLACES, count=st.integers(0, 30))
    def reads(self, place: int, count: int) -> None:
        ours, theirs = self.descriptor(place)
        expected = host(lambda: os.read(ours, count))
        buffer = self.guest.memory
        got: int | bytes = self.guest.call("read", theirs, buffer, count)
        if isinstance(got, int) and got >= 0:
            got = self.guest.system.process.space.read(buffer, got)
        assert got == expected

    @rule(place=PLACES, offset=OFFSETS, whence=st.sampled_from([0, 1, 2, 9]))
    def seeks(self, place: int, offset: int, whence: int) -> None:
        ours, theirs = self.descriptor(place)
        if ours != 999 and stat.S_ISDIR(os.fstat(ours).st_mode):
            return  # each file system decides where a directory ends
        self.both(lambda: os.lseek(ours, offset, whence), "lseek", theirs, offset, whence)

    @rule(place=PLACES, size=OFFSETS)
    def cuts(self, place: int, size: int) -> None:
        ours, theirs = self.descriptor(place)
        self.both(lambda: os.ftruncate(ours, size), "ftruncate", theirs, size)

    @rule(path=PATHS, mode=MODES)
    def makes_directories(self, path: str, mode: int) -> None:
        self.both(
            lambda: os.mkdir(path, mode, dir_fd=self.here), "mkdirat", self.guest.base, path, mode
        )

    @rule(path=PATHS)
    def removes_directories(self, path: str) -> None:
        self.both(
            lambda: os.rmdir(path, dir_fd=self.here), "unlinkat", self.guest.base, path, REMOVEDIR
        )

    @rule(path=PATHS)
    def unlinks(self, path: str) -> None:
        self.both(lambda: os.unlink(path, dir_fd=self.here), "unlinkat", self.guest.base, path, 0)

    @rule(old=PATHS, new=PATHS)
    def renames(self, old: str, new: str) -> None:
        self.both(
            lambda: os.rename(old, new, src_dir_fd=self.here, dst_dir_fd=self.here),
            "renameat",
            self.guest.base,
            old,
            self.guest.base,
            new,
        )

    @rule(old=PATHS, new=PATHS, follow=st.booleans())
    def links(self, old: str, new: str, follow: bool) -> None:
        self.both(
            lambda: os.link(
                old, new, src_dir_fd=self.here, dst_dir_fd=self.here, follow_symlinks=follow
            ),
            "linkat",
            self.guest.base,
            old,
            self.guest.base,
            new,
            FOLLOW if follow else 0,
        )

    @rule(goal=TARGETS, path=PATHS)
    def makes_links(self, goal: str, path: str) -> None:
        self.both(
            lambda: os.symlink(goal, path, dir_fd=self.here),
            "symlinkat",
            goal,
            self.guest.base,
            path,
        )

    @rule(path=PATHS)
    def reads_links(self, path: str) -> None:
        expected = host(lambda: os.readlink(os.fsencode(path), dir_fd=self.here))
        assert self.guest.take("readlinkat", self.guest.base, path) == expected

    @rule(path=PATHS, mode=MODES)
    def changes_modes(self, path: str, mode: int) -> None:
        self.both(
            lambda: os.chmod(path, mode, dir_fd=self.here), "fchmodat", self.guest.base, path, mode
        )

    @rule(path=PATHS, mode=st.integers(0, 7))
    def asks_for_access(self, path: str, mode: int) -> None:
        answer = self.guest.call("faccessat", self.guest.base, path, mode)
        assert (answer == 0) == os.access(path, mode, dir_fd=self.here)

    @rule(path=PATHS, follow=st.booleans())
    def looks(self, path: str, follow: bool) -> None:
        def ours() -> tuple[int, ...]:
            found = os.stat(path, dir_fd=self.here, follow_symlinks=follow)
            return _shape(found.st_mode, found.st_nlink, found.st_size)

        assert self.guest.status(path, 0 if follow else NOFOLLOW) == host(ours)

    @rule(path=PATHS)
    def lists(self, path: str) -> None:
        def ours() -> list[str]:
            fd = os.open(path, os.O_DIRECTORY, dir_fd=self.here)
            try:
                return sorted(os.listdir(fd))
            finally:
                os.close(fd)

        assert self.guest.names(path) == host(ours)

    @invariant()
    def the_root_has_the_same_names(self) -> None:
        assert self.guest.names(".") == sorted(os.listdir(self.root))

    @invariant()
    def only_files_that_the_host_has_too_hold_frames(self) -> None:
        """Whose last name went, by unlink or by a rename over it, and whose last descriptor was
        closed, is gone with its frames."""
        found = [path.lstat() for path in self.root.rglob("*")]
        found += [os.fstat(ours) for ours, _ in self.open]
        sizes = {each.st_ino: each.st_size for each in found if stat.S_ISREG(each.st_mode)}
        assert self.guest.frames() <= sum((size + 4095) // 4096 for size in sizes.values())


TestFiles = pytest.mark.skipif(sys.platform != "linux", reason="compares with the host's Linux")(
    Files.TestCase
)
TestFiles.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_the_host_has_the_same_error_numbers() -> None:
    assert (errno.ENOTEMPTY, errno.ELOOP, errno.ENAMETOOLONG) == (39, 40, 36)
