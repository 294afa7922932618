"""What /proc and /sys have in common: trees of files that are made when they are read.

Programs can change nothing there, and the server keeps nothing.  A badge names a node; 0 is the
root.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Message, Port, Reply, entries_that_fit, fitting, moved
from kernel.abi.nodes import (
    O_ACCMODE,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOFOLLOW,
    O_PATH,
    O_WRONLY,
    POLLIN,
    POLLOUT,
    READ,
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

    # What each tree says of itself ---------------------------------------------------------------

    @abstractmethod
    def mode(self, badge: int) -> int:
        """DIRECTORY, FILE or LINK."""

    @abstractmethod
    def children(self, badge: int, port: Port) -> Iterator[tuple[int, bytes]]:
        """(badge, name) of each node in a directory.  Raises ESRCH, ENOENT."""

    @abstractmethod
    def parent(self, badge: int) -> int:
        """The directory that a node is in."""

    @abstractmethod
    def path(self, badge: int) -> bytes:
        """The absolute path of a node."""

    @abstractmethod
    def content(self, badge: int, message: Message, port: Port) -> bytes:
        """The bytes of a file.  Raises ESRCH, ENOENT."""

    def part(self, badge: int, offset: int, count: int, message: Message, port: Port) -> bytes:
        """Some bytes of a file.  Raises as `content`."""
        return self.content(badge, message, port)[offset : offset + count]

    def change(self, badge: int, message: Message, port: Port) -> None:
        """A program writes to a file whose mode allows that.  Raises EINVAL, EACCES."""
        raise KernelError(E.ACCES)

    @abstractmethod
    def target(self, badge: int, message: Message, port: Port) -> bytes:
        """Where a link leads.  Raises ESRCH, ENOENT."""

    @abstractmethod
    def owner(self, badge: int, port: Port) -> tuple[int, int]:
        """User and group.  Raises ESRCH, ENOENT."""

    def through(
        self, badge: int, rest: bytes, message: Message, port: Port, *, follow: bool
    ) -> int | Reply:
        """Go on with `rest` behind a link, whose target is an absolute path."""
        found = self.target(badge, message, port)
        return moved(self.above, found + b"/" + rest if rest else found)

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
                return self._open(badge, message, mode, port)
            case "read":
                count, offset, room = message.words
                if mode & S_IFMT == S_IFDIR:
                    raise KernelError(E.ISDIR)
                return Reply(data=fitting(self.part(badge, offset, count, message, port), room))
            case "readdir":
                return self._readdir(badge, message, port)
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
                self._check(badge, mode, message.words[0], message, port)
                return Reply()
            case "close":
                return Reply()
            case "statfs":
                return Reply(words=(0, 0, 0, 0))
            case "ioctl":
                raise KernelError(E.NOTTY)
            case "object":
                raise KernelError(E.NODEV)
            case "write":
                fitting(message.data or bytes(message.words[1]), len(message.data))
                self.change(badge, message, port)
                return Reply(len(message.data), words=(message.words[0] + len(message.data),))
            case "image":
                raise KernelError(E.ACCES)
        raise KernelError(E.PERM)

    def interrupt(self, port: Port) -> None:
        """It has no device."""
        return

    # Paths --------------------------------------------------------------------------------------

    def _walk(
        self, badge: int, path: bytes, message: Message, port: Port, *, follow: bool
    ) -> int | Reply:
        """The badge that a path leads to, or the reply that says where the path goes on."""
        names = [name for name in path.split(b"/") if name]
        slash = path.endswith(b"/")
        for i, name in enumerate(names):
            rest = b"/".join(names[i + 1 :])
            if self.mode(badge) & S_IFMT != S_IFDIR:
                raise KernelError(E.NOTDIR)
            if name == b"." or (name == b".." and badge):
                badge = badge if name == b"." else self.parent(badge)
                continue
            if name == b"..":
                return moved(self.above, rest or b".")
            badge = self.child(badge, name, port)
            if self.mode(badge) & S_IFMT == S_IFLNK and (rest or follow or slash):
                rest += b"/" if slash and rest else b"." if slash else b""
                return self.through(badge, rest, message, port, follow=follow)
        if slash and self.mode(badge) & S_IFMT != S_IFDIR:
            raise KernelError(E.NOTDIR)
        return badge

    def _check(self, badge: int, mode: int, wanted: int, who: Message, port: Port) -> None:
        """Raises EACCES unless the sender has these rights.  Root may read and write anything."""
        if who.uid and mode & S_IFMT != S_IFLNK:
            mode >>= 6 if self.owner(badge, port)[0] == who.uid else 0
            if wanted & ~mode & 7:
                raise KernelError(E.ACCES)

    def _open(self, badge: int, message: Message, mode: int, port: Port) -> Reply:
        kind, flags = mode & S_IFMT, message.words[0]
        if flags & O_CREAT and flags & O_EXCL:
            raise KernelError(E.EXIST)
        if flags & O_DIRECTORY and kind != S_IFDIR:
            raise KernelError(E.NOTDIR)
        if not flags & O_PATH:
            if kind == S_IFLNK:
                raise KernelError(E.LOOP)
            writes = flags & O_ACCMODE
            if writes and (kind == S_IFDIR or not mode & 0o222):
                raise KernelError(E.ISDIR if kind == S_IFDIR else E.ACCES)
            reads = READ if writes != O_WRONLY else 0
            self._check(badge, mode, reads | (WRITE if writes else 0), message, port)
        return Reply(words=(badge, 1, 0))

    def _stat(self, badge: int, mode: int, port: Port) -> Stat:
        links = 2 if mode & S_IFMT == S_IFDIR else 1
        (uid, gid), now = self.owner(badge, port), port.now()
        return Stat(
            device=self.device,
            inode=badge + 1,
            mode=mode,
            links=links,
            uid=uid,
            gid=gid,
            accessed=now,
            modified=now,
            changed=now,
        )

    def _readdir(self, badge: int, message: Message, port: Port) -> Reply:
        if self.mode(badge) & S_IFMT != S_IFDIR:
            raise KernelError(E.NOTDIR)
        cookie, count, room = message.words
        dots = [(badge, b"."), (self.parent(badge), b"..")]
        nodes = enumerate([*dots, *self.children(badge, port)], 1)
        entries = (
            (place, pack_entry(child + 1, place, name, self.mode(child)))
            for place, (child, name) in nodes
            if place > cookie
        )
        return entries_that_fit(entries, cookie, count, room)
