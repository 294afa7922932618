"""System calls on memory.  mmap(2), munmap(2), mprotect(2), mremap(2), brk(2)."""

from __future__ import annotations

import struct
from contextlib import suppress

from hw.memory import PAGE_MASK
from kernel import futex as futexes
from kernel import remap, residency
from kernel.clock import timespec_to_cycles
from kernel.errno import E, KernelError
from kernel.kernel import Kernel
from kernel.objects import MemoryObject
from kernel.pagetable import PROT_EXEC, PROT_READ, PROT_WRITE
from kernel.process import Thread
from kernel.residency import MCL_ONFAULT
from kernel.space import LOCKED, MAP_LOWEST, MAP_TOP, AddressSpace, Region, page_up
from kernel.syscalls import Fd, Flags, Int, Ptr, Size, syscall

MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE, MAP_TYPE = 1, 2, 3, 0xF
MAP_FIXED, MAP_ANONYMOUS, MAP_GROWSDOWN = 0x10, 0x20, 0x100
MAP_DENYWRITE, MAP_EXECUTABLE, MAP_LOCKED, MAP_NORESERVE = 0x800, 0x1000, 0x2000, 0x4000
MAP_POPULATE, MAP_NONBLOCK, MAP_STACK, MAP_HUGETLB = 0x8000, 0x10000, 0x20000, 0x40000
MAP_FIXED_NOREPLACE = 0x100000
KNOWN_BY_VALIDATE = (
    MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_DENYWRITE | MAP_EXECUTABLE
    | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB
)  # fmt: skip
PROT_SEM, PROT_ALL = 8, PROT_READ | PROT_WRITE | PROT_EXEC
MAX_FILE_PAGES, MAX_BYTES = 1 << 52, 1 << 62
FUTEX_WAIT, FUTEX_WAKE, FUTEX_COMMAND = 0, 1, 0x7F
_PAGE_LAYOUT = struct.Struct("<QQQQ")
_REGION_LAYOUT = struct.Struct("<QQIIQ32s")


@syscall(9)
def mmap(
    k: Kernel, t: Thread, addr: Ptr, length: Size, prot: Int, flags: Int, fd: Fd, offset: Size
) -> int:
    """Map `length` bytes of a file or of zero-filled memory, at `addr` if that is free or
    MAP_FIXED is given; returns the address.

    EINVAL: no length, unaligned, or neither shared nor private; ENOMEM: no room; EPERM: too low;
    EEXIST: MAP_FIXED_NOREPLACE and something is there; EBADF; EACCES: the file is not open for
    that; ENODEV: it cannot be mapped; EOVERFLOW: past every file; EOPNOTSUPP: unknown flags and
    MAP_SHARED_VALIDATE.
    """
    anonymous = flags & MAP_ANONYMOUS
    if offset & PAGE_MASK:
        raise KernelError(E.INVAL)
    if not anonymous:
        t.process.descriptors.get(fd)
    if not length:
        raise KernelError(E.INVAL)
    size = page_up(length)
    if size > MAP_TOP:
        raise KernelError(E.NOMEM)
    if (offset + size >> 12) > MAX_FILE_PAGES:
        raise KernelError(E.OVERFLOW)
    start = _place(t, addr, size, flags)
    _check_kind(flags)
    file = None if anonymous else _file(k, t, fd, prot, flags)
    if flags & MAP_FIXED:
        t.space.unmap(start, start + size)
    region = _region(k, start, size, prot & PROT_ALL, flags, file, offset)
    t.space.map_region(region)
    _make_resident(t.space, region, flags)
    return start


def _place(t: Thread, addr: int, size: int, flags: int) -> int:
    """Where the mapping goes; nothing has changed yet."""
    if not flags & (MAP_FIXED | MAP_FIXED_NOREPLACE):
        return t.space.place(size, addr & ~PAGE_MASK)
    if addr + size > MAP_TOP:
        raise KernelError(E.NOMEM)
    if addr & PAGE_MASK:
        raise KernelError(E.INVAL)
    if addr < MAP_LOWEST:
        raise KernelError(E.PERM)
    if flags & MAP_FIXED_NOREPLACE and t.space.map.overlapping(addr, addr + size):
        raise KernelError(E.EXIST)
    return addr


def _check_kind(flags: int) -> None:
    kind, anonymous = flags & MAP_TYPE, flags & MAP_ANONYMOUS
    if kind == MAP_SHARED_VALIDATE and not anonymous:
        if flags & 0xFFFF_FFFF & ~KNOWN_BY_VALIDATE:
            raise KernelError(E.OPNOTSUPP)
    elif kind not in (MAP_SHARED, MAP_PRIVATE):
        raise KernelError(E.INVAL)
    if flags & MAP_GROWSDOWN and (kind != MAP_PRIVATE or not anonymous):
        raise KernelError(E.INVAL)


def _file(k: Kernel, t: Thread, fd: int, prot: int, flags: int) -> MemoryObject:
    """The memory object behind a descriptor.  Raises EACCES, ENODEV."""
    handle = t.process.descriptors.get(fd)
    try:
        reply = k.ipc.call(t, handle, "object", (prot, flags))
    except KernelError as error:
        unknown = error.number in (E.INVAL, E.NOSYS)  # what the server does not serve
        raise KernelError(E.NODEV) if unknown else error from error
    return k.ipc.port.published[reply.caps[0]]


def _region(
    k: Kernel, start: int, size: int, prot: int, flags: int, file: MemoryObject | None, offset: int
) -> Region:
    end, page = start + size, offset >> 12
    if flags & MAP_TYPE == MAP_PRIVATE:
        memory = k.objects.private(file, page) if file is not None else k.objects.anonymous()
        return Region(start, end, prot, memory)
    if file is None:
        return Region(start, end, prot, k.objects.shared(size), shared=True)
    return Region(start, end, prot, file, page, shared=True)


def _make_resident(space: AddressSpace, region: Region, flags: int) -> None:
    """MAP_LOCKED, MAP_POPULATE, and what mlockall said of mappings to come."""
    if flags & MAP_LOCKED or space.locks_new:
        region.flags |= LOCKED
    wanted = flags & MAP_POPULATE and not flags & MAP_NONBLOCK
    if wanted or (region.flags & LOCKED and not space.locks_new & MCL_ONFAULT):
        with suppress(KernelError):  # mmap(2): it does not fail if that does
            residency.populate(space, region.start, region.end)


@syscall(10)
def mprotect(k: Kernel, t: Thread, addr: Ptr, length: Size, prot: Int) -> int:
    """Change what may be done with a range.  EINVAL: unaligned, or unknown rights; ENOMEM: it has
    holes; EACCES: stores to a shared file that is open for reading."""
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
    """Remove whatever is mapped in a range.  EINVAL: unaligned, empty or outside user memory."""
    if addr & PAGE_MASK or not length or addr + length > MAP_TOP:
        raise KernelError(E.INVAL)
    t.space.unmap(addr, addr + page_up(length))
    return 0


@syscall(25)
def mremap(
    k: Kernel, t: Thread, old_address: Ptr, old_size: Size, new_size: Size, flags: Flags, new: Ptr
) -> int:
    """Change the size of a mapping, or its place (MREMAP_MAYMOVE, MREMAP_FIXED); returns where it
    is.  EINVAL: wrong flags or ranges; EFAULT: it is not one mapping; ENOMEM: no room."""
    sizes = min(old_size, MAX_BYTES), min(new_size, MAX_BYTES)
    return remap.remap(t.space, old_address, *sizes, flags, new)


@syscall(12)
def brk(k: Kernel, t: Thread, addr: Ptr) -> int:
    """Move the end of the heap to `addr`; returns where it is now, changed or not."""
    before = page_up(t.space.break_end)
    now = t.space.set_break(addr)
    heap = t.space.map.find(before)
    if now > before and heap is not None and t.space.locks_new:
        _make_resident(t.space, heap, 0)
    return now


@syscall(202)
def futex(
    k: Kernel, t: Thread, uaddr: Ptr, op: Int, val: Flags, timeout: Ptr, uaddr2: Ptr, val3: Flags
) -> int:
    """FUTEX_WAIT: sleep while *uaddr is val.  FUTEX_WAKE: wake val sleepers, returns how many.

    EAGAIN: *uaddr was not val; ETIMEDOUT; EINTR; EFAULT; EINVAL: unaligned; ENOSYS: another op.
    """
    command = op & FUTEX_COMMAND
    if command == FUTEX_WAKE:
        return futexes.wake(k, t, uaddr, val)
    if command != FUTEX_WAIT:
        raise KernelError(E.NOSYS)
    limit = timespec_to_cycles(t.space.read(timeout, 16)) if timeout else None
    return futexes.wait(k, t, uaddr, val, limit)


@syscall(1210)
def vantage_translate(k: Kernel, t: Thread, va: Ptr, out: Ptr) -> int:
    """What the page tables say about `va`: leaf entry, physical address, level, and the frame's
    reference count.  EFAULT: nothing is mapped there now, or `out` is bad."""
    entry = t.space.table.lookup(va & ~PAGE_MASK)
    if not entry & 1:
        raise KernelError(E.FAULT)
    pfn = entry >> 12 & (1 << 28) - 1
    pa = pfn << 12 | va & PAGE_MASK
    t.space.write(out, _PAGE_LAYOUT.pack(entry, pa, 1, k.frames.refs[pfn]))
    return 0


@syscall(1211)
def vantage_region(k: Kernel, t: Thread, index: Size, out: Ptr) -> int:
    """The `index`-th region of the caller's address space.  ENOENT: there are not so many."""
    if index >= len(t.space.map):
        raise KernelError(E.NOENT)
    region = t.space.map.regions[index]
    resident = t.space.resident_pages(region)
    name = region.name.encode()[:31]
    shape = (region.start, region.end, region.prot, int(region.shared), resident, name)
    t.space.write(out, _REGION_LAYOUT.pack(*shape))
    return 0


@syscall(1212)
def null_call(k: Kernel, t: Thread) -> int:
    """Do nothing: what is left is the cost of a system call."""
    return 0
