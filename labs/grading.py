"""One grading from beginning to end.  It always ends in a report."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from hw.host import UserError
from labs import progress, report, written
from labs.crew import Crew, Dismissed
from labs.exam import seed_held
from labs.judge import Verdict, grade
from labs.lab import Lab
from labs.plain import plain
from labs.progress import USUAL_SEED
from labs.report import Report
from labs.submission import laid_out


def grade_one(
    lab: Lab,
    handed_in: Path,
    seed: int,
    only: str = "",
    results: Path | None = None,
    *,
    tell: Callable[[Verdict], None] = lambda _: None,
    jobs: int = 1,
    crew: Crew | None = None,
) -> Report:
    """The report on one submission; it is also written into the folder `results`.

    `jobs` checks run at a time.  Raises UserError for what the person who grades can mend, and
    Dismissed if `crew` is dismissed.  Anything else that breaks stands in the report, which then
    gives no points.
    """
    told = Report(lab, seed, hints=progress.read(handed_in).hints_of(lab.number))
    keep = results or _failures_of(handed_in)
    try:
        with laid_out(handed_in, lab, crew) as handed:
            told.seed = _seed_answered(lab, handed.tree, seed)
            for verdict in grade(
                lab,
                handed.tree,
                told.seed,
                only,
                keep=keep,
                jobs=jobs,
                crew=crew,
                problem=handed.problem,
            ):
                told.verdicts.append(verdict)
                tell(verdict)
    except (UserError, Dismissed):
        raise
    except Exception as error:
        told.failure = plain(f"the grader itself failed, so there are no points: {error!r}")
    if results:
        report.write(told, results)
    return told


def _failures_of(handed_in: Path) -> Path | None:
    """Where a tree of ours keeps the traces of what failed; nothing is written elsewhere."""
    is_ours = (handed_in / "run.py").is_file()
    return handed_in / progress.FOLDER / progress.FAILURES if is_ours else None


def _seed_answered(lab: Lab, tree: Path, seed: int) -> int:
    """The questions of a sheet are those of the seed that it names, where they can be made."""
    sheet = tree / lab.answers
    if not lab.answers or seed_held(lab) is not None or not sheet.is_file():
        return seed
    named = written.read(sheet).seed
    return seed if named is None else named


def usual_jobs() -> int:
    """One for each core of the host."""
    return os.cpu_count() or 1


def seed_for(lab: Lab, wish: int | None) -> int:
    """The seed of a grading; a student's tree has the questions of one only."""
    held = seed_held(lab)
    if held is None:
        return USUAL_SEED if wish is None else wish
    if wish not in (None, held):
        remedy = f"leave --seed away: it holds those of seed {held}"
        raise UserError("a student's tree cannot make other questions", remedy)
    return held
