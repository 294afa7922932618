"""Our shell and tools, on the host and inside Vantage, compared with the host's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oracle import empty_folder, inside, needs_linux, on_host
from userland.programs import BIN

SCRIPTS = {path.stem: path for path in sorted((Path(__file__).parent / "scripts").glob("*.sh"))}


@pytest.fixture(scope="module")
def bin_for_all() -> Iterator[Path]:
    """The built programs, in a folder where every user of the host may run them."""
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
    assert len(theirs.splitlines()) > 60
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


@pytest.mark.parametrize(
    ("commands", "sentence", "status"),
    [
        ("nosuch", "sh: nosuch: not found", 127),
        ("/bin", "sh: /bin: Permission denied", 126),
        ("echo )", 'sh: syntax error: ")" unexpected', 2),
        ("if true", "sh: syntax error: the text ends too early", 2),
        ("cat <absent", "sh: absent: No such file or directory", 2),
        ("cd absent", "sh: cd: absent: No such file or directory", 1),
        ("echo $((1 / 0))", 'sh: arithmetic: division by zero in "1 / 0"', 2),
        ("set -u; echo $nope", "sh: nope: parameter not set", 2),
        ("echo ${x?is needed}", "sh: x: is needed", 2),
        ("readonly r=1; r=2", "sh: r: is read only", 2),
        ("fg", "sh: fg: no job control", 1),
        ("kill %3", "sh: kill: %3: no such job", 1),
        ("test 1 -eq one", "test: one: is no number", 2),
        ("cat absent", "cat: absent: No such file or directory", 1),
        ("rmdir /", "rmdir: /: ", 1),
        ("ls -z", "ls: there is no option -z", 2),
        ("sort absent", "sort: absent: No such file or directory", 2),
        ("kill -NONE 1; /bin/kill -NONE 1", "kill: NONE: there is no such signal", 2),
    ],
)
def test_every_error_is_a_sentence_and_a_status(commands: str, sentence: str, status: int) -> None:
    script = f"sh -c {quoted(commands)} >said 2>&1; echo $?; cat said"
    said = inside(script, {}).splitlines()
    assert int(said[0]) == status
    assert any(line.startswith(sentence) for line in said[1:]), said


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
