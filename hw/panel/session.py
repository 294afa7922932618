"""A session: somebody looks at a trace.

It is where the history stands, how it is looked at, and the moves in time and space that change
the two.  What it shows is in `user/showing.py`, what keys do in `commands.py`, and what comes in
from outside in `polling.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hw.panel.model.answers import Memory, Variant
from hw.panel.model.conditions import Condition, Subject, parse
from hw.panel.model.history import History
from hw.panel.model.moment import Focus, View
from hw.panel.model.places import forgotten
from hw.panel.model.state import State
from hw.panel.verbs import PAUSE, RESUME, STEP

PANEL_SORTS = {"walk": "table", "maps": "map", "tlb": "tlb", "frames": "frame", "cpu": "syscall"}
PANEL_SORTS |= {"log": "log", "race": "switch", "graph": "thread", "timeline": "log"}
"""Panel -> the sort of event that `.` and `,` step by."""
STEADY = 2
"""Up to this many records a second, each step is outlined."""


@dataclass(frozen=True, slots=True)
class Question:
    """What the machine was asked: the file that answers it, and what to do with that file."""

    answer: Path
    take: Callable[[Path], None]


@dataclass(slots=True)
class Session:
    """The state of the panel itself."""

    history: History
    size: tuple[int, int] = (1280, 720)
    theme: str = "dark"
    chosen: str = "walk"
    zoomed: bool = False
    projector: bool = False
    live: bool = False
    """The trace is still being recorded."""
    send: Callable[[str], None] | None = None
    """Sends a line of text to the machine; None where there is no machine."""
    machine_paused: bool = False
    asked: dict[str, Question] = field(default_factory=dict)
    """Verb -> the question that the machine has not answered yet."""
    questions: int = 0
    """How many questions have been numbered."""
    outer: History | None = None
    """In a window of instructions: the trace that the window belongs to."""
    hover: tuple[int, int] | None = None
    """Where the pointer rests."""
    copied: str = ""
    """Text on its way to the clipboard."""
    register: str = "rax"
    """The register that is chosen in the CPU panel."""
    variants: tuple[Variant, ...] = ()
    """What other TLBs would have missed, up to record `variants_place`."""
    variants_place: int = 0
    frozen: View | None = None
    """The view that stays while the machine goes back: the trace must not be read then."""
    memory: Memory = field(default_factory=Memory)
    """What the machine has told of its memory."""
    words: bool = False
    running: bool = False
    speed: int = 8
    """Records a second while it runs."""
    focus: Focus = field(default_factory=Focus)
    focus_before: list[Focus] = field(default_factory=list)
    focus_after: list[Focus] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    marked_states: dict[str, State] = field(default_factory=dict)
    breakpoints: list[str] = field(default_factory=list)
    searched: str = ""
    axis: str = "folded"
    pinned: int | None = None
    """The space that stands first in the maps."""
    filming: bool = False
    log_filter: str = ""
    """The log shows only lines that match this."""
    span: tuple[int, int] | None = None
    message: str = ""
    over: str = ""
    """What lies over the panels: help, palette, menu, resume, difference, breakpoints, or the name
    of a prompt."""
    typed: str = ""
    picked: int = 0
    level: int = 1
    text_step: int = 0
    scenes: list[dict[str, Any]] = field(default_factory=list)
    scene: int = -1
    said: str = ""
    """The sentence of the scene, until the next key."""
    beside: str = ""
    """The panel that the scene puts beside the chosen one."""
    pictures: int = 0
    """How many pictures the user has asked for."""
    closed: bool = False
    owed: float = 0.0
    """The fraction of a record by which `tick` is behind the time."""

    # Where this is --------------------------------------------------------------------------------

    @property
    def mode(self) -> str:
        """The mode, in words."""
        behind = self.history.scanned - self.history.position
        if self.outer is not None:
            return "WINDOW of instructions, Esc leaves"
        if self.live:
            words = "LIVE PAUSED" if self.machine_paused else "LIVE RUNNING"
            return f"HISTORY (-{behind:,}, End = live)" if behind else words
        return "REPLAY RUNNING" if self.running else "REPLAY"

    @property
    def is_fast(self) -> bool:
        """Changes come too fast to be outlined: the outlines would flash (WCAG 2.1, 2.3.1 allows
        three flashes a second)."""
        return self.machine_runs or (self.running and self.speed > STEADY)

    @property
    def at_live_end(self) -> bool:
        """The position is at the end of a trace that may still grow."""
        at_end = self.history.position == self.history.scanned
        return self.live and self.outer is None and at_end

    @property
    def machine_runs(self) -> bool:
        """The machine runs: what is shown is past before it is drawn."""
        return self.at_live_end and not self.machine_paused

    @property
    def awaits(self) -> bool:
        """There may be something to poll for: an answer, or more of the trace."""
        return self.live or bool(self.asked)

    def next_number(self) -> int:
        """The number of the next question to the machine."""
        self.questions += 1
        return self.questions

    def lay_over(self, what: str) -> None:
        """Lay a list over the panels, or a prompt that asks for a line of text."""
        self.over, self.typed, self.picked = what, "", 0

    # Time ---------------------------------------------------------------------------------------

    def go_to(self, position: int | None, what: str = "") -> None:
        """Move to a position. With None, the message says that there is no `what`."""
        if position is None:
            self.message = f"there is no {what} {'that way' if what else ''}".rstrip()
            return
        self.history.seek(position)

    def go_to_start(self) -> None:
        """Go to the oldest record; the message says if that is not the first of the run."""
        self.history.seek(0)
        if self.history.oldest:
            self.message = "; ".join(forgotten(self.history, 0))

    def run_or_pause(self) -> None:
        """At the live end, run or pause the machine; elsewhere, let the position move or stop."""
        if not self.at_live_end or self.send is None:
            self.running = not self.running
            return
        self.machine_paused = not self.machine_paused
        self.send(PAUSE if self.machine_paused else RESUME)

    def by(self, sort: str, *, forward: bool) -> None:
        """Go to the next or previous event of a sort. At the live end, let the machine take one
        trap."""
        tracks, at = self.history.tracks, self.history.position
        if forward and self.at_live_end and self.send is not None:
            self.machine_paused = True
            self.send(STEP)
            return
        self.go_to(tracks.after(sort, at) if forward else tracks.before(sort, at), sort)

    def on(self) -> None:
        """Go on by one record. At the live end, let the machine take one trap."""
        if self.at_live_end:
            self.by("log", forward=True)
        else:
            self.history.forward()

    def by_panel(self, *, forward: bool) -> None:
        self.by(PANEL_SORTS.get(self.chosen, "log"), forward=forward)

    def find(self, condition: Condition, *, forward: bool) -> int | None:
        """The position just behind the next record, or the previous one, that meets the
        condition."""
        history = self.history
        at = history.position
        numbers = range(at, history.scanned) if forward else range(at - 2, history.oldest - 1, -1)
        for number in numbers:
            subject = Subject(history.record(number), number, history.tracks, history.about)
            if condition(subject):
                return number + 1
        return None

    def any_breakpoint(self) -> Condition:
        """The condition that one of the breakpoints is met."""
        conditions = [parse(text) for text in self.breakpoints]
        return lambda subject: any(condition(subject) for condition in conditions)

    def run_to_breakpoint(self, *, forward: bool) -> None:
        if not self.breakpoints:
            self.message = "no breakpoint is set; b sets one"
            return
        position = self.find(self.any_breakpoint(), forward=forward)
        if position is None:
            self.message = "no breakpoint is met " + ("after this" if forward else "before this")
        else:
            self.go_to(position)

    def tick(self, seconds: float) -> bool:
        """Let time pass while the session runs; True if the position moved."""
        if not self.running:
            return False
        self.owed += seconds * self.speed
        steps, self.owed = int(self.owed), self.owed % 1
        stop = self.any_breakpoint() if self.breakpoints else None
        for _ in range(steps):
            if not self.history.forward():
                self.running = False
                break
            if stop and stop(self._subject()):
                self.running, self.message = False, "a breakpoint is met"
                break
        return steps > 0

    def _subject(self) -> Subject:
        history = self.history
        number = history.position - 1
        return Subject(history.record(number), number, history.tracks, history.about)

    # What is in view ------------------------------------------------------------------------------

    def look_at(self, va: int | None, space: int | None = None, access: int = 0) -> None:
        """Put an address in view. With None, the panels follow the machine."""
        self.focus_before.append(self.focus)
        self.focus_after.clear()
        self.focus = Focus(va, space if space is not None else self.focus.space, access)

    def look_at_physical(self, pa: int) -> None:
        """Put a physical address in view. The virtual address is kept for the way back."""
        before = self.focus
        self.focus_before.append(before)
        self.focus_after.clear()
        self.focus = Focus(before.va, before.space, before.access, pa)

    def focus_history(self, taken: list[Focus], given: list[Focus]) -> None:
        if taken:
            given.append(self.focus)
            self.focus = taken.pop()
