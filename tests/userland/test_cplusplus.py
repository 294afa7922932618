"""`run.py cc` takes C++, and the C library has POSIX's names for threads and semaphores."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.system import System
from tests.oracle import empty_folder, needs_linux, on_host
from userland import build

HERE = Path(__file__).parent
STATIC_OBJECTS = """\
first made
second made
1 name
area 36, twice 72, 3.0
zeroed 0
aligned 1
made once: 1
inner made
inner gone
second gone
first gone
"""


@pytest.mark.parametrize("flags", [(), ("--pie",), ("-O2", "-std=gnu++20")])
def test_a_program_in_cplusplus_has_what_the_language_promises(
    tmp_path: Path, flags: tuple[str, ...]
) -> None:
    out = tmp_path / "program"
    words = [str(HERE / "static_objects.cc"), "-Wall", "-Wextra", "-Werror", *flags]
    assert build.cc([*words, "-o", str(out)]) == 0
    run = System(out.read_bytes(), cpus=2).run()
    assert (run.output.decode(), run.exit_code) == (STATIC_OBJECTS, 5)


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        words = [str(HERE / "static_objects.cc"), "-o", str(tmp_path / name)]
        assert build.cc(words) == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_c_and_cplusplus_go_together(tmp_path: Path) -> None:
    one, other, out = tmp_path / "one.cpp", tmp_path / "other.c", tmp_path / "both"
    one.write_text('extern "C" int seven(void);\nint main() { return seven(); }\n')
    other.write_text("int seven(void) { return 7; }\n")
    assert build.cc([str(one), str(other), "-o", str(out)]) == 0
    assert System(out.read_bytes()).run().exit_code == 7


def test_cplusplus_can_include_every_header_of_the_c_library(tmp_path: Path) -> None:
    include = build.HERE / "include"
    names = sorted(path.relative_to(include).as_posix() for path in include.rglob("*.h"))
    source = tmp_path / "all.cc"
    source.write_text("".join(f"#include <{name}>\n" for name in names) + "int main() {}\n")
    assert build.cc([str(source), "-Wall", "-Wextra", "-Werror", "-o", str(tmp_path / "all")]) == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("#include <vector>\nint main() {}\n", "there is no <vector>"),
        ("# include <cstdio>\nint main() {}\n", "there is no <cstdio>"),
        ("int main() { throw 1; }\n", "exceptions disabled"),
    ],
)
def test_what_is_not_there_is_refused_in_a_sentence(
    text: str, told: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "wrong.cc", tmp_path / "wrong"
    source.write_text(text)
    assert build.cc([str(source), "-o", str(out)]) == 1
    assert told in capfd.readouterr().err
    assert not out.exists()


def test_the_help_says_that_there_is_no_standard_library(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        build.cc(["--help"])
    assert "There is no C++ standard library" in " ".join(capsys.readouterr().out.split())


@needs_linux
@pytest.mark.parametrize("cpus", [1, 2])
def test_threads_and_semaphores_of_posix_do_what_a_stock_c_library_does(
    cpus: int, tmp_path: Path
) -> None:
    ours = tmp_path / "ours"
    words = [str(HERE / "posix_threads.c"), "-O1", "-Wall", "-Wextra", "-Werror", "-pthread"]
    assert build.cc([*words, "-lpthread", "-lrt", "-o", str(ours)]) == 0
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl", "-static"]
    with empty_folder() as folder:
        theirs = folder / "theirs"
        subprocess.run([*command, *words, "-o", str(theirs)], check=True)
        expected = on_host([theirs])
    run = System(ours.read_bytes(), cpus=cpus, traced=False, turns=100_000).run()
    assert f"{run.output.decode()}status {run.exit_code}\n" == expected
