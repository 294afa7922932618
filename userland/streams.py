"""The host's standard streams as the ends of a guest's console."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from hw.host import UserError, discard


@dataclass
class Output:
    """A stream of the host that shows what a program writes; nowhere, if it is closed.

    When it can take no more, the run ends: `failed` is called once, and `check` says why.
    """

    name: str
    failed: Callable[[], None] = lambda: None
    error: OSError | None = None

    def __call__(self, data: bytes) -> None:
        stream = self._stream()
        if stream is None or self.error is not None:
            return
        try:
            stream.buffer.write(data)
            stream.buffer.flush()
        except OSError as error:
            self.error = error
            discard(stream)
            self.failed()

    def _stream(self) -> TextIO | None:
        return sys.stdout if self.name == "output" else sys.stderr

    def check(self) -> None:
        """Raise what ended the run: BrokenPipeError where a reader had seen enough."""
        if isinstance(self.error, BrokenPipeError):
            raise self.error
        if self.error is not None:
            remedy = "make room there, or send it to another place"
            what = f"cannot write standard {self.name}: {self.error.strerror}"
            raise UserError(what, remedy) from self.error


def read_in() -> bytes:
    """What the host's standard input has; b"" at its end."""
    return os.read(sys.stdin.fileno(), 65536) if sys.stdin else b""
