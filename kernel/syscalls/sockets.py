"""System calls on sockets: pairs, messages, options.  socket(7), unix(7).

All of them: EBADF; ENOTSOCK; EFAULT.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from kernel.abi.errno import E, KernelError
from kernel.abi.nodes import O_CLOEXEC, O_NONBLOCK
from kernel.abi.sockets import (
    AF_UNIX,
    FAMILIES,
    MSG_CMSG_CLOEXEC,
    MSG_CMSG_COMPAT,
    MSG_DONTWAIT,
    MSG_WAITFORONE,
    SHUT_RDWR,
    SO_ERROR,
    SO_RCVTIMEO,
    SO_SNDTIMEO,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    SOL_SOCKET,
    TYPE_BITS,
    TYPES,
)
from kernel.kernel import Kernel
from kernel.syscalls import control
from kernel.syscalls.control import MAX_CONTROL_BYTES, Room
from kernel.syscalls.messages import (
    kind_of,
    receive,
    receive_message,
    send,
    socket_of,
)
from kernel.syscalls.table import Fd, Flags, Int, Ptr, Size, syscall
from kernel.syscalls.transfer import MAX_VECTORS, buffer, vectors
from kernel.task.clock import (
    cycles_to_timespec,
    cycles_to_timeval,
    timespec_to_cycles,
    timeval_to_cycles,
)
from kernel.task.descriptors import Handle
from kernel.task.process import Thread

KINDS = {
    SOCK_STREAM: SOCK_STREAM,
    SOCK_DGRAM: SOCK_DGRAM,
    SOCK_RAW: SOCK_DGRAM,
    SOCK_SEQPACKET: SOCK_SEQPACKET,
}
"""The type that was asked for -> the one that it is."""
MAX_ADDRESS_BYTES, SHORTEST_UNIX_BYTES, LONGEST_UNIX_BYTES = 128, 3, 110
MAX_OPTION_BYTES = 64
_HEADER = struct.Struct("<Qi4xQQQQi4x")
_TIMEVAL = struct.Struct("<qq")
_ENTRY_BYTES = _HEADER.size + 8
"""A struct mmsghdr: a header, the length of the message, and padding."""
_NAME_LENGTH_AT, _CONTROL_LENGTH_AT, _FLAGS_AT = 8, 40, 48


@syscall(53, owner="sockets")
def socketpair(k: Kernel, t: Thread, family: Int, kind: Int, protocol: Int, out: Ptr) -> int:
    """Make two sockets that are connected to each other; their descriptors are stored at `out`.

    EAFNOSUPPORT: not AF_UNIX; EPROTONOSUPPORT; ESOCKTNOSUPPORT; EINVAL: type or flags; EMFILE.
    """
    flags, kind = kind & ~TYPE_BITS, kind & TYPE_BITS
    if flags & ~(O_CLOEXEC | O_NONBLOCK):
        raise KernelError(E.INVAL)
    own = t.descriptors
    first = own.lowest_free()
    second = own.lowest_free(first + 1)
    # As on Linux, the numbers are there before it is clear that there will be sockets.
    t.space.write(out, struct.pack("<ii", first, second))
    _check_family(family, kind, protocol)
    who, well_known = t.process.credentials, k.ipc.well_known
    badges = k.ipc.call(t, well_known.sockets, "pair", (KINDS[kind], who.uid, who.gid)).words
    for badge in badges:
        handle = Handle(well_known.sockets.endpoint, badge)
        handle.flags |= flags & O_NONBLOCK
        own.add(handle, closes_on_exec=bool(flags & O_CLOEXEC))
    return 0


def _check_family(family: int, kind: int, protocol: int) -> None:
    """EAFNOSUPPORT; EINVAL: no such type; EPROTONOSUPPORT; ESOCKTNOSUPPORT: not of this family."""
    if not 0 <= family < FAMILIES:
        raise KernelError(E.AFNOSUPPORT)
    if kind >= TYPES:
        raise KernelError(E.INVAL)
    if family != AF_UNIX:
        raise KernelError(E.AFNOSUPPORT)
    if protocol not in (0, AF_UNIX):
        raise KernelError(E.PROTONOSUPPORT)
    if kind not in KINDS:
        raise KernelError(E.SOCKTNOSUPPORT)


@syscall(48, owner="sockets")
def shutdown(k: Kernel, t: Thread, fd: Fd, how: Int) -> int:
    """End receiving (0), sending (1) or both (2), for all who have the socket.  EINVAL."""
    handle = socket_of(k, t, fd)
    if not 0 <= how <= SHUT_RDWR:
        raise KernelError(E.INVAL)
    return k.ipc.call(t, handle, "shutdown", (how,)).result


# Messages -----------------------------------------------------------------------------------------


@syscall(44, owner="sockets", restarts_timed=False)
def sendto(
    k: Kernel, t: Thread, fd: Fd, buf: Ptr, length: Size, flags: Flags, to: Ptr, to_length: Int
) -> int:
    """Send one message; returns how many bytes were taken.

    EISCONN: `to` is given, and the socket is connected; EMSGSIZE; EPIPE; EAGAIN; EINTR.
    """
    source = buffer(t, buf, length)
    handle = socket_of(k, t, fd)
    if to:
        _refuse_address(k, t, handle, _read_address(t, to, to_length))
    return send(k, t, handle, source, flags)


@syscall(45, owner="sockets", restarts_timed=False)
def recvfrom(
    k: Kernel, t: Thread, fd: Fd, buf: Ptr, length: Size, flags: Flags, by: Ptr, by_length: Ptr
) -> int:
    """Receive one message, or bytes; `by` gets the sender's address, which is empty here.

    MSG_TRUNC: the result is how long the message was.  EAGAIN; EINTR; ECONNRESET.
    """
    room = buffer(t, buf, length)
    count = receive(k, t, socket_of(k, t, fd), room, flags)
    if by:
        _write_address(t, b"", by, by_length)
    return count


@dataclass(slots=True)
class Header:
    """A struct msghdr in the memory of the calling program."""

    name: int
    name_bytes: int
    vectors: int
    count: int
    control: int
    control_bytes: int

    @classmethod
    def read(cls, t: Thread, at: int) -> Header:
        """EINVAL: a negative length; EMSGSIZE: too many buffers."""
        *fields, _ = _HEADER.unpack(t.space.read(at, _HEADER.size))
        header = cls(*fields)
        if header.name and header.name_bytes < 0:
            raise KernelError(E.INVAL)
        if header.count > MAX_VECTORS:
            raise KernelError(E.MSGSIZE)
        return header


@syscall(46, owner="sockets", restarts_timed=False)
def sendmsg(k: Kernel, t: Thread, fd: Fd, msg: Ptr, flags: Flags) -> int:
    """As sendto, from several buffers, and with descriptors (SCM_RIGHTS) or who sends.

    EINVAL: a control message; ENOBUFS: too many; ETOOMANYREFS: too many descriptors in flight.
    """
    return _send_message(k, t, _socket_for(k, t, fd, flags), msg, flags)


def _send_message(k: Kernel, t: Thread, handle: Handle, msg: int, flags: int) -> int:
    header = Header.read(t, msg)
    address = b""
    if header.name and header.name_bytes:
        address = t.space.read(header.name, min(header.name_bytes, MAX_ADDRESS_BYTES))
    source = vectors(t, header.vectors, header.count)
    if header.control_bytes > MAX_CONTROL_BYTES:
        raise KernelError(E.NOBUFS)
    along = control.parse(k, t, t.space.read(header.control, header.control_bytes))
    if address:
        _refuse_address(k, t, handle, address)
    return send(k, t, handle, source, flags, along)


@syscall(47, owner="sockets", restarts_timed=False)
def recvmsg(k: Kernel, t: Thread, fd: Fd, msg: Ptr, flags: Flags) -> int:
    """As recvfrom, into several buffers, and with what came along.

    MSG_CTRUNC is stored in the flags if control messages were cut off, MSG_TRUNC if bytes were.
    """
    return _receive_message(k, t, _socket_for(k, t, fd, flags), msg, flags)


def _receive_message(k: Kernel, t: Thread, handle: Handle, msg: int, flags: int) -> int:
    header = Header.read(t, msg)
    target = vectors(t, header.vectors, header.count)
    at = header.control
    room = Room(at, header.control_bytes if at else 0, flags & MSG_CMSG_CLOEXEC)
    count = receive_message(k, t, handle, target, flags, room)
    if header.name:
        _write_address(t, b"", header.name, msg + _NAME_LENGTH_AT)
    t.space.write(msg + _FLAGS_AT, room.flags.to_bytes(4, "little"))
    t.space.write(msg + _CONTROL_LENGTH_AT, (room.at - at).to_bytes(8, "little"))
    return count


def _socket_for(k: Kernel, t: Thread, fd: int, flags: int) -> Handle:
    if flags & MSG_CMSG_COMPAT:
        raise KernelError(E.INVAL)
    return socket_of(k, t, fd)


# Several messages ---------------------------------------------------------------------------------


@syscall(307, owner="sockets", restarts_timed=False)
def sendmmsg(k: Kernel, t: Thread, fd: Fd, vector: Ptr, count: Flags, flags: Flags) -> int:
    """Send an array of struct mmsghdr; returns how many.  An error that is not the first ends it.

    The length of each message that was sent is stored behind its header.  As sendmsg.
    """
    handle = _socket_for(k, t, fd, flags)
    call = t.current_call()
    while call.messages < min(count, MAX_VECTORS):
        at = vector + _ENTRY_BYTES * call.messages
        try:
            _moved(t, at, _send_message(k, t, handle, at, flags))
        except KernelError:
            if not call.messages:
                raise
            break
    return call.messages


@syscall(299, owner="sockets", restarts_timed=False)
def recvmmsg(
    k: Kernel, t: Thread, fd: Fd, vector: Ptr, count: Flags, flags: Flags, timeout: Ptr
) -> int:
    """Receive an array of struct mmsghdr; returns how many.  As sendmmsg and recvmsg.

    MSG_WAITFORONE: it waits for the first message only.  `timeout`, a struct timespec, is looked at
    after each message, as on Linux, and gets the time that was left.  EINVAL: no such time.
    """
    limit = timespec_to_cycles(t.space.read(timeout, 16)) if timeout else 0
    handle, call = _socket_for(k, t, fd, flags), t.current_call()
    if not call.messages:
        _raise_error(k, t, handle)
        call.until = k.tasks.now() + limit
    left = limit
    while call.messages < min(count, MAX_VECTORS):
        at = vector + _ENTRY_BYTES * call.messages
        waits = MSG_DONTWAIT if flags & MSG_WAITFORONE and call.messages else 0
        try:
            _moved(t, at, _receive_message(k, t, handle, at, flags & ~MSG_WAITFORONE | waits))
        except KernelError as error:
            if not call.messages:
                raise
            if error.number != E.AGAIN:  # the next call shall find it
                k.ipc.call(t, handle, "fail", (int(error.number),))
            break
        left = max(0, call.until - k.tasks.now())
        if timeout and not left:
            break
    if timeout and call.messages:
        t.space.write(timeout, cycles_to_timespec(left))
    return call.messages


def _moved(t: Thread, at: int, length: int) -> None:
    """One message of several is done; what the call remembers of it is over."""
    t.space.write(at + _HEADER.size, length.to_bytes(4, "little"))
    call = t.current_call()
    call.messages += 1
    call.done, call.told, call.deadline = 0, (), None


def _raise_error(k: Kernel, t: Thread, handle: Handle) -> None:
    """Raises the error that waits in a socket, before any message."""
    value = k.ipc.call(t, handle, "getopt", (SOL_SOCKET, SO_ERROR)).data
    if number := int.from_bytes(value, "little"):
        raise KernelError(E(number))


# Addresses ----------------------------------------------------------------------------------------


def _read_address(t: Thread, at: int, size_bytes: int) -> bytes:
    """EINVAL: no address is so long."""
    if not 0 <= size_bytes <= MAX_ADDRESS_BYTES:
        raise KernelError(E.INVAL)
    return t.space.read(at, size_bytes)


def _refuse_address(k: Kernel, t: Thread, handle: Handle, address: bytes) -> None:
    """Sockets have no names yet, so no address is one of a socket.

    EISCONN: a stream; EINVAL: no UNIX address; ECONNREFUSED.  A sequenced packet does not look.
    """
    kind = kind_of(k, t, handle)
    if kind == SOCK_STREAM and address:
        raise KernelError(E.ISCONN)
    if kind == SOCK_DGRAM and address:
        fits = SHORTEST_UNIX_BYTES <= len(address) <= LONGEST_UNIX_BYTES
        if not fits or int.from_bytes(address[:2], "little") != AF_UNIX:
            raise KernelError(E.INVAL)
        raise KernelError(E.CONNREFUSED)


def _write_address(t: Thread, address: bytes, at: int, length_at: int) -> None:
    """Store what fits of an address, and how long it is.  EINVAL: no room is negative."""
    room = int.from_bytes(t.space.read(length_at, 4), "little", signed=True)
    if room < 0:
        raise KernelError(E.INVAL)
    t.space.write(at, address[:room])
    t.space.write(length_at, len(address).to_bytes(4, "little"))


@syscall(51, owner="sockets")
def getsockname(k: Kernel, t: Thread, fd: Fd, address: Ptr, length: Ptr) -> int:
    """Store the socket's address: only its family, as it has no name.  EINVAL."""
    return _name(k, t, fd, address, length, other=0)


@syscall(52, owner="sockets")
def getpeername(k: Kernel, t: Thread, fd: Fd, address: Ptr, length: Ptr) -> int:
    """As getsockname, of the other socket.  ENOTCONN."""
    return _name(k, t, fd, address, length, other=1)


def _name(k: Kernel, t: Thread, fd: int, address: int, length: int, *, other: int) -> int:
    name = k.ipc.call(t, socket_of(k, t, fd), "name", (other,)).data
    _write_address(t, name, address, length)
    return 0


# Options ------------------------------------------------------------------------------------------


@syscall(55, owner="sockets")
def getsockopt(
    k: Kernel, t: Thread, fd: Fd, level: Int, option: Int, value: Ptr, length: Ptr
) -> int:
    """Store an option and its length.  ENOPROTOOPT; EOPNOTSUPP: not SOL_SOCKET; EINVAL."""
    handle = socket_of(k, t, fd)
    room = int.from_bytes(t.space.read(length, 4), "little", signed=True)
    if room < 0:
        raise KernelError(E.INVAL)
    if level == SOL_SOCKET and option in (SO_RCVTIMEO, SO_SNDTIMEO):
        limit = handle.receive_limit if option == SO_RCVTIMEO else handle.send_limit
        found = cycles_to_timeval(max(0, limit))[:room]
    else:
        found = k.ipc.call(t, handle, "getopt", (level, option)).data[:room]
    t.space.write(value, found)
    t.space.write(length, len(found).to_bytes(4, "little"))
    return 0


@syscall(54, owner="sockets")
def setsockopt(
    k: Kernel, t: Thread, fd: Fd, level: Int, option: Int, value: Ptr, length: Int
) -> int:
    """Set SO_SNDBUF, SO_RCVBUF, SO_PASSCRED, or how long calls wait: SO_RCVTIMEO, SO_SNDTIMEO.

    ENOPROTOOPT; EOPNOTSUPP: not SOL_SOCKET; EINVAL; EDOM: no such time.
    """
    handle = socket_of(k, t, fd)
    if length < 0:
        raise KernelError(E.INVAL)
    given = t.space.read(value, min(length, MAX_OPTION_BYTES))
    if level == SOL_SOCKET and option in (SO_RCVTIMEO, SO_SNDTIMEO):
        limit = _limit(given)
        if option == SO_RCVTIMEO:
            handle.receive_limit = limit
        else:
            handle.send_limit = limit
        return 0
    return k.ipc.call(t, handle, "setopt", (level, option), given).result


def _limit(given: bytes) -> int:
    """A struct timeval as a `Handle` has it.  EINVAL: too short; EDOM: no such time."""
    if len(given) < _TIMEVAL.size:
        raise KernelError(E.INVAL)
    seconds, microseconds = _TIMEVAL.unpack_from(given)
    if not 0 <= microseconds < 1_000_000:
        raise KernelError(E.DOM)
    if seconds < 0:
        return -1
    return timeval_to_cycles(given[: _TIMEVAL.size])
