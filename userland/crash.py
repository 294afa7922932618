"""What a person wants to know of a program that a signal ended, and the command that shows it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hw.host import has_display
from hw.paging import ERR_FETCH, ERR_WRITE
from hw.panel.model.about import About
from userland.programs import describe

RUN = Path(__file__).resolve().parent.parent / "run.py"
WATCHING = ("--panel", "--paused", "--strace", "--captions", "--pdb")
"""Options of who looks on, which the command needs no second time."""
PAGE_FAULT = 14
OF_EXCEPTIONS = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGTRAP")
"""Signals that most often stand for what the program itself did."""


@dataclass(frozen=True, slots=True)
class Crime:
    """The program of a run, and how the run was started."""

    name: str
    program: bytes
    options: Sequence[str]
    arguments: Sequence[str]
    trace: Path | None

    def sentence(self, vector: int, error: int, rip: int, va: int) -> str:
        """Where the exception was that the program had to answer for, and what opens the moment."""
        about = About({"program": describe(self.name, self.program)})
        where, line = about.symbol(rip) or "no symbol", about.place(rip)
        if line is not None:
            where += f", {line.file.rpartition('/')[2]}:{line.line}"
        what = ""
        if vector == PAGE_FAULT:
            writes = "write to" if error & ERR_WRITE else "read of"
            what = f"{'fetch from' if error & ERR_FETCH else writes} {va:#x}, "
        told = f"  {what}rip {rip:#x} ({where})"
        if (RUN.parent / ".lab" / "without-panel").exists():  # a student's tree may be
            return told
        return f"{told}; to see it: {self.command()}"

    def command(self) -> str:
        """What to paste: it records the run, if that was not done, and opens its last fault."""
        trace = self.trace or Path(f"{Path(self.name).name}.vtrace")
        verb = "replay" if has_display() else "text"
        shown = [*door(), "panel", verb, str(trace), "--at", "fault:-1"]
        if self.trace is not None:
            return shlex.join(shown)
        options = [word for word in self.options if word not in WATCHING]
        again = [*door(), "exec", "--trace", str(trace), *options, self.name, *self.arguments]
        return f"{shlex.join(again)}; {shlex.join(shown)}"


def door() -> list[str]:
    """How to start Vantage from the folder that this process is in."""
    here = Path.cwd() == RUN.parent
    python = "python" if sys.platform == "win32" else "python3"
    return [python, "run.py" if here else os.fspath(RUN)]
