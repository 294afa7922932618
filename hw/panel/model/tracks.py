"""What the timeline and the searches need to know of a whole trace: which thread ran when, and
where the records of each sort are. All of it is numbers: a million records take a few megabytes."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

from hw.panel.model.state import State
from hw.trace import Record

SORTS = {
    "syscall": ("syscall", "wait"),
    "fault": ("fault", "exception"),
    "switch": ("run", "vas_switch"),
    "flush": ("tlb_flush", "cr3_load", "shootdown", "shootdown_done"),
    "tlb": ("tlb_miss", "tlb_fill", "tlb_dirty", "tlb_flush", "cr3_load"),
    "table": ("pte",),
    "frame": ("frame",),
    "map": ("region", "space", "exec", "vas", "segment", "vas_attach", "seg_attach", "push"),
    "thread": ("thread_new", "thread_end", "run", "stop", "wake", "exec", "signal"),
    "instruction": ("instruction",),
    "output": ("console_output", "log"),
    "log": (
        *("syscall", "wait", "fault", "exception", "run", "thread_new", "thread_end", "exec"),
        *("signal", "stop", "console_output", "log", "shootdown", "shootdown_done", "vas_switch"),
        *("vas", "segment", "vas_attach", "seg_attach", "conflict", "seg_lock"),
    ),
}
"""Sort of event -> the kinds of record that belong to it."""


@dataclass(slots=True)
class Slice:
    """A thread ran on a core, in a space, from record `start` to record `end` (0: it still
    runs)."""

    start: int
    end: int
    core: int
    tid: int
    space: int


@dataclass(slots=True)
class Tracks:
    """The marks of each sort in order, the slices, and the clock at every 256th record."""

    marks: dict[str, array[int]] = field(
        default_factory=lambda: {sort: array("Q") for sort in SORTS}
    )
    slices: list[Slice] = field(default_factory=list)
    starts: array[int] = field(default_factory=lambda: array("Q"))
    clock: array[int] = field(default_factory=lambda: array("Q"))
    names: dict[int, str] = field(default_factory=dict)
    """Every thread of the slices, with the name it had last."""
    space_names: dict[int, str] = field(default_factory=dict)
    """The names of the spaces that are a VAS, or a view of one."""
    open: dict[int, int] = field(default_factory=dict)
    """Core -> the slice that has not ended."""
    records: int = 0
    clock_start: int = 0
    """The record of the first entry of `clock`."""
    switching: bool = False
    """The last record belongs to a switch that the next record may continue."""

    @classmethod
    def from_here(cls, number: int, state: State, before: Tracks) -> Tracks:
        """Tracks that begin at record `number`, in a state that followed other tracks."""
        tracks = cls(clock_start=number, records=number)
        tracks.names.update(before.names)
        tracks.space_names.update(before.space_names)
        for core in state.cores:
            tracks._begin(core, number, state)
        return tracks

    def forget(self, oldest: int, state: State) -> None:
        """Forget what lies before record `oldest`. `state` is the one after the last record."""
        for marks in self.marks.values():
            del marks[: bisect_left(marks, oldest)]
        del self.clock[: (oldest - self.clock_start) // CLOCK_RECORDS]
        self.clock_start = oldest
        running = set(self.open.values())
        kept = [i for i, s in enumerate(self.slices) if i in running or s.end > oldest]
        places = {index: place for place, index in enumerate(kept)}
        self.open = {core: places[index] for core, index in self.open.items()}
        self.slices = [self.slices[index] for index in kept]
        self.starts = array("Q", (piece.start for piece in self.slices))
        self._forget_names(state)

    def _forget_names(self, state: State) -> None:
        """Forget the names of threads and spaces that are gone, and of which no slice is left."""
        tids = {piece.tid for piece in self.slices} | state.threads.keys()
        spaces = {piece.space for piece in self.slices} | state.spaces.keys()
        self.names = {tid: name for tid, name in self.names.items() if tid in tids}
        self.space_names = {s: name for s, name in self.space_names.items() if s in spaces}

    def add(self, record: Record, number: int, state: State) -> None:
        """Take note of record `number`; `state` is the state after it."""
        name = record.kind.name
        for sort in OF_KIND.get(name, ()):
            self.marks[sort].append(number)
        self._follow_switch(name, number)
        if number % CLOCK_RECORDS == 0:
            self.clock.append(record.cycles)
        self.records = number + 1
        if name in ("vas", "vas_attach"):
            space = record["space"] if name == "vas" else record["view"]
            self.space_names[space] = f"VAS {record['vid']}" + (" own" if name == "vas" else "")
        if name in ("run", "cr3_load", "exec", "vas_switch"):
            self._begin(record.core, number, state)
        elif name in ("wait", "stop", "thread_end"):
            self._end(record.core, record["tid"], number)
        if name in ("thread_new", "exec", "run"):
            self._name(record, state)

    def _follow_switch(self, name: str, number: int) -> None:
        """A switch ends after the write of CR3 and the flush that follows."""
        if self.switching and name in ("cr3_load", "tlb_flush"):
            self.marks["switch"][-1] = number
        else:
            self.switching = name in SORTS["switch"]

    def _name(self, record: Record, state: State) -> None:
        tid = record["pid"] if record.kind.name == "exec" else record["tid"]
        thread = state.threads.get(tid)
        if thread is not None:
            self.names[tid] = thread.name

    def _begin(self, core: int, number: int, state: State) -> None:
        now = state.cores.get(core)
        if now is None:
            return
        current = self.open.get(core)
        if current is not None:
            last = self.slices[current]
            if (last.tid, last.space) == (now.tid, now.space):
                return
            last.end = number
        self.open[core] = len(self.slices)
        self.slices.append(Slice(number, 0, core, now.tid, now.space))
        self.starts.append(number)

    def _end(self, core: int, tid: int, number: int) -> None:
        current = self.open.get(core)
        if current is not None and self.slices[current].tid == tid:
            self.slices[current].end = number + 1
            del self.open[core]

    def space_name(self, space: int) -> str:
        """`space 1`, or `VAS 2` for a view of it."""
        return self.space_names.get(space, f"space {space}")

    def within(self, first: int, last: int) -> list[Slice]:
        """The slices that overlap records `first`..`last`."""
        high = bisect_right(self.starts, last)
        low = max(0, bisect_left(self.starts, first) - 16)
        return [s for s in self.slices[low:high] if not s.end or s.end > first]

    def slice_at(self, core: int, number: int) -> Slice | None:
        """The slice of a core at a record."""
        for index in range(bisect_right(self.starts, number) - 1, -1, -1):
            piece = self.slices[index]
            if piece.core == core:
                return piece
        return None

    def space_at(self, core: int, number: int) -> int:
        """The space of a core at a record; 0 before its first thread."""
        piece = self.slice_at(core, number)
        return piece.space if piece else 0

    def tid_at(self, core: int, number: int) -> int:
        """The thread on a core at a record; 0 before its first one."""
        piece = self.slice_at(core, number)
        return piece.tid if piece else 0

    def count(self, sort: str, first: int, last: int) -> int:
        """How many records of a sort there are in `first`..`last` (exclusive)."""
        marks = self.marks[sort]
        return bisect_left(marks, last) - bisect_left(marks, first)

    def after(self, sort: str, position: int) -> int | None:
        """The position just behind the next record of a sort."""
        marks = self.marks[sort]
        index = bisect_left(marks, position)
        return marks[index] + 1 if index < len(marks) else None

    def before(self, sort: str, position: int) -> int | None:
        """The position just behind the record of a sort before the last one."""
        marks = self.marks[sort]
        index = bisect_left(marks, position - 1) - 1
        return marks[index] + 1 if index >= 0 else None

    def cycles_at(self, number: int) -> int:
        """The modelled cycles of record `number`, to within 256 records."""
        index = max(0, number - self.clock_start) // CLOCK_RECORDS
        return self.clock[min(index, len(self.clock) - 1)] if self.clock else 0


CLOCK_RECORDS = 256
OF_KIND: dict[str, list[str]] = {}
for _sort, _kinds in SORTS.items():
    for _kind in _kinds:
        OF_KIND.setdefault(_kind, []).append(_sort)
