"""The trace: what goes in comes out, and the digest covers the records alone.  Damaged files are
in `test_trace_damage`."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernel.boot  # noqa: F401 - it declares all kinds of records
from hw import trace
from hw.trace import KINDS, RECORDS_PER_CHUNK, Record, Trace, TraceError
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
