"""The questions of lab 1: tables with one thing that matters in each, made from a seed.

This file and the reference walk stay with the instructor; a student's tree has the questions
of one seed, with the answers written down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from hw.paging import (
    FETCH,
    NX,
    PS,
    READ,
    RESERVED_ADDRESS,
    SHIFTS,
    WRITE,
    A,
    D,
    P,
    PageFault,
    Step,
    U,
    W,
    walk,
)
from labs.answering.walk import marks
from labs.evidence import Expectation
from labs.lab import Check
from labs.question import Question

CASES = 24
MEMORY_WORDS = 16 * 512
OPEN = P | W | U
PATH = (4, 3, 2, 1)
SAYS = {
    "error": "the error code of the fault",
    "level": "the level of the leaf",
    "leaf": "the leaf (but for A and D)",
    "marks": "A and D in the leaf that the walk returns",
    "rights": "the rights of the path",
    "steps": "the list of steps (level, table, index, entry)",
}
OUTSIDE = MEMORY_WORDS * 8 * 4
"""A whole number of memories beyond the end: an address that wraps around finds a table."""


@dataclass(frozen=True, slots=True)
class Case:
    """A memory, and an access to it."""

    words: dict[int, int]
    cr3: int
    va: int
    access: int

    def question(self, looks_at: tuple[str, ...]) -> Question:
        """With what the reference walk says of those aspects."""
        words = [0] * MEMORY_WORDS
        for slot, word in self.words.items():
            words[slot] = word
        answer = self._walk(words)
        after = {str(slot): words[slot] for slot in self.words}
        expected = [
            Expectation(["memory"], after)
            if aspect == "memory"
            else Expectation(["answer", aspect], answer.get(aspect), SAYS.get(aspect, aspect))
            for aspect in looks_at
        ]
        kind = {READ: "read", WRITE: "write", FETCH: "fetch"}[self.access]
        about = f"the {kind} of {self.va:#x}, CR3 {self.cr3:#x}"
        told = {"cr3": self.cr3, "va": self.va, "access": self.access}
        return Question(about, told, expected, MEMORY_WORDS * 8, self.words)

    def _walk(self, words: list[int]) -> dict[str, Any]:
        steps: list[Step] = []
        answer: dict[str, Any] = {"error": None}
        try:
            leaf, level, rights = walk(words, self.cr3, self.va, self.access, steps)
            answer.update(leaf=leaf & ~(A | D), marks=marks(leaf), level=level, rights=rights)
        except PageFault as fault:
            answer["error"] = fault.error
        return answer | {"steps": [[s.level, s.table_pa, s.index, s.entry] for s in steps]}


class Tables:
    """A path of four tables in frames chosen by lot, and a random page behind it."""

    def __init__(self, random: Random, leaf: int = 1) -> None:
        self.random = random
        frames = random.sample(range(1, MEMORY_WORDS // 512), 4)
        self.table = dict(zip(PATH, (frame << 12 for frame in frames), strict=True))
        self.index = dict(zip(PATH, random.sample(range(256), 4), strict=True))
        self.leaf = leaf
        self.entry = {level: self.table[level - 1] | OPEN for level in PATH if level > leaf}
        page = random.randrange(1 << 40 - SHIFTS[leaf]) << SHIFTS[leaf]
        self.entry[leaf] = page | OPEN | (PS if leaf > 1 else 0)

    @property
    def levels(self) -> list[int]:
        return sorted(self.entry)

    def any_level(self) -> int:
        return self.random.choice(self.levels)

    def question(self, access: int, cr3_flags: int = 0) -> Case:
        va = sum(self.index[level] << SHIFTS[level] for level in PATH)
        va |= self.random.randrange(4096)
        words = {self.table[n] // 8 + self.index[n]: e for n, e in self.entry.items()}
        return Case(words, self.table[4] | cr3_flags, va, access)


def _index(random: Random) -> Case:
    return Tables(random).question(READ)


def _root(random: Random) -> Case:
    return Tables(random).question(READ, random.randrange(1, 4096))


def _present(random: Random) -> Case:
    """What stands in an entry that is not present does not count: a reserved bit, for one."""
    tables = Tables(random)
    level = tables.any_level()
    tables.entry[level] &= ~P
    tables.entry[level] |= random.choice((0, 1 << random.randrange(40, 52)))
    return tables.question(random.choice((READ, WRITE, FETCH)))


def _reserved(random: Random) -> Case:
    tables = Tables(random)
    tables.entry[tables.any_level()] |= 1 << random.randrange(40, 52)
    return tables.question(random.choice((READ, WRITE, FETCH)))


def _user(random: Random) -> Case:
    tables = Tables(random)
    tables.entry[tables.any_level()] &= ~U
    return tables.question(random.choice((READ, WRITE, FETCH)))


def _write(random: Random) -> Case:
    tables = Tables(random)
    tables.entry[tables.any_level()] &= ~W
    return tables.question(random.choice((READ, WRITE, WRITE)))


def _fetch(random: Random) -> Case:
    tables = Tables(random)
    tables.entry[tables.any_level()] |= random.choice((0, NX, NX))
    return tables.question(random.choice((READ, FETCH, FETCH)))


def _large(random: Random) -> Case:
    return Tables(random, random.choice((2, 3))).question(random.choice((READ, WRITE)))


def _misaligned(random: Random) -> Case:
    tables = Tables(random, random.choice((2, 3)))
    if random.randrange(4):
        tables.entry[tables.leaf] |= 1 << random.randrange(13, SHIFTS[tables.leaf])
    else:
        tables.entry[4] |= PS
    return tables.question(READ)


def _accessed(random: Random) -> Case:
    tables = Tables(random, random.choice((1, 2)))
    for level in tables.levels:
        tables.entry[level] |= random.choice((0, A))
    refused = random.choice((0, 0, P, W))
    tables.entry[tables.leaf] &= ~refused
    access = WRITE if refused == W else random.choice((READ, WRITE))
    if access == WRITE:
        tables.entry[tables.leaf] |= D  # whether a store sets it is another check's question
    return tables.question(access)


def _dirty(random: Random) -> Case:
    tables = Tables(random, random.choice((1, 1, 2, 3)))
    for level in tables.levels:
        tables.entry[level] |= A
    tables.entry[tables.leaf] |= random.choice((0, D))
    if random.randrange(3) == 0:
        tables.entry[tables.any_level()] &= ~W
    return tables.question(random.choice((READ, WRITE)))


def _outside(random: Random) -> Case:
    tables = Tables(random)
    """Far behind the end of memory, or at its very end."""
    level = random.choice((4, 3, 2))
    tables.entry[level] = OUTSIDE + tables.table[level - 1] | OPEN
    if random.randrange(2):
        tables.entry[level], tables.index[level - 1] = MEMORY_WORDS * 8 | OPEN, 0
    assert not tables.entry[level] & RESERVED_ADDRESS
    return tables.question(READ)


MAKERS: dict[str, Callable[[Random], Case]] = {
    "index": _index,
    "root": _root,
    "present": _present,
    "reserved": _reserved,
    "user": _user,
    "write": _write,
    "fetch": _fetch,
    "large": _large,
    "misaligned": _misaligned,
    "accessed": _accessed,
    "dirty": _dirty,
    "outside": _outside,
    "steps": _accessed,
}


def questions(check: Check, seed: int) -> list[Question]:
    """The questions of one check: the same seed gives the same ones."""
    random = Random(f"{check.name} {seed}")
    return [MAKERS[check.name](random).question(check.looks_at) for _ in range(CASES)]
