"""Devices: the console.  (The timer is the budget of `Core.run`; NVM follows.)

The console is bytes out and bytes in.  What it reads comes from the host and is an input of
the run: each piece is recorded with the instruction count at which it arrived, so that a
replay needs no terminal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hw import trace

OUTPUT, ERRORS = 1, 2
CONSOLE_OUTPUT = trace.declare(
    "console_output", "stream:B data:s", "A program wrote; stream 1 is output, 2 is errors."
)
CONSOLE_INPUT = trace.declare(
    "console_input", "instructions:Q data:s", "Bytes arrived; none means end of input."
)


@dataclass(slots=True)
class ConsoleState:
    """What a checkpoint keeps: input that arrived and was not read yet, and all arrivals."""

    arrived: bytearray = field(default_factory=bytearray)
    ended: bool = False
    log: list[tuple[int, bytes]] = field(default_factory=list)


class Console:
    """A terminal or a pair of pipes.

    `sink` takes output and, unless `error_sink` is set, errors too; `source` blocks until the
    host has input and returns it, b"" at the end.
    """

    def __init__(
        self,
        state: ConsoleState,
        sink: Callable[[bytes], None],
        source: Callable[[], bytes] | None = None,
    ) -> None:
        self.state = state
        self.sink = sink
        self.error_sink = sink
        self.source = source
        self.trace: trace.Trace | None = None

    def write(self, data: bytes, stream: int = OUTPUT) -> None:
        if self.trace:
            self.trace.emit(CONSOLE_OUTPUT, stream, data)
        (self.error_sink if stream == ERRORS else self.sink)(data)

    def wait(self, instructions: int) -> bool:
        """Block until input arrives; False if there is nothing more to wait for."""
        if self.state.ended:
            return False
        data = self.source() if self.source else b""
        self.feed(data, instructions)
        return True

    def feed(self, data: bytes, instructions: int) -> None:
        """Input arrives at this instruction count; b"" is end of input."""
        self.state.log.append((instructions, data))
        if self.trace:
            self.trace.emit(CONSOLE_INPUT, instructions, data)
        self.state.arrived += data
        self.state.ended = self.state.ended or not data

    def read(self, size_bytes: int) -> bytes | None:
        """Up to `size_bytes` that have arrived; b"" at the end of input; None: nothing yet."""
        state = self.state
        if not state.arrived:
            return b"" if state.ended else None
        data = bytes(state.arrived[:size_bytes])
        del state.arrived[:size_bytes]
        return data
