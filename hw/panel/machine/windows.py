"""Windows of instructions: stretches that the machine executes again, with a record of each
instruction.

A trace does not hold instructions. A window begins at a system call and is a trace of its own.
While a session is in one, `outer` is the trace that the window belongs to.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hw.panel.machine import questions
from hw.panel.model.answers import NO_MACHINE
from hw.panel.model.history import History
from hw.panel.model.places import forgotten
from hw.panel.session import Session
from hw.panel.verbs import WINDOW
from hw.trace import TraceFile

INSIDE = ("instruction", "store", "page")
"""Kinds of records that only a window has."""


def instruction(session: Session, step: int) -> None:
    """Go one instruction on (1) or back (-1); at the end of a window, into the next or previous
    one. Without a machine, go one record instead and say so."""
    history = session.history
    if session.outer is not None:
        tracks, at = history.tracks, history.position
        beside = tracks.after if step > 0 else tracks.before
        if beside("instruction", at) is None:
            _to_the_next(session, step)
        else:
            session.by("instruction", forward=step > 0)
    elif session.send is None:
        history.seek(history.position + step)
        session.message = f"moved by a record: {'; '.join(NO_MACHINE)}"
    else:
        _ask_for(session, step, history.position - (step < 0))


def _ask_for(session: Session, step: int, place: int) -> None:
    """Go into the window that begins with the last call before `place`, to the instruction after or
    before this moment. If that window has none before it, because no program ran, go further
    back."""
    first = last_call(session.history, place)

    def arrive(there: Session) -> None:
        window = there.history
        oldest = there.outer.oldest if there.outer else 0
        if (
            step < 0
            and first > oldest
            and window.tracks.before("instruction", window.position) is None
        ):
            leave(there)
            _ask_for(there, step, first - 1)
        else:
            there.by("instruction", forward=step > 0)

    ask(session, first, arrive)


def _to_the_next(session: Session, step: int) -> None:
    """Leave the window for the next or the previous one."""
    window, first = session.history, first_of(session.history)
    kinds = (window.record(number).kind.name for number in range(window.scanned))
    last = first + sum(1 for kind in kinds if kind not in INSIDE)
    leave(session)
    outer = session.history
    outer.seek(last if step > 0 else first)
    if (outer.position < outer.scanned) if step > 0 else first > outer.oldest:
        instruction(session, step)
    else:
        session.message = "there is no instruction that way"


def ask(
    session: Session,
    first: int,
    then: Callable[[Session], None],
    start: tuple[int, int] | tuple[()] = (),
) -> None:
    """Ask the machine to execute the stretch from record `first` to here; `then` is called in the
    window. `start` is (core, instructions): the window begins when the core has retired that many.
    Raises `UserError` without a machine."""
    numbers = (first, session.history.position, *start)
    questions.ask(session, WINDOW, numbers, partial(_enter, session, then))
    session.message = "the machine executes this stretch again ..."


def last_call(history: History, position: int) -> int:
    """The position just behind the last system call that had ended by then; the oldest if none
    had."""
    marks = history.tracks.marks["syscall"]
    for index in range(bisect_right(marks, position - 1) - 1, -1, -1):
        if history.record(marks[index]).kind.name == "syscall":
            return marks[index] + 1
    return history.oldest


def first_of(window: History) -> int:
    """How many records of the run there were when the window began."""
    return int(window.file.header["window"]["first"])


def _enter(session: Session, then: Callable[[Session], None], path: Path) -> None:
    """Go into the window, to where the trace stood, and call `then`."""
    there, outer = session.history.position, session.history
    with TraceFile(path) as file:
        first = int(file.header["window"]["first"])
    if first < outer.oldest:
        session.message = "; ".join(forgotten(outer, first))
        return
    outer.seek(first)
    window = History(path, outer.state)
    window.tracks.names.update(outer.tracks.names)
    window.tracks.space_names.update(outer.tracks.space_names)
    window.scan_all()
    outer.seek(there)
    session.outer, session.history, session.message, session.span = outer, window, "", None
    while window.position < window.scanned and there > first:
        there -= window.record(window.position).kind.name not in INSIDE
        window.forward()
    then(session)
    if there > first and session.outer is not None:
        session.message = "the window ends before this record: too many instructions"


def leave(session: Session) -> None:
    """Go back to the trace, to where it stood."""
    if session.outer is not None:
        path = session.history.file.path
        session.history.close()
        path.unlink(missing_ok=True)
        session.history, session.outer = session.outer, None
