"""The system call and the ioctls by which a program fills missing pages.

userfaultfd(2), ioctl_userfaultfd(2), Documentation/admin-guide/mm/userfaultfd.rst.  What is here:
missing pages of memory without a file of the disk behind it, filled by UFFDIO_COPY and
UFFDIO_ZEROPAGE.  Write protection, minor faults, moves and events are refused by UFFDIO_API and
UFFDIO_REGISTER as by a kernel that is built without them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from hw.memory import PAGE_MASK, PAGE_SIZE
from hw.paging import USER_TOP
from kernel.abi.errno import E, KernelError
from kernel.abi.nodes import O_CLOEXEC, O_NONBLOCK, POLLERR, POLLIN
from kernel.kernel import Kernel
from kernel.mm.filler import FILLERS, Filler
from kernel.mm.layout import MAP_LOWEST
from kernel.mm.regions import STAYS_READ_ONLY, Region
from kernel.syscalls.table import Flags, syscall
from kernel.syscalls.transfer import Buffers
from kernel.task.process import Thread
from kernel.wait import userfault
from kernel.wait.userfault import UserFault

UFFD_API, USER_MODE_ONLY = 0xAA, 1
FEATURE_MISSING_SHMEM, FEATURE_THREAD_ID = 1 << 5, 1 << 8
FEATURES = FEATURE_MISSING_SHMEM | FEATURE_THREAD_ID
REGISTER_MODE_MISSING, DONT_WAKE = 1, 1
EVENT_PAGEFAULT, FAULT_OF_STORE = 0x12, 1

API, REGISTER, UNREGISTER = 0xC018_AA3F, 0xC020_AA00, 0x8010_AA01
WAKE, COPY, ZEROPAGE = 0x8010_AA02, 0xC028_AA03, 0xC020_AA04
IOCTLS = 1 << 0x3F | 1 << 0x00 | 1 << 0x01
"""What UFFDIO_API says is there: itself, UFFDIO_REGISTER and UFFDIO_UNREGISTER."""
RANGE_IOCTLS = 1 << 0x02 | 1 << 0x03 | 1 << 0x04
"""What can be done with a registered range: UFFDIO_WAKE, UFFDIO_COPY, UFFDIO_ZEROPAGE."""

_MESSAGE = struct.Struct("<B7xQQI4x")
_WORD = struct.Struct("<q")


@syscall(323)
def userfaultfd(k: Kernel, t: Thread, flags: Flags) -> int:
    """A descriptor by which a program fills the missing pages of its memory; see UFFDIO_API.

    EINVAL: flags other than O_CLOEXEC, O_NONBLOCK and UFFD_USER_MODE_ONLY; EPERM: only root may
    fill pages that the kernel meets; EMFILE.
    """
    if flags & ~(O_CLOEXEC | O_NONBLOCK | USER_MODE_ONLY):
        raise KernelError(E.INVAL)
    for_kernel = not flags & USER_MODE_ONLY
    if for_kernel and not t.process.credentials.is_root:
        raise KernelError(E.PERM)
    k.ready.instances += 1
    filler = Filler(k.ready.instances, for_kernel)
    handle = UserFault(FILLERS, filler.id, filler=filler, space=t.space)
    handle.flags = flags & O_NONBLOCK  # and open for reading only
    return t.descriptors.add(handle, closes_on_exec=bool(flags & O_CLOEXEC))


def read_faults(k: Kernel, t: Thread, handle: UserFault, buffers: Buffers) -> int:
    """One struct uffd_msg for each thread that sleeps, as many as fit; waits for the first.

    EINVAL: no room for one, or before UFFDIO_API; EAGAIN; EFAULT.
    """
    if handle.features is None or buffers.size_bytes < _MESSAGE.size:
        raise KernelError(E.INVAL)
    found = userfault.unread(k.tasks, handle)[: buffers.size_bytes // _MESSAGE.size]
    if not found:
        if handle.blocks:
            raise k.ready.wait_for(handle)
        raise KernelError(E.AGAIN)
    names_threads = handle.features & FEATURE_THREAD_ID
    data = b"".join(
        _MESSAGE.pack(EVENT_PAGEFAULT, stores, page, thread.tid if names_threads else 0)
        for thread, page, stores in found
    )
    buffers.scatter(t, data)
    sleeping = {thread.tid: thread.waits for thread, _, _ in found}
    handle.told = {
        thread.tid: thread.waits
        for thread, _, _ in userfault.sleepers(k.tasks, handle.filler)
        if handle.told.get(thread.tid) == thread.waits or thread.tid in sleeping
    }
    return len(data)


def readiness(k: Kernel, handle: UserFault) -> int:
    """What poll(2) sees: a fault that nobody has read of.  As on Linux, POLLERR if it would wait
    in read: a poll cannot promise that no other reader is first."""
    if handle.features is None or handle.blocks:
        return POLLERR
    return POLLIN if userfault.unread(k.tasks, handle) else 0


def control(k: Kernel, t: Thread, handle: UserFault, request: int, at: int) -> int:
    """An ioctl on such a descriptor.  EINVAL: before UFFDIO_API, or unknown; ESRCH: its memory is
    gone; EFAULT; and as each says."""
    if request == API:
        return _agree(t, handle, at)
    if handle.features is None:
        raise KernelError(E.INVAL)
    action = _ACTIONS.get(request)
    if action is None:
        raise KernelError(E.INVAL)
    return action(k, t, handle, at)


def _agree(t: Thread, handle: UserFault, at: int) -> int:
    """UFFDIO_API.  EINVAL: another version or other features, or a second time."""
    api, features = struct.unpack("<QQ", t.space.read(at, 16))
    if handle.features is not None or api != UFFD_API or features & ~FEATURES:
        t.space.write(at, bytes(24))
        raise KernelError(E.INVAL)
    t.space.write(at, struct.pack("<QQQ", api, FEATURES, IOCTLS))
    handle.features = features
    return 0


def _range(start: int, size_bytes: int) -> tuple[int, int]:
    """Raises EINVAL for a range that is empty, not of whole pages, or outside user memory."""
    if (start | size_bytes) & PAGE_MASK or not size_bytes or start < MAP_LOWEST:
        raise KernelError(E.INVAL)
    if start >= USER_TOP or size_bytes > USER_TOP - start:
        raise KernelError(E.INVAL)
    return start, start + size_bytes


def _regions(handle: UserFault, start: int, end: int) -> list[Region]:
    """The regions of a range that can be filled.  Raises EINVAL if there is none, or another."""
    if not handle.space.users:
        raise KernelError(E.NOMEM)
    found = handle.space.map.overlapping(start, end)
    if not found or not all(map(_can_be_filled, found)):
        raise KernelError(E.INVAL)
    return found


def _can_be_filled(region: Region) -> bool:
    """Zeroes, or a file in memory; not a file of the host's, and not a VAS segment."""
    source = region.object.source
    return not (region.segment or region.object.data or (source is not None and source.data))


def _register(k: Kernel, t: Thread, handle: UserFault, at: int) -> int:
    """UFFDIO_REGISTER.  EINVAL: mode, range, or memory that cannot be filled; EPERM: it may never
    be written; EBUSY: another descriptor has it; ENOMEM: too many regions."""
    begin, size_bytes, mode = struct.unpack("<QQQ", t.space.read(at, 24))
    if mode != REGISTER_MODE_MISSING:
        raise KernelError(E.INVAL)
    start, end = _range(begin, size_bytes)
    for region in _regions(handle, start, end):
        if region.shared and region.flags & STAYS_READ_ONLY:
            raise KernelError(E.PERM)
        if region.filler not in (None, handle.filler):
            raise KernelError(E.BUSY)
    _fill_by(handle, start, end, handle.filler)
    t.space.write(at + 24, struct.pack("<Q", RANGE_IOCTLS))
    return 0


def _fill_by(handle: UserFault, start: int, end: int, filler: Filler | None) -> None:
    def change(region: Region) -> None:
        region.filler = filler

    handle.space.alter(start, end, change)


def _unregister(k: Kernel, t: Thread, handle: UserFault, at: int) -> int:
    """UFFDIO_UNREGISTER.  EINVAL: range, or another descriptor has it; ENOMEM: too many regions."""
    start, end = _range(*struct.unpack("<QQ", t.space.read(at, 16)))
    if any(region.filler not in (None, handle.filler) for region in _regions(handle, start, end)):
        raise KernelError(E.INVAL)
    _fill_by(handle, start, end, None)
    userfault.wake(k.tasks, handle.filler, start, end)
    return 0


def _wake(k: Kernel, t: Thread, handle: UserFault, at: int) -> int:
    """UFFDIO_WAKE: the threads that sleep for a page of the range try again.  EINVAL: range."""
    start, end = _range(*struct.unpack("<QQ", t.space.read(at, 16)))
    userfault.wake(k.tasks, handle.filler, start, end)
    return 0


def _copy(k: Kernel, t: Thread, handle: UserFault, at: int) -> int:
    """UFFDIO_COPY: fill pages with a copy of the caller's memory.  EINVAL: range or mode; ENOENT:
    not one registered region; EEXIST: the page is there; EAGAIN: some were filled; EFAULT."""
    to, source, size_bytes, mode = struct.unpack("<QQQQ", t.space.read(at, 32))
    start, end = _range(to, size_bytes)
    if source + size_bytes > 1 << 64 or mode & ~DONT_WAKE:
        raise KernelError(E.INVAL)

    def content(done: int) -> bytes:
        return t.space.read(source + done, PAGE_SIZE)

    return _supply(k, t, handle, start, end, content=content, wakes=not mode, result_at=at + 32)


def _zero(k: Kernel, t: Thread, handle: UserFault, at: int) -> int:
    """UFFDIO_ZEROPAGE: fill pages with zeroes.  Errors as UFFDIO_COPY."""
    to, size_bytes, mode = struct.unpack("<QQQ", t.space.read(at, 24))
    start, end = _range(to, size_bytes)
    if mode & ~DONT_WAKE:
        raise KernelError(E.INVAL)

    def content(done: int) -> bytes:
        return b""

    return _supply(k, t, handle, start, end, content=content, wakes=not mode, result_at=at + 24)


def _supply(
    k: Kernel,
    t: Thread,
    handle: UserFault,
    start: int,
    end: int,
    *,
    content: Callable[[int], bytes],
    wakes: bool,
    result_at: int,
) -> int:
    """Fill a range up to the first page that cannot be; stores how many bytes, or -errno."""
    done, failure = 0, None
    try:
        for page in range(start, end, PAGE_SIZE):
            _fill(handle, page, end, content(done))
            done += PAGE_SIZE
    except KernelError as error:
        failure = error
    reached = -failure.number if failure is not None and not done else done
    t.space.write(result_at, _WORD.pack(reached))
    if failure is not None and not done:
        raise failure
    if wakes:
        userfault.wake(k.tasks, handle.filler, start, start + done)
    if failure is not None:
        raise KernelError(E.AGAIN)
    return 0


def _fill(handle: UserFault, page: int, end: int, content: bytes) -> None:
    """Raises ESRCH, ENOENT, EEXIST, ENOMEM."""
    space = handle.space
    if not space.users:
        raise KernelError(E.SRCH)
    region = space.map.find(page)
    if region is None or region.filler is not handle.filler or region.end < end:
        raise KernelError(E.NOENT)
    index = region.object_page(page)
    if not region.object.is_missing(index):
        raise KernelError(E.EXIST)
    space.objects.reserve(1)
    region.object.supply(index, content)


_ACTIONS: dict[int, Callable[[Kernel, Thread, UserFault, int], int]] = {
    REGISTER: _register,
    UNREGISTER: _unregister,
    WAKE: _wake,
    COPY: _copy,
    ZEROPAGE: _zero,
}
