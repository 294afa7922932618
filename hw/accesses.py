"""Which memory an instruction touches, and which exception a bad address raises.

The emulator knows one exception for all addresses that are not canonical.  Silicon has two (SDM
vol. 3A, 6.15): #SS for the stack segment, #GP for all others.  It also looks at the last byte of an
access before it translates the first one, and refuses a misaligned access if EFLAGS.AC is set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from hw.decode import DATA16, ONE_BYTE, TWO_BYTE, Instruction
from hw.paging import is_canonical

STACK_FAULT, PROTECTION, ALIGNMENT = 12, 13, 17
UPPER_EDGE = 1 << 47
"""The first address behind the user half."""
LAST_PAGE = UPPER_EDGE - 0x1000

_BYTES = frozenset(b"\x80\x84\x86\x88\x8a\xc0\xc6\xd0\xd2\xf6\xfe")
"""Opcodes of one byte with an operand of one byte, from 80 on.  Below, they are the even ones."""
_PUSHES = frozenset([*range(0x50, 0x58), 0x68, 0x6A, 0x9C, 0xC8, 0xE8])
_POPS = frozenset([*range(0x58, 0x60), 0x8F, 0x9D, 0xC2, 0xC3])
_LEAVE = 0xC9
_STRINGS = {
    0xA4: "rsi rdi",
    0xA5: "rsi rdi",
    0xA6: "rsi rdi",
    0xA7: "rsi rdi",
    0xAA: "rdi",
    0xAB: "rdi",
    0xAC: "rsi",
    0xAD: "rsi",
    0xAE: "rdi",
    0xAF: "rdi",
}
_X87 = {0xD8: 4, 0xD9: 4, 0xDA: 4, 0xDB: 4, 0xDC: 8, 0xDD: 8, 0xDE: 2, 0xDF: 2}
_X87_FORMS = {
    **{(0xD9, form): 2 for form in (4, 5, 6, 7)},
    **{(opcode, form): 8 for opcode in (0xDB, 0xDF) for form in (4, 5, 6, 7)},
    **{(0xDD, form): 2 for form in (4, 6, 7)},
}
"""Where the middle field of ModRM decides.  A number of ten bytes is read as eight and two."""
_SMALL_0F = {0xB6: 1, 0xBE: 1, 0xB0: 1, 0xC0: 1, 0xB7: 2, 0xBF: 2}
_NO_ACCESS = {(ONE_BYTE, 0x8D), (TWO_BYTE, 0x0D), (TWO_BYTE, 0x18), (TWO_BYTE, 0x1F)}
"""LEA, prefetches and the long NOP."""
_HALF_0F = frozenset(b"\x12\x13\x16\x17\xd6")
_VECTORS = frozenset([*range(0x10, 0x18), *range(0x28, 0x30), *range(0x50, 0x80), 0xC2, 0xC6])
_MMX = frozenset([*range(0x60, 0x80), *range(0xD0, 0x100)])


class Access(NamedTuple):
    """Some bytes of memory; `stack`: through the stack segment."""

    address: int
    size_bytes: int
    stack: bool


def accesses(instruction: Instruction, registers: Mapping[str, int]) -> Iterator[Access]:
    """What `instruction` touches, with these registers before it (`rip` is its own address)."""
    key = (instruction.map, instruction.opcode)
    if instruction.names_memory and key not in _NO_ACCESS:
        address = instruction.address(registers)
        yield Access(address, width(instruction), instruction.uses_stack_segment)
    if instruction.map == ONE_BYTE:
        for name in _STRINGS.get(instruction.opcode, "").split():
            yield Access(registers[name], width(instruction), stack=False)
        if instruction.opcode in _PUSHES or (key[1] == 0xFF and instruction.reg in (2, 6)):
            yield Access(registers["rsp"] - 8 & (1 << 64) - 1, 8, stack=True)
        elif instruction.opcode in _POPS:
            yield Access(registers["rsp"], 8, stack=True)
        elif instruction.opcode == _LEAVE:
            yield Access(registers["rbp"], 8, stack=True)


def width(instruction: Instruction) -> int:
    """The size of the operand in memory, in bytes."""
    opcode, prefixes = instruction.opcode, instruction.prefixes
    general = 8 if instruction.rex & 8 else 2 if DATA16 in prefixes else 4
    if instruction.map == ONE_BYTE:
        if 0xD8 <= opcode <= 0xDF:
            return _X87_FORMS.get((opcode, instruction.reg), _X87[opcode])
        if opcode == 0x8F or (opcode == 0xFF and instruction.reg in (2, 4, 6)):
            return 8
        is_byte = opcode in _BYTES or ((opcode < 0x40 or 0xA4 <= opcode <= 0xAF) and not opcode & 1)
        return 1 if is_byte else 4 if opcode == 0x63 else general
    if instruction.map != TWO_BYTE:
        return 16
    if opcode in _SMALL_0F or 0x90 <= opcode <= 0x9F:
        return _SMALL_0F.get(opcode, 1)
    return _vector_width(instruction) if opcode in _VECTORS | _MMX else general


def _vector_width(instruction: Instruction) -> int:
    opcode, prefixes = instruction.opcode, instruction.prefixes
    double = 0xF2 in prefixes
    scalar = double or 0xF3 in prefixes
    if opcode in _HALF_0F or (opcode == 0x7E and scalar):
        return 8
    if opcode in (0x6E, 0x7E, 0x2A) and (opcode != 0x2A or scalar):
        return 8 if instruction.rex & 8 else 4
    if opcode in (0x2E, 0x2F):
        return 8 if DATA16 in prefixes else 4
    if scalar and opcode not in (0x6F, 0x70, 0x7F, 0xF0, 0xE6, 0xD0, 0x7C, 0x7D):
        return 8 if double else 4
    return 8 if opcode in _MMX and not prefixes.strip(b"\x2e\x3e\x64\x65") else 16


def address_exception(instruction: Instruction, registers: Mapping[str, int]) -> int | None:
    """#SS or #GP, if the instruction touches an address that is not canonical."""
    for address, size, stack in accesses(instruction, registers):
        crosses = address < UPPER_EDGE < address + size
        if crosses or not is_canonical(address):
            return STACK_FAULT if stack else PROTECTION
    return None


def is_misaligned(instruction: Instruction, registers: Mapping[str, int]) -> bool:
    """Would EFLAGS.AC refuse it?  Vectors of 16 bytes have rules of their own."""
    return any(
        size <= 8 and address % size for address, size, _ in accesses(instruction, registers)
    )
