"""Hogs: a program that takes processes, memory or descriptors without end gets an errno.

When it ends, the kernel gets everything back.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from hw.machine import MachineConfig
from hw.trace import Kind, Trace
from kernel import calls
from kernel.abi.errno import E
from kernel.boot import Config, boot, spawn, trace_header
from kernel.syscalls import TABLE
from kernel.task import limits
from kernel.task.credentials import Credentials
from kernel.task.descriptors import MAX_DESCRIPTORS
from kernel.task.process import MAX_TASKS
from tests.kernel.asm import Program
from tests.soak import run_and_clear

USER = Credentials(1000, 1000, (1000,))
PRIVATE, ANON, RW, NORESERVE = 2, 0x20, 3, 0x4000
TERABYTES_16 = 1 << 44
ENOUGH = 400_000
"""Instructions in which every hog meets its limit some hundred times."""


def hog(program: Program, cpus: int = 1, ram: int = 16) -> tuple[str, Counter[tuple[str, int]]]:
    """Run some thousand traps; returns the system, and the count of each call's results.

    Then all processes are killed, and the kernel must have back everything that they held.
    """
    results: Counter[tuple[str, int]] = Counter()

    def observe(kind: Kind, values: tuple[Any, ...]) -> None:
        if kind is calls.SYSCALL:
            results[TABLE[values[1]].name, values[8]] += 1

    kernel = boot(Config(MachineConfig(cpus, ram)), {}, lambda _: None)
    kernel.machine.attach_trace(Trace(trace_header(kernel), None, observe))
    used_before = set(kernel.memory.frames.used())
    spawn(kernel, program.elf(), [b"hog"], [], USER)
    return run_and_clear(kernel, used_before, most_instructions=ENOUGH), results


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_fork_bomb_ends_in_eagain(cpus: int) -> None:
    """Every process forks for ever, until the user has as many as RLIMIT_NPROC permits."""
    program = Program()
    program.label("again")
    program.fork("again")
    program.jump("again")
    outcome, results = hog(program, cpus, ram=128)
    born = sum(count for (name, result), count in results.items() if name == "fork" and result > 0)
    assert outcome == "runs on"
    limit = limits.DEFAULTS[limits.NPROC][0]
    assert limit == MAX_TASKS // 2
    # Each other core may end the call that it is in before it notices that all are killed.
    assert limit <= born + 1 < limit + cpus
    assert results["fork", -E.AGAIN] > 100
    assert not results["fork", -E.NOMEM]


def test_a_fork_bomb_in_little_memory_ends_in_enomem() -> None:
    program = Program()
    program.label("again")
    program.fork("again")
    program.jump("again")
    outcome, results = hog(program, ram=2)
    assert outcome in ("runs on", "is killed")
    assert results["fork", -E.NOMEM] > 100


def test_a_hog_of_addresses_ends_in_enomem() -> None:
    program = Program()
    program.label("again")
    program.call("mmap", 0, TERABYTES_16, RW, PRIVATE | ANON | NORESERVE, -1, 0)
    program.jump("again")
    _, results = hog(program)
    assert results["mmap", -E.NOMEM] > 100
    assert not [r for name, r in results if name == "mmap" and r < 0 and r != -E.NOMEM]


def test_a_hog_of_memory_is_killed_when_no_frame_is_left() -> None:
    """mmap promises more memory than there is, as on Linux; so a page fault must fail later."""
    program, pages = Program(), 8 << 8
    program.call("mmap", 0, pages << 12, RW, PRIVATE | ANON, -1, 0)
    program.keep("rbx")
    program.label("again")
    program.raw("c60301")  # mov byte [rbx], 1
    program.raw("4881c300100000")  # add rbx, 4096
    program.jump("again")
    outcome, _ = hog(program, ram=4)
    assert outcome == "is killed"


@pytest.mark.parametrize("name", ["dup", "eventfd", "epoll_create1"])
def test_a_hog_of_descriptors_ends_in_emfile(name: str) -> None:
    program = Program()
    program.label("again")
    program.call(name, 0)
    program.jump("again")
    _, results = hog(program)
    assert sum(results[name, fd] for fd in range(3, MAX_DESCRIPTORS)) == MAX_DESCRIPTORS - 3
    assert results[name, -E.MFILE] > 100


def test_a_hog_of_pipes_ends_in_emfile_without_half_a_pipe() -> None:
    program = Program()
    program.call(
        "dup", 0
    )  # an even number is left: the last pipe gets its first descriptor but no second one
    out = program.room(8)
    program.label("again")
    program.call("pipe", out)
    program.jump("again")
    _, results = hog(program)
    assert results["pipe", 0] == (MAX_DESCRIPTORS - 4) // 2
    assert results["pipe", -E.MFILE] > 100
