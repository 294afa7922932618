"""`run.py soak growth`: a run that goes on takes no more memory and no more room on disk.

Each case starts `run.py exec` with a program that makes calls without end, and reads from Linux's
/proc and from the temporary directory how large it is.  What is steady after a third of the time
must be as large at its end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hw.host import UserError

RUN = Path(__file__).resolve().parents[1] / "run.py"
SECONDS, SECONDS_BETWEEN = 180, 1
MOST_GROWTH_BYTES = 4 << 20
"""From the second third to the last one.  A megabyte a minute would be within it for 240 s."""
HISTORY = 50_000
"""Records that the panel keeps: few, so that it forgets from the first minute on."""
ENDLESS = str(10**15)


@dataclass(frozen=True, slots=True)
class Watched:
    """A way to run a program."""

    name: str
    options: tuple[str, ...]
    program: tuple[str, ...]


WATCHED = (
    Watched("panel", ("--panel", "--history", str(HISTORY)), ("switcher", ENDLESS)),
    Watched("plain", (), ("switcher", ENDLESS)),
    Watched("captions", ("--captions",), ("switcher", ENDLESS)),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """Sizes at one moment: resident memory of the machine and of the panel, and files."""

    machine_bytes: int
    panel_bytes: int
    disk_bytes: int

    def __str__(self) -> str:
        sizes = (self.machine_bytes, self.panel_bytes, self.disk_bytes)
        return " + ".join(f"{size / (1 << 20):.1f}" for size in sizes)


def growth_case(seed: int, case: int) -> str:
    """A run with a panel, without one, and with captions stays as large as it is."""
    if not Path("/proc/self/status").exists():
        raise UserError("soak growth reads /proc", "run it on Linux")
    watched = WATCHED[case % len(WATCHED)]
    samples = list(_samples(watched, seed))
    third = len(samples) // 3
    before, after = most(samples[third : 2 * third]), most(samples[2 * third :])
    words = f"{watched.name}: {before}, then {after} MiB (machine, panel, disk)"
    for name in Sample.__slots__:
        if getattr(after, name) - getattr(before, name) > MOST_GROWTH_BYTES:
            raise AssertionError(f"{name} grows; {words}")
    return words


def most(samples: list[Sample]) -> Sample:
    """The largest of each size."""
    return Sample(*(max(getattr(s, name) for s in samples) for name in Sample.__slots__))


def _samples(watched: Watched, seed: int) -> Iterator[Sample]:
    with _running(watched, seed) as (process, folder):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(SECONDS_BETWEEN)
            if process.poll() is not None:
                raise AssertionError(f"{watched.name}: it ended with status {process.returncode}")
            panel = sum(_resident(child) for child in _children(process.pid))
            yield Sample(_resident(process.pid), panel, _used(folder))


@contextmanager
def _running(watched: Watched, seed: int) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    with tempfile.TemporaryDirectory() as name:
        headless = {"SDL_VIDEODRIVER": "dummy", "DISPLAY": ":0", "TMPDIR": name}
        command = [sys.executable, str(RUN), "exec", "--seed", str(seed), *watched.options]
        process = subprocess.Popen(
            [*command, *watched.program],
            env=os.environ | headless,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            yield process, Path(name)
        finally:
            process.terminate()
            process.wait()


def _resident(pid: int) -> int:
    """Resident memory in bytes (proc(5), VmRSS); 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:"))


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _used(folder: Path) -> int:
    """Bytes of all files in a folder.  One that goes meanwhile counts as nothing."""
    found = 0
    for path in folder.rglob("*"):
        try:
            found += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return found
