"""The last write to what is in view: an entry of a table, a frame, a region, an entry of a TLB; and
with a machine, the instruction that last stored into a word of memory or changed a register.

What the trace records is found by going back in it.  For memory the machine executes the run again
with the word watched; then a window of instructions around what it found is searched.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hw.panel.machine import windows
from hw.panel.machine.resuming import NO_MACHINE
from hw.panel.panels import memory as memory_panel
from hw.panel.user import inside
from hw.trace import TraceFile

if TYPE_CHECKING:
    from hw.panel.session import Session

WORD = 8
SHOWN_BEFORE = 1_000
"""A window that shows a store begins so many instructions before it."""


def last_write(session: Session) -> None:
    """Back to what last changed what is in view in the chosen panel."""
    if session.chosen == "memory":
        _last_store(session)
    elif session.chosen == "cpu":
        _last_change_of_register(session)
    else:
        _last_record(session)


def _last_record(session: Session) -> None:
    watched = inside.watched(session.view())
    if watched is None:
        session.message = "nothing in view that could be written"
        return
    shelf, key, words = watched
    history = session.history
    while history.back():
        if any((edit[0], edit[1]) == (shelf, key) for edit in history.edits_of_last()):
            session.message = f"last write to {words}"
            return
    session.message = f"{words} was not written before"


# Memory -------------------------------------------------------------------------------------------


def _last_store(session: Session) -> None:
    """To the instruction that last stored into the word in view."""
    view = session.view()
    address = memory_panel.address_of(view) & ~(WORD - 1)
    pfn = memory_panel.columns(view)[0].frames(address >> 12)[0]
    if pfn is None:
        session.message = f"nothing is mapped at {address:#x}"
        return
    session.watched_word = (address, pfn << 12 | address & 0xFFF)
    if session.outer is not None:
        if _search_stores(session, session.history.position - 1):
            return
        first = windows.first_of(session.history)
        windows.leave(session)
        session.history.seek(first)
    _ask(session)


def _ask(session: Session) -> None:
    if session.send is None:
        session.message = NO_MACHINE
        return
    _, pa = session.watched_word
    history = session.history
    session.writes_asked += 1
    session.awaited_write = history.file.path.with_name(f"write-{session.writes_asked}.vtrace")
    session.message = "the machine executes the run again, with this word watched ..."
    session.send(f"write {session.writes_asked} {history.position} {pa} {WORD}")


def take(session: Session) -> bool:
    """The machine's answer; True if it has come."""
    path = session.awaited_write
    if path is None or not path.exists():
        return False
    found = _found(path)
    session.awaited_write = None
    address, _ = session.watched_word
    if found is None:
        session.message = f"nothing has written to {address:#x} since the start"
        return True
    place, core, instructions, by_program = found
    history = session.history
    if not by_program:
        history.seek(place)
        session.message = f"last write to {address:#x}: by the kernel, up to this record"
        return True
    history.seek(min(history.scanned, place + 1))
    first = windows.last_call(history, place)
    start = (core, max(0, instructions - SHOWN_BEFORE))
    windows.ask(session, first, lambda s: _show(s, place), start)
    return True


def _found(path: Path) -> tuple[int, int, int, int] | None:
    with TraceFile(path) as file:
        found = file.header["found"]
    path.unlink()
    return None if found is None else (found[0], found[1], found[2], found[3])


def _show(session: Session, place: int) -> None:
    """In the window: from the end of the stretch that the store is in, back to it."""
    window = session.history
    others, number = windows.first_of(window), 0
    while number < window.scanned:
        others += window.record(number).kind.name not in windows.INSIDE
        if others > place:
            break
        number += 1
    _search_stores(session, number)


def _search_stores(session: Session, before: int) -> bool:
    """To the last record before `before` of this window that writes the word; True if there is."""
    address, pa = session.watched_word
    window = session.history
    for number in range(before - 1, -1, -1):
        record = window.record(number)
        if record.kind.name != "store":
            continue
        start, data = record.values[:2]
        if start < pa + WORD and pa < start + len(data):
            window.seek(number + 1)
            what = data[::-1].hex() if len(data) <= WORD else data.hex()
            session.message = f"last write to {address:#x}: {len(data)} bytes, 0x{what}"
            return True
    return False


# Registers ----------------------------------------------------------------------------------------


def _last_change_of_register(session: Session) -> None:
    """To the instruction after which the chosen register has the value that it has now."""
    if session.outer is not None:
        search_register(session)
    elif session.send is None:
        session.message = NO_MACHINE
    else:
        history = session.history
        windows.ask(session, windows.last_call(history, history.position - 1), search_register)


def search_register(session: Session) -> None:
    """In a window: back to the last instruction that changed the chosen register."""
    window, name = session.history, session.register
    core = window.last.core if window.last else 0
    tid = window.tracks.tid_at(core, window.position - 1)
    value: int | None = None
    marks = window.tracks.marks["instruction"]
    at = [number for number in marks if number < window.position]
    for number in reversed(at):
        record = window.record(number)
        if record.core != core or window.tracks.tid_at(core, number) != tid:
            continue
        if value is not None and record[name] != value:
            window.seek(number + 1)
            session.message = f"{name} was {record[name]:#x}; this instruction made it {value:#x}"
            return
        value = record[name]
    session.message = f"{name} was not changed before in this window; S goes further back"


def follow_register(session: Session) -> None:
    """Have the address that the chosen register holds in view, whatever it comes to hold."""
    if session.outer is None:
        session.message = "registers change in a window of instructions; s opens one"
        return
    view = session.view()
    session.look_at(view.va, view.space)
    session.focus.register = session.register
    session.message = f"what {session.register} points to is in view; t follows the machine again"
