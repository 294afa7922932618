"""Every demo runs, holds, and is the same for the same seed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kernel.boot import Config
from kernel.vases import SYNCS
from labs import demo
from labs.demo import Options


@pytest.mark.parametrize("sync", SYNCS)
def test_three_views_of_one_address_are_three_frames(sync: str) -> None:
    result = demo.every_demo()["views"].run(Options(Config(vas_sync=sync)))
    assert result.holds
    *inside, home = result.data["views"]
    assert [row["says"] for row in inside] == ["red", "green", "blue"]
    assert len({row["cr3"] for row in result.data["views"]}) == 4
    assert home["pfn"] == 0


@pytest.mark.parametrize("sync", SYNCS)
def test_what_one_process_linked_another_follows(sync: str) -> None:
    result = demo.every_demo()["share"].run(Options(Config(vas_sync=sync)))
    assert result.holds
    built, found = result.data["processes"]
    assert built["pid"] != found["pid"]
    assert (built["alive"], found["alive"]) == (False, True)
    assert (built["root"], built["sum"]) == (found["root"], found["sum"])
    assert found["words"] == sorted(set(found["words"]))
    assert len(found["words"]) == found["nodes"] == 10
    assert found["pfn"] == found["held"] > 0


def test_the_same_seed_gives_the_same_and_json_can_be_read() -> None:
    views, options = demo.every_demo()["views"], Options(replace(Config(), seed=7))
    first, second = views.run(options), views.run(options)
    assert first == second
    assert json.loads(json.dumps(first.data)) == first.data


def test_a_recording_is_made(tmp_path: Path) -> None:
    file = tmp_path / "views.vtrace"
    assert demo.main(["views", "--trace", str(file)]) == 0
    assert file.stat().st_size
