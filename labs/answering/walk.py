"""Lab 1: one walk through tables in the lent memory."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hw.paging import A, D, PageFault, Step, walk
from labs.answering.desk import Desk


def answer(told: dict[str, Any], desk: Desk) -> dict[str, Any]:
    """What the walk found, or the error code of its fault, and the entries that it read."""
    steps: list[Step] = []
    found: dict[str, Any] = {"error": None}
    try:
        got = walk(desk.words(), told["cr3"], told["va"], told["access"], steps)
        leaf, found["level"], found["rights"] = (int(value) for value in got)
        found["leaf"], found["marks"] = leaf & ~(A | D), marks(leaf)
    except PageFault as fault:
        found["error"] = fault.error
    with suppress(PageFault):
        walk(desk.words(), told["cr3"], told["va"], told["access"])  # as the machine calls it
    return {**found, "steps": [_step(step) for step in steps]}


def marks(leaf: int) -> str:
    """Which of A and D an entry has, as reports write it."""
    return "".join(name for name, bit in (("A", A), ("D", D)) if leaf & bit) or "none"


def _step(step: Step) -> list[int]:
    return [int(getattr(step, name)) for name in ("level", "table_pa", "index", "entry")]
