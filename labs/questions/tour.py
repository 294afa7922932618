"""The questions of lab 0: the blanks of its problems.  Nothing of them is secret but which seed."""

from __future__ import annotations

from labs.evidence import Expectation
from labs.lab import Check
from labs.problems import problems
from labs.question import Question


def questions(check: Check, seed: int) -> list[Question]:
    """One question for each blank of the problem that the check is named by."""
    (problem,) = [problem for problem in problems(seed) if problem.name == check.name]
    return [
        Question(blank.asks, {"key": blank.key}, [Expectation(["answer", blank.key], blank.answer)])
        for blank in problem.blanks
    ]
