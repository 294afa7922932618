"""The server of /sys, which holds what the RFC puts there: all VASes and all segments.

    /sys/kernel/vas/ID/         name mode user group, and attached resident segments kind
    /sys/kernel/vas_segs/ID/    name mode user group region, and attached resident lockable

As in the RFC, a value has no newline.  The files behind "and" are ours: `attached` counts
attachments, `resident` counts pages that have a frame, and `segments` lists the ids of the segments
that a VAS shows; `kind` is vas or checkpoint.  A badge holds an id and the number of a file there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Message, Port
from kernel.servers.generated import DIRECTORY, FILE, Generated

ROOT, KERNEL, VASES, SEGMENTS = range(4)
ID_SHIFT, VAS_FILE, SEGMENT_FILE = 8, 0x10, 0x20
FOLDERS = (b"/sys", b"/sys/kernel", b"/sys/kernel/vas", b"/sys/kernel/vas_segs")

Files = dict[bytes, Callable[[dict[str, Any]], bytes]]
HEAD: Files = {
    b"name": lambda row: bytes(row["name"]),
    b"mode": lambda row: b"0%o" % row["mode"] if row["mode"] else b"00",
    b"user": lambda row: b"%d" % row["user"],
    b"group": lambda row: b"%d" % row["group"],
    b"attached": lambda row: b"%d" % (row["readers"] + row["writers"]),
    b"resident": lambda row: b"%d" % row["resident"],
}
VAS: Files = HEAD | {
    b"segments": lambda row: b" ".join(b"%d" % sid for sid in row["segments"]),
    b"kind": lambda row: row["kind"].encode(),
}
SEGMENT: Files = HEAD | {
    b"region": lambda row: b"%x-%x" % (row["start"], row["end"]),
    b"lockable": lambda row: b"%d" % row["lockable"],
}
_VAS_NAMES, _SEGMENT_NAMES = list(VAS), list(SEGMENT)


@dataclass(slots=True)
class Sysfs(Generated):
    name: str = "sysfs"
    device: ClassVar[int] = 5

    def restarted(self) -> Sysfs:
        return Sysfs(self.above)

    def mode(self, badge: int) -> int:
        return FILE if badge & (VAS_FILE | SEGMENT_FILE) else DIRECTORY

    def children(self, badge: int, port: Port) -> Iterator[tuple[int, bytes]]:
        id, what = badge >> ID_SHIFT, badge & 0xFF
        if what == ROOT:
            yield KERNEL, b"kernel"
        elif what == KERNEL:
            yield VASES, b"vas"
            yield SEGMENTS, b"vas_segs"
        elif not id:
            found = port.vases() if what == VASES else port.segments()
            yield from ((each << ID_SHIFT | what, b"%d" % each) for each in found)
        else:
            self._row(badge, port)
            kind, names = (
                (VAS_FILE, _VAS_NAMES) if what == VASES else (SEGMENT_FILE, _SEGMENT_NAMES)
            )
            yield from ((id << ID_SHIFT | kind | i, name) for i, name in enumerate(names))

    def child(self, directory: int, name: bytes, port: Port) -> int:
        """Find an id without a list of all of them."""
        if directory not in (VASES, SEGMENTS):
            return Generated.child(self, directory, name, port)
        if not name.isdigit() or len(name) > 6 or name != b"%d" % int(name):
            raise KernelError(E.NOENT)
        badge = int(name) << ID_SHIFT | directory
        self._row(badge, port)
        return badge

    def parent(self, badge: int) -> int:
        id, what = badge >> ID_SHIFT, badge & 0xFF
        if what & (VAS_FILE | SEGMENT_FILE):
            return id << ID_SHIFT | (VASES if what & VAS_FILE else SEGMENTS)
        return what if id else KERNEL if what > KERNEL else ROOT

    def path(self, badge: int) -> bytes:
        id, what = badge >> ID_SHIFT, badge & 0xFF
        if what & (VAS_FILE | SEGMENT_FILE):
            return self.path(self.parent(badge)) + b"/" + self._file(what)
        return FOLDERS[what] + (b"/%d" % id if id else b"")

    def content(self, badge: int, message: Message, port: Port) -> bytes:
        what = badge & 0xFF
        files = VAS if what & VAS_FILE else SEGMENT
        return files[self._file(what)](self._row(badge, port))

    def target(self, badge: int, message: Message, port: Port) -> bytes:
        raise KernelError(E.INVAL)

    def owner(self, badge: int, port: Port) -> tuple[int, int]:
        return 0, 0

    @staticmethod
    def _file(what: int) -> bytes:
        return _VAS_NAMES[what & 0xF] if what & VAS_FILE else _SEGMENT_NAMES[what & 0xF]

    def _row(self, badge: int, port: Port) -> dict[str, Any]:
        id, what = badge >> ID_SHIFT, badge & 0xFF
        is_vas = what == VASES or bool(what & VAS_FILE)
        found = port.vas(id) if is_vas else port.segment(id)
        if found is None:
            raise KernelError(E.NOENT)
        return found
