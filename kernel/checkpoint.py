"""Checkpoints: the whole system as bytes, which another process can load and run on.

The kernel is plain data; what it holds of the machine is replaced by a name while it is
pickled, and by the new machine when it is loaded.  Of memory, only frames in use are kept.
A checkpoint is `MAGIC`, `u32 version`, 32 bytes SHA-256 of the rest, and two pickles.  A stranger's
can be wrong, but it cannot run code or take memory: it may name the plain-data classes of `PLAIN`
and no other, and use the pickle opcodes of `FIXED` and `COUNTED`, none of which calls anything.
"""

from __future__ import annotations

import hashlib
import importlib
import pickle
import re
import struct
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

from hw.machine import Machine, MachineConfig, MachineState, fresh_mmu
from hw.memory import PAGE_SIZE
from hw.trace import Trace
from kernel.kernel import Kernel
from kernel.trap import Traps

MAGIC, VERSION = b"VTGCHECK", 5
HEAD = struct.Struct("<8sI32s")
MOST_BYTES = 5 << 30
"""More than the largest memory and a kernel."""

PLAIN = {
    "hw.cpu": "CoreState",
    "hw.devices": "Arrival ConsoleState Event",
    "hw.disk": "DiskState",
    "hw.machine": "MachineConfig MachineState",
    "hw.memory": "CodeFrames",
    "hw.mmu": "MmuState",
    "hw.nvm": "NvmState",
    "hw.tlb": "Entry Tlb",
    "hw.trace": "Trace",
    "kernel.abi.message": "Message Reply",
    "kernel.checkpoint": "Checkpoint",
    "kernel.choose": "Chooser",
    "kernel.abi.sockets": "Identity",
    "kernel.ipc.endpoints": "Endpoint Endpoints WellKnown",
    "kernel.ipc.parcels": "Parcel Parcels",
    "kernel.kernel": "Kernel Turn",
    "kernel.life.life": "Life",
    "kernel.log": "Log",
    "kernel.mm.bounds": "MemoryLimits",
    "kernel.mm.eager": "EagerObjects",
    "kernel.mm.extents": "Extents Zone",
    "kernel.mm.filler": "Filler",
    "kernel.mm.frames": "Account Frames",
    "kernel.mm.memory": "Memory",
    "kernel.mm.objects": "Away MemoryObject Objects",
    "kernel.mm.pagetable": "PageTable",
    "kernel.mm.regions": "Region RegionMap",
    "kernel.mm.replace": "Replacement",
    "kernel.mm.shootdown": "CoreTlb Shootdown Shootdowns Tag",
    "kernel.mm.space": "AddressSpace",
    "kernel.nvm.format": "Entry Root",
    "kernel.nvm.medium": "Medium",
    "kernel.port": "CorePort",
    "kernel.sched.eevdf": "Eevdf Entity",
    "kernel.sched.mlfq": "Mlfq Standing",
    "kernel.sched.round_robin": "RoundRobin",
    "kernel.sched.order": "Order",
    "kernel.sched.policy": "Policy",
    "kernel.sched.stride": "Client Stride",
    "kernel.sched.tasks": "Seat Tasks",
    "kernel.servers.console": "Console",
    "kernel.servers.devices": "Devices",
    "kernel.servers.discipline": "Discipline",
    "kernel.servers.files": "Files",
    "kernel.servers.names": "Names",
    "kernel.servers.nvm_files": "NvmFiles",
    "kernel.servers.pipes": "Event Pipe Pipes",
    "kernel.servers.proc": "Proc",
    "kernel.servers.segs": "Segs",
    "kernel.servers.shm": "SharedSegment Shm",
    "kernel.servers.slots": "Slot",
    "kernel.servers.sockets": "Sockets",
    "kernel.servers.sysfs": "Sysfs",
    "kernel.servers.system": "System",
    "kernel.servers.termios": "Settings",
    "kernel.servers.tree": "Entry Inode Tree",
    "kernel.servers.unix_socket": "Packet Socket",
    "kernel.task.credentials": "Credentials",
    "kernel.task.descriptors": "Descriptors Handle",
    "kernel.task.image": (
        "Attached CallImage FileMapping MemoryImage OpenFile PipeImage ProcessImage ThreadImage "
        "TimerImage"
    ),
    "kernel.task.process": (
        "AlternateStack Call Process Scheduling Signal SignalAction Surroundings Thread Timer Usage"
    ),
    "kernel.vas.forward": "CopiedTable Forward ForwardView",
    "kernel.vas.persistent": "Persistence",
    "kernel.vas.records": "Attachment Holdings Ids Segment Vas",
    "kernel.vas.rfc": "CopiedView Follower Rfc",
    "kernel.vas.sharing": "AtAttach AtSwitch",
    "kernel.vas.sync": "Subtree",
    "kernel.vas.tables": "Mirror SharedTable ViewTable",
    "kernel.vas.vases": "Vases",
    "kernel.vas.view": "LayeredMap LayeredView View",
    "kernel.wait.alarms": "Alarms",
    "kernel.wait.ready": "Epoll Interest Readiness",
    "kernel.wait.userfault": "UserFault",
}
"""Module -> the classes that a checkpoint is made of: data, whose making does nothing."""
FIXED = {
    **dict.fromkeys(b".()]}\x8f\x94\x93\x81\x85\x86\x87Nbtaesu01Q\x88\x89\x90\x91", 0),
    **dict.fromkeys(b"\x80Kh", 1),
    **dict.fromkeys(b"M", 2),
    **dict.fromkeys(b"Jj", 4),
    **dict.fromkeys(b"G\x95", 8),
}
"""Opcode -> the bytes of its argument, for those that the pickler writes for plain data.  REDUCE,
which calls, and PUT, which makes room for as many values as it says, are not among them."""
COUNTED = {
    **dict.fromkeys(b"\x8a\x8cC", 1),
    **dict.fromkeys(b"\x8bXB", 4),
    **dict.fromkeys(b"\x8d\x8e\x96", 8),
}
"""Opcode -> the width of the count of bytes that follow."""
STOP = ord(".")
_OF_WIDTH = {
    width: re.escape(bytes(code for code in FIXED if FIXED[code] == width and code != STOP))
    for width in sorted(set(FIXED.values()))
}
PLAIN_RUN = re.compile(
    b"(?:%s)+" % b"|".join(b"(?:[%s].{%d})+" % (codes, w) for w, codes in _OF_WIDTH.items()),
    re.DOTALL,
)
"""Opcodes of a fixed length, up to the next that has another: most of a checkpoint, at once."""


class CheckpointError(Exception):
    """The bytes are not a checkpoint that this version can load; the text says why."""


@dataclass(slots=True)
class Checkpoint:
    """What is saved besides the kernel: the machine, and the frames in use."""

    version: int
    config: MachineConfig
    machine: MachineState
    frames: list[int]
    content: bytes
    trace: Trace | None


def save(kernel: Kernel) -> bytes:
    """The state between two traps, while every core stands still."""
    machine = kernel.machine
    for seat in kernel.tasks.seats:
        if seat.loaded is not None:
            machine.cores[seat.id].copy_context(seat.loaded.context)
    used = kernel.memory.frames.used()
    for pfn in used[bisect_left(used, machine.nvm.first_pfn) :]:
        machine.nvm.load(pfn)
    memory = machine.memory.bytes
    content = b"".join([memory[pfn * PAGE_SIZE : (pfn + 1) * PAGE_SIZE] for pfn in used])
    kept = Checkpoint(
        version=VERSION,
        config=machine.config,
        machine=machine.state,
        frames=used,
        content=content,
        trace=machine.trace,
    )
    out = BytesIO()
    _Pickler(out, machine).dump(kept)
    _Pickler(out, machine).dump(kernel)
    return _sealed(out.getvalue())


def _sealed(body: bytes) -> bytes:
    return HEAD.pack(MAGIC, VERSION, hashlib.sha256(body).digest()) + body


def _opened(data: bytes) -> BytesIO:
    """The two pickles of a checkpoint.  Raises `CheckpointError`."""
    if len(data) < HEAD.size or data[: len(MAGIC)] != MAGIC:
        raise CheckpointError("this is no checkpoint")
    _, version, seal = HEAD.unpack_from(data)
    if version != VERSION:
        raise CheckpointError(f"this is a checkpoint of version {version}, not {VERSION}")
    if len(data) > MOST_BYTES:
        raise CheckpointError(f"a checkpoint has at most {MOST_BYTES >> 30} GiB")
    body = data[HEAD.size :]
    if hashlib.sha256(body).digest() != seal:
        raise CheckpointError("the checkpoint is damaged: its bytes are not those that were saved")
    _look_at_opcodes(body, _look_at_opcodes(body, 0))
    return BytesIO(body)


def _look_at_opcodes(body: bytes, at: int) -> int:
    """Where the pickle that begins at `at` ends, if it has no opcode but those that belong here."""
    while True:
        run = PLAIN_RUN.match(body, at)
        at = run.end() if run is not None else at
        opcode, width = body[at], COUNTED.get(body[at])
        at += 1
        if width is not None:
            at += width + int.from_bytes(body[at : at + width], "little")
        elif opcode == STOP:
            return at
        else:
            raise pickle.UnpicklingError(f"opcode {opcode:#x} does not belong in a checkpoint")


def load(
    data: bytes,
    sink: Callable[[bytes], None],
    source: Callable[[], bytes] | None = None,
    other: Callable[[MachineConfig], MachineConfig] | None = None,
) -> Kernel:
    """A system that goes on where `save` was called.  Raises `CheckpointError`.

    With `other`, what the same system would do on another machine: one whose TLBs or PCIDs are
    different, for a system in which nothing has run yet.
    """
    try:
        return _load(_opened(data), sink, source, other)
    except CheckpointError:
        raise
    except Exception as error:  # changed bytes can raise anything, from the emulator too
        raise CheckpointError(f"the checkpoint is damaged: {error}") from error


def _load(
    stream: BytesIO,
    sink: Callable[[bytes], None],
    source: Callable[[], bytes] | None,
    other: Callable[[MachineConfig], MachineConfig] | None,
) -> Kernel:
    kept = _Unpickler(stream, None).load()
    if not isinstance(kept, Checkpoint) or kept.version != VERSION:
        raise CheckpointError(f"this is no checkpoint of version {VERSION}")
    kept.config = (other or replace)(kept.config)  # `replace` looks at each value again
    if other is not None:
        for core in kept.machine.cores:
            core.mmu = fresh_mmu(kept.config)
    machine = _machine_of(kept, sink, source)
    kernel = _Unpickler(stream, machine).load()
    if not isinstance(kernel, Kernel):
        raise CheckpointError("the checkpoint holds no kernel")
    machine.connect(Traps(kernel))
    machine.remark_to(kernel.log.say_once)
    if other is not None:
        kernel.memory.shootdowns.forget_tags()
    if kept.trace is not None:
        machine.attach_trace(kept.trace)
    for seat in kernel.tasks.seats:
        if seat.loaded is not None:
            machine.cores[seat.id].resume(seat.loaded.context)
    return kernel


def _machine_of(
    kept: Checkpoint, sink: Callable[[bytes], None], source: Callable[[], bytes] | None
) -> Machine:
    """A machine as it was saved, with its memory."""
    config = kept.config
    frames = (config.ram_mib + config.nvm_mib << 20) // PAGE_SIZE
    if len(kept.machine.cores) != config.cpus or len(kept.content) != len(kept.frames) * PAGE_SIZE:
        raise CheckpointError("the checkpoint is damaged: it is of another machine than it says")
    if kept.frames and not 0 <= min(kept.frames) <= max(kept.frames) < frames:
        raise CheckpointError("the checkpoint is damaged: it has frames outside memory")
    machine = Machine(config, sink, source, kept.machine)
    for i, pfn in enumerate(kept.frames):
        page = kept.content[i * PAGE_SIZE : (i + 1) * PAGE_SIZE]
        machine.memory.bytes[pfn * PAGE_SIZE : (pfn + 1) * PAGE_SIZE] = page
    return machine


class _Pickler(pickle.Pickler):
    def __init__(self, out: BytesIO, machine: Machine) -> None:
        super().__init__(out, protocol=5)
        self._machine = machine

    def persistent_id(self, item: Any) -> str | None:
        return "machine" if item is self._machine else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: BytesIO, machine: Machine | None) -> None:
        super().__init__(stream)
        self._machine = machine

    def persistent_load(self, name: str) -> Machine:
        if name != "machine" or self._machine is None:
            raise pickle.UnpicklingError(f"a reference to {name}")
        return self._machine

    def find_class(self, module: str, name: str) -> Any:
        if name not in PLAIN.get(module, "").split():
            raise pickle.UnpicklingError(f"{module}.{name} does not belong in a checkpoint")
        return getattr(importlib.import_module(module), name)
