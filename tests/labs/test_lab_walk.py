"""Lab 1 keeps its promises: the starter fails everything and boots, the solution passes, every
wrong answer is caught by the check that names its cause, and nothing that must stay leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from hw.host import UserError
from labs.export import export, starter
from labs.judge import Verdict, grade
from labs.lab import ROOT, find_lab
from labs.tool import main

LAB = find_lab("1")
SOURCE = (ROOT / "hw" / "paging.py").read_text("utf-8")
MUTANTS: list[dict[str, str]] = json.loads((LAB.folder / "mutants.json").read_text("utf-8"))
HIDDEN_SEED = 77


@dataclass(frozen=True)
class Student:
    """A tree that holds a student's file and nothing else: the judge wants no more."""

    tree: Path

    def grade(self, source: str | None, only: str = "", seed: int = HIDDEN_SEED) -> list[Verdict]:
        path = self.tree / "hw" / "paging.py"
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        if source is not None:
            path.write_text(source, "utf-8")
        return list(grade(LAB, self.tree, seed, only))


@pytest.fixture
def student(tmp_path: Path) -> Student:
    return Student(tmp_path)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("export") / "lab1"
    export(LAB, tree)
    return tree


def run(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "run.py", *words],
        cwd=tree, env={**os.environ, "VANTAGE_ENV": "active"}, text=True,
        capture_output=True, check=False,
    )  # fmt: skip


def in_walk(line: str) -> str:
    """The solution with a line before it."""
    marker = "    # BEGIN SOLUTION lab1.walk\n"
    return SOURCE.replace(marker, f"{marker}    {line}\n")


@pytest.mark.parametrize("seed", [1, 2, HIDDEN_SEED])
def test_the_solution_passes_whatever_is_asked(student: Student, seed: int) -> None:
    assert [v.found for v in student.grade(SOURCE, seed=seed) if not v.passed] == []


def test_the_starter_fails_every_check_and_says_what_is_waiting(student: Student) -> None:
    verdicts = student.grade(starter(SOURCE, LAB))
    assert len(verdicts) == len(LAB.checks)
    for verdict in verdicts:
        assert "lab 1, part walk, waits to be written in hw/paging.py" in verdict.found


def test_the_points_are_a_hundred() -> None:
    assert LAB.points == 100


def test_every_part_has_three_hints() -> None:
    assert {part: len(hints) for part, hints in LAB.hints.items()} == dict.fromkeys(LAB.parts, 3)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant["name"])
def test_a_wrong_answer_is_caught_by_the_check_that_names_its_cause(
    student: Student, mutant: dict[str, str]
) -> None:
    assert SOURCE.count(mutant["find"]) == 1
    wrong = SOURCE.replace(mutant["find"], mutant["replace"])
    for seed in (1, HIDDEN_SEED):
        (verdict,) = student.grade(wrong, mutant["caught_by"], seed)
        assert mutant.get("says", " should be ") in verdict.found


def test_every_check_catches_a_mutant() -> None:
    assert {m["caught_by"] for m in MUTANTS} == {check.name for check in LAB.checks}


ACCIDENTS = [
    ("a syntax error", SOURCE + "\ndef (:\n", "SyntaxError"),
    ("an exit at import", "import sys\nsys.exit(0)\n", "cannot be imported: SystemExit"),
    ("an end without a word", in_walk("import os; os._exit(0)"), "process ended with status 0"),
    ("an endless loop", in_walk("while True: va = va"), "an endless loop?"),
    ("an endless import", "while True:\n    pass\n", "an endless loop?"),
    ("a large allocation", in_walk("bytearray(10 << 30)"), "MemoryError"),
    ("a printed PASS", in_walk("print('PASS'); return 0, 0, 0"), " should be "),
    ("a deleted file", None, "is not there"),
    (
        "deleted answers",
        in_walk("import os, sys; os.remove(sys.argv[3]); return 0, 0, 0"),
        "no answer to the",
    ),
    (
        "a cut memory",
        in_walk("import os, sys; os.truncate(sys.argv[4], 0); os._exit(0)"),
        "changed the size of the memory",
    ),
]


@pytest.mark.parametrize(
    ("source", "said"), [a[1:] for a in ACCIDENTS], ids=[a[0] for a in ACCIDENTS]
)
def test_whatever_happens_there_is_a_verdict(
    student: Student, source: str | None, said: str
) -> None:
    if "MemoryError" in said and sys.platform != "linux":
        return
    (verdict,) = student.grade(source, "index")
    assert said in verdict.found
    assert verdict.score == 0


def test_the_same_seed_gives_the_same_verdicts(student: Student) -> None:
    wrong = SOURCE.replace(MUTANTS[0]["find"], MUTANTS[0]["replace"])
    assert student.grade(wrong, "index") == student.grade(wrong, "index")


def test_nothing_leaves_that_must_stay(exported: Path) -> None:
    files = {path.relative_to(exported).as_posix() for path in exported.rglob("*")}
    for name in ("tests", ".git", "labs/walks.py", "labs/1-walk/NOTES.md"):
        assert name not in files
    assert not [name for name in files if "mutants" in name or "__pycache__" in name]
    solution = SOURCE.split("# BEGIN SOLUTION lab1.walk\n")[1].split("# END SOLUTION")[0]
    lines = {line.strip() for line in solution.splitlines() if len(line.strip()) > 24}
    assert len(lines) > 10
    for path in exported.rglob("*.py"):
        held = {line.strip() for line in path.read_text("utf-8").splitlines()}
        assert not lines & held, path


def test_what_would_show_the_answer_says_why_it_is_absent(exported: Path) -> None:
    for name in LAB.withheld:
        assert (ROOT / name).is_file()
        (line,) = (exported / name).read_text("utf-8").splitlines()
        assert f"{name} would show the answer of lab 1" in line


def test_solutions_of_other_labs_stay(exported: Path) -> None:
    assert (exported / "hw/tlb.py").read_text("utf-8") == (ROOT / "hw/tlb.py").read_text("utf-8")


def test_the_starter_boots_on_silicon_and_says_on_the_model_what_waits(exported: Path) -> None:
    assert "Hello from ring 3" in run(exported, "exec", "--mmu", "silicon", "hello").stdout
    waiting = run(exported, "exec", "hello")
    assert waiting.returncode == 2
    expected = "Vantage: lab 1, part walk, waits to be written in hw/paging.py.\n"
    assert waiting.stderr == expected


def test_a_students_tree_grades_itself(exported: Path) -> None:
    empty = run(exported, "lab", "grade", "1")
    assert (empty.returncode, empty.stdout.splitlines()[-1]) == (
        1, "lab 1: 0 of 100 points, seed 1",
    )  # fmt: skip
    path = exported / "hw" / "paging.py"
    path.write_text(SOURCE, "utf-8")
    try:
        whole = run(exported, "lab", "grade", "1")
    finally:
        path.write_text(starter(SOURCE, LAB), "utf-8")
    assert (whole.returncode, whole.stdout.splitlines()[-1]) == (
        0, "lab 1: 100 of 100 points, seed 1",
    )  # fmt: skip


def test_the_reports_agree(student: Student, tmp_path: Path) -> None:
    wrong = SOURCE.replace(MUTANTS[0]["find"], MUTANTS[0]["replace"])
    student.grade(wrong, "root")
    results = tmp_path / "results"
    assert main(["grade", "1", "--tree", str(tmp_path), "--results", str(results), "--json"]) == 1
    told: dict[str, Any] = json.loads((results / "results.json").read_text("utf-8"))
    failed = [test for test in told["tests"] if test["status"] == "failed"]
    assert told["score"] == 100 - sum(test["max_score"] for test in failed) < 100
    suite = ElementTree.parse(results / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("13", str(len(failed)))
    page = (results / "report.md").read_text("utf-8")
    assert all(f"## {test['name']}" in page for test in failed)


def test_a_grader_that_fails_gives_no_points_but_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise OSError("no room")

    monkeypatch.setattr("labs.judge._ask", fail)
    assert main(["grade", "1", "--results", str(tmp_path)]) == 1
    told = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert told["score"] == 0
    assert "no room" in told["output"]


def test_wrong_words_get_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "full").touch()
    for words in (["show", "99"], ["hint", "1.talk"], ["export", "1", "--to", str(tmp_path)]):
        with pytest.raises(UserError):
            main(words)


def test_list_show_and_hints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["points"] == 100
    assert main(["show", "1"]) == 0
    assert capsys.readouterr().out.startswith("# Lab 1")
    assert main(["hint", "1.walk", "--level", "3"]) == 0
    assert capsys.readouterr().out.startswith("error = ")
