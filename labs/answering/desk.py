"""What an answer is worked out with, in the judge's child."""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass
from typing import Any, BinaryIO, TextIO

from labs.answering.mail import Mail


@dataclass(slots=True)
class Desk:
    """A memory that the judge sees, a trace that it reads, and a way to show it a stop."""

    nonce: int
    memory: mmap.mmap
    trace: BinaryIO
    mail: Mail
    out: TextIO

    def words(self) -> memoryview:
        """The memory as 64-bit words."""
        return memoryview(self.memory).cast("Q")

    def stop(self, name: str, roots: dict[str, int], record: int = 0) -> None:
        """Stand still until the judge has looked at memory; `record` is where the trace is."""
        self.trace.flush()
        self.say({"stop": name, "roots": roots, "record": record})
        self.mail.next()

    def say(self, line: dict[str, Any]) -> None:
        """Tell the judge; the nonce says which question this is about."""
        self.out.write(json.dumps({**line, "nonce": self.nonce}, default=repr) + "\n")
        self.out.flush()
