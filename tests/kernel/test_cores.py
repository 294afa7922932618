"""A script has the same output on one core and on eight, under both MMUs.  No thread is left
asleep, and no TLB ever has a translation that the tables do not have."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from hw import costs
from kernel import invariants
from kernel.abi.errno import Panic
from kernel.kernel import Kernel
from tests.kernel.asm import Program
from tests.kernel.system import System

SCRIPT = """
cd /tmp; n=0
while [ $n -lt 6 ]; do
    (seq 1 $((20 + n)) | grep -v 3 | tr 1 x | sort -r | head -n 5 | tee out.$n | wc -l) &
    n=$((n + 1))
done
wait; cat out.* | sort | uniq -c | sort -n | tail -n 4
words=$(echo a b c | tr ' ' '\\n' | while read w; do echo "<$w>"; done); echo $words
(sleep 1; echo late) & (sleep 2; echo later) & wait; sum=0
for f in out.*; do sum=$((sum + $(wc -c < $f))); done; echo $sum; rm out.*; ls | wc -l
"""


def no_stale_translation(kernel: Kernel) -> None:
    wrong = list(invariants.translations(kernel))
    if wrong:
        raise Panic("; ".join(wrong))


@functools.cache
def outcome(**wishes: Any) -> tuple[bytes, int]:
    """Of one run; several tests compare theirs with the same one."""
    system = System("sh", "-c", SCRIPT, ram=16, traced=False, watched=False, **wishes)
    system.wish.turns = 200_000
    system.kernel.after_trap = no_stale_translation
    run = system.run()
    invariants.check(system.kernel)
    assert not system.kernel.ipc.restarts
    return run.output, run.exit_code


@pytest.mark.parametrize("mmu", ["model", "silicon"])
@pytest.mark.parametrize("cpus", [1, 2, 4, 8])
def test_a_script_has_the_same_output_on_any_number_of_cores(cpus: int, mmu: str) -> None:
    output, status = outcome(cpus=cpus, mmu=mmu, seed=cpus)
    assert (output, status) == outcome(cpus=1)
    assert status == 0
    assert output.endswith(b"late\nlater\n90\n0\n")


@pytest.mark.parametrize("pcids", [1, 2, 6])
def test_few_tags_or_none_change_only_the_time(pcids: int) -> None:
    assert outcome(cpus=2, pcids=pcids) == outcome(cpus=2, pcid=False)


def calls_between_cores(rounds: int, cpus: int) -> tuple[int, int]:
    """IPIs sent and interrupts taken while a child lets its parent go on, so many times."""
    program = Program()
    ends = program.put(bytes(8))
    byte = program.put(bytes(8))
    program.call("pipe", ends)
    program.fork("child")
    for _ in range(rounds):
        program.call("read", 3, byte, 1)
    program.exit()
    program.label("child")
    for _ in range(rounds):
        program.call("nanosleep", program.words(0, 1_000_000), 0)
        program.call("write", 4, byte, 1)
    program.call("nanosleep", program.words(1, 0), 0)
    program.exit()
    system = System(program, cpus=cpus)
    assert system.run().exit_code == 0
    counts = [core.state.counts for core in system.kernel.machine.cores]
    return sum(c[costs.IPI_SEND] for c in counts), sum(c[costs.INTERRUPT] for c in counts)


def test_a_core_that_wakes_a_thread_for_an_idle_core_pays_for_an_interrupt() -> None:
    few, many = calls_between_cores(1, 2), calls_between_cores(9, 2)
    assert (many[0] - few[0], many[1] - few[1]) == (8, 8)
    assert calls_between_cores(9, 1) == (0, 0)


@pytest.mark.parametrize("pcid", [True, False])
def test_a_space_is_looked_up_among_tags_only_where_there_are_tags(pcid: bool) -> None:
    system = System("sh", "-c", "echo a | cat", pcid=pcid)
    system.run()
    counts = system.kernel.machine.core.state.counts
    assert bool(counts[costs.SPACE_LOAD]) == pcid
    assert counts[costs.CR3_WRITE_TAGGED if pcid else costs.CR3_WRITE] > 3
