"""A class is graded side by side, and Gradescope gets what it documents."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hw.host import UserError
from labs import classroom, report
from labs.grading import grade_one
from labs.lab import ROOT, find_lab
from labs.submission import laid_out
from labs.tool import main

LAB = find_lab("1")
PART = "hw/paging.py"
RIGHT = (ROOT / PART).read_text("utf-8")
WRONG = RIGHT.replace("(cr3 & ADDRESS) >> 3", "cr3 >> 3")
SCHEMA: dict[str, Any] = json.loads(
    (Path(__file__).parent / "gradescope_schema.json").read_text("utf-8")
)


def hand_in(folder: Path, source: str, place: str = PART) -> Path:
    """A submission with the file at that place in it."""
    path = folder / place
    path.parent.mkdir(parents=True)
    path.write_text(source, "utf-8")
    return folder


def zipped(file: Path, source: str, place: str) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(place, source)
    return file


def the_class(folder: Path, count: int) -> dict[str, int]:
    """`count` submissions of ten kinds; the points that each should get."""
    expected: dict[str, int] = {}
    for number in range(count):
        name, kind = f"student{number:02}", number % 10
        own = folder / name
        match kind:
            case 0:
                hand_in(own, "def walk(:\n")
            case 1:
                own.mkdir()
            case 2:
                zipped(folder / f"{name}.zip", RIGHT, f"lab-1/{PART}")
            case 3:
                (folder / f"{name}.zip").write_bytes(b"PK but no zip")
            case 4:
                hand_in(own, "import os\nos._exit(0)\n")
            case 5:
                hand_in(own, WRONG)
            case 6:
                hand_in(own, RIGHT, f"my lab/{PART}")
            case 7:
                hand_in(own, RIGHT, "paging.py")
            case 8:
                hand_in(own, "while True:\n    pass\n")
            case _:
                hand_in(own, RIGHT)
        expected[name] = 100 if kind in (2, 6, 7, 9) else 95 if kind == 5 else 0
    return expected


def test_one_broken_submission_hurts_no_other(tmp_path: Path) -> None:
    folder, results = tmp_path / "class", tmp_path / "results"
    folder.mkdir()
    expected = the_class(folder, 10)
    graded = classroom.grade_class(LAB, folder, 7, results, jobs=2, quiet=True)
    assert {one.name: one.report.score for one in graded} == expected
    for name, score in expected.items():
        told = json.loads((results / name / "results.json").read_text("utf-8"))
        jsonschema.validate(told, SCHEMA)
        assert told["score"] == score
    with open(results / "class.csv", encoding="utf-8") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert {name: int(row["score"]) for name, row in rows.items()} == expected
    assert rows["student05"]["root"] == "0"
    told = json.loads((results / "class.json").read_text("utf-8"))
    assert told["passed"]["root"] == 4
    assert told["passed"]["index"] == 5


def test_the_table_names_what_failed_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hand_in(tmp_path / "ann", RIGHT)
    hand_in(tmp_path / "bob", WRONG)
    assert main(["grade", "1", "--class", str(tmp_path), "--seed", "3", "--jobs", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ann  100/100"
    assert lines[1] == "bob   95/100  root"
    assert "2 submissions, mean 97.5 of 100; passed by:" in lines


def test_a_grader_that_breaks_on_one_submission_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr("labs.grading.laid_out", fail)
    hand_in(tmp_path / "ann", RIGHT)
    (ann,) = classroom.grade_class(LAB, tmp_path, 7, None, jobs=1, quiet=True)
    assert (ann.report.score, "no room" in ann.first_failure) == (0, True)


@pytest.mark.parametrize("kept", [False, True], ids=["shown", "kept"])
def test_an_empty_class_gets_a_sentence(tmp_path: Path, kept: bool) -> None:
    (tmp_path / "class").mkdir()
    words = ["--results", str(tmp_path / "out")] if kept else []
    with pytest.raises(UserError, match="no submissions"):
        main(["grade", "1", "--class", str(tmp_path / "class"), *words])


def test_links_and_huge_files_are_not_handed_in(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(RIGHT, "utf-8")
    linked = tmp_path / "linked" / PART
    linked.parent.mkdir(parents=True)
    linked.symlink_to(secret)
    huge = hand_in(tmp_path / "huge", RIGHT + "#" * (1 << 20))
    for folder in (tmp_path / "linked", huge):
        with laid_out(folder, LAB) as tree:
            assert not (tree / PART).exists()


def test_the_file_nearest_to_its_place_is_meant(tmp_path: Path) -> None:
    hand_in(tmp_path / "s", WRONG, "paging.py")
    hand_in(tmp_path / "s" / "lab", RIGHT)
    hand_in(tmp_path / "s" / "a" / "b" / "c", WRONG)
    with laid_out(tmp_path / "s", LAB) as tree:
        assert (tree / PART).read_text("utf-8") == RIGHT


def test_every_report_has_gradescopes_form(tmp_path: Path) -> None:
    for source in (RIGHT, WRONG):
        folder = hand_in(tmp_path / str(len(source)), source)
        told = report.gradescope(grade_one(LAB, folder, 7))
        jsonschema.validate(told, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**told, "tests": [{"visibility": "secret"}]}, SCHEMA)


@pytest.mark.skipif(shutil.which("sh") is None, reason="Gradescope's image has a shell")
def test_the_autograder_runs_where_gradescope_puts_it(tmp_path: Path) -> None:
    """/autograder, but for its name: the source, a submission, and then the results."""
    place, file = tmp_path / "autograder", tmp_path / "a.zip"
    assert main(["export", "1", "--to", str(file), "--gradescope", "--seed", "123"]) == 0
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        archive.extractall(place / "source")
    assert not [name for name in names if "mutants" in name or name.startswith("tests/")]
    shutil.move(place / "source" / "run_autograder", place / "run_autograder")
    hand_in(place / "submission", WRONG)
    ours = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "VANTAGE_ENV": "active", "PATH": ours}
    for script in ("source/setup.sh", "run_autograder"):
        subprocess.run(["sh", str(place / script)], env=environment, check=False)
    told = json.loads((place / "results" / "results.json").read_text("utf-8"))
    jsonschema.validate(told, SCHEMA)
    assert (told["score"], "seed 123" in told["output"]) == (95, True)
