"""The server of /segs: every VAS segment is a file there, with the segment's name.

The file is the segment: the same memory object, mode, owner and group.  Its size is that of the
segment, and never changes.  A mapping of it lies at the segment's own place, or nowhere.  A file
cannot be made here, since open(2) states no bounds: vas_seg_create makes segments.

A badge holds the id of a segment and that of its memory object, which never comes again.  So an
open file whose segment was deleted is ENODEV, though another segment has the id by now.  A name
that is no file's name (empty, a dot, two dots, or with a slash) has no file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Message, Port, Reply, fitting
from kernel.abi.nodes import O_CREAT, PERMISSIONS, S_IFREG, WRITE, Stat
from kernel.servers.generated import DIRECTORY, Generated

ROOT = 0
ID_BITS = 16
BLOCKS_PER_PAGE = 8
"""Blocks of 512 bytes, as stat(2) counts them."""
MAKES = frozenset(("mkdir", "mknod", "symlink", "link"))


@dataclass(slots=True)
class Segs(Generated):
    name: str = "segs"
    device: ClassVar[int] = 6

    def restarted(self) -> Segs:
        return Segs(self.above)

    # What the tree says of itself -----------------------------------------------------------------

    def mode(self, badge: int) -> int:
        """Which kind of node it is; a segment has its rights in `_mode`."""
        return S_IFREG if badge else DIRECTORY

    def children(self, badge: int, port: Port) -> Iterator[tuple[int, bytes]]:
        for sid in port.segments():
            row = port.segment(sid)
            if row is not None and _is_file_name(row["name"]):
                yield _badge(row), row["name"]

    def child(self, directory: int, name: bytes, port: Port) -> int:
        """Find a name without a list of all of them."""
        row = port.segment(port.segment_named(name))
        if row is None:
            raise KernelError(E.NOENT)
        return _badge(row)

    def parent(self, badge: int) -> int:
        return ROOT

    def path(self, badge: int) -> bytes:
        raise NotImplementedError("a segment's name is known to the core only")

    def content(self, badge: int, message: Message, port: Port) -> bytes:
        raise NotImplementedError("a segment is read in parts")

    def part(self, badge: int, offset: int, count: int, message: Message, port: Port) -> bytes:
        self._row(badge, port)
        return port.load(port.segment_cap(badge & (1 << ID_BITS) - 1), offset, count)

    def target(self, badge: int, message: Message, port: Port) -> bytes:
        raise KernelError(E.INVAL)

    def owner(self, badge: int, port: Port) -> tuple[int, int]:
        if not badge:
            return 0, 0
        row = self._row(badge, port)
        return row["user"], row["group"]

    # Messages -------------------------------------------------------------------------------------

    def handle(self, message: Message, port: Port) -> Reply:
        name = message.data.partition(b"\0")[0].strip(b"/")
        makes = message.operation in MAKES
        if makes or (message.operation == "open" and message.words[0] & O_CREAT):
            known = not _is_file_name(name) or port.segment_named(name)
            if makes or not known:
                raise KernelError(E.EXIST if known else E.PERM)
        return Generated.handle(self, message, port)

    def _answer(self, badge: int, message: Message, port: Port) -> Reply:
        if not badge:
            return self._of_root(message, port)
        row = self._row(badge, port)
        match message.operation:
            case "stat":
                return Reply(words=self._status(badge, row, port))
            case "path":
                return Reply(data=b"/segs/" + row["name"])
            case "read":
                return self._read(badge, message, port)
            case "write":
                return self._write(row, message, port)
            case "object":
                return Reply(words=(row["start"], row["end"]), caps=(_cap(row, port),))
            case "chmod":
                return self._chmod(row, message, port)
            case "chown":
                return self._chown(row, message, port)
            case "truncate":
                return self._truncate(badge, row, message, port)
            case "allocate":
                raise KernelError(E.OPNOTSUPP)
            case "unlink":
                return self._unlink(row, message, port)
            case "open":
                return self._open(badge, message, S_IFREG | row["mode"] & PERMISSIONS, port)
            case "access":
                self._check(badge, row["mode"] & PERMISSIONS, message.words[0], message, port)
                return Reply()
        return Generated._answer(self, badge, message, port)

    def _of_root(self, message: Message, port: Port) -> Reply:
        if message.operation == "unlink":
            raise KernelError(E.BUSY if message.words[0] else E.ISDIR)
        if message.operation == "path":
            return Reply(data=b"/segs")
        return Generated._answer(self, ROOT, message, port)

    def _row(self, badge: int, port: Port) -> dict[str, Any]:
        """What the core knows of a segment.  Raises ENODEV if it was deleted."""
        row = port.segment(badge & (1 << ID_BITS) - 1)
        if row is None or _badge(row) != badge:
            raise KernelError(E.NODEV)
        return row

    def _check(self, badge: int, mode: int, wanted: int, who: Message, port: Port) -> None:
        """Owner, group, others: the first class that fits decides.  Raises EACCES."""
        if not badge or not who.uid:
            Generated._check(self, badge, mode, wanted, who, port)
            return
        user, group = self.owner(badge, port)
        shift = 6 if who.uid == user else 3 if group in (who.gid, *who.groups) else 0
        if wanted & ~(mode >> shift) & 7:
            raise KernelError(E.ACCES)

    def _status(self, badge: int, row: dict[str, Any], port: Port) -> Stat:
        """It has no times: each is that of the question."""
        return self._stat(badge, S_IFREG | row["mode"] & PERMISSIONS, port)._replace(
            size_bytes=row["end"] - row["start"], blocks=row["resident"] * BLOCKS_PER_PAGE
        )

    # Content --------------------------------------------------------------------------------------

    def _read(self, badge: int, message: Message, port: Port) -> Reply:
        count, offset, room = message.words
        found = self.part(badge, offset, min(count, room or 1), message, port)
        return Reply(data=fitting(found, room))

    def _write(self, row: dict[str, Any], message: Message, port: Port) -> Reply:
        """Raises ENOSPC at the end of the segment, ENOMEM at its owner's limit."""
        offset, count = message.words
        size = row["end"] - row["start"]
        start = size if offset < 0 else offset
        if count and start >= size:
            raise KernelError(E.NOSPC)
        data = message.data[: max(0, size - start)]
        if count and not data:
            raise KernelError(E.FAULT)
        if data:
            port.store(_cap(row, port), start, data)
        return Reply(len(data), words=(start + len(data),))

    def _truncate(self, badge: int, row: dict[str, Any], message: Message, port: Port) -> Reply:
        """Raises EPERM for any size but the one that it has."""
        if message.data.partition(b"\0")[0]:
            self._check(badge, row["mode"] & PERMISSIONS, WRITE, message, port)
        if message.words[0] != row["end"] - row["start"]:
            raise KernelError(E.PERM)
        return Reply()

    # Rights and the end ---------------------------------------------------------------------------

    def _chmod(self, row: dict[str, Any], message: Message, port: Port) -> Reply:
        if message.uid not in (0, row["user"]):
            raise KernelError(E.PERM)
        port.change_segment(row["id"], message.words[0], row["user"], row["group"])
        return Reply()

    def _chown(self, row: dict[str, Any], message: Message, port: Port) -> Reply:
        """A new owner pays from now on.  Raises EPERM."""
        uid, gid, _ = message.words
        if message.uid:
            mine = gid in (-1, row["group"], message.gid, *message.groups)
            if message.uid != row["user"] or uid not in (-1, row["user"]) or not mine:
                raise KernelError(E.PERM)
        user, group = row["user"] if uid < 0 else uid, row["group"] if gid < 0 else gid
        port.change_segment(row["id"], row["mode"], user, group)
        return Reply()

    def _unlink(self, row: dict[str, Any], message: Message, port: Port) -> Reply:
        """vas_seg_delete: the segment's own mode decides.  Raises EBUSY, EACCES, in this order."""
        if message.words[0]:
            raise KernelError(E.NOTDIR)
        port.delete_segment(row["id"], (message.uid, message.gid, message.groups))
        return Reply()


def _badge(row: dict[str, Any]) -> int:
    number: int = row["object"] << ID_BITS | row["id"]
    return number


def _cap(row: dict[str, Any], port: Port) -> int:
    return port.segment_cap(row["id"])


def _is_file_name(name: bytes) -> bool:
    return name not in (b"", b".", b"..") and b"/" not in name
