"""The judge's comparators accept their edge and nothing beside it; stops that are skipped and
questions that are answered wrongly cost what they should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hw.paging import NX, A, D, P, U, W
from hw.trace import Trace
from kernel.calls import SYSCALL
from kernel.mm.frames import ANONYMOUS, FREE, OWNERS, TABLE
from kernel.mm.frames import FRAME as FRAME_RECORD
from labs import judge
from labs.crew import Crew
from labs.evidence import Evidence, Expectation, mix, shown
from labs.interview import Interview, Reply, read_reply
from labs.judge import MOST_OVER, Enough, Sitting, Verdict
from labs.lab import Check, find_lab
from labs.question import Question
from labs.timeline import MEASURES, NULL_CALL
from labs.workshop import Workshop

PAGE = 4096
NONCE = 77
CHECK = Check("walk", 40, "the walk is wrong")


def leaf(pfn: int, bits: int = 0) -> int:
    return pfn << 12 | P | U | bits


def memory() -> memoryview:
    """Tables at frames 1 to 4 for p1, 5 to 8 for p2; p3 goes through p1's but for the root.

    p1 shows frame 10 at page 0 (rw, AD), 11 at page 1 (r, A), 12 at page 2 (rx); p2 shows 10 at
    page 1.  Frame 10 holds 30, 31, ..., 37.
    """
    words = memoryview(bytearray(16 * PAGE)).cast("Q")
    for root in (1, 5):
        for level in range(3):
            words[(root + level) * 512] = leaf(root + level + 1, W)
    words[9 * 512] = leaf(2, W)
    words[4 * 512 : 4 * 512 + 3] = memoryview(
        b"".join(
            entry.to_bytes(8, "little")
            for entry in (leaf(10, W | A | D | NX), leaf(11, A | NX), leaf(12))
        )
    ).cast("Q")
    words[8 * 512 + 1] = leaf(10, NX)
    for index in range(8):
        words[10 * 512 + index] = 30 + index
    return words.cast("B")


def trace(path: Path) -> Path:
    """Stops 0, 1 and 2; frame 9 taken before the first stop, 8 and 7 after it, and 7 let go."""
    header = {"held": [[3, 1, TABLE]], "names": {"owners": list(OWNERS)}}
    with path.open("wb") as file:
        written = Trace(header, file)

        def stop(number: int) -> None:
            written.emit(SYSCALL, 1, NULL_CALL, number, 0, 0, 0, 0, 0, 0, b"", 0)

        written.emit(FRAME_RECORD, 9, 0, 1, FREE, ANONYMOUS)
        stop(0)
        written.emit(FRAME_RECORD, 8, 0, 1, FREE, ANONYMOUS)
        stop(1)
        written.emit(FRAME_RECORD, 7, 0, 1, FREE, ANONYMOUS)
        written.emit(FRAME_RECORD, 7, 1, 0, ANONYMOUS, FREE)
        stop(2)
        written.close()
    return path


@pytest.fixture
def evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evidence:
    monkeypatch.setitem(MEASURES, "test", lambda line, *about: about[0])
    roots = {"p1": 1 << 12, "p2": 5 << 12, "p3": 9 << 12, "t1": 1 << 12}
    found = Evidence(memory(), NONCE, roots, {"said": 41}, trace(tmp_path / "t.vtrace"))
    found.earlier["early", "p1", 0], found.earlier["early", "p1", PAGE] = 10, 12
    return found


# What is seen, and its true value: a number, or one of a few words.
SEEN: list[tuple[list[Any], Any]] = [
    (["answer", "said"], 41),
    (["number", "p1", 8], 31),
    (["number", "p2", PAGE + 16], 32),
    (["frame", "p1", PAGE], 11),
    (["frame", "p2", PAGE], 10),
    (["resident", "p1", 0, 3 * PAGE], 3),
    (["resident", "p1", 0, 2 * PAGE], 2),
    (["resident", "p1", PAGE, 5 * PAGE], 2),
    (["count", "frame", {}], 4),
    (["count", "frame", {"pfn": 7}], 2),
    (["between", 0, 1, "frame", {}], 1),
    (["between", 1, 2, "frame", {}], 2),
    (["between", 0, 2, "frame", {}], 3),
    (["between", 0, 2, "frame", {"pfn": 9}], 0),
    (["held", "anonymous"], 2),
    (["held", "page table"], 1),
    (["share", "p1", 8, 8, 24], 31 * 1000 // (31 + 32 + 33)),
    (["cores", "test", 500], 500),
    (["missed", "p1", 0, "test", 25], 5),
    (["missed", "p1", 0, "test", 35], 5),
    (["listed", "frame", "pfn", {}], [9, 8, 7, 7]),
    (["listed", "frame", "owner", {"pfn": 7}], [ANONYMOUS, FREE]),
    (["rights", "p1", 0], "rw"),
    (["rights", "p1", PAGE], "r"),
    (["rights", "p1", 2 * PAGE], "rx"),
    (["rights", "p1", 3 * PAGE], None),
    (["marks", "p1", 0], "AD"),
    (["marks", "p1", PAGE], "A"),
    (["marks", "p1", 2 * PAGE], "none"),
    (["same", "p1", 0, "p2", PAGE], True),
    (["same", "p1", PAGE, "p2", PAGE], False),
    (["same", "p1", 3 * PAGE, "p2", 0], False),
    (["kept", "p1", 0, "early"], True),
    (["kept", "p1", PAGE, "early"], False),
    (["kept", "p1", 2 * PAGE, "early"], False),
    (["one_root", "p1", "t1"], True),
    (["one_root", "p1", "p3"], False),
    (["one_root", "p4", "p5"], False),
    (["one_table", 3, "p1", 0, "p3", 0], True),
    (["one_table", 4, "p1", 0, "p3", 0], False),
    (["one_table", 1, "p1", 0, "p2", 0], False),
    (["one_table", 1, "p4", 0, "p5", 0], False),
]


def beside(value: Any) -> list[Any]:
    """Values that are wrong by as little as possible."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value - 1, value + 1]
    if isinstance(value, list):
        return [value[:-1], [*value, value[-1]], [*value[:-1], value[-1] + 1]]
    return [
        other for other in (None, "", "r", "rw", "rx", "rwx", "none", "A", "D") if other != value
    ]


@pytest.mark.parametrize(("sees", "value"), SEEN, ids=lambda x: str(x)[:40])
def test_a_look_accepts_what_is_there_and_nothing_beside_it(
    evidence: Evidence, sees: list[Any], value: Any
) -> None:
    assert evidence.differs(Expectation(sees, value)) == ""
    for wrong in beside(value):
        assert evidence.differs(Expectation(sees, wrong)), wrong


@pytest.mark.parametrize(("sees", "value"), [row for row in SEEN if type(row[1]) is int])
def test_a_bound_accepts_its_edge_and_refuses_the_next_number(
    evidence: Evidence, sees: list[Any], value: int
) -> None:
    def fits(told: dict[str, Any]) -> bool:
        return not evidence.differs(Expectation(sees, told))

    assert [fits({"at_most": value + by}) for by in (-1, 0, 1)] == [False, True, True]
    assert [fits({"at_least": value + by}) for by in (-1, 0, 1)] == [True, True, False]
    assert fits({"between": [value, value]})
    assert fits({"between": [value - 1, value + 1]})
    assert not fits({"between": [value + 1, value + 2]})
    assert not fits({"between": [value - 2, value - 1]})


@pytest.mark.parametrize("bound", [{"at_most": 9}, {"at_least": 0}, {"between": [0, 9]}])
def test_what_is_absent_fits_no_bound(evidence: Evidence, bound: dict[str, Any]) -> None:
    assert evidence.differs(Expectation(["frame", "p1", 3 * PAGE], bound))
    assert evidence.differs(Expectation(["answer", "nothing"], bound))


def test_a_mix_is_that_of_this_runs_nonce(evidence: Evidence) -> None:
    expected = Expectation(["answer", "said"], {"mix": 3})
    for said, fits in ((mix(NONCE, 3), True), (mix(NONCE, 3) + 1, False), (mix(NONCE, 4), False)):
        evidence.answer["said"] = said
        assert (evidence.differs(expected) == "") is fits
    evidence.answer["said"] = mix(NONCE + 1, 3)
    assert evidence.differs(expected)


@pytest.mark.parametrize("slot", [0, 4, 7])
def test_every_word_of_a_small_memory_counts(slot: int) -> None:
    words = memoryview(bytearray(64))
    words.cast("Q")[slot] = 5
    seen = Evidence(words, 1)
    assert seen.differs(Expectation(["memory"], {str(slot): 5})) == ""
    for wrong in ({}, {str(slot): 4}, {str(slot): 6}, {str(slot): 5, "1": 1}):
        assert seen.differs(Expectation(["memory"], wrong))


def test_a_look_sets_no_bit_in_the_memory_that_it_reads(evidence: Evidence) -> None:
    before = bytes(evidence.memory)
    for sees, _ in SEEN:
        evidence.differs(Expectation(sees, 0))
    assert bytes(evidence.memory) == before


def test_a_word_behind_the_end_of_the_memory_is_absent() -> None:
    words = memory()
    words.cast("Q")[4 * 512 : 4 * 512 + 2] = memoryview(
        leaf(15).to_bytes(8, "little") + leaf(16).to_bytes(8, "little")
    ).cast("Q")
    seen = Evidence(words, 1, {"p1": 1 << 12})
    assert seen.differs(Expectation(["number", "p1", 0], 0)) == ""
    assert seen.differs(Expectation(["number", "p1", PAGE], None)) == ""


# Stops --------------------------------------------------------------------------------------------


class Said:
    """A child that says lines which are written by hand, in the place of a process."""

    over = hung = False

    def __init__(self, folder: Path, *lines: dict[str, Any]) -> None:
        self.folder, self.lines, self.told = folder, list(lines), list[Any]()

    def say(self, line: Any) -> None:
        self.told.append(line)

    def hear(self) -> Reply:
        if not self.lines:
            return Reply()
        return read_reply(json.dumps({"nonce": NONCE, **self.lines.pop(0)}).encode())

    def how_it_ended(self) -> str:
        return "it ended"

    def printed(self) -> str:
        return ""


AT_STOPS = [
    Expectation(["number", "p", 0], None, at="first"),
    Expectation(["number", "p", 0], None, at="second"),
    Expectation(["answer", "n"], 1),
]
FIRST, SECOND, LAST = {"stop": "first"}, {"stop": "second"}, {"answer": {"n": 1}}


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([FIRST, SECOND, LAST], ""),
        ([FIRST, LAST], "the stop 'second' should be made, is not"),
        ([SECOND, LAST], "the stop 'first' should be made, is not"),
        ([LAST], "the stop 'first' should be made, is not"),
        ([FIRST, FIRST, LAST], "the stop 'second' should be made, is not"),
        ([FIRST, SECOND], "no answer: it ended"),
        ([FIRST, {**SECOND, "nonce": NONCE + 1}, LAST], "no answer: it ended"),
        ([FIRST, SECOND, {"answer": {"n": 2}}], "n should be 0x1, is 0x2"),
    ],
)
def test_a_child_must_make_every_stop_and_answer_with_the_nonce(
    tmp_path: Path, lines: list[dict[str, Any]], found: str
) -> None:
    child = Said(tmp_path, *lines)
    question = Question("a question", {}, AT_STOPS)
    assert Interview(child, question, NONCE).hold() == found  # type: ignore[arg-type]
    assert child.told.count("go") <= len(lines)


# Points -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "right", "asked", "score"),
    [(40, 1, 4, 10), (40, 3, 4, 30), (40, 0, 4, 0), (10, 1, 3, 3), (10, 2, 3, 6), (40, 0, 0, 0)],
)
def test_each_question_has_its_share_of_the_points_where_a_check_says_so(
    points: int, right: int, asked: int, score: int
) -> None:
    for partial, wanted in ((True, score), (False, 0)):
        check = Check("c", points, "", partial=partial)
        assert Verdict(check, "wrong", right=right, asked=asked).score == wanted
        assert Verdict(check, "", right=right, asked=asked).score == points


@pytest.mark.parametrize("partial", [True, False])
@pytest.mark.parametrize("right_ones", [{0}, {3}, {0, 1, 2}, {1, 3}])
def test_one_of_four_right_is_a_quarter_of_the_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right_ones: set[int], partial: bool
) -> None:
    asked: list[Question] = []

    def hold(interview: Interview) -> str:
        asked.append(interview.question)
        return "" if interview.question.told["number"] in right_ones else "wrong"

    monkeypatch.setattr(Interview, "hold", hold)
    check = Check("c", 40, "", partial=partial)
    questions = [Question(f"question {n}", {"number": n}, []) for n in range(4)]
    verdict = judge._interviews(sitting(tmp_path), check, questions, Said(tmp_path))  # type: ignore[arg-type]
    first_wrong = min(set(range(4)) - right_ones)
    assert verdict.told == f"question {first_wrong}: wrong"
    assert verdict.score == (10 * len(right_ones) if partial else 0)
    assert len(asked) == (4 if partial else first_wrong + 1)


def sitting(tree: Path) -> Sitting:
    lab = find_lab("1")
    return Sitting(lab, 1, Workshop(lab, tree, tree, Crew()), Crew(), None)


@pytest.mark.parametrize("over", [MOST_OVER - 1, MOST_OVER])
def test_a_grading_goes_on_until_code_has_run_out_of_its_budget_so_often(over: int) -> None:
    enough = Enough()
    for _ in range(over):
        enough.add(Verdict(CHECK, "too long", over=True))
    assert bool(enough.why) is (over == MOST_OVER)


def test_a_grading_stops_at_the_first_child_that_hangs() -> None:
    enough, told = Enough(), list[str]()
    for verdict in (Verdict(CHECK, "wrong"), Verdict(CHECK, "hangs", hung=True)):
        enough.add(verdict)
        told.append(enough.why)
    assert told == ["", "'walk' came to no end"]


def test_only_the_frames_that_a_later_stop_asks_for_are_remembered(evidence: Evidence) -> None:
    evidence.earlier.clear()
    kept = Expectation(["kept", "p1", 0, "early"], True, at="late")
    other = Expectation(["kept", "p1", PAGE, "between"], True, at="late")
    evidence.remember("early", [kept, other, Expectation(["number", "p1", 0], 30)])
    assert evidence.earlier == {("early", "p1", 0): 10}
    assert evidence.differs(kept) == ""
    assert evidence.differs(other)


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (False, "false"), (None, "absent"), (31, "0x1f"), ([1, True], "[0x1, true]")],
)
def test_a_report_writes_a_value_as_people_read_it(value: Any, text: str) -> None:
    assert shown(value) == text
    assert shown(4096, decimal=True) == "4,096"
