"""What a panel says to the machine beside it.

Each line of text is a verb, and numbers after some verbs. The machine's side (userland/live.py)
acts on a line between two traps. It answers some verbs with a file beside the trace.
"""

from __future__ import annotations

from pathlib import Path

PAUSE, RESUME, STEP = "pause", "resume", "step"
BACK = "back"
"""PLACE: go back to that record and stop at the end of its trap. The answer is an empty file."""
WINDOW = "window"
"""FIRST LAST [CORE INSTRUCTIONS]: every instruction from record FIRST to the trap after record
LAST. With CORE and INSTRUCTIONS, recording begins when that core has retired that many."""
MEMORY = "memory"
"""NUMBER PLACES FRAMES: what the frames held after each of those records."""
WRITE = "write"
"""NUMBER PLACE ADDRESS BYTES: what last wrote to a physical address before record PLACE."""
WHAT_IF = "what_if"
"""PLACE: what other TLBs would have missed up to that record."""
SEEN = "seen"
"""RECORDS OLDEST: how many records the panel has read, and the first that it still has. The machine
waits where it is too far ahead, and gives up checkpoints that only serve forgotten records."""
SAY = "say"
"""Followed by a sentence for the user's terminal."""
CLOSED = "closed"
"""The panel has closed: nothing could resume the machine any more."""

QUESTIONS = (WINDOW, MEMORY, WRITE, WHAT_IF)
"""Verbs that are answered with a trace of their own."""


def answer_path(trace: Path, verb: str, number: int) -> Path:
    """The file of an answer. `number` is the first number after the verb."""
    return trace.with_name(f"{verb}-{number}.vtrace")
