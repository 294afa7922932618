"""The judge: asks a child process that holds the student's code, and believes memory.

It never imports what a student wrote.  A verdict needs the answer of the question's own nonce
and the child's physical memory, which the judge reads through a shared mapping.  Budgets are
lines of Python; the clock is only a watchdog for a child that hangs outside Python.

What a determined student could still fake: code in the child may read the judge's files, as
both are one user's.  So an instructor grades again with another seed, in an own whole tree.
"""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from hw.host import UserError
from labs.lab import ROOT, Check, Lab

MEMORY_WORDS = 16 * 512
MEMORY_BYTES = MEMORY_WORDS * 8
WATCHDOG_SECONDS = 120
VISIBLE = "visible.json"
"""The questions of a student's tree, with the answers written down."""


@dataclass(slots=True)
class Question:
    """A memory, an access, and what should come of both."""

    words: dict[int, int]
    cr3: int
    va: int
    access: int
    answer: dict[str, Any] = field(default_factory=dict)
    after: dict[int, int] = field(default_factory=dict)
    nonce: int = 0

    def __str__(self) -> str:
        kind = {0: "read", 2: "write", 16: "fetch"}[self.access]
        return f"{kind} of {self.va:#x}, CR3 {self.cr3:#x}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check came to; `found` is empty when it passed."""

    check: Check
    found: str = ""

    @property
    def passed(self) -> bool:
        return not self.found

    @property
    def score(self) -> int:
        return self.check.points if self.passed else 0


def to_data(question: Question) -> dict[str, Any]:
    """As JSON can hold it."""
    return asdict(question)


def from_data(told: dict[str, Any]) -> Question:
    """The inverse of `to_data`, also after JSON has made strings of the slots."""
    told = dict(told)
    for name in ("words", "after"):
        told[name] = {int(slot): word for slot, word in told[name].items()}
    return Question(**told)


def grade(lab: Lab, tree: Path, seed: int, only: str = "") -> Iterator[Verdict]:
    """One verdict per check, whatever the student's code does."""
    chosen = [check for check in lab.checks if only in check.name]
    if not chosen:
        known = ", ".join(check.name for check in lab.checks)
        raise UserError(f"lab {lab.number} has no check '{only}'", f"choose one of: {known}")
    (name,) = set(lab.parts.values())
    for check in chosen:
        if (tree / name).is_file():
            yield Verdict(check, _ask(tree / name, _questions(lab, check, seed), check))
        else:
            yield Verdict(check, f"the file {name} is not there: put it back")


def _questions(lab: Lab, check: Check, seed: int) -> list[Question]:
    visible = lab.folder / VISIBLE
    if visible.is_file():
        rows = json.loads(visible.read_text("utf-8"))[check.name]
        return [from_data(row) for row in rows]
    from labs.walks import questions

    return questions(check.name, seed)


def _ask(student: Path, questions: list[Question], check: Check) -> str:
    """What is wrong with the child's answers, in words; nothing if nothing is."""
    random = Random()
    with tempfile.TemporaryDirectory(prefix="vantage-lab-") as name:
        folder = Path(name)
        for question in questions:
            question.nonce = random.getrandbits(63)
        asked = [{n: getattr(q, n) for n in ("nonce", "cr3", "va", "access")} for q in questions]
        (folder / "questions").write_text("\n".join(map(json.dumps, asked)), "utf-8")
        (folder / "answers").touch()
        (folder / "memory").write_bytes(bytes(MEMORY_BYTES * len(questions)))
        with open(folder / "memory", "r+b") as file, mmap.mmap(file.fileno(), 0) as shared:
            ended = _run_child(student, folder, shared, questions)
            if os.fstat(file.fileno()).st_size != len(shared):
                return "the code changed the size of the memory that it was lent"
            return _compare(shared, questions, _answers(folder / "answers"), check, ended)


def _run_child(student: Path, folder: Path, shared: mmap.mmap, questions: list[Question]) -> str:
    """Lets the child answer; returns how it ended."""
    for number, question in enumerate(questions):
        for slot, word in question.words.items():
            at = number * MEMORY_BYTES + slot * 8
            shared[at : at + 8] = word.to_bytes(8, "little")
    files = [str(folder / name) for name in ("questions", "answers", "memory")]
    command = [sys.executable, "-I", str(ROOT / "labs" / "child.py"), str(student.resolve())]
    quiet = subprocess.DEVNULL
    try:
        done = subprocess.run(
            [*command, *files, str(MEMORY_BYTES)], cwd=folder, timeout=WATCHDOG_SECONDS,
            stdin=quiet, stdout=quiet, stderr=quiet, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"it hung for {WATCHDOG_SECONDS} s"
    return f"its process ended with status {done.returncode}"


def _answers(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if not path.is_file():
        return found
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            answer = json.loads(line)
        except ValueError:
            break
        found.append(answer if isinstance(answer, dict) else {})
    return found


def _compare(
    shared: mmap.mmap,
    questions: list[Question],
    answers: list[dict[str, Any]],
    check: Check,
    ended: str,
) -> str:
    for number, question in enumerate(questions):
        answer = answers[number] if number < len(answers) else {}
        if answer.get("nonce") != question.nonce:
            return f"no answer to the {question}: {ended}"
        if "broken" in answer:
            return f"the {question}: {answer['broken']}"
        start = number * MEMORY_BYTES
        after = memoryview(shared[start : start + MEMORY_BYTES]).cast("Q")
        found = _difference(question, answer, after, check.looks_at)
        if found:
            return f"the {question}: {found}"
    return ""


def _difference(
    question: Question, answer: dict[str, Any], after: memoryview, looks_at: tuple[str, ...]
) -> str:
    for aspect in looks_at:
        if aspect == "memory":
            for slot, word in enumerate(after.tolist()):
                expected = question.after.get(slot, 0)
                if word != expected:
                    return f"the word at {slot * 8:#x} should be {expected:#x}, is {word:#x}"
        elif answer.get(aspect) != question.answer.get(aspect):
            want, got = question.answer.get(aspect), answer.get(aspect)
            return f"{aspect} should be {_shown(want)}, is {_shown(got)}"
    return ""


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return f"{value:#x}" if isinstance(value, int) else "absent"
