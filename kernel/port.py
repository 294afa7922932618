"""What the core does for Python servers: the other side of `kernel.abi.message.Port`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hw import costs
from hw.devices import TERMINAL
from hw.memory import PAGE_MASK, PAGE_SIZE
from hw.paging import ADDRESS
from kernel.abi.message import ANYTHING, ProcessInfo, RegionInfo, ThreadInfo
from kernel.abi.nodes import FILES_DEVICE, Stat
from kernel.abi.shm import SegmentStatus
from kernel.ipc import segment_files
from kernel.mm import file_pages, rmap, truncate
from kernel.mm.extents import Extents
from kernel.mm.filler import FILLERS
from kernel.mm.objects import MemoryObject
from kernel.mm.regions import LOCKED, STAYS_READ_ONLY, Region
from kernel.mm.space import AddressSpace
from kernel.sched.usage import process_usage, thread_usage
from kernel.servers.segs import ID_BITS
from kernel.task import limits
from kernel.task.clock import cycles_at, now_nanoseconds
from kernel.task.credentials import Credentials
from kernel.task.descriptors import PROCESSES, Handle
from kernel.task.process import READY, RUNNING, Process, Thread
from kernel.vas import listing as vas_listing
from kernel.vas import persistent
from kernel.vas.attributes import set_attributes
from kernel.wait import jobs, signals

if TYPE_CHECKING:
    from kernel.kernel import Kernel


@dataclass(slots=True)
class CorePort:
    """What the server behind `endpoint` can reach."""

    kernel: Kernel
    endpoint: int

    def changed(self, badge: int, events: int = ANYTHING) -> None:
        self.kernel.ready.changed(self.endpoint, badge, events)

    def discard(self, parcel: int) -> None:
        self.kernel.ipc.parcels.discard(parcel)

    def now(self) -> int:
        return now_nanoseconds(self.kernel.tasks.now())

    def random(self, size_bytes: int) -> bytes:
        return self.kernel.chooser.bytes(size_bytes)

    def is_alive(self, endpoint: int) -> bool:
        return endpoint in self.kernel.ipc.endpoints

    # Memory objects ---------------------------------------------------------------------------

    def publish(
        self, data: bytes, badge: int = 0, *, counted: bool = False, kept: bool = False
    ) -> int:
        made = self.kernel.memory.objects.file(data)
        made.node, made.counted = (self.endpoint, badge), counted
        if kept:
            made.extents, made.changed = Extents(), True
        made.holds += 1
        self.kernel.ipc.published[made.id] = made
        return made.id

    def load(self, cap: int, offset: int, size_bytes: int) -> bytes:
        return file_pages.load(self.kernel.ipc.published[cap], offset, size_bytes)

    def store(self, cap: int, offset: int, data: bytes) -> None:
        self._back(cap, offset + len(data))
        file_pages.store(self.kernel.ipc.published[cap], offset, data)

    def resize(self, cap: int, size_bytes: int) -> None:
        self._back(cap, size_bytes)
        truncate.resize(self.kernel.ipc.published[cap], size_bytes)

    def punch(self, cap: int, offset: int, end: int) -> None:
        truncate.zero(self.kernel.ipc.published[cap], offset, end)
        self._back(cap, self.size(cap))

    def _back(self, cap: int, size_bytes: int) -> None:
        """A file in NVM has frames for all of its pages.  Raises ENOSPC."""
        made, persistence = self.kernel.ipc.published[cap], self.kernel.persistence
        if made.extents is not None and persistence is not None:
            holes = made.extents.holes(0, size_bytes + PAGE_MASK >> 12)
            if holes:
                made.grow(persistence.medium.allocate(holes))

    def flush(self, cap: int) -> None:
        made, nvm = self.kernel.ipc.published[cap], self.kernel.machine.nvm
        for pfn in made.pages.values():
            nvm.flush_range(pfn << 12, PAGE_SIZE)
        nvm.fence()

    def keep_files(self, data: bytes, caps: list[int]) -> None:
        assert self.kernel.persistence is not None
        self.kernel.persistence.keep_files(data, [self.kernel.ipc.published[cap] for cap in caps])

    def seal(self, cap: int) -> None:
        self.kernel.ipc.published[cap].sealed = True

    def may_be_stored_to(self, cap: int) -> bool:
        regions = rmap.regions(self.kernel.ipc.published[cap])
        return any(not region.flags & STAYS_READ_ONLY for region in regions)

    def is_running(self, cap: int) -> bool:
        processes = self.kernel.tasks.processes.values()
        return any(p.space.program == cap for p in processes if not p.zombie)

    def size(self, cap: int) -> int:
        return self.kernel.ipc.published[cap].size_bytes or 0

    def pages(self, cap: int) -> int:
        return self.kernel.ipc.published[cap].cost() - self.paged_out(cap)

    def paged_out(self, cap: int) -> int:
        return len(self.kernel.ipc.published[cap].paged_out)

    def mappings(self, cap: int) -> int:
        return len(self.kernel.ipc.published[cap].regions)

    def lock(self, cap: int, *, locks: bool) -> None:
        self.kernel.ipc.published[cap].locked = locks
        if self.kernel.memory.objects.pager is not None and not locks:
            self.kernel.memory.objects.pager.unlocked()

    def drop(self, cap: int, path: bytes = b"") -> None:
        self.kernel.ipc.published[cap].last_path = path
        self.kernel.memory.shootdowns.release(self.kernel.ipc.published.pop(cap).drop())

    # The console --------------------------------------------------------------------------------

    def console_write(self, data: bytes, stream: int, shown: bytes | None = None) -> None:
        self.kernel.machine.console.write(data, stream, shown)

    def console_read(self, size_bytes: int) -> bytes | None:
        return self.kernel.machine.console.read(size_bytes)

    def console_waits(self) -> bool:
        state = self.kernel.machine.console.state
        return bool(state.arrived) or state.ended

    def console_arrived(self) -> int:
        return len(self.kernel.machine.console.state.arrived)

    def console_is_terminal(self, stream: int) -> bool:
        terminals = self.kernel.machine.console.state.terminals
        return any(terminals) if stream == TERMINAL else terminals[stream]

    def console_size(self) -> tuple[int, int] | None:
        return self.kernel.machine.console.state.size

    def ring(self, badge: int, nanoseconds: int) -> None:
        self.kernel.alarms.ring_bell(cycles_at(nanoseconds), self.endpoint, badge)

    # Job control ----------------------------------------------------------------------------------

    def signal_group(self, group: int, number: int) -> None:
        signals.send_group(self.kernel.tasks, group, number)

    def takes_no_notice(self, pid: int, number: int) -> bool:
        process, thread = self.kernel.tasks.processes.get(pid), self.kernel.tasks.seat.thread
        if process is None or thread is None or thread.process is not process:
            return False
        return signals.takes_no_notice(thread, number)

    def is_orphaned(self, group: int) -> bool:
        return jobs.is_orphaned(self.kernel.tasks, group)

    def session_of(self, group: int) -> int:
        return jobs.session_of(self.kernel.tasks, group)

    # What there is to tell ------------------------------------------------------------------------

    def processes(self) -> list[int]:
        return sorted(self.kernel.tasks.processes)

    def process(self, pid: int) -> ProcessInfo | None:
        process = self.kernel.tasks.processes.get(pid)
        return _info(self.kernel, process) if process else None

    def leader(self, tid: int) -> int:
        thread = self.kernel.tasks.threads.get(tid)
        return thread.pid if thread else tid if tid in self.kernel.tasks.processes else 0

    def regions(self, tid: int) -> list[RegionInfo]:
        space = self._space(tid)
        return [self._region(space, region) for region in space.map] if space else []

    def peek(self, tid: int, at: int, size_bytes: int) -> bytes:
        space = self._space(tid)
        return space.read_most(at, size_bytes) if space else b""

    def set_oom_score_adj(self, pid: int, value: int) -> None:
        self.kernel.tasks.processes[pid].oom_score_adj = value

    def processor_times(self) -> list[tuple[int, int]]:
        used = [0] * len(self.kernel.tasks.seats)
        for core in self.kernel.machine.cores:
            used[core.state.id] = core.state.cycles
        return [(self.kernel.tasks.now(), cycles) for cycles in used]

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

    def segment_named(self, name: bytes) -> int:
        self.kernel.machine.charge(costs.NAME_LOOKUP)
        return self.kernel.vases.segment_names.get(name, 0)

    def segment_cap(self, sid: int) -> int:
        segment = self.kernel.vases.segments[sid]
        badge = segment.object.id << ID_BITS | sid
        return segment_files.publish(self.kernel.ipc, segment, (self.endpoint, badge))

    def change_segment(self, sid: int, mode: int, user: int, group: int) -> None:
        segment = self.kernel.vases.segments[sid]
        set_attributes(self.kernel.vases, segment, mode, user, group)
        persistent.changed(self.kernel.persistence, segment)

    def delete_segment(self, sid: int, who: tuple[int, int, tuple[int, ...]]) -> None:
        segment = self.kernel.vases.segment(sid)
        segment_files.delete(self.kernel.ipc, self.kernel.vases, Credentials(*who), sid)
        persistent.gone(self.kernel.persistence, segment)

    def attached(self, pid: int) -> list[int]:
        process = self.kernel.tasks.processes.get(pid)
        if process is None or process.zombie:
            return []
        return sorted(self.kernel.vases.held(process.space).attachments)

    def attachment(self, pid: int, vid: int) -> dict[str, Any] | None:
        if vid not in self.attached(pid):
            return None
        space = self.kernel.tasks.processes[pid].space
        return vas_listing.of_attachment(self.kernel.vases.held(space).attachments[vid])

    def _space(self, tid: int) -> AddressSpace | None:
        """What a thread sees, or the leader of a process; None after its end."""
        thread = self.kernel.tasks.threads.get(tid)
        if thread is not None:
            return thread.space
        process = self.kernel.tasks.processes.get(tid)
        return None if process is None or process.zombie else process.space

    def _region(self, space: AddressSpace, region: Region) -> RegionInfo:
        source, page = region.object, region.page
        while source.source is not None:
            source, page = source.source, page + source.source_page
        file = None if region.segment else self._file(source)
        entries = space.table.entries(region.start, region.end)
        leaves = tuple((va >> 12, (entry & ADDRESS) >> 12) for va, entry in entries)
        own = region.object.pages
        return RegionInfo(
            start=region.start,
            end=region.end,
            prot=region.prot,
            shared=region.shared,
            name=region.name,
            grows_down=region.floor > 0,
            locked=bool(region.flags & LOCKED),
            offset=page << 12 if file else 0,
            file=file,
            pages=leaves,
            owned=sum(own.get(region.object_page(n << 12)) == pfn for n, pfn in leaves),
            paged_out=sum(
                region.page <= n < region.object_page(region.end) for n in region.object.paged_out
            ),
        )

    def _file(self, source: MemoryObject) -> tuple[int, int, bytes] | None:
        """Device, inode and path of the file that an object belongs to, now or at its end."""
        endpoint, badge = source.node
        if not badge:
            return None
        ipc = self.kernel.ipc
        if source.id not in ipc.published:
            return FILES_DEVICE, badge, source.last_path
        status = Stat(*ipc.ask(endpoint, badge, "stat", (0,)).words)
        return status.device, status.inode, ipc.ask(endpoint, badge, "path").data

    def shared_segments(self) -> list[SegmentStatus]:
        ipc, shm = self.kernel.ipc, self.kernel.ipc.well_known.shm.endpoint
        indexes = ipc.ask(shm, 0, "list").words
        return [SegmentStatus(*ipc.ask(shm, 0, "status", (i, 1, 1)).words) for i in indexes]

    def name_of(self, endpoint: int, badge: int) -> bytes:
        if not endpoint:
            return b"anon_inode:[eventpoll]"
        if endpoint == PROCESSES:
            return b"anon_inode:[pidfd]"
        if endpoint == FILLERS:
            return b"anon_inode:[userfaultfd]"
        if not self.kernel.ipc.serves_files(Handle(endpoint, badge)):
            return b"anon_inode:[endpoint]"
        return self.kernel.ipc.ask(endpoint, badge, "path").data

    def memory(self) -> tuple[int, int]:
        table = self.kernel.memory.frames
        return self.kernel.machine.memory.frames, len(table.free)

    def cores(self) -> int:
        return len(self.kernel.tasks.seats)

    def uptime(self) -> tuple[int, int]:
        return self.kernel.tasks.now(), self.kernel.idle_cycles


def _info(kernel: Kernel, process: Process) -> ProcessInfo:
    who, space, actions = process.credentials, process.space, process.actions
    descriptors = sorted(process.descriptors.handles.items())
    usage = process_usage(kernel.tasks, process)
    return ProcessInfo(
        pid=process.pid,
        parent=process.parent.pid if process.parent else 0,
        name=process.name,
        state=_state(process),
        uids=(who.real_uid, who.uid, who.saved_uid, who.file_uid),
        gids=(who.real_gid, who.gid, who.saved_gid, who.file_gid),
        groups=who.groups,
        umask=process.surroundings.umask,
        group=process.group,
        session=process.session,
        threads=tuple(_thread(kernel, thread) for thread in process.threads),
        pending=_mask(signal.number for signal in process.pending),
        ignored=_mask(n for n, a in actions.items() if a.handler == signals.SIG_IGN),
        caught=_mask(n for n, a in actions.items() if a.handler > signals.SIG_IGN),
        capabilities=who.capabilities,
        gains_nothing=process.gains_nothing,
        oom_score_adj=process.oom_score_adj,
        limits=tuple(limits.get(process, kind) for kind in range(limits.KINDS)),
        arguments=process.arguments,
        environment=space.environment,
        auxiliary=space.auxiliary,
        executable=process.executable,
        cwd=(process.cwd.endpoint, process.cwd.badge),
        descriptors=tuple((n, h.endpoint, h.badge, h.flags) for n, h in descriptors),
        started=process.started,
        user=usage.user,
        system=usage.system,
        faults=usage.faults,
        major_faults=usage.major_faults,
        most_pages=usage.most_pages,
    )


def _thread(kernel: Kernel, thread: Thread) -> ThreadInfo:
    usage, process = thread_usage(kernel.tasks, thread), thread.process
    state = "R" if thread.state in (READY, RUNNING) else "S"
    return ThreadInfo(
        tid=thread.tid,
        name=thread.name or process.name,
        state="T" if process.stopped else state,
        pending=_mask(signal.number for signal in thread.pending),
        blocked=thread.mask,
        affinity=thread.scheduling.affinity & (1 << len(kernel.tasks.seats)) - 1,
        nice=thread.scheduling.nice,
        waits=usage.waits,
        pre_empted=usage.pre_empted,
        user=usage.user,
        system=usage.system,
    )


def _mask(numbers: Iterable[int]) -> int:
    """A bit for each signal, the lowest for signal 1."""
    return sum(1 << number - 1 for number in set(numbers))


def _state(process: Process) -> str:
    if process.zombie:
        return "Z"
    if process.stopped:
        return "T"
    return "R" if any(t.state in (READY, RUNNING) for t in process.threads) else "S"
