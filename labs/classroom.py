"""`run.py lab grade N --class DIR`: every submission of a class, side by side, and a table."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from hw.files import write_whole
from hw.host import UserError
from labs import report
from labs.crew import Crew, Dismissed
from labs.grading import grade_one
from labs.lab import Lab
from labs.plain import cell, one_line
from labs.report import Report
from labs.submission import ARCHIVES, suffix_of

SUMMARY = "class"
MOST_OF_A_NAME = 80
FEW = 5


@dataclass(frozen=True, slots=True)
class Submission:
    """One student's.  `name` is for people, and that of the folder with the results."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Graded:
    """One student's report."""

    name: str
    report: Report


@dataclass(frozen=True, slots=True)
class Entries:
    """What is in a class's folder: submissions, and what is none."""

    submissions: list[Submission]
    not_understood: list[str]


def entries(lab: Lab, folder: Path, results: Path | None = None) -> Entries:
    """Folders, archives and bare files of the lab's kind, in the order of their names.

    Hidden ones are nobody's, and neither is the folder of the results.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder", "name the folder that holds the submissions")
    kinds = {*ARCHIVES, *(PurePosixPath(name).suffix for name in lab.files)}
    found = [path for path in sorted(folder.iterdir()) if not path.name.startswith((".", "__"))]
    found = [path for path in found if results is None or path.resolve() != results.resolve()]
    chosen = [path for path in found if path.is_dir() or suffix_of(path.name) in kinds]
    if not chosen:
        remedy = "it should hold one folder, archive or file for each student"
        raise UserError(f"there are no submissions in {folder}", remedy)
    others = [one_line(path.name, MOST_OF_A_NAME) for path in found if path not in chosen]
    return Entries(_named(chosen), others)


def _named(paths: list[Path]) -> list[Submission]:
    """Names without endings; with them where two would be one, also for hosts that know no case."""
    stems = [_safe(path.name if path.is_dir() else _stem(path.name)) for path in paths]
    often = Counter(stem.casefold() for stem in stems)
    taken: set[str] = set()
    named = []
    for path, stem in zip(paths, stems, strict=True):
        wish = stem if often[stem.casefold()] == 1 or path.is_dir() else _safe(path.name)
        name, number = wish, 2
        while name.casefold() in taken:
            name, number = f"{wish}-{number}", number + 1
        taken.add(name.casefold())
        named.append(Submission(name, path))
    return named


def _stem(name: str) -> str:
    return name[: len(name) - len(suffix_of(name))]


def _safe(name: str) -> str:
    """Fit for a terminal, and for a folder on any host."""
    shown = "".join("_" if letter in '<>:"/\\|?*' else letter for letter in one_line(name))
    return shown[:MOST_OF_A_NAME].rstrip(". ") or "_"


def grade_class(
    lab: Lab,
    folder: Path,
    seed: int,
    results: Path | None,
    *,
    jobs: int,
    quiet: bool = False,
    crew: Crew | None = None,
) -> tuple[list[Graded], list[str]]:
    """Grades all submissions, `jobs` at a time; each has a folder of its own in `results`.

    Also returns the names of what is no submission.  Raises Dismissed if `crew` is dismissed.
    """
    held = entries(lab, folder, results)

    def one(handed_in: Submission) -> Graded:
        own = results / handed_in.name if results else None
        try:
            told = grade_one(lab, handed_in.path, seed, results=own, crew=crew)
        except Dismissed:
            raise
        except Exception as error:
            told = Report(lab, seed, failure=f"it cannot be graded: {one_line(str(error))}")
        if not quiet:
            print(f"{handed_in.name}: {told.score} of {lab.points}", file=sys.stderr, flush=True)
        return Graded(handed_in.name, told)

    with ThreadPoolExecutor(jobs) as pool:
        graded = list(pool.map(one, held.submissions))
    if results:
        _write(lab, graded, held.not_understood, results)
    return graded, held.not_understood


def table(lab: Lab, graded: list[Graded], not_understood: list[str]) -> str:
    """A line for each student with the cause of what is missing, and one for each check."""
    wide = max(len(one.name) for one in graded)
    lines = [
        f"{one.name:<{wide}} {one.report.score:>4}/{lab.points}  {one.report.cause}".rstrip()
        for one in graded
    ]
    passed = _passed(lab, graded)
    mean = sum(one.report.score for one in graded) / len(graded)
    lines += ["", f"{len(graded)} submissions, mean {mean:.1f} of {lab.points}; passed by:"]
    lines += [f"  {name:<14} {count:>4}" for name, count in passed.items()]
    if not_understood:
        more = ", ..." if len(not_understood) > FEW else ""
        told = ", ".join(not_understood[:FEW]) + more
        lines += ["", f"{len(not_understood)} not understood, and not graded: {told}"]
    return "\n".join(lines)


def to_data(lab: Lab, graded: list[Graded], not_understood: list[str]) -> dict[str, Any]:
    """The same for machines."""
    return {
        "lab": lab.number,
        "seed": graded[0].report.seed,
        "points": lab.points,
        "passed": _passed(lab, graded),
        "students": [
            {"name": one.name, "score": one.report.score, "cause": one.report.cause}
            for one in graded
        ],
        "not_understood": not_understood,
    }


def _passed(lab: Lab, graded: list[Graded]) -> dict[str, int]:
    return {
        check.name: sum(
            verdict.check is check and verdict.passed
            for one in graded
            for verdict in one.report.verdicts
        )
        for check in lab.checks
    }


def _write(lab: Lab, graded: list[Graded], not_understood: list[str], results: Path) -> None:
    """`class.csv` for a spreadsheet, `class.json` for programs."""
    results.mkdir(parents=True, exist_ok=True)
    for one in graded:
        if one.report.failure:
            report.write(one.report, results / one.name)
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["student", "score", "points", *(check.name for check in lab.checks), "cause"])
    for one in graded:
        scores = {v.check.name: v.score for v in one.report.verdicts}
        each = [scores.get(check.name, 0) for check in lab.checks]
        row = [cell(one.name), one.report.score, lab.points, *each, cell(one.report.cause)]
        rows.writerow(row)
    write_whole(results / f"{SUMMARY}.csv", text.getvalue().encode())
    told = json.dumps(to_data(lab, graded, not_understood), indent=2)
    write_whole(results / f"{SUMMARY}.json", told.encode())
