"""A heap that grows inside and outside of a VAS: three policies, and segments without views.

Four systems are booted; the one that a trace is of has the policy that was asked for.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Any

from kernel.boot import boot, run_to_end, spawn
from kernel.vas.vases import SYNCS
from labs.claim import Demo, Options, Result, paragraph
from userland.programs import built_in, describe, read_program

PROGRAM, SEGMENTS = "vas_brk", "segments"
HOW = {
    "subtree": "where the views share page tables",
    "forward": "where each change is pushed into the other view",
    "rfc": "where the views are compared at each switch",
    SEGMENTS: "where nobody switches",
}
PUSHED = re.compile(r"pushed (\d+)")


def run(options: Options) -> Result:
    """The same program in each of them."""
    rows = {name: _outcome(options, name) for name in (*SYNCS, SEGMENTS)}
    fine = [name for name in rows if name != "rfc"]
    holds = rows["rfc"]["exit_status"] == 1 and bool(rows["rfc"]["conflicts"])
    holds = holds and not any(rows[n]["exit_status"] or rows[n]["conflicts"] for n in fine)
    holds = holds and rows["forward"]["pushed"] > 0 == rows["subtree"]["pushed"]
    return Result(_text(rows), rows, holds)


def _outcome(options: Options, name: str) -> dict[str, Any]:
    sync = options.config.vas_sync if name == SEGMENTS else name
    output: list[bytes] = []
    kernel = boot(replace(options.config, vas_sync=sync), built_in(), output.append)
    program = read_program(PROGRAM)
    words = [PROGRAM.encode(), *([SEGMENTS.encode()] if name == SEGMENTS else [])]
    asked = options if name == options.config.vas_sync else Options(options.config)
    with asked.recording(kernel, describe(PROGRAM, program) if asked.trace else None):
        status = run_to_end(kernel, spawn(kernel, program, words, [], options.config.user))
    says = b"".join(output).decode().splitlines()
    pushed = PUSHED.search("\n".join(says))
    return {
        "exit_status": status >> 8,
        "says": says,
        "conflicts": [line for line in kernel.log.messages if "layout conflict" in line],
        "pushed": int(pushed[1]) if pushed else None,
    }


def _text(rows: dict[str, dict[str, Any]]) -> str:
    lines = [
        paragraph(
            "Two threads grow one heap in turns, one of them inside a VAS; each stores a letter in "
            "the page that it got."
        )
    ]
    for name, row in rows.items():
        lines += ["", f"{name}, {HOW[name]}: exit status {row['exit_status']}"]
        lines += [paragraph(f"  | {line}", "  | ") for line in row["says"]]
        times = Counter(row["conflicts"])
        lines += [paragraph(f"  kernel, {n} times: {line}", "    ") for line, n in times.items()]
    return "\n".join(lines)


DEMO = Demo("conflict", "a heap grows in two views: three policies, and segments only", run)
