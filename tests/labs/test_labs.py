"""Every lab keeps its promises: the starter fails every check and boots, the solution passes, every
wrong answer is caught by the check that names its cause, and nothing that must stay leaves."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from labs.export import REGION, export, starter
from labs.judge import Verdict, grade
from labs.lab import ROOT, Lab, all_labs, find_lab
from labs.mutants import Wrong, judge_one, lay_out, wrong_answers
from labs.tool import main

LABS = [lab for lab in all_labs() if lab.parts]
HIDDEN_SEED = 77


WRONG = [wrong for lab in LABS for wrong in wrong_answers(lab)]
of_each_lab = pytest.mark.parametrize("lab", LABS, ids=[lab.name for lab in LABS])


def judged(lab: Lab, tree: Path, changed: dict[str, str], only: str = "") -> list[Verdict]:
    """The verdicts on a tree with the solution, but for what is `changed`."""
    lay_out(lab, tree, changed)
    return list(grade(lab, tree, HIDDEN_SEED, only, jobs=2))


def run(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "run.py", *words],
        cwd=tree,
        env={**os.environ, "VANTAGE_ENV": "active"},
        text=True,
        capture_output=True,
        check=False,
    )


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """A student's tree of every lab."""
    folder = tmp_path_factory.mktemp("exports")
    for lab in LABS:
        export(lab, folder / str(lab.number))
    return {lab.number: folder / str(lab.number) for lab in LABS}


@of_each_lab
def test_the_solution_passes_whatever_is_asked(lab: Lab, tmp_path: Path) -> None:
    """With the judge's seed; `test_a_students_tree_grades_itself` takes the student's."""
    verdicts = judged(lab, tmp_path, {})
    assert [v.found for v in verdicts if not v.passed] == []
    assert sum(v.score for v in verdicts) == lab.points == 100


@of_each_lab
def test_the_starter_fails_every_check_and_says_what_is_waiting(lab: Lab, tmp_path: Path) -> None:
    starters = {
        name: starter((ROOT / name).read_text("utf-8"), lab) for name in set(lab.parts.values())
    }
    verdicts = judged(lab, tmp_path, starters)
    assert len(verdicts) == len(lab.checks)
    waiting = re.compile(rf"lab {lab.number}, part (\w+), waits to be written in (\S+)")
    for verdict in verdicts:
        assert not verdict.passed
        assert verdict.score == 0
        found = waiting.search(verdict.found)
        assert found or "comes first" in verdict.found, verdict.found
        if found:
            assert lab.parts[found[1]] == found[2]


@of_each_lab
def test_a_lab_is_whole(lab: Lab) -> None:
    """A part has a region and three hints; wrong answers are many, each check catches one."""
    for part, name in lab.parts.items():
        source = (ROOT / name).read_text("utf-8")
        assert f"lab{lab.number}.{part}" in {found["part"] for found in REGION.finditer(source)}
    assert {part: len(hints) for part, hints in lab.hints.items()} == dict.fromkeys(lab.parts, 3)
    wrong = [wrong for wrong in WRONG if wrong.lab == lab.number]
    assert len(wrong) >= 10
    assert {one.caught_by for one in wrong} == {check.name for check in lab.checks}
    for file in ("README.md", "NOTES.md"):
        assert (lab.folder / file).read_text("utf-8").startswith(f"# Lab {lab.number}")


@pytest.mark.parametrize("wrong", WRONG, ids=[f"{w.lab}: {w.name}" for w in WRONG])
def test_a_wrong_answer_is_caught_by_the_check_that_names_its_cause(wrong: Wrong) -> None:
    assert wrong.says in judge_one(find_lab(str(wrong.lab)), wrong, HIDDEN_SEED).found


def test_the_instructor_sees_what_each_wrong_answer_gets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["mutants", "1", "-k", "root"]) == 0
    said = capsys.readouterr().out
    assert "CR3's low bits are taken for part of the address" in said
    assert " should be " in said
    only = [wrong for wrong in WRONG if wrong.lab == 1][:1]
    harmless = [dataclasses.replace(wrong, replace=wrong.find) for wrong in only]
    monkeypatch.setattr("labs.mutants.wrong_answers", lambda _: harmless)
    assert main(["mutants", "1"]) == 1
    assert "NOT CAUGHT" in capsys.readouterr().out


@of_each_lab
def test_nothing_leaves_that_must_stay(lab: Lab, exports: dict[int, Path]) -> None:
    tree = exports[lab.number]
    files = {path.relative_to(tree).as_posix() for path in tree.rglob("*")}
    for name in ("tests", ".git", "labs/questions", f"labs/{lab.folder.name}/NOTES.md"):
        assert name not in files
    assert not [name for name in files if "mutants" in name or "__pycache__" in name]
    solution = lines_of_solutions(lab)
    assert len(solution) >= 10
    for path in tree.rglob("*"):
        if path.suffix in (".py", ".c", ".h", ".json", ".md"):
            held = {line.strip() for line in path.read_text("utf-8").splitlines()}
            assert not solution & held, path


def lines_of_solutions(lab: Lab) -> set[str]:
    """What stands in the regions and nowhere else in the files of the parts."""
    inside: set[str] = set()
    for name in set(lab.parts.values()):
        source = (ROOT / name).read_text("utf-8")
        for region in REGION.finditer(source):
            if region["part"].startswith(f"lab{lab.number}."):
                inside |= {line.strip() for line in region[0].splitlines()[1:-2]}
        inside -= {line.strip() for line in REGION.sub("", source).splitlines()}
    return {line for line in inside if len(line) > 30}


@of_each_lab
def test_a_planted_mistake_leaves_no_mark(lab: Lab, exports: dict[int, Path]) -> None:
    for name in set(lab.parts.values()):
        lines = (exports[lab.number] / name).read_text("utf-8").splitlines()
        for region in REGION.finditer((ROOT / name).read_text("utf-8")):
            if region["planted"] and region["part"].startswith(f"lab{lab.number}."):
                assert region["indent"] + region["planted"] in lines
                assert not [line for line in lines if region["part"] in line]


@of_each_lab
def test_what_would_show_the_answer_says_why_it_is_absent(
    lab: Lab, exports: dict[int, Path]
) -> None:
    for name in lab.withheld:
        assert (ROOT / name).is_file()
        (line,) = (exports[lab.number] / name).read_text("utf-8").splitlines()
        assert f"{name} would show the answer of lab {lab.number}" in line


@of_each_lab
def test_hidden_checks_stay_hidden(lab: Lab, exports: dict[int, Path]) -> None:
    hidden = {check.name for check in lab.checks if check.hidden}
    folder = exports[lab.number] / "labs" / lab.folder.name
    told = json.loads((folder / "lab.json").read_text("utf-8"))
    asked = json.loads((folder / "visible.json").read_text("utf-8"))["checks"]
    assert not hidden & ({row["name"] for row in told["checks"]} | asked.keys())


@of_each_lab
def test_solutions_of_other_labs_stay(lab: Lab, exports: dict[int, Path]) -> None:
    ours = set(lab.parts.values())
    for other in LABS:
        for name in set(other.parts.values()) - ours:
            kept = (exports[lab.number] / name).read_text("utf-8")
            whole = REGION.sub(lambda found: found["solution"], (ROOT / name).read_text("utf-8"))
            assert kept.split() == whole.split()


@of_each_lab
def test_nothing_shows_where_another_lab_will_ask(lab: Lab, exports: dict[int, Path]) -> None:
    """Nor where a mistake is planted; and lines of C keep their numbers, which programs know."""
    tree, tool = exports[lab.number], exports[lab.number] / "labs" / "export.py"
    ours = set(lab.parts.values())
    for path in tree.rglob("*"):
        if path.suffix in (".py", ".c", ".h", ".md") and path != tool:
            text = path.read_text("utf-8")
            assert not re.search(r"(BEGIN|END) SOLUTION|PLANTED lab", text), path
            assert set(re.findall(r"PROMPT lab(\d+)", text)) <= {str(lab.number)}
            name = path.relative_to(tree).as_posix()
            if path.suffix == ".c" and name not in ours:
                assert text.count("\n") == (ROOT / name).read_text("utf-8").count("\n")


@of_each_lab
def test_the_starter_boots(lab: Lab, exports: dict[int, Path]) -> None:
    assert "Hello from ring 3" in run(exports[lab.number], "exec", *lab.boots, "hello").stdout


def test_a_tree_that_nobody_has_touched_grades_itself(exports: dict[int, Path]) -> None:
    """What each lab's checks say then is asked above."""
    empty = run(exports[1], "lab", "grade", "1")
    last = "lab 1: 0 of 100 points, seed 1"
    assert (empty.returncode, empty.stdout.splitlines()[-1]) == (1, last)


@of_each_lab
def test_a_students_tree_grades_itself(lab: Lab, exports: dict[int, Path]) -> None:
    tree = exports[lab.number]
    visible = sum(check.points for check in lab.checks if not check.hidden)
    starters = {name: (tree / name).read_text("utf-8") for name in lab.parts.values()}
    for name in starters:
        (tree / name).write_text((ROOT / name).read_text("utf-8"), "utf-8")
    try:
        whole = run(tree, "lab", "grade", str(lab.number))
    finally:
        for name, source in starters.items():
            (tree / name).write_text(source, "utf-8")
    last = f"lab {lab.number}: {visible} of {visible} points, seed 1"
    assert (whole.returncode, whole.stdout.splitlines()[-1]) == (0, last)


@of_each_lab
def test_the_page_for_all_labs_names_nothing_that_this_tree_lacks(
    lab: Lab, exports: dict[int, Path]
) -> None:
    page = (exports[lab.number] / "labs" / "QUICK.md").read_text("utf-8")
    named = re.findall(r"python3 run\.py lab (\w+) (\d)(?:\.(\w+)| -k (\w+))?", page)
    assert {"show", "grade", "hint"} == {verb for verb, _, _, _ in named}
    for _, number, part, check in named:
        assert number == str(lab.number)
        assert not part or part in lab.parts
        assert not check or check in {one.name for one in lab.checks}
    for command in lab.without:
        assert f"python3 run.py {command} " not in page


def test_a_tree_without_a_command_says_so_before_it_fetches_anything(
    exports: dict[int, Path],
) -> None:
    tree = exports[1]
    environment = {name: value for name, value in os.environ.items() if name != "VANTAGE_ENV"}
    done = subprocess.run(
        [sys.executable, "run.py", "panel", "cow"],
        cwd=tree,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert "`panel` would show the answer of lab 1, so this tree is without it" in done.stderr
    assert not (tree / ".venv").exists()
    for words in (["tour", "--no-panel"], ["demo", "list"]):
        assert "panel" not in run(tree, *words).stderr


def test_the_solution_says_what_it_is_and_the_way_out(
    exports: dict[int, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["start", "1", "--to", str(tmp_path / "my labs" / "one")]) == 0
    way = capsys.readouterr().out
    quoted = "'" if os.name != "nt" else '"'
    assert f"  cd {quoted}{tmp_path / 'my labs' / 'one'}{quoted}\n" in way
    assert "  python3 run.py lab grade 1 " in way
    for words in (["list"], ["show", "1"], ["grade", "1", "-k", "root"]):
        assert main(words) == 0
        assert "This tree is the solution" in capsys.readouterr().err
        assert "solution" not in run(exports[1], "lab", *words).stderr
    main(["grade", "1", "-k", "root", "--tree", str(exports[1])])
    graded = capsys.readouterr()
    assert "solution" not in graded.err
    assert f"again: python3 run.py lab grade 1 -k root --tree {exports[1]} --seed 1" in graded.out


def test_a_part_that_is_missing_is_told_once(tmp_path: Path) -> None:
    lab = find_lab("3")
    file = lab.parts["private"]
    verdicts = judged(lab, tmp_path, {file: starter((ROOT / file).read_text("utf-8"), lab)}, "r")
    waits = "lab 3, part private, waits to be written in kernel/mm/objects.py"
    first, *others = [verdict.found for verdict in verdicts]
    assert waits in first
    assert set(others) == {"not asked: part 'private' comes first"}


def test_a_wrong_page_is_told_though_the_program_then_asks_for_a_part_that_waits(
    tmp_path: Path,
) -> None:
    lab = find_lab("3")
    (wrong,) = [one for one in WRONG if "another page of the source" in one.name]
    space = lab.parts["stack"]
    waits = f'raise NotImplementedError("lab 3, part stack, waits to be written in {space}")'
    source = (ROOT / space).read_text("utf-8").replace("# BEGIN SOLUTION lab3.stack", waits)
    assert waits in source
    changed = {wrong.file: wrong.source(), space: source}
    (verdict,) = judged(lab, tmp_path, changed, "lazy")
    assert "holds page 0 of the program's file" in verdict.found


def test_a_walk_that_sets_no_marks_fails_the_checks_about_marks_alone(tmp_path: Path) -> None:
    (wrong,) = [one for one in WRONG if one.name == "A is set nowhere"]
    verdicts = judged(find_lab("1"), tmp_path, {wrong.file: wrong.source()})
    assert {v.check.name for v in verdicts if not v.passed} == {"accessed"}


def test_a_mistake_in_a_students_file_is_told_as_one(exports: dict[int, Path]) -> None:
    """It ends neither the judge nor in a bug of ours; what it prints at import is no verdict."""
    path = exports[1] / "hw" / "paging.py"
    starter_of_it = path.read_text("utf-8")
    try:
        path.write_text(starter_of_it.replace("raise NotImplementedError(", "nonsense("), "utf-8")
        assert "in line" in (told := run(exports[1], "exec", "hello").stderr)
        assert "NameError" in told
        assert "bug in Vantage" not in told
        for wrong in ("def walk(:\n", "print('PASS')\nimport os\nos._exit(0)\n"):
            path.write_text(wrong, "utf-8")
            graded = run(exports[1], "lab", "grade", "1", "-k", "index")
            assert (graded.returncode, graded.stdout.splitlines()[-1]) == (
                1,
                "lab 1: 0 of 10 points, seed 1",
            )
    finally:
        path.write_text(starter_of_it, "utf-8")
