"""The last write to what is in view.

In the trace that is the record that last changed an entry of a table, a frame, a region or a TLB
entry. With a machine it is also the instruction that last stored into a word of memory or changed a
register: the machine executes the run again with the word watched, and then a window of
instructions around what it found is searched.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

from hw.panel.machine import questions, windows
from hw.panel.model.history import History
from hw.panel.model.moment import View
from hw.panel.model.state import FRAMES, PTES, REGIONS, TLB
from hw.panel.panels import frames as frames_panel
from hw.panel.panels import memory as memory_panel
from hw.panel.panels import tlb as tlb_panel
from hw.panel.panels import walk as walk_panel
from hw.panel.session import Session
from hw.panel.verbs import WRITE
from hw.trace import TraceFile

WORD_BYTES = 8
SHOWN_BEFORE = 1_000
"""A window that shows a store begins this many instructions before the store."""


class Word(NamedTuple):
    """The word whose last write is wanted: its virtual and physical address."""

    va: int
    pa: int


def last_write(session: Session, view: View) -> None:
    """Go back to the last change of what is in view in the chosen panel. Raises `UserError` if only
    a machine could tell and there is none."""
    if session.chosen == "memory":
        _last_store(session, view)
    elif session.chosen == "cpu":
        _last_change_of_register(session)
    else:
        _last_record(session, view)


def _last_record(session: Session, view: View) -> None:
    found = watched(view)
    if found is None:
        session.message = "nothing in view that could be written"
        return
    shelf, key, words = found
    history = session.history
    while history.back():
        if any((edit[0], edit[1]) == (shelf, key) for edit in history.edits_of_last()):
            session.message = f"last write to {words}"
            return
    words_of_time = since(history) if history.oldest else "before"
    session.message = f"{words} was not written {words_of_time}"


def since(history: History) -> str:
    """How far back a search could look, in words."""
    return (
        f"since record {history.oldest:,}, the oldest kept" if history.oldest else "since the start"
    )


def watched(view: View) -> tuple[int, object, str] | None:
    """(shelf, key, words) of what is in view in the chosen panel; None if nothing is."""
    if view.chosen == "frames":
        pfn = frames_panel.frame_in_view(view)
        return (FRAMES, pfn, f"frame {pfn:#x}") if pfn is not None else None
    if view.chosen == "maps":
        region = view.moment.state.region_at(view.space, view.va)
        if region is None:
            return None
        return REGIONS, (region.space, region.start), f"the region at {region.start:#x}"
    if view.chosen == "tlb":
        for key, entry in tlb_panel.newest(view):
            if entry.vpn == view.va >> 12:
                return TLB, key, f"set {key[2]}, way {key[3]}"
        return None
    steps = walk_panel.explained(view).steps
    if not steps:
        return None
    name = walk_panel.LEVELS[steps[-1].level][0]
    return PTES, steps[-1].slot, f"{name}[{steps[-1].index:03x}]"


# Memory -------------------------------------------------------------------------------------------


def _last_store(session: Session, view: View) -> None:
    """Go to the instruction that last stored into the word in view."""
    address = memory_panel.address_of(view) & ~(WORD_BYTES - 1)
    pfn = memory_panel.columns(view)[0].frames(address >> 12)[0]
    if pfn is None:
        session.message = f"nothing is mapped at {address:#x}"
        return
    word = Word(address, pfn << 12 | address & 0xFFF)
    if session.outer is not None:
        if _search_stores(session, word, session.history.position - 1):
            return
        first = windows.first_of(session.history)
        windows.leave(session)
        session.history.seek(first)
    numbers = (session.next_number(), session.history.position, word.pa, WORD_BYTES)
    questions.ask(session, WRITE, numbers, partial(_take, session, word))
    session.message = "the machine executes the run again, with this word watched ..."


def _take(session: Session, word: Word, answer: Path) -> None:
    """Go into a window around the instruction that the machine has found."""
    found = _found(answer)
    if found is None:
        session.message = f"nothing has written to {word.va:#x} {since(session.history)}"
        return
    place, core, instructions, by_program = found
    history = session.history
    if place < history.oldest:
        session.message = f"nothing has written to {word.va:#x} {since(history)}"
        return
    if not by_program:
        history.seek(place)
        session.message = f"last write to {word.va:#x}: by the kernel, up to this record"
        return
    history.seek(min(history.scanned, place + 1))
    first = windows.last_call(history, place)
    start = (core, max(0, instructions - SHOWN_BEFORE))
    windows.ask(session, first, lambda there: _show(there, word, place), start)


def _found(path: Path) -> tuple[int, int, int, int] | None:
    with TraceFile(path) as file:
        found = file.header["found"]
    return None if found is None else (found[0], found[1], found[2], found[3])


def _show(session: Session, word: Word, place: int) -> None:
    """In the window: go from the end of the stretch with the store back to the store."""
    window = session.history
    others, number = windows.first_of(window), 0
    while number < window.scanned:
        others += window.record(number).kind.name not in windows.INSIDE
        if others > place:
            break
        number += 1
    _search_stores(session, word, number)


def _search_stores(session: Session, word: Word, before: int) -> bool:
    """Go to the last store to the word before record `before` of this window; True if there is
    one."""
    window = session.history
    for number in range(before - 1, -1, -1):
        record = window.record(number)
        if record.kind.name != "store":
            continue
        start, data = record.values[:2]
        if start < word.pa + WORD_BYTES and word.pa < start + len(data):
            window.seek(number + 1)
            what = data[::-1].hex() if len(data) <= WORD_BYTES else data.hex()
            session.message = f"last write to {word.va:#x}: {len(data)} bytes, 0x{what}"
            return True
    return False


# Registers ----------------------------------------------------------------------------------------


def _last_change_of_register(session: Session) -> None:
    """Go to the instruction that gave the chosen register its value."""
    if session.outer is not None:
        search_register(session)
    else:
        history = session.history
        windows.ask(session, windows.last_call(history, history.position - 1), search_register)


def search_register(session: Session) -> None:
    """In a window: go back to the last instruction that changed the chosen register."""
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


def follow_register(session: Session, view: View) -> None:
    """Hold in view what the chosen register points to, also when its value changes."""
    if session.outer is None:
        session.message = "registers change in a window of instructions; s opens one"
        return
    session.look_at(view.va, view.space)
    session.focus.register = session.register
    session.message = f"what {session.register} points to is in view; t follows the machine again"
