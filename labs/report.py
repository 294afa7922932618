"""One grading, told in four ways: a terminal's lines, Gradescope's JSON, JUnit and Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from hw.files import write_whole
from labs.judge import NOT_ASKED, Verdict
from labs.lab import Lab
from labs.plain import command, one_line

GREEN, RED, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"
MOST_PRINTED = 8
"""Lines of what a student's code printed."""
CAUSE = 160
"""The most characters of the cause in a table."""


@dataclass(slots=True)
class Report:
    """All verdicts of one grading; `failure` says why the grader itself broke, if it did.

    `hints` counts those that the student took.
    """

    lab: Lab
    seed: int
    verdicts: list[Verdict] = field(default_factory=list)
    failure: str = ""
    hints: int = 0

    @property
    def score(self) -> int:
        """A grader that failed gives no points."""
        return 0 if self.failure else sum(verdict.score for verdict in self.verdicts)

    @property
    def points(self) -> int:
        return sum(verdict.check.points for verdict in self.verdicts)

    @property
    def cause(self) -> str:
        """In one line, why there are not all points: what broke, or the first check that failed."""
        failed = [v for v in self.verdicts if not v.passed and not v.found.startswith(NOT_ASKED)]
        if self.failure or not failed:
            return one_line(self.failure, CAUSE)
        first = failed[0]
        of_all = len(failed) == len(self.verdicts) and len({v.found for v in failed}) == 1
        return one_line(first.found if of_all else f"{first.check.name}: {first.found}", CAUSE)

    @property
    def passed(self) -> bool:
        return not self.failure and all(verdict.passed for verdict in self.verdicts)


def line(lab: Lab, verdict: Verdict, colour: bool, where: Sequence[object] = ()) -> str:
    """One verdict for a terminal; a failure says what, why, and how to see it again.

    `where` are the words of the command that lead to what was graded.
    """
    word = "ok  " if verdict.passed else "FAIL"
    if colour:
        word = f"{GREEN if verdict.passed else RED}{word}{PLAIN}"
    told = f"{word} {verdict.check.name:<12} {verdict.score:>3}/{verdict.check.points}"
    more = _indented(_printed(verdict)) if verdict.passed else _explained(lab, verdict, where)
    return f"{told}\n{more}" if more else told


def summary(report: Report) -> str:
    """The last line, with the seed that repeats all of it."""
    told = f"lab {report.lab.number}: {report.score} of {report.points} points, seed {report.seed}"
    hints = {0: "", 1: ", 1 hint taken"}
    return told + hints.get(report.hints, f", {report.hints} hints taken")


def _explained(lab: Lab, verdict: Verdict, where: Sequence[object] = ()) -> str:
    """`where` are the words that lead to what was graded, if it is not the tree itself."""
    if verdict.found.startswith(NOT_ASKED):
        return _indented([verdict.found])
    again = command("lab", "grade", lab.number, "-k", verdict.check.name, *where)
    lines = [verdict.told, verdict.check.cause, f"again: {again}"]
    if verdict.moment is not None:
        trace, record = verdict.moment
        lines.append("see it: " + command("panel", "replay", trace, "--at", record))
    return _indented(lines + _printed(verdict))


def _printed(verdict: Verdict) -> list[str]:
    """What the student's code printed, as far as it is short; not where the check is a secret."""
    lines = [] if verdict.check.hidden else verdict.printed.splitlines()
    more = [f"... and {len(lines) - MOST_PRINTED} lines more"] if len(lines) > MOST_PRINTED else []
    return [f"printed: {line}" for line in lines[:MOST_PRINTED]] + more


def _indented(lines: list[str]) -> str:
    return "\n".join(f"     {line}" for line in lines)


def gradescope(report: Report) -> dict[str, Any]:
    """What Gradescope reads (its documentation: "Autograder Specifications")."""
    tests = [
        {
            "name": verdict.check.name,
            "number": f"{report.lab.number}.{number}",
            "score": verdict.score if not report.failure else 0,
            "max_score": verdict.check.points,
            "status": "passed" if verdict.passed else "failed",
            "output": "" if verdict.passed else _explained(report.lab, verdict),
            "output_format": "text",
            "visibility": verdict.check.visibility,
            "tags": list(verdict.check.tags),
        }
        for number, verdict in enumerate(report.verdicts, 1)
    ]
    output = f"{summary(report)}. {report.failure}".strip()
    return {"score": report.score, "output": output, "visibility": "visible", "tests": tests}


def junit(report: Report) -> bytes:
    """JUnit's XML, as CI systems read it."""
    failed = sum(not verdict.passed for verdict in report.verdicts)
    suite = ElementTree.Element(
        "testsuite",
        name=f"lab{report.lab.number}",
        tests=str(len(report.verdicts)),
        failures=str(failed),
        errors=str(int(bool(report.failure))),
    )
    for verdict in report.verdicts:
        case = ElementTree.SubElement(suite, "testcase", name=verdict.check.name)
        case.set("classname", f"lab{report.lab.number}")
        if not verdict.passed:
            told = ElementTree.SubElement(case, "failure", message=verdict.check.cause)
            told.text = _explained(report.lab, verdict)
    if report.failure:
        ElementTree.SubElement(suite, "system-err").text = report.failure
    return ElementTree.tostring(suite, "unicode").encode("utf-8")


def markdown(report: Report) -> str:
    """A page for a person."""
    rows = [
        f"| {v.check.name} | {'ok' if v.passed else 'FAIL'} | {v.score}/{v.check.points} |"
        for v in report.verdicts
    ]
    told = [
        f"## {v.check.name}\n\n{v.check.cause}\n\n{_explained(report.lab, v)}\n"
        for v in report.verdicts
        if not v.passed
    ]
    head = [f"# {report.lab.title}", "", summary(report), "", report.failure]
    return "\n".join([*head, "", "| check | verdict | points |", "|---|---|---|", *rows, "", *told])


def write(report: Report, folder: Path) -> None:
    """`results.json`, `junit.xml` and `report.md` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "results.json", json.dumps(gradescope(report), indent=2).encode())
    write_whole(folder / "junit.xml", junit(report))
    write_whole(folder / "report.md", markdown(report).encode())
