"""The demo of the store.

Both ways end with the same content, and a writer is alone inside.  A client that is killed inside,
at any moment, leaves a store that works.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hw.trace import Kind, Trace
from kernel import invariants, turns
from kernel.boot import Config, trace_header
from kernel.task.process import Signal
from kernel.vas.sharing import SEG_LOCK, AtSwitch
from kernel.wait.signals import SIGKILL, send
from labs.claim import Options
from labs.demos import store
from labs.demos.store import GETS, MESSAGES, SETS, SWITCH, Case
from labs.export import REGION
from tests.kernel.system import Run, System
from userland import build

Rows = dict[Case, dict[str, Any]]
SHORT_TURN = 41
"""Instructions in a turn.  A visit to the store takes about ten turns, so a kill can end it at
about ten places."""


@pytest.fixture(scope="module")
def rows() -> Rows:
    result = store.run(Options())
    assert result.holds
    return {
        Case(row["cores"], row["mix"], row["way"], row["clients"]): row
        for row in result.data["rows"]
    }


def cycles(rows: Rows, *case: Any) -> float:
    return float(rows[Case(*case)]["cycles_per_operation"])


def test_both_ways_end_with_the_same_content_on_any_number_of_cores(
    rows: Rows,
) -> None:
    assert set(rows) == set(store.CASES)
    for mix in (GETS, SETS):
        for clients in store.CLIENTS:
            same = [row["content"] for case, row in rows.items() if case[1::2] == (mix, clients)]
            assert len(same) == 4
            assert len(set(same)) == 1
    assert not any(row["wrong"] for row in rows.values())


@pytest.mark.parametrize("mix", [GETS, SETS])
def test_a_client_alone_is_faster_where_the_data_is_because_its_thread_stays(
    rows: Rows, mix: str
) -> None:
    assert cycles(rows, 1, mix, SWITCH, 1) * 1.5 < cycles(rows, 1, mix, MESSAGES, 1)
    inside, asked = (
        rows[Case(1, mix, way, 1)]["counts_per_operation"] for way in (SWITCH, MESSAGES)
    )
    assert inside["cr3_write_tagged"] == asked["cr3_write_tagged"] == 2
    assert "context_restore" not in inside
    assert asked["context_restore"] == 2


def test_readers_gain_from_more_cores_and_writers_wait_for_the_lock_or_the_server(
    rows: Rows,
) -> None:
    def gain(mix: str, way: str) -> float:
        return cycles(rows, 4, mix, way, 1) / cycles(rows, 4, mix, way, 4)

    assert gain(GETS, SWITCH) > 3 > gain(GETS, MESSAGES)
    assert 1 < gain(SETS, MESSAGES) < gain(SETS, SWITCH) < 2


def test_the_seed_decides_the_figures() -> None:
    def figures(seed: int) -> dict[str, Any]:
        found = store.measure(Config(seed=seed), Case(4, SETS, SWITCH, 3))
        return {name: value for name, value in found.items() if "host" not in name}

    assert figures(3) == figures(3)
    assert figures(3) != figures(4)


def test_a_trace_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CASES", [Case(1, SETS, way, 1) for way in (SWITCH, MESSAGES)])
    monkeypatch.setattr(store, "text", lambda figures, right: "")
    assert store.run(Options(trace=tmp_path / "t.vtrace")).holds
    assert (tmp_path / "t.vtrace").stat().st_size > 0


def test_what_lab_9_asks_for_stands_between_markers() -> None:
    texts = [path.read_text("utf-8") for path in sorted((build.PROGRAMS / "store").iterdir())]
    parts = [region["part"] for text in texts for region in REGION.finditer(text)]
    assert sorted(parts) == [
        f"lab9.{part}" for part in ("add", "attach", "get", "insert", "lock", "lookup", "set")
    ]
    assert sum(text.count("BEGIN SOLUTION") for text in texts) == len(parts)


# The lock -----------------------------------------------------------------------------------------


def system(way: str, *numbers: int, **wishes: Any) -> System:
    return System("store", way, *map(str, numbers), sharing="switch", **wishes)


def run(way: str, *numbers: int, **wishes: Any) -> Run:
    return system(way, *numbers, **wishes).run()


@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("seed", range(1, 4))
def test_four_clients_lose_no_update_and_no_addition(cpus: int, seed: int) -> None:
    inside = run(SWITCH, 0, 4, 60, seed, cpus=cpus, seed=seed)
    asked = run(MESSAGES, 0, 4, 60, seed, cpus=cpus, seed=seed)
    assert (inside.exit_code, asked.exit_code) == (0, 0)
    assert inside.output == asked.output


def test_without_the_lock_updates_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AtSwitch, "_needed", lambda self, attachment: [])
    monkeypatch.setattr("kernel.turns.TURN_INSTRUCTIONS", SHORT_TURN)
    done = run(SWITCH, 0, 4, 60, 1, cpus=2, turns=10**6)
    assert done.status
    assert b"is wrong" in done.output


@pytest.mark.parametrize("mmu", ["model", "silicon"])
@pytest.mark.parametrize("sync", ["rfc", "forward", "subtree"])
def test_the_store_is_the_same_under_every_policy_and_on_both_mmus(mmu: str, sync: str) -> None:
    done = run(SWITCH, 50, 2, 4, mmu=mmu, sync=sync, checked=True, ram=4)
    assert done.exit_code == 0
    assert done.output == run(MESSAGES, 50, 2, 4).output


def test_without_locks_at_switches_the_store_says_what_it_needs() -> None:
    done = System("store", SWITCH).run()
    assert done.exit_code == 1
    assert b"--vas-sharing switch" in done.output


@pytest.mark.parametrize("reads", [5, 50, 95])
def test_a_writer_is_alone_inside_by_the_clocks_of_the_cores(reads: int) -> None:
    made = system(SWITCH, reads, 4, 60, cpus=4)
    came: dict[int, tuple[int, bool]] = {}
    visits: list[tuple[int, int, bool]] = []

    def note(kind: Kind, values: tuple[Any, ...]) -> None:
        if kind is SEG_LOCK:
            _, tid, how = values
            if how:
                came[tid] = (made.kernel.tasks.now(), how == 2)
            else:
                since, alone = came.pop(tid)
                visits.append((since, made.kernel.tasks.now(), alone))

    made.kernel.machine.attach_trace(Trace(trace_header(made.kernel), None, note))
    turns.run(made.kernel, lambda: made.process.zombie)
    assert len(visits) > 240
    visits.sort()
    for i, (_, left, alone) in enumerate(visits):
        for since, _, beside in visits[i + 1 :]:
            if since >= left:
                break
            assert not alone
            assert not beside


def killed_inside(place: int, reads: int, turn: int, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A client dies after `place` turns inside, of `turn` instructions each."""
    monkeypatch.setattr("kernel.turns.TURN_INSTRUCTIONS", turn)
    made = system(SWITCH, reads, 3, 30, cpus=2, turns=10**6)
    kernel, spent = made.kernel, [0]
    segments = kernel.vases.segments

    def inside() -> int:
        """The client that holds the lock, unless it is the first process."""
        holders = [tid for segment in segments.values() for tid in segment.holders]
        return next((tid for tid in holders if tid > 1), 0)

    def in_the_middle() -> bool:
        spent[0] = spent[0] + 1 if inside() else 0
        return spent[0] == place or made.process.zombie

    turns.run(kernel, in_the_middle)
    victim = kernel.tasks.threads[inside()]
    send(kernel.tasks, victim.process, Signal(SIGKILL))
    turns.run(kernel, lambda: victim.process.zombie or made.process.zombie)
    assert not any(victim.tid in segment.holders for segment in segments.values())
    invariants.check(kernel)
    return made.run()


@pytest.mark.parametrize("place", range(1, 11))
def test_a_client_killed_inside_releases_the_lock_and_leaves_a_working_store(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = killed_inside(place, 10, SHORT_TURN * 2 // 3, monkeypatch)  # the seed adds up to half
    assert done.exit_code == 0, done.output
    assert b"1 of 3 clients killed" in done.output
    assert b"wrong" not in done.output
