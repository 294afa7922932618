"""How processes and threads come and go: spawn, fork, clone, exec, exit, wait."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hw import costs, trace
from hw.devices import TERMINAL
from kernel.abi.errno import Blocked, E, KernelError
from kernel.abi.message import Reply
from kernel.ipc import paths
from kernel.life import elf
from kernel.mm.objects import MemoryObject
from kernel.mm.space import AddressSpace
from kernel.task import clock, limits
from kernel.task.process import (
    DEAD,
    MAX_TASKS,
    Credentials,
    Descriptors,
    Handle,
    Process,
    Signal,
    SignalAction,
    Thread,
    Usage,
)
from kernel.wait import futex, jobs, signals
from kernel.wait.signals import SA_NOCLDWAIT, SIG_IGN, SIGCHLD, SIGKILL

if TYPE_CHECKING:
    from kernel.kernel import Kernel

THREAD_NEW = trace.declare(
    "thread_new", "tid:Q pid:Q parent:Q space:Q name:s", "A thread was made."
)
THREAD_END = trace.declare(
    "thread_end", "tid:Q pid:Q status:H", "It ended; status of the last one counts."
)
EXEC = trace.declare("exec", "pid:Q space:Q path:s", "A process runs another program now.")

SCRIPT_HEAD_BYTES, MAX_INTERPRETERS, MAX_COMM_BYTES = 256, 5, 15

CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND = 0x100, 0x200, 0x400, 0x800
CLONE_VFORK, CLONE_PARENT, CLONE_THREAD = 0x4000, 0x8000, 0x10000
CLONE_SETTLS, CLONE_PARENT_SETTID = 0x80000, 0x100000
CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID = 0x200000, 0x1000000
CLONE_UNKNOWN = 0x7E02_3000
"""New namespaces, a shared I/O context, tracing and a descriptor of the process."""
EXIT_SIGNAL = 0xFF
WNOHANG, WSTOPPED, WEXITED, WCONTINUED, WNOWAIT = 1, 2, 4, 8, 0x100_0000
WALL, WCLONE = 0x4000_0000, 0x8000_0000
FIRST = 1


@dataclass(frozen=True, slots=True)
class Change:
    """What wait tells of a child: SIGCHLD's code and status, as waitid(2) has them.

    All zero where there is nothing to tell now.
    """

    pid: int = 0
    code: int = 0
    status: int = 0
    uid: int = 0
    wait_status: int = 0
    """The same as one word, as wait4(2) has it."""
    usage: Usage = field(default_factory=Usage)


@dataclass(slots=True)
class CloneRequest:
    """The arguments of clone(2)."""

    flags: int = SIGCHLD
    stack: int = 0
    parent_tid: int = 0
    child_tid: int = 0
    tls: int = 0


@dataclass(slots=True)
class Life:
    """Makes and ends tasks.  Ids are given out once, upwards."""

    kernel: Kernel
    last_id: int = 0

    # Birth ----------------------------------------------------------------------------------

    def spawn(
        self,
        file: MemoryObject,
        path: bytes,
        arguments: list[bytes],
        environment: list[bytes],
        credentials: Credentials,
        handles: list[Handle],
    ) -> Process:
        """Start a program from outside, with `handles` as its descriptors 0, 1, ..."""
        space = self.kernel.new_space()
        try:
            image = self._load(space, file, arguments, environment, credentials)
        except KernelError:
            space.destroy()
            raise
        pid = self._new_id()
        name = arguments[0].decode(errors="replace")
        process = Process(pid, None, space, credentials, name, pid, pid, self._home())
        process.arguments, process.executable = tuple(arguments), path
        process.started = self.kernel.now()
        for handle in handles:
            process.descriptors.add(handle)
        self.kernel.processes[pid] = process
        thread = self._add_thread(process, space, pid, self.kernel.machine.core.fresh_context())
        thread.rip, thread.registers = image
        self.kernel.make_ready(thread)
        return process

    def clone(self, parent: Thread, request: CloneRequest) -> Thread:
        """fork, vfork and pthread_create are all this.  The parent's guest stands still."""
        flags = request.flags
        shares = flags & CLONE_VM
        _check_flags(flags)
        self._check_room(parent.process)
        home = parent.process.space
        if not shares:
            home = home.fork(self.kernel.new_space_id())
            self.kernel.vases.forked(parent.process.space)
        tid = self._new_id()
        process = parent.process if flags & CLONE_THREAD else self._child(parent, home, tid, flags)
        core = self.kernel.machine.core
        context = core.fresh_context()
        core.save(context)
        view = parent.space if shares else home
        thread = self._add_thread(process, view, tid, context)
        if view is not home:
            self.kernel.vases.join(parent, thread)
        thread.rip, thread.mask = parent.rip, parent.mask
        thread.scheduling = parent.scheduling.of_child()
        thread.result = 0
        if not shares or flags & CLONE_VFORK:
            thread.alternate_stack = parent.alternate_stack
        thread.name = parent.name
        if request.stack:
            thread.registers["rsp"] = request.stack
        if flags & CLONE_SETTLS:
            thread.registers["fs_base"] = request.tls
        self._set_tids(parent, thread, request)
        self.kernel.make_ready(thread)
        return thread

    def _check_room(self, process: Process) -> None:
        """EAGAIN: too many tasks in all, or of this user (RLIMIT_NPROC; root is not under it)."""
        threads, who = self.kernel.threads, process.credentials
        if len(threads) >= MAX_TASKS:
            raise KernelError(E.AGAIN)
        limit = limits.soft(process, limits.NPROC)
        if who.real_uid and not who.is_root and len(threads) >= limit:
            owned = [t for t in threads.values() if t.process.credentials.real_uid == who.real_uid]
            if len(owned) >= limit:
                raise KernelError(E.AGAIN)

    def _child(self, parent: Thread, space: AddressSpace, pid: int, flags: int) -> Process:
        mother, machine = parent.process, self.kernel.machine
        machine.charge(costs.TASK_CREATE)
        machine.charge(costs.DESCRIPTOR_COPY, len(mother.descriptors.handles))
        mother.cwd.holds += 1
        elder = mother.parent if flags & CLONE_PARENT and mother.parent else mother
        child = Process(
            pid, elder, space, mother.credentials, mother.name, mother.group, mother.session,
            mother.cwd, mother.umask, mother.arguments, mother.executable, self.kernel.now(),
            mother.descriptors.copy(),
        )  # fmt: skip
        child.actions, child.limits = dict(mother.actions), dict(mother.limits)
        child.exit_signal = mother.exit_signal if flags & CLONE_PARENT else flags & EXIT_SIGNAL
        child.dumpable, child.gains_nothing = mother.dumpable, mother.gains_nothing
        child.personality = mother.personality
        elder.children.append(child)
        self.kernel.processes[pid] = child
        return child

    def _set_tids(self, parent: Thread, thread: Thread, request: CloneRequest) -> None:
        wishes = (
            (CLONE_PARENT_SETTID, parent.space, request.parent_tid),
            (CLONE_CHILD_SETTID, thread.space, request.child_tid),
        )
        for flag, space, address in wishes:
            if request.flags & flag:
                with suppress(KernelError):  # a bad address is not an error here, as on Linux
                    space.write(address, thread.tid.to_bytes(4, "little"))
        if request.flags & CLONE_CHILD_CLEARTID:
            thread.clear_tid_address = request.child_tid

    def _add_thread(
        self, process: Process, space: AddressSpace, tid: int, context: bytearray
    ) -> Thread:
        self.kernel.machine.charge(costs.TASK_CREATE)
        thread = Thread(tid, process, space, context, 0)
        process.threads.append(thread)
        process.space.users += 1
        self.kernel.threads[tid] = thread
        parent = process.parent.pid if process.parent else 0
        self._emit(THREAD_NEW, tid, process.pid, parent, space.id, process.name.encode())
        return thread

    def _home(self) -> Handle:
        self.kernel.home.holds += 1
        return self.kernel.home

    def _new_id(self) -> int:
        self.last_id += 1
        return self.last_id

    # Exec -----------------------------------------------------------------------------------

    def exec(
        self, thread: Thread, path: bytes, arguments: list[bytes], environment: list[bytes]
    ) -> None:
        """Replace the program of the thread's process; the other threads end."""
        image_of, arguments = self._program(thread, path, arguments)
        file = self.kernel.ipc.published[image_of.caps[0]]
        process = thread.process
        mode, owner, group = image_of.words
        who = process.credentials.running(0 if process.gains_nothing else mode, owner, group)
        space = self.kernel.new_space()
        try:
            image = self._load(space, file, arguments, environment, who)
        except KernelError:
            space.destroy()
            raise
        for other in list(process.threads):
            if other is not thread:
                self._end_thread(other, 0)
        self._become_leader(thread)
        futex.owner_died(self.kernel, thread)
        self._leave_space(thread)
        space.users += 1
        process.space = thread.space = space
        process.name = path.rpartition(b"/")[2][:MAX_COMM_BYTES].decode(errors="replace")
        process.arguments, process.executable = tuple(arguments), image_of.data
        handled = {n: a for n, a in process.actions.items() if a.handler == SIG_IGN}
        process.actions = handled
        for number in sorted(process.descriptors.closes_on_exec):
            self.kernel.ipc.close(process.descriptors.remove(number))
        process.executed, process.exit_signal = True, SIGCHLD
        process.timers = {key: timer for key, timer in process.timers.items() if key < 0}
        process.credentials = who
        thread.alternate_stack, thread.clear_tid_address = (0, 0), 0
        thread.robust_list, thread.name = 0, ""
        thread.context = self.kernel.machine.core.fresh_context()
        thread.rip, thread.registers = image
        self.kernel.unload(thread)
        self.kernel.wake(("vfork", process.pid, 0))
        self._emit(EXEC, process.pid, space.id, path)

    def _program(
        self, thread: Thread, path: bytes, arguments: list[bytes]
    ) -> tuple[Reply, list[bytes]]:
        """The file to load and its arguments; a script names another one (execve(2))."""
        for _ in range(MAX_INTERPRETERS):
            at = paths.start(self.kernel, thread, paths.AT_FDCWD, path)
            reply, _ = paths.send(self.kernel, thread, at, path, "image")
            head = self.kernel.ipc.published[reply.caps[0]].load(0, SCRIPT_HEAD_BYTES)
            if not head.startswith(b"#!"):
                return reply, arguments
            words = head[2:].partition(b"\n")[0].strip().split(None, 1)
            if not words:
                raise KernelError(E.NOEXEC)
            arguments = [*words, path, *arguments[1:]]
            path = words[0]
        raise KernelError(E.LOOP)

    def _become_leader(self, thread: Thread) -> None:
        """The thread that calls exec has the id of its process from then on (execve(2))."""
        del self.kernel.threads[thread.tid]
        thread.tid = thread.pid
        self.kernel.threads[thread.tid] = thread

    def _load(
        self,
        space: AddressSpace,
        file: MemoryObject,
        arguments: list[bytes],
        environment: list[bytes],
        credentials: Credentials,
    ) -> tuple[int, dict[str, int]]:
        """Entry point and first registers of a program loaded into `space`."""
        image = elf.parse(file.content())
        name = arguments[0].decode(errors="replace") if arguments else ""
        elf.load(space, image, file, name)
        random = self.kernel.chooser.bytes(16)
        rsp = elf.build_stack(space, image, arguments, environment, credentials, random)
        return image.entry, {"rsp": rsp}

    # Death ----------------------------------------------------------------------------------

    def exit_thread(self, thread: Thread, status: int) -> None:
        """One thread ends; with the last one, or by SIGKILL, its process does."""
        if len(thread.process.threads) == 1 or thread.killed:
            self.exit_process(thread.process, status)
        else:
            self._end_thread(thread, status)

    def exit_process(self, process: Process, status: int) -> None:
        """All threads end, everything is given back; the parent may ask for `status`.

        With the first process everybody ends, as in a container (pid_namespaces(7)).
        """
        watched = jobs.looked_after(self.kernel, process)
        for thread in list(process.threads):
            self._end_thread(thread, status)
        process.timers.clear()
        for handle in process.descriptors.handles.values():
            self.kernel.ipc.close(handle)
        process.descriptors = Descriptors()
        self.kernel.ipc.close(process.cwd)
        self.kernel.ipc.abandon(process)
        process.zombie, process.exit_status = True, status
        self._hand_over_children(process)
        self.kernel.wake(("vfork", process.pid, 0))
        if process.pid == FIRST:
            for other in [p for p in self.kernel.processes.values() if not p.zombie]:
                self.exit_process(other, SIGKILL)
        if process.pid == process.session:
            console = self.kernel.console.endpoint
            self.kernel.ipc.ask(console, TERMINAL, "session_end", (process.pid,))
        signals.tell_orphaned(self.kernel, watched)
        if process.parent is not None:
            self._tell_parent(process.parent, process)

    def _tell_parent(self, parent: Process, process: Process) -> None:
        """SIGCHLD, unless the parent does not want to know; then nothing is kept of the child."""
        action = parent.actions.get(SIGCHLD, SignalAction())
        forgets = action.handler == SIG_IGN or action.flags & SA_NOCLDWAIT
        if process.exit_signal:
            signals.send(self.kernel, parent, signals.of_child(process))
        if forgets and process.exit_signal == SIGCHLD:
            self._reap(parent, process)
        self.kernel.wake(("child", parent.pid, 0))

    def _hand_over_children(self, process: Process) -> None:
        """Orphans get the nearest ancestor that asked for them (prctl(2)), or the first process."""
        heir = self._heir(process)
        for child in process.children:
            child.parent, child.exit_signal = heir, SIGCHLD
            if child.death_signal:
                told = Signal(child.death_signal, signals.SI_KERNEL)
                signals.send(self.kernel, child, told)
            if heir is not None:
                heir.children.append(child)
            if child.zombie and heir is not None:
                self._tell_parent(heir, child)
            elif child.zombie:
                del self.kernel.processes[child.pid]
        process.children = []

    def _heir(self, process: Process) -> Process | None:
        above = process.parent
        while above is not None:
            if above.is_heir and not above.zombie:
                return above
            above = above.parent
        first = self.kernel.processes.get(FIRST)
        return None if first is process or first is None or first.zombie else first

    def _end_thread(self, thread: Thread, status: int) -> None:
        self.kernel.unschedule(thread)
        if thread.call is not None:
            self.kernel.ipc.cancel(thread, thread.call)
        futex.owner_died(self.kernel, thread)
        if thread.clear_tid_address:
            self._announce_end(thread)
        self._leave_space(thread)
        thread.state = DEAD
        thread.process.usage += clock.thread_usage(self.kernel, thread)
        thread.turn_began = None
        thread.process.threads.remove(thread)
        del self.kernel.threads[thread.tid]
        self._emit(THREAD_END, thread.tid, thread.pid, status)

    def _announce_end(self, thread: Thread) -> None:
        """CLONE_CHILD_CLEARTID: zero the word and wake who waits for it (a join)."""
        address = thread.clear_tid_address
        with suppress(KernelError):  # the program may have unmapped the word
            thread.space.write(address, bytes(4))
            futex.wake(self.kernel, thread, address, 1)

    def _leave_space(self, thread: Thread) -> None:
        """The thread is in no view any more; with the last one, nothing is attached any more."""
        home = thread.process.space
        self.kernel.vases.leave(thread)
        home.users -= 1
        if not home.users:
            self.kernel.vases.abandon(home)
            self.kernel.retire_space(home)

    # Wait -----------------------------------------------------------------------------------

    def wait(self, process: Process, which: int, options: int) -> Change:
        """What a child has become: ended, or with WSTOPPED, WCONTINUED stopped or continued.

        `which` as in wait4(2).  An empty change if there is none now and WNOHANG is given.
        Raises ECHILD if there is none to wait for.
        """
        children = [c for c in process.children if _matches(c, which, process, options)]
        if not any(options & WEXITED or not child.zombie for child in children):
            raise KernelError(E.CHILD)
        for child in children:
            change = self._change_of(child, options)
            if change is not None:
                if child.zombie and not options & WNOWAIT:
                    process.children_usage += child.usage + child.children_usage
                    self._reap(process, child)
                return change
        if options & WNOHANG:
            return Change()
        raise Blocked(("child", process.pid, 0))

    def _change_of(self, child: Process, options: int) -> Change | None:
        """The news of a child; it is none any more, unless WNOWAIT is given."""
        about, keep = (child.credentials.real_uid,), bool(options & WNOWAIT)
        if child.zombie:
            if not options & WEXITED:
                return None
            told, usage = signals.of_child(child), child.usage + child.children_usage
            return Change(child.pid, told.code, told.status, *about, child.exit_status, usage)
        usage = clock.process_usage(self.kernel, child) + child.children_usage
        if options & WSTOPPED and child.stop_is_news:
            child.stop_is_news = keep
            number = child.stopped
            return Change(child.pid, signals.CLD_STOPPED, number, *about, number << 8 | 0x7F, usage)
        if options & WCONTINUED and child.continue_is_news:
            child.continue_is_news = keep
            number = signals.SIGCONT
            return Change(child.pid, signals.CLD_CONTINUED, number, *about, 0xFFFF, usage)
        return None

    def _reap(self, parent: Process, child: Process) -> None:
        parent.children.remove(child)
        del self.kernel.processes[child.pid]

    def _emit(self, kind: trace.Kind, *values: object) -> None:
        if self.kernel.machine.trace:
            self.kernel.machine.trace.emit(kind, *values)


def _check_flags(flags: int) -> None:
    """EINVAL: combinations of clone(2) that make no sense, and what there is none of here."""
    needs = (
        (CLONE_THREAD, CLONE_SIGHAND),
        (CLONE_SIGHAND, CLONE_VM),
        (CLONE_THREAD, CLONE_FS | CLONE_FILES),
    )
    shared_without_thread = flags & (CLONE_FS | CLONE_FILES | CLONE_SIGHAND) and not (
        flags & CLONE_THREAD
    )
    if flags & CLONE_UNKNOWN or shared_without_thread:
        raise KernelError(E.INVAL)
    if any(flags & one and flags & other != other for one, other in needs):
        raise KernelError(E.INVAL)


def _matches(child: Process, which: int, process: Process, options: int) -> bool:
    """Does wait mean this child?  A "clone child" is one whose end is not told by SIGCHLD."""
    if not options & WALL and bool(options & WCLONE) == (child.exit_signal == SIGCHLD):
        return False
    if which == -1:
        return True
    if which == 0:
        return child.group == process.group
    return child.pid == which if which > 0 else child.group == -which
