"""What comes in from outside: records of a trace that grows, and answers of the machine."""

from __future__ import annotations

from hw.panel.machine import memory, questions
from hw.panel.session import Session
from hw.panel.user import showing
from hw.panel.verbs import BACK, PAUSE


def poll(session: Session) -> bool:
    """Take in new records and new answers of the machine; True if there were any. Then ask the
    machine for memory that has come into view."""
    if session.frozen is not None:
        return questions.take(session, BACK)
    came = questions.take(session)
    came = _follow_trace(session) or came
    _ask_for_memory(session)
    return came


def _ask_for_memory(session: Session) -> None:
    """To find the frames in view costs as much as drawing, so it is done only after a change."""
    looks = showing.looks(session)
    if memory.may_ask(session) and session.memory.looked != looks:
        session.memory.looked = looks
        memory.ask(session, showing.frames_in_view(session))


def _follow_trace(session: Session) -> bool:
    """Read one new chunk of the trace; True if there was one, or if the recording has ended."""
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
    """Go to the end. If a breakpoint lies on the way, stop there and pause the machine."""
    found = None
    if session.breakpoints:
        found = session.find(session.any_breakpoint(), forward=True)
    session.history.seek(session.history.scanned if found is None else found)
    if found is not None:
        session.message = "a breakpoint is met"
        if session.send is not None and not session.machine_paused:
            session.machine_paused = True
            session.send(PAUSE)
