"""The TLB by itself: sets, ways, age, tags and flushes, against a model with a flat list."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.tlb import GLOBAL, Entry, Tlb

PCIDS = (0, 1, 2)
SIZES = ((1, 1), (2, 1), (1, 2), (2, 2), (4, 3), (1, 8), (16, 4))


def entry(vpn: int, tag: int = 1, level: int = 1) -> Entry:
    return Entry(vpn, tag, vpn + 1000, rights=0, dirty=False, level=level)


def pages(entries: list[Entry]) -> list[tuple[int, int]]:
    return sorted((e.vpn, e.tag) for e in entries)


def filled(sets: int, ways: int, *vpns: int) -> Tlb:
    tlb = Tlb(sets, ways)
    for vpn in vpns:
        tlb.fill(entry(vpn))
    return tlb


# One rule at a time -----------------------------------------------------------------------------


def test_an_empty_tlb_misses() -> None:
    tlb = Tlb(4, 2)
    assert len(tlb) == 0
    assert tlb.lookup(7, 1) is None


@pytest.mark.parametrize(("sets", "ways"), [(0, 1), (1, 0), (-1, 4)])
def test_a_tlb_without_sets_or_ways_is_refused(sets: int, ways: int) -> None:
    with pytest.raises(ValueError, match="at least one set and one way"):
        Tlb(sets, ways)


def test_what_was_filled_is_found_under_its_own_tag_only() -> None:
    tlb, new = Tlb(4, 2), entry(7, tag=3)
    assert tlb.fill(new) is None
    assert tlb.lookup(7, 3) is new
    assert tlb.lookup(7, 4) is None
    assert tlb.lookup(8, 3) is None


def test_a_global_entry_is_found_under_every_tag() -> None:
    tlb, new = Tlb(4, 2), entry(7, GLOBAL)
    tlb.fill(new)
    assert [tlb.lookup(7, pcid) for pcid in (0, 1, 4095)] == [new] * 3


def test_the_set_of_a_page_is_its_number_modulo_the_sets() -> None:
    tlb = filled(8, 2, 5, 13, 6)
    assert [(e.set_index, e.way) for e in tlb.index.values()] == [(5, 0), (5, 1), (6, 0)]


def test_a_full_set_evicts_though_other_sets_have_room() -> None:
    tlb = filled(4, 2, 0, 4)
    victim = tlb.fill(entry(8))
    assert victim is not None
    assert victim.vpn == 0
    assert len(tlb) == 2


def test_the_oldest_goes_first_and_a_hit_does_not_make_it_younger() -> None:
    tlb = filled(1, 3, 1, 2, 3)
    gone = []
    for vpn in (4, 5, 6):
        tlb.lookup(1, 1)
        victim = tlb.fill(entry(vpn))
        assert victim is not None
        gone.append(victim.vpn)
    assert gone == [1, 2, 3]


def test_a_hole_is_filled_before_anything_is_evicted_and_age_is_not_the_way() -> None:
    tlb = filled(1, 3, 1, 2, 3)
    tlb.flush_page(1, 1)
    assert tlb.fill(entry(4)) is None
    assert [slot.vpn for slot in tlb.slots[0] if slot] == [4, 2, 3]
    victims = [tlb.fill(entry(vpn)) for vpn in (5, 6, 7)]
    assert [victim.vpn for victim in victims if victim] == [2, 3, 4]


def test_flushing_a_page_leaves_other_tags_and_other_pages() -> None:
    tlb = Tlb(4, 4)
    for new in (entry(7, 1), entry(7, 2), entry(11, 1)):
        tlb.fill(new)
    assert pages(tlb.flush_page(7, 1)) == [(7, 1)]
    assert tlb.lookup(7, 1) is None
    assert tlb.lookup(7, 2) is not None
    assert tlb.lookup(11, 1) is not None
    assert tlb.flush_page(7, 1) == []


def test_flushing_a_page_takes_the_global_entry_for_it() -> None:
    tlb = Tlb(4, 4)
    tlb.fill(entry(7, GLOBAL))
    assert pages(tlb.flush_page(7, 3)) == [(7, GLOBAL)]
    assert len(tlb) == 0


def test_flushing_a_pcid_keeps_globals_and_the_others() -> None:
    tlb = Tlb(4, 4)
    for new in (entry(1, 1), entry(2, 1), entry(3, 2), entry(4, GLOBAL)):
        tlb.fill(new)
    assert pages(tlb.flush_pcid(1)) == [(1, 1), (2, 1)]
    assert pages(list(tlb.index.values())) == [(3, 2), (4, GLOBAL)]


def test_flushing_all_takes_globals_too() -> None:
    tlb = Tlb(4, 4)
    for new in (entry(1, 1), entry(4, GLOBAL)):
        tlb.fill(new)
    assert pages(tlb.flush_all()) == [(1, 1), (4, GLOBAL)]
    assert len(tlb) == 0
    assert tlb.slots == [[None] * 4] * 4


@pytest.mark.parametrize(("level", "pieces"), [(2, 512), (3, 512 * 512)])
def test_one_flush_takes_every_piece_of_a_large_page(level: int, pieces: int) -> None:
    tlb, base = Tlb(16, 4), 5 * pieces
    inside = [base, base + 1, base + pieces // 2, base + pieces - 1]
    for vpn in inside:
        tlb.fill(entry(vpn, 1, level))
    tlb.fill(entry(base - 1, 1, level))
    tlb.fill(entry(base + pieces, 1, level))
    assert sorted(e.vpn for e in tlb.flush_page(base + 3, 1)) == inside
    assert pages(list(tlb.index.values())) == [(base - 1, 1), (base + pieces, 1)]


def test_the_flush_of_a_small_page_leaves_a_large_neighbour() -> None:
    tlb = Tlb(16, 4)
    tlb.fill(entry(512, 1, 1))
    tlb.fill(entry(1024, 1, 2))
    assert pages(tlb.flush_page(512, 1)) == [(512, 1)]


# All rules at once --------------------------------------------------------------------------------


@dataclass
class Resident:
    vpn: int
    tag: int
    level: int
    way: int


@dataclass
class Naive:
    """Every resident entry in one list, oldest first."""

    sets: int
    ways: int
    resident: list[Resident] = field(default_factory=list)

    def lookup(self, vpn: int, pcid: int) -> Resident | None:
        found = [r for r in self.resident if r.vpn == vpn and r.tag in (pcid, GLOBAL)]
        return min(found, key=lambda r: r.tag == GLOBAL, default=None)

    def fill(self, vpn: int, tag: int, level: int) -> tuple[int, int | None]:
        """The way, and the page number of the victim."""
        mates = [r for r in self.resident if r.vpn % self.sets == vpn % self.sets]
        victim = None
        if len(mates) == self.ways:
            victim = mates[0]
            self.resident.remove(victim)
            mates.remove(victim)
        way = min(set(range(self.ways)) - {r.way for r in mates})
        self.resident.append(Resident(vpn, tag, level, way))
        return way, victim.vpn if victim else None

    def flush(self, vpn: int | None, tags: tuple[int, ...]) -> list[tuple[int, int]]:
        gone = [
            r
            for r in self.resident
            if r.tag in tags
            and (vpn is None or r.vpn // 512 ** (r.level - 1) == vpn // 512 ** (r.level - 1))
        ]
        self.resident = [r for r in self.resident if r not in gone]
        return sorted((r.vpn, r.tag) for r in gone)


PAGE_NUMBERS = st.one_of(st.integers(0, 12), st.sampled_from((511, 512, 1023, 1 << 18, 1 << 35)))
STEPS = st.one_of(
    st.tuples(
        st.just("use"), PAGE_NUMBERS, st.sampled_from(PCIDS), st.booleans(), st.integers(1, 3)
    ),
    st.tuples(st.just("flush_page"), PAGE_NUMBERS, st.sampled_from(PCIDS)),
    st.tuples(st.just("flush_pcid"), st.sampled_from(PCIDS)),
    st.tuples(st.just("flush_all")),
)


@settings(max_examples=600)
@given(st.sampled_from(SIZES), st.lists(STEPS, max_size=60))
def test_any_sequence_does_what_the_naive_model_does(
    size: tuple[int, int], steps: list[tuple[object, ...]]
) -> None:
    tlb, naive = Tlb(*size), Naive(*size)
    for name, *arguments in steps:
        if name == "use":
            use(tlb, naive, *arguments)  # type: ignore[arg-type]
        elif name == "flush_page":
            vpn, pcid = arguments
            assert isinstance(vpn, int)
            assert isinstance(pcid, int)
            assert pages(tlb.flush_page(vpn, pcid)) == naive.flush(vpn, (pcid, GLOBAL))
        elif name == "flush_pcid":
            (pcid,) = arguments
            assert isinstance(pcid, int)
            assert pages(tlb.flush_pcid(pcid)) == naive.flush(None, (pcid,))
        else:
            assert pages(tlb.flush_all()) == naive.flush(None, (*PCIDS, GLOBAL))
        agree(tlb, naive)


def use(tlb: Tlb, naive: Naive, vpn: int, pcid: int, is_global: bool, level: int) -> None:
    """Look a page up, and fill it in on a miss, as the MMU does."""
    found, expected = tlb.lookup(vpn, pcid), naive.lookup(vpn, pcid)
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert (found.vpn, found.tag, found.way) == (expected.vpn, expected.tag, expected.way)
        return
    tag = GLOBAL if is_global else pcid
    new = entry(vpn, tag, level)
    victim = tlb.fill(new)
    assert (new.way, victim.vpn if victim else None) == naive.fill(vpn, tag, level)


def agree(tlb: Tlb, naive: Naive) -> None:
    """Both hold the same entries in the same ways, and the real one's indexes are consistent."""
    assert len(tlb) == len(naive.resident)
    seen = {(e.vpn, e.tag, e.level, e.set_index, e.way) for e in tlb.index.values()}
    assert seen == {(r.vpn, r.tag, r.level, r.vpn % naive.sets, r.way) for r in naive.resident}
    for set_index, (ways, ages) in enumerate(zip(tlb.slots, tlb.ages, strict=True)):
        used = [way for way, slot in enumerate(ways) if slot is not None]
        assert sorted(ages) == used
        order = [r.way for r in naive.resident if r.vpn % naive.sets == set_index]
        assert ages == order
