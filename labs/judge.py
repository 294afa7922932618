"""The judge: asks a child process that holds the student's code, and believes what it sees.

It never imports what a student wrote: `labs.interview` says how it asks.  Budgets are lines and
calls of Python, and modelled cycles.  The host's clock is the last resort, for a child that hangs
outside Python.

What a determined student could still fake: code in the child knows the nonce, and may read the
judge's files, as both are one user's.  It can then answer like the reference.  So an instructor
grades again with another seed, in a whole tree: the expected values of that seed are in no file,
and making them takes the very code that was asked for.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from hw.files import scratch_folder
from hw.host import UserError
from labs import exam, written
from labs.crew import Crew
from labs.evidence import shown
from labs.interview import Child, Interview, child_of
from labs.lab import Check, Lab
from labs.plain import plain
from labs.question import Question
from labs.workshop import Workshop
from labs.written import Sheet

BROKEN = "the file cannot be imported"
"""What the child says of any question if that is so."""
WAITS = re.compile(r"lab \d+, part (?P<part>\w+), waits to be written in \S+")
"""What an exported tree says in the place of a part; a report says it once for each part."""
NOT_ASKED = "not asked"
ROOM_BYTES = 64 << 20
"""Of the disk, for the memory and the trace of one child."""
MOST_OVER = 3
"""Checks that may run out of large budgets, which take up to 10 s each."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check came to; `found` is empty when it passed, `about` is what was asked then.

    `right` of `asked` questions were answered well.  `moment` is a trace and the record in it
    at which it went wrong.  `over`: the student's code ran out of a large budget; `hung`: it came
    to no end at all.  `printed` is what that code printed while it was asked.
    """

    check: Check
    found: str = ""
    about: str = ""
    right: int = 0
    asked: int = 0
    moment: tuple[Path, int] | None = None
    over: bool = False
    hung: bool = False
    printed: str = ""

    @property
    def passed(self) -> bool:
        return not self.found

    @property
    def told(self) -> str:
        """What was asked and found, in words."""
        return f"{self.about}: {self.found}" if self.about else self.found

    @property
    def score(self) -> int:
        if self.passed:
            return self.check.points
        if not self.check.partial or not self.asked:
            return 0
        return self.check.points * self.right // self.asked


@dataclass(slots=True)
class Sitting:
    """One grading: what was handed in, and who works on it.  Traces of failures go to `keep`."""

    lab: Lab
    seed: int
    workshop: Workshop
    crew: Crew
    keep: Path | None


def grade(
    lab: Lab,
    tree: Path,
    seed: int,
    only: str = "",
    *,
    keep: Path | None = None,
    jobs: int = 1,
    crew: Crew | None = None,
    problem: str = "",
) -> Iterator[Verdict]:
    """One verdict for each check, in order, whatever the student's code does.

    With a `problem` nothing is asked, and each check says so.  `jobs` checks run at a time.  Traces
    of what failed go into the folder `keep`.  A check is not asked if one that it needs has failed,
    nor after a check that hung, nor after MOST_OVER that ran out of large budgets: so a grading
    ends within a minute.  Raises Dismissed when `crew` is dismissed.
    """
    chosen = [check for check in lab.checks if only in check.name]
    if not chosen:
        known = ", ".join(check.name for check in lab.checks)
        raise UserError(f"lab {lab.number} has no check '{only}'", f"choose one of: {known}")
    missing = [name for name in lab.files if not (tree / name).is_file()]
    if missing and not problem:
        problem = f"the file {missing[0]} is not there: put it back"
    if problem:
        yield from (Verdict(check, plain(problem)) for check in chosen)
        return
    crew = crew or Crew()
    with scratch_folder("lab") as folder, ThreadPoolExecutor(jobs) as pool:
        _need_room(folder, jobs)
        sitting = Sitting(lab, seed, Workshop(lab, tree, folder, crew), crew, keep)
        asked: dict[str, Future[Verdict]] = {}
        for check in chosen:
            asked[check.name] = pool.submit(_ask, sitting, check, dict(asked))
        yield from _in_order(list(asked.values()))


def _need_room(folder: Path, jobs: int) -> None:
    """A disk that gets full in the middle would look like a mistake of the student's."""
    free, needed = shutil.disk_usage(folder).free, jobs * ROOM_BYTES
    if free < needed:
        told = f"only {free >> 20} MiB are free in {folder.parent}"
        raise UserError(told, f"make room for {needed >> 20} MiB, or name another place in TMPDIR")


def _in_order(asked: list[Future[Verdict]]) -> Iterator[Verdict]:
    """What was asked too late is dropped: so the verdicts are the same with any number of jobs."""
    enough, told = Enough(), set[str]()
    for future in asked:
        verdict = future.result()
        waits = WAITS.search(verdict.found)
        if enough.why:
            verdict = _not_asked(verdict.check, enough.why)
        elif waits and waits["part"] in told:
            verdict = _not_asked(verdict.check, f"part '{waits['part']}' comes first")
        elif waits:
            told.add(waits["part"])
        enough.add(verdict)
        yield verdict


@dataclass(slots=True)
class Enough:
    """Decides when code has shown that it comes to no end; `why` says so, or is empty."""

    why: str = ""
    over: int = 0

    def add(self, verdict: Verdict) -> None:
        """The next verdict, in the order of the checks."""
        self.over += verdict.over
        if not self.why and (verdict.hung or self.over >= MOST_OVER):
            self.why = f"'{verdict.check.name}' came to no end"


def _not_asked(check: Check, why: str) -> Verdict:
    return Verdict(check, f"{NOT_ASKED}: {why}")


def _ask(sitting: Sitting, check: Check, before: dict[str, Future[Verdict]]) -> Verdict:
    """What one check comes to; all of `before` were begun earlier."""
    sitting.crew.check()
    enough = Enough()
    for future in before.values():
        if future.done():
            enough.add(future.result())
    if enough.why:
        return _not_asked(check, enough.why)
    first = [name for name in check.needs if name in before]
    waits = [name for name in first if not before[name].result().passed]
    if waits:
        return _not_asked(check, f"'{waits[0]}' comes first")
    lab, questions = sitting.lab, exam.questions(sitting.lab, check, sitting.seed)
    if lab.answers:
        sheet = written.read(sitting.workshop.tree / lab.answers)
        verdict = _mark(check, questions, sheet, sitting.seed)
    else:
        verdict = _judge(sitting, check, questions)
    return replace(verdict, found=plain(verdict.found), printed=plain(verdict.printed))


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
    return Verdict(check, "; ".join(wrong), right=len(questions) - len(wrong), asked=len(questions))


def _judge(sitting: Sitting, check: Check, questions: list[Question]) -> Verdict:
    """Builds what the questions need, and asks them of a new child."""
    lab, workshop = sitting.lab, sitting.workshop
    for question in questions:
        name = question.told.get("program", "")
        if built := workshop.built(name):
            question.told["built"] = str(built)
        elif name in lab.programs:
            return Verdict(check, workshop.wrong, asked=len(questions))
    with (
        scratch_folder("lab") as folder,
        child_of(lab, workshop.tree, folder, sitting.crew) as child,
    ):
        return _interviews(sitting, check, questions, child)


def _interviews(sitting: Sitting, check: Check, questions: list[Question], child: Child) -> Verdict:
    """Asks until the first wrong answer; all questions, where each has its share of the points."""
    random, found, about, right, moment = Random(), "", "", 0, None
    for question in questions:
        interview = Interview(child, question, random.getrandbits(63))
        wrong = interview.hold()
        right += not wrong
        if wrong and not found:
            found, about = wrong, "" if wrong.startswith(BROKEN) else question.about
            if not WAITS.search(wrong):
                moment = interview.keep(sitting.keep, f"lab{sitting.lab.number}-{check.name}")
        if wrong and (child.hung or child.over or not check.partial):
            break
    return Verdict(
        check,
        found,
        about,
        right=right,
        asked=len(questions),
        moment=moment,
        over=child.over and any("program" in question.told for question in questions),
        hung=child.hung,
        printed=child.printed(),
    )
