"""A walk explained: every entry that it reads, the rights so far, and the bit that stops it.

The walk is `hw.paging.walk` itself, on the tables that the trace describes. It runs once for each
kind of access. The accesses that it refuses show which right is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hw.paging import (
    ERR_PRESENT,
    ERR_RESERVED,
    FETCH,
    NX,
    PHYSICAL_BITS,
    READ,
    WRITE,
    PageFault,
    Step,
    U,
    W,
    is_canonical,
    page_frame,
    walk,
)


@dataclass(frozen=True, slots=True)
class Tables:
    """The table entries of a trace, as the memory that a walk reads. `old` has the entries that
    were different at another moment. A walk sets no A or D here: it only looks."""

    ptes: Mapping[int, int]
    old: Mapping[int, int] = field(default_factory=dict)

    def __getitem__(self, index: int) -> int:
        slot = index << 3
        return self.old[slot] if slot in self.old else self.ptes.get(slot, 0)

    def __setitem__(self, index: int, word: int) -> None:
        """Ignored: what the machine's walker has set is in the trace already."""

    def __len__(self) -> int:
        return 1 << (PHYSICAL_BITS - 3)


@dataclass(frozen=True, slots=True)
class WalkStep:
    """An entry that was read: where it is, what it holds, and the rights so far."""

    level: int
    table: int
    index: int
    entry: int
    rights: int

    @property
    def slot(self) -> int:
        return self.table + self.index * 8


@dataclass(frozen=True, slots=True)
class Explained:
    """`error` is the code of the fault that the access would raise, None if it would succeed.
    `stopped_by` is the letter of the bit that stops it, in the entry of level `stopped_at`.
    `refused` has the accesses that would fail."""

    steps: tuple[WalkStep, ...] = ()
    error: int | None = None
    stopped_by: str = ""
    stopped_at: int = 0
    pfn: int | None = None
    level: int = 0
    refused: frozenset[int] = frozenset((READ, WRITE, FETCH))
    unwritten: str = ""
    """Why there is no walk: in lab 1 the student has yet to write it."""

    @property
    def rights(self) -> int:
        return self.steps[-1].rights if self.steps else 0

    def allows(self, access: int) -> bool:
        """True if a user-mode access of this kind would succeed."""
        return access not in self.refused


def steps_of(tables: Tables, root: int, va: int, access: int = READ) -> tuple[list[Step], int]:
    """The entries that a walk reads, and the code of the fault that it ends with, or 0."""
    steps: list[Step] = []
    try:
        walk(tables, root, va, access, steps)
    except PageFault as fault:
        return steps, fault.error
    return steps, 0


def explain(tables: Tables, root: int, va: int, access: int) -> Explained:
    """Walk `va` from the table at `root` for a user-mode access."""
    if not is_canonical(va):
        return Explained(error=0, stopped_by="canonical")
    try:
        errors = {kind: steps_of(tables, root, va, kind)[1] for kind in (READ, WRITE, FETCH)}
        steps = _with_rights(steps_of(tables, root, va, access)[0])
    except NotImplementedError as unwritten:
        return Explained(error=0, unwritten=str(unwritten))
    error, last = errors[access], steps[-1]
    refused = frozenset(kind for kind, code in errors.items() if code)
    if error and (not error & ERR_PRESENT or error & ERR_RESERVED):
        bit = "reserved" if error & ERR_PRESENT else "P"
        found = Explained(steps, error, bit, stopped_at=last.level)
        return replace(found, level=last.level, refused=refused)
    bit = _missing(access, errors)
    at = next((step.level for step in steps if bit and _lacks(step.entry, bit)), 0)
    pfn = page_frame(last.entry, last.level, va)
    found = Explained(steps, error or None, bit, stopped_at=at, pfn=pfn)
    return replace(found, level=last.level, refused=refused)


def frame_at(tables: Tables, root: int, va: int) -> int | None:
    """The frame that is mapped at `va`, whatever its rights are."""
    return explain(tables, root, va, READ).pfn


def _with_rights(steps: list[Step]) -> tuple[WalkStep, ...]:
    found, rights = [], W | U
    for step in steps:
        allowed, forbidden = rights & step.entry & (W | U), (rights | step.entry) & NX
        rights = allowed | forbidden
        found.append(WalkStep(step.level, step.table_pa, step.index, step.entry, rights))
    return tuple(found)


def _missing(access: int, errors: Mapping[int, int]) -> str:
    """The letter of the right that this access lacks: U if no access at all is allowed."""
    if not errors[access]:
        return ""
    return "U" if errors[READ] else "W" if access == WRITE else "N"


def _lacks(entry: int, bit: str) -> bool:
    if bit == "N":
        return bool(entry & NX)
    return not entry & (U if bit == "U" else W)
