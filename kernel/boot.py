"""Booting: options become a machine, a kernel and its servers, and a first program."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hw import costs
from hw.machine import EXACT, FAST, MODEL, SILICON, Machine, MachineConfig
from hw.trace import Trace
from kernel.choose import Chooser
from kernel.errno import KernelError
from kernel.kernel import Deadlock, Kernel, describe
from kernel.process import Credentials, Handle, Process
from kernel.sched import RoundRobin
from kernel.servers.console import Console
from kernel.servers.files import Files
from kernel.servers.names import Names
from kernel.servers.system import System
from kernel.syscalls import TABLE, load_all

DEFAULT_PCIDS = 6
"""Tags per core, as Linux uses (TLB_NR_DYN_ASIDS)."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that decides a run, but for its inputs."""

    machine: MachineConfig = field(default_factory=MachineConfig)
    seed: int = 1
    pcids: int = DEFAULT_PCIDS
    user: Credentials = field(default_factory=lambda: Credentials(1000, 1000, (1000,)))
    """Whom the first program runs as."""

    def __post_init__(self) -> None:
        if not 1 <= self.pcids <= 4095:
            raise ValueError(f"--pcids takes 1 to 4095, not {self.pcids}")


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """The options that every command which boots a machine has."""
    group = parser.add_argument_group("the machine")
    defaults = MachineConfig()
    group.add_argument(
        "--cpus", type=int, default=defaults.cpus, metavar="N", help="1 to 8 cores (default 1)"
    )
    group.add_argument(
        "--ram",
        type=int,
        default=defaults.ram_mib,
        metavar="MIB",
        help="memory in MiB (default 64)",
    )
    group.add_argument(
        "--seed", type=int, default=1, metavar="N", help="decides every free choice (default 1)"
    )
    group.add_argument(
        "--mmu",
        choices=(MODEL, SILICON),
        default=MODEL,
        help="who translates: our model, or the emulated CPU",
    )
    group.add_argument(
        "--itlb",
        type=tlb_shape,
        default=defaults.itlb,
        metavar="SETSxWAYS",
        help="instruction TLB (default 8x4)",
    )
    group.add_argument(
        "--dtlb",
        type=tlb_shape,
        default=defaults.dtlb,
        metavar="SETSxWAYS",
        help="data TLB (default 16x4)",
    )
    group.add_argument(
        "--pcid",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="tag TLB entries with PCIDs",
    )
    group.add_argument(
        "--pcids",
        type=int,
        default=DEFAULT_PCIDS,
        metavar="N",
        help=f"tags per core (default {DEFAULT_PCIDS})",
    )
    group.add_argument(
        "--clock",
        choices=(EXACT, FAST),
        default=EXACT,
        help="count every instruction, or only where it matters",
    )


def config_from(options: argparse.Namespace) -> Config:
    """The configuration that parsed options ask for.  Raises ValueError with a sentence."""
    machine = MachineConfig(
        options.cpus,
        options.ram,
        options.mmu,
        options.itlb,
        options.dtlb,
        options.pcid,
        options.clock,
    )
    return Config(machine, options.seed, options.pcids)


def tlb_shape(text: str) -> tuple[int, int]:
    """`16x4` as (16, 4)."""
    sets, cross, ways = text.partition("x")
    if not cross or not sets.isdigit() or not ways.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not SETSxWAYS, such as 16x4")
    return int(sets), int(ways)


def boot(
    config: Config,
    programs: dict[bytes, bytes],
    sink: Callable[[bytes], None],
    source: Callable[[], bytes] | None = None,
) -> Kernel:
    """A machine with a kernel and its servers, and no program yet.

    `programs` are the files by path; console output goes to `sink`, input is asked of `source`.
    """
    load_all()
    machine = Machine(config.machine, sink, source)
    chooser = Chooser(config.seed)
    kernel = Kernel(machine, chooser, RoundRobin(chooser), config.pcids)
    machine.connect(kernel.traps)
    kernel.root = Handle(kernel.ipc.attach(Files(programs)).id, 0, 1)
    kernel.names = Handle(kernel.ipc.attach(Names()).id, 0, 1)
    kernel.system = Handle(kernel.ipc.attach(System()).id, 0, 1)
    kernel.console = Handle(kernel.ipc.attach(Console()).id, 0, 1)
    return kernel


def spawn(
    kernel: Kernel,
    program: bytes,
    arguments: list[bytes],
    environment: list[bytes],
    user: Credentials,
) -> Process:
    """Start `program` (the bytes of an ELF file) with the console as descriptors 0, 1 and 2.

    Raises `KernelError` as execve would.
    """
    file = kernel.objects.file(program)
    file.holds += 1
    kernel.held_files.append(file)
    return kernel.life.spawn(file, arguments, environment, user, [kernel.console] * 3)


def run_to_end(kernel: Kernel, process: Process) -> int:
    """Run until `process` has ended; returns its wait status."""
    kernel.run(lambda: process.zombie)
    return process.exit_status


def trace_header(kernel: Kernel) -> dict[str, Any]:
    """What a reader of the trace needs to know of this system."""
    return {
        "config": describe(kernel),
        "calls": {row.number: row.prototype() for row in TABLE.values()},
        "costs": [
            {"name": c.name, "cycles": c.cycles, "low": c.low, "high": c.high, "source": c.source}
            for c in costs.TABLE
        ],
    }


def record(kernel: Kernel, trace: Trace) -> None:
    """From now on, everything goes to `trace`."""
    kernel.machine.attach_trace(trace)


__all__ = ["Config", "Deadlock", "Kernel", "KernelError", "boot", "run_to_end", "spawn"]
