"""The programs on address spaces: the same outcome with every seed and number of cores."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kernel.vas.vases import SYNCS
from tests.kernel.system import System, boot_program
from userland import build

SEEDS = pytest.mark.parametrize("seed", [1, 2, 7])
CPUS = pytest.mark.parametrize("cpus", [1, 2])


@SEEDS
@CPUS
def test_under_rfc_the_thread_inside_cannot_come_back_and_both_regions_are_named(
    cpus: int, seed: int
) -> None:
    run = boot_program("vas_brk", cpus=cpus, seed=seed, sync="rfc")
    assert run.exit_code == 1
    told, conflict = run.output.decode().splitlines()
    assert "Bad address at each of 3 tries" in told
    (one, first), (two, second) = re.findall(r"\[heap\] (0x\w+)-(0x\w+)", conflict)
    assert one == two
    assert first != second
    assert any(b"layout conflict: [heap]" in line for line in run.logs)


@SEEDS
@CPUS
@pytest.mark.parametrize("sync", ["subtree", "forward"])
def test_under_the_others_it_is_one_heap(sync: str, cpus: int, seed: int) -> None:
    run = boot_program("vas_brk", cpus=cpus, seed=seed, sync=sync)
    assert run.exit_code == 0
    *rounds, last = run.output.decode().splitlines()
    pages = [int(page, 16) for line in rounds for page in re.findall(r"at (0x\w+)", line)]
    assert pages == list(range(pages[0], pages[0] + 6 * 4096, 4096)), "nothing twice, no hole"
    pushed = int(re.findall(r"pushed (\d+)", last)[0])
    assert (pushed == 0) == (sync == "subtree")


def test_the_policies_have_three_different_outcomes() -> None:
    assert len({boot_program("vas_brk", sync=sync).output for sync in SYNCS}) == 3


@CPUS
@pytest.mark.parametrize("mmu", ["model", "silicon"])
@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("items", [1, 20, 5000])
def test_a_list_in_a_segment_goes_from_process_to_process(
    items: int, sync: str, mmu: str, cpus: int
) -> None:
    run = boot_program("vas_heap", str(items), cpus=cpus, sync=sync, mmu=mmu)
    assert run.exit_code == 0
    second, third, free = run.output.decode().splitlines()
    assert second.endswith(f"sum {items * (items - 1) // 2}")
    assert third.endswith(f"sum {2 * items * (2 * items - 1) // 2}")
    assert free.endswith("bytes in 1 piece")


@pytest.fixture(scope="module")
def heap_killed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("heap") / "heap_killed"
    assert build.cc([str(Path(__file__).with_name("heap_killed.c")), "-O1", "-o", str(out)]) == 0
    return out.read_bytes()


@pytest.mark.parametrize("sync", ["subtree", "forward", "rfc"])
@pytest.mark.parametrize("first", [30_000, 30_007])
def test_a_heap_survives_the_death_of_its_users(heap_killed: bytes, sync: str, first: int) -> None:
    """At any instruction, its lock held or not: the next user goes on, and no block is in two."""
    system = System(heap_killed, str(first), "29", "25", sync=sync, traced=False, turns=200_000)
    run = system.run()
    assert (run.output, run.exit_code) == (b"the heap lives\n", 0)


def test_a_heap_survives_on_two_cores(heap_killed: bytes) -> None:
    """The next user may already wait for the lock."""
    system = System(heap_killed, "30000", "53", "25", cpus=2, traced=False, turns=400_000)
    run = system.run()
    assert (run.output, run.exit_code) == (b"the heap lives\n", 0)
