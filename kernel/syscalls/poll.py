"""System calls that wait until one of several files is ready.  poll(2), select(2), epoll(7)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from kernel.abi.errno import E, KernelError
from kernel.abi.nodes import (
    O_CLOEXEC,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLNVAL,
    POLLOUT,
    POLLPRI,
    POLLRDNORM,
    POLLWRNORM,
)
from kernel.kernel import Kernel
from kernel.syscalls.descriptors import install
from kernel.syscalls.table import Fd, Flags, Int, Ptr, Size, syscall
from kernel.syscalls.userfault import readiness
from kernel.task.clock import cycles_to_timespec, timespec_to_cycles
from kernel.task.descriptors import MAX_DESCRIPTORS, PROCESSES, Handle
from kernel.task.process import Thread
from kernel.wait import signals
from kernel.wait.ready import ALWAYS, Epoll, Interest, keys_of
from kernel.wait.userfault import UserFault

EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD = 1, 2, 3
EPOLLONESHOT, EPOLLET = 1 << 30, 1 << 31
PRIVATE_BITS = EPOLLONESHOT | EPOLLET | 1 << 29 | 1 << 28
MAX_EVENTS, MAX_NESTED = 4096, 4
MICROSECONDS = 1_000_000
CYCLES_PER_MILLISECOND = timespec_to_cycles(struct.pack("<qq", 0, 1_000_000))
_POLLFD, _EVENT = struct.Struct("<iHH"), struct.Struct("<IQ")

Wanted = tuple[Handle | None, int]
"""The handle of a descriptor, None if it is not open, and the events to wait for."""


def ready(k: Kernel, t: Thread, handle: Handle | None, events: int) -> int:
    """Those of `events` that have occurred on one descriptor."""
    if handle is None:
        return POLLNVAL
    if isinstance(handle, Epoll):
        return events & POLLIN if _report(k, t, handle, 1, peek=True) else 0
    if isinstance(handle, UserFault):
        return readiness(k, handle) & (events | ALWAYS)
    if handle.endpoint == PROCESSES:
        mask = _end_of(k, handle.badge)
    elif k.ipc.serves_files(handle):
        mask = k.ipc.call(t, handle, "poll").result
    else:
        return events & (POLLIN | POLLOUT)
    normal = (POLLRDNORM if mask & POLLIN else 0) | (POLLWRNORM if mask & POLLOUT else 0)
    return (mask | normal) & (events | ALWAYS)


def _end_of(k: Kernel, pid: int) -> int:
    """What there is to poll of a process: it has ended, and its parent has waited for it."""
    process = k.tasks.processes.get(pid)
    if process is None:
        return POLLIN | POLLHUP
    return POLLIN if process.zombie else 0


def wait(k: Kernel, t: Thread, wanted: Sequence[Wanted], timeout: int | None) -> list[int]:
    """What is ready of each.  Waits at most `timeout` cycles, or for ever, until something is."""
    call = t.current_call()
    k.ready.unwatch(t, call)
    masks = [ready(k, t, handle, events) for handle, events in wanted]
    if any(masks) or _is_over(k, t, timeout):
        return masks
    keys = [key for handle, _ in wanted if handle is not None for key in keys_of(handle)]
    raise k.ready.wait_for_any(t, call, keys)


def _borrow_mask(t: Thread, at: int, size_bytes: int) -> None:
    """While the call waits, block these signals and no others.  Raises EINVAL, EFAULT."""
    if at and size_bytes != 8:
        raise KernelError(E.INVAL)
    if at:
        signals.borrow_mask(t, t.space.read_u64(at))


def _is_over(k: Kernel, t: Thread, timeout: int | None) -> bool:
    """Is the time to wait over?  The first call sets the alarm."""
    call = t.current_call()
    if timeout is None:
        return False
    if call.deadline is None and timeout > 0:
        k.alarms.wake(t, k.tasks.now() + timeout)
    return timeout <= 0 or (call.deadline is not None and k.tasks.now() >= call.deadline)


# poll ---------------------------------------------------------------------------------------------


@syscall(7, owner="files", restarts=False)
def poll(k: Kernel, t: Thread, fds: Ptr, count: Flags, timeout: Int) -> int:
    """Wait until one of an array of struct pollfd is ready; returns how many are.

    `timeout` in milliseconds, negative for ever.  EFAULT; EINTR; EINVAL: too many.
    """
    limit = None if timeout < 0 else timeout * CYCLES_PER_MILLISECOND
    return _poll(k, t, fds, count, limit)


@syscall(271, owner="files", restarts=False)
def ppoll(
    k: Kernel, t: Thread, fds: Ptr, count: Flags, timeout: Ptr, mask: Ptr, mask_size: Size
) -> int:
    """As poll, with a struct timespec, and the signals to block while it waits."""
    limit = timespec_to_cycles(t.space.read(timeout, 16)) if timeout else None
    _borrow_mask(t, mask, mask_size)
    return _poll(k, t, fds, count, limit)


def _poll(k: Kernel, t: Thread, fds: int, count: int, limit: int | None) -> int:
    if count > t.descriptors.limit:
        raise KernelError(E.INVAL)
    rows = list(_POLLFD.iter_unpack(t.space.read(fds, _POLLFD.size * count)))
    handles = t.descriptors.handles
    wanted = [(handles.get(fd), events) for fd, events, _ in rows if fd >= 0]
    found = iter(wait(k, t, wanted, limit))
    masks = [next(found) if fd >= 0 else 0 for fd, _, _ in rows]
    packed = (_POLLFD.pack(fd, events, m) for (fd, events, _), m in zip(rows, masks, strict=True))
    t.space.write(fds, b"".join(packed))
    return sum(1 for mask in masks if mask)


# select -------------------------------------------------------------------------------------------

_EVENTS = (POLLIN, POLLOUT, POLLPRI)
_SETS = (POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, POLLPRI)


@syscall(23, owner="files", restarts=False)
def select(
    k: Kernel, t: Thread, count: Int, reads: Ptr, writes: Ptr, others: Ptr, timeout: Ptr
) -> int:
    """Wait until a descriptor in one of three sets is ready; leaves those, returns how many.

    `timeout` is a struct timeval, which gets the time that was left.  EBADF; EINVAL; EFAULT; EINTR.
    """
    limit = _timeval(t, timeout) if timeout else None
    found = _select(k, t, count, (reads, writes, others), limit)
    if timeout:
        deadline = t.current_call().deadline or k.tasks.now()
        left = cycles_to_timespec(max(0, deadline - k.tasks.now()) if limit else 0)
        seconds, nanoseconds = struct.unpack("<qq", left)
        t.space.write(timeout, struct.pack("<qq", seconds, nanoseconds // 1000))
    return found


def _timeval(t: Thread, at: int) -> int:
    seconds, microseconds = struct.unpack("<qq", t.space.read(at, 16))
    if seconds < 0 or microseconds < 0:
        raise KernelError(E.INVAL)
    seconds, microseconds = seconds + microseconds // MICROSECONDS, microseconds % MICROSECONDS
    return timespec_to_cycles(struct.pack("<qq", min(seconds, 1 << 40), microseconds * 1000))


@syscall(270, owner="files", restarts=False)
def pselect6(
    k: Kernel, t: Thread, count: Int, reads: Ptr, writes: Ptr, others: Ptr, timeout: Ptr, mask: Ptr
) -> int:
    """As select, with a struct timespec and, by pointer, a signal mask and its size."""
    limit = timespec_to_cycles(t.space.read(timeout, 16)) if timeout else None
    at, size = struct.unpack("<QQ", t.space.read(mask, 16)) if mask else (0, 0)
    _borrow_mask(t, at, size)
    return _select(k, t, count, (reads, writes, others), limit)


def _select(k: Kernel, t: Thread, count: int, sets: tuple[int, int, int], limit: int | None) -> int:
    if count < 0:
        raise KernelError(E.INVAL)
    count = min(count, MAX_DESCRIPTORS)
    size = (count + 63) // 64 * 8
    asked = [int.from_bytes(t.space.read(at, size), "little") if at else 0 for at in sets]
    numbers = [n for n in range(count) if any(bits >> n & 1 for bits in asked)]
    handles = [t.descriptors.get(n) for n in numbers]
    events = [
        sum(mask for bits, mask in zip(asked, _EVENTS, strict=True) if bits >> n & 1)
        for n in numbers
    ]
    masks = wait(k, t, list(zip(handles, events, strict=True)), limit)
    total = 0
    for at, bits, meaning in zip(sets, asked, _SETS, strict=True):
        pairs = zip(numbers, masks, strict=True)
        found = sum(1 << n for n, mask in pairs if bits >> n & 1 and mask & meaning)
        total += found.bit_count()
        if at:
            t.space.write(at, found.to_bytes(size, "little"))
    return total


# epoll --------------------------------------------------------------------------------------------


@syscall(213)
def epoll_create(k: Kernel, t: Thread, size: Int) -> int:
    """As epoll_create1.  `size` has no effect, but must be positive."""
    if size <= 0:
        raise KernelError(E.INVAL)
    return epoll_create1(k, t, 0)


@syscall(291)
def epoll_create1(k: Kernel, t: Thread, flags: Int) -> int:
    """Make an epoll instance; returns its descriptor.  EINVAL: other flags; EMFILE."""
    if flags & ~O_CLOEXEC:
        raise KernelError(E.INVAL)
    return install(k, t, k.ready.new_epoll(), closes_on_exec=bool(flags))


def _instance(t: Thread, fd: int) -> Epoll:
    handle = t.descriptors.get(fd)
    if not isinstance(handle, Epoll):
        raise KernelError(E.INVAL)
    return handle


@syscall(233)
def epoll_ctl(k: Kernel, t: Thread, epfd: Fd, op: Int, fd: Fd, event: Ptr) -> int:
    """Add, change or remove what an instance watches.

    EBADF; EINVAL: `epfd` is no instance, or `fd` is the same; EPERM: a file, which is always ready;
    EEXIST; ENOENT; EFAULT; ELOOP: instances would watch each other, or too many are nested.
    """
    handle = t.descriptors.get(fd)
    epoll = _instance(t, epfd)
    if handle is epoll:
        raise KernelError(E.INVAL)
    waits = isinstance(handle, Epoll | UserFault) or handle.endpoint == PROCESSES
    if not waits and (handle.seekable or not k.ipc.serves_files(handle)):
        raise KernelError(E.PERM)
    given = t.space.read(event, _EVENT.size) if op != EPOLL_CTL_DEL else bytes(_EVENT.size)
    events, data = _EVENT.unpack(given)
    known = epoll.interests.get(fd)
    if known is not None and known.handle is not handle:
        k.ready.drop_interest(epoll.interests.pop(fd))
        known = None
    if op == EPOLL_CTL_ADD:
        if known is not None:
            raise KernelError(E.EXIST)
        if isinstance(handle, Epoll):
            _check_nesting(k, epoll, handle)
        epoll.interests[fd] = Interest(handle, events, data, epoll)
        k.ready.add_interest(epoll.interests[fd])
        k.ready.changed(epoll.endpoint, epoll.badge)
        return 0
    if op not in (EPOLL_CTL_DEL, EPOLL_CTL_MOD):
        raise KernelError(E.INVAL)
    if known is None:
        raise KernelError(E.NOENT)
    if op == EPOLL_CTL_DEL:
        k.ready.drop_interest(epoll.interests.pop(fd))
    else:
        known.events, known.data, known.armed = events, data, True
        k.ready.changed(epoll.endpoint, epoll.badge)
    return 0


def _check_nesting(k: Kernel, outer: Epoll, inner: Epoll) -> None:
    """Raises ELOOP."""
    if inner.leads_to(outer) or k.ready.outside(outer) + 1 + inner.height() > MAX_NESTED:
        raise KernelError(E.LOOP)


@syscall(232, owner="files", restarts=False, ended_by_stop=True)
def epoll_wait(k: Kernel, t: Thread, epfd: Fd, events: Ptr, count: Int, timeout: Int) -> int:
    """Wait for what an instance watches; stores an array of struct epoll_event, returns its length.

    `timeout` in milliseconds, negative for ever.  EBADF; EINVAL; EFAULT; EINTR.
    """
    limit = None if timeout < 0 else timeout * CYCLES_PER_MILLISECOND
    return _epoll_wait(k, t, epfd, events, count=count, limit=limit)


@syscall(281, owner="files", restarts=False, ended_by_stop=True)
def epoll_pwait(
    k: Kernel,
    t: Thread,
    epfd: Fd,
    events: Ptr,
    count: Int,
    timeout: Int,
    mask: Ptr,
    mask_size: Size,
) -> int:
    """As epoll_wait, with the signals to block while it waits."""
    limit = None if timeout < 0 else timeout * CYCLES_PER_MILLISECOND
    _borrow_mask(t, mask, mask_size)
    return _epoll_wait(k, t, epfd, events, count=count, limit=limit)


@syscall(441, owner="files", restarts=False, ended_by_stop=True)
def epoll_pwait2(
    k: Kernel,
    t: Thread,
    epfd: Fd,
    events: Ptr,
    count: Int,
    timeout: Ptr,
    mask: Ptr,
    mask_size: Size,
) -> int:
    """As epoll_pwait, with a struct timespec."""
    limit = timespec_to_cycles(t.space.read(timeout, 16)) if timeout else None
    _borrow_mask(t, mask, mask_size)
    return _epoll_wait(k, t, epfd, events, count=count, limit=limit)


def _epoll_wait(
    k: Kernel, t: Thread, epfd: int, events: int, *, count: int, limit: int | None
) -> int:
    epoll = _instance(t, epfd)
    if not 0 < count <= MAX_EVENTS:
        raise KernelError(E.INVAL)
    t.space.write(events, t.space.read(events, _EVENT.size))
    call = t.current_call()
    k.ready.unwatch(t, call)
    found = _report(k, t, epoll, count)
    if not found and not _is_over(k, t, limit):
        raise k.ready.wait_for_any(t, call, keys_of(epoll))
    t.space.write(events, b"".join(_EVENT.pack(mask, data) for mask, data in found))
    return len(found)


def _report(
    k: Kernel, t: Thread, epoll: Epoll, room: int, *, peek: bool = False
) -> list[tuple[int, int]]:
    """(events, data) of at most `room` ready descriptors; `peek`: they stay as they are."""
    found: list[tuple[int, int]] = []
    for fd, interest in list(epoll.interests.items()):
        if not interest.handle.holds:
            k.ready.drop_interest(epoll.interests.pop(fd))
        elif len(found) < room and interest.events & ~PRIVATE_BITS:
            if interest.events & EPOLLET and not interest.armed:
                continue
            mask = ready(k, t, interest.handle, interest.events & ~PRIVATE_BITS)
            if not mask:
                continue
            found.append((mask, interest.data))
            if not peek:
                interest.armed = False
                if interest.events & EPOLLONESHOT:
                    interest.events &= PRIVATE_BITS
                epoll.interests[fd] = epoll.interests.pop(fd)  # the others come first next time
    return found
