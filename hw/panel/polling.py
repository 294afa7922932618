"""What comes in from outside: records of a trace that grows, and answers of the machine."""

from __future__ import annotations

from hw.panel.machine import memory, questions
from hw.panel.model.history import History
from hw.panel.model.places import forgotten
from hw.panel.session import Session
from hw.panel.user import showing
from hw.panel.verbs import BACK, PAUSE, SEEN

RECORDS_A_POLL = 16_384
"""So many records, and what is left of their last chunk, are read before the window is painted."""


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
    """Read new chunks of the trace; True if there were any, or if the recording has ended. In a
    window of instructions the trace is read, but the session stays in the window."""
    if not session.live:
        return False
    history = session.outer or session.history
    complete = history.file.complete
    at_end = session.outer is None and history.position == history.scanned
    grown = _read(session, history)
    if grown and at_end:
        _follow_live(session)
    session.live = grown or not complete
    return session.outer is None and (grown or not session.live)


def _read(session: Session, history: History) -> bool:
    """Read new chunks; True if there were any. Tell the user when the history begins to forget, and
    the machine how far it has read."""
    start, oldest, place = history.scanned, history.oldest, history.position
    while history.scanned < start + RECORDS_A_POLL and history.scan_chunk():
        pass
    if history.oldest > oldest:
        _forget(session, history, place if place < start else history.oldest)
        if not oldest:
            session.message = (
                f"from now on the oldest records are forgotten: the last {history.most:,} are kept"
            )
    if history.cap is not None and session.send is not None and history.scanned > start:
        session.send(f"{SEEN} {history.scanned} {history.oldest}")
    return history.scanned > start


def _forget(session: Session, history: History, place: int) -> None:
    """Drop the markers that are forgotten. If the session stood at a forgotten `place`, say so."""
    for name in [name for name, at in session.marks.items() if at <= history.oldest]:
        del session.marks[name], session.marked_states[name]
    if place < history.oldest:
        session.message = "; ".join(forgotten(history, place))


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
