"""What memory holds: a trace does not tell, so the machine is asked, and what it answers is kept.

The machine goes back to a checkpoint, executes the run again to the moments that are wanted (this
one, the one before the last step, marker A) and leaves the frames in a file beside the trace.  In
a window of instructions all of it is in the window's own records.
"""

from __future__ import annotations

from collections import ChainMap, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hw.panel.model.state import MEMORY
from hw.trace import TraceFile

if TYPE_CHECKING:
    from hw.panel.session import Session

NO_MACHINE = (
    "A trace has no memory contents: they come from the machine, which executes the stretch again. "
    "run.py panel PROGRAM has a machine beside it."
)
RUNS = "The machine runs: Space pauses it, and then its memory is shown."
ASKED = "The machine executes this stretch again, to see what was here ..."
NOT_IN_WINDOW = "This frame is not in the window of instructions; Esc leaves it."
FRAMES_KEPT = 1024
"""4 MiB."""


@dataclass(slots=True)
class Pages:
    """What frames hold at the moment, and held before its last step and at marker A; `why` says
    why a frame is missing."""

    now: Mapping[int, bytes] = field(default_factory=dict)
    before: Mapping[int, bytes] = field(default_factory=dict)
    marked: Mapping[int, bytes] = field(default_factory=dict)
    why: str = NO_MACHINE


@dataclass(slots=True)
class Memory:
    """The machine's answers by place and frame, and the file that it was asked for last."""

    kept: OrderedDict[tuple[int, int], bytes] = field(default_factory=OrderedDict)
    awaited: Path | None = None
    number: int = 0
    nothing: set[tuple[int, int]] = field(default_factory=set)
    """What was asked for and not told: a frame beyond the end of memory."""
    looked: tuple[object, ...] = ()
    """How the session looked when it was last seen what is wanted: nothing new, nothing to ask."""
    _asked: set[tuple[int, int]] = field(default_factory=set)

    def at(self, place: int) -> dict[int, bytes]:
        """The frames that are known of a place."""
        return {pfn: content for (at, pfn), content in self.kept.items() if at == place}

    def forget_after(self, place: int) -> None:
        """What came after a place will not happen that way."""
        for key in [key for key in self.kept if key[0] > place]:
            del self.kept[key]
        self.nothing.clear()
        self.awaited, self.looked = None, ()


def pages_of(session: Session) -> Pages:
    """What is known of memory where a session stands."""
    history, memory = session.history, session.memory
    if session.outer is not None:
        changed = {key: old for shelf, key, old, _ in history.step()[1] if shelf == MEMORY and old}
        now = history.state.memory
        return Pages(now, ChainMap(changed, now), {}, NOT_IN_WINDOW)
    if session.send is None:
        return Pages()
    if not memory.kept and memory.awaited is None and running(session):
        return Pages(why=RUNS)
    now = memory.at(history.position)
    before, marked = (memory.at(place) for place in places_of(session)[1:])
    return Pages(now, before, marked, RUNS if running(session) else ASKED)


def running(session: Session) -> bool:
    """The machine runs on, so that what is shown would be over before it is drawn."""
    return session.at_live_end and not session.machine_paused


def places_of(session: Session) -> tuple[int, int, int]:
    """The moment, the one before its last step, and marker A (or the moment, if there is none)."""
    history = session.history
    position = history.position
    return position, history.step_start() if position else 0, session.marks.get("A", position)


def ask(session: Session) -> None:
    """Ask the machine for what is in view and not known yet."""
    memory = session.memory
    idle = session.send is not None and session.outer is None and memory.awaited is None
    if not idle or session.awaited is not None or running(session):
        return
    looked = session.how_it_looks()
    if memory.looked == looked:
        return
    memory.looked = looked
    frames = session.frames_in_view()
    places = sorted(set(places_of(session)))
    wanted = {(place, pfn) for place in places for pfn in frames}
    if not wanted or wanted <= memory.kept.keys() | memory.nothing:
        return
    memory.number += 1
    memory.awaited = session.history.file.path.with_name(f"memory-{memory.number}.vtrace")
    memory._asked = wanted
    rows = (",".join(map(str, row)) for row in (places, sorted(frames)))
    assert session.send is not None
    session.send(f"memory {memory.number} {' '.join(rows)}")


def take(memory: Memory) -> bool:
    """Take the machine's answer in; True if it has come."""
    path = memory.awaited
    if path is None or not path.exists():
        return False
    with TraceFile(path) as file:
        for record in file:
            place, pfn, content = record.values[:3]
            memory.kept[place, pfn] = content
    path.unlink()
    memory.awaited, memory.looked = None, ()
    memory.nothing |= memory._asked - memory.kept.keys()
    while len(memory.kept) > FRAMES_KEPT:
        memory.kept.popitem(last=False)
    return True
