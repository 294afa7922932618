"""What /proc says of the system, by path (proc(5))."""

from __future__ import annotations

from collections.abc import Callable

from kernel.abi.message import Port
from kernel.abi.shm import SHMMAX, SHMMNI
from kernel.servers.pipes import MAX_SLOTS, SLOT_BYTES
from kernel.servers.shm import all_pages
from kernel.servers.system import UTSNAME

TICKS_PER_SECOND = 100
CYCLES_PER_TICK = 24_000_000
NANOSECONDS = 1_000_000_000
CPU_FLAGS = (
    b"fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse "
    b"sse2 syscall nx lm pni ssse3 cx16 sse4_1 sse4_2 popcnt hypervisor"
)
"""What CPUID of the emulated CPU says."""


def kib(pages: int) -> int:
    """Pages as KiB."""
    return pages * 4


def ticks(cycles: int) -> int:
    """Cycles as hundredths of a second."""
    return cycles // CYCLES_PER_TICK


def meminfo(port: Port) -> bytes:
    total, free = map(kib, port.memory())
    rows = (
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
    )
    return "".join(f"{name + ':':<15} {value:>8} kB\n" for name, value in rows).encode()


def _seconds(cycles: int) -> bytes:
    return b"%d.%02d" % divmod(ticks(cycles), TICKS_PER_SECOND)


def uptime(port: Port) -> bytes:
    since_boot, idle = port.uptime()
    return b"%s %s\n" % (_seconds(since_boot), _seconds(idle))


def loadavg(port: Port) -> bytes:
    pids = port.processes()
    return b"0.00 0.00 0.00 1/%d %d\n" % (len(pids), pids[-1])


def mounts(port: Port) -> bytes:
    return b"files / tmpfs rw 0 0\nproc /proc proc rw 0 0\nsysfs /sys sysfs rw 0 0\n"


def filesystems(port: Port) -> bytes:
    return b"nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tpipefs\n"


def stat(port: Port) -> bytes:
    """Times in ticks.  A core has no idle task: what it did not work, it was idle."""
    rows = [(ticks(used), ticks(max(0, since - used))) for since, used in port.processor_times()]
    lines = [(b"cpu ", sum(busy for busy, _ in rows), sum(idle for _, idle in rows))]
    lines += [(b"cpu%d" % n, busy, idle) for n, (busy, idle) in enumerate(rows)]
    cores = b"".join(b"%s %d 0 0 %d 0 0 0 0 0 0\n" % line for line in lines)
    booted = port.now() // NANOSECONDS - ticks(port.uptime()[0]) // TICKS_PER_SECOND
    running = sum(
        info is not None and info.state == "R" for info in map(port.process, port.processes())
    )
    return cores + b"btime %d\nprocesses %d\nprocs_running %d\nprocs_blocked 0\n" % (
        booted,
        port.processes()[-1],
        running,
    )


def version(port: Port) -> bytes:
    system, _, release, build, *_ = UTSNAME
    return b"%s version %s %s\n" % (system, release, build)


def cpuinfo(port: Port) -> bytes:
    rows = (
        (b"vendor_id", b"Vantage"),
        (b"cpu family", b"6"),
        (b"model", b"0"),
        (b"model name", b"Vantage x86-64"),
        (b"cpu MHz", b"2400.000"),
        (b"flags", CPU_FLAGS),
    )
    return b"".join(
        b"processor\t: %d\n" % number
        + b"".join(b"%s\t: %s\n" % (name.ljust(10), value) for name, value in rows)
        + b"\n"
        for number in range(port.cores())
    )


_SEGMENT_HEAD = (
    b"       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid"
    b"      atime      dtime      ctime                   rss                  swap\n"
)
_SEGMENT_ROW = b"%10d %10d  %4o %21d %5d %5d  %5d %5d %5d %5d %5d %10d %10d %10d %21d %21d\n"


def segments(port: Port) -> bytes:
    """/proc/sysvipc/shm, in the columns of Linux's ipc/shm.c."""
    rows = [
        _SEGMENT_ROW
        % (
            *(s.key, s.id, s.mode, s.size_bytes, s.creator, s.last, s.attached),
            *(s.uid, s.gid, s.creator_uid, s.creator_gid),
            *(s.attached_at, s.detached_at, s.changed_at, s.resident << 12, s.swapped << 12),
        )
        for s in port.shared_segments()
    ]
    return _SEGMENT_HEAD + b"".join(rows)


def _constant(value: bytes | int) -> Callable[[Port], bytes]:
    text = value if isinstance(value, bytes) else b"%d" % value
    return lambda port: text + b"\n"


FILES: dict[bytes, Callable[[Port], bytes]] = {
    b"cpuinfo": cpuinfo,
    b"filesystems": filesystems,
    b"loadavg": loadavg,
    b"meminfo": meminfo,
    b"mounts": mounts,
    b"stat": stat,
    b"uptime": uptime,
    b"version": version,
    b"sysvipc/shm": segments,
    b"sys/kernel/cap_last_cap": _constant(40),
    b"sys/kernel/core_pattern": _constant(b"core"),
    b"sys/kernel/core_uses_pid": _constant(0),
    b"sys/kernel/domainname": _constant(UTSNAME[5]),
    b"sys/kernel/hostname": _constant(UTSNAME[1]),
    b"sys/kernel/ngroups_max": _constant(65_536),
    b"sys/kernel/osrelease": _constant(UTSNAME[2]),
    b"sys/kernel/ostype": _constant(UTSNAME[0]),
    b"sys/kernel/pid_max": _constant(1 << 22),
    b"sys/kernel/randomize_va_space": _constant(0),
    b"sys/kernel/shm_next_id": _constant(-1),
    b"sys/kernel/shm_rmid_forced": _constant(0),
    b"sys/kernel/shmall": lambda port: b"%d\n" % all_pages(port),
    b"sys/kernel/shmmax": _constant(SHMMAX),
    b"sys/kernel/shmmni": _constant(SHMMNI),
    b"sys/kernel/tainted": _constant(0),
    b"sys/kernel/threads-max": _constant(4096),
    b"sys/kernel/version": _constant(UTSNAME[3]),
    b"sys/vm/legacy_va_layout": _constant(0),
    b"sys/vm/max_map_count": _constant(65_530),
    b"sys/vm/memfd_noexec": _constant(0),
    b"sys/vm/mmap_min_addr": _constant(65_536),
    b"sys/vm/nr_hugepages": _constant(0),
    b"sys/vm/overcommit_memory": _constant(1),
    b"sys/vm/panic_on_oom": _constant(0),
    b"sys/fs/file-max": _constant(4096 * 1024),
    b"sys/fs/nr_open": _constant(1024),
    b"sys/fs/pipe-max-size": _constant(MAX_SLOTS * SLOT_BYTES),
}
"""The kernel promises memory without limit (overcommit 1) and places programs by a fixed plan."""

FOLDERS = (b"sys", b"sys/fs", b"sys/kernel", b"sys/vm", b"sysvipc")
