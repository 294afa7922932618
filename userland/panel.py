"""`run.py panel`: a panel on a recorded trace, or beside a program that the command starts."""

from __future__ import annotations

from pathlib import Path

from hw.host import UserError, has_display
from hw.panel import command
from userland import exec, gallery


def main(argv: list[str]) -> int:
    """The panel command; returns the exit status.  Raises `UserError`."""
    if argv and argv[0] == "gallery":
        return gallery.main(argv[1:])
    if not argv or argv[0] in command.COMMANDS or argv[0].startswith("-"):
        return command.main(argv or ["--help"])
    if "/" not in argv[0] and Path(argv[0]).suffix == ".vtrace":
        raise UserError(f"{argv[0]} is a trace", f"run.py panel replay {argv[0]}")
    if not has_display():
        raise UserError(
            "there is no display to open the panel on",
            f"record with run.py exec --trace FILE {argv[0]}, and see run.py panel --help",
        )
    return exec.main(["--panel", "--paused", *argv])
