"""The policies in whole systems, with programs: shares, latency, affinity, repeated runs."""

from __future__ import annotations

import statistics
import struct
from collections import Counter
from typing import Any

import pytest

from hw import costs
from hw.trace import Kind
from kernel import checkpoint, invariants, turns
from kernel.sched import POLICIES
from kernel.sched.policy import SLICE_INSTRUCTIONS
from kernel.sched.tasks import PICK
from kernel.sched.usage import thread_usage
from kernel.sched.weights import weight
from kernel.syscalls.limits import pack_rusage
from kernel.task.credentials import Credentials
from kernel.task.process import Signal
from kernel.turns import LEVEL
from kernel.wait import signals
from tests.kernel.asm import At, Program
from tests.kernel.shares import (
    PRE_EMPTIVE,
    PROPORTIONAL,
    measured,
    spinners_of,
    spinning,
    until_all,
    worst_error,
)
from tests.kernel.system import Run, System, boot_program, run_code

ROOT_USER = Credentials()
PAUSE_CYCLES = 30_000


# Shares -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cpus", [1, 4])
@pytest.mark.parametrize("nices", [(0, 5, 10), (-4, -4, 0, 0, 2, 2, 3, 3)], ids=["3", "8"])
@pytest.mark.parametrize("sched", PROPORTIONAL)
def test_programs_get_their_shares_within_two_per_cent(
    sched: str, nices: tuple[int, ...], cpus: int
) -> None:
    system = spinning(nices, sched=sched, cpus=cpus, traced=False, user=ROOT_USER)
    threads = until_all(system, nices)
    got = measured(system, 2_000_000 * cpus, 80_000_000)
    assert worst_error(got, [weight(thread) for thread in threads], cpus) < 0.02


@pytest.mark.parametrize("cpus", [1, 4])
@pytest.mark.parametrize("sched", PRE_EMPTIVE)
def test_no_program_starves(sched: str, cpus: int) -> None:
    nices = (0, 0, 0, 0, 0, 19, 19)
    system = spinning(nices, sched=sched, cpus=cpus, traced=False)
    until_all(system, nices)
    for _ in range(3):
        assert min(measured(system, 0, 20_000_000)) > 0
    invariants.check(system.kernel)


@pytest.mark.parametrize("cpus", [1, 4])
def test_first_in_first_out_lets_the_first_keep_its_core(cpus: int) -> None:
    system = spinning((0,) * (cpus + 2), sched="fifo", cpus=cpus, traced=False)
    until_all(system, [0] * (cpus + 2))
    got = measured(system, 1_000_000, 2_000_000)
    assert [share > 0 for share in got].count(False) == 2


def test_the_spin_program_and_the_nice_value_it_was_given() -> None:
    """Two copies of a program of userland/, one at nice 5, end in the order of their weights."""
    program = Program()
    path, name, turns = (program.put(text) for text in (b"/bin/spin\0", b"spin\0", b"100000\0"))
    argv = program.words(name, turns, 0)
    for i, nice in enumerate((5, 0)):
        program.call("fork")
        program.jump_unless_zero(f"after {i}")
        program.call("setpriority", 0, 0, nice)
        program.call("execve", path, argv, 0)
        program.label(f"after {i}")
    program.wait()
    program.wait()
    program.exit()
    for sched in PROPORTIONAL:
        run = System(program, sched=sched).run()
        assert run.exit_code == 0
        assert run.results("wait4") == [3, 2]


# Latency ------------------------------------------------------------------------------------------


def waits(sched: str, cpus: int, busy: int) -> list[int]:
    """How long a sleeper waited for a core each time it woke, beside `busy` spinners."""
    program = Program()
    for _ in range(busy):
        program.fork("spin")
    for _ in range(40):
        program.sleep(PAUSE_CYCLES)
        program.count_down(500)
    program.exit()
    program.label("spin")
    program.spin()
    system, found = System(program, ram=8, sched=sched, cpus=cpus), list[int]()

    def see(kind: object, values: tuple[int, ...]) -> None:
        if kind is PICK and values[0] == 1:
            found.append(values[1])

    system.trace.observer = see
    system.run()
    return found[busy:]


@pytest.mark.parametrize("cpus", [1, 4])
def test_under_mlfq_a_sleeper_answers_at_once(cpus: int) -> None:
    round_robin, feedback = (waits(sched, cpus, 6) for sched in ("rr", "mlfq"))
    assert len(feedback) >= 35
    assert statistics.median(round_robin) > SLICE_INSTRUCTIONS // 2
    assert statistics.median(feedback) < 500
    assert statistics.median(feedback) < statistics.median(round_robin) / 20


@pytest.mark.parametrize("cpus", [1, 4])
def test_under_eevdf_a_sleeper_answers_soon(cpus: int) -> None:
    interrupt = costs.TABLE[costs.INTERRUPT].cycles if cpus > 1 else 0  # it calls an idle core
    assert statistics.median(waits("eevdf", cpus, 6)) < 500 + interrupt


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_switch_is_counted_once_as_a_wait_or_as_a_loss(cpus: int) -> None:
    """getrusage(2) has the two numbers at the end of its struct, ru_nvcsw and ru_nivcsw."""
    system, picks = spinning((0, 0, 0), sched="rr", cpus=cpus), Counter[int]()

    def note(kind: Kind, values: tuple[Any, ...]) -> None:
        picks[values[0]] += kind is PICK

    system.trace.observer = note
    until_all(system, (0, 0, 0))
    turns.run(system.kernel, lambda: system.kernel.machine.instructions() > 2_000_000)
    on_cores = {seat.thread for seat in system.kernel.tasks.seats}
    for thread in spinners_of(system):
        assert thread.waits == 0
        assert thread.pre_empted == picks[thread.tid] - (thread in on_cores)
        assert thread.pre_empted > 10
        packed = pack_rusage(thread_usage(system.kernel.tasks, thread))
        assert len(packed) == 144
        assert struct.unpack_from("<qq", packed, 128) == (0, thread.pre_empted)
    assert system.thread.waits + system.thread.pre_empted == picks[system.thread.tid]
    assert system.thread.waits > 0


def test_the_trace_records_levels() -> None:
    program = Program()
    program.thread("spin")
    program.count_down(60_000)
    program.exit()
    program.label("spin")
    program.spin()
    system, moves = System(program, sched="mlfq"), list[tuple[int, ...]]()
    system.trace.observer = lambda kind, values: moves.append(values) if kind is LEVEL else None
    system.run()
    assert [move[1:] for move in moves if move[0] == 1] == [(0, 1), (1, 2)]


# Affinity -----------------------------------------------------------------------------------------


def pinned_spinners(masks: list[int], **wishes: object) -> System:
    """One thread for each mask.  Each sets its own affinity and spins."""
    program = Program()
    for i in range(len(masks)):
        program.fork(f"child {i}")
    program.call("wait4", -1, 0, 0, 0)
    for i, mask in enumerate(masks):
        program.label(f"child {i}")
        program.call("sched_setaffinity", 0, 8, program.words(mask))
        program.spin()
    return System(program, **{"ram": 4, "checked": True, **wishes})


@pytest.mark.parametrize("sched", POLICIES)
def test_threads_stay_on_the_cores_that_they_chose(sched: str) -> None:
    masks = [0b0001, 0b0001, 0b1000, 0b0110, 0b1100, 0b1111]
    system = pinned_spinners(masks, sched=sched, cpus=4, checked=False)
    kernel, seen = system.kernel, dict[int, set[int]]()
    until_all(system, [0] * len(masks))
    turns.run(kernel, lambda: kernel.machine.instructions() > 400_000)
    end = kernel.machine.instructions() + 2_000_000

    def look() -> bool:
        for seat in kernel.tasks.seats:
            if seat.thread is not None and not seat.reschedule:
                seen.setdefault(seat.thread.tid, set()).add(seat.id)
        return kernel.machine.instructions() >= end

    turns.run(kernel, look)
    invariants.check(kernel)
    allowed = {t.tid: t.scheduling.affinity for t in spinners_of(system)}
    assert all(allowed[tid] >> core & 1 for tid, cores in seen.items() for core in cores)
    assert {core for cores in seen.values() for core in cores} == {0, 1, 2, 3}
    if sched != "fifo":
        assert len(seen) == len(masks)


@pytest.mark.parametrize("sched", ["rr", "eevdf"])
def test_two_threads_pinned_to_one_core_share_it_and_leave_the_other_idle(sched: str) -> None:
    system = pinned_spinners([0b10, 0b10], sched=sched, cpus=2, checked=False)
    until_all(system, [0, 0])
    got = measured(system, 200_000, 4_000_000)
    assert min(got) > 0.9 * max(got)
    idle, busy = (core.state.instructions for core in system.kernel.machine.cores)
    assert busy > 10 * idle


def test_a_thread_leaves_a_core_that_another_thread_forbids() -> None:
    program = Program()
    program.fork("child")
    program.keep("rbx")
    program.count_down(20_000)
    program.call("sched_setaffinity", "rbx", 8, program.words(0b01))
    program.count_down(200_000)
    program.exit()
    program.label("child")
    program.spin()
    system = System(program, ram=4, cpus=2, checked=True)
    kernel, places = system.kernel, list[int]()

    def look() -> bool:
        child = kernel.tasks.threads.get(2)
        for seat in kernel.tasks.seats:
            if child is not None and seat.thread is child and child.scheduling.affinity == 1:
                places.append(seat.id)
        return system.process.zombie

    turns.run(kernel, look)
    assert places[-1] == 0
    assert places.count(1) <= 2


def test_the_fast_clock_sees_a_thread_that_waits_for_a_busy_core() -> None:
    system = pinned_spinners([0b10, 0b10], cpus=2, clock="fast", checked=False)
    until_all(system, [0, 0])
    got = measured(system, 200_000, 2_000_000)
    assert min(got) > 0.8 * max(got)


# Everything else stays as it was ------------------------------------------------------------------


@pytest.mark.parametrize("cpus", [1, 4])
@pytest.mark.parametrize("sched", POLICIES)
@pytest.mark.parametrize(
    "words", [("threads", "3", "5"), ("forks", "2"), ("pingpong", "5"), ("signals",)]
)
def test_programs_do_the_same_under_every_policy(
    words: tuple[str, ...], sched: str, cpus: int
) -> None:
    def run(sched: str, *, checked: bool = False) -> Run:
        return boot_program(*words, sched=sched, cpus=cpus, checked=checked)

    usual, once, again = run("rr"), run(sched, checked=True), run(sched)
    assert (once.status, sorted(once.output)) == (usual.status, sorted(usual.output))
    assert once.digest == again.digest


@pytest.mark.parametrize("sched", POLICIES)
def test_a_checkpoint_holds_all_that_a_policy_knows(sched: str) -> None:
    def start() -> System:
        return System("threads", "3", "50", sched=sched, cpus=2, watched=False)

    whole = start()
    expected = whole.run()
    halted = start()
    turns.run_traps(halted.kernel, whole.kernel.taken // 2)
    kernel = checkpoint.load(checkpoint.save(halted.kernel), lambda _: None)
    assert kernel.tasks.policy.name == sched
    turns.run(kernel, lambda: kernel.tasks.processes[1].zombie)
    assert kernel.machine.trace is not None
    assert kernel.machine.trace.digest() == expected.digest


@pytest.mark.parametrize("sched", POLICIES)
def test_pauses_change_no_run_under_any_policy(sched: str) -> None:
    def start() -> System:
        return System("cow", "4", sched=sched, watched=False)

    expected, halted = start().run(), start()
    while not halted.process.zombie:
        turns.run_traps(halted.kernel, 1)
    assert halted.trace.digest() == expected.digest


def test_a_signal_sent_in_a_pause_is_taken_at_once() -> None:
    program = Program()
    program.label("again")
    program.call("getppid")
    program.jump("again")
    halted = System(program)
    turns.run_traps(halted.kernel, 20)
    signals.send(halted.kernel.tasks, halted.process, Signal(signals.SIGKILL))
    turns.run(halted.kernel, lambda: halted.process.zombie)
    assert halted.kernel.taken == 20


@pytest.mark.parametrize("sched", PROPORTIONAL)
def test_a_yield_lets_the_other_run(sched: str) -> None:
    program = Program()
    flag = program.room(8)
    program.thread("other")
    program.label("again")
    program.call("sched_yield")
    program.move("rax", At(flag))
    program.jump_if_zero("again")
    program.exit()
    program.label("other")
    program.store(flag, 1)
    program.spin()
    run = run_code(program, sched=sched)
    assert run.exit_code == 0
    assert len(run.results("sched_yield")) < 5
