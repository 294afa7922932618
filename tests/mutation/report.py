"""What a run of mutants has found: the share noticed per folder, and what was not noticed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tests.mutation.mutant import Mutant

EQUIVALENTS = Path(__file__).with_name("equivalents.json")


@dataclass(frozen=True)
class Equivalent:
    """A mutant that no test can notice, because the program does the same, and why."""

    path: str
    before: str
    after: str
    reason: str

    def is_(self, mutant: Mutant) -> bool:
        return (self.path, self.before, self.after) == (mutant.path, mutant.before, mutant.after)


def equivalents() -> list[Equivalent]:
    return [Equivalent(**row) for row in json.loads(EQUIVALENTS.read_text("utf-8"))]


def report(noticed: dict[Mutant, bool], known: list[Equivalent]) -> Iterator[str]:
    """Lines in Markdown.  Equivalents count neither as noticed nor as not."""
    missed = [mutant for mutant, was in noticed.items() if not was]
    reasons = {mutant: e.reason for mutant in missed for e in known if e.is_(mutant)}
    counted = {mutant: was for mutant, was in noticed.items() if mutant not in reasons}
    yield "| folder | mutants | noticed | share |"
    yield "|---|---:|---:|---:|"
    for name in sorted(set(map(folder, counted))):
        yield row(f"`{name}`", [was for mutant, was in counted.items() if folder(mutant) == name])
    yield row("all", list(counted.values()))
    missed = sorted(set(missed) - set(reasons), key=lambda mutant: (mutant.path, mutant.line))
    if missed:
        yield f"\nNot noticed ({len(missed)}):\n"
        yield from map(changed, missed)
    if reasons:
        yield f"\nThe same program ({len(reasons)}):\n"
        yield from (f"{changed(mutant)}: {reason}" for mutant, reason in reasons.items())


def folder(mutant: Mutant) -> str:
    """The folder of its module.  A module right in labs/ stands for itself."""
    parent = str(PurePosixPath(mutant.path).parent)
    return mutant.path if parent == "labs" else parent


def row(name: str, noticed: list[bool]) -> str:
    share = f"{100 * sum(noticed) / len(noticed):.0f} %" if noticed else "none"
    return f"| {name} | {len(noticed)} | {sum(noticed)} | {share} |"


def changed(mutant: Mutant) -> str:
    return f"- {mutant.path}:{mutant.line}: `{mutant.before}` became `{mutant.after}`"
