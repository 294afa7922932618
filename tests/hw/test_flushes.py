"""CLWB and its like: which instructions they are, and what they do on both MMUs."""

from __future__ import annotations

import pytest

from hw.flushes import flush_at, flushes_in
from tests.kernel.asm import Program
from tests.kernel.images import MemoryImage
from tests.kernel.system import Run, run_code

CLWB, CLFLUSHOPT, CLFLUSH = b"\x66\x0f\xae\x30", b"\x66\x0f\xae\x38", b"\x0f\xae\x38"
SFENCE, MFENCE = b"\x0f\xae\xf8", b"\x0f\xae\xf0"
LFENCE, XSAVEOPT, FXSAVE = b"\x0f\xae\xe8", b"\x0f\xae\x30", b"\x0f\xae\x00"
FLUSHES = (CLWB, CLFLUSHOPT, CLFLUSH)
MMUS = ("model", "silicon")
SIGSEGV, SIGILL = 11, 4


@pytest.mark.parametrize("code", [*FLUSHES, SFENCE, MFENCE])
def test_each_of_the_five_is_found(code: bytes) -> None:
    assert flush_at(code) is not None
    assert flushes_in(b"\x90" + code + b"\x90") == (1,)


@pytest.mark.parametrize("code", [LFENCE, XSAVEOPT, FXSAVE, b"\xf3" + CLFLUSH, b"\x0f\xae"])
def test_others_are_not(code: bytes) -> None:
    assert flush_at(code) is None
    assert flushes_in(code) == ()


def run(*code: bytes, at: int | None = None, **wishes: object) -> Run:
    """A program that has RAX lead to its stack, or to `at`, and runs the code."""
    program = Program()
    program.raw(b"\x48\x89\xe0" if at is None else b"\x48\xb8" + at.to_bytes(8, "little"))
    for one in code:
        program.raw(one)
    program.exit(3)
    return run_code(program, **wishes)


@pytest.mark.parametrize("mmu", MMUS)
@pytest.mark.parametrize("code", FLUSHES)
def test_a_flush_and_a_fence_pass_on_a_machine_with_nvm(code: bytes, mmu: str) -> None:
    done = run(code, SFENCE, code, MFENCE, nvm=MemoryImage(), mmu=mmu)
    assert done.exit_code == 3


@pytest.mark.parametrize("mmu", MMUS)
@pytest.mark.parametrize("code", FLUSHES)
def test_a_flush_faults_where_a_load_does(code: bytes, mmu: str) -> None:
    assert run(code, at=0x1234_5000, nvm=MemoryImage(), mmu=mmu).signal == SIGSEGV
    assert run(code, at=1 << 60, nvm=MemoryImage(), mmu=mmu).signal == SIGSEGV


@pytest.mark.parametrize("mmu", MMUS)
def test_without_nvm_there_is_no_clwb(mmu: str) -> None:
    assert run(CLWB, mmu=mmu).signal == SIGILL
    assert run(CLFLUSH, SFENCE, mmu=mmu).exit_code == 3
