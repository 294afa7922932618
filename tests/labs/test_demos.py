"""Every demo runs, its claim holds, and the same seed gives the same result."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hw.host import UserError
from hw.machine import MachineConfig
from hw.trace import TraceFile
from kernel.boot import Config
from kernel.vas.vases import SYNCS
from labs import claim, demo
from labs.claim import Options
from labs.demos import store


@pytest.fixture(autouse=True)
def _short_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """How its figures come out is the business of test_demo_store.py."""
    monkeypatch.setattr(store, "OPERATIONS", 20)


@pytest.mark.parametrize("sync", SYNCS)
def test_three_views_of_one_address_are_three_frames(sync: str) -> None:
    result = demo.every_demo()["views"].run(Options(Config(vas_sync=sync)))
    assert result.holds
    *inside, home = result.data["views"]
    assert [row["says"] for row in inside] == ["red", "green", "blue"]
    assert len({row["cr3"] for row in result.data["views"]}) == 4
    assert home["pfn"] == 0


@pytest.mark.parametrize("sync", SYNCS)
def test_a_process_follows_pointers_that_another_process_stored(sync: str) -> None:
    result = demo.every_demo()["share"].run(Options(Config(vas_sync=sync)))
    assert result.holds
    built, found = result.data["processes"]
    assert built["pid"] != found["pid"]
    assert (built["alive"], found["alive"]) == (False, True)
    assert (built["root"], built["sum"]) == (found["root"], found["sum"])
    assert found["words"] == sorted(set(found["words"]))
    assert len(found["words"]) == found["nodes"] == 10
    assert found["pfn"] == found["held"] > 0


WITHOUT_HOST_TIME = ["compartment", "conflict", "lifetime", "malloc", "share", "stacks", "views"]


@pytest.mark.parametrize("name", WITHOUT_HOST_TIME)
def test_the_same_seed_gives_the_same_text_figures_and_trace(name: str, tmp_path: Path) -> None:
    show = demo.every_demo()[name].run
    files = [tmp_path / "first", tmp_path / "second"]
    first, second = (show(Options(replace(Config(), seed=7), file)) for file in files)
    assert first == second
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_recording_is_made(tmp_path: Path) -> None:
    file = tmp_path / "views.vtrace"
    assert demo.main(["views", "--trace", str(file)]) == 0
    assert file.stat().st_size


@pytest.mark.parametrize("seed", [1, 7])
def test_a_heap_in_two_views_has_three_outcomes_and_a_segment_at_home_none_of_them(
    seed: int,
) -> None:
    conflict, options = demo.every_demo()["conflict"], Options(Config(seed=seed))
    result = conflict.run(options)
    assert result.holds
    assert "[heap]" in result.data["rfc"]["conflicts"][0]
    assert result.data["segments"]["pushed"] is None
    assert result == conflict.run(options)


@pytest.mark.parametrize("name", demo.every_demo())
def test_a_demo_fits_a_projector_and_has_json_and_a_trace(name: str, tmp_path: Path) -> None:
    trace = tmp_path / "t.vtrace"
    result = demo.every_demo()[name].run(Options(trace=trace))
    assert result.holds
    assert max(map(len, result.text.splitlines())) <= claim.COLUMNS
    assert len(result.text.splitlines()) <= 40
    assert json.loads(json.dumps(result.data)) == result.data
    with TraceFile(trace) as file:
        assert sum(record.kind.name == "syscall" for record in file) > 10


@pytest.mark.parametrize("name", demo.every_demo())
def test_its_text_keeps_its_width_on_another_machine(name: str) -> None:
    config = Config(MachineConfig(mmu="silicon", pcid=False), vas_sync="forward")
    result = demo.every_demo()[name].run(Options(config))
    assert result.holds
    assert max(map(len, result.text.splitlines())) <= claim.COLUMNS


NEED_A_VAS = ["compartment", "gups", "malloc", "share", "stacks", "switch", "views"]


@pytest.mark.parametrize("name", NEED_A_VAS)
def test_where_a_demo_cannot_be_shown_it_says_why(name: str) -> None:
    """conflict shows its program's message, and lifetime sets the limit itself."""
    with pytest.raises(UserError, match=r"on this machine"):
        demo.every_demo()[name].run(Options(Config(vas_limit_mib=0)))


def test_the_list_has_a_form_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main(["list", "--json"]) == 0
    docs = {name: found.doc for name, found in demo.every_demo().items()}
    assert json.loads(capsys.readouterr().out) == docs
