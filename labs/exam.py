"""Which questions a lab asks in this tree: made from a seed, or written down with their answers.

An instructor's tree makes them, for any seed.  A student's tree holds those of one seed.
"""

from __future__ import annotations

import json
from importlib import import_module

from labs.lab import Check, Lab
from labs.question import Question, from_data

HELD = "visible.json"
"""The questions of a student's tree, beside the lab's description."""


def made(lab: Lab, check: Check, seed: int) -> list[Question]:
    """What one check asks: the same seed gives the same.  Only an instructor's tree can."""
    return list(import_module(f"labs.questions.{lab.name}").questions(check, seed))


def questions(lab: Lab, check: Check, seed: int) -> list[Question]:
    """What one check asks in this tree; a student's tree has one seed, and ignores `seed`."""
    if seed_held(lab) is None:
        return made(lab, check, seed)
    rows = json.loads((lab.folder / HELD).read_text("utf-8"))["checks"][check.name]
    return [from_data(row) for row in rows]


def seed_held(lab: Lab) -> int | None:
    """The seed of the questions that a student's tree holds; None in an instructor's."""
    held = lab.folder / HELD
    return int(json.loads(held.read_text("utf-8"))["seed"]) if held.is_file() else None
