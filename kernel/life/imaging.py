"""The image of a process that stands still between two traps.

Nothing of the process changes.  A thread that waits in a system call is in the image as one that is
about to make the call again, with what the call has done so far and the time that it has left.
"""

from __future__ import annotations

from collections.abc import Callable

from hw import contexts, costs
from hw.cpu import SYSCALL_BYTES
from kernel.abi.errno import E, KernelError
from kernel.life.life import Life
from kernel.life.openfiles import CannotKeep, Keeper, name_of
from kernel.mm.objects import MemoryObject
from kernel.mm.space import AddressSpace
from kernel.task.image import (
    CallImage,
    FileMapping,
    MemoryImage,
    ProcessImage,
    ThreadImage,
    TimerImage,
)
from kernel.task.process import Call, Process, Thread, Timer
from kernel.vas import frozen
from kernel.vas.records import Vas
from kernel.vas.rfc import Rfc
from kernel.wait import futex, timers

FUTEX = 202
MASK = (1 << 64) - 1


def checkpoint(life: Life, process: Process, caller: Thread) -> Vas:
    """Freeze `process`, which goes on undisturbed; if it is the caller's, its copy sees a 0.

    Raises `CannotKeep`, ENOMEM.
    """
    _refuse(life, process)
    files = _files(life, process.space)
    image = _process(life, process, files, caller)
    names = {found.path for found in files}
    named = {
        region.object.id
        for region in process.space.map
        if region.shared and _path(life, region.object) in names
    }
    stays: Callable[[MemoryObject], bool] = lambda made: made.id in named  # noqa: E731
    return frozen.make(life.vases, process.space, image, stays)


def _refuse(life: Life, process: Process) -> None:
    """What an image has no words for.  Raises `CannotKeep`."""
    if process.children:
        raise CannotKeep("it has children that it has not waited for", E.BUSY)
    if not process.threads or any(thread.killed for thread in process.threads):
        raise CannotKeep("it is about to end", E.BUSY)
    if process.space.users != len(process.threads):
        raise CannotKeep("another process uses its memory", E.BUSY)
    for thread in process.threads:
        if thread.own_descriptors or thread.own_surroundings:
            raise CannotKeep("a thread of it has descriptors or a directory of its own")
        if thread.space.gated:
            raise CannotKeep("a thread of it is behind a gate", E.BUSY)
        if thread.space.vid and isinstance(life.vases.sync, Rfc):
            raise CannotKeep("a thread of it is inside a VAS, and has memory only there", E.BUSY)
        if thread.call is not None and thread.call.message:
            raise CannotKeep("a thread of it waits for an answer of another process", E.BUSY)


# The process ------------------------------------------------------------------------------------


def _process(
    life: Life, process: Process, files: tuple[FileMapping, ...], caller: Thread
) -> ProcessImage:
    open_files, pipes = Keeper(life.ipc, process.descriptors).keep()
    cwd = life.ipc.ask(process.cwd.endpoint, process.cwd.badge, "path").data
    return ProcessImage(
        id=process.seen(process.pid),
        name=process.name,
        arguments=process.arguments,
        executable=process.executable,
        credentials=process.credentials,
        umask=process.surroundings.umask,
        cwd=cwd,
        limits=dict(process.limits),
        actions=dict(process.actions),
        pending=tuple(process.pending),
        timers=tuple(_timer(life, process, key, t) for key, t in process.timers.items()),
        personality=process.personality,
        dumpable=process.dumpable,
        gains_nothing=process.gains_nothing,
        is_heir=process.is_heir,
        death_signal=process.death_signal,
        open_files=open_files,
        pipes=pipes,
        memory=_memory(life, process.space, files),
        threads=tuple(_thread(life, t, caller) for t in _leader_first(process)),
    )


def _leader_first(process: Process) -> list[Thread]:
    return sorted(process.threads, key=lambda thread: thread.tid != process.pid)


def _timer(life: Life, process: Process, key: int, timer: Timer) -> TimerImage:
    reading = timers.reading(life.tasks, process, timer)
    return TimerImage(
        key=key,
        signal=timer.signal,
        left=None if timer.deadline is None else timer.deadline - reading,
        interval=timer.interval,
        clock=timer.clock,
        owner=process.seen(timer.owner),
        thread=process.seen(timer.thread),
        stands=timer.stands,
        value=timer.value,
        overrun=timer.overrun,
    )


def _memory(life: Life, space: AddressSpace, files: tuple[FileMapping, ...]) -> MemoryImage:
    segments, views = frozen.attached(life.vases, space)
    return MemoryImage(
        break_start=space.break_start,
        break_end=space.break_end,
        hint=space.hint,
        auxiliary=space.auxiliary,
        environment=space.environment,
        barriers=space.barriers,
        files=files,
        segments=segments,
        views=views,
    )


def _files(life: Life, space: AddressSpace) -> tuple[FileMapping, ...]:
    """The ranges that come from files with a name.  Raises `CannotKeep` for System V memory."""
    found = []
    for region in space.map:
        if region.object.counted:
            raise CannotKeep("it has System V shared memory attached")
        source, page = region.object, region.page
        while source.source is not None:
            source, page = source.source, page + source.source_page
        path = _path(life, source)
        if path is not None:
            found.append(FileMapping(region.start, region.end, path, page, region.shared))
    return tuple(found)


def _path(life: Life, made: MemoryObject) -> bytes | None:
    """The name of the file that an object belongs to, if there is one."""
    endpoint, badge = made.node
    if not badge or made.id not in life.ipc.published:
        return None
    return name_of(life.ipc, endpoint, badge)


# A thread ---------------------------------------------------------------------------------------


def _thread(life: Life, thread: Thread, caller: Thread) -> ThreadImage:
    process = thread.process
    registers, fpu = _state(life, thread)
    call = None
    if thread is caller:
        _finish(registers, 0)
    elif thread.call is not None:
        call = _call(life, thread, thread.call)
    return ThreadImage(
        id=process.seen(thread.tid),
        name=thread.name,
        registers=registers,
        fpu=fpu,
        call=call,
        mask=thread.mask,
        saved_mask=thread.saved_mask,
        pending=tuple(thread.pending),
        alternate_stack=thread.alternate_stack,
        clear_tid_address=thread.clear_tid_address,
        robust_list=thread.robust_list,
        scheduling=thread.scheduling,
        view=frozen.view_of(life.vases, thread),
    )


def _state(life: Life, thread: Thread) -> tuple[dict[str, int], bytes]:
    """The registers with which the thread goes on, wherever they are now."""
    core = life.machine.core
    context, rip = thread.context, thread.rip
    if thread.loaded_on is not None:
        home = life.machine.cores[thread.loaded_on]
        context, rip = core.fresh_context(), home.state.rip
        home.copy_context(context)
    core.charge(costs.CONTEXT_SAVE)
    registers, fpu = contexts.describe(core, context, rip)
    registers |= {name: value & MASK for name, value in thread.registers.items()}
    if thread.result is not None:
        _finish(registers, thread.result)
    return registers, fpu


def _finish(registers: dict[str, int], result: int) -> None:
    """The system call at RIP has returned (SDM, SYSRET: RCX and R11 are lost)."""
    registers["rip"] += SYSCALL_BYTES
    registers |= {"rax": result & MASK, "rcx": registers["rip"], "r11": registers["eflags"]}


def _call(life: Life, thread: Thread, call: Call) -> CallImage:
    now = life.tasks.now()
    return CallImage(
        number=call.number,
        arguments=call.arguments,
        done=call.done,
        told=call.told,
        messages=call.messages,
        until_left=call.until - now if call.until else None,
        deadline_left=None if call.deadline is None else call.deadline - now,
        woken=call.woken or _was_moved(thread, call),
        awaited=call.awaited,
        bits=call.bits,
    )


def _was_moved(thread: Thread, call: Call) -> bool:
    """Does it wait for another futex than it asked for (FUTEX_REQUEUE)?

    It could not ask for that one again.  To it, this is a wake without a reason, as there may be.
    """
    if call.number != FUTEX or thread.channel is None or thread.channel[0] != "futex":
        return False
    try:
        return futex.channel(thread.space, call.arguments[0], private=True) != thread.channel
    except KernelError:
        return False
