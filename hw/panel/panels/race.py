"""The race: what each kind of switch has cost in this run so far.

The counts are the evidence: switches, writes of CR3, flushed entries, and refills that a flush made
necessary. Modelled cycles are derived from them: counts times the cost table of the header. Every
lane is charged one entry into the kernel by a call, though one by a timer would cost more.
"""

from __future__ import annotations

from typing import NamedTuple

from hw.panel.model.fold import PROCESS_SWITCH, SWITCHES, THREAD_SWITCH, VAS_SWITCH
from hw.panel.model.moment import View
from hw.panel.picture.draw import Canvas
from hw.panel.picture.theme import ink_on

PARTS = (
    ("entry", "yellow", "rows"),
    ("save, restore", "sky", ""),
    ("pick", "green", "dots"),
    ("CR3 write", "orange", "diagonal"),
    ("refills", "purple", "cross"),
)


class Lane(NamedTuple):
    """One kind of switch: its counts, and the modelled cycles of a switch by part."""

    kind: int
    switches: int
    cr3_writes: int
    flushed: int
    refills: int
    parts: tuple[float, ...]

    @property
    def cycles(self) -> float:
        return sum(self.parts)


def lanes(view: View) -> list[Lane]:
    return [
        lane for kind in (VAS_SWITCH, PROCESS_SWITCH, THREAD_SWITCH) if (lane := _lane(view, kind))
    ]


def _lane(view: View, kind: int) -> Lane | None:
    counts, about = view.moment.state.counts, view.moment.about
    switches = counts.get(("switch", kind), 0)
    if not switches:
        return None
    writes = counts.get(("after", kind, "cr3_load"), 0)
    flushed = counts.get(("after", kind, "flushed"), 0)
    refills = counts.get(("after", kind, "refill"), 0)
    keeps_registers = kind == VAS_SWITCH
    parts = (
        about.cost("syscall"),
        0 if keeps_registers else about.cost("context_save") + about.cost("context_restore"),
        0 if keeps_registers else about.cost("schedule_pick"),
        writes / switches * about.cost(cr3_row(view)),
        refills / switches * 4 * about.cost("walk_step"),
    )
    return Lane(
        kind=kind,
        switches=switches,
        cr3_writes=writes,
        flushed=flushed,
        refills=refills,
        parts=parts,
    )


def title(view: View) -> str:
    return "what a switch costs: mean, modelled cycles"


def draw(view: View, c: Canvas) -> None:
    shown = lanes(view)
    if not shown:
        c.text(c.rect.x, c.y(0), "No switch has happened yet.", "dim")
        return
    longest = max(lane.cycles for lane in shown) or 1
    behind = max(len(f" {lane.cycles:,.0f} {mean_words(lane)}") for lane in shown) + 1
    current = view.moment.core.switch
    left = c.rect.x + 15 * c.cell
    for row, lane in enumerate(shown):
        y = c.y(row) + row * 4
        c.text(c.rect.x, y, SWITCHES[lane.kind], "gold" if lane.kind == current else "ink")
        _bar(c, left, y, (c.rect.right - left - behind * c.cell) / longest, lane)
    y = c.y(len(shown)) + 4 * len(shown)
    y = _legend(view, c, y, shown)
    y = _table(c, y + 2, shown)
    _costs(view, c, y + c.row)


def _bar(c: Canvas, x: int, y: int, scale: float, lane: Lane) -> None:
    at = float(x)
    for (_, hue, pattern), part in zip(PARTS, lane.parts, strict=True):
        wide = int(at + part * scale) - int(at)
        if wide > 0:
            c.box(int(at), y, wide, c.row, hue, outline="edge", pattern=pattern, ink="black")
            word = f"{part:.0f}"
            if wide > (len(word) + 1) * c.cell:
                c.text(int(at) + 3, y, word, ink_on(hue), paper=hue)
        at += part * scale
    end = c.text(int(at) + 4, y, f"{lane.cycles:,.0f}", "ink", bold=True)
    c.text(end + c.cell, y, mean_words(lane), "dim")


def mean_words(lane: Lane) -> str:
    return f"mean of {lane.switches:,}"


def _legend(view: View, c: Canvas, y: int, shown: list[Lane]) -> int:
    """The legend of the bars' parts; returns the y below."""
    x = c.rect.x
    for number, (name, hue, pattern) in enumerate(PARTS):
        if not any(lane.parts[number] for lane in shown):
            continue
        words = cr3_words(view) if name == "CR3 write" else name
        if x > c.rect.x and x + (len(words) + 1) * c.cell + 7 > c.rect.right:
            x, y = c.rect.x, y + c.row
        c.box(x, y + 2, c.cell + 4, c.row - 4, hue, outline="edge", pattern=pattern, ink="black")
        x = c.text(x + c.cell + 7, y, words, "dim") + 2 * c.cell
    return y + c.row


def cr3_row(view: View) -> str:
    """The row of the cost table for a write of CR3."""
    return "cr3_write_tagged" if view.moment.about.config.get("pcid") else "cr3_write"


def cr3_words(view: View) -> str:
    """What a write of CR3 does to the TLBs, which explains its cost."""
    if view.moment.about.config.get("pcid"):
        return "CR3 write with a PCID: entries stay"
    return "CR3 write, PCIDs off: entries go"


def _table(c: Canvas, y: int, shown: list[Lane]) -> int:
    """The counts of all switches; returns the y below."""
    head = f"{'counts, in all':<15}{'switches':>9}{'CR3':>7}{'flushed':>9}{'refills':>9}"
    c.text(c.rect.x, y, head, "dim")
    for row, lane in enumerate(shown, 1):
        numbers = (
            f"{SWITCHES[lane.kind]:<15}{lane.switches:>9,}{lane.cr3_writes:>7,}"
            f"{lane.flushed:>9,}{lane.refills:>9,}"
        )
        c.text(c.rect.x, y + row * c.row, numbers, "ink")
    return y + (len(shown) + 1) * c.row


def _costs(view: View, c: Canvas, y: int) -> None:
    """The rows of the cost table behind the bars, where there is room for them, with their sources
    where none would be cut."""
    used = (
        "syscall",
        "context_save",
        "context_restore",
        "schedule_pick",
        cr3_row(view),
        "walk_step",
    )
    rows = [row for row in view.moment.about.header.get("costs", ()) if row["name"] in used]
    if y + (len(rows) + 1) * c.row > c.rect.bottom:
        return
    sources = 33 + max(len(row["source"]) for row in rows) <= c.columns if rows else False
    words = "cost table: modelled cycles, the range of the sources, and which"
    c.text(c.rect.x, y, words if sources else "cost table: modelled cycles, range", "dim")
    for number, row in enumerate(rows, 1):
        figures = f"{row['name']:<17}{row['cycles']:>4}  {row['low']:>4}..{row['high']:<5}"
        x = c.text(c.rect.x, y + number * c.row, figures, "ink")
        if sources:
            c.text(x + c.cell, y + number * c.row, row["source"], "dim")


def describe(view: View) -> list[str]:
    lines = []
    for lane in lanes(view):
        parts = ", ".join(
            f"{name} {cycles:.0f}" for (name, _, _), cycles in zip(PARTS, lane.parts, strict=True)
        )
        lines.append(
            f"{SWITCHES[lane.kind]}: {lane.cycles:.0f} modelled cycles each, as a mean ({parts}); "
            f"in all {lane.switches} switches, {lane.cr3_writes} CR3 writes, "
            f"{lane.flushed} entries flushed, {lane.refills} refills"
        )
    return lines or ["no switch has happened yet"]
