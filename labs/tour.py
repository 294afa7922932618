"""`run.py` without a command: a walk through the machine, with real programs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from hw import costs
from hw.host import has_display, is_terminal
from hw.machine import MODEL
from hw.mmu import CAUSES, SIDES
from hw.paging import FETCH, LEVEL_NAMES, SHIFTS, Step, flag_letters, page_frame, walk
from hw.tlb import GLOBAL, Tlb
from kernel import turns
from kernel.boot import Config, add_machine_options, boot, spawn
from kernel.kernel import Kernel
from kernel.task.process import Process
from labs.demo import scenes_of
from userland.exec import configuration
from userland.live import is_possible, show, trace_file
from userland.programs import built_in, read_program

EXAMPLES = """\
examples:
  run.py                       the tour
  python3 run.py tour --dtlb 1x2       with a data TLB of two entries: count the misses
  python3 run.py tour --no-panel       text only
  python3 run.py tour --mmu silicon    with the emulated CPU's own walker
"""
WIDTH = 78
OPENS = """\
The front panel opens on that last program: PageDown goes through it in eight stops, and ? shows
the keys. Closing it ends the tour.
"""
NEXT = """\
Next: `python3 run.py exec --strace forks` shows every system call of a family of processes."""


@dataclass
class Stop:
    """A system at the moment that the tour looks at it."""

    kernel: Kernel
    process: Process
    output: list[bytes] = field(default_factory=list)

    @property
    def text(self) -> str:
        return b"".join(self.output).decode(errors="replace")


def main(argv: list[str]) -> int:
    """The tour; returns 0."""
    parser = argparse.ArgumentParser(
        prog="python3 run.py tour",
        description="A walk through the machine, with real programs.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--panel",
        action=argparse.BooleanOptionalAction,
        help="then show the last room on the front panel (default: if there is a display)",
    )
    parser.add_argument("--captions", action="store_true", help="then tell it in sentences")
    add_machine_options(parser)
    options = parser.parse_args(argv)
    config = configuration(options)
    for title, room in ROOMS:
        print(f"-- {title} ".ljust(WIDTH, "-"))
        room(config)
        print()
    wished = is_terminal(sys.stdout) if options.panel is None else options.panel
    if (wished and is_possible()) or options.captions:
        look_back(config, panel=wished and has_display(), captions=options.captions)
    print(NEXT)
    return 0


def look_back(config: Config, *, panel: bool, captions: bool) -> None:
    """The last room again, recorded: in sentences, and on the front panel until it is closed."""
    from userland.gallery import record  # draws, so the tree of lab 1 is without it

    with trace_file(None) as path:
        record("cow", config, path)
        if captions:
            print(f"-- {ROOMS[-1][0]}, event by event ".ljust(WIDTH, "-"), flush=True)
            from hw.panel import command as panel_command  # not in the tree of lab 1

            panel_command.main(["captions", str(path)])
            print()
        if panel:
            print(OPENS, flush=True)
            show(path, *scenes_of("cow"))


def go(config: Config, name: str, *arguments: str, until: str = "") -> Stop:
    """Run a built-in to its end, or to the moment when its output holds `until`."""
    output: list[bytes] = []
    kernel = boot(config, built_in(), output.append)
    words = [name.encode(), *(word.encode() for word in arguments)]
    process = spawn(kernel, read_program(name), words, [], config.user)
    stop = Stop(kernel, process, output)
    turns.run_until(kernel, lambda: process.zombie or (bool(until) and until in stop.text))
    return stop


def first_program(config: Config) -> None:
    """A program, from boot to exit."""
    stop = go(config, "hello", "student")
    _quote(stop.text)
    state = stop.kernel.machine.cores[0].state
    print(f"{state.instructions:,} instructions in ring 3, {stop.kernel.taken} traps,")
    print(f"{state.cycles:,} modelled cycles. What they were spent on:\n")
    spent = [
        (count * row.cycles, count, row)
        for count, row in zip(state.counts, costs.TABLE, strict=True)
    ]
    for cycles, count, row in sorted(spent, key=lambda item: -item[0])[:5]:
        print(f"  {row.name:<16} {count:>6,} x {row.cycles:>4} = {cycles:>7,}   {row.source}")


def one_address(config: Config) -> None:
    """From a virtual address to a frame, bit by bit."""
    stop = go(config, "hello", until="Hello")
    space = stop.process.space
    text = next(region for region in space.map if region.prot & 4)
    va = text.start
    print(f"hello has its code at {va:#x}. The bits of that address choose the way:\n")
    for level in (4, 3, 2, 1):
        name, low = LEVEL_NAMES[level], SHIFTS[level]
        index = va >> low & 511
        print(f"  bits {low + 8}..{low:<2}  {index:09b}  = entry {index:#05x} of the {name}")
    print(f"  bits 11..0   {va & 0xFFF:012b}  = byte {va & 0xFFF:#x} of the frame\n")
    steps: list[Step] = []
    leaf, level, _ = walk(stop.kernel.machine.memory.words, space.table.root_pa, va, FETCH, steps)
    print(f"CR3 holds {space.table.root_pa:#x}, and the walk reads four words of memory:\n")
    for step in steps:
        print(f"  {step}")
    pfn = page_frame(leaf, level, va)
    print(f"\nframe {pfn:#x}. P present, W writable, U user, A accessed, D dirty, N no execute.")


def the_tlb(config: Config) -> None:
    """What is cached of such walks, and what a miss costs."""
    if config.machine.mmu != MODEL:
        print("The emulated CPU walks the tables by itself: its TLB is not observable.")
        return
    stop = go(config, "sieve", "20000", until="primes")
    _quote(stop.text)
    mmu = stop.kernel.machine.cores[0].state.mmu
    for side, tlb, misses in zip(SIDES, (mmu.itlb, mmu.dtlb), mmu.misses, strict=True):
        causes = [f"{count} {cause}" for cause, count in zip(CAUSES, misses, strict=True) if count]
        print(f"{side}-TLB, {tlb.sets} sets x {tlb.ways} ways; misses: {', '.join(causes)}")
        _list_entries(tlb)


def _list_entries(tlb: Tlb) -> None:
    entries = sorted(tlb.index.values(), key=lambda entry: entry.vpn)
    for entry in entries[:6]:
        tag = "global" if entry.tag == GLOBAL else f"pcid {entry.tag}"
        rights = flag_letters(entry.rights)
        print(f"  page {entry.vpn:#011x} > frame {entry.pfn:#05x}  {tag}  {rights}")
    if len(entries) > 6:
        print(f"  and {len(entries) - 6} more")


def one_frame_two_processes(config: Config) -> None:
    """fork copies nothing until somebody writes."""
    stop = go(config, "cow", until="after writing")
    _quote(stop.text)
    print("frame:holders, w writable, r read-only. The child wrote to every second page, and")
    print("each first store faulted: the kernel copied that frame, and that frame only.")


ROOMS: tuple[tuple[str, Callable[[Config], None]], ...] = (
    ("A program runs in ring 3", first_program),
    ("One address", one_address),
    ("The TLB", the_tlb),
    ("One frame, two processes", one_frame_two_processes),
)


def _quote(text: str) -> None:
    for line in text.splitlines():
        print(f"  | {line}")
    print()
