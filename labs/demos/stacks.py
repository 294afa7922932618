"""Two tasks with their stacks at one place: in one address space, in two views, in two processes.

The question is from the RFC's thread (A. Lutomirski, March 2017).  The program is
`userland/programs/vas_stacks.c`: its tasks store a letter on the stack, and look at it when the
other has stored its own.  Stack pointers are read from the core, and frames from the page tables
of all tasks when both have stored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hw.memory import PAGE_MASK
from hw.paging import ADDRESS
from kernel.kernel import Kernel
from kernel.mm.space import AddressSpace
from kernel.strace import error_name
from labs.claim import Demo, Options, Result, paragraph
from labs.stage import Act, play

PROGRAM = "vas_stacks"
WHERE = ("one address space", "two views", "two processes")
FOUND = re.compile(r"([\w ]+): (\w) stored at (0x\w+), found (\w)")
POINTER = re.compile(r"followed by B: (\w)")


@dataclass(frozen=True, slots=True)
class Sight:
    """A mark of thread `tid`.  Of every thread: the VAS it is in, the frame that it sees where
    `rsp` points, and the frame of the first page of that VAS."""

    tid: int
    pid: int
    rsp: int
    seen: dict[int, tuple[int, int, int]]


def look(kernel: Kernel, tid: int) -> Sight:
    """What all threads see at the stack pointer of the one that marked."""
    thread = kernel.tasks.threads[tid]
    assert thread.loaded_on is not None
    rsp = kernel.machine.cores[thread.loaded_on].registers()["rsp"]
    seen = {}
    for other in kernel.tasks.threads.values():
        vid = other.space.vid
        first = next(iter(kernel.vases.vas(vid).space.map), None) if vid else None
        frame = _frame(other.space, first.start) if first else 0
        seen[other.tid] = (vid, _frame(other.space, rsp), frame)
    return Sight(tid, thread.process.pid, rsp, seen)


def _frame(space: AddressSpace, va: int) -> int:
    return (space.table.lookup(va & ~PAGE_MASK) & ADDRESS) >> 12


def run(options: Options) -> Result:
    """The three ways to have two stacks at one place, and two that fail."""
    *stored, fallen, conflict, _ = acts = play(options, PROGRAM, look)
    said = "".join(act.said for act in acts)
    pointer = POINTER.search(said)
    data: dict[str, Any] = {
        name: _pair(stored[2 * i : 2 * i + 2], name, said) for i, name in enumerate(WHERE)
    }
    data |= {
        "second_mapping": [r for act in acts for r in act.results("mmap") if r < 0],
        "fall": [[death.signal, death.address] for death in fallen.deaths],
        "followed": pointer[1] if pointer else None,
        "attach_over_the_stack": conflict.results("vas_attach"),
        "conflict": conflict.logs,
    }
    travellers = [row["tid"] for row in data["two views"]]
    calls = [call for act in acts for call in act.calls if call.tid in travellers]
    data["switches"] = sum(call.name == "vas_switch" for call in calls)
    return Result(_text(data), data, _holds(data))


def _pair(acts: Sequence[Act[Sight]], where: str, said: str) -> list[dict[str, Any]]:
    """Both tasks, seen when the second has stored."""
    sights = [act.picture for act in acts if act.picture is not None]
    found = [match[1:] for match in FOUND.findall(said) if match[0] == where]
    rows = []
    for sight, (letter, at, finds) in zip(sights, sorted(found), strict=True):
        vid, pfn, of_vas = sights[-1].seen[sight.tid]
        rows.append(
            {
                "tid": sight.tid,
                "pid": sight.pid,
                "vid": vid,
                "rsp": sight.rsp,
                "pfn": pfn,
                "vas_pfn": of_vas,
                "variable": int(at, 16),
                "stored": letter,
                "found": finds,
            }
        )
    return rows


def _holds(data: dict[str, Any]) -> bool:
    one, views, processes = (data[name] for name in WHERE)
    pairs = (one, views, processes)
    same_place = all(a["rsp"] == b["rsp"] and a["variable"] == b["variable"] for a, b in pairs)
    lost = one[0]["pfn"] == one[1]["pfn"] and one[0]["found"] != one[0]["stored"]
    kept = all(row["found"] == row["stored"] for row in (*views, *processes))
    apart = all(a["pfn"] != b["pfn"] and a["pfn"] and b["pfn"] for a, b in (views, processes))
    shared = processes[0]["vas_pfn"] == processes[1]["vas_pfn"] > 0
    fell = [signal for signal, _ in data["fall"]] == ["SIGSEGV"]
    refused = len(data["conflict"]) == 1 and "[stack]" in data["conflict"][0]
    return same_place and lost and kept and apart and shared and fell and refused


def _text(data: dict[str, Any]) -> str:
    one, views, processes = (data[name] for name in WHERE)
    falls = ", ".join(f"{signal} at {address:#x}" for signal, address in data["fall"])
    common = sorted({f"{row['vas_pfn']:#x}" for row in processes})
    return "\n".join(
        [
            '"What if two tasks have their stacks in the same place?" Each stores a letter in',
            "a variable on its stack, and looks at it when the other has stored its own.",
            "",
            f"{'':<22}{'stack pointer':<17}{'frame':<8}stored  found",
            "One address space, two threads: one page table, one frame at one address.",
            *(_row(f"thread {row['tid']}", row) for row in one),
            paragraph(
                f"A second stack cannot be mapped there ({_errors(data['second_mapping'])})."
            ),
            "The same threads, each inside a VAS of its own that has a stack there.",
            *(_row(f"thread {row['tid']}, vid {row['vid']}", row) for row in views),
            paragraph(
                f"Both went home and came back, in {data['switches']} switches. B follows a "
                f"pointer to A's variable and finds {data['followed']}: it leads into B's own "
                "stack."
            ),
            "Two processes in one VAS, with the stacks that they have anyway.",
            *(_row(f"process {row['pid']}, vid {row['vid']}", row) for row in processes),
            f"A view shows its own process's stack; the VAS's page is frame {' and '.join(common)} "
            "in both.",
            "",
            "What does not work:",
            paragraph(
                f"- A thread goes home while it stands on a stack of the VAS: "
                f"{falls or 'it lives'}. At home nothing is there; it must change stacks first.",
                "  ",
            ),
            paragraph(
                "- A VAS has a segment where the stack is: vas_attach answers "
                f"{_errors(data['attach_over_the_stack'])}. Log: {' '.join(data['conflict'])}.",
                "  ",
            ),
        ]
    )


def _row(name: str, row: dict[str, Any]) -> str:
    lost = "" if row["found"] == row["stored"] else "    lost"
    frame = f"{row['pfn']:#x}"
    return f"  {name:<20}{row['rsp']:#x}   {frame:<8}{row['stored']:<8}{row['found']}{lost}"


def _errors(results: Sequence[int]) -> str:
    return ", ".join(error_name(-result) for result in results if result < 0)


DEMO = Demo("stacks", "two tasks with their stacks at one place: one space, two views", run)
