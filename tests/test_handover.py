"""Hand-overs and the RFC's measurement, in small counts: what is counted, and what is said."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from hw.costs import CYCLES_PER_SECOND
from kernel.boot import Config
from kernel.sched import POLICIES
from labs.crossings import USER, Figure, Sample, counted
from labs.intervals import cycles
from tests.bench import handover
from tests.bench.handover import CALLS, HAND_OVERS, HandOvers
from tests.bench.vas import CONFIGS
from tests.kernel.system import boot_program
from tests.oracle import needs_linux, on_host
from userland.programs import BIN


def sample(figure: Figure, config: Config | None = None, rounds: int = 8) -> Sample:
    return counted(replace(figure, rounds=rounds), config or CONFIGS["ours"])


# The program ----------------------------------------------------------------------------------


@needs_linux
@pytest.mark.parametrize("figure", HAND_OVERS.values(), ids=lambda figure: figure.name)
def test_it_hands_over_on_linux_as_well(figure: Figure) -> None:
    words = figure.mode.split()
    run = boot_program("handover", *words, "20", cpus=2, turns=50_000)
    told = f"{words[0]}, two {words[1]}, 40 times\n"
    assert (run.output.decode(), run.exit_code) == (told, 0)
    assert on_host([BIN / "handover", *words, "20"]) == f"{told}status 0\n"


def test_it_knows_no_other_way() -> None:
    run = boot_program("handover", "shouting")
    assert run.exit_code == 2
    assert b"no way of handing over called shouting" in run.output


@pytest.mark.parametrize("mode", ["create", "attach", "switch", "between", "clock"])
def test_its_clock_shows_what_was_counted(mode: str) -> None:
    """To a nanosecond: a figure in counts, with the program's own instructions."""
    rounds = 400
    run = boot_program("handover", "-t", mode, str(rounds), turns=100_000)
    shown = [int(ns) for ns in re.findall(r": (\d+) ns each", run.output.decode())]
    figures = [figure for figure in CALLS.values() if figure.mode == mode]
    assert len(shown) == 2
    for ns, figure in zip(shown, [*figures, *figures][:2], strict=True):
        found = sample(figure, rounds=rounds)
        total = cycles(found.charged).value + found.warm[USER]
        assert abs(ns - total * 1e9 / CYCLES_PER_SECOND) < 3


# What is counted ------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("figure", HAND_OVERS.values(), ids=lambda figure: figure.name)
def test_a_hand_over_is_two_calls_and_one_pick(figure: Figure, policy: str) -> None:
    """A slice may end anywhere in a run, which costs or saves a part of a call."""
    found = sample(figure, replace(CONFIGS["ours"], sched=policy), rounds=50).warm
    assert found["syscall"] == pytest.approx(2, abs=0.1)
    for name in ("context_save", "context_restore", "schedule_pick"):
        assert found[name] == pytest.approx(1, abs=0.1)
    loads = found.get("cr3_write_tagged", 0)
    assert loads == pytest.approx(int(figure.name.endswith("processes")), abs=0.1)


def test_a_hand_over_does_not_depend_on_how_many_there_are() -> None:
    few, many = (sample(HAND_OVERS["pipe_processes"], rounds=rounds) for rounds in (5, 20))
    assert few.charged == many.charged
    assert few.cold != few.warm, "the other process has to start first"


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("figure", CALLS.values(), ids=lambda figure: figure.name)
def test_a_call_of_the_rfcs_measurement_is_measured_with_the_clock(
    figure: Figure, config: str
) -> None:
    found = sample(figure, CONFIGS[config]).warm
    assert found["syscall"] == 1 + (figure.name != "clock")
    loads = found.get("cr3_write_tagged" if config == "ours" else "cr3_write", 0)
    assert loads == figure.name.startswith("switch")
    assert ("record_create" in found) == (figure.name in ("create", "attach"))


def test_a_switch_in_and_a_switch_out_are_told_apart() -> None:
    """Without tags, what is behind the switch in shows in the number of refills."""
    config = CONFIGS["rfc"]
    inside, outside = (sample(CALLS[name], config) for name in ("switch_in", "switch_out"))
    assert inside.warm["walk_step"] != outside.warm["walk_step"]


# What is said ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report() -> HandOvers:
    forks = {config: {"fork_10": Sample({"syscall": 10.0}, {})} for config in CONFIGS}
    return handover.measure(CONFIGS, forks, rounds=6, policies=("rr", "fifo"))


def test_everything_is_in_the_text_and_it_fits(report: HandOvers) -> None:
    lines = handover.for_people(report)
    text = "\n".join(lines)
    assert all(f"  {name}: " in text for name in (*CALLS, *HAND_OVERS))
    assert all(f"{name} : switch" in text for name in HAND_OVERS)
    assert "fork_10 : create" in text
    assert "4.15" in text
    assert "7.52" in text
    assert max(map(len, lines)) <= 100


def test_policies_that_cost_the_same_share_a_line(report: HandOvers) -> None:
    [line] = [line for line in handover.for_people(report) if "semaphore_processes : s" in line][:1]
    assert line.endswith("ours, rr fifo")


def test_the_figures_are_there_for_machines(report: HandOvers) -> None:
    found = json.loads(json.dumps(handover.for_machines(report)))
    assert set(found["hand_overs"]["rfc"]["fifo"]) == set(HAND_OVERS)
    assert set(found["as_the_rfc_measured"]["ours"]) == set(CALLS)
    low, value, high = found["hand_over_ratios"]["ours"]["rr, pipe_processes : switch"]
    assert low < value < high


def test_in_a_ratio_the_clock_counts_on_no_side_or_on_both(report: HandOvers) -> None:
    def total(sample: Sample) -> float:
        return cycles(sample.charged).value

    calls = {name: total(found) for name, found in report.calls["ours"].items()}
    ratios = report.ratios()["ours"]
    handed = total(report.handed["ours"]["rr"]["futex_threads"])
    switch = (calls["switch_in"] + calls["switch_out"]) / 2 - calls["clock"]
    assert ratios["rr, futex_threads : switch"].value == pytest.approx(handed / switch)
    fork = total(report.forks["ours"]["fork_10"]) + calls["clock"]
    assert ratios["fork_10 : create"].value == pytest.approx(fork / calls["create"])
