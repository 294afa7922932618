"""Kills the process of a machine at a random moment, and looks at the file behind its NVM.

Unlike a power cut, this leaves what the process had written to the file, and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from hw.files import scratch_folder
from hw.memory import PAGE_SIZE
from kernel.choose import DATA, Chooser
from kernel.nvm.check import Contents, read
from kernel.nvm.format import runs_of
from userland.nvm import format_file, open_image

DOOR = Path(__file__).resolve().parents[2] / "run.py"
MOST_LINES, MOST_MILLISECONDS = 40, 8


def killed_case(seed: int, case: int) -> str:
    """kill -9 of a machine that makes and deletes segments: what it said is durable is there."""
    chooser = Chooser(seed << 20 ^ case)
    lines = 1 + chooser.choose(DATA, MOST_LINES)
    with scratch_folder("killed") as folder:
        path = folder / "module"
        format_file(path, 1)
        command = [sys.executable, str(DOOR), "exec", "--nvm", str(path), "persist", "churn"]
        process = subprocess.Popen(
            [*command, "100000"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        with process.stdout as told:
            said = [told.readline() for _ in range(lines)]
            time.sleep(chooser.choose(DATA, 1000 * MOST_MILLISECONDS) / 1e6)
            process.kill()
            said += told.readlines()
        process.wait()
        _look(path, int([line for line in said if line.endswith("\n")][-1]))
    return "killed"


def _look(path: Path, last: int) -> None:
    """Segment `last` is there, whole; beside it the one before, or the next."""
    image = open_image(path, 1, keep=True)
    try:
        found = read(image.read, image.size_bytes)
        assert not found.problems, found.problems
        names = {record.name.decode() for record in found.records}
        allowed = {f"s{last - 1}", f"s{last}", f"s{last + 1}"}
        assert f"s{last}" in names, f"{last} was durable, and there is {names}"
        assert names <= allowed, f"{names} are there, behind {last}"
        content = _content(found, f"s{last}", image.read)
        assert content == last.to_bytes(8, "little") * 1024, f"s{last} has lost what was in it"
    finally:
        image.close()


def _content(found: Contents, name: str, source: object) -> bytes:
    assert callable(source)
    (record,) = (one for one in found.records if one.name == name.encode())
    return b"".join(source(pfn * PAGE_SIZE, count * PAGE_SIZE) for _, pfn, count in runs_of(record))
