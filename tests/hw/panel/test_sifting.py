"""The log's filter, the search in a table, what a fast run shows, and what a step paints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.panel import commands
from hw.panel.model.conditions import ConditionError, Subject, parse
from hw.panel.model.moment import moment_of
from hw.panel.panels import log, table, walk
from hw.panel.picture.draw import Box
from hw.panel.picture.paint import Painter
from hw.panel.picture.theme import THEMES
from hw.panel.session import STEADY, Session
from hw.panel.user import showing
from hw.panel.user.showing import HEAT_RECORDS
from hw.panel.user.sifting import flags_of, log_lines
from tests.hw.panel.recordings import closing, drawn, folder, opened

__all__ = ["closing", "folder"]
TRACE = Path(__file__).with_name("cow.vtrace")


def session(position: int = 307) -> Session:
    some = Session(opened(TRACE))
    some.history.seek(position)
    return some


def type_in(some: Session, key: str, text: str) -> Session:
    for each in (key, *text, "return"):
        commands.press(some, each, each if len(each) == 1 else "")
    return some


# The log ------------------------------------------------------------------------------------------


def test_the_log_has_only_lines_that_fulfil_the_condition() -> None:
    some = type_in(session(), "k", "fault && space==2")
    shown = [number for number, _, _ in log.rows(showing.view(some), 400)]
    history = some.history
    condition = parse("fault && space==2")
    wanted = [
        number
        for number in history.tracks.marks["log"]
        if condition(Subject(history.record(number), number, history.tracks, history.about))
    ]
    assert shown == wanted != []
    assert "only fault && space==2" in log.title(showing.view(some))
    type_in(some, "k", "")
    assert showing.view(some).log_filter == ""
    assert len(log.rows(showing.view(some), 400)) > len(wanted)


def test_words_filter_as_they_search_and_a_bad_condition_is_taken_as_words() -> None:
    some = type_in(session(), "k", "null_call")
    assert {record.kind.name for _, record, _ in log.rows(showing.view(some), 400)} == {"syscall"}


@given(
    st.sampled_from(["fault", "call==write", "space==1", "tid==2 && !fault"]), st.integers(0, 447)
)
@settings(max_examples=25)
def test_a_filtered_log_is_part_of_the_log_in_the_same_order(text: str, position: int) -> None:
    history = opened(TRACE)
    history.seek(position)
    lines = [number for number, _ in log_lines(history, parse(text))]
    every = list(history.tracks.marks["log"])
    assert lines == sorted(set(lines) & set(every))
    assert moment_of(history).position == position


# Tables -------------------------------------------------------------------------------------------


def test_search_in_a_table_goes_through_the_entries_with_those_flags() -> None:
    some = session()
    commands.press(some, "return")
    step = walk.table_step(showing.view(some))
    assert step is not None
    entries = table.entries_of(showing.view(some), step.table)
    writable = [index for index, entry in sorted(entries.items()) if entry & 2]
    type_in(some, "/", "w&&!x")
    seen = []
    for key in ("N",) * 12 + ("n",) * 12:
        now = walk.table_step(showing.view(some))
        assert now is not None
        assert now.table == step.table
        seen.append(now.index)
        commands.press(some, key, key)
    assert set(seen) == set(writable) | {step.index}
    assert "w&&!x" in some.message


@pytest.mark.parametrize(
    ("text", "flags"),
    [("w", (2, 0)), ("!w && u", (4, 2)), ("x", (0, 1 << 63)), ("!x", (1 << 63, 0))],
)
def test_flags_are_read(text: str, flags: tuple[int, int]) -> None:
    assert flags_of(text) == flags


@pytest.mark.parametrize("text", ["", "q", "w||u", "w&&"])
def test_an_unknown_flag_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ConditionError, match="is no flag; say flags"):
        flags_of(text)


# No flashes ---------------------------------------------------------------------------------------


def outlines(some: Session) -> int:
    return sum(1 for c in drawn(some) if isinstance(c, Box) and c.outline == "hot")


def test_while_time_runs_fast_nothing_is_outlined_and_what_changed_stays_warm() -> None:
    some = session()
    assert outlines(some) > 2
    some.running = True
    assert some.speed > STEADY
    assert some.is_fast
    assert outlines(some) == 0
    view = showing.view(some)
    assert view.heat
    assert set(view.heat.values()) == {1, 2, 3}
    some.speed = STEADY
    assert not some.is_fast
    assert outlines(some) > 2


def test_warmth_fades_with_records_and_is_gone() -> None:
    some = session()
    shelf, key, *_ = some.history.edits_of_last()[0]
    warmth = []
    for _ in range(HEAT_RECORDS + 1):
        warmth.append(some.history.recent(HEAT_RECORDS).get((shelf, key), 0))
        if not some.history.forward():
            break
    untouched = warmth[
        : next((i for i in range(1, len(warmth)) if warmth[i] > warmth[i - 1]), None)
    ]
    assert untouched == sorted(untouched, reverse=True)
    assert untouched[0] == 3


def test_a_machine_that_runs_live_is_followed_without_outlines(tmp_path: Path) -> None:
    (tmp_path / "growing").write_bytes(TRACE.read_bytes()[:-16])
    some = Session(opened(tmp_path / "growing"), live=True)
    some.history.seek(some.history.scanned)
    assert outlines(some) == 0
    some.machine_paused = True
    assert not some.is_fast


# What a step costs --------------------------------------------------------------------------------


class Counting(Painter):
    """Counts the texts that its fonts have to render.  That is the cost of a redraw."""

    renders = 0

    def font(self, size: int, bold: bool) -> Any:
        self.renders += 1
        return super().font(size, bold)


def test_text_is_rendered_once_and_a_step_renders_only_what_it_changed(folder: Path) -> None:
    some = Session(opened(folder / "threads"))
    some.history.seek(some.history.scanned // 2)
    painter = Counting(THEMES["dark"])
    surface = painter.surface(*some.size)
    painter.paint(surface, drawn(some))
    first = painter.renders
    assert first > 100
    painter.paint(surface, drawn(some))
    assert painter.renders == first, "the same picture again renders nothing"
    per_step = []
    for _ in range(30):
        before = painter.renders
        commands.press(some, "e", "e")
        painter.paint(surface, drawn(some))
        per_step.append(painter.renders - before)
    assert max(per_step) < first / 2
    assert sum(per_step) / len(per_step) < 40
    for _ in range(30):
        commands.press(some, "E", "E")
    before = painter.renders
    painter.paint(surface, drawn(some))
    assert painter.renders == before, "and so does going back"
