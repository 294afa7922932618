"""Conditions: when to stop, and what to look for.  Small on purpose, and nothing is evaluated.

    fault && vas==2 && write          a kind or sort of record, a comparison, an access
    call==write && result<0           a call by name; any field of the record by its name
    pte || tlb_flush                  && binds tighter than ||, ! negates, () group
    va in 0x400000..0x404000          an address, of whatever record has one
    output~hello                      text in what a program wrote

They mean the same in a recorded trace, where they search, and in a live one, where they stop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from hw.paging import ERR_FETCH, ERR_WRITE
from hw.panel.model.about import About
from hw.panel.model.tracks import SORTS, Tracks
from hw.trace import Kind, Record

TOKEN = re.compile(r"\s*(&&|\|\||!=|==|<=|>=|\.\.|[()!<>~]|0x[0-9a-fA-F]+|-?\d+|\w+|\S)")
SORT_WORDS = {"call": "syscall", "event": "log", "switch": "switch"}
ACCESSES = ("read", "write", "fetch")
ALWAYS = {"vas", "space", "tid", "call", "va", "kind", "core", "cycles"}
"""What every record may be asked for, whatever its fields."""
ADDRESSES = ("page", "va", "address", "start")


class ConditionError(ValueError):
    """What is wrong with a condition, in a sentence."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A record and its number: what a condition is asked about."""

    record: Record
    number: int
    tracks: Tracks
    about: About

    def value(self, name: str) -> int | str | None:
        """What `name` stands for here; None if this record has no such thing."""
        record = self.record
        if name in ("vas", "space"):
            if "space" in record.kind.fields:
                return int(record["space"])
            return self.tracks.space_at(record.core, self.number)
        if name == "tid" and "tid" not in record.kind.fields:
            return self.tracks.tid_at(record.core, self.number)
        if name == "call":
            named = record.kind.name in ("syscall", "wait")
            return self.about.call_name(record["number"]) if named else None
        if name == "va":
            return self._address()
        if name == "kind":
            return record.kind.name
        if name in ("core", "cycles"):
            return record.core if name == "core" else record.cycles
        if name in record.kind.fields:
            found = record[name]
            return found.decode(errors="replace") if isinstance(found, bytes) else int(found)
        return None

    def _address(self) -> int | None:
        fields = self.record.kind.fields
        if "vpn" in fields:
            return int(self.record["vpn"]) << 12
        return next((int(self.record[name]) for name in ADDRESSES if name in fields), None)

    def access(self) -> str:
        """`read`, `write` or `fetch` for a fault; empty for other records."""
        if self.record.kind.name not in ("fault", "exception"):
            return ""
        error = self.record["error"]
        return "fetch" if error & ERR_FETCH else "write" if error & ERR_WRITE else "read"


Condition = Callable[[Subject], bool]


def parse(text: str) -> Condition:
    """The condition that `text` states.  Raises `ConditionError`."""
    tokens = TOKEN.findall(text)
    if not tokens:
        raise ConditionError("a condition is needed, such as: fault && write")
    parser = _Parser(tokens)
    found = parser.either()
    if parser.rest:
        raise ConditionError(f"{parser.rest[0]!r} does not belong there")
    return found


def check(text: str, kinds: Iterable[Kind], about: About) -> None:
    """Refuse a condition with a word that no record of these kinds can meet: a misspelled one
    would wait for ever.  Raises `ConditionError` with the words that are known."""
    parser = _Parser(TOKEN.findall(text))
    parser.either()
    every = list(kinds)
    fields = {name for kind in every for name in kind.fields} | ALWAYS
    words = {kind.name for kind in every} | set(SORTS) | set(SORT_WORDS) | set(ACCESSES)
    known = {"word": words, "field": fields | {"output"}, "call": set(about.calls())}
    for what, name in parser.said:
        if name not in known[what] and (what != "call" or known[what]):
            raise ConditionError(_unknown(what, name, known[what]))


def _unknown(what: str, name: str, known: set[str]) -> str:
    close = get_close_matches(name, sorted(known), 1)
    hint = f"did you mean {close[0]}? " if close else ""
    most = sorted(known) if what != "call" else sorted(known)[:0]
    listed = f"known: {', '.join(most)}" if most else "python3 run.py manual lists the calls"
    return f"no {what} is called {name}; {hint}{listed}"


@dataclass(slots=True)
class _Parser:
    rest: list[str]
    said: list[tuple[str, str]] = field(default_factory=list)
    """The names of the condition: a word, a field or a call."""

    def take(self) -> str:
        if not self.rest:
            raise ConditionError("the condition ends too early")
        return self.rest.pop(0)

    def next_is(self, token: str) -> bool:
        if self.rest and self.rest[0] == token:
            self.rest.pop(0)
            return True
        return False

    def either(self) -> Condition:
        one = self.both()
        while self.next_is("||"):
            one = _or(one, self.both())
        return one

    def both(self) -> Condition:
        one = self.single()
        while self.next_is("&&"):
            one = _and(one, self.single())
        return one

    def single(self) -> Condition:
        if self.next_is("!"):
            inner = self.single()
            return lambda subject: not inner(subject)
        if self.next_is("("):
            inner = self.either()
            if self.take() != ")":
                raise ConditionError("a bracket is not closed")
            return inner
        name = self.take()
        if not re.fullmatch(r"\w+", name):
            raise ConditionError(f"{name!r} is not a name")
        if self.rest and self.rest[0] in COMPARISONS:
            operator, text = self.take(), self.take()
            self.said.append(("field", name))
            if name == "call" and operator in ("==", "!="):
                self.said.append(("call", text))
            return _compare(name, operator, text)
        self.said.append(("field" if self.rest and self.rest[0] == "in" else "word", name))
        if self.next_is("in"):
            return self.range_of(name)
        return _word(name)

    def range_of(self, name: str) -> Condition:
        low = _number(self.take())
        if self.take() != "..":
            raise ConditionError("a range is written 0x1000..0x2000")
        high = _number(self.take())

        def inside(subject: Subject) -> bool:
            value = subject.value(name)
            return isinstance(value, int) and low <= value < high

        return inside


COMPARISONS = ("==", "!=", "<=", ">=", "<", ">", "~")


def _or(one: Condition, other: Condition) -> Condition:
    return lambda subject: one(subject) or other(subject)


def _and(one: Condition, other: Condition) -> Condition:
    return lambda subject: one(subject) and other(subject)


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ConditionError(f"{text!r} is not a number") from None


def _word(name: str) -> Condition:
    """A kind of record, a sort of event, or an access."""
    if name in ACCESSES:
        return lambda subject: subject.access() == name
    kinds = SORTS.get(SORT_WORDS.get(name, name), (name,))
    if name == "output":
        kinds = ("console_output",)
    return lambda subject: subject.record.kind.name in kinds


def _compare(name: str, operator: str, text: str) -> Condition:
    if operator == "~" or (name == "output" and operator == "=="):
        field = "data" if name == "output" else name
        return lambda subject: text in str(subject.value(field) or "")
    numeric = re.fullmatch(r"-?\d+|0x[0-9a-fA-F]+", text) is not None
    wanted: int | str = _number(text) if numeric else text
    if not numeric and operator not in ("==", "!="):
        raise ConditionError(f"{text!r} is not a number")

    def holds(subject: Subject) -> bool:
        value = subject.value(name)
        if value is None or isinstance(value, str) != isinstance(wanted, str):
            return False
        return _OPERATORS[operator](value, wanted)

    return holds


_OPERATORS: dict[str, Callable[[int | str, int | str], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: int(a) < int(b),
    ">": lambda a, b: int(a) > int(b),
    "<=": lambda a, b: int(a) <= int(b),
    ">=": lambda a, b: int(a) >= int(b),
}
