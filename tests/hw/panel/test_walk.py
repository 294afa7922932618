"""The walk that is shown is the machine's own, and names the bit that stops it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hw.panel.model.walk
from hw.paging import FETCH, NX, PS, READ, WRITE, P, U, W
from hw.panel.layout import compose, describe
from hw.panel.model.walk import Tables, explain
from hw.panel.pictures import view_of
from tests.hw.panel.recordings import closing, opened

__all__ = ["closing"]
TRACE = Path(__file__).with_name("cow.vtrace")
VA = 0x7F00_0000_7123
INDEXES = (0x0FE, 0x000, 0x000, 0x007)
RWX = P | W | U


def tables(*entries: int) -> Tables:
    """A path of tables at 0x1000, 0x2000 ... for `VA`; `entries` are the flags of each level, and
    a leaf's frame is 0x55."""
    words = {}
    for depth, (index, flags) in enumerate(zip(INDEXES, entries, strict=False)):
        address = (depth + 2) << 12 if depth < 3 and not flags & PS else 0x55 << 12
        words[((depth + 1) << 12) + 8 * index] = address | flags
    return Tables(words)


@pytest.mark.parametrize(
    ("entries", "access", "bit", "level", "error"),
    [
        ((RWX, RWX, RWX, RWX), WRITE, "", 0, None),
        ((RWX, RWX, RWX, P | U), WRITE, "W", 1, 7),
        ((RWX, P | U, RWX, RWX), WRITE, "W", 3, 7),
        ((RWX, RWX, P | W, RWX), READ, "U", 2, 5),
        ((RWX, RWX, RWX, RWX | NX), FETCH, "N", 1, 0x15),
        ((RWX | NX, RWX, RWX, RWX), FETCH, "N", 4, 0x15),
        ((RWX, RWX), READ, "P", 2, 4),
        ((RWX | PS,), READ, "reserved", 4, 0xD),
        ((RWX, RWX, RWX, RWX | 1 << 45), READ, "reserved", 1, 0xD),
    ],
)
def test_the_bit_that_stops_a_walk_is_named(
    entries: tuple[int, ...], access: int, bit: str, level: int, error: int | None
) -> None:
    walk = explain(tables(*entries), 0x1000, VA, access)
    assert (walk.stopped_by, walk.stopped_at, walk.error) == (bit, level, error)
    assert walk.allows(access) == (error is None)
    assert (walk.pfn == 0x55) == (bit not in ("P", "reserved"))


def test_an_address_that_is_not_canonical_is_not_walked() -> None:
    assert explain(tables(RWX), 0x1000, 1 << 47, READ).stopped_by == "canonical"


def test_where_the_walk_is_not_yet_written_the_panel_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the first exercise there is no walk yet, and the panel must not contain one to copy."""

    def unwritten(*_: Any) -> None:
        raise NotImplementedError("write walk in hw/paging.py")

    monkeypatch.setattr(hw.panel.model.walk, "walk", unwritten)
    history = opened(TRACE)
    history.seek(307)
    view = view_of(history)
    assert "write walk in hw/paging.py" in "\n".join(describe(view, ["walk"]))
    assert compose(view, 1280, 720)
