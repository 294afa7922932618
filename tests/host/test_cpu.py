"""The emulated processor beside the host's: arithmetic and its flags, traps, bad addresses and
undefined instructions.  The programs in `cpu/` print the same on both."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hw.machine import EXACT, FAST, SILICON
from tests.kernel.system import System
from tests.oracle import TURNS, empty_folder, needs_linux, on_host

HERE = Path(__file__).parent / "cpu"
PROGRAMS = sorted(source.stem for source in HERE.glob("*.c"))
COMPILE = (sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl")
FLAGS = ("-static", "-O1", "-mcpu=x86_64", "-fno-sanitize=undefined", "-Wall", "-Wextra")
MACHINES: dict[str, dict[str, Any]] = {
    "model": {"clock": EXACT},
    "silicon": {"clock": EXACT, "mmu": SILICON},
    "fast": {"clock": FAST, "cpus": 2},
}
CASES = [(name, machine) for name in PROGRAMS for machine in MACHINES]
CASES.remove(("floats", "fast"))  # it is long, and two machines are enough


@pytest.fixture(scope="module")
def programs() -> Iterator[Path]:
    """A folder with all of them, built once."""
    with empty_folder() as folder:
        for name in PROGRAMS:
            command = [*COMPILE, *FLAGS, str(HERE / f"{name}.c"), "-o", str(folder / name)]
            subprocess.run(command, check=True)
        yield folder


@pytest.fixture(scope="module")
def answers(programs: Path) -> dict[str, str]:
    """What the host's processor says."""
    return {name: on_host([programs / name]) for name in PROGRAMS}


@needs_linux
@pytest.mark.parametrize(("name", "machine"), CASES)
def test_a_program_finds_the_processor_that_the_host_has(
    programs: Path, answers: dict[str, str], name: str, machine: str
) -> None:
    program = (programs / name).read_bytes()
    run = System(program, turns=TURNS, traced=False, watched=False, **MACHINES[machine]).run()
    printed = f"{run.output.decode()}status {run.exit_code}\n"
    assert printed.splitlines() == answers[name].splitlines()
    assert run.exit_code == 0
