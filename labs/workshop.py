"""Programs that are built from a student's C: the files of the lab's parts, and all else ours.

The pinned compiler runs as a process of its own.  Where it is not installed, programs count that
the student has built (`run.py build NAME`) and handed in with the sources.  Those could hold
anything; but so can C that is compiled here, and both only run inside the machine.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from labs.crew import Crew
from labs.lab import BUILT, ROOT, Lab
from labs.plain import command

COMPILER_SECONDS = 30
"""Of this host's processors, and a second time on its clock.  The longest build takes 2 s; what
takes more expands macros or includes itself."""
BUILD = (sys.executable, str(ROOT / "run.py"), "build")
LIMITED = f"""\
import runpy, sys
sys.path.insert(0, {str(ROOT)!r})
from hw import host
host.die_with_parent()
host.limit_processor({COMPILER_SECONDS})
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
MOST_LINES = 12
"""Of a compiler's messages: the first mistake and what surrounds it."""


@dataclass(slots=True)
class Workshop:
    """Builds the lab's programs once, when a check first needs one."""

    lab: Lab
    tree: Path
    folder: Path
    crew: Crew
    tried: bool = False
    wrong: str = ""
    """Why there are no programs: what the compiler said, or what is missing."""
    made: dict[str, Path] = field(default_factory=dict)
    one_at_a_time: Lock = field(default_factory=Lock)

    def built(self, name: str) -> Path | None:
        """The program, if the lab builds it; None also where `wrong` says why it cannot."""
        if name not in self.lab.programs:
            return None
        with self.one_at_a_time:
            if not self.tried:
                self.tried = True
                self._build_or_take()
        return self.made.get(name)

    def _build(self) -> None:
        names = self.lab.programs
        build = [*BUILD[1:], *names, "--to", str(self.folder), "--with", str(self.tree.resolve())]
        with self.crew.working(
            [sys.executable, "-c", LIMITED, *build],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as compiler:
            try:
                said, _ = compiler.communicate(timeout=COMPILER_SECONDS)
            except subprocess.TimeoutExpired:
                self.wrong = f"the C is not compiled after {COMPILER_SECONDS} s"
                return
        if compiler.returncode:
            text = said.decode("utf-8", "replace")
            self.wrong = f"the C does not compile: {self._first_mistake(text)}"
        else:
            self.made = {name: self.folder / name for name in names}

    def _first_mistake(self, said: str) -> str:
        """From the first error on, with the file's name as the lab has it."""
        lines = said.replace(f"{self.tree.resolve()}/", "").splitlines()
        first = next((i for i, line in enumerate(lines) if "error:" in line), 0)
        return "\n     ".join(lines[first : first + MOST_LINES])

    def _build_or_take(self) -> None:
        wanted = [f"{BUILT}/{name}" for name in self.lab.programs]
        absent = [name for name in wanted if not (self.tree / name).is_file()]
        if has_compiler():
            self._build()
        elif not absent:
            self.made = {name: self.tree / BUILT / name for name in self.lab.programs}
        elif why := fetch_compiler():
            self.wrong = (
                f"there is no C compiler here ({why}) and no {absent[0]} was handed in: make it "
                f"elsewhere with {command('build', *self.lab.programs)}"
            )
        else:
            self._build()


def has_compiler() -> bool:
    """Is the pinned compiler installed?"""
    return importlib.util.find_spec("ziglang") is not None


def fetch_compiler() -> str:
    """Install it in Vantage's environment, once; returns why that failed, or nothing."""
    print("The C compiler is fetched, once: 100 MB", file=sys.stderr, flush=True)
    done = subprocess.run(
        [*BUILD, "--help"],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    importlib.invalidate_caches()
    if has_compiler():
        return ""
    return " ".join(done.stderr.split()) or "this Python lacks the package 'ziglang'"
