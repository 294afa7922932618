"""System calls on memory.  mmap(2), munmap(2), mprotect(2), mremap(2), brk(2)."""

from __future__ import annotations

import struct
from contextlib import suppress

from hw.memory import PAGE_MASK
from kernel.abi.errno import E, KernelError
from kernel.abi.nodes import O_ACCMODE, O_PATH, O_RDWR, O_WRONLY
from kernel.kernel import Kernel
from kernel.mm import remap, residency
from kernel.mm.pagetable import PROT_EXEC, PROT_READ, PROT_WRITE
from kernel.mm.residency import MCL_ONFAULT
from kernel.mm.space import (
    LOCKED,
    MAP_LOWEST,
    MAP_TOP,
    STAYS_READ_ONLY,
    AddressSpace,
    Region,
    page_up,
)
from kernel.syscalls import Fd, Flags, Int, Ptr, Size, syscall
from kernel.task.process import Thread

MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE, MAP_TYPE = 1, 2, 3, 0xF
MAP_FIXED, MAP_ANONYMOUS, MAP_GROWSDOWN = 0x10, 0x20, 0x100
MAP_DENYWRITE, MAP_EXECUTABLE, MAP_LOCKED, MAP_NORESERVE = 0x800, 0x1000, 0x2000, 0x4000
MAP_POPULATE, MAP_NONBLOCK, MAP_STACK, MAP_HUGETLB = 0x8000, 0x10000, 0x20000, 0x40000
MAP_FIXED_NOREPLACE = 0x100000
MAP_32BIT, MAP_ABOVE4G, MAP_HUGE_SIZES = 0x40, 0x80, 0x7C000000
KNOWN_BY_VALIDATE = (
    MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_DENYWRITE | MAP_EXECUTABLE
    | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB
    | MAP_32BIT | MAP_ABOVE4G | MAP_HUGE_SIZES
)  # fmt: skip
PROT_SEM, PROT_ALL = 8, PROT_READ | PROT_WRITE | PROT_EXEC
_Shape = tuple[int, int, int]
"""Start, end and rights of a mapping."""
MAX_FILE_BYTES, MAX_BYTES = (1 << 63) - 1, 1 << 62
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
    MAP_SHARED_VALIDATE; EFAULT: an attached view shows something else there; EACCES: inside a
    VAS that is attached for reading; EPERM: a segment is there.  Inside a VAS it is the VAS's.
    """
    anonymous = flags & MAP_ANONYMOUS
    if offset & PAGE_MASK:
        raise KernelError(E.INVAL)
    if not anonymous and t.process.descriptors.get(fd).flags & O_PATH:
        raise KernelError(E.BADF)
    if not length:
        raise KernelError(E.INVAL)
    size = page_up(length)
    if size > MAP_TOP:
        raise KernelError(E.NOMEM)
    if not anonymous and offset + size > MAX_FILE_BYTES:
        raise KernelError(E.OVERFLOW)
    start = _place(t, addr, size, flags)
    _check_kind(flags)
    shape = (start, start + size, prot & PROT_ALL)
    if anonymous:
        region = _anonymous_region(k, shape, flags)
    else:
        region = _file_region(k, t, fd, shape, flags, offset)
    if flags & MAP_FIXED:
        t.space.claim(start, start + size)
        t.space.unmap(start, start + size)
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


def _file_region(k: Kernel, t: Thread, fd: int, shape: _Shape, flags: int, offset: int) -> Region:
    """A region that shows a file.  Raises EACCES, ENODEV."""
    handle, private = t.process.descriptors.get(fd), flags & MAP_TYPE == MAP_PRIVATE
    mode, (start, end, prot) = handle.flags & O_ACCMODE, shape
    if mode == O_WRONLY or (not private and prot & PROT_WRITE and mode != O_RDWR):
        raise KernelError(E.ACCES)
    try:
        reply = k.ipc.call(t, handle, "object", (prot, flags))
    except KernelError as error:
        unknown = error.number in (E.INVAL, E.NOSYS)  # what the server does not serve
        raise KernelError(E.NODEV) if unknown else error from error
    file, page = k.ipc.published[reply.caps[0]], offset >> 12
    if private:
        return Region(start, end, prot, k.objects.private(file, page))
    file.changed |= mode == O_RDWR
    fixed = 0 if mode == O_RDWR else STAYS_READ_ONLY
    return Region(start, end, prot, file, page, shared=True, flags=fixed)


def _anonymous_region(k: Kernel, shape: _Shape, flags: int) -> Region:
    if flags & MAP_TYPE == MAP_PRIVATE:
        return Region(*shape, k.objects.anonymous())
    return Region(*shape, k.objects.shared(shape[1] - shape[0]), shared=True)


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
    region = t.space.map.at(index)
    resident = t.space.resident_pages(region)
    name = region.name.encode()[:31]
    shape = (region.start, region.end, region.prot, int(region.shared), resident, name)
    t.space.write(out, _REGION_LAYOUT.pack(*shape))
    return 0


@syscall(1212)
def null_call(k: Kernel, t: Thread) -> int:
    """Do nothing: what is left is the cost of a system call."""
    return 0
