"""The demo of random updates: three ways to the same table, and what each needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kernel.boot import Config
from labs.claim import Options
from labs.demos import gups


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    return gups.run(Options()).data


def test_the_three_ways_come_to_the_same_table(data: dict[str, Any]) -> None:
    assert data["equal"]
    assert len({way["checksum"] for way in data["ways"].values()}) == 1
    assert {way["updates"] for way in data["ways"].values()} == {gups.BATCHES * 16}


def test_each_way_makes_the_same_number_of_visits_by_its_own_means(data: dict[str, Any]) -> None:
    visits, ways = gups.BATCHES + gups.PARTS, data["ways"]
    assert ways["jmp"]["switches"] == visits + 1
    assert ways["mp"]["messages"] == visits + gups.PARTS
    assert ways["map"]["maps"] >= visits
    assert ways["map"]["switches"] == ways["map"]["messages"] == ways["jmp"]["messages"] == 0


def test_a_client_that_maps_anew_writes_page_tables_at_every_visit(data: dict[str, Any]) -> None:
    ways = data["ways"]
    assert ways["map"]["page_table_writes"] > gups.BATCHES > ways["jmp"]["page_table_writes"]


def test_the_seed_decides_the_table_and_a_trace_is_left(
    data: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "t.vtrace"
    other = gups.run(Options(Config(seed=data["seed"] + 1), path))
    assert other.holds
    assert other.data["ways"]["jmp"]["checksum"] != data["ways"]["jmp"]["checksum"]
    assert path.stat().st_size > 0
