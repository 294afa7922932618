"""Random updates of a table that one window does not hold: remapped, by messages, by VAS switch.

After SpaceJMP's GUPS (ASPLOS'16, 5.2).  The same seeded updates are done in the three ways of
`userland/programs/gups.c`, on one core.  All figures are those of the whole program, with its
beginning and end.  `--trace` records the way by VAS switch.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from hw import costs
from hw.trace import Kind, Trace
from kernel.boot import Config, boot, run_to_end, spawn, trace_header
from kernel.calls import SYSCALL
from kernel.kernel import Kernel
from kernel.syscalls import TABLE
from kernel.task.process import Process
from labs.claim import Demo, Options, Result, cannot_play, paragraph
from labs.crossings import host_clock
from userland.programs import describe, read_program

PROGRAM = "gups"
PARTS, BATCHES = 4, 300
WAYS = {
    "map": "munmap, and mmap of the next part of a file",
    "mp": "a process per part, and a message per batch",
    "jmp": "a VAS per part, and vas_switch",
}
JMP = "jmp"
HEADINGS = """\
         modelled  per 1,000    a second                              entries
           cycles     cycles   this host   maps  messages  switches  written"""
LEAST_RAM_MIB = 32


@dataclass(slots=True)
class Way:
    """What was seen of one run."""

    output: list[bytes] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    cycles: int = 0
    pte_writes: int = 0
    host_seconds: float = 0.0

    def __call__(self, kind: Kind, values: tuple[Any, ...]) -> None:
        """A record was made."""
        if kind is SYSCALL:
            self.calls[TABLE[values[1]].name] += 1

    @property
    def words(self) -> list[str]:
        """What the program printed: the updates done come first, the checksum last."""
        return b"".join(self.output).decode().split()

    def as_json(self) -> dict[str, Any]:
        updates = int(self.words[0])
        return {
            "checksum": self.words[-1],
            "updates": updates,
            "modelled_cycles": self.cycles,
            "updates_per_1000_cycles": round(1000 * updates / self.cycles, 3),
            "updates_per_host_second": round(updates / max(self.host_seconds, 1e-9)),
            "switches": self.calls["vas_switch"],
            "messages": self.calls["ipc_call"],
            "maps": self.calls["mmap"],
            "page_table_writes": self.pte_writes,
        }


def run(options: Options) -> Result:
    """The three ways, and whether they came to the same."""
    machine = options.config.machine
    machine = replace(machine, cpus=1, ram_mib=max(LEAST_RAM_MIB, machine.ram_mib))
    config = replace(options.config, machine=machine)
    if options.trace:
        kernel = boot(config, {}, lambda _: None)
        with options.recording(kernel, describe(PROGRAM, read_program(PROGRAM))):
            run_to_end(kernel, _begin(kernel, JMP, config))
    ways = {name: _measure(name, config).as_json() for name in WAYS}
    equal = len({way["checksum"] for way in ways.values()}) == 1
    data = {"ways": ways, "equal": equal, "parts": PARTS, "seed": config.seed}
    return Result(_text(ways, equal), data, holds=equal)


def _start(name: str, config: Config, way: Way) -> tuple[Kernel, Process]:
    kernel = boot(config, {}, way.output.append)
    return kernel, _begin(kernel, name, config)


def _begin(kernel: Kernel, name: str, config: Config) -> Process:
    words = [word.encode() for word in (PROGRAM, name, str(PARTS), str(BATCHES), str(config.seed))]
    return spawn(kernel, read_program(PROGRAM), words, [], config.user)


def _measure(name: str, config: Config) -> Way:
    """Once for the counts, once for host time with nothing recorded."""
    way = Way()
    kernel, process = _start(name, config, way)
    kernel.machine.attach_trace(Trace(trace_header(kernel), None, way))
    if run_to_end(kernel, process):
        raise cannot_play(PROGRAM, b"".join(way.output).decode())
    (core,) = kernel.machine.cores
    way.cycles, way.pte_writes = core.state.cycles, core.state.counts[costs.PTE_WRITE]
    kernel, process = _start(name, config, Way())
    begun = host_clock()
    run_to_end(kernel, process)
    way.host_seconds = host_clock() - begun
    return way


def _text(ways: dict[str, dict[str, Any]], equal: bool) -> str:
    updates, checksum = ways[JMP]["updates"], ways[JMP]["checksum"]
    end = (
        f"The three tables are equal (checksum {checksum}): only the way to them differs. Whoever "
        "maps writes the entries anew at each visit; after a switch they are still there."
        if equal
        else "The three tables differ, which must not be."
    )
    return "\n".join(
        [
            paragraph(
                f"A table in {PARTS} parts, seen through a window that shows one of them: "
                f"{updates:,} random updates in {BATCHES} batches, each of one part."
            ),
            "",
            *(f"  {name:<5}{doc}" for name, doc in WAYS.items()),
            "",
            HEADINGS,
            *(_row(name, way) for name, way in ways.items()),
            "",
            paragraph(end),
        ]
    )


def _row(name: str, way: dict[str, Any]) -> str:
    return (
        f"{name:<5}{way['modelled_cycles']:>12,}{way['updates_per_1000_cycles']:>11}"
        f"{way['updates_per_host_second']:>12,}{way['maps']:>7}{way['messages']:>10}"
        f"{way['switches']:>10}{way['page_table_writes']:>9,}"
    )


DEMO = Demo(PROGRAM, "more memory than a window: remapped, by messages, by VAS switch", run)
