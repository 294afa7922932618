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

UNDEFINED, PUBLISH, LOAD, CLEAR, REMAINDER, QUIET, X87, SSE, FLAGS_LOAD, PASS, INTEGER, ROUGH = (
    range(12)
)
FLUSH = 12
"""The remedies.  UNDEFINED: raise #UD.  PUBLISH: show the exception flags first, because the
instruction reads them.  LOAD: the instruction loads control registers; take their flags over.
CLEAR: the instruction clears the x87 flags.  REMAINDER: compute FPREM.  QUIET: the instruction
must not raise flags that the emulator raises.  X87, SSE: arithmetic that may trap.  FLAGS_LOAD:
POPF may set EFLAGS.AC.  PASS: an instruction that only looks like one of `LOCKED_REGISTER`.
INTEGER: a store of a number that may be too large.  ROUGH: the result has fewer digits than on
silicon.  FLUSH: it makes stores to NVM durable (`hw/flushes.py`)."""

PLAIN, FLAGS, TRAPS = range(3)
"""How closely floating-point arithmetic is watched.  FLAGS: a program has cleared or loaded flags,
so QUIET matters.  TRAPS: a program has unmasked an exception, so arithmetic does."""

REPEATS = (0xF2, 0xF3)
_ALWAYS = (
    (b"\x9d\xc5\xf0", b""),  # POPF, VEX, LOCK
    (b"\xc4", rb"[\x01-\x03\x21-\x23\x41-\x43\x61-\x63\x81-\x83\xa1-\xa3\xc1-\xc3\xe1-\xe3]"),
    (b"\x8f", rb"[\x08-\x3f\x48-\x7f\x88-\xbf\xc8-\xff]"),
    (b"\xc6\xc7", rb"[\xc8-\xff]"),
    (b"\x0f", rb"[\x12\x16][\xc0-\xff]|[\x50\x71-\x73\xd6][\x00-\xbf]|[\x20\x22\x78\x79\xc3]"),
    (b"\x0f", rb"\xae[\x00-\x1f\x40-\x5f\x80-\x9f]"),
    (b"\xd9", rb"[\x20-\x37\x60-\x77\xa0-\xb7\xf0-\xff]"),
    (b"\xdb", rb"[\x08-\x0f\x48-\x4f\x88-\x8f\xe2\xe3]"),
    (
        b"\xdd",
        rb"[\x08-\x0f\x20-\x27\x30-\x3f\x48-\x4f\x60-\x67\x70-\x7f\x88-\x8f\xa0-\xa7\xb0-\xbf]",
    ),
    (b"\xdf", rb"[\x08-\x1f\x48-\x5f\x88-\x9f\xe0]"),
)
_QUIET = ((b"\x0f", rb"\x3a[\x08-\x0b]|[\x52\x53]"),)
_TRAPS = (
    (bytes((*range(0xD8, 0xE0), 0x9B)), b""),
    (b"\x0f", rb"[\x2a\x2c-\x2f\x51\x58-\x5f\x7c\x7d\xc2\xd0\xe6\x3a]"),
)
"""Bytes that only an instruction in need of help has: a first byte, and what must follow it."""


def _traces(*rows: tuple[bytes, bytes]) -> re.Pattern[bytes]:
    """One pattern for all rows.  It starts with a set of bytes, which `re` searches for fast."""
    first = b"".join(
        re.escape(bytes((byte,))) for byte in sorted(set(b"".join(r[0] for r in rows)))
    )
    rest = b"|".join(
        rb"(?<=["
        + b"".join(re.escape(bytes((byte,))) for byte in bytes_)
        + rb"])(?:"
        + then
        + rb")"
        for bytes_, then in rows
    )
    return re.compile(rb"[" + first + rb"](?:" + rest + rb")", re.DOTALL)


TRACES = [_traces(*_ALWAYS), _traces(*_ALWAYS, *_QUIET), _traces(*_ALWAYS, *_QUIET, *_TRAPS)]
"""For each level, bytes without which no instruction needs help: most blocks are without."""

_PREFIX = rb"[\x26\x2e\x36\x3e\x40-\x4f\x64-\x67\xf0\xf2\xf3]"
LOCKED_REGISTER = re.compile(
    rb"\xf0"
    + _PREFIX
    + rb"*(?:\Z|\x0f(?:\Z|[\xa3\xab\xb0\xb1\xb3\xba\xbb\xc0\xc1\xc7](?:\Z|[\xc0-\xff])))",
    re.DOTALL,
)
"""LOCK before an exchange, an addition or a bit test (`0F A3` to `0F C7`) of a register: undefined
(SDM vol. 2A, LOCK).  The core refuses it before the emulator translates it, since no stop comes
early enough afterwards.  One that a page cuts off counts too."""

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
FWAIT, POPF = 0x9B, 0x9D

MEMORY, REGISTER = True, False
X87_FORMS = {
    (0xD9, MEMORY, 4): LOAD,  # FLDENV
    (0xD9, MEMORY, 5): LOAD,  # FLDCW
    (0xD9, MEMORY, 6): PUBLISH,  # FNSTENV
    (0xDD, MEMORY, 4): LOAD,  # FRSTOR
    (0xDD, MEMORY, 6): PUBLISH,  # FNSAVE
    (0xDD, MEMORY, 7): PUBLISH,  # FNSTSW
}
INTEGER_STORES = {
    (0xDB, 1): 32,
    (0xDD, 1): 64,
    (0xDF, 1): 16,
    (0xDF, 2): 16,
    (0xDF, 3): 16,
}
"""FISTTP, and FIST and FISTP of 16 bits, by opcode and middle field: the bits that they store."""
ROUGH_WORDS = frozenset((0xF0, 0xF1, 0xF2, 0xF3, 0xF9, 0xFB, 0xFE, 0xFF))
"""F2XM1, FYL2X, FPTAN, FPATAN, FYL2XP1, FSINCOS, FSIN, FCOS: ModRM behind D9."""
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


def refused_offsets(page: bytes) -> list[int]:
    """Where in a page of code an instruction may start that must not be translated."""
    found = []
    for match in LOCKED_REGISTER.finditer(page):
        at = match.start()
        found.append(at)
        while at and re.match(_PREFIX, page[at - 1 : at]):
            at -= 1
            found.append(at)
    return found


Found = tuple[tuple[int, int], ...]
"""Instructions that need help: offset and remedy of each."""


@functools.lru_cache(maxsize=1 << 14)
def find(code: bytes, level: int) -> Found:
    """The instructions in a block of code that need help."""
    if not TRACES[level].search(code):
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


@functools.lru_cache(maxsize=1 << 10)
def recognise(code: bytes, level: int) -> tuple[Instruction, int] | None:
    """The instruction at the start of `code` and its remedy, if it needs one."""
    instruction = decode(code)
    what = remedy(instruction, level) if instruction is not None else None
    return None if instruction is None or what is None else (instruction, what)


def remedy(instruction: Instruction, level: int) -> int | None:
    """What to do about one instruction; None: the emulator has it right."""
    if is_undefined(instruction):
        return UNDEFINED
    if instruction.map == ONE_BYTE and 0xD8 <= instruction.opcode <= 0xDF:
        return _x87(instruction, level)
    if instruction.map == ONE_BYTE and instruction.opcode == FWAIT:
        return X87 if level >= TRAPS else None
    if instruction.map == ONE_BYTE and instruction.opcode == POPF:
        return FLAGS_LOAD
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
    if level < TRAPS:
        if instruction.names_memory and (opcode, instruction.reg) in INTEGER_STORES:
            return INTEGER
        if opcode == 0xD9 and modrm in ROUGH_WORDS:
            return ROUGH
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
