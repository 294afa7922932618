"""What the user types at a prompt: where to go, what to search, when to stop."""

from __future__ import annotations

from collections.abc import Callable

from hw.host import UserError
from hw.panel.model.conditions import check, parse
from hw.panel.model.places import position_of
from hw.panel.session import Session
from hw.panel.user import inside, showing, sifting

PROMPTS = {
    "go": "Go to (0x..., symbol, #record, 50%, fault:3, T2, space:2, pfn:0x30, pa:0x30010):",
    "search": "Search (fault && write, or words of the log; in a zoomed table, flags: w&&!x):",
    "filter": "Log: only (fault && space==2, call==mmap, words; nothing: all):",
    "break": "Break on (fault && vas==2 && write, call==mmap, pte, tlb_flush ...):",
}


def _go(session: Session, text: str) -> None:
    """Go to an address, a symbol, a frame, a thread, a space, or a place in time."""
    word, colon, number = text.partition(":")
    state = session.history.state
    if word in ("pfn", "frame") and colon:
        inside.look_at_frame(session, int(number, 0))
    elif word == "pa" and colon:
        session.look_at_physical(_address(number))
    elif word == "space" and colon and number.isdigit():
        session.look_at(session.focus.va, int(number))
    elif text[:1] in "Tt" and text[1:].isdigit() and int(text[1:]) in state.threads:
        session.look_at(session.focus.va, state.threads[int(text[1:])].space)
    elif text.lower().startswith("0x"):
        session.look_at(_address(text))
    elif (symbol := session.history.about.address_of(text)) is not None:
        session.look_at(symbol)
    else:
        session.go_to(position_of(session.history, text))


def _address(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        raise UserError(f"{text!r} is no address", "say 0x7f0000001000") from None


def _search(session: Session, text: str) -> None:
    session.searched = text
    sifting.search(session, showing.view(session), forward=True)


def _filter(session: Session, text: str) -> None:
    session.log_filter = text
    session.message = f"the log has only: {text}" if text else "the log has every line"


def _break(session: Session, text: str) -> None:
    parse(text)
    if text not in session.breakpoints:
        check(text, session.history.file.kinds, session.history.about)
    if text in session.breakpoints:
        session.breakpoints.remove(text)
        session.message = f"no longer stops at: {text}"
    else:
        session.breakpoints.append(text)
        session.message = f"stops at: {text}; c runs there, C runs back"


SUBMITS: dict[str, Callable[[Session, str], None]] = {
    "go": _go,
    "search": _search,
    "filter": _filter,
    "break": _break,
}
