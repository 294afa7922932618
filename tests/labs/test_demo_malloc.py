"""A free list in one view with blocks in another loses blocks and hands out unmapped ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.machine import MachineConfig
from hw.trace import TraceFile
from kernel.boot import Config
from labs.claim import Options
from labs.demos.malloc import run

SYNCS = ("rfc", "forward", "subtree")


@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("cpus", [1, 4])
def test_it_holds_under_every_policy_and_on_several_cores(sync: str, cpus: int) -> None:
    assert run(Options(Config(MachineConfig(cpus=cpus), vas_sync=sync))).holds


@pytest.mark.parametrize("sync", SYNCS)
def test_a_block_of_malloc_belongs_to_its_process_and_its_address_means_another_elsewhere(
    sync: str,
) -> None:
    malloc = run(Options(Config(vas_sync=sync))).data["malloc"]
    assert not malloc["in_vas"]
    assert malloc["finds"] == "second"
    assert malloc["pages"] == [1, 1, 1]
    assert malloc["deaths"] == []


@pytest.mark.parametrize("sync", SYNCS)
def test_blocks_in_the_vas_are_lost_with_every_list_that_knew_them(sync: str) -> None:
    mapped = run(Options(Config(vas_sync=sync))).data["mapped"]
    assert mapped["in_vas"]
    assert mapped["finds"] == "first"
    assert mapped["pages"] == [9, 17, 25]


@pytest.mark.parametrize("sync", SYNCS)
def test_a_list_at_home_offers_a_block_that_only_the_vas_has(sync: str) -> None:
    mapped = run(Options(Config(vas_sync=sync))).data["mapped"]
    ((signal, address, within),) = mapped["deaths"]
    assert signal == "SIGSEGV"
    assert within
    assert address > mapped["pointer"]


@pytest.mark.parametrize("sync", SYNCS)
def test_a_vas_heap_finds_and_reuses_what_others_allocated(sync: str) -> None:
    heap = run(Options(Config(vas_sync=sync))).data["vas_heap"]
    assert heap["in_vas"]
    assert heap["finds"] == "first"
    assert heap["pages"] == [9, 9, 9]
    assert heap["deaths"] == []


@pytest.mark.parametrize("machine", [MachineConfig(mmu="silicon"), MachineConfig(pcid=False)])
def test_it_holds_on_other_machines(machine: MachineConfig) -> None:
    assert run(Options(Config(machine, seed=7, vas_sharing="switch"))).holds


def test_the_text_fits_a_small_screen() -> None:
    assert len(run(Options()).text.splitlines()) <= 25


def test_a_trace_has_the_fault_that_ends_the_program(tmp_path: Path) -> None:
    run(Options(trace=tmp_path / "t.vtrace"))
    with TraceFile(tmp_path / "t.vtrace") as trace:
        assert any(r.kind.name == "signal" and r["number"] == 11 for r in trace)
