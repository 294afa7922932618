"""The policies alone, on simulated cores: shares, starvation, sleepers, levels, deadlines."""

from __future__ import annotations

import importlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernel.choose import Chooser
from kernel.sched import POLICIES
from kernel.sched.eevdf import LAG_INSTRUCTIONS, Eevdf
from kernel.sched.mlfq import BOOST_INSTRUCTIONS, LEVELS, Mlfq
from kernel.sched.policy import SLICE_INSTRUCTIONS, Policy
from kernel.sched.stride import Stride
from kernel.sched.weights import VIRTUAL, WEIGHTS, weight
from kernel.task.process import SCHED_BATCH, SCHED_IDLE, Scheduling, Thread
from tests.kernel.shares import (
    PRE_EMPTIVE,
    PROPORTIONAL,
    Cores,
    cores_with,
    fluid_shares,
    worst_error,
)

FEW = settings(max_examples=40, deadline=None)
NICES = st.lists(st.integers(-8, 8), min_size=1, max_size=8)


def weights_of(nices: list[int]) -> list[int]:
    return [WEIGHTS[nice + 20] for nice in nices]


# The oracle ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "cores", "shares"),
    [
        ([1, 1], 1, [0.5, 0.5]),
        ([3, 1], 1, [0.75, 0.25]),
        ([3, 1], 2, [0.5, 0.5]),
        ([8, 1, 1], 2, [0.5, 0.25, 0.25]),
        ([10, 4, 1, 1, 1, 1], 4, [0.25, 0.25, 0.125, 0.125, 0.125, 0.125]),
        ([5], 4, [1.0]),
    ],
)
def test_the_fluid_model_gives_nobody_more_than_a_core(
    weights: list[int], cores: int, shares: list[float]
) -> None:
    assert fluid_shares(weights, cores) == pytest.approx(shares)


def test_a_step_of_nice_is_a_factor_of_about_one_and_a_quarter() -> None:
    assert len(WEIGHTS) == 40
    assert WEIGHTS[20] == 1024
    assert all(1.15 < a / b < 1.35 for a, b in pairwise(WEIGHTS))


# Shares -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROPORTIONAL)
@given(nices=NICES, count=st.sampled_from([1, 4]), seed=st.integers(0, 1 << 32))
@FEW
def test_long_runs_give_shares_within_two_per_cent_of_the_weights(
    name: str, nices: list[int], count: int, seed: int
) -> None:
    cores, weights = cores_with(name, nices, count, seed), weights_of(nices)
    cores.run(20 * len(nices))
    slices = round(150 / min(fluid_shares(weights, count)))
    assert worst_error(cores.run(slices), weights, count) < 0.02


@pytest.mark.parametrize("name", ["rr", "mlfq"])
@pytest.mark.parametrize("count", [1, 4])
def test_without_weights_all_get_the_same(name: str, count: int) -> None:
    got = cores_with(name, [-20, 0, 5, 19, 19], count).run(8_000)
    assert worst_error(got, [1] * 5, count) < 0.05


@pytest.mark.parametrize("name", PROPORTIONAL)
@pytest.mark.parametrize("queued", [True, False])
def test_a_new_nice_value_counts_from_then_on(name: str, queued: bool) -> None:
    cores = cores_with(name, [0, 0, 0])
    cores.run(100)
    changed = next(t for t in cores.threads if (t in cores.policy) == queued)
    changed.scheduling = Scheduling(nice=5)
    cores.policy.reweigh(changed)
    weights = [weight(thread) for thread in cores.threads]
    assert worst_error(cores.run(3_000), weights, 1) < 0.02


@pytest.mark.parametrize("name", PROPORTIONAL)
def test_a_thread_of_the_idle_class_gets_what_is_left(name: str) -> None:
    cores = cores_with(name, [19, 0])
    cores.threads[0].scheduling = Scheduling(policy=SCHED_IDLE)
    cores.policy.reweigh(cores.threads[0])
    idle, busy = cores.run(10_000)
    assert idle / (idle + busy) == pytest.approx(3 / 1027, rel=0.2)
    cores.pause(cores.threads[1])
    assert cores.run(100)[0] > 90 * SLICE_INSTRUCTIONS


# Sleepers -----------------------------------------------------------------------------------------


def run_until_on_core(cores: Cores, thread: Thread) -> None:
    while all(other is not thread for other, _ in cores.running.values()):
        cores.step()


@pytest.mark.parametrize("name", PROPORTIONAL)
@pytest.mark.parametrize("count", [1, 4])
def test_a_sleeper_does_not_hoard(name: str, count: int) -> None:
    cores = cores_with(name, [0] * 8, count)
    sleeper = cores.threads[3]
    run_until_on_core(cores, sleeper)
    cores.pause(sleeper)
    cores.run(4_000)
    cores.policy.enqueue(sleeper)
    got = cores.run(160)
    assert 17 * SLICE_INSTRUCTIONS < got[3] < 24 * SLICE_INSTRUCTIONS


@pytest.mark.parametrize("name", PROPORTIONAL)
def test_a_thread_that_ran_alone_is_not_punished_when_others_come(name: str) -> None:
    cores = cores_with(name, [0])
    cores.run(4_000)
    cores.add()
    assert worst_error(cores.run(200), [1, 1], 1) < 0.06


@pytest.mark.parametrize("name", PROPORTIONAL)
def test_a_share_that_exceeds_one_core_is_not_hoarded(name: str) -> None:
    cores = cores_with(name, [-20, 0, 0, 0], 2)
    cores.run(4_000)
    cores.threads[0].scheduling = Scheduling()
    cores.policy.reweigh(cores.threads[0])
    cores.run(40)
    assert worst_error(cores.run(2_000), [1] * 4, 2) < 0.02


@pytest.mark.parametrize("name", PROPORTIONAL)
def test_a_yield_costs_a_slice_at_most(name: str) -> None:
    cores = cores_with(name, [0, 0])
    run_until_on_core(cores, cores.threads[0])
    cores.policy.yielded(cores.threads[0])
    cores.step()
    assert cores.running[0][0] is cores.threads[1]
    got = cores.run(100)
    assert abs(got[0] - got[1]) < 4 * SLICE_INSTRUCTIONS


# Nobody starves -----------------------------------------------------------------------------------

EVENTS = st.lists(
    st.tuples(
        st.sampled_from("step step step sleep wake add end nice".split()), st.integers(0, 99)
    ),
    max_size=150,
)


def happen(cores: Cores, event: str, number: int) -> None:
    """One event.  A sleeping thread is one that is neither queued nor on a core."""
    on_core = [thread for thread, _ in cores.running.values()]
    asleep = [t for t in cores.threads if t not in cores.policy and t not in on_core]
    if event == "sleep" and on_core:
        cores.pause(on_core[number % len(on_core)])
    elif event == "wake" and asleep:
        cores.policy.enqueue(asleep[number % len(asleep)])
    elif event == "add" and len(cores.threads) < 12:
        cores.add(number % 11)
    elif event == "nice" and cores.threads:
        thread = cores.threads[number % len(cores.threads)]
        thread.scheduling = Scheduling(number % 11)
        cores.policy.reweigh(thread)
    elif event == "end" and asleep:
        gone = asleep[number % len(asleep)]
        cores.policy.remove(gone)
        cores.threads.remove(gone)
    else:
        cores.step()


def sums_are_right(policy: Policy) -> bool:
    if not isinstance(policy, Eevdf):
        return True
    competing = [entity for entity in policy.entities.values() if entity.competes]
    return policy.load == sum(e.weight for e in competing) and policy.sum == sum(
        e.weight * e.vruntime for e in competing
    )


@pytest.mark.parametrize("name", PRE_EMPTIVE)
@given(events=EVENTS, count=st.integers(1, 4), seed=st.integers(0, 1 << 32))
@FEW
def test_no_sequence_of_events_starves_a_thread(
    name: str, events: list[tuple[str, int]], count: int, seed: int
) -> None:
    cores = cores_with(name, [0, 3], count, seed)
    for event, number in events:
        happen(cores, event, number)
        assert len(cores.policy) == len(cores.policy.waiting())
        assert sums_are_right(cores.policy)
    waiting = cores.policy.waiting()
    assert len({t.tid for t in waiting}) == len(waiting)
    total = sum(weight(t) for t in cores.threads)
    longest = BOOST_INSTRUCTIONS // SLICE_INSTRUCTIONS + 12 * len(cores.threads)
    for thread in waiting:
        before = thread.instructions
        for _ in range(count * (longest + 8 * total // weight(thread))):
            cores.step()
        assert thread.instructions > before, f"thread {thread.tid} never ran"


@pytest.mark.parametrize("name", POLICIES)
@given(masks=st.lists(st.integers(1, 15), min_size=1, max_size=8), seed=st.integers(0, 1 << 32))
@FEW
def test_a_thread_runs_only_on_cores_of_its_mask(name: str, masks: list[int], seed: int) -> None:
    cores = cores_with(name, [], 4, seed)
    for mask in masks:
        cores.add(affinity=mask)
    for _ in range(60):
        if name != "fifo" or len(cores.policy):
            cores.step()
        for core, (thread, _) in cores.running.items():
            assert thread.scheduling.affinity >> core & 1
        for core in range(4):
            able = [t for t in cores.policy.waiting() if t.scheduling.affinity >> core & 1]
            assert cores.policy.has(core) == bool(able)


# Choices ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", POLICIES)
def test_an_explorer_can_make_the_choices_that_the_policy_leaves_open(name: str) -> None:
    def first(script: list[int]) -> int:
        cores = Cores(POLICIES[name](Chooser(1, script=script)))
        for _ in range(3):
            cores.add()
        picked = cores.policy.pick(0)
        assert picked is not None
        return picked.tid

    assert [first([choice]) for choice in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("name", PROPORTIONAL)
def test_where_the_policy_decides_there_is_no_choice(name: str) -> None:
    cores = cores_with(name, [-5, 0, 5])
    cores.run(500)
    log = cores.policy.chooser.log
    assert len(log) < 10


# First in, first out ------------------------------------------------------------------------------


def test_first_in_first_out_never_takes_a_core_away() -> None:
    assert Policy(Chooser(1)).slice(cores_with("fifo", [0]).threads[0]) > 1 << 60


# The feedback queue -------------------------------------------------------------------------------


def feedback(count: int) -> tuple[Mlfq, list[Thread]]:
    cores = cores_with("mlfq", [0] * count)
    assert isinstance(cores.policy, Mlfq)
    return cores.policy, cores.threads


def test_a_thread_that_uses_up_its_allotment_moves_down_a_level() -> None:
    policy, (thread,) = feedback(1)
    assert policy.pick(0) is thread
    levels = []
    for _ in range(1 << LEVELS):
        policy.ran(thread, SLICE_INSTRUCTIONS)
        levels.append(policy.rank(thread))
    assert levels == [1, 1, 2, 2, 2, 2, *[3] * 10]
    assert policy.moves == [(1, 0, 1), (1, 1, 2), (1, 2, 3)]
    assert policy.slice(thread) == 8 * SLICE_INSTRUCTIONS


def test_sleeping_just_before_the_end_does_not_save_the_level() -> None:
    policy, (thread,) = feedback(1)
    for _ in range(3):
        assert policy.pick(0) is thread
        policy.ran(thread, SLICE_INSTRUCTIONS * 2 // 5)
        policy.sleep(thread)
        policy.enqueue(thread)
    assert policy.rank(thread) == 1


def test_a_higher_level_runs_first_and_preempts_a_lower_one() -> None:
    policy, (low, high, other) = feedback(3)
    assert [policy.pick(0), policy.pick(0), policy.pick(0)] == [low, high, other]
    policy.ran(low, SLICE_INSTRUCTIONS)
    policy.sleep(high)
    policy.enqueue(high)
    assert policy.victim(high, [other, low]) is low
    assert policy.victim(high, [other]) is None
    low.slice_left = 5
    policy.enqueue(low)
    assert [policy.pick(0), policy.pick(0)] == [high, low]


def test_a_batch_thread_preempts_no_thread() -> None:
    policy, (low, high) = feedback(2)
    policy.pick(0)
    policy.ran(low, SLICE_INSTRUCTIONS)
    high.scheduling = Scheduling(policy=SCHED_BATCH)
    assert policy.victim(high, [low]) is None


def test_a_preempted_thread_continues_before_its_level_and_an_expired_one_after_it() -> None:
    policy, (first, second, third) = feedback(3)
    policy.pick(0)
    first.slice_left = 7
    policy.enqueue(first)
    assert policy.waiting() == [first, second, third]
    policy.pick(0)
    first.slice_left = 0
    policy.enqueue(first)
    assert policy.waiting() == [second, third, first]


def test_a_boost_lifts_everybody() -> None:
    policy, threads = feedback(3)
    for thread in threads:
        policy.pick(0)
        policy.ran(thread, 7 * SLICE_INSTRUCTIONS)
    policy.enqueue(threads[0])
    policy.sleep(threads[1])
    policy.moves = []
    policy.ran(threads[2], BOOST_INSTRUCTIONS)
    assert [policy.rank(thread) for thread in threads] == [0, 0, 0]
    assert [(before, after) for _, before, after in policy.moves] == [(3, 0)] * 3
    assert policy.waiting() == [threads[0]]


def test_after_a_boost_a_thread_has_its_whole_allotment_and_not_what_was_left_of_it() -> None:
    policy, (early, late) = feedback(2)
    for round in range(2):
        policy.ran(early, SLICE_INSTRUCTIONS - 1)
        policy.ran(late, BOOST_INSTRUCTIONS - SLICE_INSTRUCTIONS)
        assert [policy.rank(early), policy.rank(late)] == [0, LEVELS - 1], round
        policy.ran(late, 1)
        assert [policy.rank(early), policy.rank(late)] == [0, 0]
    policy.ran(early, SLICE_INSTRUCTIONS - 1)
    assert policy.rank(early) == 0
    policy.ran(early, 1)
    assert policy.rank(early) == 1


# Stride, EEVDF ------------------------------------------------------------------------------------


def test_passes_of_threads_that_compete_stay_together() -> None:
    cores = cores_with("stride", [0, 0, 5, 10])
    cores.run(400)
    assert isinstance(cores.policy, Stride)
    for _ in range(400):
        cores.step()
        for client in cores.policy.clients.values():
            assert abs(client.passed - cores.policy.time) <= 4 * SLICE_INSTRUCTIONS * client.stride


def test_a_client_keeps_its_lag_over_a_sleep_of_any_length() -> None:
    cores = cores_with("stride", [0, 0, 0])
    policy, sleeper = cores.policy, cores.threads[0]
    assert isinstance(policy, Stride)
    run_until_on_core(cores, sleeper)
    cores.pause(sleeper)
    distance = policy.clients[sleeper].passed - policy.time
    assert distance > 0
    cores.run(500)
    policy.enqueue(sleeper)
    assert policy.clients[sleeper].passed - policy.time == distance


def test_virtual_time_advances_when_only_one_thread_runs() -> None:
    cores = cores_with("stride", [0, 0])
    policy, (alone, late) = cores.policy, cores.threads
    policy.remove(late)
    assert policy.pick(0) is alone
    policy.ran(alone, 500 * SLICE_INSTRUCTIONS)
    policy.enqueue(late)
    assert policy.rank(late) == policy.rank(alone)


def eevdf_with(nices: list[int]) -> tuple[Eevdf, list[Thread]]:
    """All of them on cores."""
    cores = cores_with("eevdf", nices)
    policy = cores.policy
    assert isinstance(policy, Eevdf)
    for core in range(len(nices)):
        policy.pick(core)
    return policy, cores.threads


def lag(policy: Eevdf, thread: Thread) -> float:
    """In instructions."""
    entity = policy.entities[thread]
    return (policy.sum / policy.load - entity.vruntime) / entity.pace


@pytest.mark.parametrize("ahead", [True, False])
def test_lag_is_the_same_after_a_sleep(ahead: bool) -> None:
    policy, (sleeper, other, third) = eevdf_with([0, 0, 4])
    policy.ran(sleeper if ahead else other, SLICE_INSTRUCTIONS)
    before = lag(policy, sleeper)
    assert abs(before) > SLICE_INSTRUCTIONS / 4
    policy.sleep(sleeper)
    policy.ran(other, SLICE_INSTRUCTIONS)
    policy.ran(third, 50 * SLICE_INSTRUCTIONS)
    policy.enqueue(sleeper)
    assert lag(policy, sleeper) == pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize("nice", [-5, 5])
def test_a_new_weight_changes_no_lag(nice: int) -> None:
    policy, (changed, other) = eevdf_with([0, 0])
    policy.ran(other, SLICE_INSTRUCTIONS)
    before = lag(policy, changed)
    changed.scheduling = Scheduling(nice)
    policy.reweigh(changed)
    assert lag(policy, changed) == pytest.approx(before, rel=1e-3)
    assert sums_are_right(policy)


def test_no_more_than_two_slices_of_lag_outlast_a_sleep() -> None:
    policy, (sleeper, other) = eevdf_with([0, 0])
    policy.ran(other, 100 * SLICE_INSTRUCTIONS)
    policy.sleep(sleeper)
    policy.enqueue(sleeper)
    assert lag(policy, sleeper) == pytest.approx(LAG_INSTRUCTIONS, rel=1e-3)


def test_the_earliest_deadline_of_the_eligible_is_next() -> None:
    cores = cores_with("eevdf", [0, 0, 5, 10, -3])
    policy = cores.policy
    assert isinstance(policy, Eevdf)
    for _ in range(400):
        time_by_load = policy.sum
        eligible = [
            policy.entities[t].deadline
            for t in policy.waiting()
            if policy.entities[t].vruntime * policy.load <= time_by_load
        ]
        picked = policy.pick(0)
        assert picked is not None
        assert eligible, "one core: somebody is always owed something"
        assert policy.entities[picked].deadline == min(eligible)
        policy.ran(picked, SLICE_INSTRUCTIONS)
        policy.enqueue(picked)


def test_lag_is_bounded_by_a_request() -> None:
    """Stoica and Abdel-Wahab, theorem 1: with requests of one size, no lag exceeds that size."""
    cores = cores_with("eevdf", [0, 0, 5, 10, -3])
    policy = cores.policy
    assert isinstance(policy, Eevdf)
    for _ in range(2_000):
        picked = policy.pick(0)
        assert picked is not None
        policy.ran(picked, SLICE_INSTRUCTIONS)
        policy.enqueue(picked)
        for thread in cores.threads:
            assert abs(lag(policy, thread)) <= SLICE_INSTRUCTIONS * 1.001


@pytest.mark.parametrize("nice", [0, 5, -5])
@pytest.mark.parametrize("quarters", [1, 3, 4, 5, 6, 11])
def test_a_request_ends_a_slice_after_it_is_made_however_late_that_is(
    quarters: int, nice: int
) -> None:
    """A thread asks anew when its request is served, and not before (Linux, update_deadline)."""
    policy, (thread, _) = eevdf_with([nice, 0])
    entity = policy.entities[thread]
    began, pace = entity.vruntime, VIRTUAL // weight(thread)
    assert entity.deadline == began + SLICE_INSTRUCTIONS * pace
    ran = quarters * SLICE_INSTRUCTIONS // 4
    policy.ran(thread, ran)
    policy.enqueue(thread)
    asked = began + (ran if quarters >= 4 else 0) * pace
    assert policy.rank(thread) == asked + SLICE_INSTRUCTIONS * pace


def test_a_woken_thread_with_an_earlier_deadline_preempts_the_latest() -> None:
    cores = cores_with("eevdf", [0, 10, 10])
    policy, (awake, first, second) = cores.policy, cores.threads
    assert isinstance(policy, Eevdf)
    picked = [policy.pick(core) for core in range(3)]
    assert picked == [awake, first, second]
    policy.ran(second, SLICE_INSTRUCTIONS)
    policy.enqueue(second)
    assert policy.pick(2) is second
    policy.sleep(awake)
    policy.enqueue(awake)
    assert policy.rank(awake) < policy.rank(first) < policy.rank(second)
    assert policy.victim(awake, [first, second]) is second
    assert policy.victim(second, [first, awake]) is None
    awake.scheduling = Scheduling(policy=SCHED_BATCH)
    assert policy.victim(awake, [first, second]) is None


def test_the_policies_are_named_as_the_option_names_them() -> None:
    assert list(POLICIES) == ["fifo", "rr", "mlfq", "stride", "eevdf"]
    assert importlib.import_module("kernel.sched").POLICIES is POLICIES
