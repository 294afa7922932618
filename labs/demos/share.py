"""A structure full of pointers: built by one process, walked by another at the same addresses."""

from __future__ import annotations

import re
from typing import Any

from hw.paging import ADDRESS
from kernel import turns
from kernel.boot import boot, spawn
from kernel.kernel import Kernel
from labs.claim import Demo, Options, Result, cannot_play, paragraph
from userland.programs import built_in, describe, read_program

PROGRAM = "vas_share"
LINE = re.compile(r"process (\d+) (built|found) (\d+) nodes, root (0x\w+), .* to (0x\w+): (.+)")


def run(options: Options) -> Result:
    """The tables are read when the second process has said what it found."""
    output: list[bytes] = []
    kernel = boot(options.config, built_in(), output.append)
    program = read_program(PROGRAM)
    with options.recording(kernel, describe(PROGRAM, program) if options.trace else None):
        process = spawn(kernel, program, [PROGRAM.encode()], [], options.config.user)
        turns.run_until(kernel, lambda: process.zombie or b"found" in b"".join(output))
        lines = LINE.findall(b"".join(output).decode())
        rows = [_row(kernel, *line) for line in lines]
        turns.run(kernel, lambda: process.zombie)
    if len(rows) < 2:
        raise cannot_play(PROGRAM, b"".join(output).decode())
    left = len(kernel.vases.vases) + len(kernel.vases.segments)
    built, found = rows
    same = all(built[key] == found[key] for key in ("nodes", "root", "sum", "words"))
    holds = same and not built["alive"] and found["alive"] and found["pfn"] == found["held"]
    holds = holds and not left and process.exit_status == 0
    data = {"processes": rows, "left": left, "exit_status": process.exit_status}
    return Result(_text(rows), data, bool(holds))


def _row(
    kernel: Kernel, pid: str, what: str, nodes: str, root: str, total: str, words: str
) -> dict[str, Any]:
    """What a process said, whether it is alive, and the frame behind the root that it sees now."""
    alive = int(pid) in kernel.tasks.processes and not kernel.tasks.processes[int(pid)].zombie
    space = kernel.tasks.processes[int(pid)].threads[0].space if alive else None
    va = int(root, 16)
    pfn = (space.table.lookup(va & ~0xFFF) & ADDRESS) >> 12 if space else 0
    segment = next(iter(kernel.vases.segments.values()))
    held = segment.object.pages.get(va - segment.start >> 12, 0)
    said = {"pid": int(pid), "did": what, "nodes": int(nodes), "root": va, "sum": int(total, 16)}
    return {**said, "words": words.split(), "alive": alive, "pfn": pfn, "held": held}


def _text(rows: list[dict[str, Any]]) -> str:
    lines = ["A tree of words in a segment: every node is two pointers and a word.", ""]
    for row in rows:
        state = f"sees the root in frame {row['pfn']:#x}" if row["alive"] else "has ended since"
        lines += [
            f"  process {row['pid']} {row['did']} {row['nodes']} nodes from {row['root']:#x} "
            f"and {state}:",
            f"    {' '.join(row['words'])}",
        ]
    moral = (
        "Nothing was copied or translated: the segment lies at its own address in every process, "
        f"so the pointers hold. The root is in frame {rows[1]['held']:#x}, which only the segment "
        "held between the two processes."
    )
    return "\n".join([*lines, "", paragraph(moral)])


DEMO = Demo("share", "pointers that one process stored, followed by another", run)
