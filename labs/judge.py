"""The judge: asks a child process that holds the student's code, and believes what it sees.

It never imports what a student wrote.  It talks to the child in lines of JSON over two pipes:

    judge   {"overlay": {module: file}, "answering": name}        once
    judge   {"nonce": n, "memory": file, "trace": file, ...}      a question
    child   {"nonce": n, "stop": name, "roots": {...}, "record": r}   perhaps, and then waits ...
    judge   "go"                                                  ... while memory is looked at
    child   {"nonce": n, "answer": {...}} or {"nonce": n, "broken": why}

Budgets are lines of Python and modelled cycles; the clock is only a watchdog for a child that
hangs outside Python.

What a determined student could still fake: code in the child knows the nonce, and may read the
judge's files, as both are one user's.  It can then answer like the reference.  So an instructor
grades again with another seed, in an own whole tree: the expected values of that seed are in no
file, and making them takes the very code that was asked for.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import IO, Any

from hw.host import UserError
from labs import written
from labs.evidence import END, Evidence, Expectation, shown
from labs.lab import ROOT, Check, Lab
from labs.workshop import Workshop
from labs.written import Sheet

WATCHDOG_SECONDS = 120
VISIBLE = "visible.json"
"""The questions of a student's tree, with the answers written down."""


@dataclass(slots=True)
class Question:
    """What the child is told, the memory that it is lent, and what should come of both."""

    about: str
    told: dict[str, Any]
    expected: list[Expectation]
    memory_bytes: int = 1 << 16
    words: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check came to; `found` is empty when it passed.

    `right` of `asked` questions were answered well.  `moment` is a trace and the record in it
    at which it went wrong.
    """

    check: Check
    found: str = ""
    right: int = 0
    asked: int = 0
    moment: tuple[Path, int] | None = None

    @property
    def passed(self) -> bool:
        return not self.found

    @property
    def score(self) -> int:
        if self.passed:
            return self.check.points
        if not self.check.partial or not self.asked:
            return 0
        return self.check.points * self.right // self.asked


def to_data(question: Question) -> dict[str, Any]:
    """As JSON can hold it."""
    return asdict(question)


def from_data(told: dict[str, Any]) -> Question:
    """The inverse of `to_data`, also after JSON has made strings of the slots."""
    expected = [Expectation(**row) for row in told["expected"]]
    words = {int(slot): word for slot, word in told["words"].items()}
    return Question(**{**told, "expected": expected, "words": words})


def grade(
    lab: Lab, tree: Path, seed: int, only: str = "", keep: Path | None = None, jobs: int = 1
) -> Iterator[Verdict]:
    """One verdict per check, whatever the student's code does; `jobs` checks at a time.

    Traces of what failed go into the folder `keep`.  A check whose prerequisites failed is not
    asked.
    """
    chosen = [check for check in lab.checks if only in check.name]
    if not chosen:
        known = ", ".join(check.name for check in lab.checks)
        raise UserError(f"lab {lab.number} has no check '{only}'", f"choose one of: {known}")
    missing = [name for name in lab.files if not (tree / name).is_file()]
    if missing:
        found = f"the file {missing[0]} is not there: put it back"
        yield from (Verdict(check, found) for check in chosen)
        return
    with _work_folder() as folder, ThreadPoolExecutor(jobs) as pool:
        workshop = Workshop(lab, tree, folder)
        asked: dict[str, Future[Verdict]] = {}
        for check in chosen:
            first = {name: asked[name] for name in check.needs if name in asked}
            questions = _questions(lab, check, seed)
            asked[check.name] = pool.submit(_ask, workshop, check, questions, seed, first, keep)
        for verdict in asked.values():
            yield verdict.result()


def _ask(
    workshop: Workshop,
    check: Check,
    questions: list[Question],
    seed: int,
    first: dict[str, Future[Verdict]],
    keep: Path | None,
) -> Verdict:
    """What one check comes to, after those that it needs: they were begun before it."""
    lab = workshop.lab
    waits = [name for name, verdict in first.items() if not verdict.result().passed]
    if waits:
        return Verdict(check, f"not asked: '{waits[0]}' comes first")
    if lab.answers:
        return _mark(check, questions, written.read(workshop.tree / lab.answers), seed)
    return _judge(workshop, check, questions, keep)


def _questions(lab: Lab, check: Check, seed: int) -> list[Question]:
    if seed_held(lab) is None:
        return lab.questions(check, seed)
    rows = json.loads((lab.folder / VISIBLE).read_text("utf-8"))["checks"][check.name]
    return [from_data(row) for row in rows]


def seed_held(lab: Lab) -> int | None:
    """The seed of the questions that a student's tree holds; None in an instructor's."""
    visible = lab.folder / VISIBLE
    return int(json.loads(visible.read_text("utf-8"))["seed"]) if visible.is_file() else None


def _mark(check: Check, questions: list[Question], sheet: Sheet, seed: int) -> Verdict:
    """The blanks of a sheet.  A verdict does not tell what would be right."""
    if sheet.seed != seed:
        found = f"the sheet says seed = {sheet.seed}, and the questions are those of seed {seed}"
        return Verdict(check, found)
    given = [sheet.answers.get(question.told["key"]) for question in questions]
    wrong = [
        f"{question.told['key']} is not {shown(said)}"
        if said is not None
        else f"{question.told['key']} has no answer"
        for question, said in zip(questions, given, strict=True)
        if said != question.expected[0].value
    ]
    return Verdict(check, "; ".join(wrong), len(questions) - len(wrong), len(questions))


def _judge(
    workshop: Workshop, check: Check, questions: list[Question], keep: Path | None
) -> Verdict:
    """Asks until the first wrong answer; all questions, where each has its share of the points."""
    random, lab, tree = Random(), workshop.lab, workshop.tree
    found, right, moment = "", 0, None
    for question in questions:
        name = question.told.get("program", "")
        if built := workshop.built(name):
            question.told["built"] = str(built)
        elif name in lab.programs:
            return Verdict(check, workshop.wrong, 0, len(questions))
    with _work_folder() as folder, Child(lab, tree, folder) as child:
        for question in questions:
            interview = Interview(child, question, random.getrandbits(63), folder)
            wrong = interview.hold()
            right += not wrong
            if wrong and not found:
                found = f"{question.about}: {wrong}"
                moment = interview.keep(keep, f"lab{lab.number}-{check.name}")
            if wrong and not check.partial:
                break
    return Verdict(check, found, right, len(questions), moment)


@contextmanager
def _work_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vantage-lab-", ignore_cleanup_errors=True) as name:
        yield Path(name)


class Child:
    """The process that holds the student's code; whatever becomes of it, this goes on."""

    def __init__(self, lab: Lab, tree: Path, folder: Path) -> None:
        self.ended = ""
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(ROOT / "labs" / "child.py")],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._watchdog = threading.Timer(WATCHDOG_SECONDS, self._give_up)
        self._watchdog.daemon = True
        self._watchdog.start()
        overlay = {
            name.removesuffix(".py").replace("/", "."): str((tree / name).resolve())
            for name in set(lab.parts.values())
            if name.endswith(".py")
        }
        self.say({"overlay": overlay, "answering": lab.answering})

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            _close(pipe)

    def _give_up(self) -> None:
        self.ended = f"it hung for {WATCHDOG_SECONDS} s"
        self._process.kill()

    def say(self, line: dict[str, Any] | str) -> None:
        """Nobody may be there to hear it: then nothing will be answered."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
        except OSError:
            pass

    def hear(self) -> dict[str, Any]:
        """The next line, or an empty one if there will be none."""
        assert self._process.stdout is not None
        try:
            line = json.loads(self._process.stdout.readline())
        except ValueError:
            return {}
        return line if isinstance(line, dict) else {}

    def how_it_ended(self) -> str:
        self._process.kill() if self._still_running() else None
        return self.ended or f"its process ended with status {self._process.wait()}"

    def _still_running(self) -> bool:
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            return True
        return False


def _close(pipe: IO[str] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except OSError:
        pass


class Interview:
    """One question, from the lending of memory to the comparison."""

    def __init__(self, child: Child, question: Question, nonce: int, folder: Path) -> None:
        self.child, self.question, self.nonce = child, question, nonce
        self.memory, self.trace = folder / "memory", folder / "run.vtrace"
        self.record = 0
        self.earlier: dict[tuple[str, str, int], int | None] = {}

    def hold(self) -> str:
        """What is wrong with the child's answer, in words; nothing if nothing is."""
        size = self.question.memory_bytes
        self.memory.write_bytes(b"")
        os.truncate(self.memory, size)
        self.trace.unlink(missing_ok=True)
        with open(self.memory, "r+b") as file, mmap.mmap(file.fileno(), size) as shared:
            for slot, word in self.question.words.items():
                shared[slot * 8 : slot * 8 + 8] = word.to_bytes(8, "little")
            self.child.say(
                {
                    **self.question.told,
                    "nonce": self.nonce,
                    "memory": str(self.memory),
                    "trace": str(self.trace),
                }
            )
            found = self._listen(memoryview(shared).toreadonly())
            if os.fstat(file.fileno()).st_size != size:
                return "the code changed the size of the memory that it was lent"
            return found

    def _listen(self, memory: memoryview) -> str:
        """Looks at every stop, and at the end; a stop that was not made is a finding, too."""
        waited = [wanted.at for wanted in self.question.expected]
        with memory:
            while True:
                line = self.child.hear()
                if line.get("nonce") != self.nonce:
                    return f"no answer: {self.child.how_it_ended()}"
                if "broken" in line:
                    self.record = _whole(line.get("record"))
                    return str(line["broken"])
                stop = line.get("stop", END)
                self.record = _whole(line.get("record"))
                waited = [name for name in waited if name != stop]
                found = self._look(memory, line, str(stop))
                if stop == END and waited:
                    return f"the stop '{waited[0]}' should be made, is not{_ending(line)}"
                if found or stop == END:
                    return found
                self.child.say("go")

    def _look(self, memory: memoryview, line: dict[str, Any], stop: str) -> str:
        roots = {
            str(name): root
            for name, root in dict(line.get("roots") or {}).items()
            if isinstance(root, int)
        }
        with memory[:] as view:
            answer = line.get("answer") or {}
            evidence = Evidence(view, self.nonce, roots, answer, self.trace, self.earlier)
            evidence.remember(stop, self.question.expected)
            for wanted in self.question.expected:
                if wanted.at == stop:
                    found = evidence.differs(wanted)
                    if found and stop == END:
                        self.record = evidence.moment(wanted)
                        return found
                    if found:
                        return f"at the stop '{stop}', {found}"
        return ""

    def keep(self, folder: Path | None, name: str) -> tuple[Path, int] | None:
        """The moment at which it went wrong, where a trace was recorded."""
        if folder is None or not self.trace.is_file() or not self.trace.stat().st_size:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / f"{name}.vtrace"
        shutil.copy(self.trace, kept)
        return kept, self.record


def _ending(line: dict[str, Any]) -> str:
    """How the program ended, where it is known."""
    said = dict(line.get("answer") or {})
    status = _whole(said.get("status"))
    printed = str(said.get("output", "")).strip().rpartition("\n")[2]
    how = f"signal {status & 127}" if status & 127 else f"status {status >> 8}"
    return f": the program ended with {how}" + (f", and said: {printed}" if printed else "")


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
