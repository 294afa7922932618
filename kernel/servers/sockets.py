"""The socket server: pairs of UNIX sockets.  socketpair(2), unix(7).

A badge is one socket.  Descriptors that travel in a message stay with the core, which gives the
server a capability id for each such *parcel*; the server hands it on with the message, or discards
it with the message.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from kernel.abi import ioctls
from kernel.abi.errno import E, KernelError
from kernel.abi.message import BY_PATH, Message, Port, Reply, refuse_path
from kernel.abi.nodes import POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM, S_IFSOCK, Stat
from kernel.abi.sockets import (
    AF_UNIX,
    MSG_TRUNC,
    NO_RECEIVE,
    NO_SEND,
    SHUT_DOWN,
    SOCK_DGRAM,
    SOCK_STREAM,
    Identity,
)
from kernel.servers import socket_options
from kernel.servers.unix_socket import Packet, Socket

READABLE, WRITABLE = POLLIN | POLLRDNORM, POLLOUT | POLLWRNORM
DEVICE = 8
"""What stat(2) says the sockets are on."""
NAME_OF_NONE = struct.pack("<H", AF_UNIX)
"""The address of a socket that has no name."""


@dataclass(slots=True)
class Sockets:
    """`open` holds the sockets by their badge."""

    name: str = "sockets"
    open: dict[int, Socket] = field(default_factory=dict)
    made: int = 0

    def handle(self, message: Message, port: Port) -> Reply:
        operation = message.operation
        if operation == "pair":
            return self._pair(message)
        if operation in BY_PATH:
            refuse_path(message)
        found = self.open.get(message.badge)
        if found is None:
            raise KernelError(E.IO)
        if operation in ("send", "write"):
            return self._send(found, message, port)
        if operation == "receive":
            return self._receive(found, message, port)
        if operation == "close":
            return self._close(message.badge, port)
        if operation == "shutdown":
            return self._shut_down(found, message, port)
        return self._about(found, message, port)

    def _about(self, found: Socket, message: Message, port: Port) -> Reply:
        """What is asked or set, and moves nothing."""
        operation, words = message.operation, message.words
        if operation == "poll":
            return Reply(found.ready())
        if operation == "stat":
            uid, gid = found.owner
            mode = S_IFSOCK | 0o777
            return Reply(words=Stat(DEVICE, message.badge, mode, uid=uid, gid=gid))
        if operation == "path":
            return Reply(data=b"socket:[%d]" % message.badge)
        if operation == "getopt":
            return Reply(data=socket_options.get(found, words[0], words[1]))
        if operation == "setopt":
            socket_options.put(found, words[0], words[1], message.data)
            port.changed(message.badge, WRITABLE)
            return Reply()
        if operation == "fail":
            found.error = words[0]
            return Reply()
        if operation == "name":
            if words[0] and not found.peer:
                raise KernelError(E.NOTCONN)
            return Reply(data=NAME_OF_NONE)
        if operation == "ioctl" and words[0] in (ioctls.FIONREAD, ioctls.TIOCOUTQ):
            told = found.waiting() if words[0] == ioctls.FIONREAD else found.used
            return Reply(data=told.to_bytes(4, "little"))
        refusals = {"open": E.NXIO, "readdir": E.NOTDIR, "ioctl": E.NOTTY}
        raise KernelError(refusals.get(str(operation), E.INVAL))

    def _pair(self, message: Message) -> Reply:
        """Two sockets that are connected to each other; words: type, effective uid and gid."""
        kind, uid, gid = message.words
        maker, owner = Identity(message.pid, uid, gid), (message.uid, message.gid)
        one, other = self.made + 1, self.made + 2
        self.open[one] = Socket(kind, owner, maker, other)
        self.open[other] = Socket(kind, owner, maker, one)
        self.made = other
        return Reply(words=(one, other))

    # Sending ----------------------------------------------------------------------------------

    def _send(self, sender: Socket, message: Message, port: Port) -> Reply:
        """Words: count, and perhaps an identity; or of a plain write: -1, count."""
        plain = message.operation == "write"
        count, *told = message.words[1:] if plain else message.words
        sender.check_sending(count)
        given = sender.packets(message.data, count)
        peer = self._peer_to_send(sender, port)
        if not given:
            return Reply()
        identity = Identity(*told)
        if not told and (sender.identifies or peer.identifies):
            identity = Identity(message.pid, message.uid, message.gid)
        for packet in given:
            packet.sender, packet.identity = message.badge, identity
            sender.used += packet.cost
        given[0].parcel = message.caps[0] if message.caps else 0
        peer.queue += given
        port.changed(sender.peer, READABLE)
        return Reply(sum(len(packet.data) for packet in given), words=(sender.peer,))

    def _peer_to_send(self, sender: Socket, port: Port) -> Socket:
        """Where a message goes.  Raises ENOTCONN, EPIPE; ECONNREFUSED: the other socket is gone."""
        if not sender.peer:
            raise KernelError(E.NOTCONN)
        peer = self.open.get(sender.peer)
        if peer is None and sender.kind == SOCK_DGRAM:
            # As on Linux, what the other one sent before is lost with the connection.
            sender.peer = 0
            lost, sender.queue = sender.queue, []
            self._forget(lost, port)
            raise KernelError(E.CONNREFUSED)
        if peer is None or peer.shut & NO_RECEIVE:
            raise KernelError(E.PIPE)
        return peer

    # Receiving --------------------------------------------------------------------------------

    def _receive(self, socket: Socket, message: Message, port: Port) -> Reply:
        """Words: count, room, flags, and perhaps whose bytes only.

        The reply: how long the message was; words: flags, whether it is of a stream, whether it
        tells the identity, and the identity.
        A message for which the caller has no room is lost, as on Linux.
        """
        count, room, flags, *writer = message.words
        found = socket.receive(count, room, flags, Identity(*writer) if writer else None)
        self._account(found.gone, port)
        if len(found.data) > room:
            self._discard(found.gone, port)
            raise KernelError(E.FAULT)
        stream = socket.kind == SOCK_STREAM
        cut_off = MSG_TRUNC if len(found.data) < found.whole and not stream else 0
        tells = int(socket.identifies and found.identity is not None)
        words = (cut_off, int(stream), tells, *(found.identity or ()))
        caps = (found.parcel,) if found.parcel else ()
        return Reply(found.whole, words=words, data=found.data, caps=caps)

    def _account(self, gone: list[Packet], port: Port) -> None:
        """Their senders have room again; who waits for room waits for a good part of it."""
        senders = dict.fromkeys(packet.sender for packet in gone)
        for packet in gone:
            if packet.sender in self.open:
                self.open[packet.sender].used -= packet.cost
        for badge in senders:
            if badge in self.open and self.open[badge].writable:
                port.changed(badge, WRITABLE)

    def _forget(self, lost: list[Packet], port: Port) -> None:
        """Nobody receives these packets any more, nor the descriptors in them."""
        self._account(lost, port)
        self._discard(lost, port)

    def _discard(self, lost: list[Packet], port: Port) -> None:
        for packet in lost:
            if packet.parcel:
                port.discard(packet.parcel)

    # The end ----------------------------------------------------------------------------------

    def _shut_down(self, socket: Socket, message: Message, port: Port) -> Reply:
        """Words: how, as shutdown(2) has it.  A connection ends on both sides."""
        mode = message.words[0] + 1
        socket.shut |= mode
        peer = self.open.get(socket.peer)
        if peer is not None and socket.kind != SOCK_DGRAM:
            peer.shut |= NO_SEND if mode & NO_RECEIVE else 0
            peer.shut |= NO_RECEIVE if mode & NO_SEND else 0
            port.changed(socket.peer)
        port.changed(message.badge)
        return Reply()

    def _close(self, badge: int, port: Port) -> Reply:
        socket = self.open.pop(badge)
        peer = self.open.get(socket.peer)
        if peer is not None and peer.peer == badge and socket.kind != SOCK_DGRAM:
            peer.shut = SHUT_DOWN
            if socket.queue:
                peer.error = int(E.CONNRESET)  # a checkpoint holds plain numbers
            port.changed(socket.peer)
        self._forget(socket.queue, port)
        return Reply()

    def interrupt(self, port: Port) -> None:
        """It has no device."""

    def restarted(self) -> Sockets:
        """Sockets and what is in them are stored; a new server finds them as they were."""
        return Sockets(self.name, self.open, self.made)
