"""Whatever a student's file does, there is a verdict and a report: lab 1 stands for all."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from hw.host import UserError
from labs.judge import Verdict, grade
from labs.lab import ROOT, find_lab
from labs.tool import main

LAB = find_lab("1")
SOURCE = (ROOT / "hw" / "paging.py").read_text("utf-8")
WRONG = SOURCE.replace("va >> shift & 511)\n        entry", "va >> 13 & 511)\n        entry")
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


def in_walk(line: str) -> str:
    """The solution with a line before it."""
    marker = "    # BEGIN SOLUTION lab1.walk\n"
    return SOURCE.replace(marker, f"{marker}    {line}\n")


ACCIDENTS = [
    ("a syntax error", SOURCE + "\ndef (:\n", "SyntaxError"),
    ("an exit at import", "import sys\nsys.exit(0)\n", "cannot be imported: SystemExit"),
    ("an end without a word", in_walk("import os; os._exit(0)"), "process ended with status 0"),
    ("an endless loop", in_walk("while True: va = va"), "an endless loop?"),
    ("an endless import", "while True:\n    pass\n", "an endless loop?"),
    ("a large allocation", in_walk("bytearray(10 << 30)"), "MemoryError"),
    ("a printed PASS", in_walk("print('PASS'); return 0, 0, 0"), " should be "),
    ("a deleted file", None, "is not there"),
    ("a program of its own", in_walk("import os; os.system('true')"), "tried 'os.system'"),
    ("a fork bomb", in_walk("import os\n    while True: os.fork()"), "tried 'os.fork'"),
    ("a file of the judge's", in_walk("open('/tmp/vantage-x', 'w')"), "tried 'open'"),
    ("a forged trace", in_walk("open('run.vtrace', 'wb').write(b'')"), "tried 'open'"),
    ("a deleted memory", in_walk("import os; os.remove('memory')"), "tried 'os.remove'"),
    (
        "a patched judge",
        in_walk("import labs.judge as j; j.grade = None; return 0, 0, 0"),
        " should be ",
    ),
    (
        "forged answers",
        in_walk("import os; os.write(1, b'{\"nonce\": 1}\\n'); return 0, 0, 0"),
        " should be ",
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
    assert student.grade(WRONG, "index") == student.grade(WRONG, "index")


def test_the_reports_agree(student: Student, tmp_path: Path) -> None:
    student.grade(WRONG, "root")
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

    monkeypatch.setattr("labs.judge._judge", fail)
    assert main(["grade", "1", "--results", str(tmp_path)]) == 1
    told = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert told["score"] == 0
    assert "no room" in told["output"]


@pytest.mark.parametrize(
    "words",
    [
        ["grade", "1", "-k", "index", "--results"],
        ["export", "1", "--to"],
        ["export", "1", "--gradescope", "--to"],
    ],
    ids=["results", "export", "gradescope"],
)
def test_a_place_that_cannot_be_written_gets_a_sentence(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot use"):
        main([*words, str(tmp_path / "file" / "below")])


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
