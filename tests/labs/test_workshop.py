"""A student's C becomes programs: our compiler builds them, or the student submits built ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from labs import workshop
from labs.crew import Crew
from labs.export import starter
from labs.judge import grade
from labs.lab import Lab, find_lab
from labs.question import Question
from labs.workshop import Workshop
from userland.programs import BIN

SOURCE = Path("userland/lib/lock.c")
REGION = """\
int twice(int number) {
    /* BEGIN SOLUTION lab1.twice */
    return number * 2;
    /* END SOLUTION lab1.twice */
    /* PROMPT lab1.twice: double it. */
}
"""


@pytest.fixture
def lab() -> Lab:
    return replace(find_lab("1"), parts={"lock": SOURCE.as_posix()}, programs=("hello",))


@pytest.fixture
def shop(lab: Lab, tmp_path: Path) -> Workshop:
    tree, folder = tmp_path / "tree", tmp_path / "out"
    (tree / SOURCE).parent.mkdir(parents=True)
    (tree / SOURCE).write_bytes((BIN.parent.parent / SOURCE).read_bytes())
    return Workshop(lab, tree, folder, Crew())


def test_our_sources_from_another_tree_give_our_bytes(shop: Workshop) -> None:
    made = shop.built("hello")
    assert made is not None
    assert made.read_bytes() == (BIN / "hello").read_bytes()
    assert shop.built("cow") is None
    assert shop.wrong == ""


def test_a_mistake_is_reported_with_the_compilers_message_file_and_line(
    shop: Workshop,
) -> None:
    file = shop.tree / SOURCE
    file.write_text(file.read_text("utf-8").replace("int free = 0;", "int free = 0"), "utf-8")
    line = file.read_text("utf-8").splitlines().index("    int free = 0") + 1
    assert shop.built("hello") is None
    assert f"does not compile: {SOURCE}:{line}:17: error: expected ';'" in shop.wrong
    assert str(shop.tree) not in shop.wrong


def test_unused_code_is_no_mistake(shop: Workshop) -> None:
    file = shop.tree / SOURCE
    more = "static int half(int number, int unused) { int idle; return number / 2; }\n"
    file.write_text(file.read_text("utf-8") + more, "utf-8")
    assert shop.built("hello")


def test_without_a_compiler_a_submitted_program_counts(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workshop, "has_compiler", lambda: False)
    own = shop.tree / "userland/bin/hello"
    own.parent.mkdir()
    own.write_bytes(b"mine")
    assert shop.built("hello") == own


def test_without_compiler_and_program_the_verdict_says_how_to_get_either(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workshop, "has_compiler", lambda: False)
    monkeypatch.setattr(workshop, "fetch_compiler", lambda: "there is no network")
    assert shop.built("hello") is None
    assert "no C compiler here (there is no network)" in shop.wrong
    assert "run.py build hello" in shop.wrong


def test_a_region_in_c_becomes_its_prompt_and_a_call_that_says_what_waits(lab: Lab) -> None:
    parts = {"twice": "userland/lib/twice.c"}
    text = starter(REGION, replace(lab, parts=parts))
    assert "number * 2" not in text
    assert "/* PROMPT lab1.twice: double it. */" in text
    sentence = "lab 1, part twice, waits to be written in userland/lib/twice.c"
    assert f'    unwritten("{sentence}");\n' in text
    other = starter(REGION, replace(lab, number=2, parts=parts))
    assert [line for line in other.splitlines() if line] == [
        *("int twice(int number) {", "    return number * 2;", "}")
    ]
    assert len(other.splitlines()) == len(REGION.splitlines())


def test_a_program_says_which_part_waits_before_anything_else_works(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = shop.tree / SOURCE
    sentence = "lab 1, part lock, waits to be written in userland/lib/lock.c"
    stop = f'_Noreturn void unwritten(const char *);\n    unwritten("{sentence}");\n    int free'
    file.write_text(file.read_text("utf-8").replace("int free", stop, 1), "utf-8")
    shop.lab = replace(shop.lab, answering="system")
    told = {"program": "hello", "machine": {"ram_mib": 16}}
    question = Question("hello", told, [], memory_bytes=16 << 20)
    monkeypatch.setattr("labs.exam.questions", lambda *_: [question])
    (verdict,) = grade(shop.lab, shop.tree, 1, shop.lab.checks[0].name)
    assert verdict.told == f"hello: NotImplementedError: {sentence}"
