"""The processes of one grading.  They end together, and none of them outlives it."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hw import host


class Dismissed(Exception):
    """The grading was stopped, so there is nothing more to do."""


class Crew:
    """Starts processes until it is dismissed; safe in several threads."""

    def __init__(self) -> None:
        self._at_work: set[subprocess.Popen[Any]] = set()
        self._lock = threading.Lock()
        self.dismissed = False

    @contextmanager
    def working(self, command: Sequence[str], **settings: Any) -> Iterator[subprocess.Popen[Any]]:
        """A process that leads a session of its own, and is gone afterwards.

        Raises Dismissed, also when the crew was dismissed while it worked.
        """
        with self._lock:
            self.check()
            process = subprocess.Popen(command, start_new_session=True, **settings)
            self._at_work.add(process)
        try:
            yield process
        finally:
            self._end(process)
        self.check()

    def _end(self, process: subprocess.Popen[Any]) -> None:
        with self._lock:
            self._at_work.discard(process)
        host.kill_group(process)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            _close(pipe)

    def check(self) -> None:
        """Raises Dismissed if the grading was stopped."""
        if self.dismissed:
            raise Dismissed

    def dismiss(self) -> None:
        """Kill all of them, and start no other; harmless when repeated."""
        with self._lock:
            self.dismissed = True
            for process in self._at_work:
                host.kill_group(process)


def _close(pipe: Any) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except OSError:
        pass
