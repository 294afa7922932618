"""A script has the same output on one core and on eight, under both MMUs.  No thread is left
asleep, and no TLB ever has a translation that the tables do not have."""

from __future__ import annotations

from typing import Any

import pytest

from kernel import invariants
from kernel.abi.errno import Panic
from kernel.kernel import Kernel
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


def outcome(**wishes: Any) -> tuple[bytes, int]:
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
