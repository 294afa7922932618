"""Calls, compared with the host's.

Each program of this folder makes the calls of one family and provokes every error that it can.  It
must print the same on Linux and on Vantage.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kernel.task.credentials import Credentials
from tests.oracle import ROOT, USER, empty_folder, inside, needs_linux, on_host
from userland import build

HERE = Path(__file__).parent
FAMILIES = sorted(source.stem for source in HERE.glob("*.c"))
AS_ROOT = {"rights"}
FLAGS = (*build.FIXED.compile_flags, "-Wall", "-Wextra", "-Wno-unused-result")

MACHINES: dict[str, dict[str, object]] = {
    "one core": {"cpus": 1},
    "two cores": {"cpus": 2, "seed": 7},
    "checked": {"mmu": "silicon", "checked": True},
}


@pytest.fixture(scope="module")
def programs() -> Iterator[Path]:
    """A folder with all programs, built once."""
    with empty_folder() as folder:
        library = build.compile_library(folder / "lib", build.FIXED)
        for name in FAMILIES:
            made = build.compile_c(HERE / f"{name}.c", folder / f"{name}.o", FLAGS)
            build.link([made], library, folder / name, build.FIXED, True)
            (folder / name).chmod(0o755)
        yield folder


@pytest.fixture(scope="module")
def answers(programs: Path) -> dict[str, str]:
    """What each program prints on the host's Linux, by family; each runs once."""
    return {name: on_host([programs / name], user_of(name)) for name in FAMILIES}


def user_of(name: str) -> Credentials:
    return ROOT if name in AS_ROOT else USER


@needs_linux
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_call_has_the_result_of_the_hosts(
    programs: Path, answers: dict[str, str], name: str, machine: str
) -> None:
    files = {b"/program": (programs / name).read_bytes()}
    wishes = MACHINES[machine]
    assert inside("/program", files, user=user_of(name), **wishes) == answers[name]


@needs_linux
def test_every_family_had_errors_and_results_on_the_host(answers: dict[str, str]) -> None:
    """Without this, the comparison would pass if no program ran."""
    for name, answer in answers.items():
        lines = answer.splitlines()
        assert len(lines) > 50, name
        assert sum("error" in line for line in lines) > 10, name
        assert lines[-1] == "status 0", name
