"""The seed and the inputs alone decide a run, down to every record."""

from __future__ import annotations

import itertools

import pytest

from kernel import turns
from kernel.kernel import Kernel
from tests.kernel.system import SMALL, System, boot_program, run_python

DIGESTS = """
import sys
from tests.kernel.system import SMALL, boot_program
for name in ("racy", "signals", "pingpong", "threads", "many", "cow", "forks"):
    for cpus in (1, 4):
        run = boot_program(name, *SMALL[name], cpus=cpus)
        print(name, cpus, run.digest, run.instructions, run.cycles)
"""


def test_a_run_has_the_same_digest_in_every_process_whatever_its_hash_seed() -> None:
    runs = {run_python(DIGESTS, hash_seed=seed) for seed in ("0", "1", "4242")}
    assert len(runs) == 1
    digests = [line.split()[2] for line in runs.pop().splitlines()]
    assert len(set(digests)) == 14


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_seeds_decide_how_racy_threads_interleave(cpus: int) -> None:
    outputs = {boot_program("racy", "6", "5000", cpus=cpus, seed=n).output for n in range(1, 7)}
    assert len(outputs) > 2


@pytest.mark.parametrize("cpus", [1, 4])
def test_seeds_do_not_decide_what_synchronised_threads_compute(cpus: int) -> None:
    outputs = {boot_program("threads", "3", "50", cpus=cpus, seed=n).output for n in range(1, 5)}
    assert outputs == {b"6 threads passed 150 numbers, sum 3825: right\n"}


def run_with_pauses(system: System, stretches: tuple[int, ...]) -> None:
    kernel: Kernel = system.kernel
    for traps in itertools.cycle(stretches):
        if system.process.zombie:
            return
        turns.run_traps(kernel, traps)


@pytest.mark.parametrize("mmu", ["model", "silicon"])
@pytest.mark.parametrize("cpus", [1, 2, 4])
@pytest.mark.parametrize("name", ["racy", "signals", "threads", "cow", "pingpong", "many"])
def test_pauses_do_not_change_a_run(name: str, cpus: int, mmu: str) -> None:
    whole = boot_program(name, *SMALL[name], cpus=cpus, mmu=mmu)
    paused = System(name, *SMALL[name], cpus=cpus, mmu=mmu)
    run_with_pauses(paused, (1, 2, 7, 1, 30))
    run = paused.finish(paused.process.exit_status)
    assert run.digest == whole.digest
    assert (run.output, run.instructions, run.cycles) == (
        whole.output,
        whole.instructions,
        whole.cycles,
    )


@pytest.mark.parametrize("cpus", [1, 4])
@pytest.mark.parametrize("name", SMALL)
def test_recording_changes_nothing(name: str, cpus: int) -> None:
    recorded = boot_program(name, *SMALL[name], cpus=cpus)
    unseen = boot_program(name, *SMALL[name], cpus=cpus, traced=False)
    assert recorded.output == unseen.output
    assert recorded.instructions == unseen.instructions
    assert recorded.cycles == unseen.cycles
    assert recorded.memory == unseen.memory


def test_the_costs_of_walks_change_only_the_clock() -> None:
    dear, free = boot_program("stream", "64", "2"), boot_program("stream", "64", "2", walks=False)
    assert dear.cycles[0] > free.cycles[0]
    assert (dear.output, dear.instructions) == (free.output, free.instructions)


@pytest.mark.parametrize("mmu", ["model", "silicon"])
def test_seeds_decide_also_where_every_thread_has_a_core(mmu: str) -> None:
    """No slice ends there: what varies is how long a core runs before the next one's turn."""
    outputs = {
        seed: boot_program("racy", "4", "5000", cpus=4, seed=seed, mmu=mmu).output
        for seed in range(1, 7)
    }
    assert len(set(outputs.values())) == 6
    again = boot_program("racy", "4", "5000", cpus=4, seed=3, mmu=mmu)
    assert outputs[3] == again.output
