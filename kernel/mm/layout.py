"""Where things lie in an address space, and arithmetic with pages.

0x0000_0000_0001_0000   lowest address that may be mapped
0x0000_0000_0040_0000   programs (static, not position-independent)
0x0000_5555_5555_0000   programs (position-independent), their heap behind them
0x0000_7f00_0000_0000   mappings without a wished address, upwards; anywhere, once that is full
0x0000_7fff_ffff_e000   the stack's end; it grows down by at most RLIMIT_STACK, at first 8 MiB
0x0000_7fff_ffff_e000   one page of kernel code that users may run (global): `KUSER`
0x0000_7fff_ffff_f000   never mapped
"""

from __future__ import annotations

from collections.abc import Iterator

from hw.memory import PAGE_MASK, PAGE_SIZE
from hw.paging import USER_TOP

KUSER = USER_TOP - PAGE_SIZE
MAP_LOWEST, MAP_TOP, MAP_BASE = 0x1_0000, KUSER, 0x7F00_0000_0000
STACK_TOP, STACK_BYTES, STACK_GUARD_PAGES = KUSER, 8 << 20, 16
STACK_RESERVE = 128 << 20
"""Mappings without a wished address leave at most this much below a stack's end free."""


def page_up(va: int) -> int:
    """Round up to a page boundary."""
    return va + PAGE_MASK & ~PAGE_MASK


def pieces(start: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """A range cut at page boundaries, as (start, bytes)."""
    end = start + size_bytes
    while start < end:
        room = min(PAGE_SIZE - (start & PAGE_MASK), end - start)
        yield start, room
        start += room
