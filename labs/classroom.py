"""`run.py lab grade N --class DIR`: every submission of a class, side by side, and a table."""

from __future__ import annotations

import csv
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.host import UserError
from labs import report
from labs.grading import grade_one
from labs.lab import Lab
from labs.report import Report

SUMMARY = "class"


@dataclass(frozen=True, slots=True)
class Graded:
    """One student's report; `name` is that of the folder or the zip."""

    name: str
    report: Report

    @property
    def first_failure(self) -> str:
        """The check that failed first, or what broke."""
        failed = [v.check.name for v in self.report.verdicts if not v.passed]
        return self.report.failure or (failed[0] if failed else "")


def submissions(folder: Path) -> list[Path]:
    """Folders and zips, in the order of their names; hidden ones are not somebody's."""
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder", "name the folder that holds the submissions")
    found = [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and (path.is_dir() or path.suffix == ".zip")
    ]
    if not found:
        remedy = "it should hold one folder or one .zip for each student"
        raise UserError(f"there are no submissions in {folder}", remedy)
    return found


def grade_class(
    lab: Lab, folder: Path, seed: int, results: Path | None, jobs: int, quiet: bool = False
) -> list[Graded]:
    """Grades all submissions, `jobs` at a time; each has a folder of its own in `results`."""

    def one(path: Path) -> Graded:
        name = path.name.removesuffix(".zip")
        own = results / name if results else None
        try:
            told = grade_one(lab, path, seed, results=own)
        except Exception as error:
            told = Report(lab, seed, failure=f"it cannot be graded: {error}")
        if not quiet:
            print(f"{name}: {told.score} of {lab.points}", file=sys.stderr, flush=True)
        return Graded(name, told)

    with ThreadPoolExecutor(jobs) as pool:
        graded = list(pool.map(one, submissions(folder)))
    if results:
        _write(lab, graded, results)
    return graded


def table(lab: Lab, graded: list[Graded]) -> str:
    """A line for each student, and one for each check: how many passed it."""
    wide = max(len(one.name) for one in graded)
    lines = [
        f"{one.name:<{wide}} {one.report.score:>4}/{lab.points}  {one.first_failure}".rstrip()
        for one in graded
    ]
    passed = _passed(lab, graded)
    mean = sum(one.report.score for one in graded) / len(graded)
    lines += ["", f"{len(graded)} submissions, mean {mean:.1f} of {lab.points}; passed by:"]
    lines += [f"  {name:<14} {count:>4}" for name, count in passed.items()]
    return "\n".join(lines)


def to_data(lab: Lab, graded: list[Graded]) -> dict[str, Any]:
    """The same for machines."""
    return {
        "lab": lab.number,
        "seed": graded[0].report.seed,
        "points": lab.points,
        "passed": _passed(lab, graded),
        "students": [
            {"name": one.name, "score": one.report.score, "first_failure": one.first_failure}
            for one in graded
        ],
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


def _write(lab: Lab, graded: list[Graded], results: Path) -> None:
    """`class.csv` for a spreadsheet, `class.json` for programs."""
    results.mkdir(parents=True, exist_ok=True)
    for one in graded:
        if not (results / one.name / "results.json").exists():
            report.write(one.report, results / one.name)
    with open(results / f"{SUMMARY}.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["student", "score", "points", *(check.name for check in lab.checks)])
        for one in graded:
            scores = {v.check.name: v.score for v in one.report.verdicts}
            each = [scores.get(check.name, 0) for check in lab.checks]
            rows.writerow([one.name, one.report.score, lab.points, *each])
    told = json.dumps(to_data(lab, graded), indent=2)
    (results / f"{SUMMARY}.json").write_text(told, "utf-8")
