"""Where the records of a trace go: a file that an earlier state takes over, stops, or is full."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hw.trace import RECORDS_PER_CHUNK, Trace
from hw.trace import TraceFile as File
from tests.hw.test_trace import HEADER, many, recorded, write

if TYPE_CHECKING:
    from typing_extensions import Buffer


@pytest.mark.parametrize("more", [1, 5_000, 20_000])
def test_a_file_that_an_earlier_state_goes_on_with_is_that_of_one_run(
    tmp_path: Path, more: int
) -> None:
    """Nothing of the later state is left, however long it was, and all of the earlier one is."""
    sink = io.BytesIO()
    port, rows = Trace(HEADER, sink), many(2 * RECORDS_PER_CHUNK)
    write(port, rows)
    earlier = pickle.loads(pickle.dumps(port))
    write(port, many(more))
    port.close()
    earlier.go_on_in(port)
    write(earlier, rows[:10])
    earlier.close()
    assert sink.getvalue() == recorded(rows + rows[:10])
    assert port.sink is None
    path = tmp_path / "trace"
    path.write_bytes(sink.getvalue())
    with File(path) as file:
        assert file.digest() == earlier.digest()


def test_a_trace_that_stops_keeps_what_it_has_and_the_digest_goes_on() -> None:
    sink, whole = io.BytesIO(), Trace({})
    port = Trace(HEADER, sink)
    for target in (port, whole):
        write(target, many(10))
    port.flush()
    before = sink.getvalue()
    port.stop()
    for target in (port, whole):
        write(target, many(RECORDS_PER_CHUNK))
    port.close()
    assert (sink.getvalue(), port.kept) == (before, 10)
    assert port.digest() == whole.digest()


class FullOnce(io.BytesIO):
    """A file that has no room for one write, and has some again afterwards."""

    full = False

    def write(self, data: Buffer) -> int:
        if self.full:
            self.full = False
            raise OSError(28, "No space left on device")
        return super().write(data)


def test_a_sink_that_was_full_once_gets_nothing_more_and_the_digest_goes_on() -> None:
    sink, whole = FullOnce(), Trace({})
    port = Trace(HEADER, sink)
    for target in (port, whole):
        write(target, many(10))
    port.flush()
    before, sink.full = sink.getvalue(), True
    for target in (port, whole):
        write(target, many(2 * RECORDS_PER_CHUNK))
    port.close()
    assert (sink.getvalue(), port.kept) == (before, 10)
    assert port.failed is not None
    assert port.digest() == whole.digest()
