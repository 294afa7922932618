"""Calls, compared with the host's: C programs that must print the same on Linux and on Vantage.

They are linked with stock C libraries, so that these are tested too: with musl, and with glibc
where the host can link it statically.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernel.task.credentials import Credentials
from tests.kernel.system import ROOT, System
from tests.oracle import ROOT as ROOT_USER
from tests.oracle import USER, empty_folder, needs_linux, on_host

HERE = ROOT / "tests" / "native"
PROGRAMS = sorted(path.stem for path in HERE.glob("p_*.c"))
AS_ROOT = {"p_ids", "p_shm_rights", "p_userfault"}
"""These programs do what only root can do on either system."""
SINCE = {"p_passing": (6, 16), "p_pidfd": (6, 9), "p_userfault": (6, 17)}
"""The Linux from which on a host answers these programs as Vantage does."""
SLEEPS = {"p_restart"}
"""These programs sleep for long on a host, and make no call through the library: one is enough."""
MACHINES: dict[str, dict[str, Any]] = {
    "1 core": {"cpus": 1},
    "1 core, silicon": {"cpus": 1, "mmu": "silicon"},
    "4 cores": {"cpus": 4},
    "4 cores, silicon": {"cpus": 4, "mmu": "silicon"},
}
COMPILERS = {
    "musl": (sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl"),
    "glibc": ("cc",),
}
FLAGS = ("-static", "-O1", "-pthread", "-Wall", "-Wextra")

pytestmark = needs_linux


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """Where the built programs are, and what they printed on the host."""
    with empty_folder() as folder:
        yield folder


def build(name: str, library: str, folder: Path) -> Path:
    target = folder / f"{Path(name).name}-{library}"
    if not target.exists():
        command = [*COMPILERS[library], *FLAGS, str(HERE / f"{name}.c"), "-o", str(target)]
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except FileNotFoundError:
            pytest.skip("the host has no C compiler")
        if done.returncode and library == "glibc":
            pytest.skip("the host's C compiler cannot link a static program")
        assert done.returncode == 0, done.stderr.decode()
    return target


def on_the_host(program: Path, user: Credentials, *, once_more: bool = False) -> str:
    """What the program prints on the host; it runs once, or `once_more`."""
    kept = program.with_suffix(".host")
    if once_more or not kept.exists():
        kept.write_text(on_host([program], user))
    return kept.read_text()


def linux_version() -> tuple[int, ...]:
    """Major and minor number of the host's kernel."""
    return tuple(int(part) for part in platform.release().split(".")[:2])


BUILT = [(p, c) for p in PROGRAMS for c in COMPILERS if p not in SLEEPS or c == "musl"]


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(("name", "library"), BUILT, ids="-".join)
def test_a_program_prints_what_it_prints_on_the_host(
    name: str, library: str, machine: str, folder: Path
) -> None:
    if name in AS_ROOT and os.geteuid() != 0:
        pytest.skip("only root can do that on the host")
    if linux_version() < SINCE.get(name, (0, 0)):
        pytest.skip("an older Linux has other answers")
    program = build(name, library, folder)
    user = ROOT_USER if name in AS_ROOT else USER
    expected = on_the_host(program, user)
    if expected.startswith("not here"):
        pytest.skip("the host does not let programs do that")
    system = System(
        program.read_bytes(),
        user=user,
        turns=100_000,
        ram=16,
        **MACHINES[machine],
        traced=False,
        files={b"/program": program.read_bytes()},
        path=b"/program",
        init=True,
    )
    run = system.run()
    printed = f"{run.output.decode()}status {run.exit_code}\n"
    if printed.splitlines() != expected.splitlines():  # a busy host wakes its sleepers late
        expected = on_the_host(program, user, once_more=True)
    assert printed.splitlines() == expected.splitlines()
    assert run.exit_code == 0
