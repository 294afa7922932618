"""System calls on descriptors themselves: copies, flags, pipes, event counters.  fcntl(2)."""

from __future__ import annotations

from kernel.abi.errno import E, KernelError
from kernel.abi.nodes import (
    F_SEAL_EXEC,
    F_SEAL_SEAL,
    O_ACCMODE,
    O_APPEND,
    O_CLOEXEC,
    O_LARGEFILE,
    O_NONBLOCK,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
)
from kernel.kernel import Kernel
from kernel.syscalls.table import Fd, Flags, Int, Long, Path, Ptr, syscall
from kernel.task.descriptors import Handle
from kernel.task.process import Thread

F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL = range(5)
F_DUPFD_CLOEXEC, F_SETPIPE_SZ, F_GETPIPE_SZ = 1030, 1031, 1032
F_ADD_SEALS, F_GET_SEALS = 1033, 1034
MFD_CLOEXEC, MFD_ALLOW_SEALING, MFD_HUGETLB, MFD_NOEXEC_SEAL, MFD_EXEC = 1, 2, 4, 8, 16
MFD_HUGE_SIZES = 0xFC00_0000
MAX_MEMFD_NAME_BYTES = 249
FD_CLOEXEC = 1
SETTABLE = O_APPEND | O_NONBLOCK
O_DIRECT = 0o40000
EFD_SEMAPHORE = 1
CLOSE_RANGE_CLOEXEC = 4


def install(k: Kernel, t: Thread, handle: Handle, *, closes_on_exec: bool) -> int:
    """The lowest free number for a new handle.  Raises EMFILE, and then closes the handle."""
    try:
        return t.descriptors.add(handle, closes_on_exec=closes_on_exec)
    except KernelError:
        handle.holds = 1
        k.ipc.close(handle)
        raise


@syscall(3)
def close(k: Kernel, t: Thread, fd: Fd) -> int:
    """Give a descriptor back.  EBADF."""
    k.ipc.close(t.descriptors.remove(fd))
    return 0


@syscall(436)
def close_range(k: Kernel, t: Thread, first: Flags, last: Flags, flags: Flags) -> int:
    """Close a range of descriptors, or with CLOSE_RANGE_CLOEXEC mark them.  EINVAL."""
    if first > last or flags & ~CLOSE_RANGE_CLOEXEC:
        raise KernelError(E.INVAL)
    own = t.descriptors
    for fd in [n for n in sorted(own.handles) if first <= n <= last]:
        if flags:
            own.mark(fd, closes_on_exec=True)
        else:
            k.ipc.close(own.remove(fd))
    return 0


@syscall(32)
def dup(k: Kernel, t: Thread, fd: Fd) -> int:
    """A second descriptor for the same open file, the lowest free.  EBADF; EMFILE."""
    return t.descriptors.add(t.descriptors.get(fd))


@syscall(33)
def dup2(k: Kernel, t: Thread, fd: Fd, new: Fd) -> int:
    """As dup, but to the number `new`, which it closes first.  EBADF."""
    if fd == new:
        t.descriptors.get(fd)
        return new
    return _copy_to(k, t, fd, new, closes_on_exec=False)


@syscall(292)
def dup3(k: Kernel, t: Thread, fd: Fd, new: Fd, flags: Int) -> int:
    """As dup2, perhaps with O_CLOEXEC.  EBADF; EINVAL: the same number, or other flags."""
    if fd == new or flags & ~O_CLOEXEC:
        raise KernelError(E.INVAL)
    return _copy_to(k, t, fd, new, closes_on_exec=flags != 0)


def _copy_to(k: Kernel, t: Thread, fd: int, new: int, *, closes_on_exec: bool) -> int:
    own = t.descriptors
    handle = own.get(fd)
    if not 0 <= new < own.limit:
        raise KernelError(E.BADF)
    if new in own.handles:
        k.ipc.close(own.remove(new))
    own.put(new, handle, closes_on_exec=closes_on_exec)
    return new


@syscall(72)
def fcntl(k: Kernel, t: Thread, fd: Fd, command: Int, arg: Long) -> int:
    """Copy a descriptor from a number on, get and set its flags, the room of a pipe, or seals.

    EBADF; EINVAL: unknown, or no such number; EMFILE; EPERM, EBUSY: F_ADD_SEALS or F_SETPIPE_SZ.
    """
    own = t.descriptors
    handle = own.get(fd)
    if command in (F_DUPFD, F_DUPFD_CLOEXEC):
        if not 0 <= arg < own.limit:
            raise KernelError(E.INVAL)
        return own.add(handle, arg, closes_on_exec=command == F_DUPFD_CLOEXEC)
    if command == F_GETFD:
        return int(fd in own.closes_on_exec)
    if command == F_SETFD:
        own.mark(fd, closes_on_exec=bool(arg & FD_CLOEXEC))
        return 0
    if command == F_GETFL:
        return handle.flags
    if command == F_SETFL:
        handle.flags = handle.flags & ~SETTABLE | arg & SETTABLE
        return 0
    if command in (F_ADD_SEALS, F_GET_SEALS):
        return _seals(k, t, handle, arg & 0xFFFF_FFFF if command == F_ADD_SEALS else None)
    if command in (F_SETPIPE_SZ, F_GETPIPE_SZ):
        return _pipe_bytes(k, t, handle, arg if command == F_SETPIPE_SZ else None)
    raise KernelError(E.INVAL)


def _seals(k: Kernel, t: Thread, handle: Handle, added: int | None) -> int:
    """The seals of a file; 0 if some were added.  EBADF; EPERM; EBUSY; EINVAL: it has none."""
    if handle.flags & O_PATH:
        raise KernelError(E.BADF)
    if added is not None and not handle.flags & O_ACCMODE:
        raise KernelError(E.PERM)
    if not k.ipc.serves_files(handle):
        raise KernelError(E.INVAL)
    try:
        found = k.ipc.call(t, handle, "seals", () if added is None else (added,)).result
    except KernelError as error:
        unknown = {E.NOTTY, E.NOSYS}
        if added is None:
            unknown.add(E.PERM)
        raise KernelError(E.INVAL) if error.number in unknown else error from error
    return found if added is None else 0


def _pipe_bytes(k: Kernel, t: Thread, handle: Handle, wanted: int | None) -> int:
    """What a pipe holds, perhaps from now on.  EBADF: no pipe; EINVAL; EPERM; EBUSY."""
    if wanted is not None and not 0 <= wanted < 1 << 31:
        raise KernelError(E.INVAL)
    if not k.ipc.serves_files(handle):
        raise KernelError(E.BADF)
    try:
        return k.ipc.call(t, handle, "capacity", (-1 if wanted is None else wanted,)).result
    except KernelError as error:
        unknown = error.number in (E.INVAL, E.NOTTY)
        raise KernelError(E.BADF) if unknown else error from error


@syscall(22, owner="pipes")
def pipe(k: Kernel, t: Thread, out: Ptr) -> int:
    """Make a pipe; its read and its write end are stored at `out`.  EMFILE; EFAULT."""
    return pipe2(k, t, out, 0)


@syscall(293, owner="pipes")
def pipe2(k: Kernel, t: Thread, out: Ptr, flags: Int) -> int:
    """As pipe, with O_CLOEXEC or O_NONBLOCK.  EINVAL: other flags."""
    if flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT):
        raise KernelError(E.INVAL)
    t.space.write(out, t.space.read(out, 8))
    badges = k.ipc.call(t, k.ipc.well_known.pipes, "pipe").words
    kept, on_exec = flags & O_NONBLOCK, bool(flags & O_CLOEXEC)
    reader, writer = (
        Handle(k.ipc.well_known.pipes.endpoint, badge, flags=mode | kept)
        for badge, mode in zip(badges, (O_RDONLY, O_WRONLY), strict=True)
    )
    try:
        first = install(k, t, reader, closes_on_exec=on_exec)
    except KernelError:
        writer.holds = 1
        k.ipc.close(writer)
        raise
    try:
        second = install(k, t, writer, closes_on_exec=on_exec)
    except KernelError:
        k.ipc.close(t.descriptors.remove(first))
        raise
    t.space.write(out, first.to_bytes(4, "little") + second.to_bytes(4, "little"))
    return 0


@syscall(284, owner="pipes")
def eventfd(k: Kernel, t: Thread, initial: Flags) -> int:
    """As eventfd2 without flags."""
    return eventfd2(k, t, initial, 0)


@syscall(290, owner="pipes")
def eventfd2(k: Kernel, t: Thread, initial: Flags, flags: Int) -> int:
    """A counter behind a descriptor: writes add, a read takes all or, with EFD_SEMAPHORE, one.

    EINVAL: other flags; EMFILE.
    """
    if flags & ~(O_CLOEXEC | O_NONBLOCK | EFD_SEMAPHORE):
        raise KernelError(E.INVAL)
    reply = k.ipc.call(t, k.ipc.well_known.pipes, "eventfd", (initial, flags & EFD_SEMAPHORE))
    handle = Handle(k.ipc.well_known.pipes.endpoint, reply.words[0])
    handle.flags |= flags & O_NONBLOCK
    return install(k, t, handle, closes_on_exec=bool(flags & O_CLOEXEC))


@syscall(319, owner="files")
def memfd_create(k: Kernel, t: Thread, name: Path, flags: Flags) -> int:
    """A file in memory without a name in the tree; it dies with its last descriptor and mapping.

    MFD_ALLOW_SEALING lets it be sealed, MFD_NOEXEC_SEAL makes and keeps it not executable.
    EINVAL: unknown flags, or a name of more than 249 bytes; EFAULT; EMFILE; ENOMEM; ENOSYS:
    MFD_HUGETLB, as on a Linux without huge pages.
    """
    known = MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC
    if flags & MFD_HUGETLB:
        known |= MFD_HUGE_SIZES
    kind = flags & (MFD_EXEC | MFD_NOEXEC_SEAL)
    if flags & ~known or kind == MFD_EXEC | MFD_NOEXEC_SEAL:
        raise KernelError(E.INVAL)
    label = _memfd_name(t, name)
    t.descriptors.lowest_free()
    if flags & MFD_HUGETLB:
        raise KernelError(E.NOSYS)
    mode, seals = 0o777, 0 if flags & MFD_ALLOW_SEALING else F_SEAL_SEAL
    if flags & MFD_NOEXEC_SEAL:
        mode, seals = 0o666, F_SEAL_EXEC
    files = k.ipc.well_known.root
    try:
        badge = k.ipc.call(t, files, "memfd", (mode, seals), label).words[0]
    except KernelError as error:
        raise KernelError(E.NOMEM) if error.number == E.NOSPC else error from error
    handle = Handle(files.endpoint, badge, flags=O_RDWR | O_LARGEFILE, seekable=True)
    return install(k, t, handle, closes_on_exec=bool(flags & MFD_CLOEXEC))


def _memfd_name(t: Thread, at: int) -> bytes:
    """Raises EFAULT; EINVAL: it is too long."""
    try:
        return t.space.read_string(at, MAX_MEMFD_NAME_BYTES)
    except KernelError as error:
        too_long = error.number == E.NAMETOOLONG
        raise KernelError(E.INVAL) if too_long else error from error
