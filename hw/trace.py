"""The trace port: typed records of what the machine and its kernel do, and their container.

The panel, the recorder, the grader and the exporter read records and nothing else.  The layer
that emits a kind of record declares it once, with `declare`.  A trace file carries the
declarations, so a reader needs no code of ours.

A record is `kind u8, core u8, cycles u64` followed by its fields, little-endian and unpadded:
`B H I Q` are unsigned of 1, 2, 4, 8 bytes, `q` is signed of 8, `s` is a u32 length, whose bytes
follow behind all fields.
These bytes are canonical and free of host time.  The digest of a run is a chain: SHA-256 hashes
each 4,096 records together with the digest before them.  So a run that is continued from a
checkpoint ends with the digest of the whole.

File: the magic, `u32 version`, `u32 length` and a zlib-compressed JSON header; then chunks of
`u32 compressed bytes, u32 raw bytes, u32 records, zlib data`; last an index chunk with the
offset, first record and first cycle of each chunk, and `u64 offset of the index` + the tail
magic.  A file that was cut off can still be read up to its last whole chunk.  A trace that is
watched and not kept is a file in parts (parts.py), whose oldest chunks are gone after a time.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hw.parts import PartedFile, Sink

MAGIC, TAIL, VERSION = b"VANTAGE\x00", b"VTG-TAIL", 1
RECORDS_PER_CHUNK = 4096
CHUNK_BYTES = 1 << 20
"""A chunk ends when its records have so many bytes; one record may be longer."""
MOST_CHUNK_BYTES, MOST_HEADER_BYTES = 64 << 20, 32 << 20
"""A reader inflates no more than that, whatever the file says."""
MOST_INDEX_ROW_BYTES = 72
_CHUNK_HEAD = struct.Struct("<III")
_RECORD_HEAD = "<BBQ"


UNSOUND = (
    *(ValueError, LookupError, TypeError, AttributeError, OverflowError, OSError, struct.error),
    *(RecursionError, MemoryError),
)
"""What reading a file that was made up or changed can raise."""


class TraceError(Exception):
    """The file is not a trace, is of another version, or is damaged; the text says which."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of record: field names and codes, and one sentence on what it says.

    Its number in a trace is its place among all kinds in the order of their names.  The order of
    imports does not matter.
    """

    name: str
    fields: tuple[str, ...]
    codes: str
    doc: str


@dataclass(frozen=True, slots=True)
class Record:
    """A decoded record; `values` in the order of `kind.fields`."""

    kind: Kind
    core: int
    cycles: int
    values: tuple[Any, ...]

    def __getitem__(self, name: str) -> Any:
        return self.values[self.kind.fields.index(name)]

    def __str__(self) -> str:
        fields = zip(self.kind.fields, self.values, strict=True)
        words = " ".join(f"{name}={_show(value)}" for name, value in fields)
        return f"{self.cycles:>10} c{self.core} {self.kind.name} {words}"


KINDS: dict[str, Kind] = {}
CODES = "BHIQqs"


def declare(name: str, fields: str, doc: str) -> Kind:
    """Declare a kind of record: `fields` is like `"va:Q error:B"`."""
    pairs = [pair.partition(":") for pair in fields.split()]
    names, codes = tuple(pair[0] for pair in pairs), "".join(pair[2] for pair in pairs)
    kind = Kind(name, names, codes, doc)
    if name in KINDS or set(codes) - set(CODES):
        raise ValueError(f"bad or repeated record kind {name}")
    KINDS[name] = kind
    return kind


class _Codec:
    """Packs and unpacks the records of one set of kinds."""

    def __init__(self, kinds: dict[int, Kind]) -> None:
        self.kinds = kinds
        self._layouts = {
            kind.name: (number, struct.Struct(_RECORD_HEAD + kind.codes.replace("s", "I")))
            for number, kind in kinds.items()
        }

    def pack(self, kind: Kind, core: int, cycles: int, values: tuple[Any, ...]) -> bytes:
        """The canonical bytes of one record."""
        number, layout = self._layouts[kind.name]
        if "s" not in kind.codes:
            return layout.pack(number, core, cycles, *values)
        numbers = [len(value) if type(value) is bytes else value for value in values]
        strings = [value for value in values if type(value) is bytes]
        return layout.pack(number, core, cycles, *numbers) + b"".join(strings)

    def unpack(self, raw: bytes) -> Iterator[Record]:
        """The records of one chunk.  Raises `TraceError` with what is wrong with the file."""
        at = 0
        while at < len(raw):
            kind = self.kinds.get(raw[at])
            if kind is None:
                raise TraceError(f"it has a record of unknown kind {raw[at]}")
            _, layout = self._layouts[kind.name]
            if at + layout.size > len(raw):
                raise TraceError("one of its records is cut off")
            _, core, cycles, *values = layout.unpack_from(raw, at)
            at += layout.size
            for i, code in enumerate(kind.codes):
                if code == "s":
                    length = values[i]
                    if at + length > len(raw):
                        raise TraceError("one of its records is cut off")
                    values[i] = raw[at : at + length]
                    at += length
            yield Record(kind, core, cycles, tuple(values))


@dataclass
class Trace:
    """Where a running machine puts its records.

    `core` and `cycles` stamp each record; the machine keeps them current.  With a `sink` the
    records go to that file; the digest and the number of records are kept either way.
    `observer` sees each record at once.
    """

    header: dict[str, Any]
    sink: Sink | None = None
    observer: Callable[[Kind, tuple[Any, ...]], None] | None = None
    core: int = 0
    cycles: int = 0
    records: int = 0
    """Those in whole chunks; `total` counts all."""
    _pending: list[tuple[Kind, int, int, tuple[Any, ...]]] = field(default_factory=list)
    kept: int = 0
    """How many are in the file."""
    _index: list[tuple[int, int, int]] = field(default_factory=list)
    _offset: int = 0
    _chain: bytes = b""
    _closed: bool = False
    failed: OSError | None = None
    """Why the sink took no more; the records of the run go on without it."""
    _written: int = 0
    """How many of the pending records are in the file already."""

    def __post_init__(self) -> None:
        self._codec = _Codec(_numbered())
        if self.sink:
            header = {"kinds": [_kind_to_json(*row) for row in _numbered().items()], **self.header}
            packed = zlib.compress(_header_text(header))
            self._write(MAGIC + struct.pack("<II", VERSION, len(packed)) + packed)

    def emit(self, kind: Kind, *values: Any) -> None:
        """Record that `kind` happened now, on the current core."""
        self._pending.append((kind, self.core, self.cycles, values))
        if self.observer:
            self.observer(kind, values)
        if len(self._pending) >= RECORDS_PER_CHUNK:
            self._end_chunk()

    def retract(self) -> None:
        """Take the last record back.  Its observer calls this if it finds the record impossible."""
        del self._pending[-1]

    @property
    def total(self) -> int:
        """How many records there have been."""
        return self.records + len(self._pending)

    def digest(self) -> str:
        """The digest of all records so far, in hex."""
        return hashlib.sha256(self._chain + self._pack_pending()).hexdigest()

    def _end_chunk(self) -> None:
        self._chain = hashlib.sha256(self._chain + self._pack_pending()).digest()
        self.flush()
        self.records += len(self._pending)
        self._pending.clear()
        self._written = 0

    def flush(self) -> None:
        """Write what is pending to the sink, as a chunk of its own, for a reader of the live file.
        The digest depends on the records only, not on how they are cut into chunks."""
        while self.sink and self._written < len(self._pending):
            written, rows, size_bytes = self._written, [], 0
            for record in self._pending[written:]:
                rows.append(self._codec.pack(*record))
                size_bytes += len(rows[-1])
                if size_bytes >= CHUNK_BYTES:
                    break
            self._index.append((self._offset, self.records + written, self._pending[written][2]))
            packed = zlib.compress(b"".join(rows), 1)
            self._write(_CHUNK_HEAD.pack(len(packed), size_bytes, len(rows)) + packed)
            if self.sink:
                self._written += len(rows)
                self.kept = self.records + self._written

    def _pack_pending(self, first: int = 0) -> bytes:
        pack = self._codec.pack
        return b"".join([pack(*record) for record in self._pending[first:]])

    def __getstate__(self) -> dict[str, Any]:
        """What a checkpoint keeps: the chain, but not where the records go."""
        pending = [(kind.name, *rest) for kind, *rest in self._pending]
        keep = ("header", "core", "cycles", "records", "_chain")
        return {name: getattr(self, name) for name in keep} | {"_pending": pending}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, sink=None, observer=None, failed=None, _index=[], _offset=0)
        self._written, self._closed, self.kept = 0, False, 0
        self._pending = [(KINDS[name], *rest) for name, *rest in state["_pending"]]
        self._codec = _Codec(_numbered())

    def close(self) -> None:
        """Write what is pending and the index, once; the sink itself belongs to the caller."""
        self.flush()
        if self.sink and not self._closed:
            self._closed = True
            packed = zlib.compress(json.dumps(self._index).encode())
            tail = struct.pack("<Q", self._offset) + TAIL
            self._put(_CHUNK_HEAD.pack(len(packed), 0, 0) + packed + tail)

    def go_on_in(self, other: Trace) -> None:
        """Go on in the file of `other`, a later state of the same run: what it wrote after this
        state is cut off."""
        after = [row for row in other._index if row[1] >= self.records]
        self._offset = after[0][0] if after else other._offset
        self._index = other._index[: len(other._index) - len(after)]
        self._written, self._closed, self.kept = 0, False, self.records
        self.sink, self.observer = other.sink, other.observer
        other.sink = other.observer = None
        if self.sink:
            self.sink.seek(self._offset)
            self.sink.truncate()

    def forget(self, number: int) -> None:
        """Forget where the chunks before record `number` are: a reader has deleted them."""
        self._index = [row for row in self._index if row[1] >= number]

    def stop(self) -> None:
        """Keep no more records; the digest goes on."""
        self.sink = None

    def _write(self, data: bytes) -> None:
        if self._put(data):
            self._offset += len(data)

    def _put(self, data: bytes) -> bool:
        """Write all of `data`, or drop the sink: a full disk does not end the run."""
        assert self.sink is not None
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self.sink.write(rest) :]
        except OSError as error:
            self.failed = error
            with suppress(OSError, ValueError):  # a device has no length
                self.sink.truncate(self._offset)
            self.sink = None
        return self.sink is not None


class TraceFile:
    """A trace on disk, read chunk by chunk.  Raises `TraceError` on anything unsound."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Sink = self._opened()
        try:
            self._read_head()
        except UNSOUND as error:
            self.close()
            raise TraceError(f"{path} is damaged: its header makes no sense") from error
        except TraceError:
            self.close()
            raise

    def _opened(self) -> Sink:
        return PartedFile(self.path) if self.path.is_dir() else self.path.open("rb")

    def reopen(self) -> None:
        """Read anew what has changed in the file."""
        self._file.close()
        self._file = self._opened()

    def delete_before(self, offset: int) -> None:
        """The chunks before `offset` are needed no more. Only a trace in parts loses them."""
        if isinstance(self._file, PartedFile):
            self._file.delete_before(offset)

    def _read_head(self) -> None:
        path = self.path
        head = self._file.read(16)
        if head[:8] != MAGIC or len(head) < 16:
            raise TraceError(f"{path} is not a Vantage trace")
        version, length = struct.unpack_from("<II", head, 8)
        if version != VERSION:
            raise TraceError(
                f"{path} is a trace of version {version}; this reads version {VERSION}"
            )
        packed = self._read(length)
        self.header: dict[str, Any] = json.loads(self._inflate(packed, "header", MOST_HEADER_BYTES))
        self._codec = _Codec({int(row["id"]): _kind_from_json(row) for row in self.header["kinds"]})
        self._first_chunk = self._file.tell()
        self.chunks = self._read_index()
        """(file offset, first record, first cycle) of each chunk; empty if the file was cut off."""

    def __enter__(self) -> TraceFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Record]:
        return self.records_from(0)

    @property
    def kinds(self) -> list[Kind]:
        """The kinds of record that the file declares."""
        return list(self._codec.kinds.values())

    @property
    def first_chunk(self) -> int:
        """Where the first chunk begins."""
        return self._first_chunk

    def chunk_at(self, offset: int) -> tuple[list[Record], int] | None:
        """The records of the chunk at `offset`, and where the next one begins; None where the
        recording ends, or has not got to yet."""
        self._file.seek(offset)
        head = self._file.read(_CHUNK_HEAD.size)
        if len(head) < _CHUNK_HEAD.size:
            return None
        packed_bytes, raw_bytes, records = _CHUNK_HEAD.unpack(head)
        packed = self._read(packed_bytes) if records else b""
        if not records or len(packed) < packed_bytes:
            return None
        raw = self._chunk(packed, raw_bytes, records)
        return list(self._records_of(raw, records)), self._file.tell()

    def digest(self) -> str:
        """The digest of the run, computed anew from the records, in hex."""
        chain, count, offset = hashlib.sha256(), 0, self._first_chunk
        while True:
            self._file.seek(offset)
            packed_bytes, raw_bytes, records = _CHUNK_HEAD.unpack(self._file.read(_CHUNK_HEAD.size))
            if not records:
                return chain.hexdigest()
            chain.update(self._chunk(self._read(packed_bytes), raw_bytes, records))
            count, offset = count + records, self._file.tell()
            if count == RECORDS_PER_CHUNK:
                chain, count = hashlib.sha256(chain.digest()), 0

    @property
    def complete(self) -> bool:
        """The recording was closed: nothing will be added to it."""
        size = self._file.seek(0, 2)
        self._file.seek(max(0, size - len(TAIL)))
        return self._file.read() == TAIL

    def records_from(self, number: int) -> Iterator[Record]:
        """All records from the `number`-th on; cost does not depend on how far in it is."""
        before = [chunk for chunk in self.chunks if chunk[1] <= number]
        offset, first, _ = before[-1] if before else (self._first_chunk, 0, 0)
        for raw, count in self._chunks_from(offset):
            for record in self._records_of(raw, count):
                if first >= number:
                    yield record
                first += 1

    def _records_of(self, raw: bytes, records: int) -> Iterator[Record]:
        found = 0
        try:
            for record in self._codec.unpack(raw):
                found += 1
                if found > records:
                    raise TraceError("a chunk has more records than it says")
                yield record
        except TraceError as error:
            raise TraceError(f"{self.path} is damaged: {error}") from error
        if found < records:
            raise TraceError(f"{self.path} is damaged: a chunk has fewer records than it says")

    def _chunks_from(self, offset: int) -> Iterator[tuple[bytes, int]]:
        while True:
            self._file.seek(offset)
            head = self._file.read(_CHUNK_HEAD.size)
            if len(head) < _CHUNK_HEAD.size:
                raise TraceError(f"{self.path} ends early: the recording was cut off here")
            packed_bytes, raw_bytes, records = _CHUNK_HEAD.unpack(head)
            if not records:
                return
            packed = self._read(packed_bytes)
            if len(packed) < packed_bytes:
                raise TraceError(f"{self.path} ends early: the recording was cut off here")
            offset = self._file.tell()
            yield self._chunk(packed, raw_bytes, records), records

    def _read_index(self) -> list[tuple[int, int, int]]:
        size = self._file.seek(0, 2)
        if size < self._first_chunk + 16:
            return []
        self._file.seek(size - 16)
        tail = self._file.read(16)
        if tail[8:] != TAIL:
            return []
        self._file.seek(struct.unpack_from("<Q", tail)[0])
        packed_bytes, _, _ = _CHUNK_HEAD.unpack(self._file.read(_CHUNK_HEAD.size))
        most = size // (_CHUNK_HEAD.size + 1) * MOST_INDEX_ROW_BYTES + 2
        rows = json.loads(self._inflate(self._read(packed_bytes), "index", most))
        chunks = [(int(row[0]), int(row[1]), int(row[2])) for row in rows]
        if any(not self._first_chunk <= offset < size for offset, _, _ in chunks):
            raise TraceError(f"{self.path} is damaged: its index points outside")
        return chunks

    def _read(self, size_bytes: int) -> bytes:
        """At most so many bytes from here on; a file that says more than it has takes no memory."""
        here = self._file.tell()
        rest = self._file.seek(0, 2) - here
        self._file.seek(here)
        return self._file.read(min(size_bytes, max(0, rest)))

    def _chunk(self, packed: bytes, raw_bytes: int, records: int) -> bytes:
        """The records of one chunk, as many bytes as it says."""
        if not (0 < records <= RECORDS_PER_CHUNK and raw_bytes <= MOST_CHUNK_BYTES):
            raise TraceError(f"{self.path} is damaged: a chunk claims an impossible size")
        raw = self._inflate(packed, "chunk", raw_bytes)
        if len(raw) != raw_bytes:
            raise TraceError(f"{self.path} is damaged: a chunk is shorter than it says")
        return raw

    def _inflate(self, packed: bytes, what: str, most_bytes: int) -> bytes:
        """Decompress at most `most_bytes`, which costs no more memory than that."""
        inflater = zlib.decompressobj()
        try:
            raw = inflater.decompress(packed, most_bytes + 1)
        except zlib.error as error:
            raise TraceError(f"{self.path} is damaged: its {what} does not decompress") from error
        if len(raw) > most_bytes:
            raise TraceError(f"{self.path} is damaged: its {what} is larger than it may be")
        if not inflater.eof:
            raise TraceError(f"{self.path} is damaged: its {what} does not decompress")
        return raw


def _numbered() -> dict[int, Kind]:
    return dict(enumerate(sorted(KINDS.values(), key=lambda kind: kind.name)))


def _header_text(header: dict[str, Any]) -> bytes:
    """The header as JSON.  One that is too long for a reader goes without the program's text."""
    text = json.dumps(header, sort_keys=True).encode()
    if len(text) > MOST_HEADER_BYTES:
        program = {"name": header.get("program", {}).get("name", "")}
        text = json.dumps({**header, "program": program}, sort_keys=True).encode()
    return text


def _kind_to_json(number: int, kind: Kind) -> dict[str, Any]:
    return {
        "id": number,
        "name": kind.name,
        "fields": list(kind.fields),
        "codes": kind.codes,
        "doc": kind.doc,
    }


def _kind_from_json(row: dict[str, Any]) -> Kind:
    kind = Kind(row["name"], tuple(row["fields"]), row["codes"], row["doc"])
    if len(kind.fields) != len(kind.codes) or set(kind.codes) - set(CODES):
        raise ValueError(f"the kind of record {kind.name} makes no sense")
    return kind


def _show(value: Any) -> str:
    if isinstance(value, bytes):
        return repr(value)[1:]
    return f"{value:#x}" if value > 4096 else str(value)
