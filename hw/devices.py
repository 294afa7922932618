"""Devices: the console.  (The timer is the budget of `Core.run`; NVM follows.)

The console is bytes out and bytes in, and perhaps a window of some size.  What comes in is an
input of the run.  Each arrival is recorded with the instruction count and with the number of times
that the kernel has looked for input.  So a replay needs no terminal and is exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from hw import trace
from hw.costs import CYCLES_PER_SECOND

INPUT, OUTPUT, ERRORS, TERMINAL = range(4)
"""The streams of the console.  TERMINAL is the terminal itself, even where 1 and 2 are files."""
CONSOLE_OUTPUT = trace.declare(
    "console_output",
    "stream:B data:s",
    "A program wrote; stream 1 is output, 2 is errors, 3 the terminal.",
)
CONSOLE_INPUT = trace.declare(
    "console_input", "instructions:Q data:s", "Bytes arrived; none means end of input."
)
CONSOLE_SIZE = trace.declare("console_size", "rows:H columns:H", "The window has this size.")

Size = tuple[int, int]
"""Rows and columns of a window."""


class Event(NamedTuple):
    """News from the host: bytes (b"": the end of input), or a new size of the window."""

    data: bytes | None = None
    size: Size | None = None


class Keys(Protocol):
    """A live terminal of the host.  Keys arrive at any time, as the fields of an `Event`."""

    def poll(self) -> tuple[bytes | None, Size | None] | None:
        """What has happened, if anything; never waits."""

    def wait(self, seconds: float | None) -> tuple[bytes | None, Size | None] | None:
        """The next event; None if there is none within the time."""

    def waited(self) -> float:
        """How many seconds the last `wait` took."""


class Arrival(NamedTuple):
    """An event as it is recorded: how many instructions all cores had retired, the number of this
    look for input, and the cycles on the clock."""

    instructions: int
    look: int
    cycles: int
    event: Event


@dataclass(slots=True)
class ConsoleState:
    """What a checkpoint keeps: input that arrived and was not read yet, and all arrivals."""

    arrived: bytearray = field(default_factory=bytearray)
    ended: bool = False
    terminals: tuple[bool, bool, bool] = (False, False, False)
    """Which of input, output and errors are a terminal on the host."""
    size: Size | None = None
    looks: int = 0
    log: list[Arrival] = field(default_factory=list)


class Console:
    """A terminal or a pair of pipes.

    `sink` takes output.  It also takes errors and what the terminal shows, unless `error_sink` and
    `terminal_sink` are set.  Input comes from one of three: `source`, which blocks until there is
    input and is asked only when nothing else can happen; `keys`, a live terminal; or `replay`, the
    arrivals of an earlier run.
    """

    def __init__(
        self,
        state: ConsoleState,
        sink: Callable[[bytes], None],
        source: Callable[[], bytes] | None = None,
    ) -> None:
        self.state = state
        self.sink = sink
        self.error_sink = self.terminal_sink = sink
        self.source = source
        self.keys: Keys | None = None
        self.replay: Sequence[Arrival] | None = None
        self.trace: trace.Trace | None = None

    @property
    def is_live(self) -> bool:
        """May input arrive at any time?"""
        return self.keys is not None or self.replay is not None

    def write(self, data: bytes, stream: int = OUTPUT, shown: bytes | None = None) -> None:
        """A program wrote `data`; a terminal shows `shown` for it, such as CR LF for LF.

        The record has what the program wrote: it is the same with a terminal and without one.
        """
        if self.trace:
            self.trace.emit(CONSOLE_OUTPUT, stream, data)
        sinks = {ERRORS: self.error_sink, TERMINAL: self.terminal_sink}
        sinks.get(stream, self.sink)(data if shown is None else shown)

    # Input ------------------------------------------------------------------------------------

    def look(self, moment: Callable[[], tuple[int, int]]) -> bool:
        """Has anything arrived?  Never waits.  `moment()` is asked for the instructions and cycles
        up to now if something has."""
        self.state.looks += 1
        if self.keys is not None:
            told = self.keys.poll()
            if told is None:
                return False
            instructions, cycles = moment()
            self._arrive(Arrival(instructions, self.state.looks, cycles, Event(*told)))
            return True
        return self.replay is not None and self._play() is not None

    def wait(self, instructions: int, cycles: int, limit: int | None) -> int | None:
        """Wait for input until the clock shows `limit`: nothing else can happen before that.

        Returns the clock at the arrival.  None: no input came, or none can come any more.
        """
        self.state.looks += 1
        if self.replay is not None:
            return self._play()
        if self.state.ended:
            return None
        if self.keys is None:
            if limit is not None:
                return None
            event = Event(self.source() if self.source else b"")
        else:
            seconds = None if limit is None else max(0, limit - cycles) / CYCLES_PER_SECOND
            told = self.keys.wait(seconds)
            if told is None:
                return None
            event = Event(*told)
            later = cycles + int(self.keys.waited() * CYCLES_PER_SECOND)
            cycles = later if limit is None else min(later, limit)
        self._arrive(Arrival(instructions, self.state.looks, cycles, event))
        return cycles

    def _play(self) -> int | None:
        """The recorded arrival of this look, if there was one."""
        assert self.replay is not None
        done = len(self.state.log)
        if done == len(self.replay) or self.replay[done].look != self.state.looks:
            return None
        self._arrive(self.replay[done])
        return self.replay[done].cycles

    def _arrive(self, arrival: Arrival) -> None:
        data, size = arrival.event
        self.state.log.append(arrival)
        if size is not None:
            self.state.size = size
            if self.trace:
                self.trace.emit(CONSOLE_SIZE, *size)
        if data is not None:
            if self.trace:
                self.trace.emit(CONSOLE_INPUT, arrival.instructions, data)
            self.state.arrived += data
            self.state.ended = self.state.ended or not data

    def read(self, size_bytes: int) -> bytes | None:
        """At most `size_bytes` that have arrived; b"" at the end of input; None: nothing yet."""
        state = self.state
        if not state.arrived:
            return b"" if state.ended else None
        data = bytes(state.arrived[:size_bytes])
        del state.arrived[:size_bytes]
        return data
