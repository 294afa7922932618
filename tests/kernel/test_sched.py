"""Which thread runs, for how long, and that no thread is forgotten."""

from __future__ import annotations

import pytest

from kernel import turns
from kernel.choose import Chooser
from kernel.life.life import CloneRequest
from kernel.sched.policy import SLICE_INSTRUCTIONS, slice_length
from kernel.sched.round_robin import RoundRobin
from tests.kernel.asm import Program
from tests.kernel.system import System, run_code, still


def spinners(count: int, **wishes: int) -> System:
    """A process with `count` threads that spin for ever."""
    program = Program()
    for _ in range(count - 1):
        program.thread("spin")
    program.label("spin")
    program.spin()
    return System(program, **wishes)


def run_for(system: System, instructions: int) -> list[int]:
    kernel = system.kernel
    turns.run(kernel, lambda: kernel.machine.instructions() >= instructions)
    return [thread.instructions for thread in kernel.tasks.threads.values()]


@pytest.mark.parametrize("cpus", [1, 2, 4])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_threads_that_spin_get_equal_shares(count: int, cpus: int) -> None:
    shares = run_for(spinners(count, cpus=cpus), 40 * count * SLICE_INSTRUCTIONS)
    assert len(shares) == count
    assert max(shares) < 1.25 * min(shares)


@pytest.mark.parametrize("cpus", [2, 4, 8])
def test_cores_stay_close_in_time(cpus: int) -> None:
    system = spinners(cpus, cpus=cpus)
    run_for(system, 200_000 * cpus)
    cycles = [core.state.cycles for core in system.kernel.machine.cores]
    assert max(cycles) - min(cycles) < 2 * SLICE_INSTRUCTIONS


def test_a_thread_alone_is_not_disturbed() -> None:
    system = spinners(1)
    run_for(system, 5_000_000)
    assert system.kernel.chooser.log == []
    assert system.thread.instructions == system.kernel.machine.instructions()


def test_threads_run_in_the_order_of_their_arrival() -> None:
    policy, system = RoundRobin(Chooser(1)), still()
    threads = [system.kernel.life.clone(system.thread, CloneRequest()) for _ in range(3)]
    for thread in threads:
        policy.enqueue(thread)
    assert len(policy) == 3
    policy.remove(threads[1])
    policy.remove(threads[1])
    assert threads[1] not in policy
    assert [policy.pick(0), policy.pick(0), policy.pick(0)] == [threads[0], threads[2], None]


def test_a_thread_that_yields_lets_all_others_run_first() -> None:
    program = Program()
    for name in (b"a", b"b"):
        program.call("fork")
        program.jump_unless_zero(f"after {name!r}")
        for _ in range(3):
            program.say(name)
            program.call("sched_yield")
        program.exit()
        program.label(f"after {name!r}")
    for _ in range(2):
        program.wait()
    program.exit()
    assert run_code(program).output == b"ababab"


def test_a_yield_to_nobody_returns() -> None:
    program = Program()
    for _ in range(3):
        program.call("sched_yield")
    program.exit()
    assert run_code(program).results("sched_yield") == [0, 0, 0]


def test_slices_are_seeded_and_lie_around_the_middle() -> None:
    lengths = [[slice_length(c) for _ in range(200)] for c in (Chooser(1), Chooser(1), Chooser(2))]
    assert lengths[0] == lengths[1] != lengths[2]
    assert min(lengths[0]) >= SLICE_INSTRUCTIONS // 2
    assert max(lengths[0]) < SLICE_INSTRUCTIONS * 3 // 2
    assert max(lengths[0]) - min(lengths[0]) > SLICE_INSTRUCTIONS // 2


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_program_that_never_calls_the_kernel_cannot_keep_a_core(cpus: int) -> None:
    program = Program()
    for _ in range(cpus):
        program.thread("spin")
    program.sleep(1_000_000)
    program.say(b"still here")
    program.exit()
    program.label("spin")
    program.spin()
    assert run_code(program, cpus=cpus).output == b"still here"


def test_sleepers_wake_in_the_order_of_their_alarms() -> None:
    program = Program()
    for name, pause in ((b"c", 9), (b"a", 3), (b"b", 6)):
        program.call("fork")
        program.jump_unless_zero(f"after {name!r}")
        program.sleep(pause * 1_000_000)
        program.say(name)
        program.exit()
        program.label(f"after {name!r}")
    for _ in range(3):
        program.wait()
    program.exit()
    assert run_code(program).output == b"abc"
