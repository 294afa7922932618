"""x86-64 paging: the format of a page-table entry and the four-level walk.

Intel SDM vol. 3A, 4.5 ("4-level paging") and 4.7 ("page-fault exceptions").

    linear address   63        48 47     39 38     30 29     21 20     12 11          0
                    | sign copy  |  PML4   |  PDPT   |   PD    |   PT    |   offset    |
                                   level 4   level 3   level 2   level 1

    entry            63  62     52 51                       12 11  9 8 7  6 5 4   3   2 1 0
                    |NX | ignored |  physical address 51..12  | ign |G|PS|D|A|PCD|PWT|U|W|P|

A level-3 or level-2 entry with PS set is a leaf: 1 GiB or 2 MiB.  Bit 7 of a level-1 entry is
PAT, which this machine ignores.  This machine has 40 physical address bits, as the emulated
Nehalem does, so bits 51..40 are reserved.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from typing import Protocol

P = 1 << 0  # present
W = 1 << 1  # writable
U = 1 << 2  # user may use it
PWT = 1 << 3
PCD = 1 << 4
A = 1 << 5  # accessed: set by the walker
D = 1 << 6  # dirty: set by the walker, leaves only
PS = 1 << 7  # page size: this entry of level 2 or 3 is a leaf
G = 1 << 8  # global: survives a CR3 write
NX = 1 << 63  # no instruction fetch

PHYSICAL_BITS = 40
ADDRESS = 0x000F_FFFF_FFFF_F000
RESERVED_ADDRESS = ADDRESS & ~((1 << PHYSICAL_BITS) - 1)
LETTERS = ((P, "P"), (W, "W"), (U, "U"), (A, "A"), (D, "D"), (PS, "S"), (G, "G"), (NX, "N"))

# Page-fault error code, SDM vol. 3A, figure 4-12.
ERR_PRESENT = 1
ERR_WRITE = 2
ERR_USER = 4
ERR_RESERVED = 8
ERR_FETCH = 16

READ, WRITE, FETCH = 0, ERR_WRITE, ERR_FETCH
"""Kinds of access, written as the bit that each sets in the error code."""

LEVEL_NAMES = {4: "PML4", 3: "PDPT", 2: "PD", 1: "PT"}
SHIFTS = {4: 39, 3: 30, 2: 21, 1: 12}


def _reserved_low(level: int) -> int:
    """The address bits below a large page that must be zero, but for bit 12, its PAT."""
    return ((1 << SHIFTS[level]) - 1) & ADDRESS & ~(1 << 12)


_LEVELS = (
    # level, lowest bit of its index, bits that must be zero in an entry, and in a leaf
    # (SDM tables 4-14 to 4-19); PS at level 4 would be a leaf, which it cannot be
    (4, 39, RESERVED_ADDRESS, RESERVED_ADDRESS | PS),
    (3, 30, RESERVED_ADDRESS, RESERVED_ADDRESS | _reserved_low(3)),
    (2, 21, RESERVED_ADDRESS, RESERVED_ADDRESS | _reserved_low(2)),
    (1, 12, RESERVED_ADDRESS, RESERVED_ADDRESS),
)

USER_TOP = 0x0000_7FFF_FFFF_F000
"""First address that no user page may have: the last canonical page stays empty, as on Linux."""


class Words(Protocol):
    """Physical memory as 64-bit words: `words[pa >> 3]`."""

    def __getitem__(self, index: int, /) -> int: ...
    def __setitem__(self, index: int, word: int, /) -> None: ...
    def __len__(self) -> int: ...


class PageFault(Exception):
    """The walk of `va` failed; `error` is the code that the CPU pushes."""

    def __init__(self, va: int, error: int) -> None:
        super().__init__(va, error)
        self.va = va
        self.error = error

    def __str__(self) -> str:
        return f"#PF at {self.va:#x}: {explain_error(self.error)}"


@dataclass(frozen=True, slots=True)
class Step:
    """One entry read by a walk: `table_pa + index * 8` held `entry` (before A and D were set)."""

    level: int
    table_pa: int
    index: int
    entry: int

    def __str__(self) -> str:
        where = f"{LEVEL_NAMES[self.level]}[{self.index:03x}] @ {self.table_pa + self.index * 8:#x}"
        return f"{where} = {self.entry:#018x} {flag_letters(self.entry)}"


def is_canonical(va: int) -> bool:
    """True when bits 63..47 of `va` are all equal (SDM vol. 1, 3.3.7.1)."""
    return va >> 47 in (0, 0x1FFFF)


def flag_letters(entry: int) -> str:
    """The flags of `entry` as letters, a dash for each that is clear: `PWUAD--N`."""
    return "".join(letter if entry & bit else "-" for bit, letter in LETTERS)


def explain_error(error: int) -> str:
    """The error code in words, such as `err=0x7 (present, write, user)`."""
    access = "fetch" if error & ERR_FETCH else "write" if error & ERR_WRITE else "read"
    words = ["present" if error & ERR_PRESENT else "not present", access]
    words.append("user" if error & ERR_USER else "supervisor")
    if error & ERR_RESERVED:
        words.append("reserved bit")
    return f"err={error:#x} ({', '.join(words)})"


def walk(
    words: Words,
    cr3: int,
    va: int,
    access: int,
    steps: list[Step] | None = None,
) -> tuple[int, int, int]:
    """Translate `va` for a user-mode `access` (READ, WRITE or FETCH) through the tables at `cr3`.

    `words` is physical memory as 64-bit words.  Returns `(leaf, level, rights)`: the leaf entry
    as it now stands, the level it was found at (1 = 4 KiB, 2 = 2 MiB, 3 = 1 GiB), and the
    effective rights along the path: W and U only if every level has them, NX if any has it.
    Sets A in every entry used, and D in the leaf of a write, as the CPU does (SDM 4.8).
    Appends a `Step` per entry read to `steps`.  Raises `PageFault` with the CPU's error code.
    A table outside memory reads as zero, so it is "not present".
    """
    # BEGIN SOLUTION lab1.walk
    error, rights = access | ERR_USER, W | U
    table, size = (cr3 & ADDRESS) >> 3, len(words)
    for level, shift, reserved, reserved_in_leaf in _LEVELS:
        slot = table + (va >> shift & 511)
        entry = words[slot] if slot < size else 0
        if steps is not None:
            steps.append(Step(level, table << 3, va >> shift & 511, entry))
        if not entry & P:
            raise PageFault(va, error)
        leaf = entry & PS or level == 1
        if entry & (reserved_in_leaf if leaf else reserved):
            raise PageFault(va, error | ERR_PRESENT | ERR_RESERVED)
        rights = rights & (entry | NX) | entry & NX
        if leaf:
            break
        if not entry & A:
            words[slot] = entry | A
        table = (entry & ADDRESS) >> 3
    denied = not rights & U or (access == WRITE and not rights & W)
    if denied or (access == FETCH and rights & NX):
        raise PageFault(va, error | ERR_PRESENT)
    used = entry | A | (D if access == WRITE else 0)
    if used != entry:
        words[slot] = used
    return used, level, rights
    # END SOLUTION lab1.walk
    # PROMPT lab1.walk: read the four entries, check each, and set A and D on success.


def page_frame(leaf: int, level: int, va: int) -> int:
    """The 4 KiB frame that backs `va` when `leaf` was found at `level`."""
    inside_large_page = ((1 << SHIFTS[level]) - 1) >> 12
    base = (leaf & ADDRESS) >> 12
    return base & ~inside_large_page | (va >> 12 & inside_large_page)


_PRESENT = bytes(low & P for low in range(256))


def present(words: memoryview, table_pa: int) -> list[int]:
    """Which of the 512 entries of a table are present, in order: most tables are nearly empty."""
    lowest_bytes = words[table_pa >> 3 : (table_pa >> 3) + 512].tobytes()[::8]
    return list(compress(range(512), lowest_bytes.translate(_PRESENT)))


def leaves(words: memoryview, cr3: int) -> Iterator[tuple[int, int, int, int]]:
    """Every present leaf under `cr3` as `(va, leaf entry, level, rights)`, in address order."""
    yield from _leaves_below(words, cr3 & ADDRESS, 4, 0, W | U)


def _leaves_below(
    words: memoryview, table_pa: int, level: int, base: int, rights: int
) -> Iterator[tuple[int, int, int, int]]:
    for index in present(words, table_pa):
        entry = words[(table_pa >> 3) + index]
        va = base | index << SHIFTS[level]
        if level == 4 and index >= 256:
            va |= 0xFFFF << 48
        below = (rights & (entry | NX)) | (entry & NX)
        if level == 1 or entry & PS:
            yield va, entry, level, below
        else:
            yield from _leaves_below(words, entry & ADDRESS, level - 1, va, below)
