"""What the judge finds in a trace: amounts, and the moment at which a list becomes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.trace import Kind, Trace
from kernel.mm.frames import ANONYMOUS, FRAME, FREE, OWNERS, TABLE
from kernel.mm.replace import PAGE_OUT
from labs.evidence import Evidence, Expectation
from labs.questions.replacement import BELADY, simulate

VICTIMS = (4, 7, 5)


@pytest.fixture
def seen(tmp_path: Path) -> Evidence:
    """Frame 3 is in use before; 9 is taken and released, 8 is taken; three pages are paged out."""
    path = tmp_path / "t.vtrace"
    header = {"held": [[3, 1, TABLE]], "names": {"owners": list(OWNERS)}}
    with path.open("wb") as file:
        trace = Trace(header, file)
        for pfn, before, after in (
            (9, FREE, ANONYMOUS),
            (8, FREE, ANONYMOUS),
            (9, ANONYMOUS, FREE),
        ):
            trace.emit(FRAME, pfn, 0, 1, before, after)
        for page in VICTIMS:
            trace.emit(PAGE_OUT, 8, 1, page, 1, 0, 0, 0)
        trace.close()
    return Evidence(memoryview(b""), 1, trace=path)


@pytest.mark.parametrize(("owner", "count"), [("anonymous", 1), ("page table", 1), ("file", 0)])
def test_frames_in_use_at_the_end(seen: Evidence, owner: str, count: int) -> None:
    assert not seen.differs(Expectation(["held", owner], count))
    assert seen.differs(Expectation(["held", owner], count + 1))


def test_nothing_is_known_without_a_trace() -> None:
    told = Evidence(memoryview(b""), 1).differs(
        Expectation(["held", "anonymous"], 0, "what is held")
    )
    assert told == "what is held should be 0, is absent"


@pytest.mark.parametrize(
    ("wanted", "record"), [([4, 7, 6], 6), ([5, 7, 5], 4), ([4], 5), ([4, 7, 5, 1], 6)]
)
def test_a_list_goes_wrong_at_its_first_wrong_entry(
    seen: Evidence, wanted: list[int], record: int
) -> None:
    expected = Expectation(["listed", "page_out", "page", {}], wanted)
    assert seen.differs(expected)
    assert seen.moment(expected) == record


def test_a_record_that_cannot_be_written_is_withdrawn(tmp_path: Path) -> None:
    def refuse(kind: Kind, values: tuple[int, ...]) -> None:
        if values[0] < 0:
            trace.retract()

    with (tmp_path / "t.vtrace").open("wb") as file:
        trace = Trace({}, file, refuse)
        trace.emit(FRAME, 1, 0, 1, FREE, TABLE)
        trace.emit(FRAME, -1, 0, 1, FREE, TABLE)
        trace.close()
    assert trace.total == 1


def test_the_simulator_shows_beladys_anomaly() -> None:
    """Belady, Nelson and Shedler 1969; OSTEP, chapter 22."""
    assert [simulate("fifo", frames, BELADY)[1] for frames in (3, 4)] == [9, 10]
