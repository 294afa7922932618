"""Hand-overs between processes and threads, and the RFC's measurement as it was made.

The RFC's author measured with a program that makes one call many times, on an empty VAS, touches
nothing, and reads the clock after each call.  `userland/programs/handover.c` does the same, and
lets two processes or threads hand each other the turn, under each scheduling policy.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kernel.boot import Config
from kernel.sched import POLICIES
from labs.crossings import Figure, Sample, counted
from labs.demos.switch import PARTS, parts
from labs.intervals import Counts, Interval, cycles, ratio

CLOCK = "clock_gettime"
ROUNDS = 50
MEANS = ("pipe", "futex", "semaphore")
KINDS = ("processes", "threads")
RFC_SWITCH, RFC_CREATE = 4.15, 7.52
WIDTH = 96
WHY_SWITCH = (
    "What remains up to the RFC's ratio is what its process switch did and ours does not: Linux's "
    "locks, accounting and choice of a core, and the caches that it left cold."
)
WHY_CREATE = (
    "What remains is the size of the process that the RFC forked, which it does not give; ours "
    "have 10, 100 and 1,000 pages."
)


def _call(name: str, doc: str, mode: str, through: str, kinds: int = 1, kind: int = 0) -> Figure:
    """A call as the RFC measured it: from one reading of the clock to the next."""
    return Figure(
        name,
        doc,
        mode=mode,
        first=CLOCK,
        last=CLOCK,
        rounds=ROUNDS,
        through=through,
        program="handover",
        kinds=kinds,
        kind=kind,
    )


CALLS = {
    figure.name: figure
    for figure in (
        _call("clock", "nothing: what reading the clock costs", "clock", ""),
        _call("switch_in", "vas_switch into an empty VAS", "switch", "vas_switch", 2, 0),
        _call("switch_out", "vas_switch(0), back home", "switch", "vas_switch", 2, 1),
        _call("switch_between", "vas_switch from one VAS to another", "between", "vas_switch"),
        _call("create", "vas_create", "create", "vas_create"),
        _call("delete", "vas_delete of an empty VAS", "create", "vas_delete"),
        _call("attach", "vas_attach of an empty VAS", "attach", "vas_attach"),
        _call("detach", "vas_detach", "attach", "vas_detach"),
    )
}
"""Each with a reading of the clock in it, as in the RFC."""


def _hand_over(means: str, kind: str) -> Figure:
    return Figure(
        f"{means}_{kind}",
        f"from one of two {kind} to the other by {means}, until it has the turn",
        mode=f"{means} {kind}",
        first="",
        last="",
        rounds=ROUNDS,
        crossings=2,
        program="handover",
        kinds=2,  # the rounds between two marks, then what is between these and the next
        marked=True,
    )


HAND_OVERS = {
    figure.name: figure for kind in KINDS for means in MEANS for figure in [_hand_over(means, kind)]
}


@dataclass(frozen=True, slots=True)
class HandOvers:
    """`calls` and `forks` by configuration and name; `handed` with the policy in between.

    In the ratios, a hand-over is compared with the mean of a switch in and a switch out, less the
    reading of the clock; a fork, with a reading of the clock, with a create.
    """

    calls: dict[str, dict[str, Sample]]
    handed: dict[str, dict[str, dict[str, Sample]]]
    forks: dict[str, dict[str, Sample]]

    def ratios(self) -> dict[str, dict[str, Interval]]:
        """Configuration -> what is compared -> how many times the other it is."""
        return {config: self._ratios(config) for config in self.calls}

    def _ratios(self, config: str) -> dict[str, Interval]:
        calls, clock = self.calls[config], self.calls[config]["clock"].charged
        both = _sum((calls["switch_in"].charged, 0.5), (calls["switch_out"].charged, 0.5))
        switch = _sum((both, 1), (clock, -1))
        found = {
            _switches(policy, name): ratio(sample.charged, switch)
            for policy, samples in self.handed[config].items()
            for name, sample in samples.items()
        }
        for name, sample in self.forks[config].items():
            found[_births(name)] = ratio(
                _sum((sample.charged, 1), (clock, 1)), calls["create"].charged
            )
        return found


def _switches(policy: str, name: str) -> str:
    return f"{policy}, {name} : switch"


def _births(name: str) -> str:
    return f"{name} : create"


def _sum(*terms: tuple[Counts, float]) -> dict[str, float]:
    """Counts, each times its factor; what there is none of is left out."""
    names = sorted({name for counts, _ in terms for name in counts})
    sums = {name: sum(counts.get(name, 0) * factor for counts, factor in terms) for name in names}
    return {name: total for name, total in sums.items() if total}


def measure(
    configs: Mapping[str, Config],
    forks: dict[str, dict[str, Sample]],
    *,
    rounds: int = ROUNDS,
    policies: Sequence[str] = tuple(POLICIES),
) -> HandOvers:
    """Everything, in these configurations.  `forks` are measured already."""

    def sample(figure: Figure, config: Config) -> Sample:
        return counted(replace(figure, rounds=rounds), config)

    return HandOvers(
        {
            name: {figure.name: sample(figure, config) for figure in CALLS.values()}
            for name, config in configs.items()
        },
        {
            name: {
                policy: {
                    figure.name: sample(figure, replace(config, sched=policy))
                    for figure in HAND_OVERS.values()
                }
                for policy in policies
            }
            for name, config in configs.items()
        },
        forks,
    )


# For people ---------------------------------------------------------------------------------------


def for_people(report: HandOvers) -> list[str]:
    return [*_calls(report), "", *_handed(report), "", *_compared(report)]


def _calls(report: HandOvers) -> list[str]:
    intro = (
        "The RFC's measurement as it was made: each call many times, an empty VAS, nothing "
        "touched, the clock read after each call. A figure runs from one reading to the next."
    )
    lines = textwrap.wrap(intro, WIDTH)
    for name, figure in CALLS.items():
        lines.append(f"  {name}: {figure.doc}")
        for config, samples in report.calls.items():
            lines += _wrapped(f"{config}: {_described(samples[name])}")
    return lines


def _handed(report: HandOvers) -> list[str]:
    intro = (
        "Hand-overs, under each scheduling policy: until the other has the turn. Both sleep when "
        "it is not theirs, on one core, and touch nothing else."
    )
    lines = textwrap.wrap(intro, WIDTH)
    for name, figure in HAND_OVERS.items():
        lines.append(f"  {name}: {figure.doc}")
        for config, policies in report.handed.items():
            said = {policy: _described(samples[name]) for policy, samples in policies.items()}
            for text, alike in _alike(said).items():
                lines += _wrapped(f"{config}, {alike}: {text}")
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="      ")


def _alike(said: dict[str, str]) -> dict[str, str]:
    """What is said -> the names of which it is said."""
    found: dict[str, list[str]] = {}
    for name, text in said.items():
        found.setdefault(text, []).append(name)
    return {text: " ".join(names) for text, names in found.items()}


def _described(sample: Sample) -> str:
    """The sum with its interval, and its parts."""
    made = ", ".join(
        f"{PARTS[letter][0]} {amount:,.0f}" for letter, amount in parts(sample).items()
    )
    total = cycles(sample.charged)
    known = sum(parts(sample).values())
    rest = f", other {total.value - known:,.0f}" if total.value - known >= 0.5 else ""
    return f"{total:,.0f}: {made}{rest}"


def _compared(report: HandOvers) -> list[str]:
    intro = (
        "Ratios. A hand-over is compared with the mean of a switch in and a switch out, without "
        "the reading of the clock; a fork, with a reading of the clock, with a create."
    )
    ratios = report.ratios()
    lines = textwrap.wrap(intro, WIDTH)
    for config, found in ratios.items():
        texts = {name: f"{interval:.2f}" for name, interval in found.items()}
        for name in HAND_OVERS:
            said = {policy: texts[_switches(policy, name)] for policy in report.handed[config]}
            lines += [
                f"  {name + ' : switch':<30} {text:<22} {config}, {alike}"
                for text, alike in _alike(said).items()
            ]
        for name in report.forks[config]:
            lines.append(f"  {name + ' : create':<30} {texts[_births(name)]:<22} {config}")
    lines.append(f"  the RFC: process switch : VAS switch {RFC_SWITCH}, fork : create {RFC_CREATE}")
    for text in (WHY_SWITCH, WHY_CREATE):
        lines += textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ")
    return lines


# For machines -------------------------------------------------------------------------------------


def for_machines(report: HandOvers) -> dict[str, Any]:
    return {
        "as_the_rfc_measured": {
            config: {name: _figures(sample) for name, sample in samples.items()}
            for config, samples in report.calls.items()
        },
        "hand_overs": {
            config: {
                policy: {name: _figures(sample) for name, sample in samples.items()}
                for policy, samples in policies.items()
            }
            for config, policies in report.handed.items()
        },
        "hand_over_ratios": {
            config: {name: found.as_json() for name, found in ratios.items()}
            for config, ratios in report.ratios().items()
        },
    }


def _figures(sample: Sample) -> dict[str, Any]:
    return {"cycles": cycles(sample.charged).as_json(), "counts": sample.warm}
