"""Other people's programs, unmodified.  Compilers and packages that know nothing of Vantage built
them, and they must print the same on Vantage as on the host."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.oracle import empty_folder, inside, needs_linux, on_host

HERE = Path(__file__).parent
C, GO, RUST, SCRIPT = (HERE / n for n in ("threads.c", "stock.go", "stock.rs", "busybox.sh"))
MACHINES: dict[str, dict[str, Any]] = {
    "one core": {"cpus": 1},
    "four cores": {"cpus": 4, "seed": 5},
    "silicon": {"mmu": "silicon"},
}
each_machine = pytest.mark.parametrize("machine", MACHINES)


def run(*command: object, **environment: str) -> None:
    words = [str(word) for word in command]
    done = subprocess.run(
        words, env={**os.environ, **environment}, capture_output=True, check=False
    )
    assert done.returncode == 0, f"{words}: {done.stderr.decode()}"


def needed(name: str, package: str) -> str:
    """Where a compiler is; a test without it is skipped with a sentence."""
    found = shutil.which(name)
    if not found:
        pytest.skip(f"needs {name} (apt-get install {package})")
    return found


def with_musl(target: Path) -> None:
    zig = (sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl")
    run(*zig, "-static", "-O2", C, "-o", target)


def with_glibc(target: Path) -> None:
    run(needed("gcc", "gcc libc6-dev"), "-static", "-O2", "-pthread", C, "-lm", "-o", target)


def with_go(target: Path) -> None:
    go, cache = needed("go", "golang-go"), str(target.parent / "cache")
    run(go, "build", "-o", target, GO, CGO_ENABLED="0", GOCACHE=cache, GOFLAGS="-mod=mod")


def with_rust(target: Path) -> None:
    rustc = needed("rustc", "rustc")
    run(rustc, "-O", "-C", "target-feature=+crt-static", "-o", target, RUST)


BUILDERS: dict[str, Callable[[Path], None]] = {
    "musl": with_musl,
    "glibc": with_glibc,
    "go": with_go,
    "rust": with_rust,
}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with empty_folder() as made:
        yield made


@pytest.fixture(scope="module")
def built(folder: Path) -> Callable[[str], Path]:
    """Builds each program once, when a test first asks for it."""

    def build(name: str) -> Path:
        target = folder / name
        if not target.exists():
            BUILDERS[name](target)
            target.chmod(0o755)
        return target

    return build


@needs_linux
@each_machine
@pytest.mark.parametrize("name", BUILDERS)
def test_a_static_program_prints_what_it_prints_on_the_host(
    built: Callable[[str], Path], name: str, machine: str
) -> None:
    program = built(name)
    there = on_host([program])
    assert len(there.splitlines()) > 7
    assert there.endswith("status 0\n")
    wishes: dict[str, Any] = {"ram": 128, **MACHINES[machine]}
    assert inside("HOME=/ exec /program", {b"/program": program.read_bytes()}, **wishes) == there


@needs_linux
@each_machine
def test_busybox_runs_a_long_script_as_on_the_host(folder: Path, machine: str) -> None:
    busybox, script = folder / "busybox", folder / "script.sh"
    shutil.copy(needed("busybox", "busybox-static"), busybox)
    shutil.copy(SCRIPT, script)
    there = on_host([busybox, "sh", script], BB=str(busybox), PATH="/bin")
    assert len(SCRIPT.read_text().splitlines()) >= 100
    assert len(there.splitlines()) > 150
    files = {b"/busybox": busybox.read_bytes(), b"/commands": SCRIPT.read_bytes()}
    here = inside("BB=/busybox exec /busybox sh /commands", files, **MACHINES[machine])
    assert here == there
