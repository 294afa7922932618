"""The device server: /dev/null and its kin (null(4), full(4), random(4)).

The badge is the minor number of a character device of major 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Message, Port, Reply
from kernel.abi.nodes import O_DIRECTORY, POLLIN, POLLOUT, S_IFCHR, Stat, makedev

MAJOR, NULL, ZERO, FULL, RANDOM, URANDOM = 1, 3, 5, 7, 8, 9
NAMES = {b"null": NULL, b"zero": ZERO, b"full": FULL, b"random": RANDOM, b"urandom": URANDOM}
MODE = S_IFCHR | 0o666


@dataclass(slots=True)
class Devices:
    """Answers by the badge alone; it keeps nothing."""

    name: str = "devices"

    def handle(self, message: Message, port: Port) -> Reply:
        if message.data.partition(b"\0")[0] and message.operation != "write":
            raise KernelError(E.NOTDIR)
        match message.operation:
            case "open":
                if message.words[0] & O_DIRECTORY:
                    raise KernelError(E.NOTDIR)
                return Reply(words=(message.badge, 1, 0))
            case "read":
                return Reply(data=self._read(message.badge, message.words[0], port))
            case "write":
                if message.badge == FULL:
                    raise KernelError(E.NOSPC)
                return Reply(len(message.data), words=(0,))
            case "poll":
                return Reply(POLLIN | POLLOUT)
            case "stat":
                special = makedev(MAJOR, message.badge)
                return Reply(words=Stat(5, message.badge, MODE, 1, 0, 0, special, *[0] * 5))
            case "path":
                names = {number: name for name, number in NAMES.items()}
                return Reply(data=b"/dev/" + names[message.badge])
            case "access":
                if message.words[0] & 1:
                    raise KernelError(E.ACCES)
                return Reply()
            case "truncate":
                raise KernelError(E.INVAL)
            case "close" | "utimens":
                return Reply()
            case "chmod" | "chown":
                raise KernelError(E.PERM)
            case "object":
                raise KernelError(E.NODEV)
            case "ioctl":
                raise KernelError(E.NOTTY)
        raise KernelError(E.ACCES if message.operation == "image" else E.INVAL)

    def _read(self, badge: int, count: int, port: Port) -> bytes:
        if badge == NULL:
            return b""
        return port.random(count) if badge in (RANDOM, URANDOM) else bytes(count)

    def interrupt(self, port: Port) -> None:
        """It has no device that interrupts."""

    def restarted(self) -> Devices:
        return Devices()
