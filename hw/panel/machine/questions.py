"""The one way to ask the machine: a verb with numbers goes out, a file comes back.

The machine answers between two traps, in the order of the questions. A question replaces an earlier
one with the same verb.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hw.host import UserError
from hw.panel.model.answers import NO_MACHINE
from hw.panel.session import Question, Session
from hw.panel.verbs import answer_path


def way_to_machine(session: Session) -> Callable[[str], None]:
    """What sends a line to the machine. Raises `UserError` where there is no machine."""
    if session.send is None:
        raise UserError(*NO_MACHINE)
    return session.send


def ask(
    session: Session, verb: str, numbers: tuple[int | str, ...], take: Callable[[Path], None]
) -> None:
    """Send `verb` and `numbers` to the machine; once the answer has come, `take` is called with
    its file, which is deleted afterwards unless `take` has moved the session into it.

    The first number must be an integer, since it names the file.  Raises `UserError` where there
    is no machine.
    """
    send = way_to_machine(session)
    forget(session, verb)
    answer = answer_path(session.history.file.path, verb, int(numbers[0]))
    session.asked[verb] = Question(answer, take)
    send(" ".join(map(str, (verb, *numbers))))


def take(session: Session, *verbs: str) -> bool:
    """Act on the answers that have come, or only on answers to `verbs`; True if there was one."""
    found = False
    while (verb := _answered(session, verbs)) is not None:
        question, found = session.asked.pop(verb), True
        question.take(question.answer)
        if session.history.file.path != question.answer:
            question.answer.unlink(missing_ok=True)
    return found


def _answered(session: Session, verbs: tuple[str, ...]) -> str | None:
    for verb, question in session.asked.items():
        if (not verbs or verb in verbs) and question.answer.exists():
            return verb
    return None


def forget(session: Session, verb: str) -> None:
    """Drop a question, and its answer if that has come."""
    question = session.asked.pop(verb, None)
    if question is not None:
        question.answer.unlink(missing_ok=True)
