"""System calls of System V shared memory.  shmget(2), shmat(2), shmdt(2), shmctl(2).

The server `shm` has the segments.  The core maps their memory objects, as mmap does with a file's.
"""

from __future__ import annotations

from hw import costs
from hw.memory import PAGE_MASK
from kernel.abi.errno import E, KernelError
from kernel.abi.message import Reply
from kernel.abi.shm import (
    DS_BYTES,
    IPC_INFO,
    IPC_RMID,
    IPC_SET,
    IPC_STAT,
    SHM_EXEC,
    SHM_INFO,
    SHM_LOCK,
    SHM_RDONLY,
    SHM_REMAP,
    SHM_RND,
    SHM_STAT,
    SHM_STAT_ANY,
    SHM_UNLOCK,
    SegmentStatus,
    pack_limits,
    pack_status,
    pack_usage,
    unpack_wish,
)
from kernel.kernel import Kernel
from kernel.mm.layout import MAP_TOP, page_up
from kernel.mm.pagetable import PROT_EXEC, PROT_READ, PROT_WRITE
from kernel.mm.regions import STAYS_READ_ONLY, Region
from kernel.syscalls.memory import MAP_FIXED, MAP_SHARED, is_free, place, show
from kernel.syscalls.table import Int, Ptr, Size, syscall
from kernel.task import limits
from kernel.task.process import Thread

READ_BY_ALL, WRITE_BY_ALL, EXECUTE_BY_ALL = 0o444, 0o222, 0o111


def _ask(k: Kernel, t: Thread, operation: str, *words: int) -> Reply:
    """Ask the server in the name of the effective user."""
    who = t.process.credentials
    shm, ids = k.ipc.well_known.shm, (who.uid, who.gid)
    return k.ipc.call(t, shm, operation, words, as_ids=ids)


@syscall(29, owner="shm")
def shmget(k: Kernel, t: Thread, key: Int, size: Size, flags: Int) -> int:
    """The id of the segment with a key, which IPC_CREAT makes; IPC_PRIVATE always makes one.

    ENOENT: there is none; EEXIST: IPC_EXCL; EACCES; EINVAL: a wrong size; ENOSPC: too many, or
    too much in all; ENOMEM: SHM_HUGETLB.
    """
    return _ask(k, t, "get", key, size, flags).result


@syscall(30)
def shmat(k: Kernel, t: Thread, id: Int, addr: Ptr, flags: Int) -> int:
    """Map a segment, where there is room or at `addr`; returns the address.

    SHM_RND rounds `addr` down, SHM_REMAP replaces what is there, SHM_RDONLY and SHM_EXEC are
    rights.  EINVAL: no such segment, unaligned, or something is there; EACCES; ENOMEM.  Inside a
    VAS the mapping belongs to the VAS.
    """
    start, fixed = _wanted_place(addr, flags), MAP_FIXED if addr else 0
    prot, wanted = PROT_READ, READ_BY_ALL
    if not flags & SHM_RDONLY:
        prot, wanted = prot | PROT_WRITE, wanted | WRITE_BY_ALL
    if flags & SHM_EXEC:
        prot, wanted = prot | PROT_EXEC, wanted | EXECUTE_BY_ALL
    if id < 0:
        raise KernelError(E.INVAL)
    memory = k.ipc.published[_ask(k, t, "attach", id, wanted).caps[0]]
    assert memory.size_bytes is not None
    size = page_up(memory.size_bytes)
    if size > MAP_TOP:
        raise KernelError(E.NOMEM)
    if start and not flags & SHM_REMAP and not _is_free(t, start, size):
        raise KernelError(E.INVAL)
    start = place(t, start, size, fixed)
    stays = STAYS_READ_ONLY if flags & SHM_RDONLY else 0
    region = Region(start, start + size, prot, memory, shared=True, flags=stays)
    return show(t, region, MAP_SHARED | fixed)


def _wanted_place(addr: int, flags: int) -> int:
    """Where a segment shall go; 0: anywhere.  Raises EINVAL."""
    if not addr:
        if flags & SHM_REMAP:
            raise KernelError(E.INVAL)
        return 0
    if addr & PAGE_MASK and not flags & SHM_RND:
        raise KernelError(E.INVAL)
    start = addr & ~PAGE_MASK
    if not start and flags & SHM_REMAP:
        raise KernelError(E.INVAL)
    return start


def _is_free(t: Thread, start: int, size: int) -> bool:
    """Is the range free?  One that wraps around is not."""
    return start + size < 1 << 64 and is_free(t, start, start + size)


@syscall(67)
def shmdt(k: Kernel, t: Thread, addr: Ptr) -> int:
    """Unmap the segment that was mapped at `addr`, or what is left of it.  EINVAL: none was."""
    if addr & PAGE_MASK:
        raise KernelError(E.INVAL)
    k.machine.charge(costs.REGION_FIND, (len(t.space.map) >> 4) + 1)
    parts = [
        region
        for region in t.space.map.overlapping(addr, MAP_TOP)
        if _is_segment(k, region) and region.start - addr >> 12 == region.page
    ]
    if not parts:
        raise KernelError(E.INVAL)
    memory = parts[0].object
    end = addr + page_up(memory.size_bytes or 0)
    for region in parts:
        if region is parts[0] or (region.object is memory and region.end <= end):
            t.space.unmap(region.start, region.end)
    return 0


def _is_segment(k: Kernel, region: Region) -> bool:
    return region.object.node[0] == k.ipc.well_known.shm.endpoint


@syscall(31, owner="shm")
def shmctl(k: Kernel, t: Thread, id: Int, command: Int, buf: Ptr) -> int:
    """Ask about a segment (IPC_STAT; SHM_STAT by its index), change it (IPC_SET), remove it
    (IPC_RMID), keep it in memory (SHM_LOCK, SHM_UNLOCK), or ask about all (IPC_INFO, SHM_INFO).

    SHM_STAT returns the id, IPC_INFO and SHM_INFO the highest index.  EINVAL: no such segment or
    command; EACCES: may not read it; EPERM: neither owner nor maker; EFAULT; ENOMEM.
    """
    if id < 0 or command < 0:
        raise KernelError(E.INVAL)
    if command in (IPC_STAT, SHM_STAT, SHM_STAT_ANY):
        return _stat(k, t, id, command, buf)
    if command in (IPC_INFO, SHM_INFO):
        return _info(k, t, command, buf)
    if command == IPC_SET:
        return _ask(k, t, "set", id, *unpack_wish(t.space.read(buf, DS_BYTES))).result
    if command == IPC_RMID:
        return _ask(k, t, "remove", id).result
    if command in (SHM_LOCK, SHM_UNLOCK):
        most = limits.soft(t.process, limits.MEMLOCK)
        return _ask(k, t, "lock", id, int(command == SHM_LOCK), most).result
    raise KernelError(E.INVAL)


def _stat(k: Kernel, t: Thread, id: int, command: int, buf: int) -> int:
    by_index, any_user = int(command != IPC_STAT), int(command == SHM_STAT_ANY)
    status = SegmentStatus(*_ask(k, t, "status", id, by_index, any_user).words)
    t.space.write(buf, pack_status(status))
    return status.id if by_index else 0


def _info(k: Kernel, t: Thread, command: int, buf: int) -> int:
    segments, pages, resident, swapped, all_pages, highest = _ask(k, t, "usage").words
    if command == IPC_INFO:
        t.space.write(buf, pack_limits(all_pages))
    else:
        t.space.write(buf, pack_usage(segments, pages, resident, swapped))
    return highest
