"""A program that jumps to nowhere ends, and people are told which instruction jumped."""

from __future__ import annotations

import pytest

from tests.kernel.asm import Program
from tests.kernel.system import System

UNMAPPED, NOT_CANONICAL = 0x12_3456_7000, 0x4141_4141_4141_4141
TAKES = "a ret took this address from the stack, at 0x7f"


def jumping(code: bytes, target: int) -> Program:
    """Runs `code` with the target in RDI, and the address of a word that holds it in RSI."""
    program = Program()
    program.move("rsi", program.words(target))
    program.move("rdi", target)
    program.raw(code)
    return program


@pytest.mark.parametrize("mmu", ["model", "silicon"])
@pytest.mark.parametrize("target", [UNMAPPED, NOT_CANONICAL])
@pytest.mark.parametrize(
    ("code", "told"),
    [
        (b"\x57\xc3", TAKES),  # push rdi; ret
        (b"\x50\x57\xc2\x08\x00", "a jump went there"),  # ret 8 moves the stack away
        (b"\xff\xd7", "the call at 0x"),  # call rdi
        (b"\xff\x16", "the call at 0x"),  # call [rsi]
        (b"\x49\x89\xf8\x41\xff\xd0", "the call at 0x"),  # call r8
        (b"\xff\xe7", "a jump went there"),  # jmp rdi
    ],
)
def test_people_are_told_what_jumped(code: bytes, told: str, target: int, mmu: str) -> None:
    run = System(jumping(code, target), mmu=mmu).run()
    assert run.signal == 11
    (said,) = [log.decode() for log in run.logs if b"may run" in log]
    assert f" ran into {target:#x}, where nothing may run: {told}" in said


@pytest.mark.parametrize("prefixes", ["", "48", "3e48"])
@pytest.mark.parametrize("operand", ["16", "5600", "9600000000", "14260000", "1425"])
def test_a_call_of_any_length_is_found(operand: str, prefixes: str) -> None:
    """call [rsi], with each kind of displacement, and by an address alone: 2 to 9 bytes."""
    program = jumping(b"", UNMAPPED)
    code = bytes.fromhex(prefixes + "ff" + operand)
    if operand == "1425":
        code += (program.words(UNMAPPED)).to_bytes(4, "little")
    elif operand == "14260000":
        code = code[:-2]
    program.raw(code)
    assert any(b"the call at 0x" in log for log in System(program).run().logs)


def test_a_call_is_found_whose_operand_needs_all_its_bytes() -> None:
    """call [r12 + 0], with a displacement of four bytes; without its prefix it is another call."""
    program = jumping(b"", UNMAPPED)
    program.move("r12", "rsi")
    program.raw("41ff942400000000")
    assert any(b"the call at 0x" in log for log in System(program).run().logs)


def test_the_call_is_named_by_its_own_address() -> None:
    program = jumping(b"\x90\xff\xd7", UNMAPPED)
    at = program.elf().index(b"\x90\xff\xd7") + 1
    run = System(program).run()
    (said,) = [log.decode() for log in run.logs if b"may run" in log]
    told = int(said.split("the call at ")[1].split()[0], 16)
    assert told & 0xFFF == at & 0xFFF


def test_a_program_that_handles_the_signal_is_not_told_on() -> None:
    program = Program()
    program.on_signal(11, "@handler")
    program.move("rdi", UNMAPPED)
    program.raw(b"\x57\xc3")
    program.label("handler")
    program.exit(3)
    run = System(program).run()
    assert run.exit_code == 3
    assert not [log for log in run.logs if b"may run" in log]
