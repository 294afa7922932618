"""The trace: what goes in comes out, the digest covers the records alone, and a damaged file is
refused in a sentence."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernel.boot  # noqa: F401 - it declares all kinds of records
from hw import trace
from hw.trace import KINDS, MAGIC, RECORDS_PER_CHUNK, TAIL, VERSION, Record, Trace, TraceError
from hw.trace import TraceFile as File

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "B": st.integers(0, 2**8 - 1),
    "H": st.integers(0, 2**16 - 1),
    "I": st.integers(0, 2**32 - 1),
    "Q": st.integers(0, 2**64 - 1),
    "q": st.integers(-(2**63), 2**63 - 1),
    "s": st.binary(max_size=40),
}
NAMES = sorted(KINDS)
MISS = KINDS["tlb_miss"]
HEADER = {"config": {"seed": 7}, "calls": {"1": "write"}}

Row = tuple[str, int, int, tuple[Any, ...]]


def rows_of(name: str) -> st.SearchStrategy[Row]:
    values = st.tuples(*(VALUES[code] for code in KINDS[name].codes))
    return st.tuples(st.just(name), st.integers(0, 7), st.integers(0, 2**64 - 1), values)


ROWS = st.sampled_from(NAMES).flatmap(rows_of)


def write(port: Trace, rows: list[Row]) -> None:
    for name, core, cycles, values in rows:
        port.core, port.cycles = core, cycles
        port.emit(KINDS[name], *values)


def recorded(rows: list[Row]) -> bytes:
    """The bytes of a file with these records."""
    sink = io.BytesIO()
    port = Trace(HEADER, sink)
    write(port, rows)
    port.close()
    return sink.getvalue()


def many(count: int) -> list[Row]:
    return [("tlb_miss", n % 4, 10 * n, (n & 1, n % 6, n, n % 4096)) for n in range(count)]


def plain(record: Record) -> Row:
    return record.kind.name, record.core, record.cycles, record.values


def read(path: Path, data: bytes, start: int = 0) -> list[Row]:
    path.write_bytes(data)
    with File(path) as file:
        return [plain(record) for record in file.records_from(start)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trace") / "t.vtrace"


# Round trip -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_comes_back_as_it_was(name: str, path: Path) -> None:
    @settings(max_examples=12)
    @given(st.lists(rows_of(name), min_size=1, max_size=4))
    def check(rows: list[Row]) -> None:
        assert read(path, recorded(rows)) == rows

    check()


@settings(max_examples=100)
@given(st.lists(ROWS, max_size=30), st.integers(0, 35))
def test_records_from_a_number_are_the_slice_from_there(
    path: Path, rows: list[Row], number: int
) -> None:
    assert read(path, recorded(rows), number) == rows[number:]


@pytest.mark.parametrize("count", [0, 1, RECORDS_PER_CHUNK, RECORDS_PER_CHUNK + 1, 10_000])
def test_the_division_into_chunks_does_not_show(count: int, path: Path) -> None:
    rows = many(count)
    path.write_bytes(recorded(rows))
    with File(path) as file:
        assert [plain(record) for record in file] == rows
        for number in (0, 1, 4095, 4096, 4097, 9_999, 10_000, 99_999):
            found = [plain(record) for record in file.records_from(number)]
            assert found == rows[number:]


def test_the_header_carries_the_declarations_and_what_was_given(path: Path) -> None:
    path.write_bytes(recorded(many(3)))
    with File(path) as file:
        assert {name: file.header[name] for name in HEADER} == HEADER
        assert {kind["name"] for kind in file.header["kinds"]} == set(KINDS)
        (first, *_) = file
    assert (first.kind.doc, first.kind.fields) == (MISS.doc, MISS.fields)
    assert first["pcid"] == 0
    assert str(first) == "         0 c0 tlb_miss side=0 cause=0 vpn=0 pcid=0"


def test_a_reader_does_not_need_our_declarations(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = recorded(many(3))
    monkeypatch.setattr(trace, "KINDS", {})
    assert read(path, data) == many(3)


def test_two_runs_give_the_same_bytes() -> None:
    assert recorded(many(9_000)) == recorded(many(9_000))


@pytest.mark.parametrize(
    ("name", "fields"), [("tlb_miss", "side:B"), ("new_kind", "x:Z"), ("new_kind", "x")]
)
def test_a_repeated_or_unsound_declaration_is_refused(name: str, fields: str) -> None:
    before = dict(KINDS)
    if fields == "x":
        fields = "x:?"
    with pytest.raises(ValueError, match=name):
        trace.declare(name, fields, "")
    assert before == KINDS


def test_kinds_are_numbered_by_name_whatever_was_imported_first(path: Path) -> None:
    path.write_bytes(recorded(many(20)))
    with File(path) as file:
        rows = file.header["kinds"]
    assert [row["name"] for row in rows] == sorted(KINDS)
    assert [row["id"] for row in rows] == list(range(len(KINDS)))


def test_declared_kinds_fit_a_byte_and_are_explained() -> None:
    assert len(KINDS) <= 256
    for kind in KINDS.values():
        assert len(set(kind.fields)) == len(kind.fields) == len(kind.codes)
        assert kind.doc.endswith(".")


# The index ------------------------------------------------------------------------------------


def test_the_index_lists_every_chunk(path: Path) -> None:
    rows = many(20 * RECORDS_PER_CHUNK)
    path.write_bytes(recorded(rows))
    with File(path) as file:
        assert len(file.chunks) == 20
        assert [first for _, first, _ in file.chunks] == list(range(0, len(rows), 4096))
        assert [cycle for _, _, cycle in file.chunks] == [rows[4096 * n][2] for n in range(20)]


@pytest.mark.parametrize("chunk", [0, 10, 19])
def test_a_record_can_be_read_where_only_its_own_chunk_is_sound(path: Path, chunk: int) -> None:
    """So going to a late record reads one chunk and not the file."""
    rows = many(20 * RECORDS_PER_CHUNK)
    data = bytearray(recorded(rows))
    path.write_bytes(data)
    with File(path) as file:
        ends = [offset for offset, _, _ in file.chunks[1:]]
    for other, end in enumerate(ends):
        if other != chunk:
            data[end - 4 : end] = bytes(4)  # the checksum of the chunk's compressed bytes
    path.write_bytes(data)
    number = chunk * RECORDS_PER_CHUNK + 5
    with File(path) as file:
        assert plain(next(file.records_from(number))) == rows[number]
        with pytest.raises(TraceError, match="does not decompress"):
            next(file.records_from((chunk + 1) % 19 * RECORDS_PER_CHUNK))


# The digest -------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.lists(ROWS, max_size=20))
def test_the_digest_does_not_depend_on_the_sink_or_on_the_header(rows: list[Row]) -> None:
    ports = [Trace({}), Trace(HEADER, io.BytesIO()), Trace({}, observer=lambda kind, values: None)]
    for port in ports:
        write(port, rows)
    assert len({port.digest() for port in ports}) == 1


def test_asking_for_the_digest_changes_nothing() -> None:
    asked, left_alone = Trace({}), Trace({})
    for row in many(9_000):
        for port in (asked, left_alone):
            write(port, [row])
        if row[2] % 7_770 == 0:
            asked.digest()
    assert asked.digest() == asked.digest() == left_alone.digest()


@settings(max_examples=60)
@given(st.lists(ROWS, min_size=1, max_size=8), st.data())
def test_the_digest_reveals_any_change_of_any_record(rows: list[Row], data: st.DataObject) -> None:
    which = data.draw(st.integers(0, len(rows) - 1))
    other = data.draw(ROWS.filter(lambda row: row != rows[which]))
    changed = [*rows[:which], other, *rows[which + 1 :]]
    digests = set()
    for version in (rows, changed):
        port = Trace({})
        write(port, version)
        digests.add(port.digest())
    assert len(digests) == 2


@pytest.mark.parametrize("cut", [0, 1, 4_095, 4_096, 4_097, 8_999])
def test_a_trace_continued_from_a_checkpoint_ends_with_the_digest_of_the_whole(cut: int) -> None:
    rows, whole, part = many(9_000), Trace({}), Trace({}, io.BytesIO())
    write(whole, rows)
    write(part, rows[:cut])
    rest = pickle.loads(pickle.dumps(part))
    write(rest, rows[cut:])
    assert rest.digest() == whole.digest()
    assert rest.records == whole.records


@settings(max_examples=40)
@given(st.lists(ROWS, max_size=30), st.sets(st.integers(0, 30)))
def test_a_trace_that_is_flushed_now_and_then_is_the_same_trace(
    path: Path, rows: list[Row], flushes: set[int]
) -> None:
    sink = io.BytesIO()
    port, plain_port = Trace(HEADER, sink), Trace({})
    for number, row in enumerate(rows):
        write(port, [row])
        write(plain_port, [row])
        if number in flushes:
            port.flush()
    assert port.digest() == plain_port.digest()
    port.close()
    assert read(path, sink.getvalue()) == rows
    for number in (0, 7, 29):
        assert read(path, sink.getvalue(), number) == rows[number:]
    with File(path) as file:
        assert file.digest() == plain_port.digest()


@pytest.mark.parametrize("flush_every", [100, 4_096, 5_000])
def test_a_long_trace_in_odd_chunks_has_the_digest_of_the_records(
    path: Path, flush_every: int
) -> None:
    sink, whole = io.BytesIO(), Trace({})
    port = Trace(HEADER, sink)
    for number, row in enumerate(many(9_000)):
        write(port, [row])
        write(whole, [row])
        if number % flush_every == 0:
            port.flush()
    port.close()
    path.write_bytes(sink.getvalue())
    with File(path) as file:
        assert file.digest() == port.digest() == whole.digest()
        assert sum(1 for _ in file) == 9_000


def test_chunks_of_a_growing_file_arrive_when_they_are_complete(path: Path) -> None:
    sink = io.BytesIO()
    port = Trace(HEADER, sink)
    write(port, many(10))
    port.flush()
    data = sink.getvalue()
    path.write_bytes(data[:-3])
    with File(path) as file:
        assert file.chunk_at(file.first_chunk) is None
        path.write_bytes(data)
        found = file.chunk_at(file.first_chunk)
        assert found is not None
        assert [plain(record) for record in found[0]] == many(10)
        assert file.chunk_at(found[1]) is None
        assert not file.complete
        write(port, many(5))
        port.close()
        path.write_bytes(sink.getvalue())
        again = file.chunk_at(found[1])
        assert again is not None
        assert len(again[0]) == 5
        assert file.complete


def test_an_observer_sees_each_record_at_once() -> None:
    seen: list[tuple[str, tuple[Any, ...]]] = []
    port = Trace({}, observer=lambda kind, values: seen.append((kind.name, values)))
    for number, row in enumerate(many(5), 1):
        write(port, [row])
        assert len(seen) == number
        assert seen[-1] == (row[0], row[3])


# Damage -----------------------------------------------------------------------------------------

GOOD, SHORT = recorded(many(5_000)), recorded(many(20))


def chunk_head(packed: bytes, count: int = 1, raw_bytes: int = 0) -> bytes:
    return struct.pack("<III", len(packed), raw_bytes, count) + packed


def forged(header: object, *chunks: bytes, tail: bytes = b"") -> bytes:
    """A file whose parts are complete, with any content."""
    packed = zlib.compress(json.dumps(header).encode())
    body = MAGIC + struct.pack("<II", VERSION, len(packed)) + packed
    return body + b"".join(chunk_of(chunk) for chunk in chunks) + tail


def chunk_of(raw: bytes, count: int = 1) -> bytes:
    return chunk_head(zlib.compress(raw), count, len(raw))


def kinds(**changes: object) -> dict[str, object]:
    row = {"id": 0, "name": "k", "fields": ["a"], "codes": "s", "doc": ""}
    return {"kinds": [{**row, **changes}]}


def index_tail(rows: object, at: int) -> bytes:
    packed = zlib.compress(json.dumps(rows).encode())
    return chunk_head(packed, 0) + struct.pack("<Q", at) + TAIL


END = len(forged({"kinds": []}))

UNSOUND: dict[str, bytes] = {
    "empty": b"",
    "a few bytes": b"VANT",
    "magic only": MAGIC,
    "foreign": b"\x7fELF" + bytes(100),
    "text": b"This is not a trace, it is a letter.\n" * 3,
    "header cut": GOOD[:40],
    "header of another length": GOOD[:12] + struct.pack("<I", 7) + GOOD[16:],
    "huge header length": GOOD[:12] + b"\xff\xff\xff\xff" + GOOD[16:],
    "header is no JSON": MAGIC + struct.pack("<II", VERSION, 11) + zlib.compress(b"{{{"),
    "header is no text": MAGIC + struct.pack("<II", VERSION, 12) + zlib.compress(b"\xff\xfe\xfd"),
    "header is a list": forged([1, 2]),
    "header without kinds": forged({"config": {}}),
    "kinds are a number": forged({"kinds": 5}),
    "a kind without a name": forged({"kinds": [{"id": 0}]}),
    "a kind of unknown codes": forged(kinds(codes="Z")),
    "a kind of more fields than codes": forged(kinds(fields=["a", "b"]), bytes(14)),
    "a kind whose number is a word": forged(kinds(id="zero"), bytes(14)),
    "a kind that is declared twice": forged({"kinds": [*kinds()["kinds"]] * 2}, bytes(14)),  # type: ignore[misc]
    "unknown kind of record": forged(kinds(), b"\x05" + bytes(13)),
    "record cut": forged(kinds(), bytes(7)),
    "string longer than the chunk": forged(kinds(), bytes(10) + b"\x09\0\0\0abc"),
    "a chunk that inflates to more than it says": forged(
        kinds(), tail=chunk_head(zlib.compress(bytes(14 << 20)), 1, 14)
    ),
    "a chunk that inflates to less than it says": forged(
        kinds(), tail=chunk_head(zlib.compress(bytes(14)), 1, 28)
    ),
    "a chunk that says too much": forged(
        kinds(), tail=chunk_head(zlib.compress(bytes(14)), 1, 0xFFFFFFFF)
    ),
    "a chunk of more records than it says": forged(kinds(), bytes(28)),
    "a chunk of fewer records than it says": forged(kinds(), tail=chunk_of(bytes(14), 2)),
    "a chunk of too many records": forged(kinds(), tail=chunk_of(bytes(14 * 5000), 5000)),
    "no end": GOOD[: len(GOOD) // 2],
    "index beyond the file": forged({"kinds": []}, tail=index_tail([], 1 << 40)),
    "index beyond all files": forged({"kinds": []}, tail=index_tail([], (1 << 64) - 1)),
    "index is a word": forged({"kinds": []}, tail=index_tail("index", END)),
    "index of numbers": forged({"kinds": []}, tail=index_tail([1, 2], END)),
    "index of words": forged({"kinds": []}, tail=index_tail([["a", "b", "c"]], END)),
    "index of short rows": forged({"kinds": []}, tail=index_tail([[1]], END)),
    "index that points past the end": forged(
        {"kinds": []}, tail=index_tail([[1 << 70, 0, 0]], END)
    ),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_an_unsound_file_is_refused_in_a_sentence(name: str, path: Path) -> None:
    with pytest.raises(TraceError) as caught:
        read(path, UNSOUND[name])
    assert str(caught.value).count("\n") == 0
    assert str(path) in str(caught.value), "which file"
    assert len(str(caught.value)) > len(str(path)) + 10


def test_the_refusal_of_a_file_names_its_version_and_the_one_that_is_read(path: Path) -> None:
    with pytest.raises(TraceError, match=f"version 9; this reads version {VERSION}"):
        read(path, GOOD[:8] + struct.pack("<I", 9) + GOOD[12:])


def test_a_missing_file_is_the_hosts_own_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        File(path.with_name("none"))


@pytest.mark.parametrize(("behind", "whole"), [(-1, 0), (0, 1), (5, 1), (200, 1)])
def test_a_truncated_file_gives_its_complete_chunks_first(
    behind: int, whole: int, path: Path
) -> None:
    """Where to cut: this many bytes behind the start of the second chunk."""
    path.write_bytes(GOOD)
    with File(path) as file:
        second = file.chunks[1][0]
    path.write_bytes(GOOD[: second + behind])
    rows: list[Row] = many(5_000)
    found: list[Row] = []
    with File(path) as file, pytest.raises(TraceError, match="ends early"):
        found.extend(plain(record) for record in file)
    assert found == rows[: RECORDS_PER_CHUNK * whole]


@pytest.mark.parametrize("missing", [1, 8, 16, 17])
def test_a_file_that_lacks_a_part_of_its_index_has_all_its_records(
    missing: int, path: Path
) -> None:
    assert read(path, GOOD[:-missing], 4_090) == many(5_000)[4_090:]


def bomb(head: bytes, mib: int) -> bytes:
    """`head` and then so many MiB of blanks, in as many KiB, as one zlib stream."""
    squeeze = zlib.compressobj()
    parts = [squeeze.compress(head), *(squeeze.compress(b" " * (1 << 20)) for _ in range(mib))]
    return b"".join([*parts, squeeze.flush()])


@pytest.mark.parametrize("part", ["header", "chunk", "index"])
def test_a_small_file_that_inflates_without_end_takes_no_memory(part: str, path: Path) -> None:
    packed, good = bomb(b'{"kinds": []}', 512), forged({"kinds": []})
    data = {
        "header": MAGIC + struct.pack("<II", VERSION, len(packed)) + packed,
        "chunk": forged(kinds(), tail=chunk_head(packed, 1, 0xFFFFFFFF)),
        "index": good + chunk_head(packed, 0) + struct.pack("<Q", len(good)) + TAIL,
    }[part]
    assert len(data) < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(TraceError):
            read(path, data)
        assert tracemalloc.get_traced_memory()[1] < 150 << 20
    finally:
        tracemalloc.stop()


def test_what_says_that_it_has_gigabytes_is_read_as_far_as_it_goes(path: Path) -> None:
    data = GOOD[:12] + b"\xff\xff\xff\xff" + GOOD[16:]
    tracemalloc.start()
    try:
        with pytest.raises(TraceError):
            read(path, data)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_long_records_make_more_chunks_and_the_same_digest(path: Path) -> None:
    rows: list[Row] = [("console_output", 0, n, (1, bytes(700_000))) for n in range(5)]
    path.write_bytes(recorded(rows))
    with File(path) as file:
        assert len(file.chunks) == 3
        assert [plain(record) for record in file] == rows
        assert [plain(record) for record in file.records_from(3)] == rows[3:]
        unwritten = Trace({})
        write(unwritten, rows)
        assert file.digest() == unwritten.digest()


def test_a_header_that_no_reader_would_take_goes_without_the_program(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace, "MOST_HEADER_BYTES", 64 << 10)
    with path.open("wb") as sink:
        Trace({"program": {"name": "big", "code": "x" * 100_000}}, sink).close()
    with File(path) as file:
        assert file.header["program"] == {"name": "big"}


def survives(path: Path, data: bytes) -> None:
    """The file reads as some records or raises a TraceError, and nothing else happens."""
    path.write_bytes(data)
    try:
        with File(path) as file:
            for record in file:
                str(record)
            list(file.records_from(7))
    except TraceError:
        pass


@settings(max_examples=300)
@given(st.integers(0, len(SHORT) - 1), st.integers(1, 255))
def test_any_byte_may_be_wrong(path: Path, at: int, change: int) -> None:
    survives(path, SHORT[:at] + bytes([SHORT[at] ^ change]) + SHORT[at + 1 :])


@settings(max_examples=200)
@given(st.integers(0, 20), st.binary(min_size=1, max_size=8))
def test_the_head_and_the_tail_may_be_anything(path: Path, at: int, noise: bytes) -> None:
    survives(path, SHORT[:at] + noise + SHORT[at + len(noise) :])
    end = len(SHORT) - at
    survives(path, SHORT[: end - len(noise)] + noise + SHORT[end:])


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_a_chunk_may_hold_anything(path: Path, raw: bytes) -> None:
    path.write_bytes(SHORT)
    with File(path) as file:
        header = {"kinds": file.header["kinds"]}
    survives(path, forged(header, raw))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@settings(max_examples=200)
@given(JSON, JSON, JSON)
def test_the_header_and_the_index_may_say_anything(
    path: Path, header: object, value: object, index: object
) -> None:
    changes: list[Callable[[], object]] = [
        lambda: header,
        lambda: {"kinds": value},
        lambda: kinds(id=value),
        lambda: kinds(codes=value),
        lambda: kinds(fields=value),
    ]
    for change in changes:
        survives(path, forged(change(), bytes(14)))
    survives(path, forged({"kinds": []}, tail=index_tail(index, END)))
    survives(path, forged({"kinds": []}, tail=index_tail([[value, value, 0]], END)))
