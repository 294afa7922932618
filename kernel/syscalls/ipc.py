"""System calls for messages between programs: 1200 to 1207.

struct ipc_msg { u64 label; u64 word[6]; void *data; u64 data_bytes; u64 data_capacity;
                 i32 cap; i32 sender_pid; };
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Message, Reply
from kernel.ipc.endpoints import Endpoint
from kernel.kernel import Kernel
from kernel.syscalls.table import Fd, Long, Path, Ptr, syscall
from kernel.task.descriptors import Handle
from kernel.task.process import Thread

_LAYOUT = struct.Struct("<7QQQQii")
MAX_DATA_BYTES, MAX_NAME_BYTES = 1 << 16, 255
NO_CAP = -1


@dataclass(slots=True)
class UserMessage:
    """A struct ipc_msg in the memory of the calling program."""

    label: int
    words: tuple[int, ...]
    data_at: int
    data_bytes: int
    capacity: int
    cap: int

    @classmethod
    def read(cls, t: Thread, at: int) -> UserMessage:
        """Raises EFAULT; EINVAL: too much data."""
        fields = _LAYOUT.unpack(t.space.read(at, _LAYOUT.size))
        message = cls(
            label=fields[0],
            words=fields[1:7],
            data_at=fields[7],
            data_bytes=fields[8],
            capacity=fields[9],
            cap=fields[10],
        )
        if message.data_bytes > MAX_DATA_BYTES:
            raise KernelError(E.INVAL)
        return message

    def data(self, t: Thread) -> bytes:
        return t.space.read(self.data_at, self.data_bytes) if self.data_bytes else b""

    def caps(self, t: Thread) -> tuple[int, ...]:
        return () if self.cap == NO_CAP else (t.descriptors.get(self.cap).endpoint,)

    def store(
        self, k: Kernel, t: Thread, at: int, content: Message | Reply, *, label: int, pid: int
    ) -> None:
        """Overwrite the struct with what came; data beyond the capacity is lost.

        The descriptor is made last, after all that can fail.
        """
        t.space.write(at, t.space.read(at, _LAYOUT.size))
        data = content.data[: self.capacity]
        if data:
            t.space.write(self.data_at, data)
        words = (tuple(content.words) + (0,) * 6)[:6]
        cap = _install(k, t, content.caps[0]) if content.caps else NO_CAP
        room = (self.data_at, len(data), self.capacity)
        t.space.write(at, _LAYOUT.pack(label, *words, *room, cap, pid))


def _install(k: Kernel, t: Thread, endpoint: int) -> int:
    if endpoint not in k.ipc.endpoints:
        return NO_CAP
    return t.descriptors.add(k.ipc.endpoints[endpoint].handle)


def _endpoint(k: Kernel, t: Thread, fd: int) -> Endpoint:
    """The endpoint behind a descriptor, if the caller may receive from it."""
    endpoint = k.ipc.endpoints.get(t.descriptors.get(fd).endpoint)
    if endpoint is None or endpoint.server:
        raise KernelError(E.INVAL)
    return endpoint


def _receivable(k: Kernel, t: Thread, fd: int) -> Handle:
    handle = t.descriptors.get(fd)
    endpoint = k.ipc.endpoints.get(handle.endpoint)
    if endpoint is None:
        raise KernelError(E.PIPE)
    if endpoint.server:
        raise KernelError(E.INVAL)
    return handle


@syscall(1200)
def ipc_endpoint(k: Kernel, t: Thread) -> int:
    """Make an endpoint; returns its descriptor.  EMFILE."""
    return t.descriptors.add(k.ipc.create().handle)


@syscall(1201)
def ipc_call(k: Kernel, t: Thread, ep: Fd, msg: Ptr) -> int:
    """Send *msg and sleep until the reply, which overwrites it.

    EBADF; EINVAL: not a program's endpoint, or too much data; EPIPE: nobody can ever answer;
    EINTR; EFAULT.
    """
    handle, sent = _receivable(k, t, ep), UserMessage.read(t, msg)
    data, caps = sent.data(t), sent.caps(t)
    reply = k.ipc.call(t, handle, sent.label, words=sent.words, data=data, caps=caps)
    sent.store(k, t, msg, reply, label=reply.label, pid=0)
    return 0


@syscall(1202)
def ipc_recv(k: Kernel, t: Thread, ep: Fd, msg: Ptr) -> int:
    """Sleep until a message comes; returns the token to reply with, 0 for a one-way message."""
    return _receive(k, t, ep, msg)


def _receive(k: Kernel, t: Thread, ep: int, msg: int) -> int:
    endpoint, room = _endpoint(k, t, ep), UserMessage.read(t, msg)
    message = k.ipc.next_message(endpoint)
    assert isinstance(message.operation, int)
    room.store(k, t, msg, message, label=message.operation, pid=message.pid)
    k.ipc.take(endpoint, t.process)
    if message.one_way:
        k.ipc.reply(message.id, Reply())
        return 0
    return message.id


@syscall(1203)
def ipc_reply(k: Kernel, t: Thread, token: Long, msg: Ptr) -> int:
    """Answer the message with this token.  EINVAL: there is none; EFAULT."""
    _reply(k, t, token, msg)
    return 0


def _reply(k: Kernel, t: Thread, token: int, msg: int) -> None:
    answer = UserMessage.read(t, msg)
    if not k.ipc.owes_reply(t.process, token):
        raise KernelError(E.INVAL)
    data, caps = answer.data(t), answer.caps(t)
    k.ipc.reply(token, Reply(label=answer.label, words=answer.words, data=data, caps=caps))


@syscall(1204)
def ipc_reply_recv(k: Kernel, t: Thread, token: Long, ep: Fd, msg: Ptr) -> int:
    """Answer, then wait for the next message: what a server does in its loop."""
    call = t.current_call()
    if not call.replied:
        _reply(k, t, token, msg)
        call.replied = True
    return _receive(k, t, ep, msg)


@syscall(1205)
def ipc_send(k: Kernel, t: Thread, ep: Fd, msg: Ptr) -> int:
    """Send *msg and sleep until somebody has received it; there is no reply."""
    handle, sent = _receivable(k, t, ep), UserMessage.read(t, msg)
    data, caps = sent.data(t), sent.caps(t)
    k.ipc.call(t, handle, sent.label, words=sent.words, data=data, caps=caps, one_way=True)
    return 0


@syscall(1206, owner="names")
def ipc_publish(k: Kernel, t: Thread, name: Path, ep: Fd) -> int:
    """Give an endpoint a name.  EEXIST: it is taken; EBADF; EINVAL; ENAMETOOLONG."""
    handle = _receivable(k, t, ep)
    return k.ipc.call(
        t, k.ipc.well_known.names, "publish", data=_name(t, name), caps=(handle.endpoint,)
    ).result


@syscall(1207, owner="names")
def ipc_lookup(k: Kernel, t: Thread, name: Path) -> int:
    """A descriptor for the endpoint with this name.  ENOENT; EMFILE."""
    reply = k.ipc.call(t, k.ipc.well_known.names, "lookup", data=_name(t, name))
    fd = _install(k, t, reply.caps[0])
    if fd == NO_CAP:
        raise KernelError(E.NOENT)
    return fd


def _name(t: Thread, at: int) -> bytes:
    name = t.space.read_string(at, MAX_NAME_BYTES)
    if not name:
        raise KernelError(E.INVAL)
    return name
