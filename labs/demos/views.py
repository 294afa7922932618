"""One program, three views of one address: what the page tables say in each of them."""

from __future__ import annotations

import re
from typing import Any

from hw.paging import ADDRESS
from kernel import turns
from kernel.boot import boot, spawn
from labs.claim import Demo, Options, Result, cannot_play, paragraph
from userland.programs import built_in, describe, read_program

PROGRAM, LAST = "vas_views", "is not there"
LINE = re.compile(r"vid (\d+): (0x\w+) (?:holds )?(.+)")


def run(options: Options) -> Result:
    """The tables are read while the views are there: when the program has said its last line."""
    output: list[bytes] = []
    kernel = boot(options.config, built_in(), output.append)
    program = read_program(PROGRAM)
    with options.recording(kernel, describe(PROGRAM, program) if options.trace else None):
        process = spawn(kernel, program, [PROGRAM.encode()], [], options.config.user)
        turns.run_until(kernel, lambda: process.zombie or LAST in b"".join(output).decode())
        home, rows = process.space, []
        held = kernel.vases.held(home).attachments
        for vid, place, says in LINE.findall(b"".join(output).decode()):
            space = held[int(vid)].view if int(vid) else home
            leaf = space.table.lookup(int(place, 16))
            rows.append(
                {
                    "vid": int(vid),
                    "va": int(place, 16),
                    "says": says,
                    "cr3": space.table.root_pa,
                    "pfn": (leaf & ADDRESS) >> 12,
                }
            )
        turns.run(kernel, lambda: process.zombie)
    if not rows:
        raise cannot_play(PROGRAM, b"".join(output).decode())
    inside = [row for row in rows if row["vid"]]
    holds = len({row["va"] for row in rows}) == 1 and len(inside) == 3
    holds = holds and len({row["pfn"] for row in inside}) == 3 and rows[-1]["pfn"] == 0
    holds = holds and len({row["says"] for row in inside}) == 3 and process.exit_status == 0
    return Result(_text(rows), {"views": rows, "exit_status": process.exit_status}, holds)


def _text(rows: list[dict[str, Any]]) -> str:
    lines = [
        paragraph(
            f"One program asks {len(rows)} times what is at {rows[0]['va']:#x}. Between the "
            "questions it only calls vas_switch, which loads another CR3."
        ),
        "",
        f"  {'vid':<5}{'CR3':<11}{'leads to':<14}the program says",
    ]
    for row in rows:
        where = f"frame {row['pfn']:#x}" if row["pfn"] else "no frame"
        lines.append(f"  {row['vid']:<5}{row['cr3']:<#11x}{where:<14}{row['says']}")
    frames = len({row["pfn"] for row in rows if row["pfn"]})
    home = "vid 0 is the process's own space: at home nothing is there."
    return "\n".join([*lines, "", paragraph(f"{frames} frames at one address. {home}")])


DEMO = Demo("views", "one program, three views of the same address", run)
