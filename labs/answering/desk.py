"""What an answer is worked out with, in the judge's child."""

from __future__ import annotations

import json
import mmap
import os
import sys
from dataclasses import dataclass
from typing import Any, BinaryIO, TextIO


@dataclass(slots=True)
class Desk:
    """What an answer is worked out with: a memory that the judge sees, and a way to show stops."""

    nonce: int
    memory: mmap.mmap
    trace: BinaryIO
    out: TextIO

    def words(self) -> memoryview:
        """The memory as 64-bit words."""
        return memoryview(self.memory).cast("Q")

    def stop(self, name: str, roots: dict[str, int], record: int = 0) -> None:
        """Stand still until the judge has looked at memory; `record` is where the trace is."""
        self.trace.flush()
        self.say({"stop": name, "roots": roots, "record": record})
        if sys.stdin.readline().strip() != '"go"':
            os._exit(0)  # the judge has seen enough

    def say(self, line: dict[str, Any]) -> None:
        self.out.write(json.dumps({**line, "nonce": self.nonce}) + "\n")
        self.out.flush()
