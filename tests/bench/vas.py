"""`run.py bench vas`: the costs of VASes, beside the figures of the RFC and SpaceJMP.

It prints modelled cycles with intervals, in the RFC's configuration and in ours; hand-overs, and
the RFC's measurement as it was made; host time with its lower bound; and how the costs grow.
`labs.crossings` defines the figures, `tests.bench.handover` those of hand-overs, and
`tests.bench.growth` the curves.
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, dataclass
from typing import Any

from hw.costs import CYCLES_PER_SECOND
from hw.machine import MachineConfig
from kernel.boot import Config
from labs.crossings import FIGURES, WORKING_SET_PAGES, Sample, counted, host_us, whole_run
from labs.intervals import Interval, cycles, ratio
from tests.bench import handover
from tests.bench.floor import SwitchingViews
from tests.bench.growth import Curve, curves
from tests.bench.handover import HandOvers
from tests.bench.measure import cost, slope, timed
from userland.programs import read_program

NAME = "vas"
CONFIGS = {
    "ours": Config(),
    "rfc": Config(MachineConfig(pcid=False), vas_sync="rfc"),
}
"""The RFC's configuration: no tags on its Xeon E5620's kernel; an attach copies every region."""
WIDTH = 96


@dataclass(frozen=True, slots=True)
class Published:
    """A ratio that the RFC reports, and ours, which is `above` divided by `below`."""

    name: str
    above: str
    below: str
    above_ns: int
    below_ns: int
    why: str

    @property
    def ratio(self) -> float:
        return self.above_ns / self.below_ns


RFC = (
    Published(
        "process switch : VAS switch",
        "process_switch",
        "vas_switch",
        1944,
        468,
        "The RFC's process switch runs all of Linux's scheduler, with its locks, accounting and "
        "cold caches.  Ours makes one round-robin pick of 35 instructions and models no caches, so "
        "a VAS switch saves less here.  Without tags both switches also pay for the same TLB "
        "refills, which makes the ratio smaller still.",
    ),
    Published(
        "fork : vas_create",
        "fork_1000",
        "vas_create",
        150_491,
        20_003,
        "The RFC's vas_create allocates two mm_structs and makes a directory in sysfs.  Ours makes "
        "three records and one page table, and a server lists them on request.  The RFC does not "
        "give the size of the process that it forked, so ours has three sizes.",
    ),
)


@dataclass(frozen=True, slots=True)
class Foreign:
    """A figure in cycles that SpaceJMP reports, and the range in which ours should lie."""

    name: str
    figure: str
    untagged: dict[str, int]
    tagged: dict[str, int]
    why: str


SPACEJMP = (
    Foreign(
        "system call",
        "null_syscall",
        {"Barrelfish": 130, "DragonFly": 357},
        {},
        "The same by construction: this primitive is from that table.",
    ),
    Foreign(
        "VAS switch",
        "vas_switch",
        {"Barrelfish": 664, "DragonFly": 1127},
        {"Barrelfish": 462, "DragonFly": 807},
        "With tags ours equals Barrelfish's, whose kernel also finds a capability and writes CR3.  "
        "Without tags ours includes the TLB refills of the working set, and theirs does not.",
    ),
)


@dataclass(frozen=True, slots=True)
class Host:
    """Microseconds on this host, and the figures that have goals."""

    us: dict[str, dict[str, float]]
    floor_us: float
    over_floor: float

    def goals(self) -> dict[str, tuple[float, str, bool]]:
        """Name -> figure, bound, and whether it was met."""
        ours = self.us["ours"]
        cheaper = ours["process_switch"] / ours["vas_switch"]
        births = ours["fork_1000"] / ours["vas_create"]
        return {
            "VAS switch over its floor": (self.over_floor, "<= 1.3", self.over_floor <= 1.3),
            "process switch over VAS switch": (cheaper, "> 1", cheaper > 1),
            "fork of 1,000 pages over vas_create": (births, ">= 7", births >= 7),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All measurements of one run."""

    samples: dict[str, dict[str, Sample]]
    host: Host
    growth: list[Curve]
    hand_overs: HandOvers


def measure() -> Report:
    """All of it."""
    samples = {
        name: {figure.name: counted(figure, config) for figure in FIGURES.values()}
        for name, config in CONFIGS.items()
    }
    us = {
        name: {figure.name: host_us(figure, config) for figure in FIGURES.values()}
        for name, config in CONFIGS.items()
    }
    host, growth = Host(us, *over_floor()), curves(CONFIGS["ours"])
    forks = {
        config: {name: sample for name, sample in found.items() if name.startswith("fork_")}
        for config, found in samples.items()
    }
    return Report(samples, host, growth, handover.measure(CONFIGS, forks))


def over_floor() -> tuple[float, float]:
    """The lower bound of a switch of views in microseconds, and ours as a multiple of it.

    For the bound, the same program runs on an engine without an operating system.  It answers
    vas_switch by flushing the emulator's cache and does nothing else.
    """
    figure, program = FIGURES["vas_switch"], read_program("crossings")

    def ours(rounds: int) -> float:
        return whole_run(figure, CONFIGS["ours"], rounds)

    def bare(rounds: int) -> float:
        return timed(SwitchingViews(program, figure.words(rounds)).finish)

    switch, floor = slope(5, 100, 2_100, ours, bare)
    reading = cost(switch, floor)
    assert reading.ratio is not None
    return floor / figure.crossings * 1e6, reading.ratio


# For people ---------------------------------------------------------------------------------------


def main(*, as_json: bool) -> int:
    """Measure and print; returns 0."""
    report = measure()
    print(json.dumps(for_machines(report), indent=1) if as_json else for_people(report))
    return 0


def for_people(report: Report) -> str:
    parts = (
        _definitions(),
        _table(report),
        _published(report),
        handover.for_people(report.hand_overs),
        _host(report),
        _growth(report),
    )
    return "\n\n".join("\n".join(part) for part in parts)


def _definitions() -> list[str]:
    intro = (
        "Modelled cycles: the sum of what was counted, times the costs of hw/costs.py; in "
        "brackets the lowest and highest that their sources allow. A figure runs from the end of "
        "one system call to the end of the next, as named below, warm (second half of the rounds; "
        f"fork: the first one), with {WORKING_SET_PAGES} pages touched in between, one core; the "
        "program's own instructions are not in it. Configurations: ours (PCIDs, policy subtree), "
        "rfc (no PCIDs, policy rfc: attach copies every region)."
    )
    lines = textwrap.wrap(intro, WIDTH)
    for figure in FIGURES.values():
        text = f"  {figure.name:<18} {figure.first} to {figure.last}: {figure.doc}"
        lines += textwrap.wrap(text, WIDTH, subsequent_indent=" " * 21)
    return lines


def _table(report: Report) -> list[str]:
    lines = [f"{'modelled cycles':<18} {'ours':>32} {'rfc':>32}"]
    for name in FIGURES:
        cells = (cycles(report.samples[config][name].charged) for config in CONFIGS)
        lines.append(f"{name:<18} " + " ".join(f"{cell:,.0f}".rjust(32) for cell in cells))
    lines += ["", "counts of one crossing"]
    for name in FIGURES:
        for config in CONFIGS:
            counts = report.samples[config][name].warm
            text = ", ".join(f"{count:g} {primitive}" for primitive, count in counts.items())
            lines += _wrapped(f"{name}, {config}: {text}")
    return lines


def _published(report: Report) -> list[str]:
    lines = ["ratios, and the RFC's"]
    for row in RFC:
        figures = f"{row.above_ns:,} ns / {row.below_ns:,} ns = {row.ratio:.2f}"
        lines.append(f"  {row.name}: the RFC {figures}")
        for config, found in ratios(report, row).items():
            lines.append(f"    {config:<22} {found:.2f}")
        lines += _wrapped(row.why)
    lines += ["", "cycles, and SpaceJMP's"]
    for foreign in SPACEJMP:
        for kind, theirs, config in (
            ("", foreign.untagged, "rfc"),
            (", tagged", foreign.tagged, "ours"),
        ):
            if theirs:
                found = cycles(report.samples[config][foreign.figure].charged)
                said = ", ".join(f"{system} {figure:,}" for system, figure in theirs.items())
                lines.append(f"  {foreign.name}{kind}: {found:,.0f}; {said}")
        lines += _wrapped(foreign.why)
    return lines


def ratios(report: Report, row: Published) -> dict[str, Interval]:
    """Our figures in each configuration; for forks, in each size and also with an attach."""
    found = {}
    for config in CONFIGS:
        samples = report.samples[config]
        found[config] = ratio(samples[row.above].charged, samples[row.below].charged)
        if row.below == "vas_create":
            for above in ("fork_10", "fork_100"):
                found[f"{config}, {above}"] = ratio(
                    samples[above].charged, samples[row.below].charged
                )
            both = samples["vas_create_attach"].charged
            found[f"{config}, with attach"] = ratio(samples[row.above].charged, both)
    return found


def _host(report: Report) -> list[str]:
    lines = [f"{'host microseconds':<18} {'ours':>10} {'rfc':>10}"]
    for name in FIGURES:
        cells = [f"{us[name]:>10.2f}" for us in report.host.us.values()]
        lines.append(f"{name:<18} " + " ".join(cells))
    lines.append(f"{'switch, floor':<18} {report.host.floor_us:>10.2f}")
    for name, (figure, bound, met) in report.host.goals().items():
        lines.append(f"  {name}: {figure:.2f}, goal {bound}: {'met' if met else 'MISSED'}")
    return lines


def _growth(report: Report) -> list[str]:
    lines = ["growth, ours: tables allocated and entries written by one call, cycles, host time"]
    for curve in report.growth:
        lines.append(f"  {curve.name}: {curve.doc}")
        for p in curve.points:
            counts = f"{p.frames:>3} tables {p.writes:>4} entries {p.cycles:>7,} cycles"
            lines.append(f"    {p.x:>9,} {curve.x:<20} {counts} {p.host_us:>8.2f} us")
        met = "" if curve.most is None else f" (goal <= {curve.most})"
        flat = "counts do not grow" if curve.is_flat else "counts grow"
        lines.append(f"    {flat}; host time at the end x {curve.host_growth:.2f}{met}")
    return [*lines, *_wrapped(frames_per_vas(report))]


def frames_per_vas(report: Report) -> str:
    """Page-table frames, in words."""
    made = report.samples["ours"]["vas_create"].warm["table_allocate"]
    shown = report.samples["ours"]["vas_create_attach"].warm["table_allocate"] - made
    copied = report.samples["rfc"]["vas_create_attach"].warm["table_allocate"] - made
    return (
        f"Page-table frames: {made:g} for an empty VAS and {shown:g} for each attachment, which "
        f"shares the rest ({copied:g} where attach copies: policy rfc, for a small program)."
    )


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ")


# For machines -------------------------------------------------------------------------------------


def for_machines(report: Report) -> dict[str, Any]:
    return {
        "definitions": {
            figure.name: {"first": figure.first, "last": figure.last, "doc": figure.doc}
            for figure in FIGURES.values()
        },
        "clock_hz": CYCLES_PER_SECOND,
        "modelled_cycles": {
            config: {name: cycles(sample.charged).as_json() for name, sample in samples.items()}
            for config, samples in report.samples.items()
        },
        "cold_cycles": {
            config: {name: cycles(sample.cold).as_json() for name, sample in samples.items()}
            for config, samples in report.samples.items()
        },
        "counts": {
            config: {name: sample.warm for name, sample in samples.items()}
            for config, samples in report.samples.items()
        },
        "ratios": {
            row.name: {"rfc_measured": round(row.ratio, 2), "why": row.why}
            | {config: found.as_json() for config, found in ratios(report, row).items()}
            for row in RFC
        },
        **handover.for_machines(report.hand_overs),
        "host_us": report.host.us,
        "host_floor_us": report.host.floor_us,
        "goals": {
            name: {"figure": figure, "goal": bound, "met": met}
            for name, (figure, bound, met) in report.host.goals().items()
        },
        "growth": [
            {
                "name": curve.name,
                "x": curve.x,
                "flat": curve.is_flat,
                "host_growth": curve.host_growth,
                "points": [asdict(p) for p in curve.points],
            }
            for curve in report.growth
        ],
    }
