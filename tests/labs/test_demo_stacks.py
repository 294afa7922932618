"""Two stacks at one address share a frame in one address space, and have a frame each in two."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.machine import MachineConfig
from hw.trace import TraceFile
from kernel.boot import Config
from labs.claim import Options
from labs.demos.stacks import WHERE, run

SYNCS = ("rfc", "forward", "subtree")
ONE, VIEWS, PROCESSES = WHERE


@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_it_holds_under_every_policy_and_on_several_cores(sync: str, cpus: int) -> None:
    assert run(Options(Config(MachineConfig(cpus=cpus), vas_sync=sync))).holds


@pytest.mark.parametrize("seed", range(2, 8))
def test_no_interleaving_changes_what_is_found(seed: int) -> None:
    data = run(Options(Config(MachineConfig(cpus=2), seed=seed))).data
    assert [[row["found"] for row in data[name]] for name in WHERE] == [
        ["B", "B"],
        ["A", "B"],
        ["A", "B"],
    ]


@pytest.mark.parametrize("sync", SYNCS)
def test_both_stack_pointers_are_the_same_to_the_byte(sync: str) -> None:
    data = run(Options(Config(vas_sync=sync))).data
    for first, second in (data[name] for name in WHERE):
        assert first["rsp"] == second["rsp"]
        assert first["variable"] == second["variable"] > first["rsp"]


@pytest.mark.parametrize("sync", SYNCS)
def test_one_space_has_one_frame_there_and_two_views_have_two(sync: str) -> None:
    data = run(Options(Config(vas_sync=sync))).data
    assert len({row["pfn"] for row in data[ONE]}) == 1
    assert len({row["pfn"] for row in data[VIEWS]} - {0}) == 2
    assert len({row["pfn"] for row in data[PROCESSES]} - {0}) == 2


def test_threads_are_of_one_process_and_in_two_vases_and_processes_in_one_vas() -> None:
    data = run(Options()).data
    first, second = data[VIEWS]
    assert first["pid"] == second["pid"]
    assert first["vid"] != second["vid"]
    assert [row["tid"] for row in data[ONE]] == [first["tid"], second["tid"]]
    one, other = data[PROCESSES]
    assert one["pid"] != other["pid"]
    assert one["vid"] == other["vid"] > 0
    assert one["vas_pfn"] == other["vas_pfn"] > 0


def test_each_thread_goes_home_and_back_three_times() -> None:
    assert run(Options()).data["switches"] == 2 * (1 + 3 * 2 + 1)


def test_a_pointer_means_something_else_in_the_other_view() -> None:
    assert run(Options()).data["followed"] == "B"


def test_a_second_mapping_at_the_place_is_refused() -> None:
    assert run(Options()).data["second_mapping"] == [-17]


@pytest.mark.parametrize("sync", SYNCS)
def test_a_thread_that_goes_home_on_a_stack_of_the_vas_faults(sync: str) -> None:
    data = run(Options(Config(vas_sync=sync))).data
    ((signal, address),) = data["fall"]
    assert signal == "SIGSEGV"
    assert address & ~0xFFF == data[VIEWS][0]["variable"] & ~0xFFF


def test_a_segment_on_the_stack_is_a_conflict_that_names_both() -> None:
    data = run(Options()).data
    assert data["attach_over_the_stack"] == [-14]
    assert "[stack]" in data["conflict"][0]
    assert "[segment clash]" in data["conflict"][0]


@pytest.mark.parametrize("machine", [MachineConfig(mmu="silicon"), MachineConfig(pcid=False)])
def test_it_holds_on_other_machines(machine: MachineConfig) -> None:
    assert run(Options(Config(machine, vas_sharing="switch"))).holds


def test_the_text_fits_a_small_screen() -> None:
    assert len(run(Options()).text.splitlines()) <= 25


def test_a_trace_has_the_switches_and_the_conflict(tmp_path: Path) -> None:
    run(Options(trace=tmp_path / "t.vtrace"))
    with TraceFile(tmp_path / "t.vtrace") as trace:
        names = [record.kind.name for record in trace]
    assert names.count("conflict") == 1
    assert names.count("vas_switch") > 16
