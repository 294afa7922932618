"""System calls on memory.  mmap(2), munmap(2), mprotect(2), brk(2)."""

from __future__ import annotations

import struct

from hw.memory import PAGE_MASK
from kernel.errno import E, KernelError
from kernel.kernel import Kernel
from kernel.pagetable import PROT_EXEC, PROT_READ, PROT_WRITE
from kernel.process import Thread
from kernel.space import MAP_LOWEST, MAP_TOP, Region, page_up
from kernel.syscalls import Fd, Int, Long, Ptr, Size, syscall

MAP_SHARED, MAP_PRIVATE, MAP_TYPE, MAP_FIXED = 1, 2, 0xF, 0x10
MAP_ANONYMOUS, MAP_GROWSDOWN, MAP_FIXED_NOREPLACE = 0x20, 0x100, 0x100000
_PAGE_LAYOUT = struct.Struct("<QQQQ")
_REGION_LAYOUT = struct.Struct("<QQIIQ32s")


@syscall(9)
def mmap(
    k: Kernel, t: Thread, addr: Ptr, length: Size, prot: Int, flags: Int, fd: Fd, offset: Long
) -> int:
    """Map `length` bytes of zero-filled memory, at `addr` if that is free or MAP_FIXED is given.

    Returns the address.  EINVAL: no length, unaligned address or neither shared nor private;
    ENOMEM: no room; EEXIST: MAP_FIXED_NOREPLACE and something is there; EBADF: not anonymous;
    EFAULT: an attached view shows something else there; EACCES: inside a read-only VAS; EPERM: a
    segment is there.  Inside a VAS the memory belongs to the VAS.
    """
    kind = flags & MAP_TYPE
    if not length or kind not in (MAP_SHARED, MAP_PRIVATE) or prot & ~7:
        raise KernelError(E.INVAL)
    if not flags & MAP_ANONYMOUS:
        t.process.descriptors.get(fd)
        raise KernelError(E.ACCES)
    size = page_up(length)
    start = _place(t, addr, size, flags)
    memory = k.objects.anonymous()
    t.space.map_region(Region(start, start + size, prot, memory, shared=kind == MAP_SHARED))
    return start


def _place(t: Thread, addr: int, size: int, flags: int) -> int:
    if size > MAP_TOP:
        raise KernelError(E.NOMEM)
    if not flags & (MAP_FIXED | MAP_FIXED_NOREPLACE):
        return t.space.place(size, addr & ~PAGE_MASK)
    if addr & PAGE_MASK:
        raise KernelError(E.INVAL)
    if addr < MAP_LOWEST:
        raise KernelError(E.PERM)
    if addr + size > MAP_TOP:
        raise KernelError(E.NOMEM)
    if flags & MAP_FIXED_NOREPLACE and t.space.map.overlapping(addr, addr + size):
        raise KernelError(E.EXIST)
    t.space.claim(addr, addr + size)
    t.space.unmap(addr, addr + size)
    return addr


@syscall(10)
def mprotect(k: Kernel, t: Thread, addr: Ptr, length: Size, prot: Int) -> int:
    """Change what may be done with a range.  EINVAL: unaligned; ENOMEM: it has holes."""
    if addr & PAGE_MASK or prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC):
        raise KernelError(E.INVAL)
    if addr + length > MAP_TOP:
        raise KernelError(E.NOMEM)
    if length:
        t.space.protect(addr, addr + page_up(length), prot)
    return 0


@syscall(11)
def munmap(k: Kernel, t: Thread, addr: Ptr, length: Size) -> int:
    """Remove whatever is mapped in a range.  EINVAL: unaligned, empty or outside user memory."""
    if addr & PAGE_MASK or not length or addr + length > MAP_TOP:
        raise KernelError(E.INVAL)
    t.space.unmap(addr, addr + page_up(length))
    return 0


@syscall(12)
def brk(k: Kernel, t: Thread, addr: Ptr) -> int:
    """Move the end of the heap to `addr`; returns where it is now, changed or not."""
    return t.space.set_break(addr)


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
