"""The process server: /proc (proc(5)), whose files are made when they are read.

A badge holds the number of a file in its low 16 bits, then 24 bits for the id of a process or a
thread, 0 for the system, then 24 bits for an id below it: a VAS in /proc/PID/vas, which the RFC
describes, or a thread in /proc/PID/task.  `proc_system` and `proc_process` say what is in files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Message, Port, ProcessInfo, Reply, moved
from kernel.abi.names import escaped
from kernel.abi.nodes import S_IFREG
from kernel.servers import proc_process, proc_system
from kernel.servers.generated import DIRECTORY, FILE, LINK, Generated
from kernel.servers.proc_process import PRIVATE, Subject

FD, ATTACHED, TASK = 0x8000, 0x4000, 0x2000
ID_SHIFT, BELOW_SHIFT, ID_MASK = 16, 40, (1 << 24) - 1
OOM_LOWEST, OOM_HIGHEST = -1000, 1000

# Files of a VAS that a process has attached -------------------------------------------------------

TYPES = {4: "ro", 2: "wo", 6: "rw"}


def attached_status(pid: int, vid: int, attachment: dict[str, Any]) -> bytes:
    return f"pid:  {pid}\nvid:  {vid}\ntype: {TYPES[attachment['kind']]}\n".encode()


def attached_maps(pid: int, vid: int, attachment: dict[str, Any]) -> bytes:
    """In the RFC's format: v marks the VAS's own regions, a those that come from the process."""
    lines = []
    for region in attachment["maps"]:
        rights = "".join(c if region["prot"] >> i & 1 else "-" for i, c in enumerate("rwx"))
        shared, whose = "s" if region["shared"] else "p", "-a" if region["own"] else "v-"
        extent = f"{region['start']:08x}-{region['end']:08x} {rights}{shared}"
        line = f"{extent} [{whose[0]}:{whose[1]}] {region['page'] << 12:08x} ".encode()
        name = region["name"].encode(errors="surrogateescape")
        lines.append((line + escaped(name)).rstrip() + b"\n")
    return b"".join(lines) or b"EMPTY\n"


_ATTACHED: dict[bytes, Callable[[int, int, dict[str, Any]], bytes]] = {
    b"status": attached_status,
    b"maps": attached_maps,
}
_ATTACHED_NAMES = [*_ATTACHED, b"vas"]

LINKS = (b"cwd", b"exe", b"root")
FOLDERS = (b"fd", b"task", b"vas")
SELF, THREAD_SELF = b"self", b"thread-self"
_SYSTEM_NAMES = [*proc_system.FILES, *proc_system.FOLDERS, SELF, THREAD_SELF]
_PROCESS_NAMES = [*proc_process.FILES, b"mem", b"pagemap", *LINKS, *FOLDERS]
_TASK_NAMES = list(proc_process.FILES)
_FD_DIRECTORY, _TASK_DIRECTORY, _VAS_DIRECTORY = (_PROCESS_NAMES.index(n) + 1 for n in FOLDERS)


def _parts(badge: int) -> tuple[int, int, int]:
    """The id below, a process or thread, and the number of a file."""
    return badge >> BELOW_SHIFT, badge >> ID_SHIFT & ID_MASK, badge & 0xFFFF


def _badge(what: int, id: int = 0, below: int = 0) -> int:
    return below << BELOW_SHIFT | id << ID_SHIFT | what


def _name(badge: int) -> bytes:
    """The name of a file of the system, a process or a thread, which for the system is a path."""
    _, id, what = _parts(badge)
    if what & TASK:
        return _TASK_NAMES[(what & ~TASK) - 1]
    return (_PROCESS_NAMES if id else _SYSTEM_NAMES)[what - 1]


def _open_at(info: ProcessInfo, fd: int) -> tuple[int, int]:
    """Endpoint and badge of a descriptor.  Raises ENOENT if it is closed by now."""
    for number, endpoint, badge, _ in info.descriptors:
        if number == fd:
            return endpoint, badge
    raise KernelError(E.NOENT)


@dataclass(slots=True)
class Proc(Generated):
    name: str = "proc"
    device: ClassVar[int] = 4

    def restarted(self) -> Proc:
        return Proc(self.above)

    def mode(self, badge: int) -> int:
        _, id, what = _parts(badge)
        if not what or what == TASK:
            return DIRECTORY
        if what & FD:
            return LINK
        if what & ATTACHED:
            return LINK if _ATTACHED_NAMES[what & ~ATTACHED] == b"vas" else FILE
        name = _name(badge)
        if name in (FOLDERS if id else proc_system.FOLDERS):
            return DIRECTORY
        if name in (LINKS if id else (SELF, THREAD_SELF)):
            return LINK
        if id and name in PRIVATE:
            return S_IFREG | 0o400
        return S_IFREG | 0o644 if name == b"oom_score_adj" else FILE

    def children(self, badge: int, port: Port) -> Iterator[tuple[int, bytes]]:
        below, id, what = _parts(badge)
        if not id:
            yield from self._of_system(badge, port)
        elif not what:
            self._info(id, port)
            yield from ((badge | i + 1, name) for i, name in enumerate(_PROCESS_NAMES))
        elif what == TASK:
            yield from ((badge | i + 1, name) for i, name in enumerate(_TASK_NAMES))
        elif what == _FD_DIRECTORY:
            opens = self._info(id, port).descriptors
            yield from ((_badge(FD | d[0], id), b"%d" % d[0]) for d in opens)
        elif what == _TASK_DIRECTORY:
            threads = self._info(id, port).threads
            yield from ((_badge(TASK, id, t.tid), b"%d" % t.tid) for t in threads)
        elif not below:
            vids = port.attached(port.leader(id))
            yield from ((_badge(what, id, vid), b"%d" % vid) for vid in vids)
        else:
            self._attachment(badge, port)
            above = _badge(ATTACHED, id, below)
            yield from ((above | i, name) for i, name in enumerate(_ATTACHED_NAMES))

    def _of_system(self, badge: int, port: Port) -> Iterator[tuple[int, bytes]]:
        """The root, or a folder of the system's files."""
        prefix = _name(badge) + b"/" if badge else b""
        for i, name in enumerate(_SYSTEM_NAMES):
            if name.startswith(prefix) and b"/" not in name[len(prefix) :]:
                yield i + 1, name[len(prefix) :]
        if not badge:
            yield from ((_badge(0, pid), b"%d" % pid) for pid in port.processes())

    def child(self, directory: int, name: bytes, port: Port) -> int:
        """A thread that leads no process is found here too, but it is not listed (proc(5))."""
        if not directory and name.isdigit() and name == b"%d" % int(name):
            if not port.leader(int(name)):
                raise KernelError(E.NOENT)
            return _badge(0, int(name))
        return Generated.child(self, directory, name, port)

    def parent(self, badge: int) -> int:
        below, id, what = _parts(badge)
        if not id:
            folder = _name(badge).rpartition(b"/")[0] if badge else b""
            return _SYSTEM_NAMES.index(folder) + 1 if folder else 0
        if what & FD:
            return _badge(_FD_DIRECTORY, id)
        if what & TASK:
            return _badge(_TASK_DIRECTORY, id) if what == TASK else _badge(TASK, id, below)
        if what & ATTACHED:
            return _badge(_VAS_DIRECTORY, id, below)
        if below:
            return _badge(_VAS_DIRECTORY, id)
        return _badge(0, id) if what else 0

    def path(self, badge: int) -> bytes:
        below, id, what = _parts(badge)
        if not id:
            return b"/proc/" + _name(badge) if what else b"/proc"
        if what & FD:
            return b"/proc/%d/fd/%d" % (id, what & ~FD)
        if what & ATTACHED:
            return b"/proc/%d/vas/%d/%s" % (id, below, _ATTACHED_NAMES[what & ~ATTACHED])
        if what & TASK:
            return b"/proc/%d/task/%d" % (id, below) + (b"/" + _name(badge) if what > TASK else b"")
        name = b"/" + _name(badge) if what else b""
        return b"/proc/%d" % id + name + (b"/%d" % below if below else b"")

    def content(self, badge: int, message: Message, port: Port) -> bytes:
        below, id, what = _parts(badge)
        if not id:
            return proc_system.FILES[_name(badge)](port)
        if what & ATTACHED:
            show = _ATTACHED[_ATTACHED_NAMES[what & ~ATTACHED]]
            return show(port.leader(id), below, self._attachment(badge, port))
        return proc_process.FILES[_name(badge)](self._subject(badge, message, port), port)

    def part(self, badge: int, offset: int, count: int, message: Message, port: Port) -> bytes:
        name = _name(badge) if _parts(badge)[1] and badge & 0xFFFF < TASK else b""
        if name not in (b"mem", b"pagemap"):
            return Generated.part(self, badge, offset, count, message, port)
        who = self._subject(badge, message, port)
        if name == b"mem":
            return self._memory(who, offset, count, port)
        if offset & 7 or count & 7:
            raise KernelError(E.INVAL)
        return proc_process.pagemap_part(who, offset, count, message.uid == 0, port)

    def _memory(self, who: Subject, offset: int, count: int, port: Port) -> bytes:
        """Raises EIO where nothing is mapped, as Linux."""
        try:
            found = port.peek(who.viewer, offset, count)
        except KernelError as error:
            raise KernelError(E.IO) from error
        if count and not found:
            raise KernelError(E.IO)
        return found

    def change(self, badge: int, message: Message, port: Port) -> None:
        """oom_score_adj: only root makes it less likely that the process is killed."""
        pid = port.leader(_parts(badge)[1])
        try:
            value = int(message.data.strip())
        except ValueError as error:
            raise KernelError(E.INVAL) from error
        if not OOM_LOWEST <= value <= OOM_HIGHEST:
            raise KernelError(E.INVAL)
        if value < self._info(pid, port).oom_score_adj and message.uid:
            raise KernelError(E.ACCES)
        port.set_oom_score_adj(pid, value)

    def target(self, badge: int, message: Message, port: Port) -> bytes:
        below, id, what = _parts(badge)
        if not id:
            own = b"%d" % message.pid
            return own if _name(badge) == SELF else own + b"/task/%d" % message.tid
        if what & ATTACHED:
            return b"/sys/kernel/vas/%d" % below
        info = self._info(id, port)
        if what & FD:
            return port.name_of(*_open_at(info, what & ~FD))
        if _name(badge) == b"cwd":
            return port.name_of(*info.cwd)
        return info.executable if _name(badge) == b"exe" else b"/"

    def owner(self, badge: int, port: Port) -> tuple[int, int]:
        _, id, _ = _parts(badge)
        if not id:
            return 0, 0
        info = self._info(id, port)
        return info.uids[1], info.gids[1]

    def through(
        self, badge: int, rest: bytes, message: Message, port: Port, *, follow: bool
    ) -> int | Reply:
        """A link here leads to a process, to a path, or straight to an open file."""
        _, id, what = _parts(badge)
        if not id:
            own = _badge(0, message.pid)
            if _name(badge) == THREAD_SELF:
                own = _badge(TASK, message.pid, message.tid)
            return self._walk(own, rest, message, port, follow=follow)
        if what & FD:
            place = _open_at(self._info(id, port), what & ~FD)
        elif not what & ATTACHED and _name(badge) == b"cwd":
            place = self._info(id, port).cwd
        else:
            return Generated.through(self, badge, rest, message, port, follow=follow)
        return moved(place, rest)

    def _subject(self, badge: int, message: Message, port: Port) -> Subject:
        """Whom a file tells of.  A thread that looks at its own process sees its own memory."""
        below, id, what = _parts(badge)
        info, tid = self._info(id, port), below if what & TASK else id
        thread = next((thread for thread in info.threads if thread.tid == tid), None)
        if what & TASK and thread is None:
            raise KernelError(E.SRCH)
        viewer = message.tid if tid == message.pid == info.pid else tid
        return Subject(info, thread, viewer, alone=bool(what & TASK))

    def _info(self, id: int, port: Port) -> ProcessInfo:
        """Of the process of a thread."""
        info = port.process(port.leader(id))
        if info is None:
            raise KernelError(E.SRCH)
        return info

    def _attachment(self, badge: int, port: Port) -> dict[str, Any]:
        vid, id, _ = _parts(badge)
        found = port.attachment(port.leader(id), vid)
        if found is None:
            raise KernelError(E.NOENT)
        return found
