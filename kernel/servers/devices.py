"""The device server: /dev/null and the like (null(4), full(4), random(4)).

The badge is the minor number of a character device of major 1.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernel.abi.errno import E, KernelError
from kernel.abi.message import BY_PATH, Message, Port, Reply, fitting, refuse_path
from kernel.abi.nodes import O_DIRECTORY, POLLIN, POLLOUT, S_IFCHR, Stat, makedev

MAJOR, NULL, ZERO, FULL, RANDOM, URANDOM = 1, 3, 5, 7, 8, 9
NAMES = {b"null": NULL, b"zero": ZERO, b"full": FULL, b"random": RANDOM, b"urandom": URANDOM}
DEVICE = 5
"""What stat(2) says they are on."""
MODE = S_IFCHR | 0o666


@dataclass(slots=True)
class Devices:
    """It answers by the badge alone, and keeps nothing."""

    name: str = "devices"

    def handle(self, message: Message, port: Port) -> Reply:
        if message.operation in BY_PATH:
            refuse_path(message)
        match message.operation:
            case "open":
                if message.words[0] & O_DIRECTORY:
                    raise KernelError(E.NOTDIR)
                return Reply(words=(message.badge, 1, 0))
            case "read":
                return Reply(data=self._read(message, port))
            case "write":
                return Reply(self._write(message), words=(0,))
            case "poll":
                return Reply(POLLIN | POLLOUT)
            case "stat":
                special = makedev(MAJOR, message.badge)
                inode = message.badge
                return Reply(words=Stat(device=DEVICE, inode=inode, mode=MODE, special=special))
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
                if message.badge == ZERO:
                    return Reply()
                raise KernelError(E.NODEV)
            case "ioctl":
                raise KernelError(E.NOTTY)
        raise KernelError(E.ACCES if message.operation == "image" else E.INVAL)

    def _read(self, message: Message, port: Port) -> bytes:
        count, _, room = message.words
        if message.badge == NULL or not count:
            return b""
        if not room:
            raise KernelError(E.FAULT)
        return port.random(room) if message.badge in (RANDOM, URANDOM) else bytes(room)

    def _write(self, message: Message) -> int:
        """Only the sources of random bytes look at what is written."""
        _, count = message.words
        if message.badge == FULL:
            raise KernelError(E.NOSPC)
        if message.badge not in (RANDOM, URANDOM):
            return count
        return len(fitting(message.data or bytes(count), len(message.data)))

    def interrupt(self, port: Port) -> None:
        """It has no device that interrupts."""

    def restarted(self) -> Devices:
        return Devices()
