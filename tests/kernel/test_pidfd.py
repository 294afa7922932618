"""Descriptors for processes, beyond what `tests/native/p_pidfd.c` compares with Linux."""

from __future__ import annotations

import pytest

from kernel import invariants, turns
from kernel.abi.errno import E
from kernel.checkpoint import load, save
from kernel.task.credentials import Credentials
from tests.kernel.asm import Program
from tests.kernel.system import System, still

USER, OTHER = Credentials(1000, 1000), Credentials(2000, 2000)
NONBLOCK, POLLIN, POLLHUP = 0o4000, 1, 16


def waiting() -> Program:
    """A parent polls a descriptor for its child, waits for it, and polls again."""
    program = Program()
    polled = program.room(16)
    program.fork("child")
    program.keep("rbx")
    program.call("pidfd_open", "rbx", 0)
    program.store(polled, 3 | POLLIN << 32)
    program.call("poll", polled, 1, -1)
    program.dump(polled, 8)
    program.wait("rbx")
    program.call("poll", polled, 1, -1)
    program.dump(polled, 8)
    program.exit()
    program.label("child")
    program.call("sched_yield")
    program.sleep(1_000_000)
    program.exit(3)
    return program


POLLED = [(3 | POLLIN << 32 | mask << 48).to_bytes(8, "little") for mask in (POLLIN, 17)]


@pytest.mark.parametrize("cpus", [1, 2])
def test_the_end_of_a_process_and_its_parents_wait_are_told(cpus: int) -> None:
    run = System(waiting(), checked=True, ram=4, cpus=cpus).run()
    assert run.output == b"".join(POLLED)


def test_a_checkpoint_keeps_them() -> None:
    system = System(waiting(), ram=4, watched=False)
    while not system.process.zombie:
        turns.run_traps(system.kernel, 1)
        written: list[bytes] = []
        copy = load(save(system.kernel), written.append)
        first = copy.tasks.processes[system.process.pid]
        turns.run(copy, lambda first=first: first.zombie)  # type: ignore[misc]
        assert b"".join([*system.written, *written]) == b"".join(POLLED)
        invariants.check(copy)


def test_a_thread_that_does_not_lead_has_none() -> None:
    program = Program()
    program.thread("thread")
    program.keep("rbx")
    program.call("pidfd_open", "rbx", 0)
    program.exit()
    program.label("thread")
    program.call("pause")
    assert System(program, ram=4).run().results("pidfd_open") == [-E.NOENT]


@pytest.mark.parametrize(
    ("caller", "target", "result"),
    [
        (USER, USER, 4),
        (Credentials(), USER, 4),
        (USER, OTHER, -E.PERM),
        (USER, Credentials(), -E.PERM),
        (USER, Credentials(1000, 1000, saved_uid=7), -E.PERM),
        (USER, Credentials(1000, 1000, real_uid=7), -E.PERM),
        (USER, Credentials(1000, 7), -E.PERM),
        (Credentials(7, 7, real_uid=1000, real_gid=1000), USER, 4),
        (Credentials(1000, 1000, real_uid=7), USER, -E.PERM),
    ],
)
def test_descriptors_of_another_process_are_for_who_may_trace_it(
    caller: Credentials, target: Credentials, result: int
) -> None:
    system = still()
    system.process.credentials = target
    other = system.kernel.life.spawn(
        system.kernel.held_files[0], b"", [b"other"], [], caller, handles=[]
    )
    (thread,) = other.threads
    for _ in range(3):
        thread.descriptors.add(system.kernel.ipc.well_known.console)
    pidfd = system.ask("pidfd_open", system.process.pid, NONBLOCK, thread=thread)
    assert pidfd == 3
    assert system.ask("pidfd_getfd", pidfd, 1, 0, thread=thread) == result
    invariants.check(system.kernel)
    signal = system.ask("pidfd_send_signal", pidfd, 0, 0, 0, thread=thread)
    may_signal = caller.uid == 0 or {caller.uid, caller.real_uid} & {
        target.real_uid,
        target.saved_uid,
    }
    assert signal == (0 if may_signal else -E.PERM)
