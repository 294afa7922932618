"""The scheduling calls and each of their errors, compared with the host's Linux where possible."""

from __future__ import annotations

import ast
import os
import sys

import pytest

from kernel.abi.errno import E
from kernel.life.life import CloneRequest
from kernel.sched import POLICIES
from kernel.task.clock import timespec_to_cycles
from kernel.task.credentials import Credentials
from kernel.task.process import Scheduling, Thread
from tests.kernel.asm import DATA, NUMBERS, Program
from tests.kernel.system import System, run_code, run_python, still

ROOT_USER, OTHER = Credentials(), Credentials(2000, 2000)
PROCESS, GROUP, USER = range(3)
OTHER_CLASS, FIFO, RR, BATCH, IDLE, DEADLINE = 0, 1, 2, 3, 5, 6
RESET_ON_FORK = 0x4000_0000
NOBODY, STRANGER, BAD = 30_000, 65_533, 8


def with_child(**wishes: object) -> tuple[System, Thread]:
    system = still(**wishes)
    system.kernel.machine.take_turn(system.kernel.machine.cores[0])
    return system, system.kernel.life.clone(system.thread, CloneRequest())


def put(system: System, number: int, size: int = 8) -> int:
    """Store a number in the program's data; returns its address."""
    system.thread.space.write(DATA, number.to_bytes(size, "little", signed=number < 0))
    return DATA


def get(system: System, size: int = 8) -> int:
    return int.from_bytes(system.thread.space.read(DATA, size), "little")


# Nice values --------------------------------------------------------------------------------------


def test_the_kernels_own_getpriority_is_never_negative() -> None:
    system = still(user=ROOT_USER)
    for nice, told in ((0, 20), (-20, 40), (-99, 40), (19, 1), (1000, 1), (5, 15)):
        assert system.ask("setpriority", PROCESS, 0, nice) == 0
        assert system.ask("getpriority", PROCESS, 0) == told


def test_init_is_there_and_belongs_to_another_user() -> None:
    system = still(init=True)
    assert system.ask("sched_setparam", 1, put(system, 0)) == -E.PERM
    assert system.ask("sched_setparam", NOBODY, put(system, 0)) == -E.SRCH


def test_only_root_becomes_less_nice() -> None:
    system = still()
    assert system.ask("setpriority", PROCESS, 0, 5) == 0
    assert system.ask("setpriority", PROCESS, 0, 5) == 0
    assert system.ask("setpriority", PROCESS, 0, 4) == -E.ACCES
    assert system.ask("getpriority", PROCESS, 0) == 15


def test_a_user_cannot_change_another_users_nice_value() -> None:
    system, child = with_child()
    child.process.credentials = OTHER
    assert system.ask("setpriority", PROCESS, child.tid, 7) == -E.PERM
    assert system.ask("getpriority", PROCESS, child.tid) == 20
    assert system.ask("setpriority", USER, OTHER.uid, 7) == -E.PERM
    assert child.scheduling.nice == 0
    system.process.credentials = ROOT_USER
    assert system.ask("setpriority", USER, OTHER.uid, 7) == 0
    assert child.scheduling.nice == 7


def test_a_group_and_a_user_mean_all_their_threads_and_the_least_nice_counts() -> None:
    system, child = with_child()
    assert system.ask("setpriority", PROCESS, child.tid, 9) == 0
    assert system.ask("getpriority", GROUP, 0) == 20
    assert system.ask("setpriority", GROUP, system.process.group, 10) == 0
    assert system.ask("getpriority", USER, 0) == 10
    assert (system.thread.scheduling.nice, child.scheduling.nice) == (10, 10)
    assert system.ask("setpriority", USER, 0, 11) == 0
    assert system.ask("getpriority", USER, 1000) == 9


def test_a_refusal_for_one_thread_is_reported_and_the_others_are_set() -> None:
    system, child = with_child()
    child.process.credentials = OTHER
    assert system.ask("setpriority", GROUP, 0, 3) == -E.PERM
    assert (system.thread.scheduling.nice, child.scheduling.nice) == (3, 0)


def test_each_thread_has_its_own_nice_value() -> None:
    program = Program()
    program.thread("other")
    program.keep("rbx")
    program.call("setpriority", PROCESS, "rbx", 4)
    program.call("getpriority", PROCESS, "rbx")
    program.call("getpriority", PROCESS, 0)
    program.exit()
    program.label("other")
    program.spin()
    assert run_code(program).results("getpriority") == [16, 20]


# Classes ------------------------------------------------------------------------------------------


def test_classes_are_kept_and_inherited() -> None:
    system, _ = with_child()
    at = put(system, 0)
    for policy in (BATCH, OTHER_CLASS, IDLE):
        assert system.ask("sched_setscheduler", 0, policy, at) == 0
        assert system.ask("sched_getscheduler", 0) == policy
    assert system.ask("sched_setscheduler", 0, OTHER_CLASS, at) == -E.PERM
    system.ask("setpriority", PROCESS, 0, 6)
    child = system.kernel.life.clone(system.thread, CloneRequest())
    assert (child.scheduling.policy, child.scheduling.nice) == (IDLE, 6)


def test_reset_on_fork_gives_the_child_the_default_class() -> None:
    system, _ = with_child(user=ROOT_USER)
    system.ask("setpriority", PROCESS, 0, -6)
    at = put(system, 0)
    assert system.ask("sched_setscheduler", 0, BATCH | RESET_ON_FORK, at) == 0
    assert system.ask("sched_getscheduler", 0) == BATCH | RESET_ON_FORK
    child = system.kernel.life.clone(system.thread, CloneRequest())
    assert (child.scheduling.policy, child.scheduling.nice) == (OTHER_CLASS, 0)
    assert not child.scheduling.reset_on_fork
    system.process.credentials = OTHER
    assert system.ask("sched_setscheduler", 0, BATCH, at) == -E.PERM


@pytest.mark.parametrize("user", [ROOT_USER, Credentials(1000, 1000)])
def test_nobody_has_a_real_time_class(user: Credentials) -> None:
    system = still(user=user)
    assert system.ask("sched_setscheduler", 0, FIFO, put(system, 1)) == -E.PERM
    assert system.ask("sched_setscheduler", 0, RR, put(system, 99)) == -E.PERM
    assert system.ask("sched_getscheduler", 0) == OTHER_CLASS


def test_the_class_of_another_users_thread_cannot_be_set() -> None:
    system, child = with_child()
    child.process.credentials = OTHER
    at = put(system, 0)
    assert system.ask("sched_setscheduler", child.tid, BATCH, at) == -E.PERM
    assert system.ask("sched_setparam", child.tid, at) == -E.PERM
    assert system.ask("sched_getscheduler", child.tid) == OTHER_CLASS
    assert system.ask("sched_setaffinity", child.tid, 8, put(system, 1)) == -E.PERM


@pytest.mark.parametrize(("sched", "cycles"), [("rr", 20_000), ("mlfq", 20_000), ("fifo", 0)])
def test_the_interval_is_the_slice(sched: str, cycles: int) -> None:
    system = still(sched=sched)
    assert system.ask("sched_rr_get_interval", 0, DATA) == 0
    assert timespec_to_cycles(system.thread.space.read(DATA, 16)) == cycles


# Affinity -----------------------------------------------------------------------------------------


def test_the_mask_is_cut_to_the_cores_that_there_are() -> None:
    system = still(cpus=4)
    assert system.ask("sched_getaffinity", 0, 8, DATA) == 8
    assert get(system) == 0b1111
    assert system.ask("sched_setaffinity", 0, 8, put(system, 0xFFF6)) == 0
    assert system.ask("sched_getaffinity", 0, 128, DATA) == 8
    assert get(system) == 0b0110
    child = system.kernel.life.clone(system.thread, CloneRequest())
    assert child.scheduling.affinity == 0b0110


def test_a_mask_may_be_shorter_than_the_kernels_and_must_name_a_core() -> None:
    system = still(cpus=4)
    assert system.ask("sched_setaffinity", 0, 1, put(system, 0xFF04)) == 0
    assert system.thread.scheduling.affinity == 4
    assert system.ask("sched_setaffinity", 0, 8, put(system, 0b1_0000)) == -E.INVAL
    assert system.ask("sched_setaffinity", 0, 0, DATA) == -E.INVAL
    assert system.thread.scheduling.affinity == 4


@pytest.mark.parametrize("sched", POLICIES)
def test_any_call_may_change_a_queued_thread(sched: str) -> None:
    system, child = with_child(sched=sched, cpus=2, user=ROOT_USER)
    assert child in system.kernel.tasks.policy
    assert system.ask("sched_setaffinity", child.tid, 8, put(system, 2)) == 0
    assert system.ask("setpriority", PROCESS, child.tid, -7) == 0
    assert system.kernel.tasks.policy.able([child], 0) == []
    assert child in system.kernel.tasks.policy


# The host -----------------------------------------------------------------------------------------

CASES: list[tuple[str, tuple[int | str, ...]]] = [
    ("getpriority", (3, 0)),
    ("getpriority", (-1, 0)),
    ("getpriority", (PROCESS, "nobody")),
    ("getpriority", (PROCESS, -5)),
    ("getpriority", (GROUP, "nobody")),
    ("getpriority", (USER, "nobody")),
    ("getpriority", (PROCESS, 0)),
    ("setpriority", (3, 0, 0)),
    ("setpriority", (PROCESS, "nobody", 0)),
    ("setpriority", (PROCESS, 0, 3)),
    ("getpriority", (PROCESS, 0)),
    ("sched_getparam", (0, 0)),
    ("sched_getparam", (-1, "zero")),
    ("sched_getparam", ("nobody", "zero")),
    ("sched_getparam", (0, "bad")),
    ("sched_getparam", (0, "zero")),
    ("sched_setparam", (0, 0)),
    ("sched_setparam", (-1, "zero")),
    ("sched_setparam", ("nobody", "zero")),
    ("sched_setparam", ("nobody", "bad")),
    ("sched_setparam", (0, "one")),
    ("sched_setparam", (0, "zero")),
    ("sched_setscheduler", (0, -1, "zero")),
    ("sched_setscheduler", (-1, BATCH, "zero")),
    ("sched_setscheduler", (0, BATCH, 0)),
    ("sched_setscheduler", (0, BATCH, "bad")),
    ("sched_setscheduler", ("nobody", BATCH, "zero")),
    ("sched_setscheduler", (0, 4, "zero")),
    ("sched_setscheduler", (0, 77, "zero")),
    ("sched_setscheduler", (0, FIFO, "zero")),
    ("sched_setscheduler", (0, RR, "hundred")),
    ("sched_setscheduler", (0, BATCH, "one")),
    ("sched_setscheduler", (0, BATCH, "zero")),
    ("sched_getscheduler", (0,)),
    ("sched_setscheduler", (0, OTHER_CLASS | RESET_ON_FORK, "zero")),
    ("sched_getscheduler", (0,)),
    ("sched_getscheduler", (-1,)),
    ("sched_getscheduler", ("nobody",)),
    *[("sched_get_priority_max", (policy,)) for policy in (0, 1, 2, 3, 4, 5, 6, 99, -1)],
    *[("sched_get_priority_min", (policy,)) for policy in (0, 1, 2, 3, 4, 5, 6, 99, -1)],
    ("sched_rr_get_interval", (-1, "zero")),
    ("sched_rr_get_interval", ("nobody", "zero")),
    ("sched_rr_get_interval", (0, "bad")),
    ("sched_setaffinity", (0, 8, "bad")),
    ("sched_setaffinity", ("nobody", 8, "one")),
    ("sched_setaffinity", (-1, 8, "one")),
    ("sched_setaffinity", (0, 8, "zero")),
    ("sched_setaffinity", (0, 0, "one")),
    ("sched_getaffinity", (0, 0, "zero")),
    ("sched_getaffinity", (0, 12, "zero")),
    ("sched_getaffinity", ("nobody", 64, "zero")),
    ("sched_getaffinity", (-1, 64, "zero")),
    ("sched_getaffinity", (0, 64, "bad")),
]
VALUES = {"zero": 0, "one": 1, "hundred": 100}
WITHOUT_PRIVILEGES: list[tuple[str, tuple[int | str, ...]]] = [
    ("setpriority", (PROCESS, 0, 19)),
    ("setpriority", (PROCESS, 0, 18)),
    ("setpriority", (PROCESS, 1, 19)),
    ("sched_setscheduler", (0, FIFO, "one")),
    ("sched_setscheduler", (0, RR, "hundred")),
    ("sched_setscheduler", (0, OTHER_CLASS, "zero")),
    ("sched_setscheduler", (0, IDLE | RESET_ON_FORK, "zero")),
    ("sched_setscheduler", (0, BATCH | RESET_ON_FORK, "zero")),
    ("sched_setparam", (0, "zero")),
    ("sched_getscheduler", (0,)),
    ("sched_setscheduler", (1, BATCH, "zero")),
    ("sched_setaffinity", (1, 8, "one")),
]
NATIVE = """
import ctypes, os
os.setuid({uid})
libc, found = ctypes.CDLL(None, use_errno=True), []
values, calls, bad = {values!r}, {calls!r}, {bad}
for number, arguments in calls:
    words = []
    for word in arguments:
        if word in values:
            room = ctypes.create_string_buffer(values[word].to_bytes(8, "little"), 256)
            word = ctypes.addressof(room)
        words.append(ctypes.c_long({{"bad": bad, "nobody": 4194303}}.get(word, word)))
    result = libc.syscall(ctypes.c_long(number), *words)
    found.append(-ctypes.get_errno() if result < 0 else result)
print(found)
"""
"""The same calls as a native program; no call has more than one argument in memory."""


@pytest.mark.skipif(sys.platform != "linux", reason="the oracle is Linux")
@pytest.mark.parametrize("drop", [False, True])
def test_every_error_is_the_one_that_linux_gives(drop: bool) -> None:
    if drop and os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    uid = STRANGER if drop else os.getuid()
    cases = CASES + (WITHOUT_PRIVILEGES if uid else [])
    numbered = [(NUMBERS[name], arguments) for name, arguments in cases]
    code = NATIVE.format(uid=uid, values=VALUES, calls=numbered, bad=BAD)
    native = ast.literal_eval(run_python(code).decode())
    system, child = with_child(user=ROOT_USER)
    child.process.credentials = Credentials(uid, uid)
    child.scheduling = Scheduling(os.getpriority(os.PRIO_PROCESS, 0))
    named = {"bad": BAD, "nobody": NOBODY, **dict.fromkeys(VALUES, DATA)}
    for (name, arguments), expected in zip(cases, native, strict=True):
        words: list[int] = []
        for word in arguments:
            if word in VALUES:
                child.space.write(DATA, VALUES[str(word)].to_bytes(8, "little"))
            words.append(named[word] if isinstance(word, str) else word)
        assert system.ask(name, *words, thread=child) == expected, (name, arguments)
