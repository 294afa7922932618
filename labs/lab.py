"""What a lab is: a folder with a description, a hand-out, and the wrong answers it must catch.

The description is data (`lab.json`), so that a lab is added without touching the tool.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.host import UserError

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(__file__).resolve().parent
BUILT = "userland/bin"
"""Where a tree has its programs."""
VISIBLE = "visible"
VISIBILITIES = (VISIBLE, "hidden", "after_due_date", "after_published")
KINDS_OF_LISTS = ("looks_at", "needs", "tags")


@dataclass(frozen=True, slots=True)
class Check:
    """One test: what it is worth, what it looks at, and what a failure means.

    `needs` are checks that must pass first.  With `partial`, every question has its share of the
    points.  `visibility` is Gradescope's; a hidden check is not in a student's tree.
    """

    name: str
    points: int
    cause: str
    looks_at: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    partial: bool = False
    visibility: str = VISIBLE
    tags: tuple[str, ...] = ()

    @property
    def hidden(self) -> bool:
        return self.visibility != VISIBLE


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab as its `lab.json` describes it; `parts` gives the file of each part.

    `answering` names the module of `labs.answering` that asks the student's code, if there is any.
    """

    number: int
    name: str
    title: str
    folder: Path
    parts: dict[str, str]
    hints: dict[str, list[str]]
    checks: tuple[Check, ...]
    answering: str
    withheld: tuple[str, ...]
    """Files outside the regions that would show the answer."""
    without: tuple[str, ...]
    """Commands that would show the answer."""
    boots: tuple[str, ...]
    """Options with which a starter boots before anything is written."""
    programs: tuple[str, ...]
    """Those that are built from the student's C."""
    answers: str
    """The sheet of a lab that asks on paper, and then has no parts."""

    @property
    def files(self) -> list[str]:
        """What is handed in."""
        return sorted({*self.parts.values(), *filter(None, [self.answers])})

    @property
    def points(self) -> int:
        return sum(check.points for check in self.checks)


def all_labs() -> list[Lab]:
    """Every lab of this tree, by number."""
    return [_read(path) for path in sorted(FOLDER.glob("*/lab.json"))]


def find_lab(number: str) -> Lab:
    """The lab with this number; a `UserError` if there is none."""
    for lab in all_labs():
        if str(lab.number) == number:
            return lab
    known = ", ".join(str(lab.number) for lab in all_labs())
    raise UserError(f"there is no lab {number}", f"choose one of: {known}")


def _read(path: Path) -> Lab:
    told = json.loads(path.read_text("utf-8"))
    return Lab(
        number=told["number"],
        name=told["name"],
        title=told["title"],
        folder=path.parent,
        parts=told["parts"],
        hints=told["hints"],
        checks=tuple(map(_check, told["checks"])),
        answering=told["answering"],
        withheld=tuple(told["withheld"]),
        without=tuple(told.get("without", ())),
        boots=tuple(told["boots"]),
        programs=tuple(told.get("programs", ())),
        answers=told.get("answers", ""),
    )


def _check(row: dict[str, Any]) -> Check:
    lists = {name: tuple(row[name]) for name in KINDS_OF_LISTS if name in row}
    check = Check(**{**row, **lists})
    assert check.visibility in VISIBILITIES
    return check
