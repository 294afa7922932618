"""When CR3 changes, the emulator's own cache keeps its valid entries, and no access can tell.

Three address spaces share some pages, have frames of their own for others, and have some pages
read-only.  Loads, stores, fetches, CR3 writes and invalidations come in random order, and then in
programs.  The reference of `tests.hw.reference_tlb` sees every access.  For each mistake that
`Shadow.follow` or an invalidation could make, a test shows that the reference notices it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import pytest

from hw.engine import PROT_EXEC, PROT_READ, PROT_WRITE
from hw.machine import MachineConfig
from hw.mmu import CR3_NOFLUSH, Mmu
from hw.paging import NX, W
from hw.shadow import Shadow
from hw.tlb import Tlb
from kernel.turns import Deadlock
from tests.hw.bare import CODE, DATA, READ_WRITE, Bare
from tests.hw.reference_tlb import Reference
from tests.hw.watched import go, watched, watched_code

PAGE = 4096
LOAD, STORE = 0, 16
STUBS = bytes.fromhex("488b03 31c0 0f05").ljust(STORE, b"\x90") + bytes.fromhex("488903 31c0 0f05")
"""mov rax, [rbx] or mov [rbx], rax, and a call."""
SPACES, STEPS = 3, 400
CODE_PAGES = [CODE + PAGE * i for i in range(3)]
DATA_PAGES = [DATA + PAGE * i for i in range(6)]
SIZES = {
    "8x4": ((8, 4), (16, 4)),
    "2x2": ((2, 2), (4, 2)),
    "1x2": ((1, 2), (1, 3)),
}
NOTICED = (AssertionError, KeyError, Deadlock)
"""What the reference raises for an access that it cannot explain, and how a program ends that reads
another space's data."""

# Random order ---------------------------------------------------------------------------------


def spaces(bare: Bare, random: Random) -> list[int]:
    """Roots of the bare machine's own space and of two that resemble it."""
    roots = [bare.root, *(bare.frame() << 12 for _ in range(SPACES - 1))]
    for page in DATA_PAGES[1:]:
        bare.map(page, READ_WRITE)
    for page in (*CODE_PAGES, *DATA_PAGES):
        pfn, flags = bare.pa(page) >> 12, bare.entry(page) & (0xFFF | NX)
        for root in roots[1:]:
            kind = random.choice(("alike", "own", "read-only"))
            shown = bare.frame() if kind == "own" else pfn
            if shown != pfn:
                bare.memory.copy_frame(pfn, shown)
            bare.map(page, flags & ~W if kind == "read-only" else flags, shown, root)
    return roots


def disturb(bare: Bare, roots: list[int], random: Random) -> None:
    """A CR3 write, mostly without a flush; or INVLPG or INVPCID, for any tag."""
    number, what = random.randrange(SPACES), random.random()
    if what < 0.8:
        tag = number + 1 if bare.pcid else 0
        keep = CR3_NOFLUSH if bare.pcid and random.random() < 0.9 else 0
        bare.core.load_cr3(roots[number] | tag | keep)
    elif what < 0.95:
        bare.core.invlpg(random.choice(DATA_PAGES), number + 1 if bare.pcid else 0)
    else:
        bare.core.flush_pcid(number + 1 if bare.pcid else 0)


def wander(seed: int, size: str, *, pcid: bool = True) -> Reference:
    """The reference's complaints after accesses and switches in random order."""
    random = Random(seed)
    itlb, dtlb = SIZES[size]
    bare, reference = watched_code(itlb, dtlb, dict.fromkeys(CODE_PAGES, STUBS), pcid=pcid)
    roots = spaces(bare, random)
    for _ in range(STEPS):
        if random.random() < 0.35:
            disturb(bare, roots, random)
            continue
        entry = random.choice((LOAD, LOAD, STORE))
        pages = DATA_PAGES if entry == STORE or random.random() < 0.8 else CODE_PAGES
        go(bare, random.choice(CODE_PAGES) + entry, rbx=random.choice(pages))
    return reference


@pytest.mark.parametrize("pcid", [True, False], ids=["pcid", "no pcid"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(8))
def test_random_accesses_and_switches_are_exact(seed: int, size: str, pcid: bool) -> None:
    reference = wander(seed, size, pcid=pcid)
    assert reference.differences() == []
    assert all(len(side.events) > 50 for side in reference.sides)


# Programs -------------------------------------------------------------------------------------


SWITCHING = ["crossings views 60", "crossings processes 20", "vas_stacks 20", "vas_views"]


@pytest.mark.parametrize("sync", ["subtree", "forward", "rfc"])
@pytest.mark.parametrize("pcid", [True, False], ids=["pcid", "no pcid"])
@pytest.mark.parametrize("cpus", [1, 2])
@pytest.mark.parametrize("line", SWITCHING)
def test_programs_that_switch_views_are_exact(line: str, cpus: int, pcid: bool, sync: str) -> None:
    config = MachineConfig(cpus=cpus, ram_mib=16, pcid=pcid)
    _, references, status = watched(config, line, sync)
    assert [reference.differences() for reference in references] == [[]] * cpus
    assert status == 0


@pytest.mark.parametrize("pcid", [True, False], ids=["pcid", "no pcid"])
def test_two_threads_on_two_cores_switch_views_at_the_same_time(pcid: bool) -> None:
    config = MachineConfig(cpus=2, ram_mib=16, pcid=pcid, itlb=(2, 2), dtlb=(4, 2))
    _, references, status = watched(config, "vas_stacks 100")
    assert [reference.differences() for reference in references] == [[], []]
    assert status == 0
    assert all(len(reference.sides[0].events) > 100 for reference in references)


# What would be noticed --------------------------------------------------------------------------

IS_CACHED = Shadow._is_cached


def follow_all(shadow: Shadow) -> None:
    """Nothing is dropped."""


def follow_half(shadow: Shadow) -> None:
    """The TLBs no longer give out the stale entry, but the emulator's cache keeps it."""
    for vpn in [vpn for vpn, known in shadow._given.items() if not shadow._is_cached(vpn, *known)]:
        del shadow._given[vpn]


def follow_but_one(shadow: Shadow) -> None:
    """One stale page is forgotten."""
    stale = [vpn for vpn, known in shadow._given.items() if not shadow._is_cached(vpn, *known)]
    for vpn in stale[1:]:
        del shadow._given[vpn]
        shadow.engine.flush_page(vpn << 12)


def any_frame(shadow: Shadow, vpn: int, pfn: int, rights: int) -> bool:
    state = shadow._mmu
    for tlb in (state.itlb, state.dtlb):
        entry = tlb.lookup(vpn, state.pcid)
        pfn = pfn if entry is None else entry.pfn
    return IS_CACHED(shadow, vpn, pfn, rights)


def any_tag(shadow: Shadow, vpn: int, pfn: int, rights: int) -> bool:
    state = shadow._mmu
    own = state.pcid

    def cached(tag: int) -> bool:
        state.pcid = tag
        return IS_CACHED(shadow, vpn, pfn, rights)

    found = any(cached(tag) for tag in range(SPACES + 1))
    state.pcid = own
    return found


def without(right: int) -> Callable[[Shadow, int, int, int], bool]:
    """A look through the TLBs that does not ask about one right."""
    return lambda shadow, vpn, pfn, rights: IS_CACHED(shadow, vpn, pfn, rights & ~right)


def nothing(*_: object) -> None:
    """A call that is forgotten."""


def none_gone(*_: object) -> list[Any]:
    """A TLB that drops nothing."""
    return []


BROKEN: dict[str, tuple[object, str, Any]] = {
    "everything is kept": (Shadow, "follow", follow_all),
    "stale pages stay in the emulator": (Shadow, "follow", follow_half),
    "one stale page is kept": (Shadow, "follow", follow_but_one),
    "another frame will do": (Shadow, "_is_cached", any_frame),
    "another space's entry will do": (Shadow, "_is_cached", any_tag),
    "what may be written is not asked": (Shadow, "_is_cached", without(PROT_WRITE)),
    "the instruction TLB is not asked": (Shadow, "_is_cached", without(PROT_EXEC)),
    "the data TLB is not asked": (Shadow, "_is_cached", without(PROT_READ | PROT_WRITE)),
    "INVLPG is forgotten": (Mmu, "invlpg", nothing),
    "INVPCID is forgotten": (Mmu, "flush_pcid", nothing),
    "a TLB keeps what a CR3 write drops": (Tlb, "flush_pcid", none_gone),
    "a TLB keeps what INVLPG drops": (Tlb, "flush_page", none_gone),
    "the emulator hears of no drop": (Mmu, "_dropped", nothing),
    "the emulator's cache never shrinks": (Shadow, "shrink", nothing),
}


def differences(seed: int, size: str) -> list[Any]:
    return list(wander(seed, size).differences())


def notices(look: Callable[[], Any]) -> bool:
    try:
        return bool(look())
    except NOTICED:
        return True


@pytest.mark.parametrize("size", ["8x4", "2x2"])
@pytest.mark.parametrize("fault", BROKEN)
def test_the_reference_notices_the_mistake_in_random_order(
    fault: str, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(*BROKEN[fault])
    assert any(notices(partial(differences, seed, size)) for seed in range(8))


BY_PROGRAMS = [
    ("everything is kept", "crossings views 20"),
    ("one stale page is kept", "crossings views 20"),
    ("the data TLB is not asked", "crossings views 20"),
    ("another frame will do", "vas_stacks 20"),
    ("the instruction TLB is not asked", "vas_views"),
    ("INVLPG is forgotten", "crossings processes 20"),
    ("the emulator's cache never shrinks", "crossings views 20"),
]


ON_ONE_CORE_ONLY = "another frame will do"
"""On two cores each view of the program stays on a core of its own, as its schedule is now."""


@pytest.mark.parametrize(
    ("fault", "line", "cpus"),
    [(*row, n) for row in BY_PROGRAMS for n in (1, 2) if n == 1 or row[0] != ON_ONE_CORE_ONLY],
)
def test_the_reference_notices_the_mistake_in_a_program(
    fault: str, line: str, cpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These are the programs that are exact above."""
    monkeypatch.setattr(*BROKEN[fault])

    def look() -> bool:
        _, references, _ = watched(MachineConfig(cpus=cpus, ram_mib=16), line)
        return any(reference.differences() for reference in references)

    assert notices(look)


def test_without_tags_a_forgotten_flush_shows_at_the_first_switch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Tlb, "flush_pcid", none_gone)

    def look() -> bool:
        config = MachineConfig(ram_mib=16, pcid=False)
        _, (reference,), _ = watched(config, "crossings views 5")
        return bool(reference.differences())

    assert notices(look)
