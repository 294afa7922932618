"""A file in parts is one file; only its beginning may be gone."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import parts
from hw.parts import PartedFile

PART = 16


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", PART)


def write_all(file: PartedFile, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]


@given(st.data())
@settings(max_examples=60)
def test_it_reads_and_writes_as_one_file_does(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder, plain = tmp_path_factory.mktemp("parts"), io.BytesIO()
    with PartedFile(folder) as writer, PartedFile(folder) as reader:
        for _ in range(data.draw(st.integers(1, 8))):
            size = len(plain.getvalue())
            if data.draw(st.booleans()):
                text = data.draw(st.binary(max_size=3 * PART))
                for file in (writer, plain):
                    file.seek(size)
                write_all(writer, text)
                plain.write(text)
            else:
                end = data.draw(st.integers(0, size))
                for file in (writer, plain):
                    file.seek(end)
                    assert file.truncate() == end
            start, count = data.draw(st.integers(0, 90)), data.draw(st.integers(-1, 90))
            for file in (reader, plain):
                file.seek(start)
            assert reader.read(count) == plain.read(count)
            assert reader.tell() == plain.tell()
            assert reader.seek(0, os.SEEK_END) == len(plain.getvalue())


def test_what_is_deleted_ends_a_read_and_the_last_part_stays(tmp_path: Path) -> None:
    text = bytes(range(100))
    with PartedFile(tmp_path) as writer, PartedFile(tmp_path) as reader:
        write_all(writer, text)
        reader.delete_before(3 * PART + 5)
        reader.seek(3 * PART)
        assert reader.read() == text[3 * PART :]
        reader.seek(2 * PART)
        assert reader.read(4) == b""
        reader.delete_before(100)
        assert [path.name for path in tmp_path.iterdir()] == [str(100 // PART)]
        write_all(writer, b"more")
        reader.seek(100)
        assert reader.read() == b"more"


def test_a_file_without_parts_is_empty(tmp_path: Path) -> None:
    with PartedFile(tmp_path) as file:
        assert file.seek(0, os.SEEK_END) == file.tell() == 0
        assert file.read() == b""
