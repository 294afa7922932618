"""What a lab is: a folder with a description, a hand-out, and the wrong answers it must catch.

The description is data (`lab.json`), so that a lab is added without touching the tool.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hw.host import UserError

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Check:
    """One test: what it is worth, what it looks at, and what a failure means."""

    name: str
    points: int
    looks_at: tuple[str, ...]
    cause: str


@dataclass(frozen=True, slots=True)
class Lab:
    """A lab as its `lab.json` describes it; `parts` gives the file of each part."""

    number: int
    name: str
    title: str
    folder: Path
    parts: dict[str, str]
    hints: dict[str, list[str]]
    checks: tuple[Check, ...]
    withheld: tuple[str, ...]
    """Files outside the regions that would show the answer."""

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
    checks = tuple(
        Check(row["name"], row["points"], tuple(row["looks_at"]), row["cause"])
        for row in told["checks"]
    )
    return Lab(
        told["number"], told["name"], told["title"], path.parent,
        told["parts"], told["hints"], checks, tuple(told["withheld"]),
    )  # fmt: skip
