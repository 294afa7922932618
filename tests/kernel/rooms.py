"""Counts how often the kernel changes rooms to serve one trap: a measure of its structure.

A room is a file or a folder of kernel/.  A change of room is a call from one room into another.
A call through hw/ or the library does not change the room.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

KERNEL = Path(__file__).resolve().parents[2] / "kernel"

SYSCALL, FINISH, FAULT = "syscall", "finish", "page_fault"


@dataclass
class Visit:
    """One trap: its kind, and the rooms that it entered, in order."""

    kind: str
    number: int
    """The name of the system call, or the error code of the page fault."""
    rooms: list[str] = field(default_factory=list)

    @property
    def changes(self) -> int:
        return len(self.rooms)


class Rooms:
    """A profile function.  `visits` holds the traps that the kernel served while it was set."""

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self._visit: Visit | None = None
        self._stack: list[str] = []

    def __enter__(self) -> Rooms:
        sys.setprofile(self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _hear(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            self._enter(frame)
        elif event == "return" and self._stack:
            self._stack.pop()
            if not self._stack and self._visit:
                self.visits.append(self._visit)
                self._visit = None

    def _enter(self, frame: FrameType) -> None:
        room = room_of(frame.f_code.co_filename)
        if not self._stack:
            name = frame.f_code.co_name
            if room in ("trap", "resume") and name in (SYSCALL, FINISH, FAULT):
                self._visit = Visit(name, _number(name, frame.f_locals))
                self._stack = [room]
            return
        if room and room != self._stack[-1] and self._visit:
            self._visit.rooms.append(room)
        self._stack.append(room or self._stack[-1])


def _number(name: str, variables: dict[str, Any]) -> int:
    if name == SYSCALL:
        return int(variables["number"])
    return int(variables["thread"].call.number if name == FINISH else variables["error"])


def room_of(file: str) -> str:
    """`mm` for a file of kernel/mm/, `trap` for kernel/trap.py, empty for a file elsewhere."""
    path = Path(file)
    if KERNEL not in path.parents:
        return ""
    return path.relative_to(KERNEL).parts[0].removesuffix(".py")
