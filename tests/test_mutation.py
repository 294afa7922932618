"""Mutation: every module has tests near it, a mistake is noticed or not, and a run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hw.host import UserError
from tests.mutation import running
from tests.mutation.mutant import Mutant
from tests.mutation.nearest import BY_ITSELF, MEASURED, NEAREST, NOT_MEASURED, nearest_tests
from tests.mutation.report import Equivalent, equivalents, report

ROOT = Path(__file__).resolve().parent.parent

SOURCE = "def least(a, b):\n    return min(a, b)\n"
TEST = """\
from hw.least import least


def test_least():
    assert least(1, 2) == 1
"""


def mutant(after: str, path: str = "hw/least.py") -> Mutant:
    text = SOURCE.replace("return min(a, b)", after)
    return Mutant(path, 2, "by hand", "return min(a, b)", after, text)


@pytest.mark.parametrize("row", NEAREST)
def test_a_row_of_the_nearest_names_a_module_and_test_files_that_exist(row: str) -> None:
    assert (ROOT / row).is_dir() if row.endswith("/") else (ROOT / row).is_file()
    assert not [n for n in NEAREST[row].split() if not (ROOT / f"tests/{n}.py").is_file()]


def test_every_measured_module_has_tests_of_its_own_or_of_its_folder() -> None:
    places = [ROOT / path for path in (*MEASURED, BY_ITSELF)]
    modules = [m for p in places for m in (p.rglob("*.py") if p.is_dir() else [p])]
    names = {module.relative_to(ROOT).as_posix() for module in modules}
    without = {name for name in names if not nearest_tests(name)}
    assert without == {n for n in names if n in NOT_MEASURED or n.endswith("__init__.py")}


def test_the_tests_of_a_module_come_before_those_of_its_folder() -> None:
    tests = nearest_tests("kernel/mm/replace.py")
    assert tests[0] == "tests/kernel/test_replacement_policies.py"
    assert tests.index("tests/kernel/test_space_model.py") > 1
    assert len(set(tests)) == len(tests)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small tree with one module and one test of it."""
    for name, text in (("hw/least.py", SOURCE), ("tests/test_least.py", TEST)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    monkeypatch.setattr(running, "ROOT", tmp_path)
    for name in ("KEPT", "RESULTS", "SECONDS"):
        below = getattr(running, name).relative_to(ROOT)
        monkeypatch.setattr(running, name, tmp_path / below)
    monkeypatch.setattr(running, "PLUS_SECONDS", 1)
    monkeypatch.setattr(running, "nearest_tests", lambda path: ("tests/test_least.py",))
    return tmp_path


def test_a_mistake_and_a_hang_are_noticed_and_the_same_program_is_not(tree: Path) -> None:
    wrong, same = mutant("return max(a, b)"), mutant("return sorted([a, b])[0]")
    hangs = mutant("while True: pass")
    found = running.run([wrong, same, hangs], 2, again=False)
    assert found == {wrong.name: True, same.name: False, hangs.name: True}
    assert (tree / "hw/least.py").read_text() == SOURCE
    rows = map(json.loads, running.RESULTS.read_text().split("\n")[1:])
    assert {row["after"]: "no end after" in row["said"] for row in rows}[hangs.after]


def test_a_run_goes_on_where_it_was_and_runs_the_unnoticed_again_on_request(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, same = mutant("return max(a, b)"), mutant("return sorted([a, b])[0]")
    asked: list[str] = []

    def carry_out(_: object, todo: list[Mutant]) -> dict[str, bool]:
        asked.extend(m.name for m in todo)
        for each in todo:
            running.keep(each, running.Outcome(each is same, 1, ""))
        return {m.name: m is wrong for m in todo}

    monkeypatch.setattr(running, "carry_out", carry_out)
    running.run([wrong], 1, again=False)
    with running.RESULTS.open("a") as file:
        file.write('\n{"name": "cut o')
    for again, wanted in ((False, [same.name]), (False, []), (True, [same.name])):
        asked.clear()
        assert running.run([wrong, same], 1, again) == {wrong.name: True, same.name: False}
        assert asked == wanted


def test_tests_that_fail_without_a_mistake_stop_the_run(tree: Path) -> None:
    (tree / "tests/test_least.py").write_text(TEST.replace("== 1", "== 2"))
    with pytest.raises(UserError, match=r"test_least\.py fails without any mistake"):
        running.run([mutant("return max(a, b)")], 1, again=False)


@pytest.fixture
def told() -> Callable[[list[Equivalent]], str]:
    found = {
        mutant("return max(a, b)"): True,
        mutant("return a"): False,
        mutant("return min(b, a)", "labs/judge.py"): False,
    }
    return lambda known: "\n".join(report(found, known))


def test_the_report_counts_by_folder_and_lists_what_was_not_noticed(
    told: Callable[[list[Equivalent]], str],
) -> None:
    text = told([])
    assert "| `hw` | 2 | 1 | 50 % |" in text
    assert "| `labs/judge.py` | 1 | 0 | 0 % |" in text
    assert "| all | 3 | 1 | 33 % |" in text
    assert "- hw/least.py:2: `return min(a, b)` became `return a`" in text


def test_an_equivalent_counts_neither_way_and_has_its_reason(
    told: Callable[[list[Equivalent]], str],
) -> None:
    known = Equivalent("labs/judge.py", "return min(a, b)", "return min(b, a)", "min has no order")
    text = told([known])
    assert "| all | 2 | 1 | 50 % |" in text
    assert "became `return min(b, a)`: min has no order" in text


def test_an_equivalent_that_is_listed_is_still_a_line_of_the_tree() -> None:
    for known in equivalents():
        lines = map(str.strip, (ROOT / known.path).read_text("utf-8").splitlines())
        assert known.before in lines, f"{known.path} has no line: {known.before}"
