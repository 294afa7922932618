"""What a student's code prints while the judge asks: kept for the report, as far as it is short."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

MOST_BYTES = 16 << 10


class Kept(io.RawIOBase):
    """A stream that writes its first bytes into a file and lets the rest go."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._left = MOST_BYTES

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        taken = bytes(data[: self._left])
        self._left -= len(taken)
        if taken:
            os.write(self._file, taken)
        return len(data)


def keep(path: str) -> None:
    """From now on `print` and what Python says of a mistake go into this file."""
    kept = Kept(path)
    text = io.TextIOWrapper(
        io.BufferedWriter(kept), encoding="utf-8", errors="backslashreplace", line_buffering=True
    )
    sys.stdout = sys.stderr = text


def breakpoint_passed(*_: Any, **__: Any) -> None:
    """Takes the place of Python's debugger, which needs somebody who types."""
    caller = sys._getframe(1)
    name = os.path.basename(caller.f_code.co_filename)
    print(
        f"breakpoint() in line {caller.f_lineno} of {name}: nobody can type while the judge asks; "
        "`python3 run.py exec PROGRAM` stops there"
    )
