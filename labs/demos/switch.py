"""What it costs to change thread, view and process, part by part.

`--trace` records the run in which views are switched.  Always one core: with two,
nobody would have to give way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hw.machine import MODEL
from kernel.boot import Config, boot
from labs.claim import Demo, Options, Result, paragraph
from labs.crossings import (
    FIGURES,
    WORKING_SET_PAGES,
    Figure,
    Sample,
    begin,
    counted,
    finish,
    host_us,
)
from labs.intervals import ROWS, cycles, ratio
from userland.programs import describe, read_program

SWITCHES = ("null_syscall", "thread_switch", "vas_switch", "process_switch")
BIRTHS = ("vas_create", "fork")
FORK = "fork_1000"
LEAST_RAM_MIB = 32

# Letter of a part in the bars -> what it is, and the primitives that belong to it.
PARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "E": ("entry", ("syscall", "exception", "interrupt")),
    "S": ("save and restore", ("context_save", "context_restore")),
    "P": ("pick", ("schedule_pick",)),
    "L": ("look-ups", ("table_lookup", "name_lookup", "space_load", "region_find")),
    "C": ("CR3 write", ("cr3_write", "cr3_write_tagged")),
    "T": ("TLB refills", ("walk_step",)),
    "I": ("TLB invalidation", ("invlpg", "flush_pcid", "ipi_send")),
    "W": ("page tables", ("pte_write", "table_allocate")),
    "F": ("frames", ("frame_zero", "frame_copy")),
    "R": ("records", ("region_change", "record_create", "task_create", "descriptor_copy")),
    "M": ("copies and messages", ("user_copy_line", "message")),
}
BAR = 56


def run(options: Options) -> Result:
    """All six figures, in this configuration."""
    config = _alone(options.config)
    if options.trace:
        _record(options, config)
    figures = {name: FIGURES[FORK if name == "fork" else name] for name in (*SWITCHES, *BIRTHS)}
    samples = {name: counted(figure, config) for name, figure in figures.items()}
    host = {name: round(host_us(figure, config, 2), 2) for name, figure in figures.items()}
    data = _data(config, samples, host)
    cheaper = data["modelled_cycles"]["vas_switch"] < data["modelled_cycles"]["process_switch"]
    return Result(_text(config, figures, samples, host), data, holds=cheaper)


def _alone(config: Config) -> Config:
    ram_mib = max(LEAST_RAM_MIB, config.machine.ram_mib)
    return replace(config, machine=replace(config.machine, cpus=1, ram_mib=ram_mib))


def _record(options: Options, config: Config) -> None:
    figure, kernel = FIGURES["vas_switch"], boot(config, {}, lambda _: None)
    with options.recording(kernel, describe("crossings", read_program("crossings"))):
        finish(kernel, begin(kernel, figure, config, figure.rounds))


def _data(config: Config, samples: dict[str, Sample], host: dict[str, float]) -> dict[str, Any]:
    sums = {name: cycles(sample.charged) for name, sample in samples.items()}
    return {
        "modelled_cycles": {name: round(found.value, 1) for name, found in sums.items()},
        "host_us": host,
        "counts": {name: sample.warm for name, sample in samples.items()},
        "config": {
            "mmu": config.machine.mmu,
            "pcid": config.machine.pcid,
            "vas_sync": config.vas_sync,
            "vas_sharing": config.vas_sharing,
            "sched": config.sched,
            "seed": config.seed,
            "working_set_pages": WORKING_SET_PAGES,
            "fork_pages": FIGURES[FORK].numbers[0],
        },
        "intervals": {name: found.as_json() for name, found in sums.items()},
    }


def _text(
    config: Config, figures: dict[str, Figure], samples: dict[str, Sample], host: dict[str, float]
) -> str:
    lines = [_heading(config)]
    for title, group in (("", SWITCHES), ("What is made, at another scale.", BIRTHS)):
        lines += ["", title] if title else [""]
        scale = max(cycles(samples[name].charged).value for name in group) / BAR
        for name in group:
            lines += _row(name, figures[name], samples[name], host[name], scale)
    used = {letter for sample in samples.values() for letter in parts(sample)}
    legend = [f"{letter} {PARTS[letter][0]}" for letter in PARTS if letter in used]
    lines += ["", paragraph(", ".join(legend) + "."), ""]
    switches = ratio(samples["process_switch"].charged, samples["vas_switch"].charged)
    births = ratio(samples["fork"].charged, samples["vas_create"].charged)
    lines.append(
        paragraph(
            f"A process switch costs {switches:.2f} times a VAS switch (the RFC measured 4.15), a "
            f"fork {births:.1f} times a vas_create (7.52). In brackets: what the sources allow. "
            "`python3 run.py bench vas` explains the differences."
        )
    )
    return "\n".join(lines)


def _heading(config: Config) -> str:
    tags = "with TLB tags" if config.machine.pcid else "without TLB tags"
    seen = "" if config.machine.mmu == MODEL else "; TLB refills are not observable"
    return paragraph(
        f"Modelled cycles, {tags}, policy {config.vas_sync}, {WORKING_SET_PAGES} pages touched "
        f"after each switch{seen}."
    )


def _row(name: str, figure: Figure, sample: Sample, microseconds: float, scale: float) -> list[str]:
    bar = "".join(
        letter * max(1, round(amount / scale)) for letter, amount in parts(sample).items()
    )
    return [
        paragraph(f"{name}: {figure.doc}", "  "),
        f"  {bar}",
        f"  {cycles(sample.charged):,.0f} cycles; {microseconds:,.1f} us on this host",
    ]


def parts(sample: Sample) -> dict[str, float]:
    """Modelled cycles of each part that there is anything of, by its letter."""
    found = {
        letter: sum(sample.charged.get(name, 0) * ROWS[name].cycles for name in names)
        for letter, (_, names) in PARTS.items()
    }
    return {letter: amount for letter, amount in found.items() if amount}


DEMO = Demo("switch", "what a change of thread, of view and of process costs, part by part", run)
