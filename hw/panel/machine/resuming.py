"""To go on from an earlier moment: the machine goes back to a checkpoint, executes the run again up
to there, drops what came after, and stands still.  How the user looks at it stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hw.panel.model.history import History

if TYPE_CHECKING:
    from hw.panel.session import Session

NO_MACHINE = "there is no machine beside a file; run.py panel PROGRAM has one"


def offer(session: Session) -> None:
    """Ask whether the future may go, if there is a machine and a future."""
    history = session.history
    if session.send is None:
        session.message = NO_MACHINE
    elif session.outer is not None:
        session.message = "Esc leaves the window of instructions; then r goes on from a record"
    elif history.position == history.scanned:
        session.message = "the machine is here; Space runs it"
    else:
        session.ask("resume")


def rows(session: Session) -> list[str]:
    """What the user is asked."""
    history = session.history
    count = history.scanned - history.position
    return [
        f"The machine goes back to record {history.position:,} and stands at the end of its trap.",
        f"The {count:,} records after it are dropped, also from the file.",
        "What the program has written is written; its later input is asked for again.",
    ]


def go_back(session: Session) -> None:
    """Tell the machine; until it is there, the picture stays as it is."""
    history = session.history
    session.frozen = session.view()
    session.frozen.message = "the machine goes back ..."
    session.frozen.mode = "GOING BACK"
    session.going_back = history.file.path.with_name(f"back-{history.position}")
    session.running = False
    assert session.send is not None
    session.send(f"back {history.position}")


def take(session: Session) -> bool:
    """The machine is there: read its trace anew, and forget what has not happened."""
    path = session.going_back
    if path is None or not path.exists():
        return False
    path.unlink()
    trace = session.history.file.path
    session.history.close()
    session.history = History(trace)
    session.history.scan_all()
    session.history.seek(session.history.scanned)
    session.frozen, session.going_back, session.span = None, None, None
    session.live, session.machine_paused = True, True
    _forget(session, session.history.scanned)
    session.message = "the machine stands here; Space runs it"
    return True


def _forget(session: Session, last: int) -> None:
    """Nothing of what was after record `last` is there any more."""
    session.memory.forget_after(last)
    for name in [name for name, position in session.marks.items() if position > last]:
        del session.marks[name], session.marked_states[name]
