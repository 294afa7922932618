"""Checkpoints: the whole system as bytes, which another process can load and run on.

The kernel is plain data; what it holds of the machine is replaced by a name while it is
pickled, and by the new machine when it is loaded.  Of memory, only frames in use are kept.
Loading accepts classes of hw/ and kernel/ and a few built-in ones, and nothing else: a
checkpoint from a stranger can be wrong, but it cannot run code.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from hw.machine import Machine, MachineConfig, MachineState, fresh_mmu
from hw.memory import PAGE_SIZE
from hw.trace import Trace
from kernel.kernel import Kernel
from kernel.trap import Traps

VERSION = 2
DAMAGE = (
    *(pickle.UnpicklingError, EOFError, AttributeError, LookupError, TypeError, ValueError),
    *(ArithmeticError, MemoryError, RecursionError, AssertionError),
)
"""What reading changed bytes can raise."""
_BUILT_IN = {("builtins", "bytearray"), ("builtins", "set"), ("builtins", "complex")}


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
    memory = machine.memory.bytes
    content = b"".join([memory[pfn * PAGE_SIZE : (pfn + 1) * PAGE_SIZE] for pfn in used])
    kept = Checkpoint(VERSION, machine.config, machine.state, used, content, machine.trace)
    out = BytesIO()
    _Pickler(out, machine).dump(kept)
    _Pickler(out, machine).dump(kernel)
    return out.getvalue()


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
    stream = BytesIO(data)
    try:
        kept = _Unpickler(stream, None).load()
        if not isinstance(kept, Checkpoint) or kept.version != VERSION:
            raise CheckpointError(f"this is no checkpoint of version {VERSION}")
        if other is not None:
            kept.config = other(kept.config)
            for core in kept.machine.cores:
                core.mmu = fresh_mmu(kept.config)
        machine = Machine(kept.config, sink, source, kept.machine)
        for i, pfn in enumerate(kept.frames):
            page = kept.content[i * PAGE_SIZE : (i + 1) * PAGE_SIZE]
            machine.memory.bytes[pfn * PAGE_SIZE : (pfn + 1) * PAGE_SIZE] = page
        kernel = _Unpickler(stream, machine).load()
    except DAMAGE as error:
        raise CheckpointError(f"the checkpoint is damaged: {error}") from error
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
        if (module, name) not in _BUILT_IN:
            if module not in sys.modules or module.partition(".")[0] not in ("hw", "kernel"):
                raise pickle.UnpicklingError(f"{module}.{name} does not belong in a checkpoint")
            found = getattr(sys.modules[module], name, None)
            if not (isinstance(found, type) and found.__module__ == module):
                raise pickle.UnpicklingError(f"{module}.{name} does not belong in a checkpoint")
        return super().find_class(module, name)
