"""`run.py soak`: thousands of random inputs, to find one that breaks something.

The seed and the number alone decide a case, so `--seed S --first N --count 1` repeats a failure.
The tests call the same functions with small counts.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from hw import host
from hw.machine import MachineConfig
from hw.trace import Trace
from kernel import invariants, turns
from kernel.abi.errno import KernelError
from kernel.boot import Config, boot, record, spawn, trace_header
from kernel.choose import DATA, Chooser
from kernel.ipc import segment_files
from kernel.kernel import Kernel
from kernel.sched import POLICIES
from kernel.sched.policy import SLICE_INSTRUCTIONS
from kernel.sched.weights import WEIGHTS
from kernel.syscalls import TABLE
from kernel.task.credentials import Credentials
from kernel.task.process import Process, Signal
from kernel.turns import Deadlock
from kernel.wait import signals
from kernel.wait.signals import SIGKILL
from labs.grading import grade_one
from labs.lab import all_labs
from tests.bench import guest
from tests.kernel.killed import killed_case
from tests.kernel.leftovers import left_open
from tests.kernel.powercut import powercut_case
from tests.kernel.shares import (
    PRE_EMPTIVE,
    PROPORTIONAL,
    fluid_shares,
    measured,
    spinning,
    until_all,
    worst_error,
)
from tests.steady import growth_case
from userland.programs import built_in

ROOT = Path(__file__).resolve().parents[1]
MASK = (1 << 64) - 1
SLICES_EACH = 200
"""Slices of each run: one slice is half a per cent of the smallest share."""
MAX_TRAPS, MAX_INSTRUCTIONS = 3_000, 4_000_000
SECONDS_BETWEEN_LINES = 3

EXAMPLES = """\
examples:
  run.py soak elfs --count 10000         damaged programs
  run.py soak calls --seed 7             wild system calls
  run.py soak calls --seed 7 --first 412 --count 1    one case again
"""


Option = TypeVar("Option")


class Random(Chooser):
    """The kernel's own generator, with the methods that a soak needs."""

    def below(self, bound: int) -> int:
        return self.choose(DATA, bound)

    def pick(self, options: tuple[Option, ...]) -> Option:
        return options[self.below(len(options))]

    def word(self) -> int:
        return int.from_bytes(self.bytes(8), "little")


def generator(seed: int, case: int) -> Random:
    """The generator of one case."""
    return Random(seed << 32 ^ case)


@dataclass
class Report:
    """The result of a soak: the count of each outcome, and the failures."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str]] = field(default_factory=list)
    """Of each failure: the options that repeat it, and what happened."""

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {name}" for name, count in self.outcomes.most_common())
        return f"{sum(self.outcomes.values())} cases: {outcomes}; {len(self.failures)} failures"


Case = Callable[[int, int], str]
"""Seed and number of a case -> its outcome.  Raises whatever went wrong."""


def soak(case: Case, count: int, seed: int, first: int = 0, *, talk: bool = False) -> Report:
    """Run cases `first` to `first + count - 1`.  A failure does not stop the rest."""
    report, last_line = Report(), time.monotonic()
    for number in range(first, first + count):
        try:
            report.outcomes[case(seed, number)] += 1
        except Exception as error:
            report.outcomes["failed"] += 1
            again = f"--seed {seed} --first {number} --count 1"
            report.failures.append((again, _brief(error)))
        if talk and time.monotonic() - last_line > SECONDS_BETWEEN_LINES:
            last_line = time.monotonic()
            print(f"  {number - first + 1} of {count}: {report}", file=sys.stderr, flush=True)
    return report


def causes(report: Report) -> dict[str, list[str]]:
    """Failures at the same place in the code, under the message of the first one."""
    words: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for again, brief in report.failures:
        first = words.setdefault(brief.rpartition(" (")[2], brief)
        found.setdefault(first, []).append(again)
    return found


def _brief(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-2:]
    where = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
    return f"{type(error).__name__}: {str(error)[:300]} ({where})"


# A system under test --------------------------------------------------------------------------


def run_and_clear(
    kernel: Kernel,
    used_before: set[int],
    *,
    check_often: bool = False,
    most_instructions: int = MAX_INSTRUCTIONS,
) -> str:
    """Run for a while, kill what is left, and check that the kernel has everything back."""
    outcome = _run_for_a_while(kernel, check_often, most_instructions)
    invariants.check(kernel)
    _kill_all(kernel)
    invariants.check(kernel)
    _delete_orphans(kernel)
    invariants.check(kernel)
    files = [*kernel.held_files, *kernel.ipc.published.values()]
    kept = {pfn for file in files for pfn in file.pages.values()}
    lost = set(kernel.memory.frames.used()) - used_before - kept
    if lost:
        raise AssertionError(f"{len(lost)} frames were not given back: {sorted(lost)[:8]}")
    if left := list(left_open(kernel)):
        raise AssertionError("; ".join(left))
    return outcome


def _delete_orphans(kernel: Kernel) -> None:
    """Root deletes the VASes, and the segments of both kinds.  They outlived the processes; none is
    attached now."""
    for vid in list(kernel.vases.vases):
        kernel.vases.delete(Credentials(), vid)
    for sid in list(kernel.vases.segments):
        segment_files.delete(kernel.ipc, kernel.vases, Credentials(), sid)
    shm = kernel.ipc.well_known.shm.endpoint
    for status in kernel.ipc.ports["shm"].shared_segments():
        kernel.ipc.ask(shm, 0, "remove", (status.id,))


def _run_for_a_while(kernel: Kernel, check_often: bool, most_instructions: int) -> str:
    last_trap = kernel.taken + MAX_TRAPS

    def enough() -> bool:
        if check_often:
            invariants.check(kernel)
        spent = kernel.machine.instructions() >= most_instructions
        return spent or kernel.taken >= last_trap or not kernel.tasks.threads

    try:
        turns.run_until(kernel, enough)
    except Deadlock:
        return "waits for ever"
    if kernel.tasks.threads:
        return "runs on"
    first = kernel.tasks.processes.get(1)
    return "exits" if first is None or not first.exit_status & 0x7F else "is killed"


def _kill_all(kernel: Kernel) -> None:
    for process in list(kernel.tasks.processes.values()):
        if not process.zombie:
            signals.send(kernel.tasks, process, Signal(SIGKILL))
    turns.run(kernel, lambda: not kernel.tasks.threads)


def _start(kernel: Kernel, program: bytes, user: Credentials, *words: bytes) -> Process:
    return spawn(kernel, program, [b"soak", *words], [b"A=1"], user)


# Damaged programs -----------------------------------------------------------------------------

HEADER_BYTES, PROGRAM_HEADER_BYTES = 64, 56
EDGES = (
    0,
    1,
    7,
    0xFFF,
    0x1000,
    0x1001,
    1 << 31,
    (1 << 32) - 1,
    1 << 46,
    0x7FFF_FFFF_E000,
    1 << 47,
    1 << 62,
    1 << 63,
    MASK,
    MASK - 0xFFF,
)


def damage_header(elf: bytearray, random: Random) -> None:
    elf[random.below(HEADER_BYTES)] = random.below(256)


def damage_program_header(elf: bytearray, random: Random) -> None:
    count = max(1, int.from_bytes(elf[56:58], "little"))
    at = HEADER_BYTES + random.below(count) * PROGRAM_HEADER_BYTES + 8 * random.below(7)
    value = random.pick(EDGES) if random.below(2) else random.word() >> random.below(64)
    elf[at : at + 8] = value.to_bytes(8, "little")


def damage_bytes(elf: bytearray, random: Random) -> None:
    for _ in range(1 + random.below(64)):
        elf[random.below(len(elf))] = random.below(256)


def damage_run(elf: bytearray, random: Random) -> None:
    start, size = random.below(len(elf)), 1 + random.below(256)
    elf[start : start + size] = random.bytes(min(size, len(elf) - start))


def truncate(elf: bytearray, random: Random) -> None:
    del elf[random.below(len(elf)) :]


DAMAGES: tuple[Callable[[bytearray, Random], None], ...] = (
    damage_header,
    damage_program_header,
    damage_program_header,
    damage_bytes,
    damage_run,
    truncate,
)


def mutated_elf(seed: int, case: int) -> bytes:
    """A program of userland/ with one to three kinds of damage."""
    random, programs = generator(seed, case), list(built_in().values())
    elf = bytearray(programs[random.below(len(programs))])
    for _ in range(1 + random.below(3)):
        if len(elf) > HEADER_BYTES + PROGRAM_HEADER_BYTES:
            DAMAGES[random.below(len(DAMAGES))](elf, random)
    return bytes(elf)


def elf_case(seed: int, case: int) -> str:
    """A damaged program gets an errno, or runs and ends like any other."""
    kernel = boot(Config(MachineConfig(ram_mib=16)), {}, lambda _: None)
    used_before = set(kernel.memory.frames.used())
    try:
        _start(kernel, mutated_elf(seed, case), Config().user)
    except KernelError as error:
        run_and_clear(kernel, used_before)
        return error.number.name
    return run_and_clear(kernel, used_before)


# Wild system calls ----------------------------------------------------------------------------

AREA, AREA_PAGES, CALLS_EACH = 0x1000_0000, 16, 40
MAP_FIXED, GETRANDOM = 0x10, 318
USERS = (Credentials(), Credentials(1000, 1000, (1000,)), Credentials(2000, 2000, ()))
PATH_BYTES = 32
PATHS = (
    *(
        b"/tmp/a",
        b"/tmp/b",
        b"/tmp/d",
        b"/tmp/d/a",
        b"/tmp/d/../b",
        b"a",
        b"d",
        b"d/a",
        b".",
        b"..",
    ),
    *(b"..", b"/proc/self/fd/3", b"/proc/self/exe", b"/proc/2/maps", b"/dev/null", b"/dev/tty"),
    *(b"/bin/hello", b"/", b"", b"/home/user/x", b"/dev/urandom", b"\xff\x01" * 9),
)
"""A few names, so that several calls use the same one."""
RARE = frozenset((15, 60, 231))
"""Calls that usually end the thread: sigreturn and the exits."""
CHECK_EVERY_TRAP = 16
"""One case in this many checks all invariants after every trap; the others check at the end."""


def wild_argument(random: Random) -> int:
    """An argument that a careless or hostile program might pass."""
    kinds: tuple[Callable[[], int], ...] = (
        lambda: random.below(8),
        lambda: random.below(1 << 12),
        lambda: AREA + 8 * random.below(512 * AREA_PAGES),
        lambda: AREA + 4096 * random.below(AREA_PAGES + 2),
        lambda: AREA + AREA_PAGES * 4096 - random.below(64),
        lambda: 4096 * random.below(64),
        lambda: guest.BASE + random.below(4096),
        lambda: 1 << random.below(64),
        lambda: -random.below(4096) & MASK,
        lambda: random.pick(EDGES),
        random.word,
    )
    return kinds[random.below(len(kinds))]()


PLAUSIBLE: dict[str, Callable[[Random], int]] = {
    "fd": lambda random: random.pick((random.below(12), -100 & MASK)),
    "pid_t": lambda random: random.below(8) - 1 & MASK,
    "int": lambda random: random.below(40),
    "unsigned": lambda random: random.below(4),
    "size_t": lambda random: 1 << random.below(16),
    "void *": lambda random: AREA + 8 * random.below(512 * AREA_PAGES),
    "const char *": lambda random: AREA + PATH_BYTES * random.below(len(PATHS)),
}
"""By the C type of an argument: values that a well-meaning program might pass."""


def wild_call(random: Random) -> bytes:
    """A call of the table (rarely an unknown one), with about half of the arguments wild."""
    numbers = tuple(TABLE)
    number = random.pick(numbers)
    if number in RARE and random.below(8):
        number = random.pick(numbers)
    if not random.below(50):
        return guest.call(random.word() >> random.below(64), *random_words(random))
    means_well = [PLAUSIBLE.get(kind.c_name, wild_argument) for _, kind in TABLE[number].arguments]
    return guest.call(
        number, *((wild_argument if not random.below(4) else make)(random) for make in means_well)
    )


def random_words(random: Random) -> list[int]:
    return [wild_argument(random) for _ in range(6)]


def wild_program(random: Random) -> bytes:
    """Memory at `AREA` with random words in it, then wild calls."""
    flags = guest.PRIVATE_ANONYMOUS | MAP_FIXED
    size = AREA_PAGES * 4096
    head = [
        guest.call(guest.MMAP, AREA, size, guest.READ_WRITE, flags, MASK, 0),
        guest.call(GETRANDOM, AREA + 4096, 256, 0),
        *(guest.put(AREA + i * PATH_BYTES, path + b"\0") for i, path in enumerate(PATHS)),
    ]
    return guest.straight_line(head + [wild_call(random) for _ in range(CALLS_EACH)])


def call_case(seed: int, case: int) -> str:
    """Three processes of three users make wild calls on one to three cores."""
    random = generator(seed, case)
    machine = MachineConfig(cpus=1 + random.below(3), ram_mib=16)
    sched = random.pick(PRE_EMPTIVE)
    config = Config(machine, seed=case, sched=sched)
    kernel = boot(config, built_in(), lambda _: None, lambda: b"")
    used_before = set(kernel.memory.frames.used())
    for user in USERS:
        _start(kernel, wild_program(random), user)
    return run_and_clear(kernel, used_before, check_often=case % CHECK_EVERY_TRAP == 0)


# Checkpoints ------------------------------------------------------------------------------------

INTERRUPTED: tuple[tuple[bytes, ...], ...] = (
    (b"threads", b"2", b"50"),
    (b"forks", b"3"),
    (b"signals",),
    (b"pingpong",),
    (b"cow",),
    (b"racy",),
    (b"switcher", b"30"),
    (b"switcher", b"30", b"threads"),
    (b"many", b"10"),
)
FINISH = "import sys; from tests.soak import finish; print(finish(sys.argv[1]))"


def _recorded(seed: int, case: int) -> Kernel:
    words = INTERRUPTED[case % len(INTERRUPTED)]
    machine = MachineConfig(cpus=1 + case // len(INTERRUPTED) % 4)
    sched = tuple(POLICIES)[case % len(POLICIES)]
    config = Config(machine, seed=generator(seed, case).word(), sched=sched)
    kernel = boot(config, built_in(), lambda _: None)
    record(kernel, Trace(trace_header(kernel)))
    program = built_in()[b"/bin/" + words[0]]
    spawn(kernel, program, list(words), [], Config().user)
    return kernel


def _digest_at_end(kernel: Kernel) -> str:
    turns.run(kernel, lambda: 1 not in kernel.tasks.processes or kernel.tasks.processes[1].zombie)
    assert kernel.machine.trace is not None
    return kernel.machine.trace.digest()


def finish(path: str) -> str:
    """Load the checkpoint in a file and run it to its end; returns the digest of the trace."""
    from kernel import checkpoint

    return _digest_at_end(checkpoint.load(Path(path).read_bytes(), lambda _: None))


def checkpoint_case(seed: int, case: int) -> str:
    """A run that is saved at some trap and continues in another process is the same run."""
    from kernel import checkpoint

    whole = _recorded(seed, case)
    expected = _digest_at_end(whole)
    halted = _recorded(seed, case)
    turns.run_traps(halted, 1 + generator(seed, ~case & MASK).below(whole.taken - 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint"
        path.write_bytes(checkpoint.save(halted))
        command = [sys.executable, "-c", FINISH, str(path)]
        found = subprocess.check_output(command, cwd=ROOT, text=True).strip()
    if found != expected:
        raise AssertionError(f"{found[:16]} after loading, {expected[:16]} without")
    return "same"


# Restarts ---------------------------------------------------------------------------------------

RESTARTS_EACH = 10


def restart_case(seed: int, case: int) -> str:
    """A program that is frozen into a VAS and killed, ten times, goes on as if undisturbed."""
    restarts = importlib.import_module("tests.restarts")
    names = list(restarts.subjects())
    name = names[case % len(names)]
    cpus = 2 + case // len(names) % 2
    found = restarts.check(
        restarts.subjects()[name], RESTARTS_EACH, generator(seed, case).word(), cpus=cpus
    )
    return "all restarted" if found == RESTARTS_EACH else f"{name}: {found} restarted"


# Schedulers -------------------------------------------------------------------------------------


def sched_case(seed: int, case: int) -> str:
    """Shares within 2 % of the weights (stride, eevdf), and every thread runs (all policies)."""
    random = generator(seed, case)
    sched, cpus = PRE_EMPTIVE[case % len(PRE_EMPTIVE)], random.pick((1, 2, 4))
    nices = [random.below(10) - 5 for _ in range(1 + random.below(12))]
    weights = [WEIGHTS[nice + 20] for nice in nices]
    if cpus * max(weights) > sum(weights):
        cpus = (
            1  # a thread alone on a core has no cost of switches; the fluid model has none at all
        )
    system = spinning(nices, sched=sched, cpus=cpus, seed=case, user=Credentials(), traced=False)
    until_all(system, nices)
    smallest = min(fluid_shares(weights, cpus))
    got = measured(system, 2_000_000 * cpus, round(SLICES_EACH * SLICE_INSTRUCTIONS / smallest))
    invariants.check(system.kernel)
    if min(got) == 0:
        raise AssertionError(f"{sched} on {cpus}: of {nices} somebody never ran: {got}")
    if sched in PROPORTIONAL and worst_error(got, weights, cpus) > 0.02:
        error = worst_error(got, weights, cpus)
        raise AssertionError(f"{sched} on {cpus}: {nices} got {got}, off by {error:.2%}")
    return f"{sched} on {cpus}"


# Page tables ------------------------------------------------------------------------------------


def table_case(seed: int, case: int) -> str:
    """Random page tables: our walk against the emulated CPU's own."""
    oracle = importlib.import_module("tests.hw.table_oracle")
    differences = oracle.compare(1, seed << 32 ^ case).differences
    if differences:
        raise AssertionError(str(differences[0]))
    return "same"


# Gradings ---------------------------------------------------------------------------------------

BUSY = [sys.executable, "-c", "while True: pass"]


def grading_case(seed: int, case: int) -> str:
    """Every lab's solution gets full points each time, even while all cores are busy."""
    busy = [subprocess.Popen(BUSY) for _ in range(os.cpu_count() or 1)]
    try:
        for lab in [lab for lab in all_labs() if lab.parts]:
            told = grade_one(lab, ROOT, seed)
            failed = [f"{v.check.name}: {v.found}" for v in told.verdicts if not v.passed]
            if failed or told.failure:
                raise AssertionError(f"lab {lab.number}: {told.failure or failed[0]}")
    finally:
        for process in busy:
            process.kill()
            process.wait()
    return "full points"


# The command ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Soak:
    """A kind of case, and the count for a soak of about a minute.  If one case has many events,
    `in_each` is their number, and the soak counts events."""

    case: Case
    count: int
    in_each: int = 1


SOAKS: dict[str, Soak] = {
    "tables": Soak(table_case, 100_000),
    "elfs": Soak(elf_case, 2_000),
    "calls": Soak(call_case, 100_000, CALLS_EACH * len(USERS)),
    "checkpoints": Soak(checkpoint_case, 100),
    "restarts": Soak(restart_case, 50),
    "sched": Soak(sched_case, 60),
    "gradings": Soak(grading_case, 100),
    "growth": Soak(growth_case, 3),
    "powercut": Soak(powercut_case, 12),
    "killed": Soak(killed_case, 40),
}


def mutated_elfs(count: int, seed: int) -> Report:
    return soak(elf_case, count, seed)


def wild_calls(count: int, seed: int) -> Report:
    return soak(call_case, count, seed)


def checkpoints(count: int, seed: int) -> Report:
    return soak(checkpoint_case, count, seed)


def shares(count: int, seed: int) -> Report:
    return soak(sched_case, count, seed)


def main(argv: list[str]) -> int:
    """The soak command; 1 if any case failed."""
    options = _parser().parse_args(argv)
    row = SOAKS[options.name]
    count = row.count if options.count is None else options.count
    talk = host.is_terminal(sys.stderr)
    cases = -(-count // row.in_each)
    report = soak(row.case, cases, options.seed, options.first, talk=talk)
    for cause, places in causes(report).items():
        print(f"run.py soak {options.name} {places[0]}: {cause}")
        if len(places) > 1:
            print(f"    and {len(places) - 1} more of this kind")
    print(f"{options.name}, seed {options.seed}: {report}")
    return 1 if report.failures else 0


def _parser() -> argparse.ArgumentParser:
    names = "".join(f"\n  {name:12} {row.case.__doc__}" for name, row in SOAKS.items())
    parser = argparse.ArgumentParser(
        prog="run.py soak",
        description="Random inputs until something breaks.\n\nsoaks:" + names,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=SOAKS, help="which soak")
    parser.add_argument("--count", type=int, metavar="N", help="how many cases")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="decides all (default 1)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the number to begin at")
    return parser
