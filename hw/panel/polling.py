"""What comes in from outside: new records of a trace that grows, and answers of the machine."""

from __future__ import annotations

from hw.panel.machine import memory, questions
from hw.panel.session import Session
from hw.panel.user import showing
from hw.panel.verbs import BACK, PAUSE


def poll(session: Session) -> bool:
    """Take in what has been recorded since and what the machine has answered; True if there was
    something.  Ask it for the memory that has come into view."""
    if session.frozen is not None:
        return questions.take(session, BACK)
    came = questions.take(session)
    came = _follow_trace(session) or came
    _ask_for_memory(session)
    return came


def _ask_for_memory(session: Session) -> None:
    """Looking costs as much as drawing, so it is done once for each way the session looks."""
    looks = showing.looks(session)
    if memory.may_ask(session) and session.memory.looked != looks:
        session.memory.looked = looks
        memory.ask(session, showing.frames_in_view(session))


def _follow_trace(session: Session) -> bool:
    """Read a chunk that has been recorded; True if there was one, or if it was the last."""
    if not session.live or session.outer is not None:
        return False
    complete = session.history.file.complete
    at_end = session.history.position == session.history.scanned
    grown = session.history.scan_chunk()
    if grown and at_end:
        _follow_live(session)
    session.live = grown or not complete
    return grown or not session.live


def _follow_live(session: Session) -> None:
    """Go to the end, or to a breakpoint on the way there, where the machine is paused."""
    found = None
    if session.breakpoints:
        found = session.find(session.any_breakpoint(), forward=True)
    session.history.seek(session.history.scanned if found is None else found)
    if found is not None:
        session.message = "a breakpoint is met"
        if session.send is not None and not session.machine_paused:
            session.machine_paused = True
            session.send(PAUSE)
