"""What /proc says of one process or thread, by name (proc(5))."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from kernel.abi.message import Port, ProcessInfo, RegionInfo, ThreadInfo
from kernel.abi.names import escaped
from kernel.servers.proc_system import kib, ticks

STATES = {"R": "running", "S": "sleeping", "T": "stopped", "Z": "zombie"}
SIGNAL_QUEUE = 11
LIMITS = (
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
)
"""By resource, as Linux's fs/proc/base.c prints them."""
UNLIMITED = (1 << 64) - 1
PRESENT, SWAPPED, OF_FILE = 1 << 63, 1 << 62, 1 << 61


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a file tells of: a process, and one of its threads, if it is still alive."""

    info: ProcessInfo
    thread: ThreadInfo | None
    viewer: int
    """The thread whose memory is shown."""
    alone: bool
    """Does the file tell of the thread, and not of all of the process?"""

    @property
    def name(self) -> str:
        return self.thread.name if self.thread else self.info.name

    @property
    def state(self) -> str:
        return self.thread.state if self.thread and self.alone else self.info.state

    @property
    def id(self) -> int:
        return self.thread.tid if self.thread else self.info.pid


# Memory -------------------------------------------------------------------------------------------


def _line(region: RegionInfo) -> bytes:
    """A line of maps.  A name has no newline and no control characters, as by seq_path()."""
    rights = "".join(c if region.prot >> i & 1 else "-" for i, c in enumerate("rwx"))
    device, inode, path = region.file or (0, 0, region.name.encode(errors="surrogateescape"))
    head = f"{region.start:08x}-{region.end:08x} {rights}{'s' if region.shared else 'p'} "
    head += f"{region.offset:08x} {device >> 8:02x}:{device & 255:02x} {inode} "
    return (f"{head:<73}".encode() + escaped(path)).rstrip() + b"\n"


def maps(who: Subject, port: Port) -> bytes:
    return b"".join(map(_line, port.regions(who.viewer)))


def smaps(who: Subject, port: Port) -> bytes:
    return b"".join(_line(region) + _sizes(region) for region in port.regions(who.viewer))


def _sizes(region: RegionInfo) -> bytes:
    rss, own = kib(len(region.pages)), kib(region.owned)
    anonymous = 0 if region.shared and region.file else own
    rows = (
        ("Size", region.end - region.start >> 10),
        ("KernelPageSize", 4),
        ("MMUPageSize", 4),
        ("Rss", rss),
        ("Pss", rss),
        ("Shared_Clean", rss - own),
        ("Shared_Dirty", 0),
        ("Private_Clean", 0),
        ("Private_Dirty", own),
        ("Referenced", rss),
        ("Anonymous", anonymous),
        ("AnonHugePages", 0),
        ("Swap", kib(region.paged_out)),
        ("Locked", rss if region.locked else 0),
    )
    text = "".join(f"{name + ':':<16}{value:>8} kB\n" for name, value in rows)
    return (text + f"VmFlags: {_flags(region)}\n").encode()


def _flags(region: RegionInfo) -> str:
    names = [name for i, name in enumerate(("rd", "wr", "ex")) if region.prot >> i & 1]
    more = (("sh", region.shared), ("gd", region.grows_down), ("lo", region.locked))
    return " ".join(names + [name for name, is_so in more if is_so])


def pagemap_part(who: Subject, offset: int, count: int, is_root: bool, port: Port) -> bytes:
    """Some words of pagemap, one a page; only root sees frames."""
    first, pages = offset >> 3, count >> 3
    words = dict.fromkeys(range(first, first + pages), 0)
    for region in port.regions(who.viewer):
        kind = OF_FILE if region.file or region.shared else 0
        for page, frame in region.pages:
            if page in words:
                words[page] = PRESENT | kind | (frame if is_root else 0)
    return struct.pack(f"<{pages}Q", *words.values())


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Pages of a process, by what they hold."""

    mapped: int
    resident: int
    anonymous: int
    shared: int
    data: int
    stack: int
    text: int
    locked: int
    swapped: int


def _count(regions: list[RegionInfo]) -> _Sizes:
    def total(wanted: Callable[[RegionInfo], bool]) -> int:
        return sum(r.end - r.start >> 12 for r in regions if wanted(r))

    return _Sizes(
        mapped=total(lambda r: True),
        resident=sum(len(r.pages) for r in regions),
        anonymous=sum(r.owned for r in regions if not r.shared),
        shared=sum(len(r.pages) for r in regions if r.shared and not r.file),
        data=total(lambda r: bool(r.prot & 2) and not r.shared and not r.grows_down),
        stack=total(lambda r: r.grows_down),
        text=total(lambda r: bool(r.prot & 4) and r.file is not None),
        locked=total(lambda r: r.locked),
        swapped=sum(r.paged_out for r in regions),
    )


def statm(who: Subject, port: Port) -> bytes:
    sizes = _count(port.regions(who.viewer))
    of_files = sizes.resident - sizes.anonymous
    data = sizes.data + sizes.stack
    return b"%d %d %d %d 0 %d 0\n" % (sizes.mapped, sizes.resident, of_files, sizes.text, data)


# Who it is, and what it does ----------------------------------------------------------------------


def status(who: Subject, port: Port) -> bytes:
    info = who.info
    descriptors = max((number for number, *_ in info.descriptors), default=0)
    rows: list[tuple[str, object]] = [
        ("Name", escaped(who.name.encode(errors="surrogateescape")).decode()),
        ("Umask", f"{info.umask:04o}"),
        ("State", f"{who.state} ({STATES[who.state]})"),
        ("Tgid", info.pid),
        ("Ngid", 0),
        ("Pid", who.id),
        ("PPid", info.parent),
        ("TracerPid", 0),
        ("Uid", "\t".join(map(str, info.uids))),
        ("Gid", "\t".join(map(str, info.gids))),
        ("FDSize", max(64, descriptors + 64 & ~63)),
        ("Groups", "".join(f"{group} " for group in info.groups)),
    ]
    rows += [*_memory_rows(who, port), ("Threads", len(info.threads))]
    rows += [*_signal_rows(who), *_right_rows(info)]
    if who.thread:
        rows += _scheduling_rows(who.thread)
    text = "".join(f"{name}:\t{value}\n" for name, value in rows)
    return text.encode(errors="surrogateescape")


def _memory_rows(who: Subject, port: Port) -> list[tuple[str, object]]:
    """Without a memory, as a zombie, a process has no such rows.

    The kernel keeps no record of what was mapped once: that peak is what is mapped now.
    """
    regions = port.regions(who.viewer)
    if not regions:
        return []
    sizes = _count(regions)
    rows = (
        ("VmPeak", sizes.mapped),
        ("VmSize", sizes.mapped),
        ("VmLck", sizes.locked),
        ("VmPin", 0),
        ("VmHWM", max(who.info.most_pages, sizes.resident)),
        ("VmRSS", sizes.resident),
        ("RssAnon", sizes.anonymous),
        ("RssFile", sizes.resident - sizes.anonymous - sizes.shared),
        ("RssShmem", sizes.shared),
        ("VmData", sizes.data),
        ("VmStk", sizes.stack),
        ("VmExe", sizes.text),
        ("VmLib", 0),
        ("VmSwap", sizes.swapped),
    )
    return [(name, f"{kib(pages):>8} kB") for name, pages in rows]


def _signal_rows(who: Subject) -> list[tuple[str, object]]:
    info, thread = who.info, who.thread
    queued = info.pending | (thread.pending if thread else 0)
    masks = (
        ("SigPnd", thread.pending if thread else 0),
        ("ShdPnd", info.pending),
        ("SigBlk", thread.blocked if thread else 0),
        ("SigIgn", info.ignored),
        ("SigCgt", info.caught),
    )
    count = f"{queued.bit_count()}/{info.limits[SIGNAL_QUEUE][0]}"
    return [("SigQ", count), *((name, f"{mask:016x}") for name, mask in masks)]


def _right_rows(info: ProcessInfo) -> list[tuple[str, object]]:
    held = f"{info.capabilities:016x}"
    bits = {"CapInh": "0" * 16, "CapPrm": held, "CapEff": held, "CapBnd": held, "CapAmb": "0" * 16}
    return [*bits.items(), ("NoNewPrivs", int(info.gains_nothing)), ("Seccomp", 0)]


def _scheduling_rows(thread: ThreadInfo) -> list[tuple[str, object]]:
    cores = [n for n in range(thread.affinity.bit_length()) if thread.affinity >> n & 1]
    return [
        ("Cpus_allowed", f"{thread.affinity:x}"),
        ("Cpus_allowed_list", ",".join(map(str, cores))),
        ("Mems_allowed", "1"),
        ("Mems_allowed_list", "0"),
        ("voluntary_ctxt_switches", thread.waits),
        ("nonvoluntary_ctxt_switches", thread.pre_empted),
    ]


def stat_of(who: Subject, port: Port) -> bytes:
    """The 52 fields of proc_pid_stat(5); those that this kernel does not know are 0."""
    info, fields = who.info, [0] * 53
    times = who.thread if who.thread and who.alone else info
    fields[4], fields[5], fields[6] = info.parent, info.group, info.session
    fields[10], fields[12] = info.faults, info.major_faults
    fields[14], fields[15] = ticks(times.user), ticks(times.system)
    nice = who.thread.nice if who.thread else 0
    fields[18], fields[19], fields[20] = 20 + nice, nice, len(info.threads)
    fields[22] = ticks(info.started)
    sizes = _count(port.regions(who.viewer))
    fields[23], fields[24], fields[25] = sizes.mapped * 4096, sizes.resident, UNLIMITED
    low = 0xFFFF_FFFF
    if who.thread:
        fields[31], fields[32] = who.thread.pending & low, who.thread.blocked & low
    fields[33], fields[34] = info.ignored & low, info.caught & low
    fields[38] = 17
    tail = " ".join(map(str, fields[4:]))
    return f"{who.id} ({who.name}) {who.state} {tail}\n".encode(errors="surrogateescape")


def limits(who: Subject, port: Port) -> bytes:
    lines = [f"{'Limit':<25} {'Soft Limit':<20} {'Hard Limit':<20} {'Units':<10}\n"]
    for (name, unit), pair in zip(LIMITS, who.info.limits, strict=True):
        soft, hard = ("unlimited" if n == UNLIMITED else str(n) for n in pair)
        lines.append(f"{name:<25} {soft:<20} {hard:<20} {unit:<10}\n")
    return "".join(lines).encode()


def mountinfo(who: Subject, port: Port) -> bytes:
    return (
        b"1 1 0:1 / / rw - tmpfs files rw\n2 1 0:4 / /proc rw - proc proc rw\n"
        b"3 1 0:5 / /sys rw - sysfs sysfs rw\n"
    )


FILES: dict[bytes, Callable[[Subject, Port], bytes]] = {
    b"auxv": lambda who, port: who.info.auxiliary,
    b"cmdline": lambda who, port: b"".join(word + b"\0" for word in who.info.arguments),
    b"comm": lambda who, port: who.name.encode(errors="surrogateescape") + b"\n",
    b"environ": lambda who, port: b"".join(word + b"\0" for word in who.info.environment),
    b"limits": limits,
    b"maps": maps,
    b"mountinfo": mountinfo,
    b"oom_score_adj": lambda who, port: b"%d\n" % who.info.oom_score_adj,
    b"smaps": smaps,
    b"stat": stat_of,
    b"statm": statm,
    b"status": status,
}
PRIVATE = (b"auxv", b"environ", b"mem", b"pagemap", b"smaps")
"""Only the user of the process and root may read these."""
