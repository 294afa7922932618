"""A trace in sentences: the caption of every event, for a screen reader or a log."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path

from hw.panel.model.history import LIVE_CAP, History
from hw.panel.model.moment import moment_of
from hw.panel.model.tracks import SORTS
from hw.panel.words.captions import caption

SWITCH = "switch"
"""A switch is told once, after the write of CR3 and the flush that follows."""


def events(history: History, first: int, last: int) -> list[int]:
    """The positions just behind the events among records `first`..`last`: records of the log, and
    ends of switches."""
    marks = history.tracks.marks
    found = [n for n in _between(marks["log"], first, last) if _told_itself(history, n)]
    return [n + 1 for n in sorted({*found, *_between(marks[SWITCH], first, last)})]


def _between(numbers: array[int], first: int, last: int) -> array[int]:
    return numbers[bisect_left(numbers, first) : bisect_left(numbers, last)]


def _told_itself(history: History, number: int) -> bool:
    return history.record(number).kind.name not in SORTS[SWITCH]


def sentence(history: History) -> str:
    """The caption of the moment at which a history stands."""
    return caption(moment_of(history))


class Narrator:
    """Tells the events of a trace while it grows."""

    def __init__(self, path: Path, write: Callable[[str], None]) -> None:
        self.path = path
        self.write = write
        self._history: History | None = None
        self._told = 0

    def tell(self) -> None:
        """Tell what has been recorded since the last time."""
        if self._history is None:
            self._history = History(self.path, cap=LIVE_CAP)
        history = self._history
        history.scan_all()
        last = history.scanned
        if history.tracks.switching and not history.file.complete:
            last = history.tracks.marks[SWITCH][-1]
        for position in events(history, self._told, last):
            history.seek(position)
            self.write(sentence(history))
        self._told = last

    def close(self) -> None:
        if self._history is not None:
            self._history.close()
