"""For any maps, the folded axis keeps order, fits, and leads back from a pixel to an address."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from hw.panel.picture import axis

PAGES = st.integers(0, (1 << 35) - 600)
RANGES = st.lists(
    st.tuples(PAGES, st.integers(1, 500)).map(lambda r: (r[0] << 12, (r[0] + r[1]) << 12)),
    max_size=200,
)
HEIGHTS = st.integers(60, 1000)


@given(RANGES, HEIGHTS)
@settings(max_examples=150)
def test_it_is_monotone_and_fits(ranges: list[tuple[int, int]], height: int) -> None:
    scale = axis.build(ranges, height)
    before = 0.0
    for run in scale.runs:
        assert before <= run.top + 1e-6
        assert run.top < run.bottom <= height + 1e-6
        before = run.bottom
    edges = sorted({edge for pair in ranges for edge in pair})
    heights = [scale.y(edge) for edge in edges]
    assert all(one <= other + 1e-6 for one, other in itertools.pairwise(heights))


@given(RANGES, HEIGHTS, st.data())
@settings(max_examples=150)
def test_what_is_mapped_has_a_height_that_leads_back_to_it(
    ranges: list[tuple[int, int]], height: int, data: st.DataObject
) -> None:
    scale = axis.build(ranges, height)
    for start, end in ranges[:20]:
        va = data.draw(st.integers(start, end - 1))
        found = scale.address(scale.y(va))
        assert found is not None
        run = next(run for run in scale.runs if run.start <= va < run.end)
        pixel = (run.end - run.start) / (run.bottom - run.top)
        assert abs(found - va) <= 2 + pixel * 1e-3


@given(RANGES, RANGES, HEIGHTS)
@settings(max_examples=80)
def test_all_columns_have_the_same_axis_whatever_order_they_come_in(
    one: list[tuple[int, int]], other: list[tuple[int, int]], height: int
) -> None:
    assert axis.build(one + other, height) == axis.build(other + one + one, height)


def test_room_is_kept_for_what_was_folded_and_it_is_counted() -> None:
    ranges = [(n << 20, (n << 20) + 4096) for n in range(200)]
    scale = axis.build(ranges, 400)
    assert sum(run.folded for run in scale.runs) == 200
    assert scale.runs[-1].bottom <= 400


def test_gaps_are_described_in_words() -> None:
    scale = axis.build([(0x400000, 0x401000), (0x7F00_0000_0000, 0x7F00_0000_1000)], 300)
    ((_, size),) = scale.gaps()
    assert axis.size_in_words(size) == "127 TiB"
    assert axis.build([], 300).gaps() == []
    assert axis.size_in_words(0x3000) == "12 KiB"


def test_lower_addresses_have_smaller_heights() -> None:
    """An axis that is upside down fails here."""
    scale = axis.build([(0, 4096), (1 << 30, (1 << 30) + 4096)], 300)
    assert scale.y(0) < scale.y(1 << 30)


@given(HEIGHTS, st.lists(st.integers(0, (1 << 47) - 1), min_size=2, max_size=40))
@settings(max_examples=60)
def test_the_other_axes_keep_order_and_lead_back_to_the_address(
    height: int, addresses: list[int]
) -> None:
    for scale in (axis.linear(height), axis.logarithmic(height)):
        heights = [scale.y(va) for va in sorted(addresses)]
        assert heights == sorted(heights)
        assert 0 <= heights[0] <= heights[-1] <= height + 1e-6
        for va in addresses:
            found = scale.address(scale.y(va))
            assert found is not None
            assert abs(found - va) <= 2 + (1 << 47) / height * 1e-3


def test_a_doubling_is_as_tall_as_the_next_on_a_logarithmic_axis_only() -> None:
    log, linear = axis.logarithmic(360), axis.linear(360)
    for bit in range(13, 46):
        below, above = (scale_step(log, bit + n) for n in (0, 1))
        assert abs(below - above) < 1e-6
    assert scale_step(linear, 45) * 2 == scale_step(linear, 46)


def scale_step(scale: axis.Axis, bit: int) -> float:
    return scale.y(1 << bit + 1) - scale.y(1 << bit)
