"""The benchmark and the soaks, in small sizes: what they report, not how long they take."""

from __future__ import annotations

import json

import pytest

from hw.host import UserError
from hw.machine import MachineConfig
from kernel import invariants
from kernel.abi.errno import Panic
from tests import bench, soak
from tests.bench import guest, rows
from tests.bench.floor import Bare, Faulting, PublicApi, Switching
from tests.bench.measure import Load, Missing, Reading, best, cost, slope, speed
from tests.bench.rows import ROWS, Row
from userland.programs import read_program

# Measuring ----------------------------------------------------------------------------------


def test_speed_and_cost_are_inverse_ratios() -> None:
    assert cost(3.0, 2.0).ratio == 1.5
    assert speed(4.0, 3.0).ratio == 0.75


def test_best_takes_turns_and_keeps_the_least_of_each() -> None:
    first, second, order = iter([3.0, 1.0]), iter([2.0, 5.0]), []

    def timing(name: str, values: object) -> float:
        order.append(name)
        return next(values)  # type: ignore[call-overload, no-any-return]

    assert best(2, lambda: timing("a", first), lambda: timing("b", second)) == [1.0, 2.0]
    assert order == ["a", "b", "a", "b"]


def test_slope_does_not_contain_the_cost_of_starting() -> None:
    assert slope(1, 10, 30, lambda n: 7 + 2.0 * n) == [pytest.approx(2.0)]


@pytest.mark.parametrize(
    ("goal", "reading", "met"),
    [
        ("<= 2", Reading(9, 5, 1.8), True),
        ("<= 2", Reading(1, 0.4, 2.5), False),
        (">= 0.9", Reading(1, 1, 0.89), False),
        ("<= 100 ms", Reading(99, 1, 99), True),
        ("", Reading(1), None),
    ],
)
def test_a_goal_bounds_the_ratio_or_with_a_unit_the_value(
    goal: str, reading: Reading, met: bool | None
) -> None:
    assert Row("x", "ms", goal, "", lambda: reading).met(reading) == met


def test_each_row_has_its_own_name_and_a_description() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(row.doc.endswith(".") for row in ROWS)


# The floor ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("floor", "words"),
    [
        (Bare, ["hello"]),
        (Bare, ["matmul", "20"]),
        (Faulting, ["pages", "50"]),
        (Switching, ["switcher", "20"]),
        (PublicApi, ["nullcall", "20"]),
    ],
)
def test_a_program_runs_to_its_end_on_the_bare_engine(
    floor: type[Bare] | type[PublicApi], words: list[str]
) -> None:
    bare = floor(read_program(words[0]), [word.encode() for word in words])
    bare.finish()
    assert (bare.twin if isinstance(bare, PublicApi) else bare).done


def test_the_bare_engine_names_the_address_of_a_programs_fault() -> None:
    stray = guest.elf(b"\x48\x8b\x04\x25\x10\x00\x00\x00")  # mov rax, [0x10]
    with pytest.raises(Exception, match=f"{guest.ENTRY:#x}"):
        Bare(stray, []).finish()


# The programs -------------------------------------------------------------------------------


def test_the_copy_on_write_program_copies_each_page_once() -> None:
    counts = {}
    for writes in (False, True):
        kernel, work = Load(guest.cow_program(20, writes=writes)).start()
        work()
        counts[writes] = kernel.taken
    assert counts[True] - counts[False] == 20


def test_the_exec_program_execs() -> None:
    path = b"/bin/nothing"
    program = guest.exec_program(3, path)
    kernel, work = Load(program, files=((path, guest.NOTHING),)).start()
    work()
    assert kernel.memory.spaces_made == 1 + 2 * 3


def test_a_load_that_fails_is_no_measurement() -> None:
    with pytest.raises(RuntimeError, match="status"):
        Load(guest.elf(guest.call(guest.EXIT, 3))).time()


# The command --------------------------------------------------------------------------------


@pytest.fixture
def two_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> Reading:
        raise Missing("it is not there")

    made = [
        Row("a/one", "us", "<= 2", "One.", lambda: Reading(3.0, 2.0, 1.5)),
        Row("a/two", "us", "", "Two.", absent),
        Row("ab", "us", "<= 1", "Three.", lambda: Reading(1234.5, 1000.0, 1.2)),
    ]
    monkeypatch.setattr(bench, "ROWS", made)


@pytest.mark.usefixtures("two_rows")
def test_json_holds_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--json", "a"]) == 0
    out = capsys.readouterr()
    assert json.loads(out.out) == [
        {
            "name": "a/one",
            "value": 3.0,
            "unit": "us",
            "baseline": 2.0,
            "ratio": 1.5,
            "references": {},
        }
    ]
    assert "a/two: it is not there" in out.err


@pytest.mark.usefixtures("two_rows")
def test_the_table_says_which_goals_are_met(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["a/one", "3", "2", "us", "1.50", "<=", "2", "met"]
    assert lines[2].strip() == "One."
    assert lines[3].split(maxsplit=1) == ["a/two", "it is not there"]
    assert lines[4].split() == ["ab", "1234", "1000", "us", "1.20", "<=", "1", "MISSED"]


@pytest.mark.usefixtures("two_rows")
def test_an_unknown_row_is_refused_in_a_sentence() -> None:
    with pytest.raises(UserError, match="no row b"):
        bench.main(["b"])


def test_a_real_row_can_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "best", lambda _, *timings: best(1, *timings))
    reading = rows.hello()
    assert reading.value > 0
    assert reading.baseline
    assert reading.ratio


# Soaks --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("many", "count"),
    [(soak.mutated_elfs, 40), (soak.wild_calls, 17), (soak.checkpoints, 9), (soak.shares, 8)],
)
def test_a_small_soak_finds_nothing(many: object, count: int) -> None:
    report = many(count, 11)  # type: ignore[operator]
    assert not report.failures, report.failures
    assert sum(report.outcomes.values()) == count


def test_a_case_is_decided_by_seed_and_number() -> None:
    assert soak.mutated_elf(3, 5) == soak.mutated_elf(3, 5)
    assert soak.mutated_elf(3, 5) != soak.mutated_elf(3, 6)
    assert soak.mutated_elf(3, 5) != soak.mutated_elf(4, 5)


def test_failures_are_grouped_by_cause_and_can_be_repeated(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def case(_seed: int, number: int) -> str:
        if number % 2:
            raise Panic(f"number {number} is odd")
        return "even"

    monkeypatch.setitem(soak.SOAKS, "elfs", soak.Soak(case, 6))
    assert soak.main(["elfs", "--seed", "9"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("run.py soak elfs --seed 9 --first 1 --count 1: Panic: number 1 is")
    assert lines[1].strip() == "and 2 more of this kind"
    assert lines[2] == "elfs, seed 9: 6 cases: 3 even, 3 failed; 3 failures"


def test_a_soak_notices_a_leaked_frame() -> None:
    kernel, _ = Load(guest.NOTHING, machine=MachineConfig(ram_mib=8)).start()
    used_before = set(kernel.memory.frames.used())
    kernel.memory.frames.allocate(1)
    with pytest.raises((AssertionError, Panic)):
        soak.run_and_clear(kernel, used_before)


def test_a_soak_kills_programs_that_never_end() -> None:
    kernel, _ = Load(read_program("spin"), machine=MachineConfig(ram_mib=8)).start()
    assert soak.run_and_clear(kernel, set(range(1 << 11))) == "runs on"
    assert not kernel.tasks.threads
    invariants.check(kernel)
