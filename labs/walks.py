"""The questions of lab 1: tables with one thing that matters in each, made from a seed.

This file and the reference walk stay with the instructor; a student's tree has the questions
of one seed, with the answers written down.
"""

from __future__ import annotations

from collections.abc import Callable
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
from labs.judge import MEMORY_WORDS, Question

CASES = 24
OPEN = P | W | U
PATH = (4, 3, 2, 1)
OUTSIDE = MEMORY_WORDS * 8 * 4
"""A whole number of memories beyond the end: an address that wraps around finds a table."""


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

    def question(self, access: int, cr3_flags: int = 0) -> Question:
        va = sum(self.index[level] << SHIFTS[level] for level in PATH)
        va |= self.random.randrange(4096)
        words = {self.table[n] // 8 + self.index[n]: e for n, e in self.entry.items()}
        return _answered(Question(words, self.table[4] | cr3_flags, va, access))


def _answered(question: Question) -> Question:
    """The same question with what the reference walk says."""
    words = [0] * MEMORY_WORDS
    for slot, word in question.words.items():
        words[slot] = word
    steps: list[Step] = []
    answer: dict[str, Any] = {"error": None}
    try:
        leaf, level, rights = walk(words, question.cr3, question.va, question.access, steps)
        answer.update(leaf=leaf, level=level, rights=rights)
    except PageFault as fault:
        answer["error"] = fault.error
    question.answer = {**answer, "steps": [[s.level, s.table_pa, s.index, s.entry] for s in steps]}
    question.after = {slot: words[slot] for slot in question.words}
    return question


def _index(random: Random) -> Question:
    return Tables(random).question(READ)


def _root(random: Random) -> Question:
    return Tables(random).question(READ, random.randrange(1, 4096))


def _present(random: Random) -> Question:
    tables = Tables(random)
    tables.entry[tables.any_level()] &= ~P
    return tables.question(random.choice((READ, WRITE, FETCH)))


def _reserved(random: Random) -> Question:
    tables = Tables(random)
    tables.entry[tables.any_level()] |= 1 << random.randrange(40, 52)
    return tables.question(random.choice((READ, WRITE, FETCH)))


def _user(random: Random) -> Question:
    tables = Tables(random)
    tables.entry[tables.any_level()] &= ~U
    return tables.question(random.choice((READ, WRITE, FETCH)))


def _write(random: Random) -> Question:
    tables = Tables(random)
    tables.entry[tables.any_level()] &= ~W
    return tables.question(random.choice((READ, WRITE, WRITE)))


def _fetch(random: Random) -> Question:
    tables = Tables(random)
    tables.entry[tables.any_level()] |= NX
    return tables.question(random.choice((READ, FETCH, FETCH)))


def _large(random: Random) -> Question:
    return Tables(random, random.choice((2, 3))).question(random.choice((READ, WRITE)))


def _misaligned(random: Random) -> Question:
    tables = Tables(random, random.choice((2, 3)))
    if random.randrange(4):
        tables.entry[tables.leaf] |= 1 << random.randrange(13, SHIFTS[tables.leaf])
    else:
        tables.entry[4] |= PS
    return tables.question(READ)


def _accessed(random: Random) -> Question:
    tables = Tables(random, random.choice((1, 2)))
    for level in tables.levels:
        tables.entry[level] |= random.choice((0, A))
    if random.randrange(3) == 0:
        tables.entry[tables.leaf] &= ~P
    return tables.question(random.choice((READ, WRITE)))


def _dirty(random: Random) -> Question:
    tables = Tables(random)
    tables.entry[1] |= A | random.choice((0, D))
    if random.randrange(3) == 0:
        tables.entry[tables.any_level()] &= ~W
    return tables.question(random.choice((READ, WRITE)))


def _outside(random: Random) -> Question:
    tables = Tables(random)
    level = random.choice((4, 3, 2))
    tables.entry[level] = OUTSIDE + tables.table[level - 1] | OPEN
    assert not tables.entry[level] & RESERVED_ADDRESS
    return tables.question(READ)


MAKERS: dict[str, Callable[[Random], Question]] = {
    "index": _index, "root": _root, "present": _present, "reserved": _reserved,
    "user": _user, "write": _write, "fetch": _fetch, "large": _large,
    "misaligned": _misaligned, "accessed": _accessed, "dirty": _dirty, "outside": _outside,
    "steps": _accessed,
}  # fmt: skip


def questions(check: str, seed: int) -> list[Question]:
    """The questions of one check: the same seed gives the same ones."""
    random = Random(f"{check} {seed}")
    return [MAKERS[check](random) for _ in range(CASES)]
