"""Trees of files that are made up at the moment they are read: what /proc and /sys have in common.

Nothing can be changed and nothing is kept.  A badge says which node is meant; 0 is the root.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from kernel.abi.errno import E, KernelError
from kernel.abi.message import MOVED, Message, Port, Reply
from kernel.abi.nodes import (
    O_ACCMODE,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOFOLLOW,
    O_PATH,
    POLLIN,
    POLLOUT,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    WRITE,
    Stat,
    pack_entry,
)

DIRECTORY, FILE, LINK = S_IFDIR | 0o555, S_IFREG | 0o444, S_IFLNK | 0o777


@dataclass(slots=True)
class Generated(ABC):
    """`above` is the endpoint and badge of the directory that the root is in."""

    above: tuple[int, int]
    device: ClassVar[int]

    # What a tree is -----------------------------------------------------------------------------

    @abstractmethod
    def mode(self, badge: int) -> int:
        """DIRECTORY, FILE or LINK."""

    @abstractmethod
    def children(self, badge: int, port: Port) -> Iterator[tuple[int, bytes]]:
        """(badge, name) of what is in a directory.  Raises ESRCH, ENOENT."""

    @abstractmethod
    def parent(self, badge: int) -> int:
        """The directory that a node is in."""

    @abstractmethod
    def path(self, badge: int) -> bytes:
        """From the root of all."""

    @abstractmethod
    def content(self, badge: int, port: Port) -> bytes:
        """The bytes of a file.  Raises ESRCH, ENOENT."""

    @abstractmethod
    def target(self, badge: int, message: Message, port: Port) -> bytes:
        """Where a link leads.  Raises ESRCH, ENOENT."""

    @abstractmethod
    def owner(self, badge: int, port: Port) -> tuple[int, int]:
        """User and group.  Raises ESRCH, ENOENT."""

    def through(
        self, badge: int, rest: bytes, message: Message, port: Port, *, follow: bool
    ) -> int | Reply:
        """Go on behind a link, whose target is a path from the root of all."""
        found = self.target(badge, message, port)
        return Reply(0, MOVED, (self.above[1],), found + b"/" + rest if rest else found,
                     (self.above[0],))  # fmt: skip

    def child(self, directory: int, name: bytes, port: Port) -> int:
        """Raises ENOENT."""
        for badge, own in self.children(directory, port):
            if own == name:
                return badge
        raise KernelError(E.NOENT)

    # Messages -----------------------------------------------------------------------------------

    def handle(self, message: Message, port: Port) -> Reply:
        rest = message.data.partition(b"\0")[0] if message.operation != "write" else b""
        follow = self._follows(message)
        badge = self._walk(message.badge, rest, message, port, follow=follow)
        if isinstance(badge, Reply):
            return badge
        return self._answer(badge, message, port)

    def _follows(self, message: Message) -> bool:
        if message.operation == "open":
            return not message.words[0] & O_NOFOLLOW
        if message.operation in ("stat", "access", "chmod", "utimens", "chown"):
            return not message.words[-1]
        return message.operation != "readlink"

    def _answer(self, badge: int, message: Message, port: Port) -> Reply:
        mode = self.mode(badge)
        match message.operation:
            case "open":
                return self._open(badge, message.words[0], mode)
            case "read":
                count, offset = message.words
                if mode & S_IFMT == S_IFDIR:
                    raise KernelError(E.ISDIR)
                return Reply(data=self.content(badge, port)[offset : offset + count])
            case "readdir":
                return self._readdir(badge, message.words[0], message.words[1], port)
            case "stat":
                return Reply(words=self._stat(badge, mode, port))
            case "readlink":
                if mode & S_IFMT != S_IFLNK:
                    raise KernelError(E.INVAL)
                return Reply(data=self.target(badge, message, port))
            case "path":
                return Reply(data=self.path(badge))
            case "poll":
                return Reply(POLLIN | POLLOUT)
            case "access":
                if message.words[0] & WRITE and message.uid:
                    raise KernelError(E.ACCES)
                return Reply()
            case "close":
                return Reply()
            case "statfs":
                return Reply(words=(0, 0, 0, 0))
            case "ioctl":
                raise KernelError(E.NOTTY)
            case "object":
                raise KernelError(E.NODEV)
            case "image" | "write":
                raise KernelError(E.ACCES)
        raise KernelError(E.PERM)

    def interrupt(self, port: Port) -> None:
        """It has no device."""
        return

    # Paths --------------------------------------------------------------------------------------

    def _walk(
        self, badge: int, path: bytes, message: Message, port: Port, *, follow: bool
    ) -> int | Reply:
        """The badge that a path leads to, or where it goes on."""
        names = [name for name in path.split(b"/") if name]
        for i, name in enumerate(names):
            rest = b"/".join(names[i + 1 :])
            if self.mode(badge) & S_IFMT != S_IFDIR:
                raise KernelError(E.NOTDIR)
            if name == b"." or (name == b".." and badge):
                badge = badge if name == b"." else self.parent(badge)
                continue
            if name == b"..":
                return Reply(0, MOVED, (self.above[1],), rest or b".", (self.above[0],))
            badge = self.child(badge, name, port)
            if self.mode(badge) & S_IFMT == S_IFLNK and (rest or follow):
                return self.through(badge, rest, message, port, follow=follow)
        return badge

    def _open(self, badge: int, flags: int, mode: int) -> Reply:
        kind = mode & S_IFMT
        if flags & O_CREAT and flags & O_EXCL:
            raise KernelError(E.EXIST)
        if flags & O_DIRECTORY and kind != S_IFDIR:
            raise KernelError(E.NOTDIR)
        if not flags & O_PATH:
            if kind == S_IFLNK:
                raise KernelError(E.LOOP)
            if flags & O_ACCMODE:
                raise KernelError(E.ISDIR if kind == S_IFDIR else E.ACCES)
        return Reply(words=(badge, 1, 0))

    def _stat(self, badge: int, mode: int, port: Port) -> Stat:
        links = 2 if mode & S_IFMT == S_IFDIR else 1
        owner = self.owner(badge, port)
        return Stat(self.device, badge + 1, mode, links, *owner, 0, 0, 0, *[port.now()] * 3)

    def _readdir(self, badge: int, cookie: int, room: int, port: Port) -> Reply:
        if self.mode(badge) & S_IFMT != S_IFDIR:
            raise KernelError(E.NOTDIR)
        dots = [(badge, b"."), (self.parent(badge), b"..")]
        packed = b""
        for place, (child, name) in enumerate([*dots, *self.children(badge, port)], 1):
            entry = pack_entry(child + 1, place, name, self.mode(child))
            if place <= cookie:
                continue
            if len(packed) + len(entry) > room:
                break
            packed, cookie = packed + entry, place
        return Reply(data=packed, words=(cookie,))
