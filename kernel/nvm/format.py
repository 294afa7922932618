"""The layout of a module, byte by byte.  Version 1; `kernel.nvm` has the idea.

A root slot is the first line (64 bytes) of its frame; the rest of the frame is zero.

    8  "VTGNVM" CR LF     4  version     4  zero     8  frames of the module
    8  number             8  frame of the catalogue  4  its bytes     4  its checksum
    8  zero               4  zero        4  checksum of the bytes before

The catalogue is a row of entries of 32 bytes, sorted by kind and id:

    4  kind               4  id          8  frame of the record
    4  its bytes          4  its checksum           8  zero

A record:

    4  kind   4  id   4  mode   4  owner   4  group   4  length of the name   4  of the body
    4  number of objects, then name, body, and the objects: each the number of its runs (4), and
       for each run its first page, first frame and number of pages (8 each)

The body depends on the kind, and only the owner of that kind reads it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from hw.memory import PAGE_SIZE
from kernel.mm.extents import Run

MAGIC, VERSION = b"VTGNVM\r\n", 1
SLOTS = 2
SLOT_BYTES = 64
SEGMENT, VAS, FILE, CHECKPOINT = range(1, 5)
KINDS = ("", "segment", "VAS", "file", "checkpoint")
MOST_BYTES = 1 << 28
"""No catalogue and no record is longer."""
_ROOT = struct.Struct("<8sIIQQQIIQI")
assert _ROOT.size == 60
_ENTRY = struct.Struct("<IIQIIQ")
_HEAD = struct.Struct("<8I")
_RUN = struct.Struct("<QQQ")
_WORD = struct.Struct("<I")
Key = tuple[int, int]
"""Kind and id."""


class MediumError(Exception):
    """What is wrong with a module, in words, and what the user can do."""

    def __init__(self, text: str, remedy: str) -> None:
        super().__init__(text, remedy)
        self.text, self.remedy = text, remedy


class Damage(Exception):
    """Bytes that no version 1 has written; the text says which."""


@dataclass(frozen=True, slots=True)
class Root:
    """What a root slot says."""

    frames: int
    number: int
    pfn: int = 0
    size_bytes: int = 0
    checksum: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a record is."""

    kind: int
    id: int
    pfn: int
    size_bytes: int
    checksum: int

    @property
    def key(self) -> Key:
        return self.kind, self.id


@dataclass(slots=True)
class Record:
    """One object.  `objects` has the runs of each of its memory objects."""

    kind: int
    id: int
    name: bytes
    mode: int
    user: int
    group: int
    body: bytes = b""
    objects: list[list[Run]] = field(default_factory=list)

    @property
    def key(self) -> Key:
        return self.kind, self.id


def checksum(data: bytes) -> int:
    return zlib.crc32(data)


def frames_for(size_bytes: int) -> int:
    """How many frames so many bytes take."""
    return -(-size_bytes // PAGE_SIZE)


def pack_root(root: Root) -> bytes:
    head = (MAGIC, VERSION, 0, root.frames, root.number, root.pfn)
    data = _ROOT.pack(*head, root.size_bytes, root.checksum, 0, 0)
    return data + _WORD.pack(checksum(data))


def version_of(frame: bytes) -> int:
    """The format version that a root slot names, whether it is good or not."""
    return int(_WORD.unpack_from(frame, len(MAGIC))[0])


def newer(version: int) -> MediumError:
    """A module of a version that is not known."""
    return MediumError(
        f"it has format version {version}, and this Vantage knows version {VERSION}",
        "use the Vantage that made it, or another file",
    )


def unpack_root(frame: bytes) -> Root:
    """What the root slot in this frame says.  Raises `Damage`, and `MediumError` if it is newer."""
    line = frame[:SLOT_BYTES]
    if line[: len(MAGIC)] != MAGIC:
        raise Damage("does not begin as a root slot")
    if _WORD.unpack(line[-4:])[0] != checksum(line[:-4]):
        raise Damage("has a wrong checksum")
    if version_of(frame) != VERSION:
        raise newer(version_of(frame))
    if frame[SLOT_BYTES:].strip(b"\0"):
        raise Damage("is followed by bytes that do not belong there")
    _, _, _, frames, number, pfn, size, crc, _, _ = _ROOT.unpack(line[:-4])
    return Root(frames, number, pfn, size, crc)


def pack_catalogue(entries: list[Entry]) -> bytes:
    rows = sorted(entries, key=lambda entry: entry.key)
    return b"".join(
        _ENTRY.pack(row.kind, row.id, row.pfn, row.size_bytes, row.checksum, 0) for row in rows
    )


def unpack_catalogue(data: bytes) -> list[Entry]:
    """Raises `Damage`."""
    if len(data) % _ENTRY.size:
        raise Damage("has half an entry")
    return [Entry(*row[:5]) for row in _ENTRY.iter_unpack(data)]


def pack_record(record: Record) -> bytes:
    head = (record.kind, record.id, record.mode, record.user, record.group)
    sizes = (len(record.name), len(record.body), len(record.objects))
    parts = [_HEAD.pack(*head, *sizes), record.name, record.body]
    for runs in record.objects:
        parts.append(_WORD.pack(len(runs)))
        parts += [_RUN.pack(*run) for run in runs]
    return b"".join(parts)


def unpack_record(data: bytes) -> Record:
    """Raises `Damage`."""
    try:
        kind, id, mode, user, group, name_bytes, body_bytes, objects = _HEAD.unpack_from(data)
        at = _HEAD.size + name_bytes + body_bytes
        name = data[_HEAD.size : _HEAD.size + name_bytes]
        record = Record(kind, id, name, mode, user, group, data[_HEAD.size + name_bytes : at])
        for _ in range(objects):
            (runs,) = _WORD.unpack_from(data, at)
            end = at + _WORD.size + runs * _RUN.size
            if end > len(data):
                raise Damage("ends too early")
            record.objects.append(list(_RUN.iter_unpack(data[at + _WORD.size : end])))
            at = end
    except struct.error as error:
        raise Damage("ends too early") from error
    if at != len(data) or not 0 < kind < len(KINDS):
        raise Damage("has a form that nobody writes")
    return record


def runs_of(record: Record) -> Iterator[Run]:
    """Every run of frames with pages of the object."""
    for runs in record.objects:
        yield from runs
