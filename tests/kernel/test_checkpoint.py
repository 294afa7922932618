"""A checkpoint is the whole system as bytes: another process loads it and continues the run."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import io
import os
import pickle
import pickletools
import random
import struct
import tracemalloc
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.machine import MachineConfig
from kernel import checkpoint, invariants, turns
from kernel.boot import Config, boot
from kernel.checkpoint import HEAD, MAGIC, PLAIN, VERSION, CheckpointError, load, save
from kernel.kernel import Kernel
from tests.kernel.asm import Program
from tests.kernel.system import BUILT_IN, SMALL, System, boot_program, run_python

PROGRAMS = [
    *("cow", "forks", "many", "matmul", "passing", "pingpong", "racy", "sha256", "signals"),
    "threads",
]

GO_ON = """
import struct, sys
from kernel.boot import run_to_end
from kernel.checkpoint import load
stream = sys.stdin.buffer
while head := stream.read(8):
    written = []
    kernel = load(stream.read(struct.unpack("<Q", head)[0]), written.append)
    status = run_to_end(kernel, kernel.tasks.processes[1])
    print(kernel.machine.trace.digest(), status, kernel.machine.instructions(),
          b"".join(written).hex())
"""


def go_on_elsewhere(saved: list[bytes]) -> list[list[str]]:
    """Load each checkpoint in a fresh process and run to the end."""
    data = b"".join(struct.pack("<Q", len(one)) + one for one in saved)
    lines = run_python(GO_ON, hash_seed="77", data=data).decode().splitlines()
    return [line.split(" ") for line in lines]


@pytest.mark.parametrize("mmu", ["model", "silicon"])
@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_a_fresh_process_continues_from_any_trap_to_the_same_end(cpus: int, mmu: str) -> None:
    saved, expected = [], []
    for name in PROGRAMS:
        whole = boot_program(name, *SMALL[name], cpus=cpus, mmu=mmu)
        system = System(name, *SMALL[name], cpus=cpus, mmu=mmu, watched=False)
        dice = random.Random(f"{name} {cpus} {mmu}")
        for _ in range(5):
            turns.run_traps(system.kernel, dice.randrange(1, 12))
            if system.process.zombie:
                break
            saved.append(save(system.kernel))
            rest = whole.output[len(b"".join(system.written)) :]
            end = [whole.digest, str(whole.status), str(whole.instructions), rest.hex()]
            expected.append((name, system.kernel.taken, end))
    ends = go_on_elsewhere(saved)
    assert len(saved) > 30
    assert [(*where[:2], end) for where, end in zip(expected, ends, strict=True)] == expected


@pytest.mark.parametrize("cpus", [1, 4])
def test_saving_does_not_disturb_the_system_that_is_saved(cpus: int) -> None:
    whole = boot_program("signals", cpus=cpus)
    system = System("signals", cpus=cpus, watched=False)
    while not system.process.zombie:
        turns.run_traps(system.kernel, 9)
        save(system.kernel)
    assert system.finish(system.process.exit_status).digest == whole.digest


def test_a_checkpoint_of_a_checkpoint_is_the_same_bytes_of_memory() -> None:
    system = System("threads", cpus=2, watched=False)
    turns.run_traps(system.kernel, 40)
    first = load(save(system.kernel), lambda _: None)
    second = load(save(first), lambda _: None)
    assert first.machine.memory.bytes == second.machine.memory.bytes
    invariants.check(second)


def test_a_checkpoint_holds_only_frames_in_use() -> None:
    system = System("pages", "50", ram=64, watched=False)
    turns.run_traps(system.kernel, 30)
    used = len(system.kernel.memory.frames.used())
    size = len(save(system.kernel))
    assert used < 120
    programs = sum(map(len, BUILT_IN.values()))  # the given files lie outside memory
    assert used * 4096 < size < used * 4096 + programs + 1_000_000


def test_a_checkpoint_leaves_out_a_free_frame() -> None:
    system = System("hello", watched=False)
    free = system.kernel.memory.frames.free[0]
    system.kernel.machine.memory.bytes[free << 12 : (free << 12) + 16] = b"left over secret"
    assert b"left over secret" not in save(system.kernel)


# Bad input --------------------------------------------------------------------------------------


class Bomb:
    """Unpickling it calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


def sealed(body: bytes) -> bytes:
    """What a stranger writes, with a seal that fits."""
    return HEAD.pack(MAGIC, VERSION, hashlib.sha256(body).digest()) + body


def refuse(data: bytes, match: str | None = None) -> None:
    """Both as it is and with a seal that fits."""
    with pytest.raises(CheckpointError):
        load(data, lambda _: None)
    with pytest.raises(CheckpointError, match=match):
        load(sealed(data), lambda _: None)


def test_a_pickle_that_would_run_a_command_does_not(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    refuse(pickle.dumps(Bomb(os.system, f"touch {mark}")))
    refuse(pickle.dumps(Bomb(os.mkdir, str(mark))))
    refuse(pickle.dumps(Bomb(exec, f"open({str(mark)!r}, 'w')")))
    assert not mark.exists()


def by_name(module: str, name: str, *arguments: str) -> bytes:
    """A pickle that calls `module.name` with strings."""
    out = io.BytesIO(b"\x80\x04")
    out.seek(0, 2)
    for word in (module, name):
        out.write(b"\x8c" + bytes([len(word)]) + word.encode())
    out.write(b"\x93(")
    for argument in arguments:
        out.write(b"\x8c" + bytes([len(argument)]) + argument.encode())
    out.write(b"tR.")
    pickletools.dis(out.getvalue(), io.StringIO())
    return out.getvalue()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("hw.host", "subprocess.Popen"),
        ("hw.host", "os.system"),
        ("hw.engine", "ctypes.CDLL"),
        ("kernel.checkpoint", "load"),
        ("hw.nowhere", "Thing"),
        ("kernel.nowhere.at.all", "Thing"),
        ("hw", "Thing"),
        ("userland.programs", "Path"),
        ("builtins", "eval"),
        ("builtins", "getattr"),
    ],
)
def test_what_does_not_belong_in_a_checkpoint_is_refused(module: str, name: str) -> None:
    refuse(by_name(module, name, "argument"))


@pytest.mark.parametrize(
    ("module", "name"), [("hw.trace", "Path"), ("hw.host", "Path"), ("hw.engine", "Uc")]
)
def test_a_foreign_class_cannot_be_reached_through_a_module_of_ours(module: str, name: str) -> None:
    refuse(by_name(module, name, "x"), "does not belong")


@pytest.mark.parametrize("data", [b"", b"x", b"\x80\x05.", b"garbage" * 100, pickle.dumps({})])
def test_a_file_that_is_no_checkpoint_is_refused(data: bytes) -> None:
    refuse(data)


def test_a_checkpoint_of_another_version_is_refused() -> None:
    data = save(System("hello", ram=1, watched=False).kernel)
    other = data[: len(MAGIC)] + struct.pack("<I", 99) + data[len(MAGIC) + 4 :]
    with pytest.raises(CheckpointError, match="version 99"):
        load(other, lambda _: None)


def test_a_truncated_checkpoint_is_refused() -> None:
    data = save(System("hello", ram=1, watched=False).kernel)
    for part in range(1, 40):
        refuse(data[: len(data) * part // 40])
        refuse(data[HEAD.size : len(data) * part // 40])


@pytest.fixture(scope="module")
def small() -> bytes:
    """The body of a checkpoint, without its seal."""
    return save(System(Program(), ram=1, watched=False).kernel)[HEAD.size :]


def test_any_change_breaks_the_seal(small: bytes) -> None:
    data, dice = sealed(small), random.Random(1)
    load(data, lambda _: None)
    for _ in range(100):
        damaged = bytearray(data)
        damaged[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        with pytest.raises(CheckpointError):
            load(bytes(damaged), lambda _: None)


@settings(max_examples=300)
@given(where=st.floats(0, 1), noise=st.binary(min_size=1, max_size=6), head=st.booleans())
def test_a_changed_checkpoint_whose_seal_fits_is_refused_or_loads_and_raises_nothing_else(
    small: bytes, where: float, noise: bytes, head: bool
) -> None:
    """The first bytes describe the machine, the last ones the kernel; between them lies memory."""
    at = int(where * 600) if head else len(small) - 1 - int(where * 9000)
    with contextlib.suppress(CheckpointError):
        load(sealed(small[:at] + noise + small[at + len(noise) :]), lambda _: None)


@pytest.mark.parametrize(
    "body",
    [
        b"\x80\x05Nr\xff\xff\xff\x7f.",  # room for two thousand million values
        b"\x80\x05N(tR.",
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",
        b"\x80\x05B\xff\xff\xff\xff.",
        b"\x80\x05\x8b\xff\xff\xff\x7f.",
    ],
)
def test_a_few_bytes_that_ask_for_gigabytes_get_none(body: bytes) -> None:
    tracemalloc.start()
    try:
        refuse(body)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def forge(change: Callable[[checkpoint.Checkpoint], object]) -> bytes:
    """A checkpoint whose machine says something else."""
    kernel = System(Program(), ram=1, watched=False).kernel
    stream = io.BytesIO(save(kernel)[HEAD.size :])
    kept = pickle.Unpickler(stream).load()
    rest = stream.read()
    change(kept)
    return sealed(pickle.dumps(kept, protocol=5) + rest)


def with_config(**values: object) -> Callable[[checkpoint.Checkpoint], object]:
    def change(kept: checkpoint.Checkpoint) -> None:
        for name, value in values.items():
            object.__setattr__(kept.config, name, value)

    return change


@pytest.mark.parametrize(
    "change",
    [
        with_config(ram_mib=1 << 30),
        with_config(cpus=1000),
        with_config(cpus=2),
        with_config(dtlb=(1 << 40, 1)),
        lambda kept: kept.frames.append(1 << 40),
        lambda kept: kept.frames.__setitem__(0, 1 << 40),
        lambda kept: kept.frames.__setitem__(0, -5),
        lambda kept: kept.frames.__setitem__(0, "one"),
        lambda kept: setattr(kept, "content", b""),
    ],
)
def test_a_machine_that_cannot_be_is_refused(
    change: Callable[[checkpoint.Checkpoint], object],
) -> None:
    with pytest.raises(CheckpointError):
        load(forge(change), lambda _: None)


# What a checkpoint may be made of ---------------------------------------------------------------


def reached(kind: object, found: set[type]) -> None:
    """All our classes that the types of the fields of `kind` lead to."""
    for part in typing.get_args(kind):
        reached(part, found)
    if not isinstance(kind, type) or kind in found or kind.__module__.split(".")[0] not in OURS:
        return
    found.add(kind)
    heirs: list[type] = type.__subclasses__(kind)
    for heir in heirs:
        reached(heir, found)
    for hint in typing.get_type_hints(kind).values():
        reached(hint, found)


OURS = ("hw", "kernel")
OUTSIDE = {"hw.machine.Machine", "hw.parts.PartedFile", "hw.trace.Kind"}
"""These are named, and not kept."""


def test_the_list_of_plain_classes_has_all_that_a_kernel_holds() -> None:
    found: set[type] = set()
    reached(checkpoint.Checkpoint, found)
    reached(Kernel, found)
    named = {f"{module}.{name}" for module, names in PLAIN.items() for name in names.split()}
    base = {one for one in found if getattr(one, "_is_protocol", False)}
    assert {f"{one.__module__}.{one.__name__}" for one in found - base} - OUTSIDE <= named


def test_every_class_of_the_list_is_plain_data() -> None:
    for module, names in PLAIN.items():
        for name in names.split():
            one = getattr(importlib.import_module(module), name)
            assert dataclasses.is_dataclass(one) or issubclass(one, tuple), name
            assert not issubclass(one, BaseException)


@pytest.mark.parametrize("sync", ["subtree", "forward", "rfc"])
@pytest.mark.parametrize("sched", ["fifo", "rr", "mlfq", "stride", "eevdf"])
def test_every_policy_can_be_kept(sched: str, sync: str) -> None:
    config = Config(
        MachineConfig(ram_mib=4, swap_mib=1), sched=sched, vas_sync=sync, vas_sharing="switch"
    )
    kernel = boot(config, {}, lambda _: None)
    assert load(save(kernel), lambda _: None).tasks.policy.name == sched
