"""Our programs that use Linux's calls, beside figures of other systems.

The references are fixed values, measured once on two cores such as those that run the project's
tests: xv6-riscv, a kernel in C on one hart of qemu-system-riscv64 7.2, and Qiling 1.4.6, Linux's
calls in Python on the emulator that we use.  Ours are medians of processor time.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import unicorn
from unicorn import unicorn_const, x86_const

from hw.machine import FAST, MachineConfig
from kernel import turns
from kernel.boot import Config, boot, spawn
from tests.bench import guest
from tests.bench.measure import Load, Reading, timed
from userland.programs import built_in, read_program

MICRO, MILLI = 1e6, 1e3
REPEATS = 7
MANY_PAGES = MachineConfig(ram_mib=64)
PROMPT = b"$ "
STORED_KIB = 64


@dataclass(frozen=True, slots=True)
class Rival:
    """The figures of the other systems, in the row's unit; None where there is none."""

    xv6: float
    qiling: float | None

    def figures(self) -> dict[str, float]:
        found = {"xv6-riscv": self.xv6, "Qiling": self.qiling}
        return {name: figure for name, figure in found.items() if figure is not None}

    def __str__(self) -> str:
        return ", ".join(f"{name} {figure:g}" for name, figure in self.figures().items())


RIVALS = {
    "start": Rival(282, 208),
    "getpid": Rival(21, 30),
    "pipe": Rival(349, 208),
    "fork": Rival(663, 3700),
    "exec": Rival(2800, None),
    "sbrk": Rival(19, 3.9),
    "shell": Rival(6.3, None),
}


def median_of(timing: Callable[[], float]) -> float:
    """Python's garbage collector runs between the timings, not in them."""
    found = []
    for _ in range(REPEATS):
        gc.collect()
        found.append(timing())
    return statistics.median(found)


def one_more(run: Callable[[int], float], few: int, many: int) -> float:
    """Seconds for one more operation: the cost of starting and ending cancels out."""
    return median_of(lambda: (run(many) - run(few)) / (many - few))


def beside(name: str, seconds: float, scale: float) -> Reading:
    """A reading whose baseline is xv6's figure."""
    value, reference = seconds * scale, RIVALS[name].xv6
    return Reading(value, reference, value / reference)


def operation(name: str, few: int, many: int, scale: float) -> Reading:
    """One of the operations of `basics`."""
    program = read_program("basics")
    files = ((b"/bin/basics", program),)

    def run(rounds: int) -> float:
        return Load(program, (name, rounds), MANY_PAGES, files).time()

    return beside(name, one_more(run, few, many), scale)


def shell() -> Reading:
    """Our sh runs /bin/echo: the shell forks, the child executes it, and the shell waits."""
    files = tuple((path, built_in()[path]) for path in (b"/bin/sh", b"/bin/echo"))

    def run(commands: int) -> float:
        script = "/bin/echo hi; " * commands + ":"
        return Load(read_program("sh"), ("-c", script), MANY_PAGES, files).time()

    return beside("shell", one_more(run, 2, 22), MILLI)


def start() -> Reading:
    """From nothing to the shell's prompt, with every program of ours in place."""

    def until_the_prompt() -> None:
        shown = bytearray()
        kernel = boot(Config(), built_in(), shown.extend, lambda: b"")
        spawn(kernel, read_program("sh"), [b"sh", b"-i"], [b"PS1=" + PROMPT], Config().user)
        kernel.machine.console.error_sink = shown.extend
        turns.run(kernel, lambda: shown.endswith(PROMPT))
        assert shown.endswith(PROMPT), "the shell has shown no prompt"

    return beside("start", median_of(lambda: timed(until_the_prompt)), MILLI)


# Stores -------------------------------------------------------------------------------------

FLAT_DATA, FLAT_BYTES = 0x1000_0000, STORED_KIB * 1024


def flat_seconds(passes: int) -> float:
    """The same stores with every page executable.  After each store the emulator must then look for
    changed code."""
    code = guest.at_r12(FLAT_DATA) + guest.rounds(passes, guest.store(STORED_KIB * 128))
    engine = unicorn.Uc(unicorn_const.UC_ARCH_X86, unicorn_const.UC_MODE_64)
    engine.mem_map(guest.BASE, 0x10000, unicorn_const.UC_PROT_ALL)
    engine.mem_map(FLAT_DATA, FLAT_BYTES, unicorn_const.UC_PROT_ALL)
    engine.mem_write(guest.BASE, code)
    engine.reg_write(x86_const.UC_X86_REG_RSP, guest.BASE + 0x8000)
    return timed(lambda: engine.emu_start(guest.BASE, guest.BASE + len(code)))


def stores() -> Reading:
    def ours(passes: int) -> float:
        machine = MachineConfig(clock=FAST)
        return Load(guest.store_program(STORED_KIB, passes), (), machine).time()

    ours_each, flat_each = one_more(ours, 10, 410), one_more(flat_seconds, 10, 410)
    return Reading(ours_each * MICRO, flat_each * MICRO, flat_each / ours_each)
