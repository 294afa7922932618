"""How bytes move between a program's memory and the server behind a descriptor.

One rule keeps bytes from being lost: the server gives away, or takes, only what the program's
memory can move.  A read says how many bytes the caller wants and for how many there is room; a
write says how many it wants to write and carries those that could be read.  The server decides what
that means for it: a file moves the good part, a pipe moves whole slots.  A long transfer to or from
a file goes in chunks, so the call moves all of it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Reply
from kernel.abi.nodes import O_APPEND, S_IFMT, S_IFREG, Stat
from kernel.ipc import paths
from kernel.kernel import Kernel
from kernel.task import limits
from kernel.task.descriptors import Handle
from kernel.task.process import Signal, Thread
from kernel.wait import signals

CHUNK_BYTES, MAX_VECTORS = 1 << 20, 1024
MAX_TRANSFER_BYTES = 0x7FFF_F000
"""What one call moves at most (read(2), MAX_RW_COUNT)."""
MAX_OFFSET = (1 << 63) - 1
_VECTOR = struct.Struct("<QQ")


@dataclass(slots=True)
class Buffers:
    """Where the bytes of one call lie in the caller's memory: (address, bytes) of each buffer,
    and how many bytes they have together."""

    parts: tuple[tuple[int, int], ...]
    size_bytes: int

    def window(self, start: int, size_bytes: int) -> Buffers:
        """At most `size_bytes` of them from byte `start` on."""
        if not start and size_bytes >= self.size_bytes:
            return self
        found, size_bytes = [], min(size_bytes, self.size_bytes - start)
        window_bytes = size_bytes
        for base, length in self.parts:
            piece = min(length - start, size_bytes)
            if piece > 0:
                found.append((base + start, piece))
                size_bytes -= piece
            start = max(0, start - length)
        return Buffers(tuple(found), window_bytes)

    def room(self, t: Thread) -> int:
        """How many bytes they can take before the first bad page."""
        total = 0
        for base, size in self.parts:
            room = t.space.room(base, size)
            total += room
            if room < size:
                break
        return total

    def gather(self, t: Thread) -> bytes:
        """The bytes before the first bad page."""
        found = []
        for base, size in self.parts:
            found.append(t.space.read_most(base, size))
            if len(found[-1]) < size:
                break
        return b"".join(found)

    def scatter(self, t: Thread, data: bytes) -> None:
        """Fill them, one after the other, with at most as many bytes as they have room for."""
        done = 0
        for base, size in self.parts:
            if done < len(data):
                t.space.write(base, data[done : done + size])
            done += size


def buffer(t: Thread, at: int, size_bytes: int) -> Buffers:
    """One buffer, as far as one call moves bytes.  Raises EFAULT outside user memory."""
    t.space.check_range(at, size_bytes)
    size_bytes = min(size_bytes, MAX_TRANSFER_BYTES)
    return Buffers(((at, size_bytes),), size_bytes)


def vectors(t: Thread, at: int, count: int) -> Buffers:
    """An array of struct iovec, as far as one call moves bytes.  Raises EINVAL, EFAULT."""
    found, room = [], MAX_TRANSFER_BYTES
    for base, size in vector_array(t, at, count):
        t.space.check_range(base, size)
        found.append((base, min(size, room)))
        room -= found[-1][1]
    return Buffers(tuple(found), MAX_TRANSFER_BYTES - room)


def vector_array(t: Thread, at: int, count: int) -> tuple[tuple[int, int], ...]:
    """Address and bytes of each struct iovec of an array, wherever they lead.

    Raises EINVAL for too many and for a length that is negative as a long, EFAULT.
    """
    if not 0 <= count <= MAX_VECTORS:
        raise KernelError(E.INVAL)
    found = tuple(_VECTOR.iter_unpack(t.space.read(at, _VECTOR.size * count)))
    if any(size > MAX_OFFSET for _, size in found):
        raise KernelError(E.INVAL)
    return found


def ask(
    k: Kernel,
    t: Thread,
    handle: Handle,
    operation: str,
    *,
    words: tuple[int, ...] = (),
    data: bytes = b"",
) -> Reply:
    """Ask the server behind `handle`.  If it answers -EAGAIN and the descriptor blocks, wait."""
    if not k.ipc.serves_files(handle):
        raise KernelError(E.INVAL)
    try:
        return k.ipc.call(t, handle, operation, words, data)
    except KernelError as error:
        if error.number != E.AGAIN or not handle.blocks:
            raise
        raise k.ready.wait_for(handle) from error


def take(k: Kernel, t: Thread, handle: Handle, buffers: Buffers, offset: int | None = None) -> int:
    """Read into buffers.  Without `offset` it reads at the file offset, which moves by the bytes
    that arrived."""
    start, done, total = handle.offset if offset is None else offset, 0, buffers.size_bytes
    while True:
        chunk = buffers.window(done, CHUNK_BYTES)
        wanted = chunk.size_bytes
        try:
            words = wanted, start + done, chunk.room(t)
            data = ask(k, t, handle, "read", words=words).data
            chunk.scatter(t, data)
        except KernelError:
            if not done:
                raise
            break
        done += len(data)
        if len(data) < wanted or done == total or not handle.seekable:
            break
    if handle.seekable and offset is None:
        handle.offset += done
    return done


def put(k: Kernel, t: Thread, handle: Handle, buffers: Buffers, offset: int | None = None) -> int:
    """Write all of the buffers, or what a non-blocking descriptor takes; returns how many bytes.

    Without `offset` it writes at the file offset, which moves.  SIGPIPE comes with EPIPE.
    """
    call, total = t.current_call(), within_limit(k, t, handle, buffers.size_bytes, offset)
    while True:
        chunk = buffers.window(call.done, min(CHUNK_BYTES, total - call.done))
        at = handle.offset if offset is None else offset + call.done
        try:
            reply = push(k, t, handle, chunk.gather(t), wanted=chunk.size_bytes, at=at)
        except KernelError:
            if call.done:
                return call.done
            raise
        call.done += reply.result
        if handle.seekable and offset is None:
            handle.offset = reply.words[0]
        if call.done >= total or (reply.result < chunk.size_bytes and not handle.blocks):
            return call.done


def push(k: Kernel, t: Thread, handle: Handle, data: bytes, *, wanted: int, at: int) -> Reply:
    """One message with bytes to write, which are fewer than `wanted` if the rest is not readable.

    The reply says how many the server took and, for a file, the offset behind them.
    """
    words = -1 if handle.flags & O_APPEND else at, wanted
    try:
        return ask(k, t, handle, "write", words=words, data=data)
    except KernelError as error:
        if error.number == E.PIPE:
            signals.send(k.tasks, t.process, Signal(signals.SIGPIPE, signals.SI_USER), t)
        raise


def within_limit(k: Kernel, t: Thread, handle: Handle, wanted: int, offset: int | None) -> int:
    """How many of the bytes RLIMIT_FSIZE lets a call write.  Raises EFBIG if that is none."""
    if limits.FSIZE not in t.process.limits or not handle.seekable:
        return wanted
    status_now = status(k, t, handle)
    start = handle.offset if offset is None else offset
    if handle.flags & O_APPEND:
        start = status_now.size_bytes
    limit = limits.soft(t.process, limits.FSIZE)
    if status_now.mode & S_IFMT != S_IFREG or start + wanted <= limit:
        return wanted
    if start >= limit:
        raise too_large(k, t)
    return limit - start


def status(k: Kernel, t: Thread, handle: Handle) -> Stat:
    """What is known of an open file."""
    reply, _ = paths.send(k.ipc, t, handle, b"", "stat", words=(0,))
    return Stat(*reply.words)


def too_large(k: Kernel, t: Thread) -> KernelError:
    """The error to raise for a file beyond RLIMIT_FSIZE; sends SIGXFSZ too."""
    signals.send(k.tasks, t.process, Signal(signals.SIGXFSZ, signals.SI_USER), t)
    return KernelError(E.FBIG)
