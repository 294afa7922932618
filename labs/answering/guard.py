"""Accidents and crude tricks end with a sentence, in the judge's child; a sandbox this is not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LEAVES_THE_PROCESS = {
    *("os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "os.system"),
    *("os.exec", "os.kill", "os.killpg", "subprocess.Popen", "signal.pthread_kill"),
    *("socket.connect", "socket.bind", "_winapi.CreateProcess"),
}
CHANGES_FILES = {
    *("os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir"),
    *("os.symlink", "os.truncate", "shutil.rmtree", "shutil.move"),
}


class Forbidden(BaseException):
    """The student's code tried what no answer needs."""


class Guard:
    """Listens to Python's audit events (PEP 578)."""

    def __init__(self) -> None:
        self.rests = False
        sys.addaudithook(self._look)

    @contextmanager
    def resting(self) -> Iterator[None]:
        """While the child itself opens what an answer needs."""
        self.rests = True
        try:
            yield
        finally:
            self.rests = False

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.rests:
            return
        if event in LEAVES_THE_PROCESS or event in CHANGES_FILES or _writes(event, arguments):
            raise Forbidden(f"the code tried '{event}', which no answer needs")


def _writes(event: str, arguments: tuple[Any, ...]) -> bool:
    if event != "open" or not isinstance(arguments[0], (str, bytes)):
        return False
    flags = arguments[2] if isinstance(arguments[2], int) else 0
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
