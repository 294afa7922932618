"""The software figures of the cost table equal new counts of their C equivalents."""

from __future__ import annotations

from functools import cache

import pytest

from hw import costs
from kernel.boot import Config, boot, run_to_end, spawn
from userland.programs import read_program

FEW, MANY = 960, 1920
"""Multiples of every period in prices.c: 2, 6, 16 and 64.  The 512 entries of a table are no such
period: they do not depend on how often a piece is done."""
COUNTED = [row for row in costs.TABLE if "counted" in row.source]


@cache
def instructions(piece: str, times: int) -> int:
    kernel = boot(Config(), {}, lambda _: None)
    words = [b"prices", piece.encode(), b"%d" % times]
    process = spawn(kernel, read_program("prices"), words, [], Config().user)
    assert run_to_end(kernel, process) == 0
    return kernel.machine.instructions()


def each(piece: str) -> float:
    """Instructions for one more round.  The fixed cost of a run cancels out."""
    return (instructions(piece, MANY) - instructions(piece, FEW)) / (MANY - FEW)


def test_there_are_counted_figures_and_measured_ones() -> None:
    assert len(COUNTED) == 14
    assert len(costs.TABLE) > len(COUNTED)


@pytest.mark.parametrize("row", COUNTED, ids=lambda row: row.name)
def test_a_counted_figure_is_the_count(row: costs.Primitive) -> None:
    assert round(each(row.name) - each("nothing")) == row.cycles
    assert f"{row.cycles} instructions" in row.source


def test_every_figure_is_within_its_range() -> None:
    for row in costs.TABLE:
        assert 0 < row.low <= row.cycles <= row.high, row
