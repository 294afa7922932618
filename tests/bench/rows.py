"""The table of all measurements.  Each row says what it measures, what limits it, and its goal."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hw.machine import EXACT, FAST, MachineConfig
from kernel import turns
from tests.bench import guest, linux
from tests.bench import nvm as nvm_rows
from tests.bench import panel as panel_rows
from tests.bench.floor import (
    Bare,
    Copying,
    Faulting,
    PublicApi,
    Switching,
    SwitchingThreads,
)
from tests.bench.measure import (
    Load,
    Missing,
    Reading,
    best,
    clock,
    cost,
    settled,
    slope,
    speed,
    timed,
)
from userland.programs import built_in, read_program

ROOT = Path(__file__).resolve().parents[2]
MICRO, MILLI = 1e6, 1e3
MANY_PAGES = MachineConfig(ram_mib=256)
STLB = (64, 16)
"""1,024 entries: programs that run long enough to be timed stay within this TLB's reach."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.  `goal` bounds the ratio, or the value where there is no ratio: ">=" or "<="
    and a number."""

    name: str
    unit: str
    goal: str
    doc: str
    measure: Callable[[], Reading]
    references: dict[str, float] = field(default_factory=dict)
    """Fixed figures of other systems, in the same unit."""

    def met(self, reading: Reading) -> bool | None:
        """Whether the goal was reached; None if there is none."""
        if not self.goal:
            return None
        relation, bound = self.goal.split()[:2]
        figure = reading.value if self.goal.endswith(self.unit) else reading.ratio
        assert figure is not None
        return figure >= float(bound) if relation == ">=" else figure <= float(bound)


# Computation --------------------------------------------------------------------------------

# Program -> its arguments, and the number of instructions after which it has touched all memory.
COMPUTATIONS: dict[str, tuple[tuple[object, ...], int]] = {
    "spin": ((20_000_000,), 1_000_000),
    "sieve": ((3_000_000,), 16_000_000),
    "matmul": ((200,), 4_000_000),
    "sha256": ((600_000,), 40_000_000),
}


def compute(program: str, mode: str) -> Reading:
    arguments, settle = COMPUTATIONS[program]
    load = Load(read_program(program), arguments, MachineConfig(dtlb=STLB))
    places = []

    def ours() -> float:
        seconds, place = settled(load, settle, mode)
        places.append(place)
        return seconds

    def bare() -> float:
        twin = Bare(load.program, load.words(), counted=mode == EXACT)
        twin.settle(places[-1])
        return timed(twin.finish)

    return speed(*(seconds * MILLI for seconds in best(3, ours, bare)))


def compute_rows() -> Iterator[Row]:
    docs = {
        FAST: ("uncounted", ">= 0.95", "an engine whose fill hook is one dictionary"),
        EXACT: ("every instruction counted", ">= 0.9", "that engine stopped by count as often"),
    }
    for mode, (how, goal, against) in docs.items():
        for program in COMPUTATIONS:
            doc = f"{program} within a 1,024-entry TLB, {how}, against {against}; all emulator."
            name = f"compute-{mode}/{program}"
            yield Row(name, "ms", goal, doc, lambda p=program, m=mode: compute(p, m))  # type: ignore[misc]


# The reach of the TLB -----------------------------------------------------------------------

REACH_KIB = (16, 64, 128, 256, 512, 1024, 4096)
REACH_TRAFFIC_KIB = 16 * 1024
DEFAULT_REACH_KIB = 256


def reach(kib: int) -> Reading:
    program, machine = read_program("stream"), MachineConfig(clock=FAST)

    def ours(rounds: int) -> float:
        return Load(program, (kib, rounds, 8), machine).time()

    def bare(rounds: int) -> float:
        twin = Bare(program, Load(program, (kib, rounds, 8)).words(), counted=False)
        twin.settle(1)
        return timed(twin.finish)

    rounds = 1 + REACH_TRAFFIC_KIB // kib
    per_page = 4e9 / kib  # seconds a round -> nanoseconds a page
    return speed(*(seconds * per_page for seconds in slope(3, 1, rounds, ours, bare)))


def reach_rows() -> Iterator[Row]:
    for kib in REACH_KIB:
        inside = kib < DEFAULT_REACH_KIB
        why = "inside the TLB's reach" if inside else "beyond it: a miss and a flush a page"
        doc = f"Load, add, store every 8 bytes of {kib} KiB, uncounted; {why}."
        goal = ">= 0.95" if inside else ">= 0.4"
        yield Row(f"reach/{kib}KiB", "ns/page", goal, doc, lambda k=kib: reach(k))  # type: ignore[misc]


# Traps --------------------------------------------------------------------------------------


def null_call() -> Reading:
    def ours(calls: int) -> float:
        return Load(read_program("nullcall"), (calls,)).time()

    def bare(calls: int) -> float:
        return Load(read_program("nullcall"), (calls,)).time_bare(Bare)

    return cost(*(s * MICRO for s in slope(5, 1_000, 41_000, ours, bare)))


def null_call_public() -> Reading:
    def ours(calls: int) -> float:
        return Load(read_program("nullcall"), (calls,)).time()

    def public(calls: int) -> float:
        load = Load(read_program("nullcall"), (calls,))
        return timed(PublicApi(load.program, load.words()).finish)

    return cost(*(s * MICRO for s in slope(3, 1_000, 11_000, ours, public)))


def switch(floor: type[Bare], *kind: str) -> Reading:
    """The program yields twice in every round: the bare engine has one context, Vantage has two."""

    def ours(yields: int) -> float:
        return Load(read_program("switcher"), (yields, *kind)).time() / 2

    def bare(yields: int) -> float:
        return Load(read_program("switcher"), (yields,)).time_bare(floor)

    return cost(*(s * MICRO for s in slope(5, 500, 8_500, ours, bare)))


def page_fault() -> Reading:
    def ours(pages: int) -> float:
        return Load(read_program("pages"), (pages,), MANY_PAGES).time()

    def bare(pages: int) -> float:
        return Load(read_program("pages"), (pages,)).time_bare(Faulting)

    return cost(*(s * MICRO for s in slope(5, 100, 8_100, ours, bare)))


def cow_fault() -> Reading:
    pages = 4_000

    def ours(writes: bool) -> float:
        return Load(guest.cow_program(pages, writes=writes), (), MANY_PAGES).time()

    def bare(pages: int) -> float:
        return Load(read_program("pages"), (pages,)).time_bare(Copying)

    with_them, without = best(5, lambda: ours(True), lambda: ours(False))
    (floor,) = slope(5, 100, pages + 100, bare)
    return cost((with_them - without) / pages * MICRO, floor * MICRO)


# Life ---------------------------------------------------------------------------------------


def hello() -> Reading:
    program = read_program("hello")
    files = tuple(built_in().items())

    def ours() -> float:
        return timed(lambda: Load(program, (), MachineConfig(), files).start()[1]())

    def bare() -> float:
        return timed(lambda: Bare(program, [b"hello"]).finish())

    return cost(*(seconds * MILLI for seconds in best(7, ours, bare)))


def least_fork_work(pages: int) -> float:
    """The work of every fork: read an entry, write it to both tables, count one reference."""
    parent, refs = memoryview(bytearray(8 * pages)).cast("Q"), [1] * pages
    child = memoryview(bytearray(8 * pages)).cast("Q")

    def work() -> None:
        for i in range(pages):
            entry = parent[i]
            parent[i] = child[i] = entry & ~2
            refs[i] += 1

    return timed(work)


def fork(pages: int) -> Reading:
    def ours(rounds: int) -> float:
        return Load(read_program("forkbench"), (pages, rounds)).time()

    (each,) = slope(3, 1, 1 + max(10, 2000 // pages), ours)
    (least,) = best(20, lambda: least_fork_work(pages))
    return Reading(each * MICRO, least * MICRO, each / least)


def fork_per_page() -> Reading:
    few, many = fork(100), fork(1000)
    assert few.baseline is not None
    assert many.baseline is not None
    return cost((many.value - few.value) / 900, (many.baseline - few.baseline) / 900)


def fork_exec() -> Reading:
    path = b"/bin/nothing"

    def executes(count: int) -> float:
        program = guest.exec_program(count, path)
        return Load(program, files=((path, guest.NOTHING),)).time()

    def forks(count: int) -> float:
        return Load(guest.fork_program(count)).time()

    return cost(*(seconds * MICRO for seconds in slope(5, 10, 210, executes, forks)))


def many_seconds() -> Reading:
    machine = MachineConfig(ram_mib=256)

    def ours(count: int) -> float:
        return Load(read_program("many"), (count,), machine).time()

    thousand, hundred = best(2, lambda: ours(1000), lambda: ours(100))
    return cost(thousand, 10 * hundred)


def many_memory() -> Reading:
    import tracemalloc

    load = Load(read_program("many"), (1000,), MachineConfig(ram_mib=256))
    tracemalloc.start()
    kernel, work = load.start()
    least_free = [len(kernel.memory.frames.free)]
    kernel.after_trap = lambda k: least_free.append(
        min(least_free.pop(), len(k.memory.frames.free))
    )
    work()
    python_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    frames_mib = (kernel.machine.memory.frames - least_free[0]) / 256
    return cost(frames_mib + python_bytes / (1 << 20), frames_mib)


# Recording and checkpoints ----------------------------------------------------------------------


def recording(program: str, *arguments: object) -> Reading:
    load = Load(read_program(program), arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "t.vtrace")
        found = best(5, lambda: load.time_recorded(path), load.time)
    return cost(*(seconds * MILLI for seconds in found))


def checkpoint_of_threads() -> tuple[float, float, int, int]:
    """Seconds to save and to load, the size in bytes, and the bytes of memory in use."""
    try:
        from kernel import checkpoint
    except ImportError as error:
        raise Missing("kernel/checkpoint.py is not there") from error
    kernel, _ = Load(read_program("threads")).start()
    turns.run_traps(kernel, 500)
    data = checkpoint.save(kernel)
    used = len(kernel.memory.frames.used()) * 4096
    save, load = best(
        10,
        lambda: timed(lambda: checkpoint.save(kernel)),
        lambda: timed(lambda: checkpoint.load(data, lambda _: None)),
    )
    return save, load, len(data), used


def checkpoint_save() -> Reading:
    save, _, _, used = checkpoint_of_threads()
    frames = bytearray(used)
    (copy,) = best(20, lambda: timed(lambda: bytes(frames)))
    return cost(save * MILLI, copy * MILLI)


def checkpoint_load() -> Reading:
    def machine_alone() -> float:
        return timed(lambda: Load(guest.NOTHING).boot())

    _, load, _, _ = checkpoint_of_threads()
    (booted,) = best(5, machine_alone)
    return cost(load * MILLI, booted * MILLI)


def checkpoint_size() -> Reading:
    _, _, size, used = checkpoint_of_threads()
    return cost(size / 1024, used / 1024)


# Beside other systems -------------------------------------------------------------------------


def linux_rows() -> Iterator[Row]:
    operations: list[tuple[str, str, str, Callable[[], Reading]]] = [
        ("start", "ms", "from nothing to the shell's prompt", linux.start),
        ("getpid", "us", "a system call", lambda: linux.operation("getpid", 100, 10_100, MICRO)),
        (
            "pipe",
            "us",
            "a byte to another process and back",
            lambda: linux.operation("pipe", 10, 510, MICRO),
        ),
        ("fork", "us", "fork, exit and wait", lambda: linux.operation("fork", 5, 105, MICRO)),
        ("exec", "us", "fork, exec and wait", lambda: linux.operation("exec", 5, 55, MICRO)),
        (
            "sbrk",
            "ms",
            "sbrk and touch of 1,000 pages",
            lambda: linux.operation("sbrk", 1, 6, MILLI),
        ),
        ("shell", "ms", "the shell runs /bin/echo hi", linux.shell),
    ]
    for name, unit, what, measure in operations:
        doc = f"{what}; the baseline is xv6-riscv. Fixed references: {linux.RIVALS[name]} {unit}."
        yield Row(
            f"linux/{name}",
            unit,
            "<= 1",
            doc[0].upper() + doc[1:],
            measure,
            linux.RIVALS[name].figures(),
        )
    yield Row(
        "linux/stores",
        "us",
        ">= 4",
        f"Filling {linux.STORED_KIB} KiB eight bytes at a time, uncounted, against the same code "
        "in flat executable memory on the bare emulator, which is how Qiling runs programs.",
        linux.stores,
    )


# Start ----------------------------------------------------------------------------------------

EVERYTHING = "import userland.exec"


def start() -> Reading:
    def imports(code: str) -> float:
        script = f"from time import {clock.__name__} as c; b = c(); {code}; print(c() - b)"
        command = [sys.executable, "-c", script]
        return float(subprocess.check_output(command, cwd=ROOT, text=True))

    found = best(5, lambda: imports(EVERYTHING), lambda: imports("import unicorn"))
    return cost(*(seconds * MILLI for seconds in found))


ROWS: list[Row] = [
    *compute_rows(),
    *reach_rows(),
    *linux_rows(),
    Row(
        "null-call",
        "us/call",
        "<= 1.5",
        "A system call that does nothing, against a hook that reads number and arguments and "
        "writes the result in two C calls; the way from the hook to the handler and back.",
        null_call,
    ),
    Row(
        "null-call/public-api",
        "us/call",
        "",
        "The same against a hook that uses the emulator's documented Python interface.",
        null_call_public,
    ),
    Row(
        "switch/process",
        "us/switch",
        "<= 2",
        "sched_yield between two processes, against a stop, a restart, a flush and two context "
        "copies; the scheduler, and refilling the emulator's TLB.",
        lambda: switch(Switching),
    ),
    Row(
        "switch/thread",
        "us/switch",
        "<= 2",
        "The same between two threads, against the same without the flush.",
        lambda: switch(SwitchingThreads, "threads"),
    ),
    Row(
        "fault/demand-zero",
        "us/fault",
        "<= 3",
        "The first touch of an anonymous page, against a stop, a zeroed frame and a restart; "
        "finding the region, writing the tables, the walk.",
        page_fault,
    ),
    Row(
        "fault/copy-on-write",
        "us/fault",
        "<= 3",
        "The first store to a page shared by fork, against a stop, a copied frame and a restart.",
        cow_fault,
    ),
    Row(
        "hello",
        "ms",
        "<= 100 ms",
        "Boot, run hello, exit, all imports done, against hello on a bare engine; making engines.",
        hello,
    ),
    *(
        Row(
            f"fork/{pages}-pages",
            "us",
            "",
            f"fork, exit and wait with {pages} resident pages, against the least that a Python "
            "loop must do for each of these pages.",
            lambda pages=pages: fork(pages),  # type: ignore[misc]
        )
        for pages in (10, 100, 1000)
    ),
    Row(
        "fork/per-page",
        "us/page",
        "",
        "What one more resident page adds to fork, exit and wait, against the same loop.",
        fork_per_page,
    ),
    Row(
        "fork/exec",
        "us",
        "",
        "fork, exec of the smallest program, and wait, against fork, exit and wait.",
        fork_exec,
    ),
    Row(
        "many/time",
        "s",
        "",
        "1,000 processes alive at once, from start to end, against ten times 100 of them: 1 "
        "means that cost is proportional to number.",
        many_seconds,
    ),
    Row(
        "many/memory",
        "MiB",
        "",
        "Their frames and the kernel's own objects at the peak, against the frames alone.",
        many_memory,
    ),
    Row(
        "record/compute",
        "ms",
        "<= 1.1",
        "A sieve recorded in a file, against the same unrecorded; few records, so almost free.",
        lambda: recording("sieve", 200_000),
    ),
    Row(
        "record/null-call",
        "ms",
        "<= 2.0",
        "20,000 system calls recorded, against the same unrecorded; packing and compressing.",
        lambda: recording("nullcall", 20_000),
    ),
    Row(
        "checkpoint/save",
        "ms",
        "<= 20 ms",
        "Saving a system in the middle of `threads`, against a copy of the frames in use; pickle.",
        checkpoint_save,
    ),
    Row(
        "checkpoint/load",
        "ms",
        "",
        "Loading it, against booting an empty system; making engines.",
        checkpoint_load,
    ),
    Row(
        "checkpoint/size",
        "KiB",
        "",
        "Its size, against the frames in use.",
        checkpoint_size,
    ),
    Row(
        "start",
        "ms",
        "",
        "Importing all that exec needs in a fresh process, against importing the emulator alone.",
        start,
    ),
    *(Row(*row) for row in nvm_rows.ROWS),
    *(Row(*row) for row in panel_rows.ROWS),
]
