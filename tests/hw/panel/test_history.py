"""A moment of a trace is the same when reached forward, backward or from a keyframe.

The records add up to the state that the kernel really has.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.panel.model.fold import Fold
from hw.panel.model.history import SEGMENT, History
from hw.panel.model.state import Frame, State, net
from hw.trace import TraceError
from kernel.kernel import Kernel
from tests.hw.panel.recordings import PROGRAMS, closing, folder, opened, record

__all__ = ["closing", "folder"]


def shelves(history: History) -> list[dict[object, object]]:
    return [dict(shelf) for shelf in history.state.shelves]


# Any moment ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_moment_is_the_same_reached_forward_backward_or_from_a_keyframe(
    folder: Path, name: str
) -> None:
    history, plain = opened(folder / name), Fold(State())
    plain.state.frames.update(history.about.held())
    end = history.scanned
    wanted = {*range(0, end, max(1, end // 40)), *range(3 * SEGMENT, 3 * SEGMENT + 3), end}
    moments = sorted(number for number in wanted if number <= end)
    front = {}
    for number in range(end + 1):
        if number in moments:
            front[number] = [dict(shelf) for shelf in plain.state.shelves]
        if number < end:
            plain.apply(history.record(number), number)
    history.seek(end)
    for number in reversed(moments):
        while history.position > number:
            history.back()
        assert shelves(history) == front[number], f"from behind, record {number}"
    for number in moments[::-1] + moments:
        history.rebuild(number)
        assert shelves(history) == front[number], f"from a keyframe, record {number}"


@given(st.lists(st.integers(0, 4000), min_size=1, max_size=8), st.lists(st.booleans(), max_size=60))
@settings(max_examples=30)
def test_any_walk_through_a_trace_ends_where_seeking_does(
    folder: Path, places: list[int], steps: list[bool]
) -> None:
    walker, seeker = opened(folder / "threads"), opened(folder / "threads")
    for place in places:
        walker.seek(place)
        for forward in steps:
            walker.forward() if forward else walker.back()
    seeker.rebuild(walker.position)
    assert shelves(walker) == shelves(seeker)
    assert walker.step() == seeker.step()


@pytest.mark.parametrize("name", PROGRAMS)
def test_edits_undo_and_add_up(folder: Path, name: str) -> None:
    history = opened(folder / name)
    fold = Fold(State())
    for number in range(min(history.scanned, 3000)):
        before = fold.state.copy()
        edits = fold.apply(history.record(number), number)
        after = fold.state.copy()
        before.redo(net(edits))
        assert before.shelves == after.shelves
        before.undo(edits)
        before.redo(edits)
        assert before.shelves == after.shelves


def test_the_comparison_of_moments_can_fail() -> None:
    """The comparison notices one changed word."""
    one, other = State(), State()
    one.ptes[8] = 1
    assert one.shelves != other.shelves
    other.redo([(1, 8, None, 1)])
    assert one.shelves == other.shelves


# What the records add up to -----------------------------------------------------------------------


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("traps", [30, 101, 333])
def test_the_records_add_up_to_the_state_of_the_kernel(
    tmp_path: Path, name: str, traps: int
) -> None:
    kernel = record(tmp_path / "t", name, traps, cpus=2 if name in ("racy", "threads") else 1)
    history = opened(tmp_path / "t")
    history.seek(history.scanned)
    state = history.state
    frames = kernel.memory.frames
    held = {pfn: Frame(frames.refs[pfn], frames.owners[pfn]) for pfn in frames.used()}
    assert state.frames == held
    assert state.ptes == words_of_tables(kernel)
    assert entries(state) == entries_of_machine(kernel)
    spaces = {thread.space.id: thread.space for thread in kernel.tasks.threads.values()}
    assert state.spaces == {number: space.table.root_pa for number, space in spaces.items()}
    regions = {
        (space.id, r.start): (r.end, r.prot, bool(r.shared), r.object.id, r.page, r.name)
        for space in spaces.values()
        for r in space.map
    }
    assert regions == {
        key: (r.end, r.prot, bool(r.shared), r.object, r.page, r.name)
        for key, r in state.regions.items()
    }
    assert {t.tid: (t.pid, t.space) for t in state.threads.values()} == {
        t.tid: (t.pid, t.space.id) for t in kernel.tasks.threads.values()
    }


@pytest.mark.parametrize("traps", [20, 45, 70])
def test_views_add_up_as_well(tmp_path: Path, traps: int) -> None:
    kernel = record(tmp_path / "t", "vas_brk", traps)
    history = opened(tmp_path / "t")
    history.seek(history.scanned)
    state, frames = history.state, kernel.memory.frames
    held = {pfn: Frame(frames.refs[pfn], frames.owners[pfn]) for pfn in frames.used()}
    assert state.frames == held
    assert entries(state) == entries_of_machine(kernel)
    words = kernel.machine.memory.words
    assert all(words[slot >> 3] == entry for slot, entry in state.ptes.items())
    for thread in kernel.tasks.threads.values():
        assert state.threads[thread.tid].space == thread.space.id
        seen = {(r.start, r.end, r.prot, r.object) for r in state.regions_of(thread.space.id)}
        assert seen >= {(r.start, r.end, r.prot, r.object.id) for r in thread.space.map}


def words_of_tables(kernel: Kernel) -> dict[int, int]:
    """Every entry that is not zero of every page table, by its physical address."""
    words = kernel.machine.memory.words
    spaces = {thread.space.id: thread.space for thread in kernel.tasks.threads.values()}
    return {
        (pfn << 12) + 8 * index: words[(pfn << 9) + index]
        for space in spaces.values()
        for pfn in space.table.used
        for index in range(512)
        if words[(pfn << 9) + index]
    }


def entries(state: State) -> dict[tuple[int, int, int, int], tuple[int, ...]]:
    return {key: (e.vpn, e.tag, e.pfn, e.rights, e.dirty) for key, e in state.tlb.items()}


def entries_of_machine(kernel: Kernel) -> dict[tuple[int, int, int, int], tuple[int, ...]]:
    return {
        (core.id, side, e.set_index, e.way): (e.vpn, e.tag, e.pfn, e.rights, int(e.dirty))
        for core in kernel.machine.state.cores
        for side, tlb in enumerate((core.mmu.itlb, core.mmu.dtlb))
        for e in tlb.index.values()
    }


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_file_folds_to_the_same_state(folder: Path, name: str) -> None:
    one, other = opened(folder / name), opened(folder / name)
    one.seek(one.scanned)
    while other.forward():
        pass
    assert shelves(one) == shelves(other)


def test_a_truncated_file_gives_the_records_that_it_has(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "faults").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    history = opened(tmp_path / "cut")
    assert 0 < history.scanned < opened(folder / "faults").scanned
    assert not history.file.complete


def test_a_file_of_another_kind_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("Dear reader, this is no trace.")
    with pytest.raises(TraceError, match="is not a Vantage trace"):
        History(tmp_path / "letter")


def test_a_kind_that_the_panel_does_not_know_is_only_counted(tmp_path: Path) -> None:
    from hw.trace import Kind, Record

    kind = Kind("from_the_future", ("x",), "Q", "Something new.")
    fold = Fold(State())
    edits = fold.apply(Record(kind, 0, 0, (1,)), 0)
    assert [edit[1] for edit in edits] == [("records", "from_the_future")]
