"""A damaged, cut or foreign file of a trace is refused in a sentence, or read as far as it goes."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernel.boot  # noqa: F401 - it declares all kinds of records
from hw import trace
from hw.trace import MAGIC, RECORDS_PER_CHUNK, TAIL, VERSION, Trace, TraceError
from hw.trace import TraceFile as File
from tests.hw.test_trace import (
    Row,
    many,
    plain,
    read,
    recorded,
    write,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trace") / "t.vtrace"


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
