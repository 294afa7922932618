"""Booting: options become a machine, a kernel and its servers, and a first program."""

from __future__ import annotations

import argparse
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hw import costs
from hw.devices import ERRORS, INPUT, OUTPUT, TERMINAL
from hw.machine import EXACT, FAST, MODEL, SILICON, Machine, MachineConfig
from hw.memory import PhysicalMemory
from hw.nvm import Image
from hw.trace import Trace
from kernel import turns
from kernel.abi.errno import E
from kernel.abi.message import Reply, Server
from kernel.abi.nodes import S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG, Given
from kernel.choose import Chooser
from kernel.ipc.endpoints import WellKnown
from kernel.kernel import Kernel, assemble
from kernel.mm import file_pages
from kernel.mm.extents import Extents
from kernel.mm.frames import OWNERS
from kernel.mm.objects import MemoryObject
from kernel.mm.replace import CLOCK, Replacement, replacement_of
from kernel.mm.replace import POLICIES as REPLACEMENTS
from kernel.nvm.check import SEE
from kernel.nvm.format import MediumError, Record
from kernel.nvm.medium import Medium
from kernel.port import CorePort
from kernel.sched import POLICIES
from kernel.sched.round_robin import RoundRobin
from kernel.servers.console import Console
from kernel.servers.devices import NAMES as DEVICES
from kernel.servers.devices import Devices
from kernel.servers.files import Files
from kernel.servers.names import Names
from kernel.servers.nvm_files import PLACE, NvmFiles, fresh_tree, tree_of
from kernel.servers.pipes import Pipes
from kernel.servers.proc import Proc
from kernel.servers.segs import Segs
from kernel.servers.shm import Shm
from kernel.servers.sockets import Sockets
from kernel.servers.sysfs import Sysfs
from kernel.servers.system import System
from kernel.servers.tree import ROOT, Tree
from kernel.strace import error_name
from kernel.syscalls import TABLE
from kernel.task.clock import now_nanoseconds
from kernel.task.credentials import Credentials
from kernel.task.descriptors import Handle
from kernel.task.process import Process
from kernel.trap import Traps
from kernel.vas.persistent import FILES, Persistence
from kernel.vas.vases import SHARINGS, SYNCS
from kernel.wait import signals

HOME = b"/home/user"
ACCOUNTS = {
    b"/etc/passwd": b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\n"
    b"bin:x:2:2:bin:/bin:/bin/false\nuser:x:1000:1000:user:/home/user:/bin/sh\n"
    b"nobody:x:65534:65534:nobody:/:/bin/false\n",
    b"/etc/group": b"root:x:0:\ndaemon:x:1:\nbin:x:2:\nusers:x:100:\nuser:x:1000:\n"
    b"nogroup:x:65534:\nnobody:x:65534:\n",
}
DEVICE_LINKS = {
    b"fd": b"/proc/self/fd",
    b"stdin": b"/proc/self/fd/0",
    b"stdout": b"/proc/self/fd/1",
    b"stderr": b"/proc/self/fd/2",
}
DEFAULT_PCIDS = 6
"""Tags per core, as Linux uses (TLB_NR_DYN_ASIDS)."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that decides a run, but for its inputs."""

    machine: MachineConfig = field(default_factory=MachineConfig)
    seed: int = 1
    pcids: int = DEFAULT_PCIDS
    user: Credentials = field(default_factory=lambda: Credentials(1000, 1000, (1000,)))
    """The user of the first program."""
    sched: str = RoundRobin.name
    vas_sync: str = "subtree"
    """How the views of a process follow each other: `kernel.vas.sync`."""
    vas_sharing: str = "attach"
    """Who may be in a VAS at the same time: `kernel.vas.sharing`."""
    vas_limit_mib: int | None = None
    """How much VAS and segment memory a user may own; None: half of the memory."""
    replace: str = CLOCK
    """Which page leaves memory when it is short, if there is a paging disk."""
    eager: bool = False
    """Pages get frames when they are mapped, and fork copies them: no lazy memory."""

    def __post_init__(self) -> None:
        if self.sched not in POLICIES:
            raise ValueError(f"--sched takes {', '.join(POLICIES)}, not {self.sched}")
        if self.vas_sync not in SYNCS:
            raise ValueError(f"--vas-sync takes {', '.join(SYNCS)}, not {self.vas_sync}")
        if self.vas_sharing not in SHARINGS:
            raise ValueError(f"--vas-sharing takes {', '.join(SHARINGS)}, not {self.vas_sharing}")
        if self.vas_limit_mib is not None and self.vas_limit_mib < 0:
            raise ValueError(f"--vas-limit takes 0 or more MiB, not {self.vas_limit_mib}")
        if not 1 <= self.pcids <= 4095:
            raise ValueError(f"--pcids takes 1 to 4095, not {self.pcids}")


Keywords = dict[str, Any]

_NUMBER: Keywords = {"type": int, "metavar": "N"}
_MEBIBYTES: Keywords = {"type": int, "metavar": "MIB"}
_YES_NO: Keywords = {"action": argparse.BooleanOptionalAction}


def _shape() -> Keywords:
    return {"type": tlb_shape, "metavar": "SETSxWAYS"}


def _one_of(names: Iterable[str]) -> Keywords:
    return {"choices": tuple(names)}


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """The options that every command which boots a machine has."""
    group = parser.add_argument_group("the machine")
    for name, (default, keywords, text) in {**_hardware(), **_policies()}.items():
        group.add_argument(name, default=default, help=text, **keywords)


def _hardware() -> dict[str, tuple[Any, Keywords, str]]:
    """Option -> its default, what argparse needs to know of it, and its help."""
    default = MachineConfig()
    return {
        "--cpus": (default.cpus, _NUMBER, "1 to 8 cores (default 1)"),
        "--ram": (default.ram_mib, _MEBIBYTES, "memory (default 64 MiB)"),
        "--seed": (1, _NUMBER, "decides every free choice (default 1)"),
        "--mmu": (
            MODEL,
            _one_of((MODEL, SILICON)),
            "who translates: our model (default), or the emulated CPU itself",
        ),
        "--itlb": (default.itlb, _shape(), "instruction TLB (default 8x4)"),
        "--dtlb": (default.dtlb, _shape(), "data TLB (default 16x4)"),
        "--pcid": (True, _YES_NO, "tag TLB entries with PCIDs (default: yes)"),
        "--pcids": (DEFAULT_PCIDS, _NUMBER, f"tags per core (default {DEFAULT_PCIDS})"),
        "--clock": (
            EXACT,
            _one_of((EXACT, FAST)),
            "count every instruction (default), or only where it matters",
        ),
        "--swap": (0, _MEBIBYTES, "a paging disk for when memory is short (default: none)"),
    }


def _policies() -> dict[str, tuple[Any, Keywords, str]]:
    return {
        "--sched": (
            RoundRobin.name,
            _one_of(POLICIES),
            "who runs next: first in first out, round robin (default), feedback queue, stride, "
            "earliest eligible deadline",
        ),
        "--vas-sync": (
            "subtree",
            _one_of(SYNCS),
            "how views of one process follow each other: shared page tables (default), pushed "
            "changes, or the RFC's way",
        ),
        "--vas-sharing": (
            "attach",
            _one_of(SHARINGS),
            "who may be in a VAS at once: decided at attach (default), or by locks at each switch",
        ),
        "--vas-limit": (
            None,
            _MEBIBYTES,
            "VAS and segment memory of each user (default: half of the memory)",
        ),
        "--replace": (CLOCK, _one_of(REPLACEMENTS), "which page goes to the disk (default clock)"),
        "--eager": (
            False,
            _YES_NO,
            "give pages their frames when they are mapped, and copy them at fork (default: when "
            "they are used)",
        ),
    }


def config_from(options: argparse.Namespace) -> Config:
    """The configuration that parsed options ask for.  Raises ValueError with a sentence."""
    machine = MachineConfig(
        cpus=options.cpus,
        ram_mib=options.ram,
        mmu=options.mmu,
        itlb=options.itlb,
        dtlb=options.dtlb,
        pcid=options.pcid,
        clock=options.clock,
        swap_mib=options.swap,
    )
    return Config(
        machine,
        options.seed,
        options.pcids,
        sched=options.sched,
        replace=options.replace,
        vas_sync=options.vas_sync,
        vas_sharing=options.vas_sharing,
        vas_limit_mib=options.vas_limit,
        eager=options.eager,
    )


def tlb_shape(text: str) -> tuple[int, int]:
    """`16x4` as (16, 4)."""
    sets, cross, ways = text.partition("x")
    if not cross or not sets.isdigit() or not ways.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not SETSxWAYS, such as 16x4")
    return int(sets), int(ways)


def boot(
    config: Config,
    programs: dict[bytes, bytes],
    sink: Callable[[bytes], None],
    source: Callable[[], bytes] | None = None,
    given: Sequence[Given] = (),
    memory: PhysicalMemory | None = None,
) -> Kernel:
    """A machine with a kernel and its servers, and no program yet.

    `programs` are files by path; `given` is a tree from the host that comes before them.  Console
    output goes to `sink`, input is asked of `source`.  `memory`, if given, has the size that the
    configuration says.
    """
    machine = Machine(config.machine, sink, source, memory=memory)
    chooser = Chooser(config.seed)
    kernel = assemble(
        machine, chooser, POLICIES[config.sched](chooser), config.pcids, eager=config.eager
    )
    machine.connect(Traps(kernel))
    machine.remark_to(kernel.log.say_once)
    kernel.vases.choose(config.vas_sync, config.vas_sharing)
    if config.vas_limit_mib is not None:
        kernel.vases.limit_frames = config.vas_limit_mib << 8
    if config.machine.swap_mib:
        objects, shootdowns = kernel.memory.objects, kernel.memory.shootdowns
        objects.pager = Replacement(objects, shootdowns, config.replace)
    _start_servers(kernel, config.user, programs, given)
    return kernel


def plug_in(kernel: Kernel, image: Image) -> None:
    """Give the NVM module its image, and make what is on it again.

    After the observers of the run are connected, since this is part of the run.  Raises
    `MediumError`.
    """
    kernel.machine.nvm.image = image
    medium = Medium(kernel.machine, kernel.memory.frames)
    persistence = Persistence(kernel.vases, medium)
    records = medium.mount()
    persistence.restore(records)
    kernel.persistence = persistence
    _serve_files(kernel, next((r for r in records if r.key == FILES), None))


def _serve_files(kernel: Kernel, record: Record | None) -> None:
    """The server of the files in NVM, at /nvm.  Raises `MediumError`."""
    objects = kernel.memory.objects
    endpoint = kernel.ipc.create("nvm").id

    def cap_of(number: int, size_bytes: int, inode: int) -> int:
        assert record is not None
        made = objects.file(b"")
        made.node, made.changed, made.size_bytes = (endpoint, inode), True, size_bytes
        made.extents, made.holds = Extents(list(record.objects[number - 1])), 1
        kernel.ipc.published[made.id] = made
        return made.id

    try:
        now = now_nanoseconds(kernel.tasks.now())
        server = NvmFiles(tree_of(record.body, cap_of) if record else fresh_tree(now))
    except (struct.error, KeyError, IndexError) as error:
        raise MediumError("its files have a form that nobody writes", SEE) from error
    root, files = kernel.ipc.well_known.root, kernel.ipc.servers["files"]
    assert isinstance(files, Files)
    server.tree.above = root.endpoint, root.badge
    kernel.ipc.attach(server, CorePort(kernel, endpoint))
    files.mount(PLACE, S_IFDIR | 0o1777, endpoint, ROOT)


def serve(kernel: Kernel, server: Server) -> int:
    """A Python server starts; returns its endpoint."""
    endpoint = kernel.ipc.create(server.name).id
    kernel.ipc.attach(server, CorePort(kernel, endpoint))
    return endpoint


def _start_servers(
    kernel: Kernel, user: Credentials, programs: dict[bytes, bytes], given: Sequence[Given]
) -> None:
    console, names = serve(kernel, Console()), serve(kernel, Names())
    system, pipes = serve(kernel, System()), serve(kernel, Pipes())
    files = Files(Tree(born=now_nanoseconds(kernel.tasks.now())))
    root = serve(kernel, files), ROOT
    _furnish(files, user, programs, given)
    _mount(kernel, files, root, console)
    kernel.ipc.well_known = WellKnown(
        root=Handle(*root, holds=1),
        home=Handle(root[0], files.number_of(HOME), holds=1),
        pipes=Handle(pipes, 0, holds=1),
        names=Handle(names, 0, holds=1),
        system=Handle(system, 0, holds=1),
        shm=Handle(serve(kernel, Shm()), 0, holds=1),
        sockets=Handle(serve(kernel, Sockets()), 0, holds=1),
        console_input=Handle(console, INPUT, holds=1),
        console=Handle(console, OUTPUT, holds=1),
        console_errors=Handle(console, ERRORS, holds=1),
    )


def _furnish(
    files: Files, user: Credentials, programs: dict[bytes, bytes], given: Sequence[Given]
) -> None:
    """The tree of files before anything runs."""
    for item in given:
        files.give(item.path, item.mode, item.content, (item.uid, item.gid))
    for path, mode, owner in (
        (b"/tmp", 0o1777, (0, 0)),
        (b"/dev/shm", 0o1777, (0, 0)),
        (b"/root", 0o700, (0, 0)),
        (HOME, 0o755, (user.uid, user.gid)),
    ):
        files.give(path, S_IFDIR | mode, b"", owner)
    for path, text in ACCOUNTS.items():
        files.give(path, S_IFREG | 0o644, text)
    files.give_programs(programs)


def _mount(kernel: Kernel, files: Files, root: tuple[int, int], console: int) -> None:
    """What other servers serve in the tree."""
    devices = serve(kernel, Devices())
    for name, minor in DEVICES.items():
        files.mount(b"/dev/" + name, S_IFCHR | 0o666, devices, minor)
    for name, stream in ((b"tty", TERMINAL), (b"console", OUTPUT)):
        files.mount(b"/dev/" + name, S_IFCHR | 0o666, console, stream)
    for name, target in DEVICE_LINKS.items():
        files.give(b"/dev/" + name, S_IFLNK | 0o777, target)
    files.mount(b"/proc", S_IFDIR | 0o555, serve(kernel, Proc(root)), 0)
    files.mount(b"/sys", S_IFDIR | 0o555, serve(kernel, Sysfs(root)), 0)
    files.mount(b"/segs", S_IFDIR | 0o555, serve(kernel, Segs(root)), 0)


def spawn(
    kernel: Kernel,
    program: bytes,
    arguments: list[bytes],
    environment: list[bytes],
    user: Credentials,
    path: bytes = b"",
) -> Process:
    """Start `program` (the bytes of an ELF file) with the console as descriptors 0, 1 and 2.

    `path` is where it is in the tree of files, if it is there.  Raises `KernelError` as execve
    would.
    """
    file, known = _file_of(kernel, program, path), kernel.ipc.well_known
    streams = [known.console_input, known.console, known.console_errors]
    process = kernel.life.spawn(
        file,
        path,
        arguments=arguments,
        environment=environment,
        credentials=user,
        handles=streams,
    )
    if process.pid == kernel.life.main:
        owner = (process.session, process.group)
        kernel.ipc.ask(kernel.ipc.well_known.console.endpoint, TERMINAL, "adopt", owner)
    return process


def _file_of(kernel: Kernel, program: bytes, path: bytes) -> MemoryObject:
    """The program's file in the tree, if it is there, else one without a name."""
    ipc, root = kernel.ipc, kernel.ipc.well_known.root
    reply = ipc.ask(root.endpoint, root.badge, "image", (), path) if path else Reply(-E.NOENT)
    if reply.caps:
        file = ipc.published[reply.caps[0]]
        if file_pages.content(file) == program:
            return file
    file = kernel.memory.objects.file(program)
    file.holds += 1
    kernel.held_files.append(file)
    return file


def run_to_end(kernel: Kernel, process: Process) -> int:
    """Run until `process` has ended; returns its wait status."""
    turns.run(kernel, lambda: process.zombie)
    return process.exit_status


def describe(kernel: Kernel) -> dict[str, Any]:
    """The configuration, as a trace header carries it."""
    config, replacement = kernel.machine.config, replacement_of(kernel.memory.objects)
    return {
        "cpus": config.cpus,
        "ram_mib": config.ram_mib,
        "mmu": config.mmu,
        "clock": config.clock,
        "itlb": list(config.itlb),
        "dtlb": list(config.dtlb),
        "pcid": config.pcid,
        "pcids": kernel.memory.pcids,
        "seed": kernel.chooser.seed,
        "sched": kernel.tasks.policy.name,
        "vas_sync": kernel.vases.sync.name,
        "vas_sharing": kernel.vases.sharing.name,
        "swap_mib": config.swap_mib,
        "nvm_mib": config.nvm_mib,
        "eager": kernel.memory.objects.eager,
        "replace": replacement.policy if replacement else "none",
    }


def trace_header(kernel: Kernel, program: dict[str, Any] | None = None) -> dict[str, Any]:
    """What a reader of the trace needs to know of this system, and of its first program."""
    return {
        "program": program or {},
        "config": describe(kernel),
        "held": [
            [pfn, kernel.memory.frames.refs[pfn], kernel.memory.frames.owners[pfn]]
            for pfn in kernel.memory.frames.used()
        ],
        "names": _names(),
        "calls": {row.number: row.prototype() for row in TABLE.values()},
        "costs": [
            {"name": c.name, "cycles": c.cycles, "low": c.low, "high": c.high, "source": c.source}
            for c in costs.TABLE
        ],
    }


def _names() -> dict[str, Any]:
    """What numbers in records are called."""
    return {
        "owners": list(OWNERS),
        "errors": {number.value: error_name(number) for number in E},
        "signals": {number: signals.name(number) for number in range(1, signals.SIGNALS + 1)},
    }


def record(kernel: Kernel, trace: Trace) -> None:
    """From now on, everything goes to `trace`."""
    kernel.machine.attach_trace(trace)
