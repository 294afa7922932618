"""Answers that are written down, for a lab that asks on paper.

    seed = 4711
    address.pml4 = 0xfe
    tlb.a = miss            # a remark

A sheet says which seed's questions it answers.  Numbers may be hexadecimal or decimal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

SEED = "seed"
HEAD = """\
# Lab {number}: your answers. The questions: python3 run.py lab ask {number}
# Numbers like 254 or 0xfe.

"""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a file says; `seed` is None where it does not name one."""

    seed: int | None = None
    answers: dict[str, int | str] = field(default_factory=dict)


def read(file: Path) -> Sheet:
    """What makes no sense is no answer."""
    answers: dict[str, int | str] = {}
    for line in file.read_text("utf-8", errors="replace").splitlines():
        key, equals, given = line.partition("#")[0].partition("=")
        if equals and given.strip():
            answers[key.strip().lower()] = _value(given.strip().lower())
    seed = answers.pop(SEED, None)
    return Sheet(seed if isinstance(seed, int) else None, answers)


def _value(given: str) -> int | str:
    try:
        return int(given, 0)
    except ValueError:
        return given


def blank(number: int, seed: int, keys: Iterable[str]) -> str:
    """A sheet to be filled in."""
    lines = [f"{SEED} = {seed}", ""]
    group = ""
    for key in keys:
        if group and key.partition(".")[0] != group:
            lines.append("")
        group = key.partition(".")[0]
        lines.append(f"{key} = ")
    return HEAD.format(number=number) + "\n".join(lines) + "\n"
