"""A checkpoint is the whole system as bytes: another process loads it and continues the run."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernel import invariants, turns
from kernel.checkpoint import VERSION, CheckpointError, load, save
from tests.kernel.asm import Program
from tests.kernel.system import BUILT_IN, SMALL, System, boot_program, run_python

PROGRAMS = ["cow", "forks", "many", "matmul", "pingpong", "racy", "sha256", "signals", "threads"]

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


def refuse(data: bytes) -> None:
    with pytest.raises(CheckpointError):
        load(data, lambda _: None)


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
    with pytest.raises(CheckpointError, match="does not belong"):
        load(by_name(module, name, "x"), lambda _: None)


@pytest.mark.parametrize("data", [b"", b"x", b"\x80\x05.", b"garbage" * 100, pickle.dumps({})])
def test_a_file_that_is_no_checkpoint_is_refused(data: bytes) -> None:
    refuse(data)


def test_a_checkpoint_of_another_version_is_refused() -> None:
    data = save(System("hello", ram=1, watched=False).kernel)
    at = data.index(b"K%c" % VERSION, data.index(b"Checkpoint"))
    refuse(data[:at] + b"K\x63" + data[at + 2 :])


def test_a_truncated_checkpoint_is_refused() -> None:
    data = save(System("hello", ram=1, watched=False).kernel)
    for part in range(1, 40):
        refuse(data[: len(data) * part // 40])


def test_a_damaged_checkpoint_is_refused_or_loads_and_never_raises_anything_else() -> None:
    system = System(Program(), ram=1, watched=False)
    data, dice = save(system.kernel), random.Random(1)
    outside = [n for n in range(len(data)) if n < 600 or n > len(data) - 6000]
    wrong = 0
    for _ in range(300):
        damaged = bytearray(data)
        damaged[dice.choice(outside)] ^= 1 << dice.randrange(8)
        try:
            load(bytes(damaged), lambda _: None)
        except CheckpointError:
            wrong += 1
    assert wrong > 50
