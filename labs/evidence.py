"""What a verdict stands on: the child's physical memory, its trace, and its answer to a nonce.

A question says in data what it expects to see, so that a student's tree can hold the expected
values without the code that made them.  A thing to be seen is a list, its kind first:

    ["answer", key]                 what the child said under that key
    ["memory"]                      the whole of a small memory, as {word number: word}
    ["number", who, va]             the 64-bit word at a virtual address, or None
    ["rights", who, va]             "r", "rw", "rx", ..., or None where nothing is mapped
    ["marks", who, va]              "AD", "A", ... or "none": which of the two bits the leaf has
    ["frame", who, va]              the number of the frame behind an address, or None
    ["same", who, va, who2, va2]    whether both addresses lie in one frame
    ["kept", who, va, stop]         whether the frame is the one of that earlier stop
    ["resident", who, start, end]   how many pages of a range are mapped
    ["one_root", who, who2]         whether both go through the same tables from the root on
    ["one_table", level, who, va, who2, va2]    whether the same table of `level` serves both
    ["count", kind, {field: value}] how many records of that kind the trace has
    ["between", first, last, kind, {field: value}]  how many after stop `first`, before stop `last`
    ["listed", kind, field, {field: value}]     that field of all such records, in order
    ["held", owner]                 how many frames are held at the end: for "anonymous" memory, ...
    ["share", who, va, first, last] how many per thousand of the words at first, ..., last are at va
    ["cores", measure, ...]         a measure of `labs.timeline`: who had the cores when
    ["missed", who, va, measure, ...]   by how much the word at va differs from such a measure

`who` names a root of page tables, as the child told at the stop: "p1" is the space of process 1,
"t3" what thread 3 sees, "p1v2" what process 1 has attached of VAS 2, "c0" what core 0 has loaded.
Values are plain, or {"mix": i}: the `mix` of this run's nonce, or
{"at_most": n}, {"at_least": n}, {"between": [a, b]}.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from hw.trace import Record, TraceError, TraceFile
from labs.timeline import MEASURES, NULL_CALL, Timeline

END = "end"
MASK = (1 << 64) - 1


def mix(nonce: int, number: int) -> int:
    """64 bits that nobody knows without the nonce; `exam_mix` of <exam.h> says the same.

    SplitMix64's finaliser (Steele, Lea and Flood: Fast Splittable Pseudorandom Number Generators,
    OOPSLA 2014).
    """
    z = (nonce + number * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


@dataclass(slots=True)
class Expectation:
    """At stop `at`, `sees` should be `value`; `says` names the thing in words."""

    sees: list[Any]
    value: Any
    says: str = ""
    at: str = END
    decimal: bool = False
    """Numbers are amounts, not addresses or bits."""


def paging() -> Any:
    """The judge's walk, imported when a look needs it: lab 1 needs none, and in a student's tree
    of lab 1 this is the student's file, which must not run in the judge."""
    return import_module("hw.paging")


class Look:
    """Memory as a walk wants it, and which it cannot change: a look sets no A bit."""

    def __init__(self, words: memoryview) -> None:
        self.words = words

    def __getitem__(self, slot: int, /) -> int:
        return int(self.words[slot])

    def __setitem__(self, slot: int, word: int, /) -> None:
        pass

    def __len__(self) -> int:
        return len(self.words)


@dataclass(slots=True)
class Evidence:
    """What there is to see at one moment of one run."""

    memory: memoryview
    nonce: int
    roots: dict[str, int] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    trace: Path | None = None
    earlier: dict[tuple[str, str, int], int | None] = field(default_factory=dict)
    """The frames of earlier stops, as far as somebody will ask."""

    def remember(self, stop: str, expected: list[Expectation]) -> None:
        """Keep what later stops are compared with."""
        for wanted in expected:
            if wanted.sees[0] == "kept" and wanted.sees[3] == stop:
                who, va = wanted.sees[1:3]
                self.earlier[stop, who, va] = self.frame(who, va)

    def differs(self, wanted: Expectation) -> str:
        """What is wrong, in words; nothing if nothing is."""
        seen = LOOKS[wanted.sees[0]](self, *wanted.sees[1:])
        if wanted.sees[0] == "memory":
            return _word_that_differs(seen, wanted.value)
        if self._fits(seen, wanted.value):
            return ""
        says = wanted.says or " ".join(map(str, wanted.sees[1:]))
        decimal = wanted.decimal or wanted.sees[0] in AMOUNTS
        told = f"{says} should be {self._told(wanted.value, decimal)}, is {shown(seen, decimal)}"
        return told + (self._frames(*wanted.sees[1:]) if wanted.sees[0] == "same" else "")

    def moment(self, wanted: Expectation) -> int:
        """How many records there were when it went wrong: up to the first wrong entry of a list,
        otherwise all."""
        if wanted.sees[0] == "listed" and isinstance(wanted.value, list):
            kind, name, fields = wanted.sees[1:]
            rest = iter(wanted.value)
            for number, record in enumerate(self._records(), 1):
                if _fits_record(record, kind, fields) and record[name] != next(rest, None):
                    return number
        return sum(1 for _ in self._records())

    def _frames(self, who: str, va: int, other: str, other_va: int) -> str:
        one, two = self.frame(who, va), self.frame(other, other_va)
        return f" ({who} has frame {shown(one)}, {other} has frame {shown(two)})"

    def _fits(self, seen: Any, value: Any) -> bool:
        if not isinstance(value, dict):
            return bool(seen == value)
        (how, than), number = next(iter(value.items())), isinstance(seen, (int, float))
        if how == "mix":
            return bool(seen == mix(self.nonce, than))
        if how == "at_most":
            return number and seen <= than
        if how == "at_least":
            return number and seen >= than
        return number and than[0] <= seen <= than[1]

    def _told(self, value: Any, decimal: bool) -> str:
        if not isinstance(value, dict):
            return shown(value, decimal)
        how, than = next(iter(value.items()))
        if how == "mix":
            return shown(mix(self.nonce, than))
        if how == "between":
            return f"between {shown(than[0], decimal)} and {shown(than[1], decimal)}"
        return f"{how.replace('_', ' ')} {shown(than, decimal)}"

    def _leaf(self, who: str, va: int) -> tuple[int, int, int] | None:
        root = self.roots.get(who)
        try:
            look = Look(self.memory.cast("Q"))
            return None if root is None else paging().walk(look, root, va, paging().READ)
        except paging().PageFault:
            return None

    def frame(self, who: str, va: int) -> int | None:
        """The number of the frame behind `va`."""
        leaf = self._leaf(who, va)
        return None if leaf is None else paging().page_frame(leaf[0], leaf[1], va)

    def _number(self, who: str, va: int) -> int | None:
        frame = self.frame(who, va)
        if frame is None or (frame + 1) << 12 > len(self.memory):
            return None
        at = frame << 12 | va & 0xFFF
        return int.from_bytes(self.memory[at : at + 8], "little")

    def _rights(self, who: str, va: int) -> str | None:
        leaf = self._leaf(who, va)
        if leaf is None:
            return None
        may_write, no_fetch = leaf[2] & paging().W, leaf[2] & paging().NX
        return "r" + ("w" if may_write else "") + ("" if no_fetch else "x")

    def _marks(self, who: str, va: int) -> str | None:
        """Of the leaf in memory: a walk by the judge would claim to have set A."""
        table, index = self._table(1, who, va), va >> 12 & 511
        if table is None:
            return None
        entry = self.memory.cast("Q")[(table >> 3) + index]
        bits = (("A", paging().A), ("D", paging().D))
        return "".join(name for name, bit in bits if entry & bit) or "none"

    def _same(self, who: str, va: int, other: str, other_va: int) -> bool:
        frame = self.frame(who, va)
        return frame is not None and frame == self.frame(other, other_va)

    def _kept(self, who: str, va: int, stop: str) -> bool:
        frame = self.frame(who, va)
        return frame is not None and frame == self.earlier.get((stop, who, va))

    def _resident(self, who: str, start: int, end: int) -> int:
        return sum(self.frame(who, va) is not None for va in range(start, end, 4096))

    def _one_root(self, who: str, other: str) -> bool:
        return who in self.roots and self.roots[who] == self.roots.get(other)

    def _one_table(self, level: int, who: str, va: int, other: str, other_va: int) -> bool:
        table = self._table(level, who, va)
        return table is not None and table == self._table(level, other, other_va)

    def _table(self, level: int, who: str, va: int) -> int | None:
        steps: list[Any] = []
        root = self.roots.get(who)
        try:
            if root is not None:
                paging().walk(Look(self.memory.cast("Q")), root, va, paging().READ, steps)
        except paging().PageFault:
            pass
        return next((step.table_pa for step in steps if step.level == level), None)

    def _records(self) -> Iterator[Record]:
        """All that a whole trace holds; nothing, if it is not one."""
        if self.trace is None:
            return
        try:
            with TraceFile(self.trace) as records:
                yield from records
        except (OSError, TraceError):
            return

    def _count(self, kind: str, fields: dict[str, Any]) -> int:
        return sum(_fits_record(record, kind, fields) for record in self._records())

    def _between(self, first: int, last: int, kind: str, fields: dict[str, Any]) -> int:
        found, inside = 0, False
        for record in self._records():
            if record.kind.name == "syscall" and record["number"] == NULL_CALL:
                inside = record["a"] == first or (inside and record["a"] != last)
            found += inside and _fits_record(record, kind, fields)
        return found

    def _listed(self, kind: str, field: str, fields: dict[str, Any]) -> list[Any]:
        records = self._records()
        return [_plain(record[field]) for record in records if _fits_record(record, kind, fields)]

    def _held(self, owner: str) -> int | None:
        """By the last record of each frame, and before the first one by the header."""
        if self.trace is None:
            return None
        try:
            with TraceFile(self.trace) as records:
                wanted = list(records.header["names"]["owners"]).index(owner)
                last: dict[int, int] = {pfn: number for pfn, _, number in records.header["held"]}
        except (OSError, TraceError):
            return None
        last |= {
            made["pfn"]: made["owner"] for made in self._records() if made.kind.name == "frame"
        }
        return sum(number == wanted for number in last.values())

    def _share(self, who: str, va: int, first: int, last: int) -> int | None:
        words = [self._number(who, at) for at in range(first, last + 1, 8)]
        total = sum(filter(None, words))
        return (self._number(who, va) or 0) * 1000 // total if total else None

    def _cores(self, measure: str, *about: Any) -> Any:
        return MEASURES[measure](Timeline(self._records()), *about)

    def _missed(self, who: str, va: int, measure: str, *about: Any) -> int | None:
        number, counted = self._number(who, va), self._cores(measure, *about)
        return None if number is None or counted is None else abs(number - counted)

    def _answer(self, key: str) -> Any:
        return self.answer.get(key)

    def _memory(self) -> memoryview:
        return self.memory.cast("Q")


LOOKS: dict[str, Callable[..., Any]] = {
    "answer": Evidence._answer,
    "memory": Evidence._memory,
    "number": Evidence._number,
    "rights": Evidence._rights,
    "marks": Evidence._marks,
    "frame": Evidence.frame,
    "same": Evidence._same,
    "count": Evidence._count,
    "between": Evidence._between,
    "listed": Evidence._listed,
    "one_root": Evidence._one_root,
    "one_table": Evidence._one_table,
    "kept": Evidence._kept,
    "resident": Evidence._resident,
    "held": Evidence._held,
    "share": Evidence._share,
    "cores": Evidence._cores,
    "missed": Evidence._missed,
}
AMOUNTS = ("count", "between", "listed", "resident", "held")


def _fits_record(record: Record, kind: str, fields: dict[str, Any]) -> bool:
    return record.kind.name == kind and all(
        _plain(record[name]) == value for name, value in fields.items()
    )


def _plain(value: Any) -> Any:
    """A field of a record as JSON has it."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _word_that_differs(words: memoryview, expected: dict[str, int]) -> str:
    for slot, word in enumerate(words.tolist()):
        wanted = expected.get(str(slot), 0)
        if word != wanted:
            return f"the word at {slot * 8:#x} should be {wanted:#x}, is {word:#x}"
    return ""


def shown(value: Any, decimal: bool = False) -> str:
    """A value as a report writes it."""
    if isinstance(value, list):
        return "[" + ", ".join(shown(item, decimal) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}" if decimal else f"{value:#x}"
    return "absent" if value is None else str(value)
