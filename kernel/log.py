"""What the kernel says to people: a line in the trace, and the first lines kept."""

from __future__ import annotations

from dataclasses import dataclass, field

from hw import trace
from hw.machine import Machine

MAX_MESSAGES = 100

LOG = trace.declare("log", "text:s", "The kernel says something.")


@dataclass(slots=True)
class Log:
    """The kernel's messages; the first `MAX_MESSAGES` are kept."""

    machine: Machine
    messages: list[str] = field(default_factory=list)

    def say_once(self, text: str) -> None:
        """What the machine remarks about a program, the first time."""
        if text not in self.messages:
            self.say(text)

    def say(self, text: str) -> None:
        """Trace one line, and keep it while there is room."""
        if len(self.messages) < MAX_MESSAGES:
            self.messages.append(text)
        if self.machine.trace:
            self.machine.trace.emit(LOG, text.encode())
