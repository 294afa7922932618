"""System calls on memory.  mmap(2), munmap(2), mprotect(2), mremap(2), brk(2)."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass

from hw.memory import PAGE_MASK
from kernel.abi.errno import E, KernelError
from kernel.abi.nodes import O_ACCMODE, O_PATH, O_RDWR, O_WRONLY
from kernel.kernel import Kernel
from kernel.mm import heap, remap, residency
from kernel.mm.layout import MAP_LOWEST, MAP_TOP, page_up
from kernel.mm.pagetable import PROT_EXEC, PROT_READ, PROT_WRITE
from kernel.mm.regions import LOCKED, STAYS_READ_ONLY, Region
from kernel.mm.residency import MCL_ONFAULT
from kernel.mm.space import AddressSpace
from kernel.syscalls.table import Fd, Flags, Int, Ptr, Size, syscall
from kernel.task import limits
from kernel.task.process import Thread

MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE, MAP_TYPE = 1, 2, 3, 0xF
MAP_FIXED, MAP_ANONYMOUS, MAP_GROWSDOWN = 0x10, 0x20, 0x100
MAP_DENYWRITE, MAP_EXECUTABLE, MAP_LOCKED, MAP_NORESERVE = 0x800, 0x1000, 0x2000, 0x4000
MAP_POPULATE, MAP_NONBLOCK, MAP_STACK, MAP_HUGETLB = 0x8000, 0x10000, 0x20000, 0x40000
MAP_SYNC, MAP_FIXED_NOREPLACE = 0x80000, 0x100000
MAP_32BIT, MAP_ABOVE4G, MAP_HUGE_SIZES = 0x40, 0x80, 0x7C000000
_PLACES = MAP_FIXED | MAP_32BIT | MAP_ABOVE4G | MAP_GROWSDOWN | MAP_STACK
_PAGES = MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_HUGETLB | MAP_HUGE_SIZES
_OLD = MAP_DENYWRITE | MAP_EXECUTABLE
KNOWN_BY_VALIDATE = MAP_TYPE | MAP_ANONYMOUS | _PLACES | _PAGES | _OLD
"""The flags that MAP_SHARED_VALIDATE accepts."""
PROT_SEM, PROT_ALL = 8, PROT_READ | PROT_WRITE | PROT_EXEC
MAX_FILE_BYTES, MAX_BYTES = (1 << 63) - 1, 1 << 62
_PAGE_LAYOUT = struct.Struct("<QQQQ")
_REGION_LAYOUT = struct.Struct("<QQIIQ32s")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What mmap shall map: bounds, rights and the flags of the call."""

    start: int
    end: int
    prot: int
    flags: int

    @property
    def private(self) -> bool:
        return self.flags & MAP_TYPE == MAP_PRIVATE


@syscall(9)
def mmap(
    k: Kernel, t: Thread, addr: Ptr, length: Size, prot: Int, flags: Int, fd: Fd, offset: Size
) -> int:
    """Map `length` bytes of a file or of zero-filled memory, at `addr` if that is free or under
    MAP_FIXED; returns the address.  Inside a VAS the mapping belongs to the VAS.

    EINVAL: no length, unaligned, or neither shared nor private; ENOMEM: no room; EPERM: too low;
    EEXIST: MAP_FIXED_NOREPLACE, or a file of /segs, which has one place, and something is there or
    in an attached view; EINVAL: such a file elsewhere or past its end; EBADF; EACCES: the
    file is not open for that; ENODEV: it cannot be mapped; EOVERFLOW: past every file; EOPNOTSUPP:
    unknown flags and MAP_SHARED_VALIDATE, or MAP_SYNC for a file that is not in NVM; EFAULT:
    MAP_FIXED and an attached view shows something else there; EACCES: inside a VAS that is attached
    for reading; EPERM: a segment is there, or stores to a sealed file.
    """
    anonymous = flags & MAP_ANONYMOUS
    if offset & PAGE_MASK:
        raise KernelError(E.INVAL)
    if not anonymous and t.descriptors.get(fd).flags & O_PATH:
        raise KernelError(E.BADF)
    if not length:
        raise KernelError(E.INVAL)
    size = page_up(length)
    if size > MAP_TOP:
        raise KernelError(E.NOMEM)
    if not anonymous and offset + size > MAX_FILE_BYTES:
        raise KernelError(E.OVERFLOW)
    start = place(t, addr, size, flags)
    _check_kind(flags)
    wanted = _Wanted(start, start + size, prot & PROT_ALL, flags)
    region = _anonymous(k, t, wanted) if anonymous else _of_file(k, t, wanted, fd, offset)
    return show(t, region, flags)


def show(t: Thread, region: Region, flags: int) -> int:
    """Map a region, under MAP_FIXED in the place of what is there; returns where it begins.

    Raises ENOMEM, EAGAIN and EPERM past a limit, and as mmap where a view shows something there.
    """
    try:
        _admit(t, region, flags)
        if flags & MAP_FIXED:
            t.space.claim(region.start, region.end)
            t.space.unmap(region.start, region.end)
        t.space.map_region(region)
    except KernelError:
        if not region.object.holds and region.object in region.object.family:
            # Nobody has had the object, and it holds its source.
            region.object.holds = 1
            t.space.shootdowns.release(region.object.drop())
        raise
    _make_resident(t.space, region, flags)
    return region.start


def place(t: Thread, addr: int, size: int, flags: int) -> int:
    """Where the mapping goes; it changes nothing yet.  Raises ENOMEM, EINVAL, EPERM, EEXIST."""
    if not flags & (MAP_FIXED | MAP_FIXED_NOREPLACE):
        return t.space.place(size, addr & ~PAGE_MASK)
    if addr + size > MAP_TOP:
        raise KernelError(E.NOMEM)
    if addr & PAGE_MASK:
        raise KernelError(E.INVAL)
    if addr < MAP_LOWEST:
        raise KernelError(E.PERM)
    if flags & MAP_FIXED_NOREPLACE and not is_free(t, addr, addr + size):
        raise KernelError(E.EXIST)
    return addr


def is_free(t: Thread, start: int, end: int) -> bool:
    """Is nothing mapped in a range, here or in a view that would have to show both?"""
    return not t.space.map.busy(start, end) and t.space.clash(start, end) is None


def _check_kind(flags: int) -> None:
    kind, anonymous = flags & MAP_TYPE, flags & MAP_ANONYMOUS
    if kind == MAP_SHARED_VALIDATE and not anonymous:
        if flags & 0xFFFF_FFFF & ~(KNOWN_BY_VALIDATE | MAP_SYNC):
            raise KernelError(E.OPNOTSUPP)
    elif kind not in (MAP_SHARED, MAP_PRIVATE):
        raise KernelError(E.INVAL)
    if flags & MAP_GROWSDOWN and (kind != MAP_PRIVATE or not anonymous):
        raise KernelError(E.INVAL)


def _of_file(k: Kernel, t: Thread, wanted: _Wanted, fd: int, offset: int) -> Region:
    """A region that shows a file.  Raises EACCES, ENODEV; EINVAL: huge pages; EPERM: it is
    sealed."""
    handle, start, end, prot = t.descriptors.get(fd), wanted.start, wanted.end, wanted.prot
    in_step = wanted.flags & MAP_SYNC and wanted.flags & MAP_TYPE == MAP_SHARED_VALIDATE
    if in_step and not k.ipc.is_of(handle, "nvm"):
        raise KernelError(E.OPNOTSUPP)
    mode = handle.flags & O_ACCMODE
    if mode == O_WRONLY or (not wanted.private and prot & PROT_WRITE and mode != O_RDWR):
        raise KernelError(E.ACCES)
    if wanted.flags & MAP_HUGETLB:
        raise KernelError(E.INVAL)
    fixed = 0 if mode == O_RDWR else STAYS_READ_ONLY
    try:
        reply = k.ipc.call(t, handle, "object", words=(prot, wanted.flags))
    except KernelError as error:
        unknown = error.number in (E.INVAL, E.NOSYS)  # what the server does not serve
        raise KernelError(E.NODEV) if unknown else error from error
    if not reply.caps:
        region = _anonymous(k, t, wanted)
        region.flags |= fixed if region.shared else 0
        return region
    file, page = k.ipc.published[reply.caps[0]], offset >> 12
    if reply.words:
        start, end = _own_place(t, wanted, reply.words, offset)
    if wanted.private:
        return Region(start, end, prot, k.memory.objects.private(file, page))
    if file.sealed and prot & PROT_WRITE:
        raise KernelError(E.PERM)
    if file.sealed:
        fixed = STAYS_READ_ONLY
    file.changed |= not fixed
    return Region(start, end, prot, file, page, shared=True, flags=fixed)


def _own_place(t: Thread, wanted: _Wanted, own: tuple[int, ...], offset: int) -> tuple[int, int]:
    """Where a file that has a place of its own, a segment of /segs, can be mapped: only there.

    Raises EINVAL: past its end, or MAP_FIXED elsewhere; EEXIST: something is there.
    """
    first, last = own
    start, size = first + offset, wanted.end - wanted.start
    asks = wanted.flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)
    if start + size > last or (asks and wanted.start != start):
        raise KernelError(E.INVAL)
    if not asks and not is_free(t, start, start + size):
        raise KernelError(E.EXIST)
    return start, start + size


def _admit(t: Thread, region: Region, flags: int) -> None:
    """Raises ENOMEM past RLIMIT_AS or RLIMIT_DATA, EAGAIN past RLIMIT_MEMLOCK.

    EPERM: MAP_LOCKED where nothing may be locked.
    """
    space, size = t.space, region.end - region.start
    replaced = 0
    if flags & MAP_FIXED and space.limits.count:
        for old in space.map.overlapping(region.start, region.end):
            replaced += min(old.end, region.end) - max(old.start, region.start)
    space.admit(size - replaced, size - replaced if region.is_data else 0)
    if flags & MAP_LOCKED and not limits.may_lock(t.process, space, 1):
        raise KernelError(E.AGAIN if limits.soft(t.process, limits.MEMLOCK) else E.PERM)
    if (flags & MAP_LOCKED or space.locks_new) and not limits.may_lock(t.process, space, size):
        raise KernelError(E.AGAIN)


def _anonymous(k: Kernel, t: Thread, wanted: _Wanted) -> Region:
    start, end, prot = wanted.start, wanted.end, wanted.prot
    if wanted.flags & MAP_GROWSDOWN:
        floor = t.space.limits.floor(end)
        memory, page = k.memory.objects.anonymous(), start - MAP_LOWEST >> 12
        return Region(start, end, prot, memory, page, floor=floor)
    if wanted.private:
        return Region(start, end, prot, k.memory.objects.anonymous())
    return Region(start, end, prot, k.memory.objects.shared(end - start), shared=True)


def _make_resident(space: AddressSpace, region: Region, flags: int) -> None:
    """Obey MAP_LOCKED and MAP_POPULATE, and MCL_FUTURE of an earlier mlockall."""
    if flags & MAP_LOCKED or space.locks_new:
        region.flags |= LOCKED
    wanted = flags & MAP_POPULATE and not flags & MAP_NONBLOCK
    if wanted or (region.flags & LOCKED and not space.locks_new & MCL_ONFAULT):
        with suppress(KernelError):  # mmap(2) does not fail if this does
            residency.populate(space, region.start, region.end)


@syscall(10)
def mprotect(k: Kernel, t: Thread, addr: Ptr, length: Size, prot: Int) -> int:
    """Change the rights of a range.  EINVAL: unaligned, or unknown rights; ENOMEM: it has holes;
    EACCES: stores to a shared file that is open for reading."""
    if addr & PAGE_MASK:
        raise KernelError(E.INVAL)
    if not length:
        return 0
    if addr + length > MAP_TOP:
        raise KernelError(E.NOMEM)
    if prot & ~(PROT_ALL | PROT_SEM):
        raise KernelError(E.INVAL)
    t.space.protect(addr, addr + page_up(length), prot & PROT_ALL)
    return 0


@syscall(11)
def munmap(k: Kernel, t: Thread, addr: Ptr, length: Size) -> int:
    """Remove all mappings from a range.  EINVAL: unaligned, empty or outside user memory."""
    if addr & PAGE_MASK or not length or addr + length > MAP_TOP:
        raise KernelError(E.INVAL)
    t.space.unmap(addr, addr + page_up(length))
    return 0


@syscall(25)
def mremap(
    k: Kernel, t: Thread, old_address: Ptr, old_size: Size, new_size: Size, flags: Flags, new: Ptr
) -> int:
    """Change the size of a mapping, or its place (MREMAP_MAYMOVE, MREMAP_FIXED); returns its new
    address.  EINVAL: wrong flags or ranges; EFAULT: it is not one mapping; ENOMEM: no room."""
    old_size, new_size = min(old_size, MAX_BYTES), min(new_size, MAX_BYTES)
    region = t.space.map.find(old_address)
    grows = page_up(new_size) - page_up(old_size)
    if region is not None and grows > 0 and not old_address & PAGE_MASK:
        t.space.admit(grows, grows if region.is_data else 0)
        if region.flags & LOCKED and not limits.may_lock(t.process, t.space, grows):
            raise KernelError(E.AGAIN)
    return remap.remap(t.space, old_address, old_size, new_size, flags=flags, target=new)


@syscall(12)
def brk(k: Kernel, t: Thread, addr: Ptr) -> int:
    """Move the end of the heap to `addr`; returns where it ends now, moved or not."""
    before = page_up(t.space.break_end)
    more = page_up(addr) - before
    if t.space.locks_new and more > 0 and not limits.may_lock(t.process, t.space, more):
        return t.space.break_end
    now = heap.set_break(t.space, addr)
    grown = t.space.map.find(before)
    if now > before and grown is not None and t.space.locks_new:
        _make_resident(t.space, grown, 0)
    return now


@syscall(1210)
def vantage_translate(k: Kernel, t: Thread, va: Ptr, out: Ptr) -> int:
    """What the page tables say about `va`: leaf entry, physical address, level, and the frame's
    reference count.  EFAULT: nothing is mapped there now, or `out` is bad."""
    entry = t.space.table.lookup(va & ~PAGE_MASK)
    if not entry & 1:
        raise KernelError(E.FAULT)
    pfn = entry >> 12 & (1 << 28) - 1
    pa = pfn << 12 | va & PAGE_MASK
    t.space.write(out, _PAGE_LAYOUT.pack(entry, pa, 1, k.memory.frames.refs[pfn]))
    return 0


@syscall(1211)
def vantage_region(k: Kernel, t: Thread, index: Size, out: Ptr) -> int:
    """The `index`-th region of the caller's address space.  ENOENT: there are fewer."""
    if index >= len(t.space.map):
        raise KernelError(E.NOENT)
    region = t.space.map.at(index)
    resident = sum(1 for _ in t.space.table.entries(region.start, region.end))
    name = region.name.encode()[:31]
    rights = (region.prot, int(region.shared))
    t.space.write(out, _REGION_LAYOUT.pack(region.start, region.end, *rights, resident, name))
    return 0


@syscall(1212)
def null_call(k: Kernel, t: Thread) -> int:
    """Do nothing, to measure the cost of a system call."""
    return 0
