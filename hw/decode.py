"""The form of an x86-64 instruction: how long it is, and which memory it names (SDM vol. 2A, 2.1).

    [prefixes] [REX] [0F | 0F 38 | 0F 3A] opcode [ModRM [SIB] [displacement]] [immediate]

It does not say what an instruction does.  An instruction that the tables do not know gets some
length: such an instruction is undefined, and the emulator ends a block there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

LEGACY = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3")
LOCK, DATA16, ADDRESS32, FS, GS = 0xF0, 0x66, 0x67, 0x64, 0x65
ONE_BYTE, TWO_BYTE, MAP_38, MAP_3A, VEX = range(5)
"""The map of opcodes that an instruction is in.  VEX: any instruction with that prefix."""
LONGEST = 15
MASK64 = (1 << 64) - 1
REGISTERS = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
"""The general registers in the order of their numbers."""
RSP, RBP, SIB_FOLLOWS, NO_INDEX = 4, 5, 4, 4


def _opcodes(text: str) -> frozenset[int]:
    """`"00-03 63"`: a set of opcodes, as hexadecimal numbers and ranges."""
    found: set[int] = set()
    for word in text.split():
        first, _, last = word.partition("-")
        found.update(range(int(first, 16), int(last or first, 16) + 1))
    return frozenset(found)


_MODRM = (
    _opcodes(
        "00-03 08-0b 10-13 18-1b 20-23 28-2b 30-33 38-3b 62-63 69 6b 80-8f c0-c1 c6-c7 d0-d3 "
        "d8-df f6-f7 fe-ff"
    ),
    frozenset(range(256)) - _opcodes("05-09 0b 0e 30-37 77 80-8f a0-a2 a8-aa c8-cf"),
)
_BYTE = (
    _opcodes("04 0c 14 1c 24 2c 34 3c 6a-6b 70-7f 80 82-83 a8 b0-b7 c0-c1 c6 cd d4-d5 e0-e7 eb"),
    _opcodes("0f 70-73 a4 ac ba c2 c4-c6"),
)
"""Opcodes with an immediate of one byte."""
_WORD = (
    _opcodes("05 0d 15 1d 25 2d 35 3d 68-69 81 a9 b8-bf c7 e8-e9"),
    _opcodes("80-8f"),
)
"""Opcodes with an immediate of four bytes, or of two under the prefix 66."""


class Instruction(NamedTuple):
    """The parts of one instruction."""

    length: int
    prefixes: bytes
    rex: int
    map: int
    opcode: int
    modrm: int  # -1: it has none
    sib: int
    displacement: int
    last: int  # its last byte: the immediate, where it has one of one byte

    @property
    def reg(self) -> int:
        """The middle field of ModRM, without REX: part of the opcode in many instructions."""
        return self.modrm >> 3 & 7

    @property
    def names_memory(self) -> bool:
        """Is the operand of ModRM in memory?"""
        return 0 <= self.modrm < 0xC0

    @property
    def base(self) -> int:
        """The number of the base register; -1: none."""
        if not self.names_memory:
            return -1
        mod, low = self.modrm >> 6, self.modrm & 7
        if low == SIB_FOLLOWS:
            low = self.sib & 7
        if low == RBP and mod == 0:
            return -1  # an absolute address, or relative to RIP
        return low | (self.rex & 1) << 3

    @property
    def uses_stack_segment(self) -> bool:
        """Does a bad address of the operand raise #SS?  Only FS and GS can replace SS."""
        overridden = FS in self.prefixes or GS in self.prefixes
        return self.base in (RSP, RBP) and not overridden

    def address(self, registers: Mapping[str, int]) -> int:
        """The linear address of the operand in memory; `rip` is that of this instruction."""
        at = self.displacement
        base = self.base
        if base >= 0:
            at += registers[REGISTERS[base]]
        elif self.modrm & 0xC7 == RBP:
            at += registers["rip"] + self.length
        if self.modrm & 7 == SIB_FOLLOWS:
            index = self.sib >> 3 & 7 | (self.rex & 2) << 2
            if index != NO_INDEX:
                at += registers[REGISTERS[index]] << (self.sib >> 6)
        if ADDRESS32 in self.prefixes:
            at &= 0xFFFF_FFFF
        if FS in self.prefixes or GS in self.prefixes:
            at += registers["fs_base" if FS in self.prefixes else "gs_base"]
        return at & MASK64


def decode(code: bytes, start: int = 0) -> Instruction | None:
    """The instruction at `start`; None: its bytes are not all there."""
    try:
        return _decode(code, start)
    except IndexError:
        return None


def _decode(code: bytes, start: int) -> Instruction | None:
    at = start
    rex = 0
    while (is_rex := code[at] >> 4 == 4) or code[at] in LEGACY:
        rex = code[at] if is_rex else 0  # it counts only where it comes last
        at += 1
    prefixes = code[start:at]
    if code[at] in (0xC4, 0xC5):
        whole = Instruction(at + 3 - start, prefixes, rex, VEX, code[at], -1, 0, 0, last=0)
        return whole if at + 3 <= len(code) else None
    map, at = _map(code, at)
    opcode, at = code[at], at + 1
    modrm, sib, displacement = -1, 0, 0
    if map >= MAP_38 or opcode in _MODRM[map]:
        modrm = code[at]
        sib, displacement, at = _operand(code, at)
    at += _immediate(map, opcode, modrm, prefixes=prefixes, rex=rex)
    if at > len(code):
        return None
    return Instruction(
        length=at - start,
        prefixes=prefixes,
        rex=rex,
        map=map,
        opcode=opcode,
        modrm=modrm,
        sib=sib,
        displacement=displacement,
        last=code[at - 1],
    )


def _map(code: bytes, at: int) -> tuple[int, int]:
    """The map of opcodes, and where the opcode is."""
    if code[at] != 0x0F:
        return ONE_BYTE, at
    if code[at + 1] in (0x38, 0x3A):
        return MAP_38 if code[at + 1] == 0x38 else MAP_3A, at + 2
    return TWO_BYTE, at + 1


def _operand(code: bytes, at: int) -> tuple[int, int, int]:
    """SIB and displacement behind the ModRM at `at`, and what follows."""
    mod, low, sib = code[at] >> 6, code[at] & 7, 0
    at += 1
    if mod == 3:
        return 0, 0, at
    if low == SIB_FOLLOWS:
        sib, at = code[at], at + 1
        low = sib & 7
    size = (4 if low == RBP else 0, 1, 4)[mod]
    return sib, int.from_bytes(code[at : at + size], "little", signed=True), at + size


def _immediate(map: int, opcode: int, modrm: int, *, prefixes: bytes, rex: int) -> int:
    """How many bytes of immediate follow."""
    if map >= MAP_38:
        return int(map == MAP_3A)
    word = 2 if DATA16 in prefixes else 4
    if map == ONE_BYTE:
        if opcode in (0xF6, 0xF7):  # only TEST has one
            return (0 if modrm >> 3 & 6 else 1 if opcode == 0xF6 else word) if modrm >= 0 else 0
        if 0xA0 <= opcode <= 0xA3:
            return 4 if ADDRESS32 in prefixes else 8
        if 0xB8 <= opcode <= 0xBF and rex & 8:
            return 8
        if opcode in (0xC2, 0xCA):
            return 2
        if opcode == 0xC8:
            return 3
        if opcode in (0xE8, 0xE9):
            return 4
    return (opcode in _BYTE[map]) + (word if opcode in _WORD[map] else 0)
