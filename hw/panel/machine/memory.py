"""What memory holds. A trace does not say, so the panel asks the machine and keeps its answers.

The machine goes back to a checkpoint and executes the run again to the moments that are wanted:
this one, the one before the last step, and marker A. It leaves the contents of the frames in a file
beside the trace. A window of instructions needs no machine: its own records have the contents.
"""

from __future__ import annotations

from collections import ChainMap
from pathlib import Path

from hw.panel.machine import questions
from hw.panel.model.answers import ASKED, FRAMES_KEPT, NOT_IN_WINDOW, RUNS, Memory, Pages
from hw.panel.model.state import MEMORY as SHELF
from hw.panel.session import Session
from hw.panel.verbs import MEMORY, WINDOW
from hw.trace import TraceFile


def pages_of(session: Session) -> Pages:
    """What is known of memory at the position of a session."""
    history, memory = session.history, session.memory
    if session.outer is not None:
        changed = {key: old for shelf, key, old, _ in history.step()[1] if shelf == SHELF and old}
        now = history.state.memory
        return Pages(now, ChainMap(changed, now), {}, NOT_IN_WINDOW)
    if session.send is None:
        return Pages()
    if not memory.kept and MEMORY not in session.asked and session.machine_runs:
        return Pages(why=RUNS)
    now = memory.at(history.position)
    before, marked = (memory.at(place) for place in places_of(session)[1:])
    return Pages(now, before, marked, RUNS if session.machine_runs else ASKED)


def places_of(session: Session) -> tuple[int, int, int]:
    """The position, the one before the last step, and marker A (or the position, if there is
    none)."""
    history = session.history
    position = history.position
    return position, history.step_start() if position else 0, session.marks.get("A", position)


def may_ask(session: Session) -> bool:
    """True if a machine stands still beside the trace, and nothing was asked that could answer
    this."""
    beside = session.send is not None and session.outer is None
    return beside and not session.machine_runs and not session.asked.keys() & {MEMORY, WINDOW}


def ask(session: Session, frames: list[int]) -> None:
    """Ask the machine what the frames hold, if anything of that is not known yet."""
    memory = session.memory
    places = sorted(set(places_of(session)))
    wanted = {(place, pfn) for place in places for pfn in frames}
    if not wanted or wanted <= memory.kept.keys() | memory.nothing:
        return
    rows = [",".join(map(str, row)) for row in (places, sorted(frames))]
    numbers: tuple[int | str, ...] = (session.next_number(), *rows)
    questions.ask(session, MEMORY, numbers, lambda answer: _take(memory, wanted, answer))


def _take(memory: Memory, wanted: set[tuple[int, int]], answer: Path) -> None:
    with TraceFile(answer) as file:
        for record in file:
            place, pfn, content = record.values[:3]
            memory.kept[place, pfn] = content
    memory.looked = ()
    memory.nothing |= wanted - memory.kept.keys()
    while len(memory.kept) > FRAMES_KEPT:
        memory.kept.popitem(last=False)
