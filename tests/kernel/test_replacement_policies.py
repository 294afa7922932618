"""Clock and FIFO, compared with textbook models and with each other."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.paging import ADDRESS, A
from kernel import invariants, turns
from kernel.life import life
from kernel.mm.replace import CLOCK, FIFO, POLICIES
from kernel.mm.residency import MCL_CURRENT
from kernel.mm.space import AddressSpace
from tests.kernel.asm import Program
from tests.kernel.system import System, still
from tests.kernel.tight import (
    ANON,
    FIXED,
    HERE,
    PAGE,
    PRIVATE,
    RW,
    SHARED,
    faults_on,
    pager,
    squeeze,
)

BELADY = (1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5)
"""Belady, Nelson and Shedler, "An anomaly in space-time characteristics of certain programs
running in a paging machine", CACM 12 (1969)."""
THERE = HERE + (1 << 30)
TABLES = 255
"""A page of the range that stays locked, so that its page tables stay."""


def fifo(string: list[int], frames: int) -> list[int]:
    """The pages that fault when the oldest page is replaced."""
    queue: list[int] = []
    faults = []
    for page in string:
        if page not in queue:
            faults.append(page)
            queue = [*queue, page][-frames:]
    return faults


def clock(string: list[int], frames: int) -> list[int]:
    """The pages that fault when a hand goes round an array of frames with one bit each."""
    held: list[int] = []
    bits: list[bool] = []
    hand, faults = 0, []
    for page in string:
        if page in held:
            bits[held.index(page)] = True
            continue
        faults.append(page)
        if len(held) < frames:
            held.append(page)
            bits.append(True)
            continue
        while bits[hand]:
            bits[hand] = False
            hand = (hand + 1) % frames
        held[hand], bits[hand] = page, True
        hand = (hand + 1) % frames
    return faults


MODELS = {FIFO: fifo, CLOCK: clock}


def program(string: list[int]) -> Program:
    """Loads a byte of each page in turn.  Its own pages are locked."""
    made = Program()
    made.call("mmap", HERE, 256 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0)
    made.call("mlock", HERE + TABLES * PAGE, PAGE)
    made.call("mlockall", MCL_CURRENT)
    made.call("munlock", HERE, TABLES * PAGE)
    made.call("madvise", HERE, TABLES * PAGE, 4)
    made.call("getpid")
    for page in string:
        made.load_byte(HERE + page * PAGE)
    made.exit()
    return made


def guest_faults(string: list[int], frames: int, policy: str, mmu: str = "model") -> list[int]:
    """The pages on which a real program faults when it has `frames` frames for its data."""
    system = System(program(string), ram=2, swap=1, replace=policy, mmu=mmu)
    turns.run_until(system.kernel, lambda: any(call.name == "getpid" for call in system.calls))
    squeeze(system, frames)
    before = len(system.faults)
    run = system.run()
    assert run.exit_code == 0
    return faults_on(system, run.faults[before:], HERE, TABLES)


@pytest.mark.parametrize("mmu", ["model", "silicon"])
def test_beladys_anomaly_under_fifo_more_frames_make_more_faults(mmu: str) -> None:
    counts = [len(guest_faults(list(BELADY), n, FIFO, mmu)) for n in (1, 2, 3, 4, 5)]
    assert counts == [12, 12, 9, 10, 5]


def around(pages: int, rounds: int) -> list[int]:
    return list(range(pages)) * rounds


def hot_and_cold() -> list[int]:
    """Two pages that are always in use, among many that are used once in turn."""
    return [page for cold in range(2, 60) for page in (0, 1, cold)]


def mostly_few() -> list[int]:
    """80 % of the accesses go to 20 % of the pages, by a fixed generator."""
    state, string = 1, []
    for _ in range(300):
        state = (state * 1103515245 + 12345) % (1 << 31)
        few = (state >> 16 & 0xFF) < 205
        string.append((state >> 8) % 4 if few else 4 + (state >> 8) % 16)
    return string


PATTERNS = {"around": around(9, 6), "hot and cold": hot_and_cold(), "mostly few": mostly_few()}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", PATTERNS)
def test_a_program_faults_on_exactly_the_pages_of_the_model(name: str, policy: str) -> None:
    string = PATTERNS[name]
    assert guest_faults(string, 8, policy) == MODELS[policy](string, 8)


def test_clock_against_fifo_on_three_patterns() -> None:
    """Round a range that is one page too large, both fault at each access.  Clock keeps the pages
    in use, FIFO does not.  With some locality, clock has fewer faults."""
    counts = {
        name: [len(guest_faults(string, 8, policy)) for policy in (CLOCK, FIFO)]
        for name, string in PATTERNS.items()
    }
    assert counts["around"] == [54, 54]
    assert counts["hot and cold"][0] < counts["hot and cold"][1]
    assert counts["mostly few"][0] < counts["mostly few"][1]


def one_page_in_many_places(kind: int) -> tuple[System, list[tuple[AddressSpace, int]]]:
    """A page of three processes; a shared one is twice in each."""
    system = still(ram=1, swap=1)
    parent = system.thread.space
    if kind == SHARED:
        system.ask("mmap", HERE, PAGE, RW, SHARED | ANON | FIXED)
        system.ask("mremap", HERE, 0, PAGE, 3, THERE)
        parent.write(HERE, b"a")
        parent.read(THERE, 1)
    else:
        system.ask("mmap", HERE, PAGE, RW, PRIVATE | ANON | FIXED)
        parent.write(HERE, b"a")
    spaces = [system.kernel.life.clone(system.thread, life.CloneRequest()).space for _ in range(2)]
    places = [(parent, HERE), *((space, HERE) for space in spaces)]
    if kind == SHARED:
        places += [(space, THERE) for space in (parent, *spaces)]
    for space, va in places:
        space.read(va, 1)
    return system, places


@pytest.mark.parametrize("kind", [SHARED, PRIVATE])
def test_clock_looks_at_every_place_where_a_page_is_and_clears_the_bit_in_each(kind: int) -> None:
    system, places = one_page_in_many_places(kind)
    frame = {space.table.lookup(va) & ADDRESS for space, va in places}
    assert len(frame) == 1
    pfn = frame.pop() >> 12
    for subset in range(1 << len(places)):
        for place, (space, va) in enumerate(places):
            entry = space.table.lookup(va) & ~A
            space.table.change(va, entry | (A if subset >> place & 1 else 0))
        assert pager(system).take_reference(pfn) == (subset != 0)
        stale = {(space.id, va) for space, pages in pager(system).stale.values() for va in pages}
        used = [place for number, place in enumerate(places) if subset >> number & 1]
        assert stale == {(space.id, va) for space, va in used}
        pager(system).stale.clear()
        assert not any(space.table.lookup(va) & A for space, va in places)
        assert not pager(system).take_reference(pfn)


@given(st.lists(st.integers(0, 9), min_size=5, max_size=60), st.integers(1, 8))
@settings(max_examples=25)
def test_any_string_of_accesses_faults_as_in_the_models(string: list[int], frames: int) -> None:
    for policy in POLICIES:
        system = still(ram=1, swap=1, replace=policy, traced=False)
        system.ask("mlockall", MCL_CURRENT)
        system.ask("mmap", HERE, 16 * PAGE, RW, PRIVATE | ANON | FIXED)
        system.ask("mlock", HERE + 15 * PAGE, PAGE)
        squeeze(system, frames)
        faults = []
        for page in string:
            before = system.kernel.memory.objects.faults
            system.thread.space.read(HERE + page * PAGE, 1)
            if system.kernel.memory.objects.faults != before:
                faults.append(page)
        assert faults == MODELS[policy](string, frames)
        invariants.check(system.kernel)
