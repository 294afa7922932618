"""How processes and threads come and go: spawn, fork, clone, exec, exit, wait."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hw import trace
from kernel import elf, futex, signals
from kernel.errno import Blocked, E, KernelError
from kernel.objects import MemoryObject
from kernel.process import (
    DEAD,
    MAX_TASKS,
    Credentials,
    Descriptors,
    Handle,
    Process,
    SignalAction,
    Thread,
)
from kernel.signals import SIG_IGN, SIGCHLD, SIGKILL
from kernel.space import AddressSpace

if TYPE_CHECKING:
    from kernel.kernel import Kernel

THREAD_NEW = trace.declare(
    "thread_new", "tid:Q pid:Q parent:Q space:Q name:s", "A thread was made."
)
THREAD_END = trace.declare(
    "thread_end", "tid:Q pid:Q status:H", "It ended; status of the last one counts."
)
EXEC = trace.declare("exec", "pid:Q space:Q path:s", "A process runs another program now.")

CLONE_VM, CLONE_SIGHAND, CLONE_VFORK, CLONE_THREAD = 0x100, 0x800, 0x4000, 0x10000
CLONE_SETTLS, CLONE_PARENT_SETTID = 0x80000, 0x100000
CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID = 0x200000, 0x1000000
WNOHANG, WUNTRACED = 1, 2
FIRST = 1


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
        process = Process(pid, None, space, credentials, name, pid, pid, self._root())
        for handle in handles:
            process.descriptors.add(handle)
        self.kernel.processes[pid] = process
        thread = self._add_thread(process, space, pid, self.kernel.machine.core.fresh_context())
        thread.rip, thread.registers = image
        self.kernel.make_ready(thread)
        return process

    def clone(self, parent: Thread, request: CloneRequest) -> Thread:
        """fork, vfork and pthread_create are all this.  The parent's guest stands still."""
        if len(self.kernel.threads) >= MAX_TASKS:
            raise KernelError(E.AGAIN)
        flags = request.flags
        shares = flags & CLONE_VM
        if (flags & CLONE_THREAD and not flags & CLONE_SIGHAND) or (
            flags & CLONE_SIGHAND and not shares
        ):
            raise KernelError(E.INVAL)
        home = parent.process.space
        if not shares:
            home = home.fork(self.kernel.new_space_id())
            self.kernel.vases.forked(parent.process.space)
        tid = self._new_id()
        process = parent.process if flags & CLONE_THREAD else self._child(parent, home, tid)
        core = self.kernel.machine.core
        context = core.fresh_context()
        core.save(context)
        view = parent.space if shares else home
        thread = self._add_thread(process, view, tid, context)
        if view is not home:
            self.kernel.vases.join(parent, thread)
        thread.rip, thread.mask = parent.rip, parent.mask
        thread.result = 0
        if not shares or flags & CLONE_VFORK:
            thread.alternate_stack = parent.alternate_stack
        if request.stack:
            thread.registers["rsp"] = request.stack
        if flags & CLONE_SETTLS:
            thread.registers["fs_base"] = request.tls
        self._set_tids(parent, thread, request)
        self.kernel.make_ready(thread)
        return thread

    def _child(self, parent: Thread, space: AddressSpace, pid: int) -> Process:
        mother = parent.process
        mother.cwd.holds += 1
        child = Process(
            pid, mother, space, mother.credentials, mother.name, mother.group, mother.session,
            mother.cwd, mother.umask, mother.descriptors.copy(),
        )  # fmt: skip
        child.actions = dict(mother.actions)
        mother.children.append(child)
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
        thread = Thread(tid, process, space, context, 0)
        process.threads.append(thread)
        process.space.users += 1
        self.kernel.threads[tid] = thread
        parent = process.parent.pid if process.parent else 0
        self._emit(THREAD_NEW, tid, process.pid, parent, space.id, process.name.encode())
        return thread

    def _root(self) -> Handle:
        self.kernel.root.holds += 1
        return self.kernel.root

    def _new_id(self) -> int:
        self.last_id += 1
        return self.last_id

    # Exec -----------------------------------------------------------------------------------

    def exec(
        self, thread: Thread, path: bytes, arguments: list[bytes], environment: list[bytes]
    ) -> None:
        """Replace the program of the thread's process; the other threads end."""
        start = self.kernel.root if path.startswith(b"/") else thread.process.cwd
        reply = self.kernel.ipc.call(thread, start, "image", data=path)
        file = self.kernel.ipc.port.published[reply.caps[0]]
        process = thread.process
        space = self.kernel.new_space()
        try:
            image = self._load(space, file, arguments, environment, process.credentials)
        except KernelError:
            space.destroy()
            raise
        for other in list(process.threads):
            if other is not thread:
                self._end_thread(other, 0)
        self._become_leader(thread)
        self._leave_space(thread)
        space.users += 1
        process.space = thread.space = space
        process.name = path.rpartition(b"/")[2].decode(errors="replace")
        handled = {n: a for n, a in process.actions.items() if a.handler == SIG_IGN}
        process.actions = handled
        for number in sorted(process.descriptors.closes_on_exec):
            self.kernel.ipc.close(process.descriptors.remove(number))
        thread.alternate_stack, thread.clear_tid_address = (0, 0), 0
        thread.context = self.kernel.machine.core.fresh_context()
        thread.rip, thread.registers = image
        self.kernel.unload(thread)
        self.kernel.wake(("vfork", process.pid, 0))
        self._emit(EXEC, process.pid, space.id, path)

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
        image = elf.parse(file.data)
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
        for thread in list(process.threads):
            self._end_thread(thread, status)
        for handle in process.descriptors.handles.values():
            self.kernel.ipc.close(handle)
        process.descriptors = Descriptors()
        self.kernel.ipc.close(process.cwd)
        self.kernel.ipc.abandon(process)
        self._hand_over_children(process)
        process.zombie, process.exit_status = True, status
        self.kernel.wake(("vfork", process.pid, 0))
        if process.pid == FIRST:
            for other in [p for p in self.kernel.processes.values() if not p.zombie]:
                self.exit_process(other, SIGKILL)
        parent = process.parent
        if parent is None:
            return
        if parent.actions.get(SIGCHLD, SignalAction()).handler == SIG_IGN:
            self._reap(parent, process)
        else:
            signals.send(self.kernel, parent, signals.of_child(process))
        self.kernel.wake(("child", parent.pid, 0))

    def _hand_over_children(self, process: Process) -> None:
        """Orphans get the first process as their parent, like everywhere in Unix."""
        heir = self.kernel.processes.get(FIRST)
        for child in process.children:
            child.parent = heir if heir is not process else None
            if child.parent is not None:
                child.parent.children.append(child)
            elif child.zombie:
                del self.kernel.processes[child.pid]
        process.children = []
        if heir is not None:
            self.kernel.wake(("child", heir.pid, 0))

    def _end_thread(self, thread: Thread, status: int) -> None:
        self.kernel.unschedule(thread)
        if thread.call is not None:
            self.kernel.ipc.cancel(thread.call)
        if thread.clear_tid_address:
            self._announce_end(thread)
        self._leave_space(thread)
        thread.state = DEAD
        thread.process.threads.remove(thread)
        del self.kernel.threads[thread.tid]
        self._emit(THREAD_END, thread.tid, thread.pid, status)

    def _announce_end(self, thread: Thread) -> None:
        """CLONE_CHILD_CLEARTID: zero the word and wake who waits for it (a join)."""
        address = thread.clear_tid_address
        with suppress(KernelError):  # the program may have unmapped the word
            thread.space.write(address, bytes(4))
            self.kernel.wake(futex.channel(thread.space, address), 1)

    def _leave_space(self, thread: Thread) -> None:
        """The thread is in no view any more; with the last one, nothing is attached any more."""
        home = thread.process.space
        self.kernel.vases.leave(thread)
        home.users -= 1
        if not home.users:
            self.kernel.vases.abandon(home)
            self.kernel.retire_space(home)

    # Wait -----------------------------------------------------------------------------------

    def wait(self, process: Process, which: int, options: int) -> tuple[int, int]:
        """(pid, status) of a child that ended, or with WUNTRACED was stopped.

        (0, 0) if there is none now and WNOHANG is given.
        Raises ECHILD if there is none to wait for.
        """
        children = [child for child in process.children if _matches(child, which, process)]
        if not children:
            raise KernelError(E.CHILD)
        for child in children:
            if child.zombie:
                self._reap(process, child)
                return child.pid, child.exit_status
            if options & WUNTRACED and child.stop_is_news:
                child.stop_is_news = False
                return child.pid, child.stopped << 8 | 0x7F
        if options & WNOHANG:
            return 0, 0
        raise Blocked(("child", process.pid, 0))

    def _reap(self, parent: Process, child: Process) -> None:
        parent.children.remove(child)
        del self.kernel.processes[child.pid]

    def _emit(self, kind: trace.Kind, *values: object) -> None:
        if self.kernel.machine.trace:
            self.kernel.machine.trace.emit(kind, *values)


def _matches(child: Process, which: int, process: Process) -> bool:
    if which == -1:
        return True
    if which == 0:
        return child.group == process.group
    return child.pid == which if which > 0 else child.group == -which
