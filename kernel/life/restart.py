"""Restart: a process becomes what a checkpoint holds, and goes on from there.

What the program has comes from the checkpoint: memory, threads, registers, signals, timers, open
files, names.  Who the process is to others stays: its pid and parent, its children, its group,
session and terminal, its accounts, and its user unless root restarts it.  Other threads than the
leader have new ids; the program goes on using the old ones (`Process.ids`).
"""

from __future__ import annotations

from dataclasses import replace

from hw import contexts
from kernel.abi.errno import Blocked, E, KernelError
from kernel.life import belongings
from kernel.life.life import EXEC, Life
from kernel.life.openfiles import Opened, reopen
from kernel.mm import freeze
from kernel.mm.objects import MemoryObject
from kernel.mm.space import AddressSpace
from kernel.task import limits
from kernel.task.image import CallImage, ProcessImage, ThreadImage, TimerImage
from kernel.task.process import Call, Process, Surroundings, Thread, Timer
from kernel.vas import again
from kernel.vas.records import Vas
from kernel.wait import timers
from kernel.wait.signals import SIGCHLD, SIGKILL


def restart(life: Life, process: Process, vas: Vas, caller: Thread) -> None:
    """`process` goes on as the checkpoint `vas` says; its old threads end.

    Raises ESRCH: it is about to end, or something that was attached is gone; EACCES, EBUSY, EFAULT:
    that cannot be attached; ENOENT and others: a file cannot be opened; EAGAIN: too many threads;
    ENOMEM.  After an error the process is what it was.
    """
    image = vas.image
    assert image is not None
    if not process.threads or any(thread.killed for thread in process.threads):
        raise KernelError(E.SRCH)
    life.check_room(process)
    is_root = caller.process.credentials.is_root
    who = image.credentials if is_root else process.credentials
    again.check(life.vases, who, process, vas)
    space = _memory(life, image, vas)
    files = (image.cwd, image.open_files, image.pipes)
    try:
        opened = reopen(life.ipc, caller, process, *files)
    except KernelError:
        space.destroy()
        raise
    nicest = -20 if is_root else process.threads[0].scheduling.nice
    _end_threads(life, process)
    process.credentials = who
    _become(life, process, image, space, opened, is_root=is_root)
    _add_threads(life, process, image, nicest)


def _memory(life: Life, image: ProcessImage, vas: Vas) -> AddressSpace:
    """A space with the memory of the checkpoint.  Raises ENOMEM."""
    space, memory = life.memory.new_space(), image.memory
    try:
        freeze.duplicate(vas.space, space, _stays)
    except KernelError:
        space.destroy()
        raise
    space.break_start, space.break_end = memory.break_start, memory.break_end
    space.hint, space.barriers = memory.hint, memory.barriers
    space.auxiliary, space.environment = memory.auxiliary, memory.environment
    space.program = vas.space.program
    return space


def _stays(made: MemoryObject) -> bool:
    """A file's memory is the file's, and not a copy."""
    return bool(made.node[1])


def _end_threads(life: Life, process: Process) -> None:
    """From here on there is no way back.  With the last thread the old memory goes, and all that
    was attached to it."""
    for thread in list(process.threads):
        life.end_thread(thread, 0)
    life.tasks.wake(("vfork", process.pid, 0))
    life.ipc.abandon(process)


def _become(
    life: Life,
    process: Process,
    image: ProcessImage,
    space: AddressSpace,
    opened: Opened,
    *,
    is_root: bool,
) -> None:
    """The process has what the program had."""
    process.space = space
    _limit(process, image, is_root=is_root)
    table = opened.install(life.ipc, limits.soft(process, limits.NOFILE))
    belongings.drop_descriptors(life.ipc, process.descriptors)
    belongings.drop_surroundings(life.ipc, process.surroundings)
    process.descriptors = table
    process.surroundings = Surroundings(opened.cwd, image.umask)
    process.name, process.arguments = image.name, image.arguments
    process.executable = image.executable
    process.actions, process.pending = dict(image.actions), list(image.pending)
    process.personality, process.dumpable = image.personality, image.dumpable
    process.gains_nothing |= image.gains_nothing
    process.is_heir, process.death_signal = image.is_heir, image.death_signal
    process.executed, process.exit_signal = True, SIGCHLD
    process.timers = {}
    life.machine.emit(EXEC, process.pid, space.id, image.executable)


def _limit(process: Process, image: ProcessImage, *, is_root: bool) -> None:
    """The program's limits, but nobody except root gets a higher hard limit than he has."""
    wanted = {}
    for kind in range(limits.KINDS):
        soft, hard = image.limits.get(kind) or limits.DEFAULTS.get(kind, (limits.INFINITY,) * 2)
        if not is_root:
            hard = min(hard, limits.get(process, kind)[1])
        wanted[kind] = (min(soft, hard), hard)
    process.limits = wanted
    process.space.limit(limits.of_memory(process))


# Threads ----------------------------------------------------------------------------------------


def _add_threads(life: Life, process: Process, image: ProcessImage, nicest: int) -> None:
    """If what was attached cannot be attached after all, the process is killed (SIGKILL)."""
    life.last_id = max(life.last_id, *image.ids)  # nobody new gets an id that the program remembers
    threads = [_add(life, process, image, each) for each in image.threads]
    process.ids = _ids(process, image, threads)
    for thread in threads:
        _schedule(life, thread, nicest)
    for timer in image.timers:
        if timer.key not in (timers.CPU_SOFT, timers.CPU_HARD):
            timers.start(life.alarms, process, timer.key, _timer(life, process, timer))
    timers.limit_processor(process)
    try:
        again.attach(life.vases, process, image)
        again.enter(life.vases, threads, [each.view for each in image.threads])
    except (KernelError, Blocked):
        life.exit_process(process, SIGKILL)
        return
    for thread in threads:
        life.tasks.make_ready(thread)


def _add(life: Life, process: Process, image: ProcessImage, each: ThreadImage) -> Thread:
    """A thread as it was; it is not ready to run yet."""
    context = contexts.compose(life.machine.core, each.registers, each.fpu)
    tid = process.pid if each.id == image.id else life.new_id()
    thread = life.add_thread(process, process.space, tid, context)
    thread.rip, thread.name = each.registers["rip"], each.name
    thread.mask, thread.saved_mask = each.mask, each.saved_mask
    thread.pending, thread.alternate_stack = list(each.pending), each.alternate_stack
    thread.clear_tid_address, thread.robust_list = each.clear_tid_address, each.robust_list
    thread.scheduling = each.scheduling
    if each.call is not None:
        _call(life, thread, each.call)
    return thread


def _schedule(life: Life, thread: Thread, nicest: int) -> None:
    """As it was, but not nicer to itself than the process may be, and on a core that there is."""
    wanted, cores = thread.scheduling, len(life.tasks.seats)
    affinity = wanted.affinity if wanted.affinity & (1 << cores) - 1 else -1
    thread.scheduling = replace(wanted, nice=max(wanted.nice, nicest), affinity=affinity)
    life.tasks.policy.pinned |= affinity != -1


def _call(life: Life, thread: Thread, call: CallImage) -> None:
    """The thread is in a system call, which is executed again before it runs user code."""
    now = life.tasks.now()
    thread.call = Call(
        call.number,
        call.arguments,
        done=call.done,
        told=call.told,
        messages=call.messages,
        until=0 if call.until_left is None else now + call.until_left,
        woken=call.woken,
        awaited=call.awaited,
        bits=call.bits,
    )
    if call.deadline_left is not None:
        life.alarms.wake(thread, now + call.deadline_left)


def _timer(life: Life, process: Process, image: TimerImage) -> Timer:
    timer = Timer(
        image.signal,
        None,
        image.interval,
        image.clock,
        owner=process.ids.get(image.owner, image.owner),
        thread=process.ids.get(image.thread, image.thread),
        stands=image.stands,
        value=image.value,
        overrun=image.overrun,
    )
    if image.left is not None:
        timer.deadline = timers.reading(life.tasks, process, timer) + image.left
    return timer


def _ids(process: Process, image: ProcessImage, threads: list[Thread]) -> dict[int, int]:
    """Whom the ids mean that the program remembers."""
    pairs = {image.id: process.pid}
    pairs |= {each.id: thread.tid for each, thread in zip(image.threads, threads, strict=True)}
    return {old: now for old, now in pairs.items() if old != now}
