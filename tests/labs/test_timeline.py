"""Which thread had each core, computed from records that are written by hand."""

from __future__ import annotations

import pytest

from hw.trace import Record
from kernel.calls import SYSCALL
from kernel.resume import WAIT
from kernel.sched.tasks import PICK
from kernel.turns import LEVEL
from labs import timeline
from labs.timeline import NULL_CALL, Timeline


def pick(at: int, tid: int, waited: int = 0, rank: int = 0, core: int = 0) -> Record:
    return Record(PICK, core, at, (tid, waited, 0, rank))


def wait(at: int, tid: int, core: int = 0) -> Record:
    return Record(WAIT, core, at, (tid, 0, b""))


def stop(at: int, number: int) -> Record:
    return Record(SYSCALL, 0, at, (1, NULL_CALL, number, 0, 0, 0, 0, 0, 0, b"", 0))


def level(at: int, tid: int, before: int, after: int) -> Record:
    return Record(LEVEL, 0, at, (tid, before, after))


@pytest.fixture
def line() -> Timeline:
    """Thread 1 stops at 100 and at 1000; 2 and 3 share core 0, and 4 has core 1."""
    return Timeline(
        [
            pick(0, 1),
            stop(100, 0),
            wait(110, 1),
            pick(120, 2, 30),
            pick(130, 4, core=1),
            level(200, 2, 0, 1),
            pick(320, 3, 200),
            wait(400, 3),
            pick(410, 2, 5, 1),
            wait(500, 4, core=1),
            level(600, 2, 1, 0),
            pick(700, 3, 90),
            pick(800, 2, 60),
            pick(990, 1),
            stop(1000, 1),
            pick(1100, 2),
        ]
    )


def test_a_turn_ends_with_sleep_or_with_the_next_thread_of_that_core(line: Timeline) -> None:
    ends = [(turn.tid, turn.start, turn.end, turn.slept) for turn in line.turns[:5]]
    assert ends == [
        (1, 0, 110, True),
        (2, 120, 320, False),
        (4, 130, 500, True),
        (3, 320, 400, True),
        (2, 410, 700, False),
    ]


def test_measures_look_between_two_stops(line: Timeline) -> None:
    assert timeline.turns(line, 2, 0, 1) == 3
    assert timeline.turns(line, 2, 0, 7) == 0
    assert timeline.longest_turn(line, 2, 0, 1, 0) == 200
    assert timeline.shortest_turn(line, 2, 0, 1, 0) == 190
    assert timeline.longest_turn(line, 2, 0, 1, 1) == 290
    assert timeline.middle_wait(line, 2, 0, 1) == 30
    assert timeline.overtaken(line, 3, 0, 1) == 1
    assert timeline.overtaken(line, 4, 0, 1) == 2
    assert timeline.handed_on(line, 3, 0, 1) == 1
    assert timeline.handed_on(line, 3, 0, 7) == 0


def test_levels_boosts_and_the_first_rank(line: Timeline) -> None:
    assert timeline.levels(line, 2, 5) == [1, 0]
    assert timeline.boosts(line, 2, 0, 1) == 1
    assert timeline.boosts(line, 3, 0, 1) == 0
    assert timeline.first_rank(line, 3) == 0
    assert timeline.first_rank(line, 9) is None


def test_switches_are_told_apart(line: Timeline) -> None:
    assert timeline.switches(line, 3, 1, True) == 1
    assert timeline.switches(line, 3, 1, False) == 1
    assert timeline.switches(line, 2, 1, False) == 3
