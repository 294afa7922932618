"""Who still holds memory after exit: a process, a file, a segment, a VAS; what releases it, and
who pays meanwhile.

The program is `userland/programs/vas_lifetime.c`.  Its pages are looked up in the page tables while
all of them are there; from then on the trace says which of those frames were let go, and when.  The
user's limit is always 1 MiB here: an orphan is to reach it before memory ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from hw.memory import PAGE_SIZE
from hw.paging import ADDRESS, P
from kernel.kernel import Kernel
from kernel.mm.space import AddressSpace
from kernel.strace import error_name
from kernel.vas.listing import listing
from labs.claim import Demo, Options, Result, paragraph
from labs.stage import Act, play

PROGRAM = "vas_lifetime"
LIMIT_MIB, LEAST_RAM_MIB = 1, 8
LINE = re.compile(r"(\w+): (\d+) pages at (0x\w+)")
ANOTHER = re.compile(r"another VAS: (.+)")
MOMENTS = ("written", "detach", "exit", "vas_delete", "seg_delete", "unlink")
KINDS = {
    "own": "the process's own memory",
    "vas": "mapped inside the VAS",
    "segment": "a segment in the VAS",
    "file": "a file, mapped shared",
}
FATE = {"own": "exit", "vas": "vas_delete", "segment": "seg_delete", "file": "unlink"}
"""What releases each kind."""
WIDTHS = (9, 8, 6, 12, 12, 8)


@dataclass(frozen=True, slots=True)
class Moment:
    """`leaves`: the frame of each page that the caller sees, at home or where it is."""

    leaves: dict[int, int]
    used: int
    charged: int
    orphans: list[str]


def look(kernel: Kernel, tid: int) -> Moment:
    """At a mark of thread `tid`."""
    thread, known = kernel.tasks.threads[tid], listing(kernel.vases)
    named = {"VAS": known["vases"], "segment": known["segments"]}
    return Moment(
        _leaves(thread.process.space) | _leaves(thread.space),
        len(kernel.memory.frames.used()),
        sum(account["frames"] for account in known["accounts"].values()),
        [f"{k} {one['name'].decode()}" for k, all in named.items() for one in all if one["orphan"]],
    )


def _leaves(space: AddressSpace) -> dict[int, int]:
    pages = [va for r in space.map for va in range(r.start, r.end, PAGE_SIZE)]
    entries = {va: space.table.lookup(va) for va in pages}
    return {va: (entry & ADDRESS) >> 12 for va, entry in entries.items() if entry & P}


def run(options: Options) -> Result:
    """The frames of each kind from moment to moment, and then an orphan at its user's limit."""
    machine = options.config.machine
    machine = replace(machine, ram_mib=max(LEAST_RAM_MIB, machine.ram_mib))
    config = replace(options.config, machine=machine, vas_limit_mib=LIMIT_MIB)
    before, *acts = play(replace(options, config=config), PROGRAM, look)
    hog, *rest = acts[len(MOMENTS) :]
    assert before.picture is not None
    data: dict[str, Any] = {
        "used_before": before.picture.used,
        "moments": dict(zip(MOMENTS, _moments(acts[: len(MOMENTS)]), strict=True)),
        "refused": {call: acts[0].results(call) for call in ("vas_delete", "vas_seg_delete")},
        "hog": _hog(hog, rest),
    }
    return Result(_text(data), data, _holds(data))


def _moments(acts: list[Act[Moment]]) -> list[dict[str, Any]]:
    """The first act ends when all is written."""
    first = acts[0].picture
    assert first is not None
    alive = {
        kind: {first.leaves[int(at, 16) + i * PAGE_SIZE] for i in range(int(pages))}
        for kind, pages, at in LINE.findall(acts[0].said)
    }
    found = []
    for act in acts:
        if act is not acts[0]:
            alive = {kind: frames - act.freed for kind, frames in alive.items()}
        assert act.picture is not None
        found.append(
            {
                "frames": {kind: len(alive[kind]) for kind in KINDS},
                "used": act.picture.used,
                "charged": act.picture.charged,
                "orphans": act.picture.orphans,
            }
        )
    return found


def _hog(act: Act[Moment], rest: list[Act[Moment]]) -> dict[str, Any]:
    """A process that filled a VAS, and what others may do after it.  The tools begin with marks of
    their own."""
    assert act.picture is not None
    refused, made = [result for later in rest for result in later.results("vas_create")]
    said = "".join(later.said for later in rest)
    return {
        "limit": LIMIT_MIB << 8,
        "charged": act.picture.charged,
        "killed": any("out of memory" in line for line in act.logs),
        "tools": ANOTHER.sub("", said).rstrip().splitlines(),
        "create_beside_it": refused,
        "create_after_its_deletion": made,
    }


def _holds(data: dict[str, Any]) -> bool:
    moments, hog = data["moments"], data["hog"]
    written = moments["written"]["frames"]
    until = {kind: MOMENTS.index(fate) for kind, fate in FATE.items()}
    stays = all(
        moments[moment]["frames"][kind] == (written[kind] if i < until[kind] else 0)
        for kind in KINDS
        for i, moment in enumerate(MOMENTS)
    )
    limited = hog["charged"] >= hog["limit"] and hog["create_beside_it"] < 0
    nothing_left = moments["unlink"]["used"] == data["used_before"]
    return stays and nothing_left and limited and hog["create_after_its_deletion"] > 0


def _text(data: dict[str, Any]) -> str:
    moments, hog = data["moments"].values(), data["hog"]
    refused = {call: error_name(-result) for call, (result,) in data["refused"].items()}
    rows = [(name, [moment["frames"][kind] for moment in moments]) for kind, name in KINDS.items()]
    rows.append(("orphan", [" ".join(m["orphans"]).removesuffix(" left") for m in moments]))
    rows.append(("the user pays for", [moment["charged"] for moment in moments]))
    rows.append(("all frames in use", [moment["used"] for moment in moments]))
    return "\n".join(
        [
            paragraph(
                "A process writes to memory of four kinds, detaches its VAS, and ends; its parent "
                "deletes what is left. Of the frames that it wrote to, these are not free yet:"
            ),
            "",
            _line("", MOMENTS),
            *(_line(name, cells) for name, cells in rows),
            paragraph(
                f"Before it began {data['used_before']} were in use. The user pays for segment, "
                "VAS and its tables."
            ),
            "",
            paragraph(
                "Memory mapped inside belongs to the VAS, and a segment to nobody: detach and exit "
                f"release neither. Too early, vas_delete is {refused['vas_delete']} (a process has "
                f"the VAS attached) and vas_seg_delete {refused['vas_seg_delete']} (a VAS shows "
                "the segment)."
            ),
            "",
            *_orphan(hog),
        ]
    )


def _line(name: str, cells: Iterable[object]) -> str:
    return f"{name:<23}" + "".join(
        f"{cell or '-':>{width}}" for cell, width in zip(cells, WIDTHS, strict=True)
    )


def _orphan(hog: dict[str, Any]) -> list[str]:
    end = (
        "It is killed at the limit."
        if hog["killed"]
        else "Under rfc it pays for the memory only at its end, and so passes the limit."
    )
    return [
        paragraph(
            f"Another process fills a VAS, where a user may have {hog['limit']} frames. {end} For "
            f"what it leaves the user pays, {hog['charged']} frames; `vas orphans` and `vasseg "
            "orphans` list it:"
        ),
        *(line.rstrip() for line in hog["tools"]),
        f"vas_create answers {_answer(hog['create_beside_it'])} now, and after a vas_delete "
        f"{_answer(hog['create_after_its_deletion'])}.",
    ]


def _answer(result: int) -> str:
    return error_name(-result) if result < 0 else f"vid {result}"


DEMO = Demo("lifetime", "who still holds memory after exit, what releases it, and who pays", run)
