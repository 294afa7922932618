"""`run.py lab mutants N`: typical wrong answers, and the message that each of them gets.

A lab's `mutants.json` has ten or more, each with the check that names its cause.  They stay with
the instructor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hw.files import scratch_folder
from hw.host import UserError
from labs.crew import Crew
from labs.judge import Verdict, grade
from labs.lab import ROOT, Lab

FILE = "mutants.json"


@dataclass(frozen=True)
class Wrong:
    """A piece of a part's file, and what a student wrote instead.

    Check `caught_by` must fail, with `says` in its message.
    """

    lab: int
    name: str
    caught_by: str
    find: str
    replace: str
    file: str
    says: str = " should be "

    def source(self) -> str:
        """The file with the mistake in it."""
        right = (ROOT / self.file).read_text("utf-8")
        assert right.count(self.find) == 1, f"{self.name}: found {right.count(self.find)} times"
        return right.replace(self.find, self.replace)


def wrong_answers(lab: Lab) -> list[Wrong]:
    """Those of one lab; a `UserError` where no code is written."""
    path = lab.folder / FILE
    if not path.is_file():
        raise UserError(f"lab {lab.number} has no wrong answers", "no code is written in it")
    (only, *more) = sorted(set(lab.parts.values()))
    usual = {} if more else {"file": only}
    rows = json.loads(path.read_text("utf-8"))
    return [Wrong(**{"lab": lab.number, **usual, **row}) for row in rows]


def lay_out(lab: Lab, tree: Path, changed: dict[str, str]) -> None:
    """The solution's files of the parts and nothing else in `tree`.

    `changed` are other contents, by name of the file.
    """
    for name in set(lab.parts.values()):
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(changed.get(name, (ROOT / name).read_text("utf-8")), "utf-8")


def judge_all(
    lab: Lab, seed: int, only: str = "", crew: Crew | None = None
) -> Iterator[tuple[Wrong, Verdict]]:
    """Each wrong answer whose check's name has `only`, with what that check says of it."""
    for wrong in wrong_answers(lab):
        if only in wrong.caught_by:
            yield wrong, judge_one(lab, wrong, seed, crew)


def judge_one(lab: Lab, wrong: Wrong, seed: int, crew: Crew | None = None) -> Verdict:
    """What the check that must catch it says."""
    with scratch_folder("mutant") as folder:
        lay_out(lab, folder, {wrong.file: wrong.source()})
        verdicts = grade(lab, folder, seed, wrong.caught_by, crew=crew)
        return next(v for v in verdicts if v.check.name == wrong.caught_by)
