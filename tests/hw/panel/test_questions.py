"""Questions to a machine: what goes out, what an answer does, what is said without a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.host import UserError
from hw.panel import commands
from hw.panel.layout import describe
from hw.panel.machine import questions
from hw.panel.model.answers import NO_MACHINE
from hw.panel.polling import poll
from hw.panel.session import Session
from hw.panel.user import showing
from hw.panel.verbs import BACK, WRITE, answer_path
from tests.hw.panel.recordings import closing, opened

__all__ = ["closing"]
TRACE = Path(__file__).with_name("cow.vtrace")


@pytest.fixture
def asking(tmp_path: Path) -> tuple[Session, list[str]]:
    """A session beside a machine that never answers, and the questions that it got."""
    path = tmp_path / "t.vtrace"
    path.write_bytes(TRACE.read_bytes())
    sent: list[str] = []
    session = Session(opened(path), send=sent.append)
    session.history.seek(307)
    return session, sent


@pytest.mark.parametrize("key", ["r", "i", "s", "h", "l"])
def test_without_a_machine_every_question_says_the_same(key: str) -> None:
    session = Session(opened(TRACE), chosen="memory" if key == "l" else "cpu")
    session.history.seek(307)
    commands.press(session, key, key)
    said = [session.message, *describe(showing.view(session), ["memory"])]
    assert any("; ".join(NO_MACHINE).lower() in line.lower() for line in said)
    assert not session.awaits
    with pytest.raises(UserError, match=r"run\.py panel PROGRAM"):
        questions.ask(session, WRITE, (1,), lambda _: None)


def test_a_question_goes_out_once_and_its_answer_is_taken_once(
    asking: tuple[Session, list[str]],
) -> None:
    session, sent = asking
    taken: list[bytes] = []
    questions.ask(session, WRITE, (7, 307), lambda path: taken.append(path.read_bytes()))
    assert sent == ["write 7 307"]
    assert not questions.take(session)
    answer = answer_path(session.history.file.path, WRITE, 7)
    answer.write_bytes(b"found")
    assert questions.take(session)
    assert not questions.take(session)
    assert taken == [b"found"]
    assert not answer.exists()


def test_a_question_replaces_the_one_before_with_its_verb(
    asking: tuple[Session, list[str]],
) -> None:
    session, _ = asking
    taken: list[int] = []
    for number in (1, 2):
        questions.ask(session, WRITE, (number,), lambda _, n=number: taken.append(n))  # type: ignore[misc]
        answer_path(session.history.file.path, WRITE, number).touch()
    assert questions.take(session)
    assert taken == [2]
    assert not list(session.history.file.path.parent.glob("write-*")), "no answer is left over"


def test_an_answer_may_ask_the_next_question(asking: tuple[Session, list[str]]) -> None:
    session, sent = asking

    def ask_more(_: Path) -> None:
        questions.ask(session, WRITE, (2,), lambda _: None)

    questions.ask(session, WRITE, (1,), ask_more)
    answer_path(session.history.file.path, WRITE, 1).touch()
    assert questions.take(session)
    assert sent == ["write 1", "write 2"]
    assert session.awaits


def test_while_the_machine_goes_back_no_other_answer_is_taken(
    asking: tuple[Session, list[str]],
) -> None:
    session, sent = asking
    trace = session.history.file.path
    taken: list[Path] = []
    session.marks["A"] = 400
    questions.ask(session, WRITE, (1,), taken.append)
    answer_path(trace, WRITE, 1).touch()
    commands.press(session, "r", "r")
    commands.press(session, "return")
    assert sent[-1] == "back 307"
    assert not poll(session)
    answer_path(trace, BACK, 307).touch()
    assert poll(session)
    assert session.frozen is None
    assert not taken
    assert poll(session)
    assert len(taken) == 1
    session.history.close()
