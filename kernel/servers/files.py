"""The file server: for now a flat, read-only folder of programs."""

from __future__ import annotations

from dataclasses import dataclass, field

from kernel.errno import E
from kernel.message import Message, Port, Reply


@dataclass(slots=True)
class Files:
    """`content` is by path; `objects` holds the capability ids of what was put into memory."""

    content: dict[bytes, bytes]
    name: str = "files"
    objects: dict[bytes, int] = field(default_factory=dict)

    def handle(self, message: Message, port: Port) -> Reply | None:
        if message.operation != "image":
            return Reply(0 if message.operation == "close" else -E.INVAL)
        path = message.data
        if path not in self.content:
            return Reply(-E.NOENT)
        if path not in self.objects:
            self.objects[path] = port.publish(self.content[path])
        return Reply(caps=(self.objects[path],))

    def interrupt(self, port: Port) -> None:
        """It has no device."""
