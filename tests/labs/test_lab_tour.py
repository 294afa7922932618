"""Lab 0: the shown text is enough to solve each problem, and answer sheets are marked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hw.host import UserError
from hw.paging import NX, P, U, W
from labs import written
from labs.export import export
from labs.grading import grade_one
from labs.lab import ROOT, Check, Lab, find_lab
from labs.problems import MISS, Problem, problems
from labs.tool import main

LAB = find_lab("0")
SEEDS = range(1, 13)
ROW = re.compile(r"\[([0-9a-f]{3})\] (0x[0-9a-f]+)")
of_some_seeds = pytest.mark.parametrize("seed", SEEDS)


def problem(seed: int, name: str) -> Problem:
    (found,) = [one for one in problems(seed) if one.name == name]
    return found


def answers(one: Problem) -> list[int | str]:
    return [blank.answer for blank in one.blanks]


def numbers(text: str) -> list[int]:
    return [int(number, 16) for number in re.findall(r"0x[0-9a-f]+", text)]


def tables(lines: tuple[str, ...]) -> dict[int, dict[int, int]]:
    """The tables of a problem, read from the text alone."""
    found: dict[int, dict[int, int]] = {}
    table = 0
    for line in lines:
        if begins := re.search(r"table at (0x[0-9a-f]+)", line):
            table = int(begins[1], 16)
            found[table] = {}
        for index, word in ROW.findall(line):
            found[table][int(index, 16)] = int(word, 16)
    return found


def sheet(tree: Path, seed: int, changed: dict[str, str] | None = None) -> Path:
    """Right answers, except those that are changed."""
    lines = [f"seed = {seed}"]
    for one in problems(seed):
        lines += [
            f"{b.key} = {(changed or {}).get(b.key, b.shown)}  # {b.asks}" for b in one.blanks
        ]
    path = tree / LAB.answers
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), "utf-8")
    return tree


# The problems -----------------------------------------------------------------------------------


def test_a_seed_always_has_the_same_problems_and_another_one_has_others() -> None:
    once = problems(3)
    problems.cache_clear()
    assert problems(3) == once
    assert len({problems(seed) for seed in SEEDS}) == len(SEEDS)


@of_some_seeds
def test_there_is_one_check_for_each_problem(seed: int) -> None:
    assert [one.name for one in problems(seed)] == [check.name for check in LAB.checks]
    assert sum(check.points for check in LAB.checks) == 100


@of_some_seeds
def test_the_pieces_of_an_address_give_the_address_again(seed: int) -> None:
    one = problem(seed, "address")
    start, end, va = numbers(" ".join(one.shown))
    four, three, two, first, offset = answers(one)
    assert [isinstance(piece, int) for piece in answers(one)] == [True] * 5
    assert f"{va:048b}" == f"{four:09b}{three:09b}{two:09b}{first:09b}{offset:012b}"
    assert start <= va < end


@of_some_seeds
def test_a_walk_can_be_done_from_what_is_shown_alone(seed: int) -> None:
    one = problem(seed, "walk")
    table, va = numbers(" ".join(one.shown[:2]))
    path = []
    for shift in (39, 30, 21, 12):
        entry = tables(one.shown)[table][va >> shift & 511]
        assert entry & P
        table = entry & 0xFF_FFFF_F000
        path.append(table)
    *below, frame = path
    assert answers(one) == [*below, frame >> 12, frame | va & 0xFFF]


@of_some_seeds
def test_error_codes_follow_from_the_entries_shown(seed: int) -> None:
    one = problem(seed, "rights")
    (entries,) = tables(one.shown).values()
    codes = []
    for blank in one.blanks:
        (va,) = numbers(blank.asks)
        entry = entries.get(va >> 12 & 511, 0)
        store, fetch = "store" in blank.asks, "fetch" in blank.asks
        code = 4 | 2 * store | 16 * fetch | entry & P
        refused = not entry & U or (store and not entry & W) or (fetch and entry & NX)
        codes.append(code if refused else 0)
    assert answers(one) == codes
    assert len(set(codes)) == 3


@of_some_seeds
def test_the_tlb_shown_holds_the_answers(seed: int) -> None:
    one = problem(seed, "tlb")
    found = re.search(r"PCID (\d+)\.", " ".join(one.shown))
    assert found
    held: dict[tuple[int, str], int] = {}
    oldest = {}
    for line in one.shown[3:]:
        entries = re.findall(r"page (0x\w+), (?:PCID )?(\w+) > frame (0x\w+)", line)
        oldest[int(line.split()[1])] = [int(page, 16) for page, _, _ in entries]
        held |= {(int(page, 16), tag): int(frame, 16) for page, tag, frame in entries}
    chosen, first, second, gone = answers(one)
    for blank, answer in zip(one.blanks[1:3], (first, second), strict=True):
        (page,) = numbers(blank.asks)
        frame = held.get((page, found[1])) or held.get((page, "global"))
        assert answer == (frame or MISS)
    assert {first == MISS, second == MISS} == {True, False}
    (absent,) = numbers(one.blanks[0].asks)
    assert absent % 4 == chosen
    assert len(oldest[absent % 4]) == 2
    assert gone == oldest[absent % 4][0]
    assert absent not in oldest[absent % 4]


@of_some_seeds
def test_misses_can_be_counted_with_a_list(seed: int) -> None:
    one = problem(seed, "misses")
    pages = [number for line in one.shown[3:] for number in numbers(line)]
    assert len(pages) == 16

    def count(chosen: list[int], ways: int) -> int:
        queue: list[int] = []
        missed = 0
        for page in chosen:
            if page not in queue:
                missed += 1
                queue = [*queue, page][-ways:]
        return missed

    by_set = [[page for page in pages if page % 4 == number] for number in range(4)]
    together, apart = count(pages, 4), sum(count(chosen, 1) for chosen in by_set)
    assert answers(one) == [together, apart]
    assert together != apart


# The sheets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 77])
def test_right_answers_get_all_points_with_any_seed(seed: int, tmp_path: Path) -> None:
    told = grade_one(LAB, sheet(tmp_path, seed), 2026)
    assert (told.score, told.seed, told.passed) == (100, seed, True)


def test_an_empty_sheet_gets_no_points_and_a_list_of_what_is_missing(tmp_path: Path) -> None:
    export(LAB, tmp_path / "tree", 5)
    told = grade_one(LAB, tmp_path / "tree", 5)
    assert told.score == 0
    for verdict, one in zip(told.verdicts, problems(5), strict=True):
        assert verdict.found == "; ".join(f"{blank.key} has no answer" for blank in one.blanks)


@pytest.mark.parametrize("check", LAB.checks, ids=lambda check: check.name)
def test_each_wrong_answer_costs_its_share_and_the_right_one_stays_secret(
    check: Check, tmp_path: Path
) -> None:
    for blank in problem(1, check.name).blanks:
        told = grade_one(LAB, sheet(tmp_path, 1, {blank.key: "0x77777"}), 1)
        (failed,) = [verdict for verdict in told.verdicts if not verdict.passed]
        assert failed.check == check
        assert failed.found == f"{blank.key} is not 0x77777"
        assert failed.score == failed.check.points * (failed.asked - 1) // failed.asked


def test_each_sheet_of_a_class_is_marked_with_its_own_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (3, 4):
        sheet(tmp_path / f"student{seed}", seed)
    assert main(["grade", "0", "--class", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("100/100") == 2


def test_a_missing_or_unreadable_sheet_gets_a_verdict(tmp_path: Path) -> None:
    missing = grade_one(LAB, tmp_path, 1)
    assert missing.score == 0
    assert {v.found for v in missing.verdicts} == {"it is empty"}
    sheet(tmp_path, 1).joinpath(LAB.answers).write_bytes(b"\xff\xfe= seed = = x\n\0")
    assert grade_one(LAB, tmp_path, 1).score == 0


def test_numbers_are_read_in_every_usual_way(tmp_path: Path) -> None:
    file = tmp_path / "sheet"
    file.write_text("SEED = 9\n a.b=0x10 # remark\nc = 16\nd = Miss\n# e = 1\nf =\ng\n", "utf-8")
    assert written.read(file) == written.Sheet(9, {"a.b": 16, "c": 16, "d": "miss"})


# A student's tree -------------------------------------------------------------------------------


def test_a_students_tree_asks_marks_and_keeps_its_own_answers_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tmp_path / "tree"
    export(LAB, tree, 5)
    assert not (tree / "labs" / "questions").exists()
    assert not list(tree.rglob("NOTES.md"))
    own = find_lab_in(tree, monkeypatch)
    assert main(["ask", "0"]) == 0
    shown = capsys.readouterr().out
    assert all(blank.key in shown for one in problems(5) for blank in one.blanks)
    assert LAB.answers in shown
    with pytest.raises(UserError, match="hand in"):
        main(["ask", "0", "--check"])
    assert main(["ask", "0", "--check", "--seed", "6"]) == 0
    assert f"= {problems(6)[0].blanks[0].shown}" in capsys.readouterr().out
    told = grade_one(own, sheet(tree, 5), 5)
    assert (told.score, told.seed) == (100, 5)
    other = grade_one(own, sheet(tree, 6), 5)
    assert other.score == 0
    assert "seed = 6" in other.verdicts[0].found


def find_lab_in(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The lab as the lab command finds it in a student's tree."""
    monkeypatch.setattr("labs.lab.FOLDER", tree / "labs")
    return find_lab("0")


def test_labs_with_code_have_no_answer_sheet() -> None:
    with pytest.raises(UserError, match="nothing on paper"):
        main(["ask", "1"])


def test_the_handout_and_the_notes_are_there() -> None:
    for name in ("README.md", "NOTES.md"):
        assert (ROOT / LAB.folder / name).read_text("utf-8").startswith("# Lab 0")
