"""Call by call against the host: C programs that must print the same on Linux and on Vantage.

They are linked with stock C libraries, musl's and, where the host can link it statically,
glibc's, so that these are tested too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kernel.process import Credentials
from tests.kernel.system import ROOT, System

HERE = ROOT / "tests" / "native"
PROGRAMS = sorted(path.stem for path in HERE.glob("p_*.c"))
AS_ROOT = {"p_ids"}
"""These change ids, which on either system only root can."""
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

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine != "x86_64", reason="the host is no x86-64 Linux"
)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the built programs are, and what they printed on the host."""
    return tmp_path_factory.mktemp("native")


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


def on_the_host(program: Path) -> bytes:
    """What it prints here, in a session of its own; once."""
    kept = program.with_suffix(".host")
    if not kept.exists():
        done = subprocess.run([program], capture_output=True, check=True, start_new_session=True)
        kept.write_bytes(done.stdout)
    return kept.read_bytes()


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("library", COMPILERS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_prints_what_it_prints_on_the_host(
    name: str, library: str, machine: str, folder: Path
) -> None:
    if name in AS_ROOT and os.geteuid() != 0:
        pytest.skip("only root can change ids on the host")
    program = build(name, library, folder)
    expected = on_the_host(program).decode().splitlines()
    user = Credentials() if name in AS_ROOT else Credentials(1000, 1000, (1000,))
    system = System(
        program.read_bytes(), user=user, turns=100_000, ram=16, **MACHINES[machine], traced=False
    )
    run = system.run()
    assert run.output.decode().splitlines() == expected
    assert run.exit_code == 0
