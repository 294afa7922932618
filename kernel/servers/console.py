"""The console server: descriptors 0, 1 and 2 of a program lead here.

The badge of a descriptor is the stream that it writes to: 1 output, 2 errors.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kernel.errno import E
from kernel.message import Message, Port, Reply


@dataclass(slots=True)
class Console:
    """Writes at once; a read waits until input has arrived."""

    name: str = "console"
    readers: list[Message] = field(default_factory=list)

    def handle(self, message: Message, port: Port) -> Reply | None:
        if message.operation == "write":
            port.console_write(message.data, message.badge)
            return Reply(len(message.data))
        if message.operation == "read":
            return self._read(message, port)
        if message.operation == "cancel":
            self.readers = [reader for reader in self.readers if reader.id != message.words[0]]
            return None
        return Reply(0 if message.operation == "close" else -E.INVAL)

    def interrupt(self, port: Port) -> None:
        """Input has arrived: answer who waits for it, in order."""
        readers, self.readers = self.readers, []
        for message in readers:
            reply = self._read(message, port)
            if reply is not None:
                port.reply(message.id, reply)

    def _read(self, message: Message, port: Port) -> Reply | None:
        data = None if self.readers else port.console_read(message.words[0])
        if data is None:
            self.readers.append(message)
            return None
        return Reply(len(data), data=data)
