"""System calls on the memory of another process.  process_vm_readv(2).

Nothing is shared and nothing is mapped: the kernel copies from one space to another, once.  So
this is the rival without a memory object of its own, and the data that it moves has two copies.
"""

from __future__ import annotations

from collections.abc import Iterator

from kernel.abi.errno import E, KernelError
from kernel.kernel import Kernel
from kernel.mm.pagetable import PROT_READ, PROT_WRITE
from kernel.mm.space import AddressSpace
from kernel.syscalls.table import Pid, Ptr, Size, syscall
from kernel.syscalls.transfer import CHUNK_BYTES, vector_array, vectors
from kernel.task.process import Process, Thread

DUMPED_BY_USER = 1
"""What PR_SET_DUMPABLE sets where a process may be looked into by others of its user."""


@syscall(310)
def process_vm_readv(
    k: Kernel, t: Thread, pid: Pid, lvec: Ptr, liovcnt: Size, rvec: Ptr, riovcnt: Size, flags: Size
) -> int:
    """Copy from the buffers `rvec` of process `pid` into the caller's buffers `lvec`; returns how
    many bytes, up to the first page that cannot be read or stored to.

    EINVAL: flags, or a wrong number or length of buffers; EFAULT: nothing could be copied; ESRCH:
    no such process; EPERM: not of the same user.
    """
    return _move(k, t, pid, (lvec, liovcnt), (rvec, riovcnt), flags=flags, writes=False)


@syscall(311)
def process_vm_writev(
    k: Kernel, t: Thread, pid: Pid, lvec: Ptr, liovcnt: Size, rvec: Ptr, riovcnt: Size, flags: Size
) -> int:
    """Copy from the caller's buffers `lvec` into the buffers `rvec` of process `pid`.  As
    process_vm_readv."""
    return _move(k, t, pid, (lvec, liovcnt), (rvec, riovcnt), flags=flags, writes=True)


def _move(
    k: Kernel,
    t: Thread,
    pid: int,
    own: tuple[int, int],
    other: tuple[int, int],
    *,
    flags: int,
    writes: bool,
) -> int:
    """The order of the checks is Linux's: buffers first, and nothing to do is no error."""
    if flags:
        raise KernelError(E.INVAL)
    local = vectors(t, *own)
    if not local.size_bytes:
        return 0
    remote = vector_array(t, *other)
    if not any(size for _, size in remote):
        return 0
    space = _space_of(k, t, pid)
    move, done = _write if writes else _read, 0
    for here, there, size in _runs(local.parts, remote):
        try:
            moved = move(t.space, space, here, there, size)
        except KernelError:
            if not done:
                raise
            break
        done += moved
        if moved < size:
            break
    if not done:
        raise KernelError(E.FAULT)
    return done


def _runs(
    local: tuple[tuple[int, int], ...], remote: tuple[tuple[int, int], ...]
) -> Iterator[tuple[int, int, int]]:
    """Address here, address there and bytes of each run that lies in one buffer on both sides."""
    others = iter(remote)
    there = left = 0
    for here, size in local:
        while size:
            while not left:
                following = next(others, None)
                if following is None:
                    return
                there, left = following
            step = min(size, left, CHUNK_BYTES)
            yield here, there, step
            here, there, size, left = here + step, there + step, size - step, left - step


def _read(own: AddressSpace, other: AddressSpace, here: int, there: int, size: int) -> int:
    """Copy a run to the caller; returns how many bytes, which are fewer before a bad page.

    Raises EFAULT, ENOMEM.
    """
    room = own.room(here, _shown(other, there, size, PROT_READ))
    data = other.read_most(there, room)
    own.write(here, data)
    return len(data)


def _write(own: AddressSpace, other: AddressSpace, here: int, there: int, size: int) -> int:
    """Copy a run from the caller."""
    room = other.room(there, _shown(other, there, size, PROT_WRITE))
    data = own.read_most(here, room)
    other.write(there, data)
    return len(data)


def _shown(space: AddressSpace, start: int, size: int, right: int) -> int:
    """How many of these bytes lie in regions with a right, before the first that does not.

    The CPU reads what is mapped for writing or execution only; this call does not (Linux's
    mm/gup.c), and it lets no stack grow.
    """
    at, end = start, start + size
    while at < end:
        region = space.map.find(at)
        if region is None or not region.prot & right:
            break
        at = region.end
    return min(at, end) - start


def _space_of(k: Kernel, t: Thread, pid: int) -> AddressSpace:
    """What the thread with this id sees, or the leader of a process.  Raises ESRCH, EPERM."""
    thread = k.tasks.threads.get(pid)
    process = thread.process if thread is not None else k.tasks.processes.get(pid)
    if process is None or process.zombie:
        raise KernelError(E.SRCH)
    if not _may_look_into(t.process, process):
        raise KernelError(E.PERM)
    return process.space if thread is None else thread.space


def _may_look_into(process: Process, other: Process) -> bool:
    """Is it the same process, or one that has never been anybody else (ptrace(2), "access mode
    checking", with real ids)?"""
    who, them = process.credentials, other.credentials
    if other is process or who.is_root:
        return True
    uids = {them.real_uid, them.uid, them.saved_uid}
    gids = {them.real_gid, them.gid, them.saved_gid}
    same = uids == {who.real_uid} and gids == {who.real_gid}
    return same and other.dumpable == DUMPED_BY_USER
