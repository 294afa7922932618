"""Problems for paper: what a real machine looks like at a moment, and questions on it.

A seed chooses programs, moments and addresses; the machine does the rest, and its own walk and
its own TLB give the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from hw.machine import MachineConfig
from hw.mmu import TLB_MISS
from hw.paging import (
    FETCH,
    LEVEL_NAMES,
    READ,
    SHIFTS,
    WRITE,
    P,
    PageFault,
    Step,
    page_frame,
    walk,
)
from hw.tlb import GLOBAL, Entry, Tlb
from hw.trace import Kind, Trace
from kernel import turns
from kernel.boot import Config, boot, spawn, trace_header
from kernel.kernel import Kernel
from kernel.mm.layout import STACK_BYTES, STACK_TOP
from kernel.task.process import Process
from labs.evidence import Look
from userland.programs import built_in, read_program

PROGRAMS = (("cow", 4, 9), ("sieve", 6000, 12000), ("stream", 300, 600), ("vas_heap", 4, 9))
FAMILIES = (("pingpong", 20, 50), ("forks", 2, 4), ("cow", 6, 12), ("basics", 1, 9))
"""A program, and the range of its argument.  Families are of more than one process, so that the
TLB holds more than one tag."""
RAM_MIB = 16
ENTRIES_SHOWN = 8
UNUSED = 0x150, 0x190
"""Fourths of page numbers that are behind every program and before everything else."""
ACCESSES = {READ: "a load from", WRITE: "a store to", FETCH: "an instruction fetch from"}
DATA_SIDE, STRING, LONGEST = 1, 16, 1500
"""How many pages in a row are given to count misses on, and of how many they are chosen."""
ONE_SET, FOUR_SETS, FEWEST = (1, 4), (4, 1), 4
STACK = STACK_TOP - STACK_BYTES >> 12
MISS = "miss"
WIDTH = 78


@dataclass(frozen=True, slots=True)
class Blank:
    """One thing to be answered: a number, or a word."""

    key: str
    asks: str
    answer: int | str

    @property
    def shown(self) -> str:
        if isinstance(self.answer, str):
            return self.answer
        return str(self.answer) if self.answer < 10 else f"{self.answer:#x}"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is shown, and what is asked of it; `name` is that of the check."""

    name: str
    title: str
    shown: tuple[str, ...]
    blanks: tuple[Blank, ...]


@dataclass(slots=True)
class Scene:
    """A machine that stands still in the middle of a program."""

    kernel: Kernel
    process: Process
    name: str

    def run_to_trap(self, number: int | None = None) -> Scene:
        """Run to that trap, or to the end."""
        kernel, process = self.kernel, self.process
        turns.run_until(
            kernel, lambda: process.zombie or (number is not None and kernel.taken >= number)
        )
        return self

    @property
    def words(self) -> Look:
        """Physical memory, which looking does not change."""
        return Look(memoryview(self.kernel.machine.memory.words))

    @property
    def root(self) -> int:
        return self.process.space.table.root_pa

    def pages(self) -> list[int]:
        """The addresses of all pages that are mapped."""
        space = self.process.space
        spans = [(region.start, region.end) for region in space.map]
        return [va for span in spans for va, _ in space.table.entries(*span)]

    def walk(self, va: int, access: int = READ) -> tuple[list[Step], int]:
        """The steps of a walk, and the physical address of the byte."""
        steps: list[Step] = []
        leaf, level, _ = walk(self.words, self.root, va, access, steps)
        return steps, page_frame(leaf, level, va) << 12 | va & 0xFFF

    def error(self, va: int, access: int) -> int:
        """The error code of an access, 0 if it succeeds."""
        try:
            self.walk(va, access)
        except PageFault as fault:
            return fault.error
        return 0


def as_text(chosen: Sequence[Problem], *, answered: bool) -> str:
    """The problems for a terminal, perhaps with the answers."""
    lines = []
    for number, problem in enumerate(chosen, 1):
        lines += [f"-- {number}. {problem.title} ".ljust(WIDTH, "-"), *problem.shown, ""]
        for blank in problem.blanks:
            answer = f"= {blank.shown:<13}" if answered else ""
            lines.append(f"  {blank.key:<17} {answer}{blank.asks}")
        lines.append("")
    return "\n".join(lines)


@lru_cache(maxsize=64)
def problems(seed: int) -> tuple[Problem, ...]:
    """The problems of a seed, always the same."""
    random = Random(f"tour {seed}")
    scene = stand_still(random, PROGRAMS)
    va = random.choice(scene.pages()) + random.randrange(4096)
    return (
        _address(scene, va),
        _walk(random, scene, va),
        _rights(random, scene),
        _tlb(random),
        _misses(random),
    )


Program = tuple[str, int, int]


def stand_still(
    random: Random, programs: Sequence[Program], dtlb: tuple[int, int] = (16, 4)
) -> Scene:
    """One of the programs, stopped at one of its later traps."""
    while True:
        name, argument = _chosen(random, programs)
        last = _start(name, argument, dtlb).run_to_trap().kernel.taken
        scene = _start(name, argument, dtlb).run_to_trap(random.randrange(last // 3, last))
        if not scene.process.zombie:
            return scene


def _chosen(random: Random, programs: Sequence[Program]) -> tuple[str, str]:
    name, low, high = random.choice(programs)
    return name, str(random.randrange(low, high))


def _start(name: str, argument: str, dtlb: tuple[int, int]) -> Scene:
    config = Config(MachineConfig(ram_mib=RAM_MIB, dtlb=dtlb))
    kernel = boot(config, built_in(), lambda _: None)
    words = [name.encode(), argument.encode()]
    return Scene(kernel, spawn(kernel, read_program(name), words, [], config.user), name)


def _address(scene: Scene, va: int) -> Problem:
    """Which bits of an address choose what."""
    region = scene.process.space.map.find(va)
    assert region is not None
    blanks = [
        Blank(
            f"address.{LEVEL_NAMES[level].lower()}",
            f"index into the {LEVEL_NAMES[level]}",
            va >> SHIFTS[level] & 511,
        )
        for level in (4, 3, 2, 1)
    ]
    blanks.append(Blank("address.offset", "byte of the frame", va & 0xFFF))
    shown = (
        f"`{scene.name}` stands still. A part of its memory, {region.name or 'anonymous'}, reaches",
        f"from {region.start:#x} to {region.end:#x}. Take the byte at {va:#x}.",
    )
    return Problem("address", "An address", shown, tuple(blanks))


def _walk(random: Random, scene: Scene, va: int) -> Problem:
    """From CR3 to a byte of physical memory."""
    steps, pa = scene.walk(va)
    path = {step.table_pa: step.index for step in steps}
    others = [step.table_pa for page in scene.pages() for step in scene.walk(page)[0]]
    decoys = sorted(set(others) - set(path))
    tables = sorted([*path, *random.sample(decoys, min(2, len(decoys)))])
    shown = [
        f"The same program. CR3 holds {scene.root:#x}. Some of its tables, as they are in memory;",
        f"what is not shown is zero, or does not matter. Walk to {va:#x}.",
    ]
    for table in tables:
        shown += _listed(scene, table, path.get(table, 0))
    blanks = [
        Blank(
            f"walk.{LEVEL_NAMES[step.level].lower()}",
            f"where the {LEVEL_NAMES[step.level]} is",
            step.table_pa,
        )
        for step in steps[1:]
    ]
    blanks += [
        Blank("walk.frame", "number of the frame", pa >> 12),
        Blank("walk.pa", "physical address of the byte", pa),
    ]
    return Problem("walk", "A walk", tuple(shown), tuple(blanks))


def _listed(scene: Scene, table: int, index: int) -> list[str]:
    """The entries of a table that are present, those around `index` if they are many."""
    words = scene.words
    held = [number for number in range(512) if words[(table >> 3) + number] & P]
    near = sorted(sorted(held, key=lambda number: abs(number - index))[:ENTRIES_SHOWN])
    rows = [f"[{number:03x}] {words[(table >> 3) + number]:#018x}" for number in near]
    lead = f"    table at {table:#x}  "
    return ["", *((lead if row is rows[0] else " " * len(lead)) + row for row in rows)]


def _rights(random: Random, scene: Scene) -> Problem:
    """What an access comes to: nothing, or an error code."""
    pages = [va for va in scene.pages() if va >> 21 == scene.pages()[0] >> 21]
    table = scene.walk(pages[0])[0][-1].table_pa
    tried = [(va, access) for va in (*pages, pages[-1] + 4096) for access in ACCESSES]
    random.shuffle(tried)
    by_error: dict[int, tuple[int, int]] = {}
    for va, access in tried:
        by_error.setdefault(scene.error(va, access), (va, access))
    blanks = []
    for letter, error in zip("abc", random.sample(sorted(by_error), 3), strict=True):
        va, access = by_error[error]
        asks = f"{ACCESSES[access]} {va + random.randrange(4096):#x}: the error code, 0 if none"
        blanks.append(Blank(f"rights.{letter}", asks, error))
    shown = [
        f"The same program. The table for its code and data, from {pages[0]:#x} on; the entries",
        "above it have P, W and U. What is not shown is zero.",
        *_listed(scene, table, pages[0] >> 12 & 511),
    ]
    return Problem("rights", "Rights", tuple(shown), tuple(blanks))


def _tlb(random: Random) -> Problem:
    """What a TLB finds, and who has to go."""
    while True:
        scene = stand_still(random, FAMILIES, dtlb=(4, 2))
        mmu = scene.kernel.machine.core.state.mmu
        tlb, pcid = mmu.dtlb, mmu.pcid
        mine = [entry for entry in tlb.index.values() if entry.tag in (pcid, GLOBAL)]
        alien = [entry for entry in tlb.index.values() if tlb.lookup(entry.vpn, pcid) is None]
        full = [number for number in range(tlb.sets) if _is_full(tlb, number)]
        if mine and alien and full:
            break
    asked = [random.choice(mine), random.choice(alien)]  # a hit and a miss
    random.shuffle(asked)
    chosen = random.choice(full)
    absent = tlb.sets * random.randrange(*UNUSED) + chosen
    oldest = tlb.slots[chosen][tlb.ages[chosen][0]]
    assert oldest is not None
    blanks = [
        Blank("tlb.set", f"the set of page {absent:#x}", absent % tlb.sets),
        *(
            Blank(
                f"tlb.{letter}",
                f"a load from page {entry.vpn:#x}: the frame, or `{MISS}`",
                _found(tlb, entry.vpn, pcid),
            )
            for letter, entry in zip("ab", asked, strict=True)
        ),
        Blank("tlb.evicted", f"page {absent:#x} is filled: the page that has to go", oldest.vpn),
    ]
    shown = [
        f"The data TLB while `{scene.name}` runs: {tlb.sets} sets of {tlb.ways} ways. CR3 holds",
        f"PCID {pcid}. In each set the oldest entry comes first, and goes first.",
        "",
        *(_set_listed(tlb, number) for number in range(tlb.sets)),
    ]
    return Problem("tlb", "A TLB", tuple(shown), tuple(blanks))


def _is_full(tlb: Tlb, number: int) -> bool:
    """And of different pages, so that it matters who goes."""
    return len({entry.vpn for entry in tlb.slots[number] if entry}) == tlb.ways


def _found(tlb: Tlb, vpn: int, pcid: int) -> int | str:
    entry = tlb.lookup(vpn, pcid)
    return MISS if entry is None else entry.pfn


def _set_listed(tlb: Tlb, number: int) -> str:
    entries = [tlb.slots[number][way] for way in tlb.ages[number]]
    told = [_entry_listed(entry) for entry in entries if entry is not None]
    return f"    set {number}   {'   '.join(told)}".rstrip()


def _entry_listed(entry: Entry) -> str:
    tag = "global" if entry.tag == GLOBAL else f"PCID {entry.tag}"
    return f"page {entry.vpn:#x}, {tag} > frame {entry.pfn:#x}"


def _misses(random: Random) -> Problem:
    """What TLBs of two shapes would have made of the pages that a program used."""
    name, argument, pages = _string(random)
    rows = ["  ".join(f"{vpn:#x}" for vpn in pages[at : at + 4]) for at in range(0, STRING, 4)]
    shown = (
        f"The pages that `{name} {argument}` loaded from or stored to, one after the other, in the",
        "middle of its run and without its stack:",
        "",
        *(f"    {row}" for row in rows),
    )
    blanks = tuple(
        Blank(f"misses.{key}", f"misses of {told}, empty at first", _missed(pages, *shape))
        for key, told, shape in (
            ("one_set", "one set of 4 ways, first in, first out", ONE_SET),
            ("four_sets", "4 sets of one way", FOUR_SETS),
        )
    )
    return Problem("misses", "Misses", shown, blanks)


def _string(random: Random) -> tuple[str, str, list[int]]:
    """A program, and pages in a row that the two shapes do not treat alike."""
    while True:
        name, argument = _chosen(random, PROGRAMS)
        used = _pages_used(name, argument)
        windows = [used[at : at + STRING] for at in range(len(used) - STRING)]
        rich = [window for window in windows if len(set(window)) > FEWEST]
        telling = [w for w in rich if _missed(w, *ONE_SET) != _missed(w, *FOUR_SETS)]
        if telling:
            return name, argument, random.choice(telling)


def _pages_used(name: str, argument: str) -> list[int]:
    """Every change of page: with a TLB of a single entry, each one is a miss."""
    scene = _start(name, argument, dtlb=(1, 1))
    used: list[int] = []

    def hear(kind: Kind, values: tuple[Any, ...]) -> None:
        if kind is TLB_MISS and values[0] == DATA_SIDE and values[2] < STACK:
            used.extend([values[2]] if used[-1:] != [values[2]] else [])

    scene.kernel.machine.attach_trace(Trace(trace_header(scene.kernel, {}), None, hear))
    turns.run_until(scene.kernel, lambda: scene.process.zombie or len(used) > LONGEST)
    return used


def _missed(pages: list[int], sets: int, ways: int) -> int:
    tlb, misses = Tlb(sets, ways), 0
    for vpn in pages:
        if tlb.lookup(vpn, 0) is None:
            misses += 1
            tlb.fill(Entry(vpn, 0, 0, rights=0, dirty=False, level=1))
    return misses
