"""The console server: descriptors 0, 1 and 2 of a program lead here.

The badge of a descriptor is the stream that it writes to: 1 output, 2 errors.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernel.errno import E, KernelError
from kernel.message import Message, Port, Reply
from kernel.nodes import POLLIN, POLLOUT, S_IFCHR, Stat, makedev

STREAMS = (1, 2)


@dataclass(slots=True)
class Console:
    """Writes at once; what has arrived waits in the device until somebody reads it."""

    name: str = "console"

    def handle(self, message: Message, port: Port) -> Reply:
        match message.operation:
            case "write":
                port.console_write(message.data, message.badge)
                return Reply(len(message.data))
            case "read":
                data = port.console_read(message.words[0])
                if data is None:
                    raise KernelError(E.AGAIN)
                return Reply(data=data)
            case "poll":
                return Reply(POLLOUT | (POLLIN if port.console_waits() else 0))
            case "stat":
                device = makedev(5, 1)
                return Reply(words=Stat(6, 1, S_IFCHR | 0o620, 1, 0, 0, device, *[0] * 5))
            case "open":
                return Reply(words=(message.badge, 0, 0))
            case "path":
                return Reply(data=b"/dev/console")
            case "close":
                return Reply()
        raise KernelError(E.NOTTY if message.operation == "ioctl" else E.INVAL)

    def interrupt(self, port: Port) -> None:
        """Input has arrived."""
        for badge in STREAMS:
            port.changed(badge)

    def restarted(self) -> Console:
        return Console()
