"""A session: somebody looks at a trace.  Keys and clicks in, views out; no window in it.

What the user does changes where the history stands and how it is looked at, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hw.host import UserError
from hw.panel.keys import bindings, commands_by_key
from hw.panel.layout import PANELS, compose, places, text_size
from hw.panel.machine import memory, resuming, whatif, windows, writes
from hw.panel.machine.memory import Memory
from hw.panel.model.conditions import Condition, ConditionError, Subject, parse
from hw.panel.model.history import History
from hw.panel.model.moment import Focus, View, moment_of
from hw.panel.model.state import State
from hw.panel.panels import memory as memory_panel
from hw.panel.picture import overlay
from hw.panel.picture.draw import Command
from hw.panel.picture.theme import THEMES
from hw.panel.user import inside, markers, pointing, sifting
from hw.panel.user.asking import PROMPTS, SUBMITS, condition_or_words
from hw.panel.user.scenes import show_scene

PANEL_SORTS = {"walk": "table", "maps": "map", "tlb": "tlb", "frames": "frame", "cpu": "syscall"}
PANEL_SORTS |= {"log": "log", "race": "switch", "graph": "thread", "timeline": "log"}
"""Panel -> the sort of event that `.` and `,` step by."""
SLOWEST, FASTEST = 1, 1 << 16
STEADY = 2
"""Up to so many records a second, each step is outlined."""
HEAT_RECORDS = 96
"""What so many last records have changed is still warm while time runs faster."""


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
    """The one way to the machine: pause, resume, step."""
    machine_paused: bool = False
    outer: History | None = None
    """In a window of instructions: the trace that it belongs to."""
    awaited: Path | None = None
    """The window that the machine was asked for."""
    hover: tuple[int, int] | None = None
    """Where the pointer rests."""
    copied: str = ""
    """What the user wants in the clipboard."""
    then: Callable[[Session], None] | None = None
    """What to do in it, once it has come."""
    register: str = "rax"
    """The register that is chosen in the CPU panel."""
    watched_word: tuple[int, int] = (0, 0)
    """The word whose last write is looked for, and its physical address."""
    writes_asked: int = 0
    awaited_variants: Path | None = None
    variants: tuple[whatif.Variant, ...] = ()
    """What other TLBs would have missed, up to the record below."""
    variants_place: int = 0
    awaited_write: Path | None = None
    """What last wrote there, when the machine has found out."""
    going_back: Path | None = None
    """The machine goes back; when it is there, this file will be."""
    frozen: View | None = None
    """What is shown meanwhile, as the trace must not be read while it is cut."""
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
    """The log has only lines that fulfil this."""
    span: tuple[int, int] | None = None
    message: str = ""
    over: str = ""
    """What lies over the panels: help, palette, difference, breakpoints, or a prompt's name."""
    typed: str = ""
    picked: int = 0
    level: int = 1
    text_step: int = 0
    scenes: list[dict[str, Any]] = field(default_factory=list)
    scene: int = -1
    said: str = ""
    """What the scene says, until the next key."""
    beside: str = ""
    """The panel that the scene puts beside the chosen one."""
    pictures: int = 0
    """How many pictures the user has asked for."""
    closed: bool = False
    owed: float = 0.0
    """Records that the passing of time has earned, not yet moved."""
    last_moves: int = 0

    # Looking ------------------------------------------------------------------------------------

    @property
    def mode(self) -> str:
        """In words, where this is."""
        behind = self.history.scanned - self.history.position
        if self.outer is not None:
            return "WINDOW of instructions, Esc leaves"
        if self.live:
            words = "LIVE PAUSED" if self.machine_paused else "LIVE RUNNING"
            return f"HISTORY (-{behind:,}, End = live)" if behind else words
        return "REPLAY RUNNING" if self.running else "REPLAY"

    @property
    def is_fast(self) -> bool:
        """More goes on than eyes should be shown as outlines: they would flash (WCAG 2.1, 2.3.1
        allows three a second)."""
        follows = self.at_live_end and not self.machine_paused
        return follows or (self.running and self.speed > STEADY)

    def view(self) -> View:
        """What there is to see now."""
        if self.frozen is not None:
            return self.frozen
        moment = moment_of(self.history)
        if self.log_filter:
            moment.log = sifting.log_lines(self.history, condition_or_words(self.log_filter))
        return View(
            moment,
            mode=self.mode,
            focus=self.focus,
            chosen=self.chosen,
            zoomed=self.zoomed,
            projector=self.projector,
            marks=dict(self.marks),
            since=self._since(),
            span=self.span,
            message=self.message,
            said=self.said,
            beside=self.beside,
            source=self.history.file.path.name,
            text_step=self.text_step,
            level=self.level,
            log_filter=self.log_filter,
            axis=self.axis,
            pinned=self.pinned,
            heat=self.history.recent(HEAT_RECORDS) if self.is_fast else None,
            pages=memory.pages_of(self),
            words=self.words,
            register=self.register,
            variants=self.variants,
            variants_place=self.variants_place,
        )

    def how_it_looks(self) -> tuple[object, ...]:
        """All that decides which memory is in view."""
        at = (self.history.position, self.chosen, self.zoomed, self.projector, self.size)
        focus = (self.focus.va, self.focus.space, self.focus.pa)
        return (*at, *focus, self.marks.get("A"), self.text_step)

    def frames_in_view(self) -> list[int]:
        """The frames whose bytes are in view; none, if the panel of them is not."""
        if "memory" not in places(self.view(), *self.size):
            return []
        return memory_panel.frames_in_view(self.view())

    def _since(self) -> dict[tuple[int, object], object]:
        """What has changed since marker A."""
        before = self.marked_states.get("A")
        return markers.changes(before, self.history.state) if before else {}

    def over_commands(self) -> list[Command]:
        """What lies over the panels."""
        width, height = self.size
        size = text_size(width, height, projector=self.projector) + self.text_step
        if self.over == "help":
            return overlay.keys_help(width, height, size)
        if self.over == "palette":
            return overlay.palette(self.typed, self.picked, width, height, size)
        if self.over == "difference":
            title = "From A to B   (Esc closes)"
            return overlay.listing(title, markers.difference(self), width, height, size)
        if self.over == "resume":
            title = "Go on from here?   (Enter does it, Esc does not)"
            return overlay.listing(title, resuming.rows(self), width, height, size)
        if self.over == "menu":
            rows, title = pointing.menu_rows(self), pointing.menu_title(self)
            return overlay.listing(title, rows, width, height, size)
        if self.over == "breakpoints":
            return self._breakpoint_list(width, height, size)
        if self.over in PROMPTS:
            return overlay.prompt(PROMPTS[self.over], self.typed, width, height, size)
        return pointing.tooltip_commands(self, size)

    def draw(self) -> list[Command]:
        """The whole window."""
        return compose(self.view(), *self.size) + self.over_commands()

    def _breakpoint_list(self, width: int, height: int, size: int) -> list[Command]:
        rows = [f"{n}  {text}" for n, text in enumerate(self.breakpoints, 1)]
        rows = rows or ["there are none; b makes one"]
        title = "Breakpoints   (a number clears one, Esc closes)"
        return overlay.listing(title, rows, width, height, size)

    # Input --------------------------------------------------------------------------------------

    def press(self, key: str, text: str = "") -> None:
        """A key, as the keymap calls it; `text` is what it types."""
        if self.frozen is not None:
            self.closed = self.closed or commands_by_key().get(key) == "quit"
            return
        self.message = self.said = ""
        if self.over and self._press_over(key, text):
            return
        command = commands_by_key().get(key)
        if command is not None:
            self.do(command)

    def do(self, command: str) -> None:
        """Carry out a command of the keymap; what went wrong becomes the message."""
        if self.frozen is not None:
            return
        self.last_moves = self.history.position
        try:
            COMMANDS[command](self)
        except (UserError, ConditionError) as error:
            self.message = str(error)

    def _press_over(self, key: str, text: str) -> bool:
        """Keys while something lies over the panels; False if the key is for the panels."""
        if key == "escape":
            self.over, self.typed = "", ""
            return True
        if self.over == "resume":
            self.over = ""
            if key == "return":
                resuming.go_back(self)
            return True
        if self.over in PROMPTS or self.over == "palette":
            self._type(key, text)
            return True
        if self.over == "menu":
            pointing.choose(self, int(key) if key.isdigit() else 0)
            return True
        if self.over == "breakpoints" and key.isdigit():
            if 0 < int(key) <= len(self.breakpoints):
                del self.breakpoints[int(key) - 1]
            return True
        self.over = ""
        return key in ("?", "f1", "d", "B")

    def _type(self, key: str, text: str) -> None:
        if key == "return":
            self._submit()
        elif key == "backspace":
            self.typed = self.typed[:-1]
        elif key in ("up", "down"):
            self.picked = max(0, self.picked + (1 if key == "down" else -1))
        elif text and text.isprintable():
            self.typed, self.picked = self.typed + text, 0

    def _submit(self) -> None:
        over, typed, self.over, self.typed = self.over, self.typed.strip(), "", ""
        try:
            if over == "palette":
                found = overlay.matching(typed)
                if found:
                    self.do(found[min(self.picked, len(found) - 1)].command)
            elif typed or over == "filter":
                SUBMITS[over](self, typed)
        except (UserError, ConditionError) as error:
            self.message = str(error)

    def ask(self, what: str) -> None:
        """Begin to ask for a line of text, or show a list."""
        self.over, self.typed, self.picked = what, "", 0

    # Time ---------------------------------------------------------------------------------------

    def go_to(self, position: int | None, what: str = "") -> None:
        """Move to a position; None says that there is none."""
        if position is None:
            self.message = f"there is no {what} {'that way' if what else ''}".rstrip()
            return
        self.history.seek(position)

    @property
    def at_live_end(self) -> bool:
        """Nothing more has been recorded, but more can be."""
        at_end = self.history.position == self.history.scanned
        return self.live and self.outer is None and at_end

    def run_or_pause(self) -> None:
        """Live, the machine; in history, the moving of the position."""
        if not self.at_live_end or self.send is None:
            self.running = not self.running
            return
        self.machine_paused = not self.machine_paused
        self.send("pause" if self.machine_paused else "resume")

    def by(self, sort: str, *, forward: bool) -> None:
        """To the next or previous event of a sort; at the live end, one trap of the machine."""
        tracks, at = self.history.tracks, self.history.position
        if forward and self.at_live_end and self.send is not None:
            self.machine_paused = True
            self.send("step")
            return
        self.go_to(tracks.after(sort, at) if forward else tracks.before(sort, at), sort)

    def on(self) -> None:
        """One record on; at the live end, one trap of the machine."""
        if self.at_live_end:
            self.by("log", forward=True)
        else:
            self.history.forward()

    def by_panel(self, *, forward: bool) -> None:
        self.by(PANEL_SORTS.get(self.chosen, "log"), forward=forward)

    def find(self, condition: Condition, *, forward: bool) -> int | None:
        """The position just behind the next record, or the one before, that fulfils it."""
        history = self.history
        at = history.position
        numbers = range(at, history.scanned) if forward else range(at - 2, -1, -1)
        for number in numbers:
            subject = Subject(history.record(number), number, history.tracks, history.about)
            if condition(subject):
                return number + 1
        return None

    def any_breakpoint(self) -> Condition:
        """True where one of the breakpoints says so."""
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

    def search(self, *, forward: bool) -> None:
        """Find what was searched for: as a condition, or else as words of a line of the log."""
        if not self.searched:
            self.message = "nothing was searched for; / asks"
            return
        if self.zoomed and self.chosen == "walk":
            sifting.find_entry(self, self.searched, forward=forward)
            return
        condition = condition_or_words(self.searched)
        position = self.find(condition, forward=forward)
        self.go_to(position, f"{self.searched!r}")

    def tick(self, seconds: float) -> bool:
        """Let time pass; True if something moved."""
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

    @property
    def awaits(self) -> bool:
        """The machine has been asked for something, or may record more."""
        asked = (self.awaited, self.memory.awaited, self.going_back, self.awaited_write)
        return self.live or any((*asked, self.awaited_variants))

    def poll(self) -> bool:
        """Take in what has been recorded since, and what was asked for; True if there was
        something."""
        if self.frozen is not None:
            return resuming.take(self)
        came = memory.take(self.memory) or writes.take(self) or whatif.take(self)
        came = self._poll_trace() or came
        memory.ask(self)
        return came

    def _poll_trace(self) -> bool:
        if self.awaited is not None and self.awaited.exists():
            windows.enter(self, self.awaited)
            return True
        if not self.live or self.outer is not None:
            return False
        complete = self.history.file.complete
        at_end = self.history.position == self.history.scanned
        grown = self.history.scan_chunk()
        if grown and at_end:
            self._follow_live()
        self.live = grown or not complete
        return grown or not self.live

    def leave_window(self) -> None:
        """Back to the trace, where it stood."""
        windows.leave(self)

    def _follow_live(self) -> None:
        """Go to the end, or to a breakpoint on the way there, where the machine is paused."""
        found = self.find(self.any_breakpoint(), forward=True) if self.breakpoints else None
        self.history.seek(self.history.scanned if found is None else found)
        if found is not None:
            self.message = "a breakpoint is met"
            if self.send is not None and not self.machine_paused:
                self.machine_paused = True
                self.send("pause")

    def _subject(self) -> Subject:
        history = self.history
        number = history.position - 1
        return Subject(history.record(number), number, history.tracks, history.about)

    # What is in view ------------------------------------------------------------------------------

    def look_at(self, va: int | None, space: int | None = None, access: int = 0) -> None:
        """Put an address in view; None follows the machine."""
        self.focus_before.append(self.focus)
        self.focus_after.clear()
        self.focus = Focus(va, space if space is not None else self.focus.space, access)

    def look_at_physical(self, pa: int) -> None:
        """Put a physical address in view; the address in a space stays as it is behind it."""
        before = self.focus
        self.focus_before.append(before)
        self.focus_after.clear()
        self.focus = Focus(before.va, before.space, before.access, pa)

    def follow(self) -> None:
        """Hold the address in view, or go back to what the machine touches."""
        view = self.view()
        if self.focus.va is None:
            self.look_at(view.va, view.space, view.access)
            self.message = f"holding {view.va:#x} in view; t follows the machine again"
        else:
            self.look_at(None)
            self.focus.space = None

    def focus_history(self, taken: list[Focus], given: list[Focus]) -> None:
        if taken:
            given.append(self.focus)
            self.focus = taken.pop()

    def turn_panel(self, step: int) -> None:
        names = [name for name in PANELS if name != "caption"]
        at = names.index(self.chosen) if self.chosen in names else 0
        self.chosen = names[(at + step) % len(names)]

    def open(self) -> None:
        """Zoom the chosen panel; in the zoomed walk, open the table that an entry leads to."""
        if self.zoomed and self.chosen == "walk":
            self.level = max(1, self.level - 1)
        self.zoomed = True

    def back(self) -> None:
        """Escape: out of the zoom, then to following the machine."""
        if self.outer is not None:
            self.leave_window()
        elif self.zoomed:
            self.zoomed = False
        elif self.focus.va is not None or self.focus.pa is not None:
            self.look_at(None)

    def turn_theme(self) -> None:
        names = list(THEMES)
        self.theme = names[(names.index(self.theme) + 1) % len(names)]
        self.message = f"theme: {self.theme}"


def _set(**values: Any) -> Callable[[Session], None]:
    def change(session: Session) -> None:
        for name, value in values.items():
            setattr(session, name, value)

    return change


def _step(records: int) -> Callable[[Session], None]:
    return lambda s: s.history.seek(s.history.position + records)


def _sorted(sort: str, *, forward: bool) -> Callable[[Session], None]:
    return lambda s: s.by(sort, forward=forward)


COMMANDS: dict[str, Callable[[Session], None]] = {
    "run": lambda s: s.run_or_pause(),
    "next instruction": lambda s: windows.instruction(s, 1),
    "previous instruction": lambda s: windows.instruction(s, -1),
    "next record": lambda s: s.on(),
    "previous record": _step(-1),
    "next call": _sorted("syscall", forward=True),
    "previous call": _sorted("syscall", forward=False),
    "next fault": _sorted("fault", forward=True),
    "previous fault": _sorted("fault", forward=False),
    "next switch": _sorted("switch", forward=True),
    "previous switch": _sorted("switch", forward=False),
    "next of panel": lambda s: s.by_panel(forward=True),
    "previous of panel": lambda s: s.by_panel(forward=False),
    "continue": lambda s: s.run_to_breakpoint(forward=True),
    "run back": lambda s: s.run_to_breakpoint(forward=False),
    "start": lambda s: s.history.seek(0),
    "end": lambda s: s.history.seek(s.history.scanned),
    "resume from here": lambda s: resuming.offer(s),
    "last write": lambda s: writes.last_write(s),
    "slower": lambda s: setattr(s, "speed", max(SLOWEST, s.speed // 2)),
    "faster": lambda s: setattr(s, "speed", min(FASTEST, s.speed * 2)),
    "right": lambda s: inside.move(s, 1, 0),
    "left": lambda s: inside.move(s, -1, 0),
    "up": lambda s: inside.move(s, 0, -1),
    "down": lambda s: inside.move(s, 0, 1),
    "page up": lambda s: show_scene(s, -1) if s.scenes else inside.move(s, 0, -10),
    "page down": lambda s: show_scene(s, 1) if s.scenes else inside.move(s, 0, 10),
    "right 10": _step(10),
    "left 10": _step(-10),
    "right 1000": _step(1000),
    "left 1000": _step(-1000),
    "zoom in": lambda s: inside.zoom_timeline(s, 0.5),
    "zoom out": lambda s: inside.zoom_timeline(s, 2.0),
    "next panel": lambda s: s.turn_panel(1),
    "previous panel": lambda s: s.turn_panel(-1),
    **{f"panel {p.key}": _set(chosen=p.name) for p in PANELS.values() if p.key.isdigit()},
    "memory": _set(chosen="memory"),
    "words": lambda s: setattr(s, "words", not s.words),
    "what if": lambda s: whatif.ask(s),
    "physical": lambda s: inside.turn_physical(s),
    "all panels": _set(zoomed=False, projector=False),
    "open": lambda s: s.open(),
    "up a level": lambda s: setattr(s, "level", min(4, s.level + 1)),
    "back": lambda s: s.back(),
    "go": lambda s: s.ask("go"),
    "follow register": lambda s: writes.follow_register(s),
    "menu": lambda s: s.ask("menu"),
    "search": lambda s: s.ask("search"),
    "axis": lambda s: inside.turn_axis(s),
    "pin": lambda s: inside.pin(s),
    "record": lambda s: setattr(s, "filming", not s.filming),
    "filter": lambda s: s.ask("filter"),
    "search on": lambda s: s.search(forward=True),
    "search back": lambda s: s.search(forward=False),
    "follow": lambda s: s.follow(),
    "focus back": lambda s: s.focus_history(s.focus_before, s.focus_after),
    "focus on": lambda s: s.focus_history(s.focus_after, s.focus_before),
    "break": lambda s: s.ask("break"),
    "breakpoints": lambda s: s.ask("breakpoints"),
    "mark A": lambda s: markers.mark(s, "A"),
    "mark B": lambda s: markers.mark(s, "B"),
    "difference": lambda s: s.ask("difference"),
    "projector": lambda s: setattr(s, "projector", not s.projector),
    "theme": lambda s: s.turn_theme(),
    "larger": lambda s: setattr(s, "text_step", min(8, s.text_step + 1)),
    "smaller": lambda s: setattr(s, "text_step", max(-2, s.text_step - 1)),
    "screenshot": lambda s: setattr(s, "pictures", s.pictures + 1),
    "palette": lambda s: s.ask("palette"),
    "help": lambda s: s.ask("help"),
    "quit": _set(closed=True),
}
assert {binding.command for binding in bindings()} == set(COMMANDS)
