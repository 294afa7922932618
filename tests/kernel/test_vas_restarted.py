"""Programs that are frozen, killed and brought back print what they print undisturbed.

A sample of `run.py soak restarts`, on every machine and under every policy.
"""

from __future__ import annotations

from typing import Any

import pytest

from kernel import invariants, turns
from kernel.abi.errno import E
from kernel.checkpoint import load, save
from kernel.sched import POLICIES
from kernel.vas.vases import SHARINGS, SYNCS
from tests.kernel.asm import At, Program
from tests.kernel.system import Run, System
from tests.restarts import SCRIPTS, Subject, check, revived, undisturbed

MOMENTS = 2
SAMPLE: dict[str, tuple[str, ...]] = {
    "sieve": ("9000",),
    "threads": ("3", "60"),
    "vas_heap": ("5",),
    "gups": ("jmp", "2", "5"),
}
MACHINES: dict[str, dict[str, Any]] = {
    "silicon": {"mmu": "silicon"},
    "3 cores": {"cpus": 3},
    "fast": {"clock": "fast"},
    "eager": {"eager": True},
    "no pcid": {"pcid": False},
}


@pytest.mark.parametrize("name", SAMPLE)
def test_a_program_goes_on_as_if_nothing_had_happened(name: str) -> None:
    subject = Subject((name, *SAMPLE[name]), {})
    assert check(subject, 1, seed=1, checked=name == "sieve") == 1


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", ["threads", "gups"])
def test_so_it_does_on_every_machine(name: str, machine: str) -> None:
    subject = Subject((name, *SAMPLE[name]), {})
    assert check(subject, MOMENTS, seed=2, **MACHINES[machine]) == MOMENTS


@pytest.mark.parametrize("sharing", SHARINGS)
@pytest.mark.parametrize("sync", SYNCS)
def test_so_it_does_under_every_policy_of_views(sync: str, sharing: str) -> None:
    subject = Subject(("gups", *SAMPLE["gups"]), {})
    assert check(subject, MOMENTS, seed=3, sync=sync, sharing=sharing) == MOMENTS


@pytest.mark.parametrize("sched", POLICIES)
def test_so_it_does_under_every_scheduler(sched: str) -> None:
    subject = Subject(("threads", *SAMPLE["threads"]), {})
    assert check(subject, 1, seed=4, sched=sched) == 1


@pytest.mark.parametrize("name", ["loop", "files", "traps"])
def test_a_shell_goes_on_with_its_script(name: str) -> None:
    assert check(Subject(("sh", "-c", SCRIPTS[name]), {}), MOMENTS, seed=5) == MOMENTS


def test_pages_that_have_left_memory_come_back() -> None:
    assert check(Subject(("sieve", "90000"), {}), 1, seed=6, ram=2, swap=16) == 1


def test_a_program_that_cannot_be_frozen_is_told_so_in_a_sentence() -> None:
    found = revived(Subject(("pingpong", "5"), {}), 3_507)
    assert "revive: 'pingpong' cannot be frozen: Operation not supported" in found.output
    assert found.how == "exit 125"


def test_a_program_that_has_ended_before_ends_as_it_did() -> None:
    found = undisturbed(Subject(("sh", "-c", "exit 7"), {}))
    assert (found.how, found.restarted) == ("exit 7", False)


# In the machine's own code ----------------------------------------------------------------------


def run(program: Program, **wishes: Any) -> Run:
    return System(program, **{"ram": 8, "checked": True, **wishes}).run()


def words(run: Run) -> list[int]:
    data = run.output
    return [int.from_bytes(data[i : i + 8], "little", signed=True) for i in range(0, len(data), 8)]


def test_the_caller_sees_its_vid_and_the_restarted_one_sees_0() -> None:
    program = Program()
    result = program.words(-1, 0, 0)
    program.move("rbx", 0x1122334455)
    program.raw("66480f6ecb")  # movq xmm1, rbx
    program.call("vas_fork", 0)
    program.store(result)
    program.raw("66490f7ecc")  # movq r12, xmm1
    program.store(result + 8, "r12")
    program.store(result + 16, "rbx")
    program.dump(result, 24)
    program.move("rax", At(result))
    program.raw("4885c0")  # test rax, rax
    program.jump_if_zero("end")
    program.call("vas_exec", 0, 1)
    program.store(result)  # not reached
    program.dump(result, 8)
    program.label("end")
    program.exit(9)
    ended = run(program)
    assert words(ended) == [1, 0x1122334455, 0x1122334455, 0, 0x1122334455, 0x1122334455]
    assert ended.exit_code == 9


def test_a_checkpoint_can_be_restarted_in_many_children() -> None:
    """The restarted ones find the word as it was, whatever the others have stored there."""
    program = Program()
    word = program.words(7)
    program.call("vas_fork", 0)
    program.raw("4885c0")  # test rax, rax
    program.jump_if_zero("again")
    for _ in range(3):
        program.store(word, 1)
        program.fork("child")
        program.wait()
    program.exit(0)
    program.label("child")
    program.call("vas_exec", 0, 1)
    program.exit(1)
    program.label("again")
    program.dump(word, 8)
    program.store(word, 99)
    program.exit(2)
    assert words(run(program)) == [7, 7, 7]


def test_a_parent_that_waits_gets_the_status_of_the_restarted_program() -> None:
    program = Program()
    status = program.words(0)
    program.call("vas_fork", 0)
    program.raw("4885c0")
    program.jump_if_zero("again")
    program.fork("child")
    program.wait(status=status)
    program.dump(status, 8)
    program.exit(0)
    program.label("child")
    program.call("vas_exec", 0, 1)
    program.label("again")
    program.exit(5)
    assert words(run(program)) == [5 << 8]


def test_another_process_is_replaced_wherever_it_runs() -> None:
    """The child spins on another core, or in this one's queue; the parent lets it be the copy."""
    for cpus in (1, 2):
        program = Program()
        result = program.words(-1)
        program.call("vas_fork", 0)
        program.raw("4885c0")
        program.jump_if_zero("again")
        program.fork("child")
        program.keep("rbx")
        program.sleep(100_000)
        program.call("vas_exec", "rbx", 1)
        program.store(result)
        program.dump(result, 8)
        program.wait()
        program.exit(0)
        program.label("child")
        program.spin()
        program.label("again")
        program.say(b"again!!!")
        program.exit(0)
        ended = run(program, cpus=cpus)
        assert sorted([ended.output[:8], ended.output[8:]]) == [bytes(8), b"again!!!"]


def test_a_negative_pid_and_a_plain_vas_are_refused() -> None:
    program = Program()
    results = program.words(-1, -1)
    program.call("vas_create", program.put(b"plain\0"), 0o600)
    program.call("vas_exec", 0, 1)
    program.store(results)
    program.call("vas_fork", -1)
    program.store(results + 8)
    program.dump(results, 16)
    program.exit(0)
    assert words(run(program)) == [-E.INVAL, -E.INVAL]


def test_the_machine_can_be_saved_between_the_checkpoint_and_the_restart() -> None:
    system = System("revive", "30000", "sieve", "9000", init=True, watched=False, traced=False)
    turns.run_until(system.kernel, lambda: bool(system.kernel.vases.vases))
    written: list[bytes] = []
    kernel = load(save(system.kernel), written.append)
    main = kernel.tasks.processes[kernel.life.main]
    turns.run(kernel, lambda: main.zombie)
    invariants.check(kernel)
    assert b"".join([*system.written, *written]) == b"1117 primes below 9000\n"
    assert main.executable == b"/bin/sieve"
