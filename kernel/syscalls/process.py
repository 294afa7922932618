"""System calls on processes, threads, credentials and time."""

from __future__ import annotations

from kernel.clock import BOOT_SECONDS, cycles_to_timespec, timespec_to_cycles
from kernel.errno import Blocked, E, KernelError
from kernel.kernel import Kernel
from kernel.life import CLONE_VFORK, CLONE_VM, CloneRequest
from kernel.process import Credentials, Thread
from kernel.syscalls import Flags, Id, Int, Long, Path, Pid, Ptr, Size, syscall

ARCH_SET_GS, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS = 0x1001, 0x1002, 0x1003, 0x1004
MAX_PATH_BYTES, MAX_STRING_BYTES, MAX_ARGUMENTS, MAX_GROUPS = 4096, 1 << 17, 4096, 32
CLOCK_REALTIME, CLOCK_COARSE_REALTIME = 0, 5
KNOWN_CLOCKS = range(8)


@syscall(24)
def sched_yield(k: Kernel, t: Thread) -> int:
    """Let the other ready threads run first."""
    k.yield_core(t)
    return 0


@syscall(35)
def nanosleep(k: Kernel, t: Thread, duration: Ptr, remaining: Ptr) -> int:
    """Sleep.  EINTR: a signal came, and `remaining` holds what was left; EINVAL; EFAULT."""
    call = k.traps.current_call(t)
    if call.deadline is None:
        k.set_alarm(t, k.now() + timespec_to_cycles(t.space.read(duration, 16)))
    assert call.deadline is not None
    left = call.deadline - k.now()
    if left <= 0:
        return 0
    if call.interrupted and remaining:
        t.space.write(remaining, cycles_to_timespec(left))
    raise Blocked(("sleep", t.tid, 0))


@syscall(39)
def getpid(k: Kernel, t: Thread) -> int:
    """The id of the calling process."""
    return t.process.pid


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
    return _clone(k, t, CloneRequest(CLONE_VM | CLONE_VFORK))


def _clone(k: Kernel, t: Thread, request: CloneRequest) -> int:
    call = k.traps.current_call(t)
    if not call.child:
        call.child = k.life.clone(t, request).tid
    child = k.processes.get(call.child)
    borrowed = child is not None and not child.zombie and child.space is t.process.space
    if request.flags & CLONE_VFORK and borrowed:
        raise Blocked(("vfork", call.child, 0), interruptible=False)
    return call.child


@syscall(59, stops_guest=True)
def execve(k: Kernel, t: Thread, path: Path, argv: Ptr, envp: Ptr) -> int | None:
    """Run another program in this process.

    ENOENT; EACCES; ENOEXEC: not a static x86-64 ELF; E2BIG; ENOMEM; EFAULT.
    """
    name = t.space.read_string(path, MAX_PATH_BYTES - 1)
    k.life.exec(t, name, _string_list(t, argv), _string_list(t, envp))
    return None


def _string_list(t: Thread, address: int) -> list[bytes]:
    strings: list[bytes] = []
    while address and (at := t.space.read_u64(address + 8 * len(strings))):
        try:
            strings.append(t.space.read_string(at, MAX_STRING_BYTES))
        except KernelError as error:
            too_long = error.number == E.NAMETOOLONG
            raise KernelError(E.BIG if too_long else error.number) from error
        if len(strings) > MAX_ARGUMENTS:
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
def wait4(k: Kernel, t: Thread, pid: Pid, status: Ptr, options: Int, usage: Ptr) -> int:
    """Wait for a child to end; returns its pid.  WNOHANG: 0 if none has.  ECHILD: there is none."""
    child, code = k.life.wait(t.process, pid, options)
    if child and status:
        t.space.write(status, code.to_bytes(4, "little"))
    return child


@syscall(110)
def getppid(k: Kernel, t: Thread) -> int:
    """The id of the parent, 0 if there is none."""
    return t.process.parent.pid if t.process.parent else 0


@syscall(186)
def gettid(k: Kernel, t: Thread) -> int:
    """The id of the calling thread."""
    return t.tid


@syscall(158, stops_guest=True)
def arch_prctl(k: Kernel, t: Thread, code: Int, addr: Ptr) -> int:
    """ARCH_SET_FS, ARCH_SET_GS: set a segment base; the GET forms store it.  EINVAL; EPERM."""
    core = k.machine.core
    name = "fs_base" if code in (ARCH_SET_FS, ARCH_GET_FS) else "gs_base"
    if code in (ARCH_GET_FS, ARCH_GET_GS):
        t.space.write(addr, core.registers()[name].to_bytes(8, "little"))
    elif code not in (ARCH_SET_FS, ARCH_SET_GS):
        raise KernelError(E.INVAL)
    elif addr >> 47:
        raise KernelError(E.PERM)
    else:
        core.set_registers({name: addr})
    return 0


@syscall(218)
def set_tid_address(k: Kernel, t: Thread, addr: Ptr) -> int:
    """When this thread ends, zero the word at `addr` and wake its futex.  Returns the tid."""
    t.clear_tid_address = addr
    return t.tid


@syscall(228)
def clock_gettime(k: Kernel, t: Thread, clock: Int, out: Ptr) -> int:
    """The time of the cycle clock.  EINVAL: no such clock; EFAULT."""
    if clock not in KNOWN_CLOCKS:
        raise KernelError(E.INVAL)
    real = clock in (CLOCK_REALTIME, CLOCK_COARSE_REALTIME)
    t.space.write(out, cycles_to_timespec(k.now(), BOOT_SECONDS if real else 0))
    return 0


@syscall(318)
def getrandom(k: Kernel, t: Thread, buf: Ptr, length: Size, flags: Flags) -> int:
    """Random bytes from the run's seed, at most 256 at a time.  EINVAL; EFAULT."""
    if flags & ~3:
        raise KernelError(E.INVAL)
    data = k.chooser.bytes(min(length, 256))
    t.space.write(buf, data)
    return len(data)


# Credentials: credentials(7).  One uid and gid each; the effective ones are the same.


@syscall(102)
def getuid(k: Kernel, t: Thread) -> int:
    """The user id."""
    return t.process.credentials.uid


@syscall(104)
def getgid(k: Kernel, t: Thread) -> int:
    """The group id."""
    return t.process.credentials.gid


@syscall(107)
def geteuid(k: Kernel, t: Thread) -> int:
    """The effective user id."""
    return t.process.credentials.uid


@syscall(108)
def getegid(k: Kernel, t: Thread) -> int:
    """The effective group id."""
    return t.process.credentials.gid


@syscall(105)
def setuid(k: Kernel, t: Thread, uid: Id) -> int:
    """Become another user.  EPERM unless root; EINVAL for -1."""
    old = t.process.credentials
    _may_become(old, uid, old.uid)
    t.process.credentials = Credentials(uid, old.gid, old.groups)
    return 0


@syscall(106)
def setgid(k: Kernel, t: Thread, gid: Id) -> int:
    """Change the group.  EPERM unless root; EINVAL for -1."""
    old = t.process.credentials
    _may_become(old, gid, old.gid)
    t.process.credentials = Credentials(old.uid, gid, old.groups)
    return 0


def _may_become(credentials: Credentials, wanted: int, current: int) -> None:
    if wanted == 0xFFFF_FFFF:
        raise KernelError(E.INVAL)
    if not credentials.is_root and wanted != current:
        raise KernelError(E.PERM)


@syscall(115)
def getgroups(k: Kernel, t: Thread, size: Int, out: Ptr) -> int:
    """Store the supplementary groups, if `size` is not 0; returns how many.  EINVAL: too small."""
    groups = t.process.credentials.groups
    if size and size < len(groups):
        raise KernelError(E.INVAL)
    if size:
        t.space.write(out, b"".join(gid.to_bytes(4, "little") for gid in groups))
    return len(groups)


@syscall(116)
def setgroups(k: Kernel, t: Thread, size: Size, groups: Ptr) -> int:
    """Set the supplementary groups.  EPERM unless root; EINVAL: too many; EFAULT."""
    old = t.process.credentials
    if not old.is_root:
        raise KernelError(E.PERM)
    if size > MAX_GROUPS:
        raise KernelError(E.INVAL)
    data = t.space.read(groups, 4 * size)
    words = tuple(int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4))
    t.process.credentials = Credentials(old.uid, old.gid, words)
    return 0
