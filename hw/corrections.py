"""Instructions that the emulator gets wrong, and the remedy for each.

The core looks through each block of code that the emulator has translated, before the block runs.
`find` names the instructions in it that need help.  The core then stops in front of each of them,
and nowhere else.

The emulator executes some instructions that silicon refuses.  The list is from a comparison of all
opcodes with one ModRM byte, beside a processor (SDM vol. 2A: 2.3 for VEX, "LOCK"; vol. 2D, A).
"""

from __future__ import annotations

import functools
import re

from hw.decode import (
    DATA16,
    LOCK,
    MAP_3A,
    ONE_BYTE,
    TWO_BYTE,
    VEX,
    Instruction,
    decode,
)

UNDEFINED, PUBLISH, LOAD, CLEAR, REMAINDER, QUIET, X87, SSE = range(8)
"""The remedies.  UNDEFINED: raise #UD.  PUBLISH: show the exception flags first, because the
instruction reads them.  LOAD: the instruction loads control registers; take their flags over.
CLEAR: the instruction clears the x87 flags.  REMAINDER: compute FPREM.  QUIET: the instruction
must not raise flags that the emulator raises.  X87, SSE: arithmetic that may trap."""

PLAIN, FLAGS, TRAPS = range(3)
"""How closely floating-point arithmetic is watched.  FLAGS: a program has cleared or loaded flags,
so QUIET matters.  TRAPS: a program has unmasked an exception, so arithmetic does."""

REPEATS = (0xF2, 0xF3)
FEATURE_BYTES = re.compile(
    rb"[\xc4\xc5\xf0]|\x8f[\x08-\x3f\x48-\x7f\x88-\xbf\xc8-\xff]|[\xc6\xc7][\xc8-\xff]|"
    rb"\x0f(?:[\x12\x16][\xc0-\xff]|[\x50\x71-\x73\xd6][\x00-\xbf]|[\x20\x22\x78\x79\xc3])|"
    rb"\x0f\xae[\x00-\x1f\x40-\x5f\x80-\x9f]|\xd9[\x20-\x37\x60-\x77\xa0-\xb7\xf5\xf8]|"
    rb"\xdb[\xe2\xe3]|\xdd[\x20-\x27\x30-\x3f\x60-\x67\x70-\x7f\xa0-\xa7\xb0-\xbf]|\xdf\xe0",
    re.DOTALL,
)
"""What every instruction has that needs help in PLAIN."""
ROUND_BYTES = re.compile(rb"\x0f(?:\x3a[\x08-\x0b]|[\x52\x53])", re.DOTALL)
FLOAT_BYTES = re.compile(
    rb"[\xd8-\xdf\x9b]|\x0f[\x2a\x2c-\x2f\x51\x58-\x5f\x7c\x7d\xc2\xd0\xe6\x3a]"
)

LOCKABLE = {
    ONE_BYTE: frozenset(
        [op for group in range(0, 0x38, 8) for op in (group, group + 1)]
        + [0x80, 0x81, 0x83, 0x86, 0x87, 0xF6, 0xF7, 0xFE, 0xFF]
    ),
    TWO_BYTE: frozenset((0xAB, 0xB0, 0xB1, 0xB3, 0xBA, 0xBB, 0xC0, 0xC1, 0xC7)),
}
"""Opcodes that take a LOCK prefix, if their destination is memory."""
LOCKABLE_FORMS = {
    (ONE_BYTE, 0x80): range(7),
    (ONE_BYTE, 0x81): range(7),
    (ONE_BYTE, 0x83): range(7),
    (ONE_BYTE, 0xF6): (2, 3),
    (ONE_BYTE, 0xF7): (2, 3),
    (ONE_BYTE, 0xFE): (0, 1),
    (ONE_BYTE, 0xFF): (0, 1),
    (TWO_BYTE, 0xBA): (5, 6, 7),
    (TWO_BYTE, 0xC7): (1,),
}
"""Where the middle field of ModRM decides about LOCK: the values that take it."""
CONTROL_REGISTERS = (0, 2, 3, 4, 8)

SSE_ARITHMETIC = frozenset(
    b"\x2a\x2c\x2d\x2e\x2f\x51\x58\x59\x5a\x5b\x5c\x5d\x5e\x5f\x7c\x7d\xc2\xd0\xe6"
)
APPROXIMATIONS = frozenset(b"\x52\x53")  # RSQRTPS, RCPPS and the like
ROUNDS = frozenset(b"\x08\x09\x0a\x0b")  # of the map 0F 3A
DOT_PRODUCTS = frozenset(b"\x40\x41")
NO_PRECISION = 8
"""Bit of the immediate of ROUNDPS and the like: do not raise PE."""
FWAIT = 0x9B

MEMORY, REGISTER = True, False
X87_FORMS = {
    (0xD9, MEMORY, 4): LOAD,  # FLDENV
    (0xD9, MEMORY, 5): LOAD,  # FLDCW
    (0xD9, MEMORY, 6): PUBLISH,  # FNSTENV
    (0xDD, MEMORY, 4): LOAD,  # FRSTOR
    (0xDD, MEMORY, 6): PUBLISH,  # FNSAVE
    (0xDD, MEMORY, 7): PUBLISH,  # FNSTSW
}
X87_WORDS = {
    (0xD9, 0xF5): REMAINDER,  # FPREM1
    (0xD9, 0xF8): REMAINDER,  # FPREM
    (0xDB, 0xE2): CLEAR,  # FNCLEX
    (0xDB, 0xE3): CLEAR,  # FNINIT
    (0xDF, 0xE0): PUBLISH,  # FNSTSW AX
}
"""x87 instructions by opcode and ModRM."""
X87_NO_WAIT = frozenset((PUBLISH, CLEAR))
FXSAVE_FORMS = {0: PUBLISH, 1: LOAD, 2: LOAD, 3: PUBLISH}
"""0F AE: FXSAVE, FXRSTOR, LDMXCSR, STMXCSR."""


@functools.lru_cache(maxsize=1 << 15)
def find(code: bytes, level: int) -> tuple[tuple[int, int], ...]:
    """The instructions in a block of code that need help: offset and remedy of each."""
    if not needs_a_look(code, level):
        return ()
    found, at = [], 0
    while at < len(code):
        instruction = decode(code, at)
        if instruction is None:
            break
        what = remedy(instruction, level)
        if what is not None:
            found.append((at, what))
        at += instruction.length
    return tuple(found)


def needs_a_look(code: bytes, level: int) -> bool:
    """Does a block have any byte that an instruction in need of help has?"""
    if FEATURE_BYTES.search(code) or (level >= FLAGS and ROUND_BYTES.search(code)):
        return True
    return level >= TRAPS and FLOAT_BYTES.search(code) is not None


def remedy(instruction: Instruction, level: int) -> int | None:
    """What to do about one instruction; None: the emulator has it right."""
    if is_undefined(instruction):
        return UNDEFINED
    if instruction.map == ONE_BYTE and 0xD8 <= instruction.opcode <= 0xDF:
        return _x87(instruction, level)
    if instruction.map == ONE_BYTE and instruction.opcode == FWAIT:
        return X87 if level >= TRAPS else None
    if instruction.map == TWO_BYTE and instruction.opcode == 0xAE:
        forms = FXSAVE_FORMS if instruction.names_memory else {}
        return forms.get(instruction.reg)
    if level >= FLAGS:
        return _sse(instruction, level)
    return None


def is_undefined(instruction: Instruction) -> bool:
    """Does silicon refuse the instruction, although the emulator executes it?"""
    if instruction.map == VEX:
        return True  # CPUID denies AVX, and all else that VEX encodes
    if LOCK in instruction.prefixes and not _is_lockable(instruction):
        return True
    reg, opcode = instruction.reg, instruction.opcode
    if instruction.map == ONE_BYTE:
        return opcode in (0x8F, 0xC6, 0xC7) and reg != 0
    return instruction.map == TWO_BYTE and _is_undefined_0f(instruction)


def _is_undefined_0f(instruction: Instruction) -> bool:
    opcode, in_memory = instruction.opcode, instruction.names_memory
    repeats = any(prefix in instruction.prefixes for prefix in REPEATS)
    if opcode in (0x12, 0x16):
        return not in_memory and DATA16 in instruction.prefixes and not repeats
    if opcode in (0x20, 0x22):
        return (instruction.reg | (instruction.rex & 4) << 1) not in CONTROL_REGISTERS
    if opcode in (0x50, 0x71, 0x72, 0x73):
        return in_memory
    if opcode in (0x78, 0x79):  # SSE4a, which CPUID denies
        return True
    if opcode == 0xC3:
        return repeats or DATA16 in instruction.prefixes
    return opcode == 0xD6 and repeats and in_memory


def _is_lockable(instruction: Instruction) -> bool:
    key = (instruction.map, instruction.opcode)
    if not instruction.names_memory or key[1] not in LOCKABLE.get(key[0], ()):
        return False
    return instruction.reg in LOCKABLE_FORMS.get(key, range(8))


def _x87(instruction: Instruction, level: int) -> int | None:
    opcode, modrm = instruction.opcode, instruction.modrm
    if instruction.names_memory:
        found = X87_FORMS.get((opcode, MEMORY, instruction.reg))
        if found is None and (opcode, instruction.reg) == (0xD9, 7):
            return None  # FNSTCW waits for nothing
    else:
        found = X87_WORDS.get((opcode, modrm))
    return X87 if found is None and level >= TRAPS else found


def _sse(instruction: Instruction, level: int) -> int | None:
    opcode = instruction.opcode
    if instruction.map == MAP_3A and opcode in ROUNDS and instruction.last & NO_PRECISION:
        return QUIET
    if instruction.map == TWO_BYTE and opcode in APPROXIMATIONS:
        return QUIET
    if level < TRAPS:
        return None
    if instruction.map == MAP_3A and opcode in ROUNDS | DOT_PRODUCTS:
        return SSE
    return SSE if instruction.map == TWO_BYTE and opcode in SSE_ARITHMETIC else None
