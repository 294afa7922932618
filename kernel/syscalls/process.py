"""System calls on processes and threads: how they begin, what they run, and how they end."""

from __future__ import annotations

import struct

from kernel.abi.errno import Blocked, E, KernelError
from kernel.ipc import paths
from kernel.kernel import Kernel
from kernel.life import elf
from kernel.life.life import (
    CLONE_VFORK,
    CLONE_VM,
    WALL,
    WCLONE,
    WCONTINUED,
    WEXITED,
    WNOHANG,
    WNOWAIT,
    WSTOPPED,
    Change,
    CloneRequest,
)
from kernel.syscalls.limits import pack_rusage
from kernel.syscalls.table import Flags, Int, Long, Path, Pid, Ptr, Size, syscall
from kernel.task import limits
from kernel.task.process import Thread
from kernel.wait.signals import SIGCHLD

P_ALL, P_PID, P_PGID, P_PIDFD = range(4)
WNOTHREAD = 0x2000_0000
WAIT4_OPTIONS = WNOHANG | WSTOPPED | WCONTINUED | WNOTHREAD | WALL | WCLONE
WAITID_OPTIONS = WAIT4_OPTIONS | WEXITED | WNOWAIT
LOWEST_PID = -(1 << 31)
MAX_RANDOM_BYTES, RANDOM_CHUNK_BYTES = (32 << 20) - 1, 1 << 16
_CHILD_INFO = struct.Struct("<iiiiIIi")


@syscall(39)
def getpid(k: Kernel, t: Thread) -> int:
    """The id of the calling process."""
    return t.process.seen(t.process.pid)


@syscall(56, stops_guest=True)
def clone(
    k: Kernel, t: Thread, flags: Long, stack: Ptr, parent_tid: Ptr, child_tid: Ptr, tls: Ptr
) -> int:
    """Make a thread (CLONE_VM | CLONE_SIGHAND | CLONE_THREAD) or a process.

    Returns its id, and 0 in it.  EAGAIN: too many tasks; ENOMEM; EINVAL: flags do not fit.
    """
    return _clone(k, t, CloneRequest(flags, stack, parent_tid, child_tid, tls))


@syscall(57, stops_guest=True)
def fork(k: Kernel, t: Thread) -> int:
    """Make a process with a copy-on-write copy of this one's memory.  EAGAIN, ENOMEM."""
    return _clone(k, t, CloneRequest())


@syscall(58, stops_guest=True)
def vfork(k: Kernel, t: Thread) -> int:
    """As fork, but on the same memory, and the caller sleeps until exec or exit of the child."""
    return _clone(k, t, CloneRequest(CLONE_VM | CLONE_VFORK | SIGCHLD))


def _clone(k: Kernel, t: Thread, request: CloneRequest) -> int:
    call = t.current_call()
    if not call.child:
        call.child = k.life.clone(t, request).tid
    child = k.tasks.processes.get(call.child)
    borrowed = child is not None and not child.zombie and child.space is t.process.space
    if request.flags & CLONE_VFORK and borrowed:
        raise Blocked(("vfork", call.child, 0), interruptible=False)
    return call.child


@syscall(59, stops_guest=True)
def execve(k: Kernel, t: Thread, path: Path, argv: Ptr, envp: Ptr) -> int | None:
    """Run another program in this process.

    ENOENT; EACCES; ENOEXEC: not a static x86-64 ELF; E2BIG; ENOMEM; EFAULT.
    """
    name = paths.read(t, path)
    room = elf.max_argument_bytes(limits.soft(t.process, limits.STACK))
    arguments = _string_list(t, argv, room) or [b""]
    room -= sum(len(argument) + 9 for argument in arguments)
    k.life.exec(t, name, arguments, _string_list(t, envp, room))
    return None


def _string_list(t: Thread, address: int, room: int) -> list[bytes]:
    """The strings of an array that ends with NULL.  Raises E2BIG: they and the pointers to them
    take more than `room` bytes, or one is too long; EFAULT."""
    strings: list[bytes] = []
    while address and (at := t.space.read_u64(address + 8 * len(strings))):
        try:
            strings.append(t.space.read_string(at, elf.MAX_STRING_BYTES))
        except KernelError as error:
            too_long = error.number == E.NAMETOOLONG
            raise KernelError(E.BIG if too_long else error.number) from error
        room -= len(strings[-1]) + 1 + 8
        if room < 0:
            raise KernelError(E.BIG)
    return strings


@syscall(60)
def exit(k: Kernel, t: Thread, status: Int) -> None:
    """End the calling thread; the last one ends the process."""
    k.life.exit_thread(t, (status & 0xFF) << 8)


@syscall(231)
def exit_group(k: Kernel, t: Thread, status: Int) -> None:
    """End the process, with all its threads."""
    k.life.exit_process(t.process, (status & 0xFF) << 8)


@syscall(61)
def wait4(k: Kernel, t: Thread, pid: Pid, status: Ptr, options: Flags, usage: Ptr) -> int:
    """Wait for a child to end, to stop (WUNTRACED) or to continue (WCONTINUED); returns its pid.

    WNOHANG: 0 if there is none yet.  `usage` gets its processor time.  ECHILD: there is none to
    wait for; EINVAL: unknown options; ESRCH: a group that cannot be; EINTR; EFAULT.
    """
    if options & ~WAIT4_OPTIONS:
        raise KernelError(E.INVAL)
    if pid == LOWEST_PID:
        raise KernelError(E.SRCH)
    change = k.life.wait(t.process, pid, options | WEXITED)
    if change.pid and status:
        t.space.write(status, change.wait_status.to_bytes(4, "little"))
    if change.pid and usage:
        t.space.write(usage, pack_rusage(change.usage))
    return change.pid


@syscall(247)
def waitid(k: Kernel, t: Thread, kind: Int, id: Pid, info: Ptr, options: Flags, usage: Ptr) -> int:
    """Wait as wait4 does, but only for the changes in `options`, and store one as a siginfo_t.

    WNOWAIT: the next wait can report the same change.
    ECHILD; EINVAL: no such kind or options; EINTR; EFAULT; of a descriptor for a process (P_PIDFD):
    EBADF; EAGAIN: it does not wait, and there is none yet.
    """
    if options & ~WAITID_OPTIONS or not options & (WEXITED | WSTOPPED | WCONTINUED):
        raise KernelError(E.INVAL)
    try:
        change = _wait_for(k, t, kind, id, options)
    except KernelError:
        _tell(t, info, Change())
        raise
    _tell(t, info, change)
    if change.pid and usage:
        t.space.write(usage, pack_rusage(change.usage))
    return 0


def _wait_for(k: Kernel, t: Thread, kind: int, id: int, options: int) -> Change:
    if kind != P_PIDFD:
        return k.life.wait(t.process, _which(t, kind, id), options)
    if id >> 31:
        raise KernelError(E.INVAL)
    handle = t.descriptors.process(id)
    waits = WNOHANG if not handle.blocks else 0
    change = k.life.wait(t.process, handle.badge, options | waits)
    if not change.pid and not options & WNOHANG:
        raise KernelError(E.AGAIN)
    return change


def _which(t: Thread, kind: int, id: int) -> int:
    """Which children waitid means, as the `pid` of wait4."""
    if kind == P_ALL:
        return -1
    if kind == P_PID and id > 0:
        return id
    if kind == P_PGID and id >= 0:
        return -(id or t.process.group)
    raise KernelError(E.INVAL)


def _tell(t: Thread, info: int, change: Change) -> None:
    """Store the fields of a siginfo_t; zeros if there is no change or an error."""
    if info:
        number = SIGCHLD if change.pid else 0
        child = (change.pid, change.uid, change.status)
        t.space.write(info, _CHILD_INFO.pack(number, 0, change.code, 0, *child))


@syscall(110)
def getppid(k: Kernel, t: Thread) -> int:
    """The id of the parent, 0 if there is none."""
    return t.process.seen(t.process.parent.pid) if t.process.parent else 0


@syscall(186)
def gettid(k: Kernel, t: Thread) -> int:
    """The id of the calling thread."""
    return t.process.seen(t.tid)


@syscall(318)
def getrandom(k: Kernel, t: Thread, buf: Ptr, length: Size, flags: Flags) -> int:
    """Random bytes from the run's seed, as far as the buffer is good.  EINVAL; EFAULT."""
    if flags & ~3:
        raise KernelError(E.INVAL)
    room, done = t.space.room(buf, min(length, MAX_RANDOM_BYTES)), 0
    if length and not room:
        raise KernelError(E.FAULT)
    while done < room:
        data = k.chooser.bytes(min(room - done, RANDOM_CHUNK_BYTES))
        t.space.write(buf + done, data)
        done += len(data)
    return done
