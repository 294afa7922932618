"""How messages move between a program's memory and a socket: send(2), recv(2).

`kernel.syscalls.transfer` moves the bytes of other files.  The same rule holds here: the server
gives away, or takes, only what the program's memory can move.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Reply
from kernel.abi.nodes import O_PATH
from kernel.abi.sockets import (
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_OOB,
    MSG_PEEK,
    MSG_TRUNC,
    MSG_WAITALL,
    SO_TYPE,
    SOCK_STREAM,
    SOL_SOCKET,
    Identity,
)
from kernel.kernel import Kernel
from kernel.syscalls.control import Control, Room
from kernel.syscalls.transfer import CHUNK_BYTES, Buffers
from kernel.task import limits
from kernel.task.descriptors import Handle
from kernel.task.process import Signal, Thread
from kernel.wait import signals

NOTHING = Control()


def is_socket(k: Kernel, handle: Handle) -> bool:
    """Is there a socket behind it?"""
    return handle.endpoint == k.ipc.well_known.sockets.endpoint


def socket_of(k: Kernel, t: Thread, fd: int) -> Handle:
    """The socket behind a descriptor.  Raises EBADF, ENOTSOCK."""
    handle = t.descriptors.get(fd)
    if handle.flags & O_PATH:
        raise KernelError(E.BADF)
    if not is_socket(k, handle):
        raise KernelError(E.NOTSOCK)
    return handle


def kind_of(k: Kernel, t: Thread, handle: Handle) -> int:
    """SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET."""
    value = k.ipc.call(t, handle, "getopt", (SOL_SOCKET, SO_TYPE)).data
    return int.from_bytes(value, "little")


def _is_over(k: Kernel, t: Thread, limit: int) -> bool:
    """Is the time to wait over?  The first time sets the alarm."""
    call = t.current_call()
    if limit > 0 and call.deadline is None:
        k.alarms.wake(t, k.tasks.now() + limit)
    return limit < 0 or (call.deadline is not None and k.tasks.now() >= call.deadline)


# Sending ------------------------------------------------------------------------------------------


def send(
    k: Kernel,
    t: Thread,
    handle: Handle,
    buffers: Buffers,
    flags: int = 0,
    control: Control = NOTHING,
) -> int:
    """Send all of the buffers, or of a stream what a call that may not wait can.

    EPIPE, of a stream with SIGPIPE; EAGAIN; EMSGSIZE; EFAULT; ENOTCONN; ECONNREFUSED; ECONNRESET;
    ETOOMANYREFS: too many descriptors in flight; EOPNOTSUPP: MSG_OOB.
    """
    call, total = t.current_call(), buffers.size_bytes
    waits = handle.blocks and not flags & MSG_DONTWAIT
    if flags & MSG_OOB:
        raise KernelError(E.OPNOTSUPP)
    if control.handles and not call.done:
        _check_in_flight(k, t)
    while True:
        chunk = buffers.window(call.done, CHUNK_BYTES)
        try:
            reply = _send_once(k, t, handle, chunk.gather(t), total - call.done, control)
        except KernelError as error:
            if error.number == E.AGAIN and waits and not _is_over(k, t, handle.send_limit):
                raise k.ready.wait_for(handle) from error
            if call.done:
                return call.done
            if error.number == E.PIPE and not flags & MSG_NOSIGNAL:
                _signal_pipe(k, t, handle)
            raise
        call.done += reply.result
        call.deadline = None  # the time to wait begins anew
        if call.done >= total or not waits:
            return call.done


def _send_once(
    k: Kernel, t: Thread, handle: Handle, data: bytes, count: int, control: Control
) -> Reply:
    """One message to the server; the first of a call has the descriptors, which travel then."""
    parcels, who = k.ipc.parcels, t.process.credentials
    with_handles = bool(control.handles) and not t.current_call().done
    reply = k.ipc.call(
        t,
        handle,
        "send",
        words=(count, *control.identity),
        data=data,
        caps=(parcels.next_id(),) if with_handles else (),
        as_ids=(who.real_uid, who.real_gid),
    )
    if with_handles and reply.words:
        receiver = handle.endpoint, reply.words[0]
        parcels.send(control.handles, receiver, who.real_uid)
    return reply


def _check_in_flight(k: Kernel, t: Thread) -> None:
    """ETOOMANYREFS: the user has more descriptors in flight than it may have open (unix(7))."""
    who = t.process.credentials
    flying = k.ipc.parcels.users.get(who.real_uid, 0)
    if flying > limits.soft(t.process, limits.NOFILE) and not who.is_root:
        raise KernelError(E.TOOMANYREFS)


def _signal_pipe(k: Kernel, t: Thread, handle: Handle) -> None:
    """Linux sends SIGPIPE for streams only."""
    if kind_of(k, t, handle) == SOCK_STREAM:
        signals.send(k.tasks, t.process, Signal(signals.SIGPIPE, signals.SI_USER), t)


# Receiving ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Arrived:
    """What a receive has got, its bytes excepted: those are in the caller's memory."""

    length: int
    flags: int = 0
    stream: bool = False
    """More of the stream can follow in the same buffers."""
    identity: Identity | None = None
    """Who sent, if the socket tells that."""
    handles: tuple[Handle, ...] = ()
    """Descriptors that came along, each held for this call."""


def receive(k: Kernel, t: Thread, handle: Handle, buffers: Buffers, flags: int = 0) -> int:
    """Receive bytes; descriptors that come along are lost.  As `receive_all`."""
    arrived = receive_all(k, t, handle, buffers, flags)
    _close(k, arrived.handles)
    return arrived.length


def receive_message(
    k: Kernel, t: Thread, handle: Handle, buffers: Buffers, flags: int, room: Room
) -> int:
    """Receive bytes and what came along, for which there is `room`.  As `receive_all`."""
    arrived = receive_all(k, t, handle, buffers, flags)
    room.flags |= arrived.flags
    try:
        if arrived.identity is not None:
            room.put_identity(t, arrived.identity)
        if arrived.handles:
            room.put_handles(t, arrived.handles)
    finally:
        _close(k, arrived.handles)
    return arrived.length


def _close(k: Kernel, handles: tuple[Handle, ...]) -> None:
    for handle in handles:
        k.ipc.close(handle)


def receive_all(k: Kernel, t: Thread, handle: Handle, buffers: Buffers, flags: int) -> Arrived:
    """Receive a message, or of a stream what is there, with MSG_WAITALL all that was asked for.

    The caller closes the handles.  EAGAIN; EFAULT; EINTR; ECONNRESET; EINVAL, EOPNOTSUPP: MSG_OOB.
    """
    call, total = t.current_call(), buffers.size_bytes
    if flags & MSG_OOB:
        stream = kind_of(k, t, handle) == SOCK_STREAM
        raise KernelError(E.INVAL if stream else E.OPNOTSUPP)
    waits = handle.blocks and not flags & MSG_DONTWAIT
    while True:
        window = buffers.window(call.done, total)
        try:
            arrived = _receive_once(k, t, handle, window, flags | (0 if waits else MSG_DONTWAIT))
        except KernelError as error:
            if error.number == E.AGAIN and waits and not _is_over(k, t, handle.receive_limit):
                raise k.ready.wait_for(handle) from error
            if not call.done:
                raise
            return Arrived(call.done, identity=Identity(*call.told) if call.told else None)
        call.done += arrived.length
        ends = arrived.handles or not arrived.length or call.done >= total or not arrived.stream
        if ends or not flags & MSG_WAITALL or flags & MSG_PEEK:
            arrived.length = call.done
            return arrived
        call.told = arrived.identity or ()


def _receive_once(k: Kernel, t: Thread, handle: Handle, window: Buffers, flags: int) -> Arrived:
    """One message to the server, and its bytes in the caller's memory."""
    told = t.current_call().told
    words = (window.size_bytes, window.room(t), flags, *told)
    reply = k.ipc.call(t, handle, "receive", words=words)
    state, stream, tells, *identity = reply.words
    parcels = k.ipc.parcels
    handles: tuple[Handle, ...] = ()
    if reply.caps:
        handles = (parcels.look if flags & MSG_PEEK else parcels.take)(reply.caps[0])
    try:
        window.scatter(t, reply.data)
    except KernelError:
        _close(k, handles)
        raise
    return Arrived(
        length=reply.result if flags & MSG_TRUNC else len(reply.data),
        flags=state,
        stream=bool(stream),
        identity=Identity(*identity) if tells else None,
        handles=handles,
    )
