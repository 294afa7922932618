"""Our shell and tools: as those of the host, on the host and inside Vantage."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.native import empty_folder, inside, needs_linux, on_host
from userland.programs import BIN

SCRIPTS = {path.stem: path for path in sorted((Path(__file__).parent / "scripts").glob("*.sh"))}


@pytest.fixture(scope="module")
def bin_for_all() -> Iterator[Path]:
    """The built programs where every user of the host may run them."""
    with empty_folder() as folder:
        for program in BIN.iterdir():
            shutil.copy(program, folder)
        for script in SCRIPTS.values():
            shutil.copy(script, folder)
        yield folder


@needs_linux
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_prints_with_our_shell_and_tools_what_it_prints_with_the_hosts(
    bin_for_all: Path, name: str
) -> None:
    script = bin_for_all / f"{name}.sh"
    theirs = on_host(["/bin/sh", script], PATH=os.environ["PATH"])
    assert len(theirs.splitlines()) > 100
    assert on_host([bin_for_all / "sh", script], PATH=str(bin_for_all)) == theirs


@needs_linux
@pytest.mark.parametrize("cpus", [1, 2, 4])
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_prints_inside_vantage_what_it_prints_on_the_host(
    bin_for_all: Path, name: str, cpus: int
) -> None:
    script = bin_for_all / f"{name}.sh"
    there = on_host([bin_for_all / "sh", script], PATH=str(bin_for_all))
    files = {b"/shell.sh": script.read_bytes()}
    assert inside("sh /shell.sh", files, cpus=cpus, seed=cpus) == there
