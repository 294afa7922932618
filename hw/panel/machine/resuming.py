"""The run goes on from an earlier moment.

The machine goes back to a checkpoint, executes the run again up to the moment, drops what came
after it, and stands still. How the user looks at it does not change.
"""

from __future__ import annotations

from hw.panel.machine import questions
from hw.panel.model.moment import View
from hw.panel.session import Session
from hw.panel.verbs import BACK, MEMORY


def offer(session: Session) -> None:
    """Ask the user whether the records after this one may be dropped. Raises `UserError` without a
    machine."""
    questions.way_to_machine(session)
    history = session.history
    if session.outer is not None:
        session.message = "Esc leaves the window of instructions; then r goes on from a record"
    elif history.position == history.scanned:
        session.message = "the machine is here; Space runs it"
    else:
        session.lay_over("resume")


def rows(session: Session) -> list[str]:
    """The lines of the question to the user."""
    history = session.history
    count = history.scanned - history.position
    return [
        f"The machine goes back to record {history.position:,} and stands at the end of its trap.",
        f"The {count:,} records after it are dropped, also from the file.",
        "What the program has written is written; its later input is asked for again.",
    ]


def go_back(session: Session, view: View) -> None:
    """Send the machine back; `view` is shown until it is there. Raises `UserError` without a
    machine."""
    place = session.history.position
    questions.ask(session, BACK, (place,), lambda _: _arrive(session))
    session.frozen, session.running = view, False
    view.message, view.mode = "the machine goes back ...", "GOING BACK"


def _arrive(session: Session) -> None:
    """Read the shortened trace anew, and forget what came after it."""
    session.history.reread()
    session.history.seek(session.history.scanned)
    session.frozen, session.span = None, None
    session.live, session.machine_paused = True, True
    _forget_after(session, session.history.scanned)
    session.message = "the machine stands here; Space runs it"


def _forget_after(session: Session, last: int) -> None:
    """Forget memory and markers of what came after record `last`."""
    questions.forget(session, MEMORY)
    session.memory.forget_after(last)
    for name in [name for name, position in session.marks.items() if position > last]:
        del session.marks[name], session.marked_states[name]
