"""A compartment stops a stray read but not hijacked code.  A registered entry stops both."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.machine import MachineConfig
from hw.trace import TraceFile
from kernel.boot import Config
from labs.claim import Options
from labs.demos.compartment import run


def test_a_stray_read_ends_in_a_sigsegv_at_the_secret() -> None:
    data = run(Options()).data
    assert data["stray_read"]["deaths"] == [["SIGSEGV", data["place"]]]
    assert not data["stray_read"]["leaked"]


def test_hijacked_code_gets_exactly_the_bytes_that_lie_in_the_frame() -> None:
    data = run(Options()).data
    assert data["hijacked"]["printed"] == [data["secret"]]
    assert data["hijacked"]["switch"] == [0, 0]


def test_behind_a_gate_the_same_code_gets_nothing() -> None:
    data = run(Options()).data
    assert data["gated"]["printed"] == ["-"]
    assert data["gated"]["deaths"] == []


@pytest.mark.parametrize("sharing", ["attach", "switch"])
def test_an_owner_that_attaches_anew_meets_the_same_gate(sharing: str) -> None:
    anew = run(Options(Config(vas_sharing=sharing))).data["attached_anew"]
    assert anew["attach"] == [0]
    assert anew["printed"] == ["-"]
    assert anew["deaths"] == []


@pytest.mark.parametrize("sync", ["rfc", "forward", "subtree"])
@pytest.mark.parametrize("cpus", [1, 4])
def test_it_holds_under_every_policy_and_on_several_cores(sync: str, cpus: int) -> None:
    assert run(Options(Config(MachineConfig(cpus=cpus), vas_sync=sync))).holds


def test_the_seed_decides_the_secret() -> None:
    texts = [run(Options(Config(seed=seed))).text for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_trace_has_the_registration_and_the_signal(tmp_path: Path) -> None:
    run(Options(trace=tmp_path / "t.vtrace"))
    with TraceFile(tmp_path / "t.vtrace") as trace:
        assert any(r.kind.name == "signal" and r["number"] == 11 for r in trace)
