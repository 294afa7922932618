"""The pipe server: pipes and event counters, which have no name.  pipe(7), eventfd(2).

The badge of a pipe's read end is even, that of its write end the odd number behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Message, Port, Reply
from kernel.abi.nodes import PIPE_BYTES, POLLERR, POLLHUP, POLLIN, POLLOUT, S_IFIFO, Stat

ATOMIC_BYTES = 4_096
EVENT_LIMIT = (1 << 64) - 1
FIONREAD = 0x541B


@dataclass(slots=True)
class Pipe:
    """Bytes on their way, how many opens each end has, and has ever had."""

    buffer: bytearray = field(default_factory=bytearray)
    readers: int = 0
    writers: int = 0
    readers_ever: int = 0
    writers_ever: int = 0

    def enter(self, *, reads: bool, writes: bool) -> None:
        """One more open of one end, or of both."""
        self.readers += reads
        self.readers_ever += reads
        self.writers += writes
        self.writers_ever += writes

    def read(self, count: int) -> bytes:
        """What is there, up to `count` bytes; nothing at the end.  Raises EAGAIN."""
        if not self.buffer and self.writers and count:
            raise KernelError(E.AGAIN)
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def write(self, data: bytes) -> int:
        """Take what fits, or a small write whole; returns how much.  Raises EAGAIN, EPIPE."""
        if not data:
            return 0
        if not self.readers:
            raise KernelError(E.PIPE)
        room = PIPE_BYTES - len(self.buffer)
        if not room or room < len(data) <= ATOMIC_BYTES:
            raise KernelError(E.AGAIN)
        self.buffer += data[:room]
        return min(len(data), room)

    def ready(self, *, reads: bool, writes: bool) -> int:
        mask = 0
        if reads:
            mask |= (POLLIN if self.buffer else 0) | (0 if self.writers else POLLHUP)
        if writes:
            room = PIPE_BYTES - len(self.buffer) >= ATOMIC_BYTES
            mask |= (POLLOUT if room else 0) | (0 if self.readers else POLLERR)
        return mask


@dataclass(slots=True)
class Event:
    """A counter that is read as a whole, or by one if it is a semaphore."""

    value: int
    semaphore: bool

    def read(self, count: int) -> bytes:
        if count < 8:
            raise KernelError(E.INVAL)
        if not self.value:
            raise KernelError(E.AGAIN)
        taken = 1 if self.semaphore else self.value
        self.value -= taken
        return taken.to_bytes(8, "little")

    def write(self, data: bytes) -> int:
        added = int.from_bytes(data[:8], "little")
        if len(data) < 8 or added == EVENT_LIMIT:
            raise KernelError(E.INVAL)
        if self.value + added >= EVENT_LIMIT:
            raise KernelError(E.AGAIN)
        self.value += added
        return 8

    def ready(self) -> int:
        room = self.value < EVENT_LIMIT - 1
        return (POLLIN if self.value else 0) | (POLLOUT if room else 0)


@dataclass(slots=True)
class Pipes:
    """`open` holds pipes and events by half of their badge."""

    name: str = "pipes"
    open: dict[int, Pipe | Event] = field(default_factory=dict)
    made: int = 0

    def handle(self, message: Message, port: Port) -> Reply:
        if message.operation == "pipe":
            number = self._add(Pipe(readers=1, writers=1))
            return Reply(words=(2 * number, 2 * number + 1))
        if message.operation == "eventfd":
            initial, semaphore = message.words
            return Reply(words=(2 * self._add(Event(initial, bool(semaphore))),))
        found = self.open.get(message.badge >> 1)
        if found is None:
            raise KernelError(E.IO)
        if message.operation == "stat":
            return Reply(words=self._stat(message))
        if message.operation == "path":
            kind = b"pipe:[%d]" if isinstance(found, Pipe) else b"anon_inode:[eventfd]#%d"
            return Reply(data=kind % (message.badge >> 1))
        if isinstance(found, Pipe):
            return self._pipe(found, message, port)
        return self._event(found, message, port)

    def _add(self, item: Pipe | Event) -> int:
        self.made += 1
        self.open[self.made] = item
        return self.made

    def _stat(self, message: Message) -> Stat:
        number = message.badge >> 1
        return Stat(9, number, S_IFIFO | 0o600, 1, message.uid, message.gid, *[0] * 6)

    def _pipe(self, pipe: Pipe, message: Message, port: Port) -> Reply:
        writes = message.badge & 1
        if message.operation == "poll":
            return Reply(pipe.ready(reads=not writes, writes=bool(writes)))
        if message.operation == "ioctl" and message.words[0] == FIONREAD:
            return Reply(data=len(pipe.buffer).to_bytes(4, "little"))
        if message.operation == "open":
            reply = self._open_again(pipe, message.badge)
        elif message.operation == "read" and not writes:
            reply = Reply(data=pipe.read(message.words[0]))
        elif message.operation == "write" and writes:
            reply = Reply(pipe.write(message.data))
        elif message.operation == "close":
            reply = self._close(pipe, message.badge)
        else:
            raise KernelError(E.NOTTY if message.operation == "ioctl" else E.INVAL)
        port.changed(message.badge ^ 1)
        return reply

    def _open_again(self, pipe: Pipe, badge: int) -> Reply:
        """Through /proc/PID/fd."""
        if badge & 1:
            pipe.writers += 1
        else:
            pipe.readers += 1
        return Reply(words=(badge, 0, 0))

    def _close(self, pipe: Pipe, badge: int) -> Reply:
        if badge & 1:
            pipe.writers -= 1
        else:
            pipe.readers -= 1
        if not pipe.readers and not pipe.writers:
            del self.open[badge >> 1]
        return Reply()

    def _event(self, event: Event, message: Message, port: Port) -> Reply:
        if message.operation == "poll":
            return Reply(event.ready())
        if message.operation == "read":
            reply = Reply(data=event.read(message.words[0]))
        elif message.operation == "write":
            reply = Reply(event.write(message.data))
        elif message.operation == "close":
            del self.open[message.badge >> 1]
            return Reply()
        else:
            raise KernelError(E.NOTTY if message.operation == "ioctl" else E.INVAL)
        port.changed(message.badge)
        return reply

    def interrupt(self, port: Port) -> None:
        """It has no device."""

    def restarted(self) -> Pipes:
        """Pipes and what is in them are stored; a new server finds them as they were."""
        return Pipes(self.name, self.open, self.made)
