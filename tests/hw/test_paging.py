"""The page walk: its rules one by one, and all of them against the emulated CPU's own walker."""

from __future__ import annotations

from array import array
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.memory import WORDS_PER_PAGE
from hw.paging import (
    FETCH,
    NX,
    PS,
    READ,
    WRITE,
    A,
    D,
    G,
    P,
    PageFault,
    Step,
    U,
    W,
    explain_error,
    flag_letters,
    is_canonical,
    leaves,
    page_frame,
    walk,
)
from tests.hw.table_oracle import compare, oracle, random_case

FRAMES = 16
ALL = P | W | U
VA = 3 << 39 | 5 << 30 | 7 << 21 | 9 << 12
INDEXES = (3, 5, 7, 9)
LEAF_PFN = 12


def tables(*entries: int) -> list[int]:
    """Memory whose frames 1, 2, ... are the tables of `VA`: entry by entry, level 4 first."""
    words = [0] * (FRAMES * WORDS_PER_PAGE)
    for number, (entry, index) in enumerate(zip(entries, INDEXES, strict=False)):
        words[(number + 1) * WORDS_PER_PAGE + index] = entry
    return words


def path(leaf: int = ALL, *upper: int) -> list[int]:
    """Tables that lead to a 4 KiB leaf; `upper` gives other flags for the upper entries."""
    flags = upper or (ALL, ALL, ALL)
    above = [number + 2 << 12 | flag for number, flag in enumerate(flags)]
    return tables(*above, LEAF_PFN << 12 | leaf)


def entry_of(words: list[int], level: int) -> int:
    return words[(5 - level) * WORDS_PER_PAGE + INDEXES[4 - level]]


def error_of(words: list[int], access: int, va: int = VA) -> int:
    with pytest.raises(PageFault) as caught:
        walk(words, 1 << 12, va, access)
    assert caught.value.va == va
    return caught.value.error


# Against the CPU ----------------------------------------------------------------------------


def test_the_model_and_the_cpu_agree_on_thousands_of_random_tables() -> None:
    result = compare(20_000, seed=1)
    assert result.differences == []
    assert result.compared == 20_000
    codes = {f"#PF {code:#x}" for code in (4, 5, 6, 7, 0xD, 0xF, 0x14, 0x15, 0x1D)}
    assert set(result.outcomes) == {"", "#GP", "outside memory", *codes}, "all must have happened"
    assert min(result.outcomes.values()) > 200


@settings(max_examples=500)
@given(st.randoms(use_true_random=False))
def test_the_model_and_the_cpu_agree_on_any_table(rng: Random) -> None:
    difference, _ = oracle().difference(random_case(rng))
    assert difference is None


def test_the_comparison_notices_a_walk_that_forgets_a_bit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for wrong in ("dirty", "rights"):
        monkeypatch.setattr("tests.hw.table_oracle.walk", broken_walk(wrong))
        assert compare(200, seed=3).differences


def broken_walk(wrong: str) -> object:
    def broken(
        words: list[int], cr3: int, va: int, access: int, steps: list[Step]
    ) -> tuple[int, int, int]:
        if wrong == "dirty" and access == WRITE:
            access = READ
        elif wrong == "rights" and access == FETCH:
            return walk(words, cr3, va, READ, steps)
        return walk(words, cr3, va, access, steps)

    return broken


# Error codes --------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [4, 3, 2, 1])
@pytest.mark.parametrize(("access", "error"), [(READ, 4), (WRITE, 6), (FETCH, 0x14)])
def test_an_entry_that_is_not_present_gives_an_error_without_bit_0(
    level: int, access: int, error: int
) -> None:
    words = path()
    words[(5 - level) * WORDS_PER_PAGE + INDEXES[4 - level]] &= ~P
    assert error_of(words, access) == error


@pytest.mark.parametrize("level", [4, 3, 2, 1])
@pytest.mark.parametrize(("access", "error"), [(READ, 5), (WRITE, 7), (FETCH, 0x15)])
def test_a_supervisor_entry_at_any_level_closes_the_page_to_users(
    level: int, access: int, error: int
) -> None:
    words = path()
    words[(5 - level) * WORDS_PER_PAGE + INDEXES[4 - level]] &= ~U
    assert error_of(words, access) == error


@pytest.mark.parametrize("level", [4, 3, 2, 1])
def test_a_write_to_a_read_only_page_is_refused_with_error_7(level: int) -> None:
    words = path()
    words[(5 - level) * WORDS_PER_PAGE + INDEXES[4 - level]] &= ~W
    assert error_of(words, WRITE) == 7
    _, _, rights = walk(words, 1 << 12, VA, READ)
    assert rights == U


@pytest.mark.parametrize("level", [4, 3, 2, 1])
def test_a_fetch_under_a_no_execute_entry_is_refused_with_error_21(level: int) -> None:
    words = path()
    words[(5 - level) * WORDS_PER_PAGE + INDEXES[4 - level]] |= NX
    assert error_of(words, FETCH) == 0x15
    _, _, rights = walk(words, 1 << 12, VA, READ)
    assert rights == W | U | NX


@pytest.mark.parametrize("level", [4, 3, 2, 1])
@pytest.mark.parametrize("bit", [40, 45, 51])
def test_address_bits_past_the_fortieth_are_reserved_at_every_level(level: int, bit: int) -> None:
    words = path()
    words[(5 - level) * WORDS_PER_PAGE + INDEXES[4 - level]] |= 1 << bit
    assert error_of(words, READ) == 0xD
    assert error_of(words, WRITE) == 0xF
    assert error_of(words, FETCH) == 0x1D


@pytest.mark.parametrize("bit", [9, 10, 11, 52, 57, 62])
def test_ignored_bits_are_ignored_and_kept(bit: int) -> None:
    words = path(ALL | 1 << bit)
    leaf, _, _ = walk(words, 1 << 12, VA, READ)
    assert leaf == entry_of(words, 1) == LEAF_PFN << 12 | ALL | A | 1 << bit


def test_page_size_is_reserved_in_the_top_table_and_means_nothing_in_the_lowest() -> None:
    assert error_of(path(ALL, ALL | PS, ALL, ALL), READ) == 0xD
    assert walk(path(ALL | PS), 1 << 12, VA, READ)[1] == 1


@pytest.mark.parametrize(("level", "bit"), [(3, 13), (3, 21), (3, 29), (2, 13), (2, 20)])
def test_low_address_bits_of_a_large_leaf_are_reserved(level: int, bit: int) -> None:
    words = path(ALL, *(ALL | PS | 1 << bit if at == level else ALL for at in (4, 3, 2)))
    words[(5 - level) * WORDS_PER_PAGE + INDEXES[4 - level]] = ALL | PS | 1 << bit
    assert error_of(words, READ) == 0xD


@pytest.mark.parametrize("level", [3, 2])
def test_bit_12_of_a_large_leaf_is_its_pat_and_no_part_of_the_address(level: int) -> None:
    words = path()
    words[(5 - level) * WORDS_PER_PAGE + INDEXES[4 - level]] = ALL | PS | 1 << 12
    leaf, found, _ = walk(words, 1 << 12, VA, READ)
    assert found == level
    assert page_frame(leaf, found, VA) == (VA >> 12) % (1 << 9 * (level - 1))


def test_absence_counts_before_reserved_bits_and_these_before_rights() -> None:
    assert error_of(path(1 << 45), WRITE) == 6
    assert error_of(path(P | 1 << 45), WRITE) == 0xF


def test_a_table_outside_memory_reads_as_not_present() -> None:
    assert error_of(tables(FRAMES << 12 | ALL), READ) == 4
    assert error_of(path(ALL, ALL), READ, va=1 << 47 | 0xFFFF << 48) == 4
    with pytest.raises(PageFault):
        walk([0] * WORDS_PER_PAGE, 0xFFFF_F000, VA, READ)


# What a walk leaves behind ----------------------------------------------------------------------


@pytest.mark.parametrize(("access", "bits"), [(READ, A), (FETCH, A), (WRITE, A | D)])
def test_a_walk_marks_every_entry_accessed_and_a_written_leaf_dirty(access: int, bits: int) -> None:
    words = path()
    leaf, level, rights = walk(words, 1 << 12, VA, access)
    assert (leaf, level, rights) == (LEAF_PFN << 12 | ALL | bits, 1, W | U)
    assert entry_of(words, 1) == leaf
    assert [entry_of(words, at) & (A | D) for at in (4, 3, 2)] == [A, A, A]


def test_a_refused_access_marks_the_tables_on_its_way_but_not_the_leaf() -> None:
    words = path(P | U)
    error_of(words, WRITE)
    assert [entry_of(words, at) & (A | D) for at in (4, 3, 2, 1)] == [A, A, A, 0]


def test_a_walk_changes_nothing_but_the_marks() -> None:
    words = path(ALL | G)
    before = list(words)
    walk(words, 1 << 12, VA, WRITE)
    changed = [i for i, word in enumerate(words) if word != before[i]]
    assert [before[i] ^ words[i] for i in changed] == [A, A, A, A | D]
    after = list(words)
    walk(words, 1 << 12, VA, WRITE)
    assert words == after, "a second walk has nothing left to mark"


def test_the_low_bits_of_cr3_are_no_part_of_the_table_address() -> None:
    assert walk(path(), 1 << 12 | 0xFFF, VA, READ)[0] >> 12 == LEAF_PFN


def test_the_steps_list_every_entry_read_as_it_was_before() -> None:
    steps: list[Step] = []
    walk(path(), 1 << 12, VA, WRITE, steps)
    assert [(step.level, step.table_pa, step.index) for step in steps] == [
        (4, 0x1000, 3),
        (3, 0x2000, 5),
        (2, 0x3000, 7),
        (1, 0x4000, 9),
    ]
    assert [step.entry for step in steps] == [0x2007, 0x3007, 0x4007, 0xC007]


def test_the_steps_of_a_fault_end_with_the_entry_that_refused() -> None:
    steps: list[Step] = []
    words = path(ALL, ALL, 0, ALL)
    with pytest.raises(PageFault):
        walk(words, 1 << 12, VA, READ, steps)
    assert [step.level for step in steps] == [4, 3]
    assert str(steps[1]) == "PDPT[005] @ 0x2028 = 0x0000000000003000 --------"


# Words for people -----------------------------------------------------------------------------


def test_flags_are_letters_with_a_dash_for_each_that_is_clear() -> None:
    assert flag_letters(0) == "--------"
    assert flag_letters(P | W | U | A | D | PS | G | NX) == "PWUADSGN"
    assert flag_letters(P | U | NX) == "P-U----N"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (0x4, "err=0x4 (not present, read, user)"),
        (0x7, "err=0x7 (present, write, user)"),
        (0x15, "err=0x15 (present, fetch, user)"),
        (0xD, "err=0xd (present, read, user, reserved bit)"),
        (0x0, "err=0x0 (not present, read, supervisor)"),
    ],
)
def test_an_error_code_is_explained_bit_by_bit(error: int, words: str) -> None:
    assert explain_error(error) == words
    assert str(PageFault(0x1234, error)) == f"#PF at 0x1234: {words}"


def test_canonical_addresses_are_the_two_halves() -> None:
    halves = (0, 0x7FFF_FFFF_FFFF, 0xFFFF_8000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF)
    between = (0x8000_0000_0000, 0xFFFF_7FFF_FFFF_FFFF, 1 << 63, 0x0001_0000_0000_0000)
    assert [is_canonical(va) for va in halves + between] == [True] * 4 + [False] * 4


# Leaves -----------------------------------------------------------------------------------------


def in_memory(words: list[int]) -> memoryview:
    return memoryview(array("Q", words))


def test_leaves_come_in_address_order_with_their_size_and_rights() -> None:
    words = tables(0x2000 | ALL, 0x3000 | P | U, 0x4000 | ALL, 0xC000 | ALL)
    words[1 * WORDS_PER_PAGE + 511] = 0x5000 | ALL | NX
    words[5 * WORDS_PER_PAGE + 511] = ALL | PS | G
    words[3 * WORDS_PER_PAGE + 8] = 0x20_0000 | ALL | PS
    last_gib = 0xFFFF_FFFF_C000_0000
    assert list(leaves(in_memory(words), 0x1000)) == [
        (VA, 0xC007, 1, U),
        (VA - (9 << 12) + (1 << 21), 0x20_0000 | ALL | PS, 2, U),
        (last_gib, ALL | PS | G, 3, W | U | NX),
    ]


def test_leaves_mark_nothing() -> None:
    words = path()
    before = list(words)
    assert len(list(leaves(in_memory(words), 0x1000))) == 1
    assert words == before


@given(st.integers(0, (1 << 47) - 1), st.sampled_from((1, 2, 3)), st.integers(0, (1 << 28) - 1))
def test_a_page_frame_is_the_leafs_with_the_offset_inside_the_large_page(
    va: int, level: int, pfn: int
) -> None:
    size_bytes = 4096 << 9 * (level - 1)
    base = pfn * 4096 // size_bytes * size_bytes
    assert page_frame(base | ALL | PS, level, va) == (base + va % size_bytes) >> 12


@settings(max_examples=50)
@given(st.randoms(use_true_random=False))
def test_every_leaf_listed_is_where_a_walk_arrives(rng: Random) -> None:
    words = [0] * (FRAMES * WORDS_PER_PAGE)
    for level, frame, below in ((4, 1, 2), (3, 2, 3), (2, 3, 4), (1, 4, 5)):
        for index in rng.sample(range(512), 3):
            large = PS if level in (2, 3) and rng.random() < 0.3 else 0
            flags = P | large | rng.choice((0, W)) | rng.choice((0, U)) | rng.choice((0, NX))
            words[frame * WORDS_PER_PAGE + index] = flags if large else below << 12 | flags
    found = list(leaves(in_memory(words), 0x1000))
    assert found == sorted(found)
    assert found
    for va, leaf, level, rights in found:
        if rights & U:
            assert walk(list(words), 0x1000, va, READ) == (leaf | A, level, rights)
        else:
            assert error_of(list(words), READ, va) == 5
