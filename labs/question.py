"""One question of the judge, as data: what the child is told, and what should come of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from labs.evidence import Expectation


@dataclass(slots=True)
class Question:
    """What the child is told, the memory that it is lent, and what the judge should then see.

    `words` is what the memory holds at first, by the number of the 64-bit word.
    """

    about: str
    told: dict[str, Any]
    expected: list[Expectation]
    memory_bytes: int = 1 << 16
    words: dict[int, int] = field(default_factory=dict)


def to_data(question: Question) -> dict[str, Any]:
    """The question as JSON can hold it."""
    return asdict(question)


def from_data(told: dict[str, Any]) -> Question:
    """The inverse of `to_data`, also after JSON has made strings of the keys of `words`."""
    expected = [Expectation(**row) for row in told["expected"]]
    words = {int(slot): word for slot, word in told["words"].items()}
    return Question(**{**told, "expected": expected, "words": words})
