"""How processes and threads come and go: spawn, fork, clone, exec, exit, wait."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from hw import costs, trace
from hw.devices import TERMINAL
from hw.machine import Machine
from kernel.abi.errno import Blocked, E, KernelError
from kernel.abi.message import Reply
from kernel.choose import Chooser
from kernel.ipc import paths
from kernel.ipc.endpoints import Endpoints
from kernel.life import belongings, elf
from kernel.mm import file_pages
from kernel.mm.memory import Memory
from kernel.mm.objects import MemoryObject
from kernel.mm.space import AddressSpace
from kernel.sched.tasks import Tasks
from kernel.sched.usage import process_usage, thread_usage
from kernel.task import limits
from kernel.task.credentials import Credentials
from kernel.task.descriptors import PROCESSES, Descriptors, Handle
from kernel.task.process import (
    DEAD,
    MAX_TASKS,
    AlternateStack,
    Process,
    Signal,
    SignalAction,
    Surroundings,
    Thread,
    Usage,
)
from kernel.vas.vases import Vases
from kernel.wait import futex, jobs, signals, timers
from kernel.wait.alarms import Alarms
from kernel.wait.signals import SA_NOCLDWAIT, SIG_IGN, SIGCHLD, SIGKILL

THREAD_NEW = trace.declare(
    "thread_new", "tid:Q pid:Q parent:Q space:Q name:s", "A thread was made."
)
THREAD_END = trace.declare(
    "thread_end", "tid:Q pid:Q status:H", "It ended; status of the last one counts."
)
EXEC = trace.declare("exec", "pid:Q space:Q path:s", "A process runs another program now.")

SCRIPT_HEAD_BYTES, MAX_INTERPRETERS, MAX_COMM_BYTES = 256, 5, 15

CLONE_VM, CLONE_SIGHAND = 0x100, 0x800
CLONE_VFORK, CLONE_PARENT, CLONE_THREAD = 0x4000, 0x8000, 0x10000
CLONE_SETTLS, CLONE_PARENT_SETTID = 0x80000, 0x100000
CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID = 0x200000, 0x1000000
CLONE_UNKNOWN = 0x7E02_1000
"""New namespaces, and a descriptor of the process."""
EXIT_SIGNAL = 0xFF
WNOHANG, WSTOPPED, WEXITED, WCONTINUED, WNOWAIT = 1, 2, 4, 8, 0x100_0000
WALL, WCLONE = 0x4000_0000, 0x8000_0000
FIRST = 1
MAX_KILLED = 8


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

    machine: Machine
    chooser: Chooser
    memory: Memory
    tasks: Tasks
    alarms: Alarms
    vases: Vases
    ipc: Endpoints
    last_id: int = 0
    main: int = 0
    """The pid of the program that was started first; with its end the system ends."""
    killed: list[str] = field(default_factory=list)
    """The last processes that a signal ended, for people."""

    # Birth ----------------------------------------------------------------------------------

    def start_init(self) -> None:
        """Make process 1, which the kernel itself is: it has no thread and shows no memory.

        What is started from outside becomes its child, and so does every orphan.  It takes no
        signals, and keeps nothing of a child that ends.
        """
        pid = self.new_id()
        assert pid == FIRST
        self.tasks.processes[pid] = Process(
            pid=pid,
            parent=None,
            space=self.memory.new_space(runs=False),
            credentials=Credentials(),
            name="init",
            group=pid,
            session=pid,
            surroundings=Surroundings(self._home()),
            started=self.tasks.now(),
            actions={SIGCHLD: SignalAction(SIG_IGN)},
        )

    def spawn(
        self,
        file: MemoryObject,
        path: bytes,
        arguments: list[bytes],
        environment: list[bytes],
        credentials: Credentials,
        handles: list[Handle],
    ) -> Process:
        """Start a program from outside, with `handles` as its descriptors 0, 1, ...

        It is a child of the kernel's process 1, if there is one, and never of a program.
        """
        space = self.memory.new_space()
        try:
            image = self._load(
                space,
                file,
                arguments=arguments,
                environment=environment,
                credentials=credentials,
                path=path,
            )
        except KernelError:
            space.destroy()
            raise
        pid = self.new_id()
        name = arguments[0].decode(errors="replace")
        init = self.tasks.processes.get(FIRST) if self.main != FIRST else None
        process = Process(
            pid=pid,
            parent=init,
            space=space,
            credentials=credentials,
            name=name,
            group=pid,
            session=pid,
            surroundings=Surroundings(self._home()),
            arguments=tuple(arguments),
            executable=path,
            started=self.tasks.now(),
        )
        for handle in handles:
            process.descriptors.add(handle)
        if init is not None:
            init.children.append(process)
        self.main = self.main or pid
        self.tasks.processes[pid] = process
        thread = self.add_thread(process, space, pid, self.machine.core.fresh_context())
        thread.rip, thread.registers = image
        self.tasks.make_ready(thread)
        return process

    def clone(self, parent: Thread, request: CloneRequest) -> Thread:
        """fork, vfork and pthread_create are all this.  The parent's guest stands still."""
        flags = request.flags
        shares = flags & CLONE_VM
        _check_flags(flags)
        self.check_room(parent.process)
        home = parent.process.space
        if not shares:
            home = home.fork(self.memory.new_space_id())
            self.vases.forked(parent.process.space)
        tid = self.new_id()
        table, place = belongings.inherited(self.ipc, parent, flags)
        process = parent.process
        if not flags & CLONE_THREAD:
            process = self._child(parent, home, pid=tid, flags=flags, table=table, place=place)
        core = self.machine.core
        context = core.fresh_context()
        core.save(context)
        view = parent.space if shares else home
        thread = self.add_thread(process, view, tid, context)
        if flags & CLONE_THREAD:
            belongings.give(self.ipc, thread, table, place)
        if view is not home:
            self.vases.join(parent, thread)
        thread.rip, thread.mask = parent.rip, parent.mask
        thread.scheduling = parent.scheduling.of_child()
        thread.result = 0
        if not shares or flags & CLONE_VFORK:
            thread.alternate_stack = _inherited(parent.alternate_stack, keeps_views=bool(shares))
        thread.name = parent.name
        if request.stack:
            thread.registers["rsp"] = request.stack
        if flags & CLONE_SETTLS:
            thread.registers["fs_base"] = request.tls
        self._set_tids(parent, thread, request)
        self.tasks.make_ready(thread)
        return thread

    def check_room(self, process: Process) -> None:
        """EAGAIN: too many tasks in all, or of this user (RLIMIT_NPROC; root is not under it)."""
        threads, who = self.tasks.threads, process.credentials
        if len(threads) >= MAX_TASKS:
            raise KernelError(E.AGAIN)
        limit = limits.soft(process, limits.NPROC)
        if who.real_uid and not who.is_root and len(threads) >= limit:
            owned = [t for t in threads.values() if t.process.credentials.real_uid == who.real_uid]
            if len(owned) >= limit:
                raise KernelError(E.AGAIN)

    def _child(
        self,
        parent: Thread,
        space: AddressSpace,
        pid: int,
        flags: int,
        table: Descriptors,
        place: Surroundings,
    ) -> Process:
        mother = parent.process
        self.machine.charge(costs.TASK_CREATE)
        elder = mother.parent if flags & CLONE_PARENT and mother.parent else mother
        child = Process(
            pid=pid,
            parent=elder,
            space=space,
            credentials=mother.credentials,
            name=mother.name,
            group=mother.group,
            session=mother.session,
            surroundings=place,
            arguments=mother.arguments,
            executable=mother.executable,
            started=self.tasks.now(),
            descriptors=table,
            actions=mother.actions if flags & CLONE_SIGHAND else dict(mother.actions),
            exit_signal=mother.exit_signal if flags & CLONE_PARENT else flags & EXIT_SIGNAL,
            dumpable=mother.dumpable,
            gains_nothing=mother.gains_nothing,
            personality=mother.personality,
            limits=dict(mother.limits),
            oom_score_adj=mother.oom_score_adj,
            ids=mother.ids,
        )
        elder.children.append(child)
        self.tasks.processes[pid] = child
        timers.limit_processor(child)
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

    def add_thread(
        self, process: Process, space: AddressSpace, tid: int, context: bytearray
    ) -> Thread:
        self.machine.charge(costs.TASK_CREATE)
        thread = Thread(tid, process, space, context, 0)
        process.threads.append(thread)
        process.space.users += 1
        self.tasks.threads[tid] = thread
        parent = process.parent.pid if process.parent else 0
        self.machine.emit(THREAD_NEW, tid, process.pid, parent, space.id, process.name.encode())
        return thread

    def _home(self) -> Handle:
        self.ipc.well_known.home.holds += 1
        return self.ipc.well_known.home

    def new_id(self) -> int:
        self.last_id += 1
        return self.last_id

    # Exec -----------------------------------------------------------------------------------

    def exec(
        self, thread: Thread, path: bytes, arguments: list[bytes], environment: list[bytes]
    ) -> None:
        """Replace the program of the thread's process; the other threads end."""
        image_of, arguments = self._program(thread, path, arguments)
        file = self.ipc.published[image_of.caps[0]]
        process = thread.process
        mode, owner, group = image_of.words
        who = process.credentials.running(0 if process.gains_nothing else mode, owner, group)
        space = self.memory.new_space()
        space.limit(limits.of_memory(process))
        try:
            image = self._load(
                space,
                file,
                arguments=arguments,
                environment=environment,
                credentials=who,
                path=path,
            )
        except KernelError:
            space.destroy()
            raise
        for other in list(process.threads):
            if other is not thread:
                self.end_thread(other, 0)
        self._become_leader(thread)
        if thread.space.alone:
            self.vases.leave(thread)
        futex.owner_died(self.tasks, thread)
        process.usage += Usage(most_pages=process.space.most_resident_pages)
        self._leave_space(thread)
        space.users += 1
        process.space = thread.space = space
        process.name = path.rpartition(b"/")[2][:MAX_COMM_BYTES].decode(errors="replace")
        process.arguments, process.executable = tuple(arguments), image_of.data
        belongings.settle(self.ipc, thread)
        handled = {n: a for n, a in process.actions.items() if a.handler == SIG_IGN}
        process.actions = handled
        for number in sorted(process.descriptors.closes_on_exec):
            self.ipc.close(process.descriptors.remove(number))
        process.executed, process.exit_signal = True, SIGCHLD
        process.timers = {key: timer for key, timer in process.timers.items() if key < 0}
        process.credentials = who
        thread.alternate_stack, thread.clear_tid_address = AlternateStack(), 0
        thread.robust_list, thread.name = 0, ""
        thread.context = self.machine.core.fresh_context()
        thread.rip, thread.registers = image
        self.tasks.unload(thread)
        self.tasks.wake(("vfork", process.pid, 0))
        self.machine.emit(EXEC, process.pid, space.id, path)

    def _program(
        self, thread: Thread, path: bytes, arguments: list[bytes]
    ) -> tuple[Reply, list[bytes]]:
        """The file to load and its arguments; a script names another one (execve(2))."""
        for _ in range(MAX_INTERPRETERS):
            at = paths.start(self.ipc, thread, paths.AT_FDCWD, path)
            reply, _ = paths.send(self.ipc, thread, at, path, "image")
            head = file_pages.load(self.ipc.published[reply.caps[0]], 0, SCRIPT_HEAD_BYTES)
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
        del self.tasks.threads[thread.tid]
        thread.tid = thread.pid
        self.tasks.threads[thread.tid] = thread

    def _load(
        self,
        space: AddressSpace,
        file: MemoryObject,
        arguments: list[bytes],
        environment: list[bytes],
        credentials: Credentials,
        path: bytes,
    ) -> tuple[int, dict[str, int]]:
        """Entry point and first registers of a program loaded into `space`; `path` leads to it."""
        image = elf.parse(file_pages.content(file))
        space.program = file.id
        name = arguments[0].decode(errors="replace") if arguments else ""
        elf.load(space, image, file, name)
        random = self.chooser.bytes(16)
        shown = path or b"".join(arguments[:1])
        rsp = elf.build_stack(
            space,
            image,
            arguments=arguments,
            environment=environment,
            credentials=credentials,
            random=random,
            path=shown,
        )
        return image.entry, {"rsp": rsp}

    # Death ----------------------------------------------------------------------------------

    def exit_thread(self, thread: Thread, status: int) -> None:
        """One thread ends; with the last one, or by SIGKILL, its process does."""
        if len(thread.process.threads) == 1 or thread.killed:
            self.exit_process(thread.process, status)
        else:
            self.end_thread(thread, status)

    def exit_process(self, process: Process, status: int) -> None:
        """All threads end, everything is given back; the parent may ask for `status`.

        With the program that was started first all others end, as in a container
        (pid_namespaces(7)).
        """
        watched = jobs.looked_after(self.tasks, process)
        for thread in list(process.threads):
            self.end_thread(thread, status)
        process.timers.clear()
        belongings.drop_of_process(self.ipc, process)
        self.ipc.abandon(process)
        process.zombie, process.exit_status = True, status
        self.ipc.ready.changed(PROCESSES, process.pid)
        if status & 0x7F:
            self._note_killed(process, signals.name(status & 0x7F))
        self._hand_over_children(process)
        self.tasks.wake(("vfork", process.pid, 0))
        if process.pid == self.main:
            for other in [p for p in self.tasks.processes.values() if p.threads]:
                self.exit_process(other, SIGKILL)
        if process.pid == process.session:
            console = self.ipc.well_known.console.endpoint
            self.ipc.ask(console, TERMINAL, "session_end", (process.pid,))
        signals.tell_orphaned(self.tasks, watched)
        if process.parent is not None:
            self._tell_parent(process.parent, process)

    def _note_killed(self, process: Process, by: str) -> None:
        self.killed.append(f"process {process.pid} ({process.name}) by {by}")
        del self.killed[:-MAX_KILLED]

    def _tell_parent(self, parent: Process, process: Process) -> None:
        """SIGCHLD, unless the parent does not want to know; then nothing is kept of the child."""
        action = parent.actions.get(SIGCHLD, SignalAction())
        forgets = action.handler == SIG_IGN or action.flags & SA_NOCLDWAIT
        if process.exit_signal:
            signals.send(self.tasks, parent, signals.of_child(process))
        if forgets and process.exit_signal == SIGCHLD:
            self._reap(parent, process)
        self.tasks.wake(("child", parent.pid, 0))

    def _hand_over_children(self, process: Process) -> None:
        """Orphans get the nearest ancestor that asked for them (prctl(2)), or the first process."""
        heir = self._heir(process)
        for child in process.children:
            child.parent, child.exit_signal = heir, SIGCHLD
            if child.death_signal:
                told = Signal(child.death_signal, signals.SI_KERNEL)
                signals.send(self.tasks, child, told)
            if heir is not None:
                heir.children.append(child)
            if child.zombie and heir is not None:
                self._tell_parent(heir, child)
            elif child.zombie:
                self._forget(child)
        process.children = []

    def _heir(self, process: Process) -> Process | None:
        above = process.parent
        while above is not None:
            if above.is_heir and not above.zombie:
                return above
            above = above.parent
        first = self.tasks.processes.get(FIRST)
        return None if first is process or first is None or first.zombie else first

    def end_thread(self, thread: Thread, status: int) -> None:
        self.tasks.unschedule(thread)
        if thread.call is not None:
            self.ipc.cancel(thread, thread.call)
        if thread.space.alone:
            self.vases.leave(thread)  # robust list and address are the process's
        futex.owner_died(self.tasks, thread)
        if thread.space.gated:
            self.vases.leave(thread)  # the address is an outsider's
        if thread.clear_tid_address:
            self._announce_end(thread)
        belongings.drop_of_thread(self.ipc, thread)
        thread.state = DEAD
        thread.process.usage += thread_usage(self.tasks, thread)
        thread.turn_began = None
        self._leave_space(thread)
        thread.process.threads.remove(thread)
        del self.tasks.threads[thread.tid]
        self.machine.emit(THREAD_END, thread.tid, thread.pid, status)

    def _announce_end(self, thread: Thread) -> None:
        """CLONE_CHILD_CLEARTID: zero the word and wake a thread that waits for it (a join)."""
        address = thread.clear_tid_address
        with suppress(KernelError):  # the program may have unmapped the word
            thread.space.write(address, bytes(4))
            futex.wake(self.tasks, futex.channel(thread.space, address), 1)

    def _leave_space(self, thread: Thread) -> None:
        """The thread is in no view any more; with the last one, nothing is attached any more."""
        home = thread.process.space
        self.vases.leave(thread)
        home.users -= 1
        if not home.users:
            self.vases.abandon(home)
            self.ipc.ending = thread.pid
            self.memory.retire_space(home)
            self.ipc.ending = 0

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
        keep = bool(options & WNOWAIT)
        if child.zombie:
            if not options & WEXITED:
                return None
            told, usage = signals.of_child(child), child.usage + child.children_usage
            return _change(child, told.code, told.status, child.exit_status, usage)
        usage = process_usage(self.tasks, child) + child.children_usage
        if options & WSTOPPED and child.stop_is_news:
            child.stop_is_news = keep
            number = child.stopped
            return _change(child, signals.CLD_STOPPED, number, number << 8 | 0x7F, usage)
        if options & WCONTINUED and child.continue_is_news:
            child.continue_is_news = keep
            return _change(child, signals.CLD_CONTINUED, signals.SIGCONT, 0xFFFF, usage)
        return None

    def _reap(self, parent: Process, child: Process) -> None:
        parent.children.remove(child)
        self._forget(child)

    def _forget(self, process: Process) -> None:
        del self.tasks.processes[process.pid]
        self.ipc.ready.changed(PROCESSES, process.pid)


def _change(child: Process, code: int, status: int, wait_status: int, usage: Usage) -> Change:
    uid = child.credentials.real_uid
    return Change(
        pid=child.pid, code=code, status=status, uid=uid, wait_status=wait_status, usage=usage
    )


def _inherited(stack: AlternateStack, *, keeps_views: bool) -> AlternateStack:
    """The alternate stack of a child, which has nothing attached unless it borrows the space."""
    is_away = stack.place is not None and stack.place[0]
    return AlternateStack() if is_away and not keeps_views else stack


def _check_flags(flags: int) -> None:
    """EINVAL: combinations of clone(2) that make no sense, and what there is none of here."""
    needs = ((CLONE_THREAD, CLONE_SIGHAND), (CLONE_SIGHAND, CLONE_VM))
    if flags & CLONE_UNKNOWN or any(flags & one and not flags & other for one, other in needs):
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
