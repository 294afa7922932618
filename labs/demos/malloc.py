"""An allocator whose lists are in one view and whose blocks are in another: the trap, and the cure.

The program is `userland/programs/vas_malloc.c`.  Pages are those with a frame that the VAS and its
segment have when a process has ended; whose the blocks are is asked of the VAS's regions then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from kernel.kernel import Kernel
from kernel.vas.listing import listing
from labs.claim import Demo, Options, Result, paragraph
from labs.stage import Act, play

PROGRAM = "vas_malloc"
ALLOCATORS = ("malloc", "mapped", "vas_heap")
PROCESSES = 3
LEFT = re.compile(r"leaves a pointer to (0x\w+)")
FINDS = re.compile(r"the second finds '(\w*)'")


@dataclass(frozen=True, slots=True)
class Stock:
    """`ranges` and resident `pages` of the VAS, its segment's among them."""

    ranges: list[tuple[int, int]]
    pages: int


def look(kernel: Kernel, _: int) -> Stock:
    """When a process has ended."""
    known = listing(kernel.vases)
    ranges = [(region["start"], region["end"]) for vas in known["vases"] for region in vas["maps"]]
    return Stock(ranges, sum(one["resident"] for one in (*known["vases"], *known["segments"])))


def run(options: Options) -> Result:
    """Three processes with each allocator."""
    *acts, _ = play(options, PROGRAM, look)
    data = {
        name: _outcome(acts[PROCESSES * i : PROCESSES * (i + 1)])
        for i, name in enumerate(ALLOCATORS)
    }
    return Result(_text(data), data, _holds(data))


def _outcome(acts: list[Act[Stock]]) -> dict[str, Any]:
    said = "".join(act.said for act in acts)
    left, finds = LEFT.search(said), FINDS.search(said)
    pointer = int(left[1], 16) if left else 0
    stocks = [act.picture for act in acts if act.picture is not None]
    return {
        "pointer": pointer,
        "in_vas": _within(pointer, stocks[0]),
        "finds": finds[1] if finds else None,
        "pages": [stock.pages for stock in stocks],
        "deaths": [
            [death.signal, death.address, _within(death.address, stocks[-1])]
            for act in acts
            for death in act.deaths
        ],
    }


def _within(va: int, stock: Stock) -> bool:
    return any(start <= va < end for start, end in stock.ranges)


def _holds(data: dict[str, dict[str, Any]]) -> bool:
    malloc, mapped, heap = (data[name] for name in ALLOCATORS)
    lost = not malloc["in_vas"] and malloc["finds"] == "second"
    one, two, three = mapped["pages"]
    leaks = mapped["in_vas"] and one < two < three
    fell = [(signal, within) for signal, _, within in mapped["deaths"]] == [("SIGSEGV", True)]
    cured = heap["in_vas"] and heap["finds"] == "first" and len(set(heap["pages"])) == 1
    return lost and leaks and fell and cured and not malloc["deaths"] and not heap["deaths"]


def _text(data: dict[str, dict[str, Any]]) -> str:
    malloc, mapped, heap = (data[name] for name in ALLOCATORS)
    second, third = (b - a for a, b in pairwise(mapped["pages"]))
    return "\n".join(
        [
            paragraph(
                "Three processes use one VAS in turn. Inside, the first allocates blocks, leaves a "
                "pointer to one that says 'first', and frees the others; the second allocates as "
                "many that say 'second', and follows the pointer; the third frees one, goes home, "
                "and allocates there."
            ),
            "",
            f"{'':<12}{'':<12}{'':<9}{'VAS pages after':<19}{'second':<10}third",
            f"{'allocator':<12}{'its lists':<12}{'blocks':<9}{'1st':>4}{'2nd':>5}{'3rd':>5}     "
            f"{'finds':<10}process",
            *(_row(name, row) for name, row in data.items()),
            "",
            paragraph(
                f"malloc grows the heap, which is the process's own in every view. The pointer to "
                f"{malloc['pointer']:#x} in the VAS leads the second process into its own heap, "
                f"where it finds '{malloc['finds']}': the block went with the first process."
            ),
            "",
            paragraph(
                "mapped keeps its lists in the process and takes its blocks by mmap, so inside "
                "they are the VAS's. A list of free blocks ends with its process, the blocks do "
                f"not: {second} more pages with the second process and {third} with the third. And "
                f"at home the list offers a block that is only in the VAS: {_ends(mapped)}."
            ),
            "",
            paragraph(
                "vas_heap keeps lists and lock in the segment that it manages: who sees the "
                f"blocks sees the lists. The second process finds '{heap['finds']}' and the room "
                f"that was freed: {heap['pages'][0]} pages, and no more."
            ),
        ]
    )


def _row(name: str, row: dict[str, Any]) -> str:
    lists = "the VAS" if name == "vas_heap" else "the process"
    blocks = "the VAS" if row["in_vas"] else "process"
    first, second, third = row["pages"]
    ends = row["deaths"][0][0] if row["deaths"] else "ends"
    return (
        f"{name:<12}{lists:<12}{blocks:<9}{first:>4}{second:>5}{third:>5}     "
        f"{row['finds'] or '-':<10}{ends}"
    )


def _ends(row: dict[str, Any]) -> str:
    return ", ".join(f"{signal} at {at:#x}" for signal, at, _ in row["deaths"]) or "nothing happens"


DEMO = Demo("malloc", "an allocator's lists in one view, its blocks in another: trap and cure", run)
