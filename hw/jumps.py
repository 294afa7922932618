"""How a core came to an address where nothing may run: by a return, a call, or another jump.

The core reports such a fetch at its target, as silicon does for every canonical address: the
instruction that jumped has retired.  Its traces are still there.  A call has pushed the address
behind itself, and a return has left its target just below the stack pointer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hw.decode import ONE_BYTE, REGISTERS, Instruction, decode
from hw.paging import ERR_FETCH, is_canonical

GENERAL_PROTECTION, PAGE_FAULT = 13, 14
CALL, GROUP_5, CALL_IN_GROUP = 0xE8, 0xFF, 2
LONGEST_CALL = 9
WORD_BYTES, MASK64 = 8, (1 << 64) - 1

Peek = Callable[[int, int], bytes]
"""At most so many bytes at an address, as far as the program could read them."""


def is_wild(vector: int, error: int, rip: int) -> bool:
    """Was the exception a fetch from an address where nothing may run?"""
    if vector == PAGE_FAULT:
        return bool(error & ERR_FETCH)
    return vector == GENERAL_PROTECTION and not is_canonical(rip)


def explain(registers: Mapping[str, int], peek: Peek) -> str:
    """What jumped to `registers["rip"]`, as a clause for people."""
    rip, rsp = registers["rip"], registers["rsp"]
    at = _call_before(registers, peek)
    if at is not None:
        return f"the call at {at:#x} went there"
    if _word(peek, rsp - WORD_BYTES) == rip:
        return f"a ret took this address from the stack, at {rsp - WORD_BYTES:#x}"
    return "a jump went there"


def _word(peek: Peek, va: int) -> int | None:
    data = peek(va & MASK64, WORD_BYTES)
    return int.from_bytes(data, "little") if len(data) == WORD_BYTES else None


def _call_before(registers: Mapping[str, int], peek: Peek) -> int | None:
    """The address of the call that pushed the top of the stack and went to RIP."""
    behind = _word(peek, registers["rsp"])
    if behind is None:
        return None
    before = {**registers, "rsp": registers["rsp"] + WORD_BYTES & MASK64}
    for length in range(2, LONGEST_CALL + 1):
        at = behind - length & MASK64
        instruction = decode(peek(at, length))
        if instruction is None or instruction.length != length:
            continue
        if _target(instruction, {**before, "rip": at}, peek) == registers["rip"]:
            return at
    return None


def _target(instruction: Instruction, registers: Mapping[str, int], peek: Peek) -> int | None:
    """Where a near call goes; None: it is none."""
    if instruction.map != ONE_BYTE:
        return None
    if instruction.opcode == CALL:
        at = registers["rip"]
        offset = peek(at + instruction.length - 4, 4)
        return at + instruction.length + int.from_bytes(offset, "little", signed=True) & MASK64
    if instruction.opcode != GROUP_5 or instruction.reg != CALL_IN_GROUP:
        return None
    if instruction.names_memory:
        return _word(peek, instruction.address(registers))
    return registers[REGISTERS[instruction.modrm & 7 | (instruction.rex & 1) << 3]]
