"""System calls on what is in memory.  madvise(2), msync(2), mincore(2), mlock(2), membarrier(2)."""

from __future__ import annotations

from contextlib import suppress

from hw.memory import PAGE_MASK, PAGE_SIZE
from hw.paging import USER_TOP
from kernel.abi.errno import E, KernelError
from kernel.kernel import Kernel
from kernel.mm import residency
from kernel.mm.layout import MAP_TOP, page_up
from kernel.mm.regions import LOCKED, NOT_FORKED, WIPED_BY_FORK, Region, covers
from kernel.mm.residency import MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT
from kernel.mm.space import AddressSpace
from kernel.syscalls.table import Flags, Int, Ptr, Size, syscall
from kernel.task import limits
from kernel.task.process import Thread

MADV_WILLNEED, MADV_DONTNEED, MADV_FREE, MADV_REMOVE = 3, 4, 8, 9
MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK, MADV_KEEPONFORK = 10, 11, 18, 19
MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_DONTNEED_LOCKED = 22, 23, 24
HINTS = frozenset((0, 1, 2, MADV_WILLNEED, 12, 13, 14, 15, 16, 17, 20, 21))
"""NORMAL, RANDOM, SEQUENTIAL, WILLNEED, (UN)MERGEABLE, (NO)HUGEPAGE, DONTDUMP, DODUMP, COLD and
PAGEOUT: a kernel may ignore them."""
MARKS = {
    MADV_DONTFORK: (NOT_FORKED, 0),
    MADV_DOFORK: (0, NOT_FORKED),
    MADV_WIPEONFORK: (WIPED_BY_FORK, 0),
    MADV_KEEPONFORK: (0, WIPED_BY_FORK),
}
"""Flags of a region that an advice sets, and those that it clears."""
DROPS = frozenset((MADV_DONTNEED, MADV_FREE, MADV_DONTNEED_LOCKED))
POPULATES = frozenset((MADV_POPULATE_READ, MADV_POPULATE_WRITE))
KNOWN_ADVICE = HINTS | MARKS.keys() | DROPS | POPULATES | {MADV_REMOVE}
MS_ASYNC, MS_INVALIDATE, MS_SYNC = 1, 2, 4
MLOCK_ONFAULT, ADDRESS_MASK = 1, (1 << 64) - 1
BARRIER_QUERY, BARRIERS = 0, 0x7F
"""GLOBAL, GLOBAL_EXPEDITED, PRIVATE_EXPEDITED, PRIVATE_EXPEDITED_SYNC_CORE, and registration for
the last three."""
REGISTRATION_FOR = {0x08: 0x10, 0x20: 0x40}


def _range(addr: int, length: int) -> int:
    """The end of a range.  Raises EINVAL if it is not page-aligned, or too long."""
    end = page_up(addr + length)
    if addr & PAGE_MASK or end > 1 << 64:
        raise KernelError(E.INVAL)
    return end


@syscall(28)
def madvise(k: Kernel, t: Thread, addr: Ptr, length: Size, advice: Int) -> int:
    """Say how the program will use a range.  MADV_DONTNEED and MADV_FREE drop private pages.

    EINVAL: unaligned, unknown advice, or not for such memory; ENOMEM: the range has holes, but the
    call has treated its mappings; EFAULT: a page to populate lies behind the end of a file.
    """
    if advice not in KNOWN_ADVICE:
        raise KernelError(E.INVAL)
    end = _range(addr, length)
    if end == addr:
        return 0
    space, end = t.space, min(end, MAP_TOP)
    regions = list(space.map.overlapping(addr, end))
    whole = covers(regions, addr, end)
    _check_advice(regions, advice)
    if advice in POPULATES:
        if not whole:
            raise KernelError(E.NOMEM)
        residency.populate(space, addr, end, write=advice == MADV_POPULATE_WRITE)
    else:
        _advise(space, addr, end, advice)
    if not whole:
        raise KernelError(E.NOMEM)
    return 0


def _check_advice(regions: list[Region], advice: int) -> None:
    for region in regions:
        locked = region.flags & LOCKED and advice in (MADV_DONTNEED, MADV_FREE, MADV_REMOVE)
        special = region.shared or region.object.source is not None
        if locked or (advice in (MADV_FREE, MADV_WIPEONFORK) and special):
            raise KernelError(E.INVAL)


def _advise(space: AddressSpace, start: int, end: int, advice: int) -> None:
    if advice in DROPS:
        residency.drop(space, start, end)
    elif advice == MADV_REMOVE:
        residency.punch(space, start, end)
    elif advice in MARKS:
        added, removed = MARKS[advice]
        space.mark(start, end, added, removed)


@syscall(26)
def msync(k: Kernel, t: Thread, addr: Ptr, length: Size, flags: Int) -> int:
    """Make what is in NVM durable (MS_SYNC); other files are memory here, and have nowhere to go.
    EINVAL: unaligned or wrong flags; EBUSY: MS_INVALIDATE and a locked page; ENOMEM: the range has
    holes."""
    known, both = MS_ASYNC | MS_INVALIDATE | MS_SYNC, MS_ASYNC | MS_SYNC
    if flags & ~known or addr & PAGE_MASK or flags & both == both:
        raise KernelError(E.INVAL)
    end = addr + (page_up(length) & ADDRESS_MASK)
    regions = t.space.map.overlapping(addr, end)
    if flags & MS_INVALIDATE and any(region.flags & LOCKED for region in regions):
        raise KernelError(E.BUSY)
    if flags & MS_SYNC:
        residency.write_back(regions, addr, end)
    if not covers(regions, addr, end):
        raise KernelError(E.NOMEM)
    return 0


@syscall(27)
def mincore(k: Kernel, t: Thread, addr: Ptr, length: Size, vec: Ptr) -> int:
    """A byte for each page: 1 if it is in memory.  EINVAL: unaligned; ENOMEM: holes; EFAULT."""
    if addr & PAGE_MASK:
        raise KernelError(E.INVAL)
    end = page_up(addr + length)
    if end > USER_TOP:
        raise KernelError(E.NOMEM)
    regions = list(t.space.map.overlapping(addr, end))
    if vec + (end - addr >> 12) > USER_TOP:
        raise KernelError(E.FAULT)
    for region in regions:
        first, last = max(addr, region.start), min(end, region.end)
        if not covers(regions, addr, last):
            break
        _write_residence(t.space, region, first, last, vec + (first - addr >> 12))
    if not covers(regions, addr, end):
        raise KernelError(E.NOMEM)
    return 0


def _write_residence(space: AddressSpace, region: Region, first: int, last: int, vec: int) -> None:
    step = PAGE_SIZE * PAGE_SIZE
    for start in range(first, last, step):
        pages = range(start, min(last, start + step), PAGE_SIZE)
        answer = bytes(residency.is_resident(space, region, va) for va in pages)
        space.write(vec + (start - first >> 12), answer)


@syscall(149)
def mlock(k: Kernel, t: Thread, addr: Ptr, length: Size) -> int:
    """Bring a range into memory and keep it there.  EINVAL; ENOMEM: holes, pages that cannot be
    accessed, or past RLIMIT_MEMLOCK; EPERM: that limit is 0; EAGAIN: no memory."""
    return _lock(t, addr, length, on_fault=False)


@syscall(325)
def mlock2(k: Kernel, t: Thread, addr: Ptr, length: Size, flags: Flags) -> int:
    """As mlock, but MLOCK_ONFAULT locks a page at its first use.  EINVAL: other flags."""
    if flags & ~MLOCK_ONFAULT:
        raise KernelError(E.INVAL)
    return _lock(t, addr, length, on_fault=bool(flags))


def _lock(t: Thread, addr: int, length: int, *, on_fault: bool) -> int:
    start, end = _pages_around(addr, length)
    _check_may_lock(t)
    locked = sum(
        min(end, region.end) - max(start, region.start)
        for region in t.space.map.overlapping(start, end)
        if region.flags & LOCKED
    )
    if not limits.may_lock(t.process, t.space, end - start - locked):
        raise KernelError(E.NOMEM)
    if end > start:
        residency.lock(t.space, start, end, on_fault=on_fault)
    return 0


def _check_may_lock(t: Thread) -> None:
    """Raises EPERM if the process may lock nothing at all."""
    if not (t.process.credentials.is_root or limits.soft(t.process, limits.MEMLOCK)):
        raise KernelError(E.PERM)


def _pages_around(addr: int, length: int) -> tuple[int, int]:
    """The pages that a range touches.  A length wraps, as on Linux.  Raises EINVAL past the end."""
    start = addr & ~PAGE_MASK
    end = start + (page_up(addr - start + length) & ADDRESS_MASK)
    if end > ADDRESS_MASK:
        raise KernelError(E.INVAL)
    return start, end


@syscall(150)
def munlock(k: Kernel, t: Thread, addr: Ptr, length: Size) -> int:
    """Undo mlock for a range.  EINVAL; ENOMEM: it has holes."""
    start, end = _pages_around(addr, length)
    if end > start:
        residency.unlock(t.space, start, end)
    return 0


@syscall(151)
def mlockall(k: Kernel, t: Thread, flags: Int) -> int:
    """Lock mappings in memory: all present ones (MCL_CURRENT), all later ones (MCL_FUTURE); with
    MCL_ONFAULT a page only at its first use.  EINVAL: other flags; EPERM, ENOMEM: as mlock."""
    known = MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT
    if flags & ~known or not flags & (MCL_CURRENT | MCL_FUTURE):
        raise KernelError(E.INVAL)
    _check_may_lock(t)
    limit, is_root = limits.soft(t.process, limits.MEMLOCK), t.process.credentials.is_root
    if flags & MCL_CURRENT and not is_root and t.space.map.size_bytes() > limit:
        raise KernelError(E.NOMEM)
    t.space.locks_new = flags if flags & MCL_FUTURE else 0
    if flags & MCL_CURRENT:
        for region in list(t.space.map):
            with suppress(KernelError):  # as on Linux, a failure here is no error
                t.space.mark(region.start, region.end, LOCKED)
                if not flags & MCL_ONFAULT:
                    residency.populate(t.space, region.start, region.end)
    return 0


@syscall(152)
def munlockall(k: Kernel, t: Thread) -> int:
    """Undo every mlock, and MCL_FUTURE."""
    t.space.locks_new = 0
    for region in list(t.space.map):
        t.space.mark(region.start, region.end, 0, LOCKED)
    return 0


@syscall(324)
def membarrier(k: Kernel, t: Thread, cmd: Int, flags: Flags, cpu_id: Int) -> int:
    """A memory barrier on all cores.  Stores are visible at once here, so it has nothing to do.

    `cmd` 0 returns which commands exist.  EINVAL: unknown; EPERM: not registered for it.
    """
    if flags:
        raise KernelError(E.INVAL)
    if cmd == BARRIER_QUERY:
        return BARRIERS
    if cmd not in (1, 2, 4, 8, 0x10, 0x20, 0x40):
        raise KernelError(E.INVAL)
    if cmd in REGISTRATION_FOR and not t.process.space.barriers & REGISTRATION_FOR[cmd]:
        raise KernelError(E.PERM)
    t.process.space.barriers |= cmd
    return 0
