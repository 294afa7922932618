"""What travels between programs, the core and servers: plain data and capability ids.

A call to a server is: send a `Message`, block, get a `Reply`; the reply may come at once or
much later.  Nothing here refers to anything live, so a server can run in ring 3, or in another
process, or die and be started again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """`operation` is a name for a server of ours, a number (the label) between programs.

    `id` is what a reply refers to; 0 says that none is expected.  `badge` tells the server which
    of its open things is meant.  `words` are integers; `caps` are endpoint or object ids.
    `uid`, `gid` and `groups` are the sender's effective ones; `group` and `session` are the
    process group and the session it belongs to.
    """

    id: int
    endpoint: int
    pid: int
    uid: int
    gid: int
    badge: int
    operation: str | int
    words: tuple[int, ...] = ()
    data: bytes = b""
    caps: tuple[int, ...] = ()
    one_way: bool = False
    """The sender waits until it was received, and for nothing else."""
    groups: tuple[int, ...] = ()
    group: int = 0
    session: int = 0
    umask: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer: `result` >= 0, or a negated error number; programs send a `label`."""

    result: int = 0
    label: int = 0
    words: tuple[int, ...] = ()
    data: bytes = b""
    caps: tuple[int, ...] = ()


class Port(Protocol):
    """What a server can do: answer later, put files into memory, and drive its device."""

    def reply(self, message_id: int, reply: Reply) -> None:
        """Answer a message for which `handle` returned None."""

    def publish(self, data: bytes) -> int:
        """Make a memory object with this content; returns its capability id."""

    def load(self, cap: int, offset: int, size_bytes: int) -> bytes:
        """The bytes of a published object, up to its end."""

    def store(self, cap: int, offset: int, data: bytes) -> None:
        """Change a published object, which grows to hold them.  Raises ENOMEM."""

    def resize(self, cap: int, size_bytes: int) -> None:
        """Cut a published object off, or let it grow by a hole."""

    def drop(self, cap: int) -> None:
        """The server needs the object no more; regions that map it keep it alive."""

    def now(self) -> int:
        """The time of day, in nanoseconds since the epoch, from the cycle clock."""

    def is_alive(self, endpoint: int) -> bool:
        """Can the endpoint with this id still be reached?"""

    def console_write(self, data: bytes, stream: int) -> None:
        """Bytes to the console: stream 1 is output, 2 is errors."""

    def console_read(self, size_bytes: int) -> bytes | None:
        """Bytes that arrived; b"" at the end of input; None if there are none yet."""


class Server(Protocol):
    """A server: its state is plain data, and it sees nothing but messages."""

    name: str

    def handle(self, message: Message, port: Port) -> Reply | None:
        """Act on a message; None if the reply comes later.

        Every server gets "close" when the last descriptor of a badge goes, and "cancel" with a
        message's id when its sender does not wait for the reply any more.
        """

    def interrupt(self, port: Port) -> None:
        """Its device has something new."""
