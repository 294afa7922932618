"""The process server: /proc (proc(5)), made up at the moment it is read.

A badge is a pid and what of it is meant; pid 0 stands for the system.  Below /proc/PID/vas, which
is as the RFC has it, the id of a VAS comes on top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from kernel.abi.errno import E, KernelError
from kernel.abi.message import MOVED, Message, Port, ProcessInfo, Reply
from kernel.servers.generated import DIRECTORY, FILE, LINK, Generated
from kernel.servers.system import UTSNAME

TICKS_PER_SECOND = 100
CYCLES_PER_TICK_DIVISOR = 24_000_000
FD, ATTACHED, PID_SHIFT, VID_SHIFT = 0x8000, 0x4000, 16, 48


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
    return b"files / tmpfs rw 0 0\nproc /proc proc rw 0 0\nsysfs /sys sysfs rw 0 0\n"


def stat(port: Port) -> bytes:
    since_boot, idle = (cycles // CYCLES_PER_TICK_DIVISOR for cycles in port.uptime())
    busy = max(0, since_boot - idle)
    return b"cpu  %d 0 0 %d 0 0 0 0 0 0\nprocesses %d\n" % (busy, idle, len(port.processes()))


def version(port: Port) -> bytes:
    system, _, release, build, *_ = UTSNAME
    return b"%s version %s %s\n" % (system, release, build)


def cpuinfo(port: Port) -> bytes:
    return b"".join(
        b"processor\t: %d\nvendor_id\t: Vantage\ncpu MHz\t\t: 2400.000\n\n" % number
        for number in range(port.cores())
    )


SYSTEM: dict[bytes, Callable[[Port], bytes]] = {
    b"cpuinfo": cpuinfo, b"loadavg": loadavg, b"meminfo": meminfo, b"mounts": mounts,
    b"stat": stat, b"uptime": uptime, b"version": version,
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

# Files of a VAS that a process has attached -------------------------------------------------------

TYPES = {4: "ro", 2: "wo", 6: "rw"}


def attached_status(pid: int, vid: int, attachment: dict[str, Any]) -> bytes:
    return f"pid:  {pid}\nvid:  {vid}\ntype: {TYPES[attachment['kind']]}\n".encode()


def attached_maps(pid: int, vid: int, attachment: dict[str, Any]) -> bytes:
    """As the RFC's: v marks what is the VAS's, a what it took over from the process."""
    lines = []
    for region in attachment["maps"]:
        rights = "".join(c if region["prot"] >> i & 1 else "-" for i, c in enumerate("rwx"))
        shared, whose = "s" if region["shared"] else "p", "-a" if region["own"] else "v-"
        extent = f"{region['start']:08x}-{region['end']:08x} {rights}{shared}"
        line = f"{extent} [{whose[0]}:{whose[1]}] {region['page'] << 12:08x} {region['name']}"
        lines.append(line.rstrip() + "\n")
    return "".join(lines).encode() or b"EMPTY\n"


_ATTACHED: dict[bytes, Callable[[int, int, dict[str, Any]], bytes]] = {
    b"status": attached_status, b"maps": attached_maps,
}  # fmt: skip
_ATTACHED_NAMES = [*_ATTACHED, b"vas"]

LINKS = (b"cwd", b"exe", b"root")
_SYSTEM_NAMES, _PROCESS_NAMES = list(SYSTEM), [*PROCESS, *LINKS, b"fd", b"vas"]
SELF = len(_SYSTEM_NAMES) + 1
_FD_DIRECTORY = _PROCESS_NAMES.index(b"fd") + 1
_VAS_DIRECTORY = _PROCESS_NAMES.index(b"vas") + 1


def _parts(badge: int) -> tuple[int, int, int]:
    """The id of a VAS, a pid, and what of it."""
    return badge >> VID_SHIFT, badge >> PID_SHIFT & 0xFFFF_FFFF, badge & 0xFFFF


def _open_at(info: ProcessInfo, fd: int) -> tuple[int, int]:
    """Endpoint and badge of a descriptor.  ENOENT: it has been closed since its link was opened."""
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
        _, pid, what = _parts(badge)
        if not what or (pid and what in (_FD_DIRECTORY, _VAS_DIRECTORY)):
            return DIRECTORY
        if what & FD or badge == SELF:
            return LINK
        if what & ATTACHED:
            return LINK if _ATTACHED_NAMES[what & ~ATTACHED] == b"vas" else FILE
        return LINK if pid and _PROCESS_NAMES[what - 1] in LINKS else FILE

    def children(self, badge: int, port: Port) -> Iterator[tuple[int, bytes]]:
        vid, pid, what = _parts(badge)
        if not pid:
            yield from ((i + 1, name) for i, name in enumerate(_SYSTEM_NAMES))
            yield SELF, b"self"
            yield from ((each << PID_SHIFT, b"%d" % each) for each in port.processes())
            return
        info = self._info(pid, port)
        of_process = pid << PID_SHIFT
        if not what:
            yield from ((badge | i + 1, name) for i, name in enumerate(_PROCESS_NAMES))
        elif what == _FD_DIRECTORY:
            yield from ((of_process | FD | d[0], b"%d" % d[0]) for d in info.descriptors)
        elif not vid:
            yield from ((each << VID_SHIFT | badge, b"%d" % each) for each in port.attached(pid))
        else:
            self._attachment(badge, port)
            above = badge & ~0xFFFF | ATTACHED
            yield from ((above | i, name) for i, name in enumerate(_ATTACHED_NAMES))

    def parent(self, badge: int) -> int:
        vid, pid, what = _parts(badge)
        if what & FD:
            return pid << PID_SHIFT | _FD_DIRECTORY
        if what & ATTACHED:
            return badge & ~0xFFFF | _VAS_DIRECTORY
        if vid:
            return pid << PID_SHIFT | _VAS_DIRECTORY
        return pid << PID_SHIFT if what else 0

    def path(self, badge: int) -> bytes:
        vid, pid, what = _parts(badge)
        if not pid:
            return b"/proc/" + [*_SYSTEM_NAMES, b"self"][what - 1] if what else b"/proc"
        if what & FD:
            return b"/proc/%d/fd/%d" % (pid, what & ~FD)
        if what & ATTACHED:
            return b"/proc/%d/vas/%d/%s" % (pid, vid, _ATTACHED_NAMES[what & ~ATTACHED])
        below = b"/" + _PROCESS_NAMES[what - 1] if what else b""
        return b"/proc/%d" % pid + below + (b"/%d" % vid if vid else b"")

    def content(self, badge: int, port: Port) -> bytes:
        vid, pid, what = _parts(badge)
        if not pid:
            return SYSTEM[_SYSTEM_NAMES[what - 1]](port)
        if what & ATTACHED:
            show = _ATTACHED[_ATTACHED_NAMES[what & ~ATTACHED]]
            return show(pid, vid, self._attachment(badge, port))
        return PROCESS[_PROCESS_NAMES[what - 1]](self._info(pid, port), port)

    def target(self, badge: int, message: Message, port: Port) -> bytes:
        if badge == SELF:
            return b"%d" % message.pid
        vid, pid, what = _parts(badge)
        if what & ATTACHED:
            return b"/sys/kernel/vas/%d" % vid
        info = self._info(pid, port)
        if what & FD:
            return port.name_of(*_open_at(info, what & ~FD))
        name = _PROCESS_NAMES[what - 1]
        if name == b"cwd":
            return port.name_of(*info.cwd)
        return info.executable if name == b"exe" else b"/"

    def owner(self, badge: int, port: Port) -> tuple[int, int]:
        _, pid, _ = _parts(badge)
        if not pid:
            return 0, 0
        info = self._info(pid, port)
        return info.uid, info.gid

    def through(
        self, badge: int, rest: bytes, message: Message, port: Port, *, follow: bool
    ) -> int | Reply:
        """To a process, a path, or straight to an open thing."""
        if badge == SELF:
            return self._walk(message.pid << PID_SHIFT, rest, message, port, follow=follow)
        _, pid, what = _parts(badge)
        if what & FD:
            place = _open_at(self._info(pid, port), what & ~FD)
        elif not what & ATTACHED and _PROCESS_NAMES[what - 1] == b"cwd":
            place = self._info(pid, port).cwd
        else:
            return Generated.through(self, badge, rest, message, port, follow=follow)
        return Reply(0, MOVED, (place[1],), rest, (place[0],))

    def _info(self, pid: int, port: Port) -> ProcessInfo:
        info = port.process(pid)
        if info is None:
            raise KernelError(E.SRCH)
        return info

    def _attachment(self, badge: int, port: Port) -> dict[str, Any]:
        vid, pid, _ = _parts(badge)
        found = port.attachment(pid, vid)
        if found is None:
            raise KernelError(E.NOENT)
        return found
