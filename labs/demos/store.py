"""A key-value store that clients switch into, against the same store behind messages.

After SpaceJMP's RedisJMP (ASPLOS'16, 5.3).  The program is `userland/programs/store/`: one hash
table, compiled once, in a lockable segment or in a server's memory.  It runs on one core and on
four, under sharing policy `switch`.  A figure is of the time from the first client's first
operation to the last client's last one, in one run with nothing recorded.  `--trace` records four
clients on four cores that mostly set, by switch.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, NamedTuple

from hw import costs
from hw.cpu import Core
from hw.machine import EXACT
from kernel.boot import Config, boot, run_to_end, spawn
from kernel.kernel import Kernel
from kernel.syscalls import TABLE
from kernel.task.process import Process
from kernel.trap import Traps
from labs.claim import Demo, Options, Result
from labs.crossings import MARK, host_clock
from userland.programs import describe, read_program

PROGRAM = "store"
GETS, SETS = "GET-heavy", "SET-heavy"
READS = {GETS: 95, SETS: 5}
"""How many of a hundred operations read."""
SWITCH, MESSAGES = "switch", "messages"
CORES, CLIENTS = (1, 4), (1, 2, 3, 4)
OPERATIONS = 200
"""Of each client."""
LEAST_RAM_MIB, COLUMNS = 32, 80


class Case(NamedTuple):
    """What one figure is of."""

    cores: int
    mix: str
    way: str
    clients: int


CASES = [Case(*each) for each in product(CORES, READS, (SWITCH, MESSAGES), CLIENTS)]
Figures = dict[Case, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Moment:
    """What the clocks and the counters of all cores said when a client began or had done."""

    cycles: int
    host: float
    counts: list[int]


@dataclass(slots=True)
class Marks:
    """Stands in front of the kernel's vectors and notes each null_call.  The first one is
    `vantage_required`'s."""

    kernel: Kernel
    vectors: Any
    mark: int
    moments: list[Moment] = field(default_factory=list)

    def syscall(self, core: Core, number: int, *arguments: int) -> int | None:
        if number == self.mark:
            every = [core.state.counts for core in self.kernel.machine.cores]
            counts = [sum(of_all) for of_all in zip(*every, strict=True)]
            self.moments.append(Moment(core.state.cycles, host_clock(), counts))
        answer: int | None = self.vectors.syscall(core, number, *arguments)
        return answer

    def page_fault(self, core: Core, page: int, error: int) -> int:
        answer: int = self.vectors.page_fault(core, page, error)
        return answer

    def exception(self, core: Core, vector: int, error: int, va: int) -> None:
        self.vectors.exception(core, vector, error, va)


def run(options: Options) -> Result:
    """Both ways, both mixes, one client to four, on one core and on four."""
    if options.trace:
        kernel, process = _start(options.config, Case(CORES[-1], SETS, SWITCH, CLIENTS[-1]), [])
        with options.recording(kernel, describe(PROGRAM, read_program(PROGRAM))):
            run_to_end(kernel, process)
    figures = {case: measure(options.config, case) for case in CASES}
    right = all(_right(figures, case) for case in CASES)
    rows = [{**case._asdict(), **figure} for case, figure in figures.items()]
    data = {"rows": rows, "right": right, "seed": options.config.seed}
    return Result(text(figures, right), data, holds=right)


def _right(figures: Figures, case: Case) -> bool:
    """All values that were read had been written, and both ways end with what was planned."""
    twin = figures[case._replace(way=MESSAGES)]
    return not figures[case]["wrong"] and figures[case]["content"] == twin["content"]


def _start(config: Config, case: Case, output: list[bytes]) -> tuple[Kernel, Process]:
    ram = max(LEAST_RAM_MIB, config.machine.ram_mib)
    machine = replace(config.machine, cpus=case.cores, ram_mib=ram, clock=EXACT)
    kernel = boot(replace(config, machine=machine, vas_sharing=SWITCH), {}, output.append)
    numbers = (READS[case.mix], case.clients, OPERATIONS, config.seed)
    words = [PROGRAM.encode(), case.way.encode(), *(b"%d" % number for number in numbers)]
    return kernel, spawn(kernel, read_program(PROGRAM), words, [], config.user)


def measure(config: Config, case: Case) -> dict[str, Any]:
    output: list[bytes] = []
    kernel, process = _start(config, case, output)
    mark = next(row.number for row in TABLE.values() if row.name == MARK)
    marks = Marks(kernel, Traps(kernel), mark)
    kernel.machine.connect(marks)
    status = run_to_end(kernel, process)
    _, *moments = marks.moments
    first, last = (end(moments, key=lambda one: one.cycles) for end in (min, max))
    cycles, operations = last.cycles - first.cycles, case.clients * OPERATIONS
    host = max(one.host for one in moments) - min(one.host for one in moments)
    counts = zip(costs.TABLE, last.counts, first.counts, strict=True)
    return {
        "modelled_cycles": cycles,
        "cycles_per_operation": round(cycles / operations, 1),
        "operations_per_million_cycles": round(1e6 * operations / cycles, 1),
        "operations_per_host_second": round(operations / max(host, 1e-9)),
        "counts_per_operation": {
            row.name: round((after - before) / operations, 2)
            for row, after, before in counts
            if after > before
        },
        "wrong": status != 0,
        "content": b"".join(output).decode().split()[-1],
    }


# In words ---------------------------------------------------------------------------------------


def text(figures: Figures, right: bool) -> str:
    verdict = (
        "All values that were read had been written, and both ways end with the same."
        if right
        else "A value was read that nobody wrote, or the ends differ, which must not be."
    )
    return "\n".join(
        [
            *_wrapped(
                f"A store of keys and values in a segment, which {CLIENTS[0]} to {CLIENTS[-1]} "
                "clients switch into; and the same hash table in a server, which they send "
                f"messages to. {OPERATIONS} operations each, {READS[GETS]} or {READS[SETS]} "
                "of 100 a GET."
            ),
            "",
            f"{'':20}" + "".join(f"{_cores(cores):>29}" for cores in CORES),
            f"{'clients':20}" + _row([n for _ in CORES for n in CLIENTS]),
            "operations per million modelled cycles",
            *_table(figures, "operations_per_million_cycles"),
            "operations per second on this host",
            *_table(figures, "operations_per_host_second"),
            "",
            *(line for sentence in _why(figures) for line in _wrapped(sentence, "- ")),
            *_wrapped(verdict),
        ]
    )


def _wrapped(text: str, mark: str = "") -> list[str]:
    return textwrap.wrap(text, COLUMNS, initial_indent=mark, subsequent_indent=" " * len(mark))


def _cores(cores: int) -> str:
    return "one core" if cores == 1 else f"{cores} cores"


def _row(figures: list[int]) -> str:
    """One for each number of clients, first on one core."""
    return "".join(f"{value:>{7 if i % len(CLIENTS) else 8}}" for i, value in enumerate(figures))


def _table(figures: Figures, name: str) -> list[str]:
    """A line for each mix and way."""
    lines = []
    for mix, way in product(READS, (SWITCH, MESSAGES)):
        values = [figures[Case(cores, mix, way, n)][name] for cores in CORES for n in CLIENTS]
        lines.append(f"  {mix:10}{way:8}{_row([round(value) for value in values])}")
    return lines


def _why(figures: Figures) -> list[str]:
    """A sentence for each difference."""
    few, many, most = *CORES, CLIENTS[-1]

    def cycles(cores: int, way: str) -> str:
        return f"{figures[Case(cores, GETS, way, 1)]['cycles_per_operation']:,.0f} cycles"

    def count(name: str, *case: Any) -> str:
        return f"{figures[Case(*case)]['counts_per_operation'].get(name, 0):.2g}"

    def gain(cores: int, mix: str, way: str) -> str:
        one, all_of_them = (figures[Case(cores, mix, way, n)] for n in (1, most))
        return f"{one['cycles_per_operation'] / all_of_them['cycles_per_operation']:.1f}"

    return [
        f"One client, one core: {cycles(few, SWITCH)} an operation against "
        f"{cycles(few, MESSAGES)}, as both write CR3 twice, but a message also changes threads "
        f"{count('context_restore', few, GETS, MESSAGES, 1)} times and copies "
        f"{count('user_copy_line', few, GETS, MESSAGES, 1)} cache lines.",
        f"One client, {many} cores: {cycles(many, MESSAGES)} a message, as the server's space "
        f"stays loaded on another core; {count('ipi_send', many, GETS, MESSAGES, 1)} interrupts "
        "wake the other side.",
        f"GETs, {most} clients, {many} cores: {gain(many, GETS, SWITCH)} times one client's, as "
        f"readers are inside together, against {gain(many, GETS, MESSAGES)} times, as one server "
        "does all messages.",
        f"SETs, {most} clients, {many} cores: {gain(many, SETS, SWITCH)} times, as a writer is "
        f"alone from switch to switch, against {gain(many, SETS, MESSAGES)} times, as one server "
        "does all messages (interrupts to wake a core, for each: "
        f"{count('ipi_send', many, SETS, MESSAGES, most)}).",
        f"SETs, {most} clients, one core: {gain(few, SETS, SWITCH)} times, as who is interrupted "
        "inside makes the others queue, and a queue in order lasts: "
        f"{count('context_restore', few, SETS, SWITCH, most)} thread switches an operation.",
        "This host: ending the turn of a simulated core costs most; a message does it twice, a "
        "switch only where it waits.",
    ]


DEMO = Demo(PROGRAM, "a store that clients switch into, against one behind messages", run)
