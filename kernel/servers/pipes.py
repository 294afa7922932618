"""The pipe server: pipes and event counters, which have no name.  pipe(7), eventfd(2).

The badge of a pipe's read end is even, that of its write end the odd number behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kernel.abi.errno import E, KernelError
from kernel.abi.ioctls import FIONREAD
from kernel.abi.message import BY_PATH, Message, Port, Reply, refuse_path
from kernel.abi.nodes import POLLERR, POLLHUP, POLLIN, POLLOUT, S_IFIFO, Stat
from kernel.servers.slots import Slot, pieces

DEVICE = 9
"""What stat(2) says the pipes are on."""
SLOT_BYTES, SLOT_SHIFT, SLOTS, MAX_SLOTS = 4_096, 12, 16, 256
"""A pipe has places for pages (pipe(7)): PIPE_BUF, the capacity at first, and its limit."""
EVENT_LIMIT = (1 << 64) - 1


@dataclass(slots=True)
class Pipe:
    """Pages on their way, at most `capacity`.  `readers` and `writers` count the opens of each end
    now, the `_ever` fields those since it was made.

    As on Linux, each slot is moved as a whole or not at all, so a write of at most SLOT_BYTES is
    atomic, and a slot that was read in part gives no room back.
    """

    slots: list[Slot] = field(default_factory=list)
    capacity: int = SLOTS
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

    def waiting(self) -> int:
        """How many bytes are on their way (FIONREAD)."""
        return sum(slot.left for slot in self.slots)

    def read(self, count: int, room: int) -> bytes:
        """At most `count` bytes; none at the end of the stream.  Raises EAGAIN.

        EFAULT: the caller has not `room` for what it would get of the first slot.
        """
        if not self.slots and self.writers and count:
            raise KernelError(E.AGAIN)
        found = list(pieces(self.slots, count, room)) if count else []
        for slot, piece in found:
            slot.start += len(piece)
        self.slots = [slot for slot in self.slots if slot.left]
        return b"".join(piece for _, piece in found)

    def write(self, data: bytes, count: int) -> int:
        """Take as much of a write of `count` bytes as fits; returns how much.

        Raises EAGAIN, EPIPE; EFAULT: `data` ends inside the first slot that it would fill.
        """
        if not count:
            return 0
        if not self.readers:
            raise KernelError(E.PIPE)
        done = self._append(data, count % SLOT_BYTES)
        while done < count and len(self.slots) < self.capacity:
            piece = data[done : done + SLOT_BYTES]
            if len(piece) < min(SLOT_BYTES, count - done):
                if not done:
                    raise KernelError(E.FAULT)
                break
            self.slots.append(Slot(bytearray(piece)))
            done += len(piece)
        if not done:
            raise KernelError(E.AGAIN)
        return done

    def _append(self, data: bytes, size: int) -> int:
        """Put what would fill no slot of its own behind the last one, if it fits there."""
        if not size or not self.slots or len(self.slots[-1].data) + size > SLOT_BYTES:
            return 0
        if len(data) < size:
            raise KernelError(E.FAULT)
        self.slots[-1].data += data[:size]
        return size

    def set_capacity(self, message: Message) -> int:
        """Change the capacity, or with -1 leave it; returns it in bytes (fcntl(2), F_SETPIPE_SZ).

        Raises EPERM: too large, EBUSY: more is on its way.
        """
        size_bytes = message.words[0]
        slots = 1 << (max(size_bytes, 1) - 1 >> SLOT_SHIFT).bit_length()
        if size_bytes < 0:
            return self.capacity * SLOT_BYTES
        if slots > max(self.capacity, MAX_SLOTS) and message.uid:
            raise KernelError(E.PERM)
        if slots < len(self.slots):
            raise KernelError(E.BUSY)
        self.capacity = slots
        return slots * SLOT_BYTES

    def ready(self, *, reads: bool, writes: bool) -> int:
        mask = 0
        if reads:
            mask |= (POLLIN if self.slots else 0) | (0 if self.writers else POLLHUP)
        if writes:
            room = len(self.slots) < self.capacity
            mask |= (POLLOUT if room else 0) | (0 if self.readers else POLLERR)
        return mask

    def pack(self) -> bytes:
        """What is on its way: of each slot its length, u32, and its bytes."""
        pieces = [slot.waiting(slot.left) for slot in self.slots]
        return b"".join(len(piece).to_bytes(4, "little") + piece for piece in pieces)


def unpack(data: bytes) -> list[Slot]:
    """The slots that `Pipe.pack` made bytes of."""
    slots, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "little")
        slots.append(Slot(bytearray(data[at + 4 : at + 4 + size])))
        at += 4 + size
    return slots


@dataclass(slots=True)
class Event:
    """A counter that is read as a whole, or by one if it is a semaphore."""

    value: int
    semaphore: bool

    def read(self, count: int, room: int) -> bytes:
        """The counter is read before it is copied, so EFAULT loses it, as on Linux."""
        if count < 8:
            raise KernelError(E.INVAL)
        if not self.value:
            raise KernelError(E.AGAIN)
        taken = 1 if self.semaphore else self.value
        self.value -= taken
        if room < 8:
            raise KernelError(E.FAULT)
        return taken.to_bytes(8, "little")

    def write(self, data: bytes, count: int) -> int:
        if count >= 8 and len(data) < 8:
            raise KernelError(E.FAULT)
        added = int.from_bytes(data[:8], "little")
        if count < 8 or added == EVENT_LIMIT:
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
        if message.operation == "remake":
            capacity, readers, writers = message.words
            made = Pipe(unpack(message.data), capacity, readers, writers)
            number = self._add(made)
            return Reply(words=(2 * number, 2 * number + 1))
        if message.operation in BY_PATH:
            refuse_path(message)
        found = self.open.get(message.badge >> 1)
        if found is None:
            raise KernelError(E.IO)
        if message.operation == "stat":
            return Reply(words=self._stat(message))
        if message.operation == "keep":
            return self._keep(found)
        if message.operation == "path":
            kind = b"pipe:[%d]" if isinstance(found, Pipe) else b"anon_inode:[eventfd]#%d"
            return Reply(data=kind % (message.badge >> 1))
        if isinstance(found, Pipe):
            return self._pipe(found, message, port)
        return self._event(found, message, port)

    def _keep(self, item: Pipe | Event) -> Reply:
        """All that there is to know of it; nothing changes."""
        if isinstance(item, Event):
            return Reply(words=(item.value, item.semaphore))
        return Reply(words=(item.capacity, item.readers, item.writers), data=item.pack())

    def _add(self, item: Pipe | Event) -> int:
        self.made += 1
        self.open[self.made] = item
        return self.made

    def _stat(self, message: Message) -> Stat:
        number = message.badge >> 1
        return Stat(
            device=DEVICE, inode=number, mode=S_IFIFO | 0o600, uid=message.uid, gid=message.gid
        )

    def _pipe(self, pipe: Pipe, message: Message, port: Port) -> Reply:
        writes = message.badge & 1
        if message.operation == "poll":
            return Reply(pipe.ready(reads=not writes, writes=bool(writes)))
        if message.operation == "ioctl" and message.words[0] == FIONREAD:
            return Reply(data=pipe.waiting().to_bytes(4, "little"))
        if message.operation == "open":
            reply = self._open_again(pipe, message.badge)
        elif message.operation == "read" and not writes:
            count, _, room = message.words
            reply = Reply(data=pipe.read(count, room))
        elif message.operation == "write" and writes:
            reply = Reply(pipe.write(message.data, message.words[1]))
        elif message.operation == "capacity":
            reply = Reply(pipe.set_capacity(message))
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
            count, _, room = message.words
            reply = Reply(data=event.read(count, room))
        elif message.operation == "write":
            reply = Reply(event.write(message.data, message.words[1]))
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
