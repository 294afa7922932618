"""Grading a class in parallel, and the results file in the form that Gradescope documents."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hw.host import UserError
from labs import classroom, report
from labs.classroom import Graded
from labs.export import starter
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
    """A submission with the student's file at a given path in it."""
    path = folder / place
    path.parent.mkdir(parents=True)
    path.write_text(source, "utf-8")
    return folder


def zipped(file: Path, source: str, place: str) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(place, source)
    return file


def the_class(folder: Path, count: int) -> dict[str, int]:
    """Make `count` submissions of ten kinds; returns the points that each should get."""
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
    graded, _ = classroom.grade_class(LAB, folder, 7, results, jobs=2, quiet=True)
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


def test_the_table_names_what_failed_first_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hand_in(tmp_path / "ann", RIGHT)
    hand_in(tmp_path / "bob", WRONG)
    assert main(["grade", "1", "--class", str(tmp_path), "--seed", "3", "--jobs", "2"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ann  100/100"
    assert lines[1] == "bob   95/100  root: the level of the leaf should be 0x1, is absent"
    assert "2 submissions, mean 97.5 of 100; passed by:" in lines


def test_a_crash_of_the_grader_on_one_submission_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr("labs.grading.laid_out", fail)
    hand_in(tmp_path / "ann", RIGHT)
    (ann,), _ = classroom.grade_class(LAB, tmp_path, 7, None, jobs=1, quiet=True)
    assert (ann.report.score, "no room" in ann.report.cause) == (0, True)


@pytest.mark.parametrize("kept", [False, True], ids=["shown", "kept"])
def test_an_empty_class_gets_a_sentence(tmp_path: Path, kept: bool) -> None:
    (tmp_path / "class").mkdir()
    words = ["--results", str(tmp_path / "out")] if kept else []
    with pytest.raises(UserError, match="no submissions"):
        main(["grade", "1", "--class", str(tmp_path / "class"), *words])


def tarred(file: Path, source: str, place: str) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        member = tarfile.TarInfo(place)
        member.size = len(source.encode())
        archive.addfile(member, io.BytesIO(source.encode()))
    return file


def a_bomb(file: Path) -> Path:
    """A zip that claims one byte for a gigabyte, in both places that give the size."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(PART, bytes(1 << 30))
    whole = file.read_bytes()
    file.write_bytes(whole.replace((1 << 30).to_bytes(4, "little"), (1).to_bytes(4, "little")))
    return file


def a_tar_of_zeros(file: Path) -> Path:
    """An archive of a few megabytes with a gigabyte before the file that the grader looks for."""
    with tarfile.open(file, "w:gz", compresslevel=1) as archive:
        member = tarfile.TarInfo("zeros")
        member.size = 1 << 30
        archive.addfile(member, Zeros())  # type: ignore[arg-type]
    return file


class Zeros:
    """A file without an end."""

    def read(self, size: int) -> bytes:
        return bytes(size)


def row(folder: Path) -> str:
    """The row of the table for a class with one submission."""
    graded, others = classroom.grade_class(LAB, folder, 7, None, jobs=2, quiet=True)
    return classroom.table(LAB, graded, others).splitlines()[0]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: hand_in(f / "ann", starter(RIGHT, LAB)), "part walk, waits to be written"),
        (lambda f: hand_in(f / "ann", "def walk(:\n"), "cannot be imported: SyntaxError"),
        (lambda f: hand_in(f / "ann", "while True: pass\n"), "an endless loop?"),
        (lambda f: zipped(f / "ann.zip", "", "notes.txt"), "hw/paging.py is not in it: it holds"),
        (lambda f: zipfile.ZipFile(f / "ann.zip", "w").close(), "it is empty"),
        (lambda f: (f / "ann").mkdir(), "it is empty"),
        (lambda f: (f / "ann.zip").write_bytes(b"PK but no zip"), "the zip is damaged"),
        (lambda f: (f / "ann.tgz").write_bytes(b"\x1f\x8bno"), "the tgz is damaged"),
        (lambda f: a_bomb(f / "ann.zip"), "the zip is damaged"),
        (lambda f: a_tar_of_zeros(f / "ann.tar.gz"), "inflates to more than 256 MiB"),
        (lambda f: tarred(f / "ann.tar.gz", "#" * (1 << 21), PART), "more than 1 MiB"),
    ],
    ids=[
        *("starter", "syntax", "loop", "other files", "empty zip", "empty folder"),
        *("damaged zip", "damaged tar", "zip bomb", "tar bomb", "huge file"),
    ],
)
def test_a_row_says_why_there_are_no_points(
    make: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    make(tmp_path)
    told = row(tmp_path)
    assert told.startswith("ann    0/100  ")
    assert said in told


@pytest.mark.parametrize(
    "make",
    [
        lambda f: tarred(f / "ann.tar.gz", RIGHT, f"lab1/{PART}"),
        lambda f: tarred(f / "ann.TGZ", RIGHT, PART),
        lambda f: (f / "ann.py").write_text(RIGHT, "utf-8"),
        lambda f: hand_in(f / "ann", RIGHT, "paging (1).py"),
        lambda f: hand_in(f / "ann", RIGHT, "ann_4711_paging.py"),
        lambda f: hand_in(f / "ann", RIGHT, "my walk.py"),
        lambda f: zipped((f / "ann").mkdir() or f / "ann" / "work.zip", RIGHT, PART),
        lambda f: tarred((f / "ann").mkdir() or f / "ann" / "w.tar.gz", RIGHT, PART),
    ],
    ids=["tar", "tgz", "bare", "numbered", "prefixed", "renamed", "zip inside", "tar inside"],
)
def test_the_layouts_of_submission_platforms_are_understood(
    make: Callable[[Path], object], tmp_path: Path
) -> None:
    make(tmp_path)
    assert row(tmp_path) == "ann  100/100"


def test_files_of_unknown_layout_are_counted(tmp_path: Path) -> None:
    hand_in(tmp_path / "ann", WRONG)
    for name in ("bob.rar", "notes.pdf"):
        (tmp_path / name).touch()
    held = classroom.entries(LAB, tmp_path)
    assert [one.name for one in held.submissions] == ["ann"]
    report = grade_one(LAB, tmp_path / "ann", 7, "root")
    told = classroom.table(LAB, [Graded("ann", report)], held.not_understood)
    assert "2 not understood, and not graded: bob.rar, notes.pdf" in told


def test_two_archives_in_a_submission_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ann").mkdir()
    for name in ("a.zip", "b.zip"):
        zipped(tmp_path / "ann" / name, RIGHT, PART)
    assert "there are 2 archives in it (a.zip, b.zip)" in row(tmp_path)


def test_similar_or_malicious_names_get_separate_results(tmp_path: Path) -> None:
    folder, results = tmp_path / "class", tmp_path / "class" / "out"
    results.mkdir(parents=True)
    for name in ("ann", "=1+1", "esc\x1b[31mape", os.fsdecode(b"l\xe4tin")):
        (folder / name).mkdir()
    zipped(folder / "ann.zip", WRONG, PART)
    zipped(folder / "Ann.tar", RIGHT, PART)
    graded, _ = classroom.grade_class(LAB, folder, 7, results, jobs=2, quiet=True)
    names = [one.name for one in graded]
    assert names == ["=1+1", "Ann.tar", "ann", "ann.zip", r"esc_x1b[31mape", "l_udce4tin"]
    assert {path.name for path in results.iterdir()} == {*names, "class.csv", "class.json"}
    with open(results / "class.csv", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows[1:3]] == ["'=1+1", "Ann.tar"]
    for name in names:
        jsonschema.validate(json.loads((results / name / "results.json").read_text()), SCHEMA)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of the size of a file")
@pytest.mark.parametrize("words", [[], ["--class"]], ids=["one", "class"])
def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(
    words: list[str], tmp_path: Path
) -> None:
    """A limit on the size of files stands for the full disk."""
    hand_in(tmp_path / "in" / "ann", WRONG)
    limited = (
        "import resource, runpy, sys; sys.argv = sys.argv[1:];"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 17, 1 << 17));"
        "import hw.files, pathlib; write = pathlib.Path.write_bytes;"
        "pathlib.Path.write_bytes = lambda path, data: write(path, data * 999);"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", limited, "run.py", "lab", "grade", "1", "-k", "root"]
    where = ["--class", str(tmp_path / "in")] if words else ["--tree", str(tmp_path / "in" / "ann")]
    done = subprocess.run(
        [*command, *where, "--results", str(tmp_path / "out")],
        cwd=ROOT,
        env={**os.environ, "VANTAGE_ENV": "active"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "Vantage: cannot write " in done.stderr
    assert "File too large" in done.stderr
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


def test_links_and_huge_files_are_not_submitted(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(RIGHT, "utf-8")
    linked = tmp_path / "linked" / PART
    linked.parent.mkdir(parents=True)
    linked.symlink_to(secret)
    huge = hand_in(tmp_path / "huge", RIGHT + "#" * (1 << 20))
    for folder in (tmp_path / "linked", huge):
        with laid_out(folder, LAB) as handed:
            assert not (handed.tree / PART).exists()


def test_the_file_nearest_to_its_place_is_graded(tmp_path: Path) -> None:
    hand_in(tmp_path / "s", WRONG, "paging.py")
    hand_in(tmp_path / "s" / "lab", RIGHT)
    hand_in(tmp_path / "s" / "a" / "b" / "c", WRONG)
    with laid_out(tmp_path / "s", LAB) as handed:
        assert (handed.tree / PART).read_text("utf-8") == RIGHT


def test_every_report_has_gradescopes_form(tmp_path: Path) -> None:
    for source in (RIGHT, WRONG):
        folder = hand_in(tmp_path / str(len(source)), source)
        told = report.gradescope(grade_one(LAB, folder, 7))
        jsonschema.validate(told, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**told, "tests": [{"visibility": "secret"}]}, SCHEMA)


@pytest.mark.skipif(shutil.which("sh") is None, reason="Gradescope's image has a shell")
def test_the_autograder_runs_where_gradescope_puts_it(tmp_path: Path) -> None:
    """A copy of /autograder under another name: the source, a submission, and then the results."""
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
