"""Each kind of memory is freed by its own event and no other; an orphan uses up a limit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from hw.machine import MachineConfig
from hw.trace import TraceFile
from kernel.boot import Config
from labs.claim import Options
from labs.demos import lifetime
from labs.demos.lifetime import FATE, MOMENTS, run

SYNCS = ("rfc", "forward", "subtree")


@pytest.mark.parametrize("sync", SYNCS)
def test_a_kind_of_memory_keeps_all_its_frames_until_its_own_end(sync: str) -> None:
    moments = run(Options(Config(vas_sync=sync))).data["moments"]
    assert moments["written"]["frames"] == {"own": 32, "vas": 16, "segment": 8, "file": 4}
    for earlier, later in pairwise(MOMENTS):
        before, after = moments[earlier]["frames"], moments[later]["frames"]
        gone = {kind for kind in FATE if before[kind] != after[kind]}
        assert gone == {kind for kind, fate in FATE.items() if fate == later}
        assert not any(after[kind] for kind in gone)


@pytest.mark.parametrize("sync", SYNCS)
def test_not_one_frame_is_missing_when_all_is_deleted(sync: str) -> None:
    data = run(Options(Config(vas_sync=sync))).data
    assert data["moments"]["unlink"]["used"] == data["used_before"]
    assert data["moments"]["unlink"]["charged"] == 0


def test_each_deletion_gives_back_at_least_what_its_kind_held() -> None:
    moments = run(Options()).data["moments"]
    for earlier, later in pairwise(MOMENTS):
        held = sum(moments[earlier]["frames"].values()) - sum(moments[later]["frames"].values())
        assert moments[earlier]["used"] - moments[later]["used"] >= held


def test_the_vas_is_an_orphan_before_the_segment_that_it_shows() -> None:
    moments = run(Options()).data["moments"]
    orphans = [moments[name]["orphans"] for name in MOMENTS]
    assert orphans == [[], ["VAS left"], ["VAS left"], ["segment left"], [], []]


def test_the_user_is_charged_for_an_orphan_but_not_for_ended_processes() -> None:
    moments = run(Options()).data["moments"]
    assert moments["exit"]["charged"] == moments["written"]["charged"]
    assert moments["vas_delete"]["charged"] == moments["vas_delete"]["frames"]["segment"]


@pytest.mark.parametrize("sync", ["forward", "subtree"])
def test_an_orphan_at_the_limit_was_stopped_there_and_lets_nothing_be_made(sync: str) -> None:
    hog = run(Options(Config(vas_sync=sync))).data["hog"]
    assert hog["killed"]
    assert hog["charged"] == hog["limit"] == 256
    assert hog["create_beside_it"] == -12
    assert hog["create_after_its_deletion"] > 0


def test_under_rfc_a_view_is_charged_at_its_end_and_so_passes_the_limit() -> None:
    result = run(Options(Config(vas_sync="rfc")))
    assert result.holds
    assert not result.data["hog"]["killed"]
    assert result.data["hog"]["charged"] > result.data["hog"]["limit"]
    assert result.data["hog"]["create_beside_it"] == -12


def test_the_tools_list_what_the_demo_counted() -> None:
    hog = run(Options()).data["hog"]
    (_, _, _, _, _, vas, name), (*_, segment, notes, _) = (
        line.split() for line in hog["tools"] if "NAME" not in line
    )
    assert (name, notes, int(segment)) == ("hog", "notes", 32)
    assert 0 < int(vas) // 4 + int(segment) // 4 <= hog["charged"]


@pytest.mark.parametrize(
    "machine", [MachineConfig(cpus=4), MachineConfig(mmu="silicon"), MachineConfig(pcid=False)]
)
def test_it_holds_on_other_machines(machine: MachineConfig) -> None:
    assert run(Options(Config(machine, seed=7))).holds


def test_a_frame_that_was_released_too_early_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lifetime.FATE, "vas", "seg_delete")
    assert not run(Options()).holds


def test_the_text_fits_a_small_screen() -> None:
    assert len(run(Options()).text.splitlines()) <= 25


def test_a_trace_has_the_deletions(tmp_path: Path) -> None:
    run(Options(trace=tmp_path / "t.vtrace"))
    with TraceFile(tmp_path / "t.vtrace") as trace:
        gone = [r["name"] for r in trace if r.kind.name == "vas" and not r["alive"]]
    assert gone[:2] == [b"left", b"hog"]
