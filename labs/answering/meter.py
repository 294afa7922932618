"""What a student's code may use up in the judge's child: lines, calls, and time without a call.

Lines and calls are counted, so a slow host gives the same verdict as a fast one.  The host's clock
is the last resort, for a loop that makes no call of Python: then the host ends the process.
"""

from __future__ import annotations

import dis
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

LINES = 20_000
"""Lines of Python in the student's files that one answer, or the import, may take, unless the
question allows more."""
CALLS = 1_500_000
"""Calls of Python functions, of the judge's files too; the longest answer makes 400,000."""
CALLS_BETWEEN_SIGNS = 64
EMPTY = {"NOP", "EXTENDED_ARG", "JUMP_ABSOLUTE", "JUMP_BACKWARD", "JUMP_FORWARD"}
"""What a loop consists of that does nothing, not even count."""


class OverBudget(BaseException):
    """The student's code ran further than an answer can need: it loops.

    `hung`: that took so long that no other question should be asked.
    """

    def __init__(self, told: str, *, hung: bool = False) -> None:
        super().__init__(told)
        self.hung = hung


@dataclass(slots=True)
class Meter:
    """Counts what runs; `sign` tells the host that Python still moves."""

    paths: frozenset[str]
    sign: Callable[[], object]
    given: int = LINES
    left: int = LINES
    calls: int = CALLS
    loops: dict[CodeType, bool] = field(default_factory=dict)
    """Of the student's functions: does it have an empty loop?"""

    def allow(self, lines: int) -> None:
        """A new answer begins."""
        self.given = self.left = lines
        self.calls = CALLS
        self.sign()

    def enter(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        """A function of Python is called, anybody's."""
        self.calls -= 1
        if not self.calls % CALLS_BETWEEN_SIGNS:
            self.sign()
        if self.calls < 0:
            told = f"still running after {CALLS:,} calls of functions: an endless loop?"
            raise OverBudget(told, hung=True)
        code = frame.f_code
        if code.co_filename not in self.paths:
            return None
        if code not in self.loops:
            self.loops[code] = has_empty_loop(code)
        frame.f_trace_opcodes = self.loops[code]
        return self.step

    def step(self, frame: FrameType, event: str, _: Any) -> Callable[..., Any]:
        """The student's code goes on: a line, or an instruction of a function with empty loops."""
        self.left -= event in ("line", "opcode")
        if self.left < 0:
            told = f"still running after {self.given:,} lines of Python: an endless loop?"
            raise OverBudget(told)
        return self.step


def has_empty_loop(code: CodeType) -> bool:
    """Is there a `while True: pass` on one line?  Python 3.10 and 3.11 report no line of it."""
    steps = list(dis.get_instructions(code))
    for end, step in enumerate(steps):
        jumps = step.opcode in dis.hasjrel or step.opcode in dis.hasjabs
        if jumps and isinstance(step.argval, int) and step.argval <= step.offset:
            body = [one.opname for one in steps[: end + 1] if one.offset >= step.argval]
            if EMPTY.issuperset(body):
                return True
    return False
