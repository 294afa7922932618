"""Does a program's memory hold what its file says?  Asked when a program has failed.

A kernel that brings in a wrong page of the file lets the program fail somewhere else, and much
later.  So the pages of its writable segments are compared with the file.  The program has changed
them since, so a page is wrong only if another page of the file fits better, or its own not at all.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

PAGE = 4096
LOAD, WRITABLE = 1, 2
HEADERS_AT, HEADERS_SIZE_AND_COUNT = 32, 54
"""Where an ELF header says where the program headers are, how large each is, and how many."""


def wrong_page(program: bytes, shown: Callable[[int], bytes | None]) -> str:
    """In words, the first page that holds another page of the file than its own, or nothing.

    `shown` gives the content of the page at an address; None where there is none.
    """
    file = [program[at : at + PAGE].ljust(PAGE, b"\0") for at in range(0, len(program), PAGE)]
    for va, own in _pages(program):
        content = shown(va)
        if content is None or own >= len(file):
            continue
        likeness = [_alike(content, page) for page in file]
        best = max(range(len(file)), key=likeness.__getitem__)
        if likeness[best] > likeness[own]:
            return f"the page at {va:#x} holds page {best} of the program's file, not page {own}"
        if not likeness[own] and any(file[own]):
            return f"the page at {va:#x} holds nothing of page {own} of the program's file"
    return ""


def _pages(program: bytes) -> Iterator[tuple[int, int]]:
    """The pages of writable segments that the file fills, and the page of the file for each."""
    (at,) = struct.unpack_from("<Q", program, HEADERS_AT)
    size, count = struct.unpack_from("<HH", program, HEADERS_SIZE_AND_COUNT)
    for number in range(count):
        kind, flags, offset, va, _, length = struct.unpack_from(
            "<IIQQQQ", program, at + number * size
        )
        if kind == LOAD and flags & WRITABLE:
            for page in range(va // PAGE, (va + length - 1) // PAGE + 1):
                yield page * PAGE, (offset - va) // PAGE + page


def _alike(one: bytes, other: bytes) -> int:
    """How many words are the same, and not zero."""
    pairs = zip(memoryview(one).cast("Q"), memoryview(other).cast("Q"), strict=True)
    return sum(a == b != 0 for a, b in pairs)
