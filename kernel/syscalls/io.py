"""System calls that move bytes: through a descriptor to the server behind it, and back."""

from __future__ import annotations

import struct
from collections.abc import Callable

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Reply
from kernel.abi.nodes import O_ACCMODE, O_APPEND, O_PATH, O_WRONLY, S_IFMT, S_IFREG, Stat
from kernel.ipc import paths
from kernel.kernel import Kernel
from kernel.syscalls import Fd, Flags, Int, Long, Ptr, Size, syscall
from kernel.task import limits
from kernel.task.process import Handle, Signal, Thread
from kernel.wait import signals

MAX_TRANSFER_BYTES, MAX_VECTORS = 1 << 20, 1024
MAX_OFFSET = (1 << 63) - 1
SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE = range(5)
SENDFILE_BYTES = 1 << 16
_VECTOR = struct.Struct("<QQ")

FIONREAD, FIONBIO, FIONCLEX, FIOCLEX = 0x541B, 0x5421, 0x5450, 0x5451
TERMIOS_BYTES = 36
IOCTLS = {
    0x5401: (0, TERMIOS_BYTES),  # TCGETS
    0x5402: (TERMIOS_BYTES, 0), 0x5403: (TERMIOS_BYTES, 0), 0x5404: (TERMIOS_BYTES, 0),  # TCSETS*
    0x5409: (0, 0), 0x540A: (0, 0), 0x540B: (0, 0),  # TCSBRK, TCXONC, TCFLSH
    0x540E: (0, 0), 0x540F: (0, 4), 0x5410: (4, 0),  # TIOCSCTTY, TIOCGPGRP, TIOCSPGRP
    0x5413: (0, 8), 0x5414: (8, 0),  # TIOCGWINSZ, TIOCSWINSZ
    0x5422: (0, 0), 0x5429: (0, 4),  # TIOCNOTTY, TIOCGSID
    0x5411: (0, 4), FIONREAD: (0, 4),  # TIOCOUTQ
}  # fmt: skip
"""Bytes that a request reads and writes at its argument (ioctl_tty(2)); unknown ones: ENOTTY."""


def ask(
    k: Kernel,
    t: Thread,
    handle: Handle,
    operation: str,
    words: tuple[int, ...] = (),
    data: bytes = b"",
) -> Reply:
    """A message to the server behind `handle`; waits if need be and the descriptor allows it."""
    if not k.ipc.serves_files(handle):
        raise KernelError(E.INVAL)
    try:
        return k.ipc.call(t, handle, operation, words, data)
    except KernelError as error:
        if error.number != E.AGAIN or not handle.blocks:
            raise
        raise k.ready.wait_for(handle) from error


def readable(t: Thread, fd: int) -> Handle:
    """Raises EBADF if it is not open for reading."""
    handle = t.process.descriptors.get(fd)
    if handle.flags & O_PATH or handle.flags & O_ACCMODE == O_WRONLY:
        raise KernelError(E.BADF)
    return handle


def writable(t: Thread, fd: int) -> Handle:
    """Raises EBADF if it is not open for writing."""
    handle = t.process.descriptors.get(fd)
    if handle.flags & O_PATH or not handle.flags & O_ACCMODE:
        raise KernelError(E.BADF)
    return handle


def take(k: Kernel, t: Thread, handle: Handle, parts: list[tuple[int, int]]) -> int:
    """Read at the file offset into buffers; it moves on once the bytes have arrived."""
    room = min(sum(size for _, size in parts), MAX_TRANSFER_BYTES)
    data = ask(k, t, handle, "read", (room, handle.offset)).data
    done = scatter(t, parts, data)
    if handle.seekable:
        handle.offset += done
    return done


def put(k: Kernel, t: Thread, handle: Handle, data: bytes, offset: int | None = None) -> int:
    """Write all of `data`, or what a non-blocking descriptor takes; returns how much.

    At `offset`, or at the file offset, which then moves on.  EPIPE comes with SIGPIPE.
    """
    call = k.traps.current_call(t)
    if limits.FSIZE in t.process.limits and handle.seekable:
        data = _within_limit(k, t, handle, data, offset)
    while True:
        at = handle.offset if offset is None else offset + call.done
        if handle.flags & O_APPEND:
            at = -1
        try:
            reply = ask(k, t, handle, "write", (at,), data[call.done :])
        except KernelError as error:
            if call.done:
                return call.done
            if error.number == E.PIPE:
                signals.send(k, t.process, Signal(signals.SIGPIPE, signals.SI_USER), t)
            raise
        call.done += reply.result
        if handle.seekable and offset is None:
            handle.offset = reply.words[0]
        if call.done >= len(data) or not handle.blocks:
            return call.done


def _within_limit(k: Kernel, t: Thread, handle: Handle, data: bytes, offset: int | None) -> bytes:
    """What RLIMIT_FSIZE lets through of a write.  Raises EFBIG if that is nothing."""
    status = Stat(*paths.send(k, t, handle, b"", "stat", (0,))[0].words)
    start = handle.offset if offset is None else offset
    if handle.flags & O_APPEND:
        start = status.size_bytes
    limit = limits.soft(t.process, limits.FSIZE)
    if status.mode & S_IFMT != S_IFREG or start + len(data) <= limit:
        return data
    if start >= limit:
        raise too_large(k, t)
    return data[: limit - start]


def too_large(k: Kernel, t: Thread) -> KernelError:
    """To raise where a file would become larger than RLIMIT_FSIZE; SIGXFSZ comes with it."""
    signals.send(k, t.process, Signal(signals.SIGXFSZ, signals.SI_USER), t)
    return KernelError(E.FBIG)


def vectors(t: Thread, at: int, count: int) -> list[tuple[int, int]]:
    """An array of struct iovec, cut off at what one call moves.  Raises EINVAL, EFAULT."""
    if not 0 <= count <= MAX_VECTORS:
        raise KernelError(E.INVAL)
    found, room = [], MAX_TRANSFER_BYTES
    for base, size in _VECTOR.iter_unpack(t.space.read(at, _VECTOR.size * count)):
        if size > MAX_OFFSET:
            raise KernelError(E.INVAL)
        found.append((base, min(size, room)))
        room -= found[-1][1]
    return found


def gather(t: Thread, parts: list[tuple[int, int]]) -> bytes:
    """What the buffers hold, up to one that cannot be read.  Raises EFAULT if that is the first."""
    found = b""
    for base, size in parts:
        try:
            found += t.space.read(base, size) if size else b""
        except KernelError:
            if not found:
                raise
            break
    return found


def scatter(t: Thread, parts: list[tuple[int, int]], data: bytes) -> int:
    """Fill the buffers, up to one that cannot be written.  Raises EFAULT if that is the first."""
    done = 0
    for base, size in parts:
        piece = data[done : done + size]
        try:
            if piece:
                t.space.write(base, piece)
        except KernelError:
            if not done:
                raise
            break
        done += len(piece)
    return done


def _at(t: Thread, open_for: Callable[[Thread, int], Handle], fd: int, offset: int) -> Handle:
    """A file that is open for reading or writing at `offset`."""
    if offset < 0:
        raise KernelError(E.INVAL)
    handle = open_for(t, fd)
    if not handle.seekable:
        raise KernelError(E.SPIPE)
    return handle


@syscall(0, owner="files")
def read(k: Kernel, t: Thread, fd: Fd, buf: Ptr, count: Size) -> int:
    """Read up to `count` bytes; 0 at the end.  EBADF; EFAULT; EINTR; EAGAIN; EISDIR; EINVAL."""
    return take(k, t, readable(t, fd), [(buf, count)])


@syscall(1, owner="files")
def write(k: Kernel, t: Thread, fd: Fd, buf: Ptr, count: Size) -> int:
    """Write up to `count` bytes; returns how many.

    EBADF; EFAULT; EINTR; EAGAIN; EPIPE, with SIGPIPE; ENOSPC; EFBIG; EINVAL.
    """
    handle = writable(t, fd)
    return put(k, t, handle, t.space.read(buf, min(count, MAX_TRANSFER_BYTES)))


@syscall(17, owner="files")
def pread64(k: Kernel, t: Thread, fd: Fd, buf: Ptr, count: Size, offset: Long) -> int:
    """Read at `offset`; the file offset stays.  ESPIPE: not a file; EINVAL: negative."""
    handle = _at(t, readable, fd, offset)
    data = ask(k, t, handle, "read", (min(count, MAX_TRANSFER_BYTES), offset)).data
    t.space.write(buf, data)
    return len(data)


@syscall(18, owner="files")
def pwrite64(k: Kernel, t: Thread, fd: Fd, buf: Ptr, count: Size, offset: Long) -> int:
    """Write at `offset`, or at the end under O_APPEND; the file offset stays.  ESPIPE; EINVAL."""
    handle = _at(t, writable, fd, offset)
    return put(k, t, handle, t.space.read(buf, min(count, MAX_TRANSFER_BYTES)), offset)


@syscall(19, owner="files")
def readv(k: Kernel, t: Thread, fd: Fd, iov: Ptr, count: Int) -> int:
    """Read into several buffers, one after the other.  As read; EINVAL: too many."""
    handle, parts = readable(t, fd), vectors(t, iov, count)
    return take(k, t, handle, parts)


@syscall(20, owner="files")
def writev(k: Kernel, t: Thread, fd: Fd, iov: Ptr, count: Int) -> int:
    """Write several buffers as if they were one.  As write; EINVAL: too many."""
    handle = writable(t, fd)
    return put(k, t, handle, gather(t, vectors(t, iov, count)))


@syscall(295, owner="files")
def preadv(k: Kernel, t: Thread, fd: Fd, iov: Ptr, count: Int, offset: Long) -> int:
    """Read into several buffers from `offset` on.  As pread64."""
    handle, parts = _at(t, readable, fd, offset), vectors(t, iov, count)
    room = sum(size for _, size in parts)
    return scatter(t, parts, ask(k, t, handle, "read", (room, offset)).data)


@syscall(296, owner="files")
def pwritev(k: Kernel, t: Thread, fd: Fd, iov: Ptr, count: Int, offset: Long) -> int:
    """Write several buffers at `offset`.  As pwrite64."""
    handle = _at(t, writable, fd, offset)
    return put(k, t, handle, gather(t, vectors(t, iov, count)), offset)


@syscall(40, owner="files")
def sendfile(k: Kernel, t: Thread, out: Fd, source: Fd, offset: Ptr, count: Size) -> int:
    """Copy from a file to any descriptor; `offset` is where, and stands for the file offset.

    EBADF; EINVAL: the source is not a file; as read and write.
    """
    target, handle = writable(t, out), readable(t, source)
    if not handle.seekable or target.flags & O_APPEND:
        raise KernelError(E.INVAL)
    start = t.space.read_u64(offset) if offset else handle.offset
    if start > MAX_OFFSET:
        raise KernelError(E.INVAL)
    data = ask(k, t, handle, "read", (min(count, SENDFILE_BYTES), start)).data
    done = put(k, t, target, data) if data else 0
    if offset:
        t.space.write(offset, (start + done).to_bytes(8, "little"))
    else:
        handle.offset = start + done
    return done


@syscall(8, owner="files")
def lseek(k: Kernel, t: Thread, fd: Fd, offset: Long, whence: Int) -> int:
    """Move the file offset; returns it.  EBADF; ESPIPE: a stream; EINVAL; ENXIO: behind the end."""
    handle = t.process.descriptors.get(fd)
    if handle.flags & O_PATH:
        raise KernelError(E.BADF)
    if not handle.seekable:
        raise KernelError(E.SPIPE)
    target = offset
    if whence == SEEK_CUR:
        target += handle.offset
    elif whence != SEEK_SET:
        target = _from_the_end(k, t, handle, offset, whence)
    if not 0 <= target <= MAX_OFFSET:
        raise KernelError(E.INVAL)
    handle.offset = target
    return target


def _from_the_end(k: Kernel, t: Thread, handle: Handle, offset: int, whence: int) -> int:
    """A file is all data, with a hole behind it."""
    if not SEEK_END <= whence <= SEEK_HOLE:
        raise KernelError(E.INVAL)
    reply, _ = paths.send(k, t, handle, b"", "stat", (0,))
    size = Stat(*reply.words).size_bytes
    if whence == SEEK_END:
        return size + offset
    if not 0 <= offset < size:
        raise KernelError(E.NXIO)
    return offset if whence == SEEK_DATA else size


@syscall(16, owner="files")
def ioctl(k: Kernel, t: Thread, fd: Fd, request: Flags, arg: Ptr) -> int:
    """Ask for what only some devices can.  EBADF; ENOTTY: it cannot do that; EFAULT; EINVAL."""
    handle = t.process.descriptors.get(fd)
    if handle.flags & O_PATH:
        raise KernelError(E.BADF)
    if request in (FIOCLEX, FIONCLEX):
        t.process.descriptors.mark(fd, closes_on_exec=request == FIOCLEX)
        return 0
    if request == FIONBIO:
        handle.set_blocking(blocks=not t.space.read_u32(arg))
        return 0
    if request not in IOCTLS:
        raise KernelError(E.NOTTY)
    given, _ = IOCTLS[request]
    data = t.space.read(arg, given) if given else b""
    reply = ask(k, t, handle, "ioctl", (request, arg), data)
    if reply.data:
        t.space.write(arg, reply.data)
    return reply.result


@syscall(74, owner="files")
def fsync(k: Kernel, t: Thread, fd: Fd) -> int:
    """Files are in memory: there is nothing to wait for.  EBADF; EINVAL: a stream."""
    if not t.process.descriptors.get(fd).seekable:
        raise KernelError(E.INVAL)
    return 0


@syscall(75, owner="files")
def fdatasync(k: Kernel, t: Thread, fd: Fd) -> int:
    """As fsync."""
    return fsync(k, t, fd)


@syscall(162)
def sync(k: Kernel, t: Thread) -> int:
    """As fsync, for everything."""
    return 0


@syscall(221, owner="files")
def fadvise64(k: Kernel, t: Thread, fd: Fd, offset: Long, length: Long, advice: Int) -> int:
    """Take advice on a file, which changes nothing here.  EBADF; ESPIPE; EINVAL."""
    handle = t.process.descriptors.get(fd)
    if not handle.seekable:
        raise KernelError(E.SPIPE)
    if not 0 <= advice <= 5 or length < 0:
        raise KernelError(E.INVAL)
    return 0
