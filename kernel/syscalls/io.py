"""System calls that move bytes: through a descriptor to the server behind it, and back."""

from __future__ import annotations

from collections.abc import Callable

from kernel.abi import ioctls
from kernel.abi.errno import E, KernelError
from kernel.abi.nodes import O_ACCMODE, O_APPEND, O_PATH, O_WRONLY
from kernel.kernel import Kernel
from kernel.syscalls import messages, userfault
from kernel.syscalls.messages import is_socket
from kernel.syscalls.table import Fd, Flags, Int, Long, Ptr, Size, syscall
from kernel.syscalls.transfer import (
    CHUNK_BYTES,
    MAX_OFFSET,
    MAX_TRANSFER_BYTES,
    Buffers,
    ask,
    buffer,
    push,
    put,
    status,
    take,
    vectors,
    within_limit,
)
from kernel.task.descriptors import Handle
from kernel.task.process import Thread
from kernel.wait.ready import Epoll
from kernel.wait.userfault import UserFault

SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE = range(5)


def readable(t: Thread, fd: int) -> Handle:
    """Raises EBADF if it is not open for reading."""
    handle = t.descriptors.get(fd)
    if handle.flags & O_PATH or handle.flags & O_ACCMODE == O_WRONLY:
        raise KernelError(E.BADF)
    return handle


def writable(t: Thread, fd: int) -> Handle:
    """Raises EBADF if it is not open for writing."""
    handle = t.descriptors.get(fd)
    if handle.flags & O_PATH or not handle.flags & O_ACCMODE:
        raise KernelError(E.BADF)
    return handle


def _at(t: Thread, open_for: Callable[[Thread, int], Handle], fd: int, offset: int) -> Handle:
    """A descriptor with an offset, open for reading or writing.  Raises EBADF, EINVAL, ESPIPE."""
    if offset < 0:
        raise KernelError(E.INVAL)
    handle = open_for(t, fd)
    if not handle.seekable:
        raise KernelError(E.SPIPE)
    return handle


@syscall(0, owner="files", restarts_timed=False)
def read(k: Kernel, t: Thread, fd: Fd, buf: Ptr, count: Size) -> int:
    """Read up to `count` bytes; 0 at the end.  EBADF; EFAULT; EINTR; EAGAIN; EISDIR; EINVAL."""
    return _read(k, t, readable(t, fd), buffer(t, buf, count))


@syscall(1, owner="files", restarts_timed=False)
def write(k: Kernel, t: Thread, fd: Fd, buf: Ptr, count: Size) -> int:
    """Write up to `count` bytes; returns how many.

    EBADF; EFAULT; EINTR; EAGAIN; EPIPE, with SIGPIPE; ENOSPC; EFBIG; EINVAL.
    """
    handle, source = writable(t, fd), buffer(t, buf, count)
    return (
        messages.send(k, t, handle, source) if is_socket(k, handle) else put(k, t, handle, source)
    )


@syscall(17, owner="files")
def pread64(k: Kernel, t: Thread, fd: Fd, buf: Ptr, count: Size, offset: Long) -> int:
    """Read at `offset`; the file offset stays.  ESPIPE: not a file; EINVAL: negative."""
    handle = _at(t, readable, fd, offset)
    return take(k, t, handle, buffer(t, buf, count), offset)


@syscall(18, owner="files")
def pwrite64(k: Kernel, t: Thread, fd: Fd, buf: Ptr, count: Size, offset: Long) -> int:
    """Write at `offset`, or at the end under O_APPEND; the file offset stays.  ESPIPE; EINVAL."""
    handle = _at(t, writable, fd, offset)
    return put(k, t, handle, buffer(t, buf, count), offset)


@syscall(19, owner="files", restarts_timed=False)
def readv(k: Kernel, t: Thread, fd: Fd, iov: Ptr, count: Int) -> int:
    """Read into several buffers, one after the other.  As read; EINVAL: too many."""
    return _read(k, t, readable(t, fd), vectors(t, iov, count))


def _read(k: Kernel, t: Thread, handle: Handle, buffers: Buffers) -> int:
    """From a socket, nothing is nothing at once, and not an empty message."""
    if isinstance(handle, UserFault):
        return userfault.read_faults(k, t, handle, buffers)
    if not is_socket(k, handle):
        return take(k, t, handle, buffers)
    return messages.receive(k, t, handle, buffers) if buffers.size_bytes else 0


@syscall(20, owner="files", restarts_timed=False)
def writev(k: Kernel, t: Thread, fd: Fd, iov: Ptr, count: Int) -> int:
    """Write several buffers as if they were one.  As write; EINVAL: too many."""
    handle, source = writable(t, fd), vectors(t, iov, count)
    if not is_socket(k, handle):
        return put(k, t, handle, source)
    return messages.send(k, t, handle, source) if source.size_bytes else 0


@syscall(295, owner="files")
def preadv(k: Kernel, t: Thread, fd: Fd, iov: Ptr, count: Int, offset: Long) -> int:
    """Read into several buffers from `offset` on.  As pread64."""
    handle = _at(t, readable, fd, offset)
    return take(k, t, handle, vectors(t, iov, count), offset)


@syscall(296, owner="files")
def pwritev(k: Kernel, t: Thread, fd: Fd, iov: Ptr, count: Int, offset: Long) -> int:
    """Write several buffers at `offset`.  As pwrite64."""
    handle = _at(t, writable, fd, offset)
    return put(k, t, handle, vectors(t, iov, count), offset)


@syscall(40, owner="files")
def sendfile(k: Kernel, t: Thread, out: Fd, source: Fd, offset: Ptr, count: Size) -> int:
    """Copy from a file to any descriptor; *offset, if given, is used instead of the file offset.

    EBADF; EINVAL: the source is not a file; EFAULT: *offset cannot be stored to; as read and write.
    """
    target, handle = writable(t, out), readable(t, source)
    if not handle.seekable or target.flags & O_APPEND:
        raise KernelError(E.INVAL)
    if offset:
        start = t.space.read(offset, 8)
        if int.from_bytes(start, "little") > MAX_OFFSET:
            raise KernelError(E.INVAL)
        t.space.write(offset, start)  # if that cannot be, nothing has moved yet
    call, total = t.current_call(), min(count, MAX_TRANSFER_BYTES)
    total = within_limit(k, t, target, total, None)
    while call.done < total:
        try:
            sent, given = _send_chunk(k, t, target, handle, offset, total - call.done)
        except KernelError:
            if call.done:
                break
            raise
        call.done += sent
        if not given or (sent < given and not target.blocks):
            break
    return call.done


def _send_chunk(
    k: Kernel, t: Thread, target: Handle, source: Handle, pointer: int, count: int
) -> tuple[int, int]:
    """How many bytes the target took, and how many it was given.  The source's offset, or the one
    at `pointer`, moves at once: a call that a signal interrupts has moved it too."""
    at = t.space.read_u64(pointer) if pointer else source.offset
    size = min(count, CHUNK_BYTES)
    data = ask(k, t, source, "read", words=(size, at, size)).data
    if not data:
        return 0, 0
    reply = push(k, t, target, data, wanted=len(data), at=target.offset)
    if target.seekable:
        target.offset = reply.words[0]
    if pointer:
        t.space.write(pointer, (at + reply.result).to_bytes(8, "little"))
    else:
        source.offset = at + reply.result
    return reply.result, len(data)


@syscall(8, owner="files")
def lseek(k: Kernel, t: Thread, fd: Fd, offset: Long, whence: Int) -> int:
    """Move the file offset; returns it.  EBADF; ESPIPE: a stream; EINVAL; ENXIO: behind the end."""
    handle = t.descriptors.get(fd)
    if handle.flags & O_PATH:
        raise KernelError(E.BADF)
    if isinstance(handle, Epoll | UserFault):
        return 0  # as on Linux, where they have no offset to move
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
    """Where SEEK_END, SEEK_DATA or SEEK_HOLE leads: a file is all data, with a hole behind it."""
    if not SEEK_END <= whence <= SEEK_HOLE:
        raise KernelError(E.INVAL)
    size = status(k, t, handle).size_bytes
    if whence == SEEK_END:
        return size + offset
    if not 0 <= offset < size:
        raise KernelError(E.NXIO)
    return offset if whence == SEEK_DATA else size


@syscall(16, owner="files")
def ioctl(k: Kernel, t: Thread, fd: Fd, request: Flags, arg: Ptr) -> int:
    """Ask a device for what only some can do.  EBADF; ENOTTY: it cannot do that; EFAULT; EINVAL."""
    handle = t.descriptors.get(fd)
    if handle.flags & O_PATH:
        raise KernelError(E.BADF)
    if request in (ioctls.FIOCLEX, ioctls.FIONCLEX):
        t.descriptors.mark(fd, closes_on_exec=request == ioctls.FIOCLEX)
        return 0
    if request == ioctls.FIONBIO:
        handle.set_blocking(blocks=not t.space.read_u32(arg))
        return 0
    if isinstance(handle, UserFault):
        return userfault.control(k, t, handle, request, arg)
    size = ioctls.READS.get(request)
    if size is None:
        raise KernelError(E.NOTTY)
    data = t.space.read(arg, size) if size else b""
    reply = ask(k, t, handle, "ioctl", words=(request, arg), data=data)
    if reply.data:
        t.space.write(arg, reply.data)
    return reply.result


@syscall(74, owner="files")
def fsync(k: Kernel, t: Thread, fd: Fd) -> int:
    """A file in NVM is durable when this returns; others are in memory, and there is nothing to
    wait for.  EBADF; EINVAL: a stream; ENOSPC: the NVM module is full."""
    handle = t.descriptors.get(fd)
    if not handle.seekable:
        raise KernelError(E.INVAL)
    if k.ipc.is_of(handle, "nvm"):
        k.ipc.call(t, handle, "sync")
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
    handle = t.descriptors.get(fd)
    if not handle.seekable and not is_socket(k, handle):
        raise KernelError(E.SPIPE)
    if not 0 <= advice <= 5 or length < 0:
        raise KernelError(E.INVAL)
    return 0
