"""A walk explained: every entry it reads, the rights so far, and the bit that stops it.

The same rules as `hw.paging.walk` (SDM vol. 3A, 4.5 and 4.6), but on the tables that the trace
tells of, without marking anything, and without stopping short of an explanation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hw.paging import (
    ADDRESS,
    ERR_PRESENT,
    ERR_RESERVED,
    ERR_USER,
    FETCH,
    NX,
    PS,
    RESERVED_ADDRESS,
    SHIFTS,
    WRITE,
    P,
    U,
    W,
    is_canonical,
    page_frame,
)


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
    """`error` is the code of the fault that the access would raise, None if it would succeed;
    `stopped_by` is the bit that decides, as its letter, in the entry of `stopped_at`."""

    steps: tuple[WalkStep, ...]
    error: int | None
    stopped_by: str
    stopped_at: int
    pfn: int | None
    level: int

    @property
    def rights(self) -> int:
        return self.steps[-1].rights if self.steps else 0

    def allows(self, access: int) -> bool:
        """Would a user-mode access of this kind succeed?"""
        if self.pfn is None or not self.rights & U:
            return False
        if access == WRITE:
            return bool(self.rights & W)
        return access != FETCH or not self.rights & NX


def explain(ptes: Mapping[int, int], root: int, va: int, access: int) -> Explained:
    """Walk `va` from the table at `root` for a user-mode access."""
    if not is_canonical(va):
        return Explained((), 0, "canonical", 0, None, 0)
    steps: list[WalkStep] = []
    table, rights = root, W | U
    for level in (4, 3, 2, 1):
        index = va >> SHIFTS[level] & 511
        entry = ptes.get(table + index * 8, 0)
        rights = rights & (entry | NX) | entry & NX
        steps.append(WalkStep(level, table, index, entry, rights))
        if not entry & P:
            return Explained(tuple(steps), access | ERR_USER, "P", level, None, level)
        if entry & RESERVED_ADDRESS or (level == 4 and entry & PS):
            error = access | ERR_USER | ERR_PRESENT | ERR_RESERVED
            return Explained(tuple(steps), error, "reserved", level, None, level)
        if level == 1 or entry & PS:
            break
        table = entry & ADDRESS
    bit = _denied(rights, access)
    at = next((s.level for s in steps if bit and _lacks(s.entry, bit)), 0)
    error_code = access | ERR_USER | ERR_PRESENT if bit else None
    return Explained(tuple(steps), error_code, bit, at, page_frame(entry, level, va), level)


def _denied(rights: int, access: int) -> str:
    """The letter of the right that is missing, or nothing."""
    if not rights & U:
        return "U"
    if access == WRITE and not rights & W:
        return "W"
    return "N" if access == FETCH and rights & NX else ""


def _lacks(entry: int, bit: str) -> bool:
    if bit == "N":
        return bool(entry & NX)
    return not entry & (U if bit == "U" else W)
