"""System calls that the core passes on to the server behind a descriptor."""

from __future__ import annotations

from kernel.errno import E, KernelError
from kernel.kernel import Kernel
from kernel.process import Thread
from kernel.syscalls import Fd, Ptr, Size, syscall

MAX_TRANSFER_BYTES = 1 << 20
UTSNAME_FIELD_BYTES = 65


@syscall(0, owner="console")
def read(k: Kernel, t: Thread, fd: Fd, buf: Ptr, count: Size) -> int:
    """Read up to `count` bytes; 0 at the end.  EBADF; EFAULT; EINTR; EINVAL: not readable."""
    handle = t.process.descriptors.get(fd)
    reply = k.ipc.call(t, handle, "read", (min(count, MAX_TRANSFER_BYTES),))
    t.space.write(buf, reply.data)
    return len(reply.data)


@syscall(1, owner="console")
def write(k: Kernel, t: Thread, fd: Fd, buf: Ptr, count: Size) -> int:
    """Write up to `count` bytes; returns how many.  EBADF; EFAULT; EINVAL: not writable."""
    handle = t.process.descriptors.get(fd)
    data = t.space.read(buf, min(count, MAX_TRANSFER_BYTES))
    return k.ipc.call(t, handle, "write", data=data).result


@syscall(3)
def close(k: Kernel, t: Thread, fd: Fd) -> int:
    """Give a descriptor back.  EBADF."""
    k.ipc.close(t.process.descriptors.remove(fd))
    return 0


@syscall(32)
def dup(k: Kernel, t: Thread, fd: Fd) -> int:
    """A second descriptor for the same open thing, the lowest free.  EBADF; EMFILE."""
    return t.process.descriptors.add(t.process.descriptors.get(fd))


@syscall(63, owner="system")
def uname(k: Kernel, t: Thread, out: Ptr) -> int:
    """Name and version of the system, as struct utsname.  EFAULT."""
    reply = k.ipc.call(t, k.system, "uname")
    fields = reply.data.split(b"\0")
    if len(fields) != 6:
        raise KernelError(E.IO)
    t.space.write(out, b"".join(field.ljust(UTSNAME_FIELD_BYTES, b"\0") for field in fields))
    return 0
