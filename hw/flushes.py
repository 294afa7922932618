"""Instructions that make stores to NVM durable: CLFLUSH, CLFLUSHOPT, CLWB, SFENCE, MFENCE.

The emulator takes CLFLUSH and the fences for nothing, and refuses the other two.  A core with an
NVM module stops in front of each and carries it out by hand (`hw/remedies.py`).  Instructions with
LOCK order flushes too on silicon (SDM vol. 2A, CLWB), here they do not: use a fence.
"""

from __future__ import annotations

import functools
import re

from hw.decode import DATA16, TWO_BYTE, Instruction, decode

GROUP15 = 0xAE
CLWB, CLFLUSH = 6, 7
"""The middle field of ModRM, where the operand is in memory.  CLWB and CLFLUSHOPT have the prefix
66."""
MFENCE_FORMS, SFENCE_FORMS = 6, 7
REPEATS = frozenset(b"\xf2\xf3")
_TRACE = re.compile(rb"\x0f\xae[\x30-\x3f\x70-\x7f\xb0-\xbf\xf0-\xff]", re.DOTALL)


def is_flush(instruction: Instruction) -> bool:
    """Is it one of the five?"""
    if instruction.map != TWO_BYTE or instruction.opcode != GROUP15:
        return False
    if not REPEATS.isdisjoint(instruction.prefixes):
        return False
    if instruction.names_memory and instruction.reg == CLWB:
        return DATA16 in instruction.prefixes
    if instruction.names_memory:
        return instruction.reg == CLFLUSH
    return instruction.reg in (MFENCE_FORMS, SFENCE_FORMS) and DATA16 not in instruction.prefixes


@functools.lru_cache(maxsize=1 << 14)
def flushes_in(code: bytes) -> tuple[int, ...]:
    """Where in a block of code such instructions start."""
    if not _TRACE.search(code):
        return ()
    found, at = [], 0
    while at < len(code):
        instruction = decode(code, at)
        if instruction is None:
            break
        if is_flush(instruction):
            found.append(at)
        at += instruction.length
    return tuple(found)


def flush_at(code: bytes) -> Instruction | None:
    """The instruction at the start of `code`, if it is one of the five."""
    instruction = decode(code)
    return instruction if instruction is not None and is_flush(instruction) else None
