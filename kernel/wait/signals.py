"""Signals: which one an event is, and how a process is told (signal(7)).

What a thread does when it takes one is `kernel.life.delivery`.
"""

from __future__ import annotations

from dataclasses import replace

from hw import cpu
from kernel.sched.tasks import Tasks
from kernel.task import limits
from kernel.task.process import Process, Signal, SignalAction, Thread
from kernel.wait import jobs

SIGHUP, SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGKILL, SIGSEGV, SIGPIPE = 1, 4, 5, 7, 8, 9, 11, 13
SIGALRM, SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP = 14, 17, 18, 19, 20
SIGURG, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGWINCH, SIGSYS = 23, 24, 25, 26, 27, 28, 31
STOPPED_BY_DEFAULT = (SIGSTOP, SIGTSTP, 21, 22)  # STOP, TSTP, TTIN, TTOU
SYNCHRONOUS = (SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV, SIGSYS)
"""What a thread did itself is taken before what others sent."""
FIRST_REAL_TIME = 32
SIGNALS = 64
IGNORED_BY_DEFAULT = (SIGCHLD, SIGCONT, SIGURG, SIGWINCH)
UNBLOCKABLE = 1 << SIGKILL - 1 | 1 << SIGSTOP - 1
SIG_DFL, SIG_IGN = 0, 1
SA_NOCLDSTOP, SA_NOCLDWAIT = 1, 2
SA_RESTART, SA_NODEFER, SA_RESETHAND = 0x1000_0000, 0x4000_0000, 0x8000_0000
SI_USER, SI_QUEUE, SI_TIMER, SI_TKILL, SI_KERNEL = 0, -1, -2, -6, 0x80
SEGV_MAPERR, SEGV_ACCERR, BUS_ADRALN, BUS_ADRERR, TRAP_BRKPT, TRAP_TRACE = 1, 2, 1, 2, 1, 2
CLD_EXITED, CLD_KILLED, CLD_STOPPED, CLD_CONTINUED = 1, 2, 5, 6
KILLS, IGNORES, HANDLES, STOPS = range(4)
"""What a delivered signal does, as in the trace."""

NAMES = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP "
    "TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
).split()

EXCEPTIONS = {
    cpu.DIVIDE: (SIGFPE, 1),
    cpu.DEBUG: (SIGTRAP, TRAP_TRACE),
    cpu.BREAKPOINT: (SIGTRAP, SI_KERNEL),
    cpu.INVALID_OPCODE: (SIGILL, 2),
    cpu.FPU: (SIGFPE, 0),
    cpu.SIMD: (SIGFPE, 0),
    cpu.STACK_FAULT: (SIGBUS, SI_KERNEL),
    cpu.ALIGNMENT: (SIGBUS, BUS_ADRALN),
}
"""Exception vector -> signal and si_code; anything else is SIGSEGV."""
FLOAT_CODES = ((0x01, 7), (0x04, 3), (0x08, 4), (0x12, 5), (0x20, 6))
"""Floating-point exceptions -> FPE_FLTINV, FLTDIV, FLTOVF, FLTUND, FLTRES; the first one counts
(Linux, fpu__exception_code)."""


def name(number: int) -> str:
    """`SIGSEGV` for 11."""
    return f"SIG{NAMES[number - 1]}" if 1 <= number <= len(NAMES) else f"SIGRT{number}"


# What an event is -------------------------------------------------------------------------------


def of_exception(
    thread: Thread, vector: int, error: int, va: int, rip: int, *, cause: int = 0
) -> Signal:
    """The signal that an exception becomes (Linux, arch/x86/kernel/traps.c).

    `cause` is what the vector does not say: see `Core.cause`.
    """
    if vector == cpu.PAGE_FAULT:
        region = thread.space.map.find(va)
        if region is not None and region.allows(error) and region.is_past_end(va):
            return Signal(SIGBUS, BUS_ADRERR, address=va, vector=vector, error=error)
        code = SEGV_ACCERR if region else SEGV_MAPERR
        return Signal(SIGSEGV, code, address=va, vector=vector, error=error)
    number, code = EXCEPTIONS.get(vector, (SIGSEGV, SI_KERNEL))
    if vector in (cpu.FPU, cpu.SIMD):
        code = next((code for flags, code in FLOAT_CODES if cause & flags), 0)
    elif vector == cpu.DEBUG and not cause & cpu.DR6_SINGLE_STEP:
        code = TRAP_BRKPT
    address = 0 if code == SI_KERNEL or vector == cpu.ALIGNMENT else rip
    return Signal(number, code, address=address, vector=vector, error=error)


def of_child(child: Process) -> Signal:
    """What tells of a child's end."""
    number = child.exit_status & 0x7F
    code, status = (CLD_KILLED, number) if number else (CLD_EXITED, child.exit_status >> 8)
    return _about(child, child.exit_signal, code, status)


def _about(child: Process, number: int, code: int, status: int) -> Signal:
    uid = child.credentials.real_uid
    return Signal(number, code, child.pid, uid, status, usage=child.usage)


# Sending ----------------------------------------------------------------------------------------


def send(tasks: Tasks, process: Process, signal: Signal, thread: Thread | None = None) -> bool:
    """Queue a signal for a process, or for one of its threads; interrupts a thread that waits.

    False if it was lost because too many wait already.
    """
    if process.zombie or not process.threads:
        return True
    _stop_or_continue(tasks, process, signal.number)
    looking = thread or process.threads[0]
    blocked = (looking.mask | _awaited(looking)) >> signal.number - 1 & 1
    if _ignored(process, signal.number) and not blocked:
        return True
    queue = thread.pending if thread else process.pending
    if not _queue(tasks, process, signal, queue):
        return False
    if signal.number == SIGKILL:
        for each in process.threads:
            each.killed = True
            tasks.interrupt(each)
        return True
    _announce(tasks, signal.number, [thread] if thread else process.threads)
    return True


def _queue(tasks: Tasks, process: Process, signal: Signal, queue: list[Signal]) -> bool:
    """Append a signal, unless one of its number that needs no second one waits already.

    False: it is one that must not be lost, and too many wait (RLIMIT_SIGPENDING).
    """
    waits = any(waiting.number == signal.number for waiting in queue)
    if signal.code == SI_TIMER or not (waits or signal.number >= FIRST_REAL_TIME):
        queue.append(signal)
    elif signal.number >= FIRST_REAL_TIME:
        full = _queued(tasks, process) >= limits.soft(process, limits.SIGPENDING)
        if full and signal.code != SI_USER:
            return False
        if not (full and waits):
            queue.append(signal)
    return True


def _queued(tasks: Tasks, process: Process) -> int:
    """How many signals wait for the processes of this one's user."""
    uid, found = process.credentials.real_uid, 0
    for each in tasks.processes.values():
        if each.credentials.real_uid == uid:
            found += len(each.pending) + sum(len(thread.pending) for thread in each.threads)
    return found


def send_group(tasks: Tasks, group: int, number: int) -> None:
    """The kernel sends a signal to every process of a group."""
    for process in jobs.members(tasks, group):
        send(tasks, process, Signal(number, SI_KERNEL))


def tell_orphaned(tasks: Tasks, groups: list[int]) -> None:
    """SIGHUP, then SIGCONT, to those that are orphaned now and have stopped (POSIX, _exit())."""
    for group in groups:
        stopped = any(process.stopped for process in jobs.members(tasks, group))
        if stopped and jobs.is_orphaned(tasks, group):
            send_group(tasks, group, SIGHUP)
            send_group(tasks, group, SIGCONT)


def _announce(tasks: Tasks, number: int, threads: list[Thread]) -> None:
    """The first of `threads` that would take the signal stops waiting for anything else."""
    for thread in threads:
        if (open_to(thread) | UNBLOCKABLE | _awaited(thread)) >> number - 1 & 1:
            tasks.interrupt(thread)
            return


def _awaited(thread: Thread) -> int:
    return thread.call.awaited if thread.call is not None else 0


def _stop_or_continue(tasks: Tasks, process: Process, number: int) -> None:
    """A stop and a continue cancel each other, even where they are ignored or handled."""
    if number == SIGCONT:
        _forget(process, STOPPED_BY_DEFAULT)
        if process.stopped:
            _go_on(tasks, process)
            process.continue_is_news = True
            tell_parent(tasks, process, CLD_CONTINUED, SIGCONT)
    elif number in STOPPED_BY_DEFAULT:
        _forget(process, (SIGCONT,))
    elif number == SIGKILL:
        _go_on(tasks, process)


def _forget(process: Process, numbers: tuple[int, ...]) -> None:
    queues = [process.pending, *(thread.pending for thread in process.threads)]
    for queue in queues:
        queue[:] = [signal for signal in queue if signal.number not in numbers]


def force(thread: Thread, signal: Signal) -> None:
    """A signal for what the thread itself did: blocked or ignored, it kills."""
    action = thread.process.actions.get(signal.number, SignalAction())
    if action.handler == SIG_IGN or thread.mask >> signal.number - 1 & 1:
        thread.process.actions[signal.number] = replace(action, handler=SIG_DFL)
        thread.mask &= ~(1 << signal.number - 1)
    thread.pending.append(signal)


def set_mask(tasks: Tasks, thread: Thread, mask: int) -> None:
    """Block these signals and no others.

    What waits for the process and this thread would not take any more, another may.
    """
    newly, thread.mask = mask & ~thread.mask, mask & ~UNBLOCKABLE
    if waiting(thread):
        tasks.interrupt(thread)
    for signal in thread.process.pending if newly else []:
        if newly >> signal.number - 1 & 1:
            _announce(tasks, signal.number, thread.process.threads)


def borrow_mask(thread: Thread, mask: int) -> None:
    """For this call the thread has another mask; a handler that ends it returns to its own."""
    if thread.saved_mask is None:
        thread.saved_mask = thread.mask
    thread.mask = mask & ~UNBLOCKABLE


def drop_ignored(process: Process, number: int) -> None:
    """An action was set: what waits and is ignored now never was (POSIX, 2.4.3)."""
    if _ignored(process, number):
        _forget(process, (number,))


def takes_no_notice(thread: Thread, number: int) -> bool:
    """Does the thread block this signal, or its process ignore it?"""
    action = thread.process.actions.get(number, SignalAction())
    return action.handler == SIG_IGN or bool(thread.mask >> number - 1 & 1)


# Taking -----------------------------------------------------------------------------------------


def open_to(thread: Thread) -> int:
    """The signals that the thread takes now, as a mask.

    Not what it blocks, and in a gated view nothing that calls a handler: outsiders set those.
    """
    numbers, process = ~thread.mask, thread.process
    if thread.space.gated:
        for number, action in process.actions.items():
            if what_happens(process, number, action) == HANDLES:
                numbers &= ~(1 << number - 1)
    return numbers


def waiting(thread: Thread) -> bool:
    """Is there a signal that this thread should take now?"""
    if not (thread.pending or thread.process.pending):
        return thread.killed
    return thread.killed or _next(thread, open_to(thread)) is not None


def next_action(thread: Thread) -> SignalAction | None:
    """What will be done with the next signal of the thread, if its handler will be called."""
    signal = _next(thread, open_to(thread))
    if thread.killed or signal is None:
        return None
    action = thread.process.actions.get(signal.number, SignalAction())
    return action if what_happens(thread.process, signal.number, action) == HANDLES else None


def take(thread: Thread, numbers: int) -> Signal | None:
    """Take out the next signal among `numbers`, whether it is blocked or not."""
    signal = _next(thread, numbers)
    if signal is not None:
        queue = thread.pending if signal in thread.pending else thread.process.pending
        queue.remove(signal)
    return signal


def what_happens(process: Process, number: int, action: SignalAction) -> int:
    """KILLS, IGNORES, HANDLES or STOPS."""
    if _ignored(process, number):
        return IGNORES
    if action.handler != SIG_DFL:
        return HANDLES
    return STOPS if number in STOPPED_BY_DEFAULT else KILLS


def _go_on(tasks: Tasks, process: Process) -> None:
    process.stopped, process.stop_is_news = 0, False
    tasks.wake(("stopped", process.pid, 0))


def tell_parent(tasks: Tasks, process: Process, code: int, status: int) -> None:
    """SIGCHLD for a stop or a continue, and a parent that waits looks again."""
    parent = process.parent
    if parent is None:
        return
    if not parent.actions.get(SIGCHLD, SignalAction()).flags & SA_NOCLDSTOP:
        send(tasks, parent, _about(process, SIGCHLD, code, status))
    tasks.wake(("child", parent.pid, 0))


def _next(thread: Thread, numbers: int) -> Signal | None:
    """The one to take now: the thread's own before the process's, the lowest number first, but
    what the thread itself did before all."""
    for queue in (thread.pending, thread.process.pending):
        open_ones = [signal for signal in queue if numbers >> signal.number - 1 & 1]
        if open_ones:
            return min(open_ones, key=_urgency)
    return None


def _urgency(signal: Signal) -> tuple[bool, int]:
    return signal.number not in SYNCHRONOUS, signal.number


def _ignored(process: Process, number: int) -> bool:
    action = process.actions.get(number, SignalAction())
    return action.handler == SIG_IGN or (action.handler == SIG_DFL and number in IGNORED_BY_DEFAULT)
