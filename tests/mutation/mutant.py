"""A module with one mistake in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A module with one mistake: `before` and `after` are its line, without blanks at the ends."""

    path: str  # of the module, from the top of the tree
    line: int  # from 1
    operator: str
    before: str
    after: str
    text: str

    @property
    def name(self) -> str:
        """Its name among the results; a mutant of another text of the module is another one."""
        return digest(self.path, self.text)[:16]


def digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()
