"""The process server: /proc (proc(5)), made up at the moment it is read.

A badge is a pid and what of it is meant; pid 0 stands for the system.  Nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kernel.errno import E, KernelError
from kernel.message import MOVED, Message, Port, ProcessInfo, Reply
from kernel.nodes import (
    O_ACCMODE,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOFOLLOW,
    O_PATH,
    POLLIN,
    POLLOUT,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    WRITE,
    Stat,
    pack_entry,
)

DEVICE = 4
TICKS_PER_SECOND = 100
CYCLES_PER_TICK_DIVISOR = 24_000_000
FD, PID_SHIFT = 0x8000, 16
DIRECTORY, FILE, LINK = S_IFDIR | 0o555, S_IFREG | 0o444, S_IFLNK | 0o777


def _pages_kib(pages: int) -> int:
    return pages * 4


def _seconds(cycles: int) -> bytes:
    hundredths = cycles // CYCLES_PER_TICK_DIVISOR
    return b"%d.%02d" % divmod(hundredths, TICKS_PER_SECOND)


# Files of the system ------------------------------------------------------------------------------


def meminfo(port: Port) -> bytes:
    total, free = map(_pages_kib, port.memory())
    rows = (("MemTotal", total), ("MemFree", free), ("MemAvailable", free), ("SwapTotal", 0))
    return "".join(f"{name + ':':<15} {value:>8} kB\n" for name, value in rows).encode()


def uptime(port: Port) -> bytes:
    since_boot, idle = port.uptime()
    return b"%s %s\n" % (_seconds(since_boot), _seconds(idle))


def loadavg(port: Port) -> bytes:
    pids = port.processes()
    return b"0.00 0.00 0.00 1/%d %d\n" % (len(pids), pids[-1])


def mounts(port: Port) -> bytes:
    return b"files / tmpfs rw 0 0\nproc /proc proc rw 0 0\n"


def stat(port: Port) -> bytes:
    since_boot, idle = (cycles // CYCLES_PER_TICK_DIVISOR for cycles in port.uptime())
    busy = max(0, since_boot - idle)
    return b"cpu  %d 0 0 %d 0 0 0 0 0 0\nprocesses %d\n" % (busy, idle, len(port.processes()))


SYSTEM: dict[bytes, Callable[[Port], bytes]] = {
    b"loadavg": loadavg, b"meminfo": meminfo, b"mounts": mounts, b"stat": stat, b"uptime": uptime,
}  # fmt: skip

# Files of a process -------------------------------------------------------------------------------

STATES = {"R": "running", "S": "sleeping", "T": "stopped", "Z": "zombie"}


def status(info: ProcessInfo, port: Port) -> bytes:
    mapped, resident = map(_pages_kib, port.pages_of(info.pid))
    ids = [f"{number}\t" * 3 + str(number) for number in (info.uid, info.gid)]
    rows = (
        ("Name", info.name), ("State", f"{info.state} ({STATES[info.state]})"),
        ("Tgid", info.pid), ("Pid", info.pid), ("PPid", info.parent), ("Uid", ids[0]),
        ("Gid", ids[1]), ("VmSize", f"{mapped:>8} kB"), ("VmRSS", f"{resident:>8} kB"),
        ("Threads", len(info.threads)),
    )  # fmt: skip
    return "".join(f"{name}:\t{value}\n" for name, value in rows).encode()


def stat_of(info: ProcessInfo, port: Port) -> bytes:
    """The 52 fields of proc_pid_stat(5); what is not known here is 0."""
    fields = [0] * 53
    fields[4], fields[5], fields[6] = info.parent, info.group, info.session
    fields[14] = info.instructions // CYCLES_PER_TICK_DIVISOR
    fields[18], fields[20] = 20, len(info.threads)
    fields[22] = info.started // CYCLES_PER_TICK_DIVISOR
    mapped, resident = port.pages_of(info.pid)
    fields[23], fields[24] = mapped * 4096, resident
    tail = " ".join(map(str, fields[4:]))
    return f"{info.pid} ({info.name}) {info.state} {tail}\n".encode()


def statm(info: ProcessInfo, port: Port) -> bytes:
    return b"%d %d 0 0 0 0 0\n" % port.pages_of(info.pid)


def cmdline(info: ProcessInfo, port: Port) -> bytes:
    return b"".join(word + b"\0" for word in info.arguments)


def comm(info: ProcessInfo, port: Port) -> bytes:
    return info.name.encode() + b"\n"


def maps(info: ProcessInfo, port: Port) -> bytes:
    return port.maps(info.pid)


PROCESS: dict[bytes, Callable[[ProcessInfo, Port], bytes]] = {
    b"cmdline": cmdline,
    b"comm": comm,
    b"maps": maps,
    b"stat": stat_of,
    b"statm": statm,
    b"status": status,
}
LINKS = (b"cwd", b"exe", b"root")
_SYSTEM_NAMES, _PROCESS_NAMES = list(SYSTEM), [*PROCESS, *LINKS, b"fd"]
SELF = len(_SYSTEM_NAMES) + 1
_FD_DIRECTORY = _PROCESS_NAMES.index(b"fd") + 1


@dataclass(slots=True)
class Proc:
    """`above` is the endpoint and badge of the directory that /proc is in."""

    above: tuple[int, int]
    name: str = "proc"

    def handle(self, message: Message, port: Port) -> Reply:
        rest = message.data.partition(b"\0")[0] if message.operation != "write" else b""
        follow = self._follows(message)
        badge = self._walk(message.badge, rest, message, port, follow=follow)
        if isinstance(badge, Reply):
            return badge
        return self._answer(badge, message, port)

    def _follows(self, message: Message) -> bool:
        if message.operation == "open":
            return not message.words[0] & O_NOFOLLOW
        if message.operation in ("stat", "access", "chmod", "utimens", "chown"):
            return not message.words[-1]
        return message.operation != "readlink"

    def _answer(self, badge: int, message: Message, port: Port) -> Reply:
        mode = self._mode(badge)
        match message.operation:
            case "open":
                return self._open(badge, message.words[0], mode)
            case "read":
                count, offset = message.words
                if mode & S_IFMT == S_IFDIR:
                    raise KernelError(E.ISDIR)
                return Reply(data=self._content(badge, port)[offset : offset + count])
            case "readdir":
                return self._readdir(badge, message.words[0], message.words[1], port)
            case "stat":
                return Reply(words=self._stat(badge, mode, port))
            case "readlink":
                if badge == SELF:
                    return Reply(data=b"%d" % message.pid)
                return Reply(data=self._target(badge, port))
            case "path":
                return Reply(data=self._path(badge))
            case "poll":
                return Reply(POLLIN | POLLOUT)
            case "access":
                if message.words[0] & WRITE and message.uid:
                    raise KernelError(E.ACCES)
                return Reply()
            case "close":
                return Reply()
            case "statfs":
                return Reply(words=(0, 0, 0, 0))
            case "ioctl":
                raise KernelError(E.NOTTY)
            case "object":
                raise KernelError(E.NODEV)
            case "image" | "write":
                raise KernelError(E.ACCES)
        raise KernelError(E.PERM)

    def interrupt(self, port: Port) -> None:
        """It has no device."""

    def restarted(self) -> Proc:
        return Proc(self.above)

    # Paths --------------------------------------------------------------------------------------

    def _walk(
        self, badge: int, path: bytes, message: Message, port: Port, *, follow: bool
    ) -> int | Reply:
        """The badge that a path leads to, or where it goes on."""
        names = [name for name in path.split(b"/") if name]
        for i, name in enumerate(names):
            rest = b"/".join(names[i + 1 :])
            if self._mode(badge) & S_IFMT != S_IFDIR:
                raise KernelError(E.NOTDIR)
            if name == b"." or (name == b".." and badge):
                badge = badge if name == b"." else self._above(badge)
                continue
            if name == b"..":
                return Reply(0, MOVED, (self.above[1],), rest or b".", (self.above[0],))
            badge = self._step(badge, name, port)
            if self._mode(badge) & S_IFMT == S_IFLNK and (rest or follow):
                return self._through(badge, rest, message, port, follow=follow)
        return badge

    def _step(self, directory: int, name: bytes, port: Port) -> int:
        for child, own, _ in self._children(directory, port):
            if own == name:
                return child
        raise KernelError(E.NOENT)

    def _through(
        self, badge: int, rest: bytes, message: Message, port: Port, *, follow: bool
    ) -> int | Reply:
        """Go on behind a link: to a process, a path, or straight to an open thing."""
        if badge == SELF:
            return self._walk(message.pid << PID_SHIFT, rest, message, port, follow=follow)
        pid, what = badge >> PID_SHIFT, badge & 0xFFFF
        info = self._info(pid, port)
        if what & FD:
            _, endpoint, node, _ = next(d for d in info.descriptors if d[0] == what & ~FD)
        elif _PROCESS_NAMES[what - 1] == b"cwd":
            endpoint, node = info.cwd
        else:
            endpoint, node = self.above
            rest = self._target(badge, port) + b"/" + rest if rest else self._target(badge, port)
        return Reply(0, MOVED, (node,), rest, (endpoint,))

    def _above(self, badge: int) -> int:
        pid, what = badge >> PID_SHIFT, badge & 0xFFFF
        return pid << PID_SHIFT if what else 0

    def _path(self, badge: int) -> bytes:
        pid, what = badge >> PID_SHIFT, badge & 0xFFFF
        if not pid:
            return b"/proc/" + [*_SYSTEM_NAMES, b"self"][what - 1] if what else b"/proc"
        if what & FD:
            return b"/proc/%d/fd/%d" % (pid, what & ~FD)
        return b"/proc/%d" % pid + (b"/" + _PROCESS_NAMES[what - 1] if what else b"")

    # Nodes --------------------------------------------------------------------------------------

    def _mode(self, badge: int) -> int:
        pid, what = badge >> PID_SHIFT, badge & 0xFFFF
        if not what or (pid and what == _FD_DIRECTORY):
            return DIRECTORY
        if what & FD or badge == SELF or (pid and _PROCESS_NAMES[what - 1] in LINKS):
            return LINK
        return FILE

    def _children(self, badge: int, port: Port) -> Iterator[tuple[int, bytes, int]]:
        """(badge, name, mode) of what is in a directory."""
        pid, what = badge >> PID_SHIFT, badge & 0xFFFF
        if not pid:
            found = [(i + 1, name) for i, name in enumerate(_SYSTEM_NAMES)]
            found.append((SELF, b"self"))
            found += [(each << PID_SHIFT, b"%d" % each) for each in port.processes()]
        elif not what:
            self._info(pid, port)
            found = [(badge | i + 1, name) for i, name in enumerate(_PROCESS_NAMES)]
        else:
            numbers = [descriptor[0] for descriptor in self._info(pid, port).descriptors]
            found = [(pid << PID_SHIFT | FD | n, b"%d" % n) for n in numbers]
        for child, name in found:
            yield child, name, self._mode(child)

    def _info(self, pid: int, port: Port) -> ProcessInfo:
        info = port.process(pid)
        if info is None:
            raise KernelError(E.SRCH)
        return info

    def _open(self, badge: int, flags: int, mode: int) -> Reply:
        kind = mode & S_IFMT
        if flags & O_CREAT and flags & O_EXCL:
            raise KernelError(E.EXIST)
        if flags & O_DIRECTORY and kind != S_IFDIR:
            raise KernelError(E.NOTDIR)
        if not flags & O_PATH:
            if kind == S_IFLNK:
                raise KernelError(E.LOOP)
            if flags & O_ACCMODE:
                raise KernelError(E.ISDIR if kind == S_IFDIR else E.ACCES)
        return Reply(words=(badge, 1, 0))

    def _content(self, badge: int, port: Port) -> bytes:
        pid, what = badge >> PID_SHIFT, badge & 0xFFFF
        if not pid:
            return SYSTEM[_SYSTEM_NAMES[what - 1]](port)
        return PROCESS[_PROCESS_NAMES[what - 1]](self._info(pid, port), port)

    def _target(self, badge: int, port: Port) -> bytes:
        if self._mode(badge) & S_IFMT != S_IFLNK:
            raise KernelError(E.INVAL)
        pid, what = badge >> PID_SHIFT, badge & 0xFFFF
        info = self._info(pid, port)
        if what & FD:
            _, endpoint, node, _ = next(d for d in info.descriptors if d[0] == what & ~FD)
            return port.name_of(endpoint, node)
        name = _PROCESS_NAMES[what - 1]
        if name == b"cwd":
            return port.name_of(*info.cwd)
        return info.executable if name == b"exe" else b"/"

    def _stat(self, badge: int, mode: int, port: Port) -> Stat:
        pid = badge >> PID_SHIFT
        info = self._info(pid, port) if pid else None
        owner = (info.uid, info.gid) if info else (0, 0)
        links = 2 if mode & S_IFMT == S_IFDIR else 1
        return Stat(DEVICE, badge + 1, mode, links, *owner, 0, 0, 0, *[port.now()] * 3)

    def _readdir(self, badge: int, cookie: int, room: int, port: Port) -> Reply:
        if self._mode(badge) & S_IFMT != S_IFDIR:
            raise KernelError(E.NOTDIR)
        dots = [(badge, b".", DIRECTORY), (self._above(badge), b"..", DIRECTORY)]
        packed = b""
        for place, (child, name, mode) in enumerate([*dots, *self._children(badge, port)], 1):
            entry = pack_entry(child + 1, place, name, mode)
            if place <= cookie:
                continue
            if len(packed) + len(entry) > room:
                break
            packed, cookie = packed + entry, place
        return Reply(data=packed, words=(cookie,))
