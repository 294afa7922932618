"""The judge: asks a child process that holds the student's code, and believes what it sees.

It never imports what a student wrote: `labs.interview` says how it asks.  Budgets are lines of
Python and modelled cycles; the clock is only a watchdog for a child that hangs outside Python.

What a determined student could still fake: code in the child knows the nonce, and may read the
judge's files, as both are one user's.  It can then answer like the reference.  So an instructor
grades again with another seed, in an own whole tree: the expected values of that seed are in no
file, and making them takes the very code that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random

from hw.host import UserError
from labs import exam, written
from labs.evidence import shown
from labs.interview import Child, Interview, work_folder
from labs.lab import Check, Lab
from labs.question import Question
from labs.workshop import Workshop
from labs.written import Sheet


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
    with work_folder() as folder, ThreadPoolExecutor(jobs) as pool:
        workshop = Workshop(lab, tree, folder)
        asked: dict[str, Future[Verdict]] = {}
        for check in chosen:
            first = {name: asked[name] for name in check.needs if name in asked}
            questions = exam.questions(lab, check, seed)
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
    with work_folder() as folder, Child(lab, tree, folder) as child:
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
