"""The questions of lab 9: scenes of `exam_store` with the student's table and client.

The kernel is our own here, so the trace can be believed as well as memory.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from labs.evidence import Expectation
from labs.lab import Check
from labs.question import Question

PAGE = 0x600000000000
"""EXAM_PAGE of <exam.h>."""
SEGMENT = 0x200000000000
VERSION = 1000
"""How far `exam_mix` of two versions of a key are apart."""
ENDED = "ended"
STOPS = ["reading", "writing", "home", "nobody", ENDED]
CLIENT = "t2"
READER, WRITER = 1, 2
"""`how` of a seg_lock record."""
RAM_MIB = 16


def says(slot: int, value: Any, words: str, at: str = ENDED) -> Expectation:
    """What the program has written into the page for answers."""
    return Expectation(["number", "p1", PAGE + 8 * slot], value, words, at, decimal=value == 1)


def scene(
    name: str,
    number: int,
    expected: list[Expectation],
    machine: dict[str, Any] | None = None,
    seed: int = 1,
) -> Question:
    told = {
        "program": "exam_store",
        "words": [name, str(number)],
        "stops": STOPS,
        "machine": {"ram_mib": RAM_MIB, **(machine or {})},
        "config": {"vas_sharing": "switch", "seed": seed},
    }
    ended = Expectation(["answer", "status"], 0, "the exit status of exam_store")
    return Question(f"scene {name} {number}", told, [*expected, ended], RAM_MIB << 20)


def _find(random: Random) -> list[Question]:
    number = random.randrange(80, 150)
    values = [says(2 + i, {"mix": i}, f"the value of key:{i}") for i in range(number)]
    nobody = says(1, 0, "what an empty table has under a key")
    still = says(2 + number, 1, "that a key which was never set has no value")
    return [scene("find", number, [nobody, *values, still])]


def _replace(random: Random) -> list[Question]:
    number = random.randrange(80, 150)
    values = [
        says(1 + i, {"mix": i + (0 if i % 3 else VERSION)}, f"the last value of key:{i}")
        for i in range(number)
    ]
    new = says(1 + number, 1, "that a new value is a new entry, as a reader may hold the old one")
    return [scene("replace", number, [*values, new])]


def _room(random: Random) -> list[Question]:
    return [
        scene(
            "room",
            1,
            [
                says(1, 2000, "how many of 2,000 values for one key found room"),
                says(2, 1, "that the memory is full when its entries are used up"),
                says(3, 1, "that a full table keeps what it has"),
                says(4, 0, "what is under the key that found no room"),
            ],
        )
    ]


def _attach(random: Random) -> list[Question]:
    def rights(value: str | None, at: str) -> Expectation:
        return Expectation(["rights", CLIENT, SEGMENT], value, "the client's rights there", at)

    return [
        scene(
            "attach",
            1,
            [
                says(1, 1, "whether a client can switch to store-read", "reading"),
                rights("r", "reading"),
                says(2, 1, "whether a client can switch to store-write", "writing"),
                rights("rw", "writing"),
                rights(None, "home"),
            ],
        )
    ]


def _locks(how: int, least: int, words: str) -> Expectation:
    return Expectation(["count", "seg_lock", {"how": how}], {"at_least": least}, words)


def _lock(random: Random) -> list[Question]:
    taken = _locks(WRITER, 1, "how often somebody came in as the writer")
    return [scene("lock", 1, [says(1, 1, "whether the store was made"), taken])]


def _home(at: str) -> Expectation:
    seen = ["rights", CLIENT, SEGMENT]
    return Expectation(seen, None, "what the client sees of the segment afterwards", at)


def _get(random: Random) -> list[Question]:
    return [
        scene(
            "get",
            1,
            [
                says(1, 1, "what get returned for a key that is there", "home"),
                says(2, {"mix": 1}, "the first word of the value", "home"),
                says(3, 1, "whether the copy is whole", "home"),
                _home("home"),
                says(4, 0, "what get returned for a key that is not there", "nobody"),
                _home("nobody"),
                says(6, 1, "whether the client ended well"),
                _locks(READER, 2, "how often somebody came in as a reader"),
            ],
        )
    ]


def _set(random: Random) -> list[Question]:
    value = {"mix": 5 * VERSION + 1}
    return [
        scene(
            "set",
            1,
            [
                _home("home"),
                says(1, 1, "whether the client ended well"),
                says(2, value, "the first word of what another process gets"),
            ],
        )
    ]


def _add(random: Random) -> list[Question]:
    number = random.randrange(20, 30)
    total = number * (1 + 2 + 3 + 4)
    expected = [
        says(1, 1, "whether all four clients ended well"),
        Expectation(["number", "p1", PAGE + 16], total, "the counter", ENDED, decimal=True),
    ]
    return [
        scene("add", number, expected, {"cpus": cpus}, random.randrange(1, 1000))
        for cpus in (1, 2, 4)
    ]


def _killed(random: Random) -> list[Question]:
    number = 12
    whole = Expectation(
        ["number", "p1", PAGE + 8],
        number,
        "how many of the values that killed writers left are whole",
        ENDED,
        decimal=True,
    )
    return [scene("killed", number, [whole], {}, random.randrange(1, 1000)) for _ in range(2)]


def _faster(random: Random) -> list[Question]:
    less = says(3, 1, "whether gets by switch take less time than by messages")
    return [scene("faster", 40, [less])]


MAKERS: dict[str, Callable[[Random], list[Question]]] = {
    "find": _find,
    "replace": _replace,
    "room": _room,
    "attach": _attach,
    "lock": _lock,
    "get": _get,
    "set": _set,
    "add": _add,
    "killed": _killed,
    "faster": _faster,
}


def questions(check: Check, seed: int) -> list[Question]:
    """The questions of one check: the same seed gives the same ones."""
    return MAKERS[check.name](Random(f"store {check.name} {seed}"))
