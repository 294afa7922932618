"""One grading, told in four ways: a terminal's lines, Gradescope's JSON, JUnit and Markdown."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from labs.judge import Verdict
from labs.lab import Lab

GREEN, RED, PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[0m"


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
    def passed(self) -> bool:
        return not self.failure and all(verdict.passed for verdict in self.verdicts)


def line(lab: Lab, verdict: Verdict, colour: bool) -> str:
    """One verdict for a terminal; a failure says what, why, and how to see it again."""
    word = "ok  " if verdict.passed else "FAIL"
    if colour:
        word = f"{GREEN if verdict.passed else RED}{word}{PLAIN}"
    told = f"{word} {verdict.check.name:<12} {verdict.score:>3}/{verdict.check.points}"
    return told if verdict.passed else f"{told}\n{_explained(lab, verdict)}"


def summary(report: Report) -> str:
    """The last line, with the seed that repeats all of it."""
    told = f"lab {report.lab.number}: {report.score} of {report.points} points, seed {report.seed}"
    hints = {0: "", 1: ", 1 hint taken"}
    return told + hints.get(report.hints, f", {report.hints} hints taken")


def _explained(lab: Lab, verdict: Verdict) -> str:
    again = f"again: run.py lab grade {lab.number} -k {verdict.check.name}"
    lines = [verdict.found, verdict.check.cause, again]
    if verdict.moment is not None:
        trace, record = verdict.moment
        lines.append(f"see it: run.py panel replay {trace} --at {record}")
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
    (folder / "results.json").write_text(json.dumps(gradescope(report), indent=2), "utf-8")
    (folder / "junit.xml").write_bytes(junit(report))
    (folder / "report.md").write_text(markdown(report), "utf-8")
