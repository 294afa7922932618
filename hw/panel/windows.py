"""Windows of instructions: a stretch that the machine executes again with a record of each.

A trace does not hold instructions.  A window begins at a system call, and is a trace of its own;
while a session is in one, `outer` is the trace that it belongs to.
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING

from hw.panel.history import History
from hw.trace import TraceFile

if TYPE_CHECKING:
    from hw.panel.session import Session

INSIDE = ("instruction", "store", "page")
"""Records that a window has and a run has not."""


def instruction(session: Session, step: int) -> None:
    """One instruction on (1) or back (-1)."""
    history = session.history
    if session.outer is not None:
        session.by("instruction", forward=step > 0)
    elif session.send is None:
        history.seek(history.position + step)
        session.message = "instructions are not in a file: a step of a record. run.py panel PROGRAM"
    else:
        ask(session, last_call(history, history.position - (step < 0)))
        session.wished_step = step


def ask(session: Session, first: int) -> None:
    """Have the machine execute the stretch from record `first` to here."""
    session.awaited = session.history.file.path.with_name(f"window-{first}.vtrace")
    session.message = "the machine executes this stretch again ..."
    assert session.send is not None
    session.send(f"window {first} {session.history.position}")


def last_call(history: History, position: int) -> int:
    """The position just behind the last system call that had ended by then; 0 if none had."""
    marks = history.tracks.marks["syscall"]
    for index in range(bisect_right(marks, position - 1) - 1, -1, -1):
        if history.record(marks[index]).kind.name == "syscall":
            return marks[index] + 1
    return 0


def enter(session: Session, path: Path) -> None:
    """The window has come: go in, to where the trace stood."""
    there, outer = session.history.position, session.history
    with TraceFile(path) as file:
        first = int(file.header["window"]["first"])
    outer.seek(first)
    window = History(path, outer.state)
    window.tracks.names.update(outer.tracks.names)
    window.tracks.space_names.update(outer.tracks.space_names)
    window.scan_all()
    outer.seek(there)
    session.outer, session.history, session.awaited, session.message = outer, window, None, ""
    session.span = None
    while window.position < window.scanned and there > first:
        there -= window.record(window.position).kind.name not in INSIDE
        window.forward()
    session.by("instruction", forward=session.wished_step > 0)
    if there > first:
        session.message = "the window ends before this record: too many instructions"


def leave(session: Session) -> None:
    """Back to the trace, where it stood."""
    if session.outer is not None:
        path = session.history.file.path
        session.history.close()
        path.unlink(missing_ok=True)
        session.history, session.outer = session.outer, None
