"""One UNIX socket: what waits in it, what it may still send, and what has ended.  unix(7).

A stream is pieces of bytes without bounds between them; datagrams and sequenced packets are
messages, which are received as a whole or cut off.  As on Linux, what a socket has sent and nobody
has received is accounted to the sender, by what the kernel needs to keep it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kernel.abi.errno import E, KernelError
from kernel.abi.nodes import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP
from kernel.abi.sockets import (
    MSG_DONTWAIT,
    MSG_PEEK,
    NO_RECEIVE,
    NO_SEND,
    SHUT_DOWN,
    SOCK_DGRAM,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    UNKNOWN,
    Identity,
)
from kernel.servers.slots import Slot, pieces

BUFFER_BYTES = 212_992
"""SO_SNDBUF and SO_RCVBUF at first (net.core.wmem_default), and the most that can be asked for."""
LEAST_SEND_BYTES, LEAST_RECEIVE_BYTES = 4_608, 2_304
PAGE_BYTES = 4_096
RECORD_BYTES, SHARED_BYTES, LINE_BYTES = 256, 320, 64
"""What Linux keeps of a message: a struct sk_buff, and a part behind the bytes; both in lines."""
STREAM_HEAD_BYTES = PAGE_BYTES - SHARED_BYTES
STREAM_PIECE_BYTES = STREAM_HEAD_BYTES + (32 << 10)
MESSAGE_HEAD_BYTES, MESSAGE_PAGES = 16_384 - SHARED_BYTES, 17
MESSAGE_RESERVE_BYTES = 32
"""A message must be so much smaller than the send buffer (EMSGSIZE)."""


@dataclass(slots=True)
class Packet(Slot):
    """A message, or a piece of a stream, on its way."""

    sender: int = 0
    """The badge of the socket that it is accounted to."""
    cost: int = 0
    """What Linux calls its true size, in bytes."""
    parcel: int = 0
    """The capability id of the descriptors that travel with it; 0: there are none."""
    identity: Identity = UNKNOWN


@dataclass(slots=True)
class Received:
    """What a receive got."""

    data: bytes
    whole: int
    """How long the message was."""
    parcel: int = 0
    identity: Identity | None = UNKNOWN
    """None: there was no message."""
    gone: list[Packet] = field(default_factory=list)
    """The packets that are in the queue no more."""


@dataclass(slots=True)
class Socket:
    """A socket.  `peer` is the badge of the one that it is connected to; 0: it is not."""

    kind: int
    owner: tuple[int, int]
    """User and group of its maker."""
    maker: Identity
    """What the other socket learns by SO_PEERCRED."""
    peer: int = 0
    queue: list[Packet] = field(default_factory=list)
    shut: int = 0
    error: int = 0
    """What the next call finds out (SO_ERROR)."""
    send_bytes: int = BUFFER_BYTES
    receive_bytes: int = BUFFER_BYTES
    used: int = 0
    """What its packets cost that nobody has received."""
    identifies: bool = False
    """SO_PASSCRED: a receive tells who sent."""
    noted: dict[int, int] = field(default_factory=dict)
    """Options that were set and change nothing here."""

    def take_error(self) -> int:
        """The error that waits, which is none any more."""
        error, self.error = self.error, 0
        return error

    def raise_error(self) -> None:
        """Raises the error that waits, if there is one."""
        if self.error:
            raise KernelError(E(self.take_error()))

    @property
    def writable(self) -> bool:
        """Is as much room as poll waits for: three quarters?"""
        return (self.used + 1) * 4 <= self.send_bytes

    def ready(self) -> int:
        """What poll(2) finds."""
        mask = POLLERR if self.error else 0
        mask |= POLLIN if self.queue else 0
        mask |= POLLOUT if self.writable else 0
        mask |= POLLIN | POLLRDHUP if self.shut & NO_RECEIVE else 0
        return mask | (POLLHUP if self.shut == SHUT_DOWN else 0)

    def waiting(self) -> int:
        """How many bytes FIONREAD tells: all, but of datagrams the first."""
        queue = self.queue[:1] if self.kind == SOCK_DGRAM else self.queue
        return sum(packet.left for packet in queue)

    # Sending ----------------------------------------------------------------------------------

    def check_sending(self, count: int) -> None:
        """Raises what a send of `count` bytes finds before it looks at the other socket.

        EPIPE; EMSGSIZE: the message is too long; EAGAIN; the error that waits.
        """
        stream = self.kind == SOCK_STREAM
        if self.kind == SOCK_SEQPACKET:
            self.raise_error()
        if not stream and count > self.send_bytes - MESSAGE_RESERVE_BYTES:
            raise KernelError(E.MSGSIZE)
        if not stream:
            self.raise_error()
        if self.shut & NO_SEND:
            raise KernelError(E.PIPE)
        if not stream and self.used >= self.send_bytes:
            raise KernelError(E.AGAIN)

    def packets(self, data: bytes, count: int) -> list[Packet]:
        """As much of a send of `count` bytes as fits, in packets; `data` may end too early.

        Raises EAGAIN; EFAULT: `data` ends inside the first packet.
        """
        if self.kind != SOCK_STREAM:
            if len(data) < count:
                raise KernelError(E.FAULT)
            return [Packet(bytearray(data), cost=_message_cost(count))]
        found: list[Packet] = []
        done, used = 0, self.used
        while done < count and used < self.send_bytes:
            size = min(count - done, self.send_bytes // 2 - 64, STREAM_PIECE_BYTES)
            piece = data[done : done + size]
            if len(piece) < size:
                if not found:
                    raise KernelError(E.FAULT)
                break
            found.append(Packet(bytearray(piece), cost=_piece_cost(size)))
            done, used = done + size, used + found[-1].cost
        if count and not found:
            raise KernelError(E.AGAIN)
        return found

    # Receiving --------------------------------------------------------------------------------

    def receive(self, count: int, room: int, flags: int, writer: Identity | None) -> Received:
        """At most `count` bytes of the stream, or the next message.

        `writer`: only what this one sent, if SO_PASSCRED is set.  Raises EAGAIN; EFAULT: the caller
        has not `room` for the first piece, and a message is lost then; the error that waits.
        """
        if self.kind == SOCK_STREAM:
            return self._receive_bytes(count, room, flags & MSG_PEEK, writer)
        return self._receive_message(count, room, flags)

    def _receive_bytes(self, count: int, room: int, peek: int, writer: Identity | None) -> Received:
        if not self.queue:
            self.raise_error()
            if not self.shut & NO_RECEIVE:
                raise KernelError(E.AGAIN)
        found, took = Received(b"", 0, identity=writer or UNKNOWN), []
        first = self.queue[0].identity if self.queue and writer is None else writer
        for packet, piece in pieces(self.queue, count, room):
            if self.identifies and packet.identity != first:
                break
            found.identity = packet.identity
            took.append(piece)
            if not peek:
                packet.start += len(piece)
                if not packet.left:
                    found.gone.append(packet)
            if packet.parcel:
                found.parcel = packet.parcel
                packet.parcel = packet.parcel if peek else 0
                break
        del self.queue[: len(found.gone)]
        found.data = b"".join(took)
        found.whole = len(found.data)
        if peek and not found.parcel and found.whole == count:
            found.parcel = self._parcel_behind(len(took), first)
        return found

    def _parcel_behind(self, start: int, writer: Identity | None) -> int:
        """Linux looks on behind the bytes that were asked for, up to the first descriptors."""
        for packet in self.queue[start:]:
            if self.identifies and packet.identity != writer:
                break
            if packet.parcel:
                return packet.parcel
        return 0

    def _receive_message(self, count: int, room: int, flags: int) -> Received:
        self.raise_error()
        if not self.queue:
            # A datagram socket tells its end only to those who would wait for it.
            waits = self.kind == SOCK_SEQPACKET or not flags & MSG_DONTWAIT
            if self.shut & NO_RECEIVE and waits:
                return Received(b"", 0, identity=None)
            raise KernelError(E.AGAIN)
        packet = self.queue[0]
        found = Received(
            data=packet.waiting(count),
            whole=packet.left,
            parcel=packet.parcel,
            identity=packet.identity,
        )
        if not flags & MSG_PEEK:
            found.gone.append(self.queue.pop(0))
        return found


def _bucket(head_bytes: int) -> int:
    """What Linux's allocator gives for the head of a message."""
    lines = -(-head_bytes // LINE_BYTES) * LINE_BYTES
    return 1 << (lines + SHARED_BYTES - 1).bit_length()


def _whole_pages(size_bytes: int) -> int:
    return -(-size_bytes // PAGE_BYTES) * PAGE_BYTES


def _piece_cost(size_bytes: int) -> int:
    """The true size of a piece of a stream: what exceeds the head lies in pages."""
    paged = min(size_bytes, _whole_pages(max(0, size_bytes - STREAM_HEAD_BYTES)))
    return RECORD_BYTES + _bucket(size_bytes - paged) + _whole_pages(paged)


def _message_cost(size_bytes: int) -> int:
    """The true size of a message."""
    paged = _whole_pages(max(0, size_bytes - MESSAGE_HEAD_BYTES))
    paged = min(paged, MESSAGE_PAGES * PAGE_BYTES)
    return RECORD_BYTES + _bucket(size_bytes - paged) + paged
