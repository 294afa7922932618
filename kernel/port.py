"""What the core does for Python servers: the other side of `kernel.abi.message.Port`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hw.devices import TERMINAL
from kernel.abi.errno import E, KernelError
from kernel.abi.message import ProcessInfo
from kernel.mm.space import AddressSpace, Region
from kernel.task.clock import cycles_at, now_nanoseconds
from kernel.task.process import READY, RUNNING, Handle, Process
from kernel.vas import listing as vas_listing
from kernel.wait import jobs, signals

if TYPE_CHECKING:
    from kernel.kernel import Kernel


@dataclass(slots=True)
class CorePort:
    """What the server behind `endpoint` can reach."""

    kernel: Kernel
    endpoint: int

    def changed(self, badge: int) -> None:
        self.kernel.ready.changed(self.endpoint, badge)

    def now(self) -> int:
        return now_nanoseconds(self.kernel.now())

    def random(self, size_bytes: int) -> bytes:
        return self.kernel.chooser.bytes(size_bytes)

    def is_alive(self, endpoint: int) -> bool:
        return endpoint in self.kernel.ipc.endpoints

    # Memory objects ---------------------------------------------------------------------------

    def publish(self, data: bytes) -> int:
        made = self.kernel.objects.file(data)
        made.holds += 1
        self.kernel.ipc.published[made.id] = made
        return made.id

    def load(self, cap: int, offset: int, size_bytes: int) -> bytes:
        return self.kernel.ipc.published[cap].load(offset, size_bytes)

    def store(self, cap: int, offset: int, data: bytes) -> None:
        self.kernel.ipc.published[cap].store(offset, data)

    def resize(self, cap: int, size_bytes: int) -> None:
        self.kernel.ipc.published[cap].resize(size_bytes)

    def size(self, cap: int) -> int:
        return self.kernel.ipc.published[cap].size_bytes or 0

    def pages(self, cap: int) -> int:
        return len(self.kernel.ipc.published[cap].frames)

    def drop(self, cap: int) -> None:
        for pfn in self.kernel.ipc.published.pop(cap).drop():
            self.kernel.frames.release(pfn)

    # The console --------------------------------------------------------------------------------

    def console_write(self, data: bytes, stream: int) -> None:
        self.kernel.machine.console.write(data, stream)

    def console_read(self, size_bytes: int) -> bytes | None:
        return self.kernel.machine.console.read(size_bytes)

    def console_waits(self) -> bool:
        state = self.kernel.machine.console.state
        return bool(state.arrived) or state.ended

    def console_is_terminal(self, stream: int) -> bool:
        terminals = self.kernel.machine.console.state.terminals
        return any(terminals) if stream == TERMINAL else terminals[stream]

    def console_size(self) -> tuple[int, int] | None:
        return self.kernel.machine.console.state.size

    def ring(self, badge: int, nanoseconds: int) -> None:
        self.kernel.alarms.ring_bell(cycles_at(nanoseconds), self.endpoint, badge)

    # Job control ----------------------------------------------------------------------------------

    def signal_group(self, group: int, number: int) -> None:
        signals.send_group(self.kernel, group, number)

    def takes_no_notice(self, pid: int, number: int) -> bool:
        process, thread = self.kernel.processes.get(pid), self.kernel.seat.thread
        if process is None or thread is None or thread.process is not process:
            return False
        return signals.takes_no_notice(thread, number)

    def is_orphaned(self, group: int) -> bool:
        return jobs.is_orphaned(self.kernel, group)

    def session_of(self, group: int) -> int:
        return jobs.session_of(self.kernel, group)

    # What there is to tell ------------------------------------------------------------------------

    def processes(self) -> list[int]:
        return sorted(self.kernel.processes)

    def process(self, pid: int) -> ProcessInfo | None:
        process = self.kernel.processes.get(pid)
        return _info(process) if process else None

    def maps(self, pid: int) -> bytes:
        return b"".join(map(_maps_line, self._space(pid).map))

    def pages_of(self, pid: int) -> tuple[int, int]:
        space = self._space(pid)
        regions = list(space.map)
        mapped = sum(region.end - region.start >> 12 for region in regions)
        return mapped, sum(map(space.resident_pages, regions))

    def vases(self) -> list[int]:
        return sorted(self.kernel.vases.vases)

    def segments(self) -> list[int]:
        return sorted(self.kernel.vases.segments)

    def vas(self, vid: int) -> dict[str, Any] | None:
        found = self.kernel.vases.vases.get(vid)
        return vas_listing.of_vas(found) if found else None

    def segment(self, sid: int) -> dict[str, Any] | None:
        found = self.kernel.vases.segments.get(sid)
        return vas_listing.of_segment(found) if found else None

    def attached(self, pid: int) -> list[int]:
        process = self.kernel.processes.get(pid)
        if process is None or process.zombie:
            return []
        return sorted(self.kernel.vases.held(process.space).attachments)

    def attachment(self, pid: int, vid: int) -> dict[str, Any] | None:
        if vid not in self.attached(pid):
            return None
        space = self._space(pid)
        return vas_listing.of_attachment(self.kernel.vases.held(space).attachments[vid])

    def _space(self, pid: int) -> AddressSpace:
        process = self.kernel.processes.get(pid)
        if process is None or process.zombie:
            raise KernelError(E.SRCH)
        return process.space

    def name_of(self, endpoint: int, badge: int) -> bytes:
        if not self.kernel.ipc.serves_files(Handle(endpoint, badge)):
            return b"anon_inode:[endpoint]"
        return self.kernel.ipc.ask(endpoint, badge, "path").data

    def memory(self) -> tuple[int, int]:
        table = self.kernel.frames
        return self.kernel.machine.memory.frames, len(table.free)

    def cores(self) -> int:
        return len(self.kernel.seats)

    def uptime(self) -> tuple[int, int]:
        return self.kernel.now(), self.kernel.idle_cycles


def _info(process: Process) -> ProcessInfo:
    who, threads = process.credentials, process.threads
    descriptors = sorted(process.descriptors.handles.items())
    return ProcessInfo(
        process.pid, process.parent.pid if process.parent else 0, process.name, _state(process),
        who.uid, who.gid, process.group, process.session, tuple(t.tid for t in threads),
        process.arguments, process.executable, (process.cwd.endpoint, process.cwd.badge),
        tuple((n, handle.endpoint, handle.badge, handle.flags) for n, handle in descriptors),
        process.started, sum(t.instructions for t in threads),
    )  # fmt: skip


def _state(process: Process) -> str:
    if process.zombie:
        return "Z"
    if process.stopped:
        return "T"
    return "R" if any(t.state in (READY, RUNNING) for t in process.threads) else "S"


def _maps_line(region: Region) -> bytes:
    """A line of /proc/PID/maps; where the file is, is not known here."""
    rights = "".join(letter if region.prot >> i & 1 else "-" for i, letter in enumerate("rwx")) + (
        "s" if region.shared else "p"
    )
    line = f"{region.start:08x}-{region.end:08x} {rights} {region.page << 12:08x} 00:00 0 "
    return (f"{line:<73}{region.name}".rstrip() + "\n").encode()
