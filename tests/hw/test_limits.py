"""Where the emulated processor differs from silicon, and the README says so.

Each test states what the machine does, so that a limit that is gone does not stay in the README.
"""

from __future__ import annotations

import struct

import pytest

from hw.cpu import GENERAL_PROTECTION, INVALID_OPCODE, PAGE_FAULT
from hw.paging import ERR_PRESENT, ERR_USER, ERR_WRITE
from hw.remedies import HALF_STORED, ROUGH_RESULTS
from tests.hw.bare import BOTH_MMUS, CODE, DATA, READ_ONLY, Bare


@pytest.fixture(params=BOTH_MMUS)
def bare(request: pytest.FixtureRequest) -> Bare:
    return Bare(mmu=request.param)


def run(bare: Bare, code: str, data: bytes = b"") -> bytes:
    """Run code in hexadecimal with RBX at `data`; returns 64 bytes from there, as they are then."""
    if data:
        bare.put(DATA, data)
    bare.run(bytes.fromhex(code) + b"\x0f\x05", registers={"rbx": DATA, "rax": 0})
    return bare.memory.read(bare.pa(DATA), 64)


def doubles(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def test_limit_movaps_does_not_check_alignment(bare: Bare) -> None:
    run(bare, "0f284308")  # movaps xmm0, [rbx + 8]
    assert bare.exceptions == []


def test_limit_a_denormal_operand_does_not_raise_de(bare: Bare) -> None:
    # movsd xmm0, [rbx]; addsd xmm0, xmm0; stmxcsr [rbx + 16]
    data = run(bare, "f20f1003f20f58c00fae5b10", doubles(5e-324))
    assert struct.unpack_from("<I", data, 16) == (0x1F80,)


def test_limit_min_and_max_under_daz_return_the_denormal(bare: Bare) -> None:
    mxcsr = struct.pack("<QQ", 0, 0x1FC0)
    # ldmxcsr [rbx + 24]; movsd xmm0, [rbx]; minsd xmm0, [rbx + 8]; movsd [rbx + 32], xmm0
    code = "0fae5318f20f1003f20f5d4308f20f114320"
    data = run(bare, code, doubles(5e-324, 1.0) + mxcsr)
    assert struct.unpack_from("<d", data, 32) == (5e-324,)


def test_limit_ftz_decides_before_rounding(bare: Bare) -> None:
    """The product rounds to the least normal number.  Silicon keeps it; here it is flushed."""
    mxcsr = struct.pack("<QQ", 0, 0x9F80)
    code = "0fae5318f20f1003f20f594308f20f114320"  # as above, with mulsd
    data = run(bare, code, doubles(2.225073858507201e-308, 1.0 + 2**-52) + mxcsr)
    assert struct.unpack_from("<d", data, 32) == (0.0,)


def test_limit_x87_functions_have_53_bits_and_the_user_is_told(bare: Bare) -> None:
    # fninit; fld1; fldpi; fyl2x; fstp tbyte [rbx]: the logarithm of pi to the base of two
    mantissa, exponent = struct.unpack_from("<QH", run(bare, "dbe3d9e8d9ebd9f1db3b"))
    assert exponent == 0x3FFF
    assert mantissa & 0x7FF == 0
    assert abs(mantissa - 0xD36439A4C6EFBAD8) < 1 << 13
    assert ROUGH_RESULTS in bare.remarks


def test_limit_the_x87_stack_neither_overflows_nor_underflows(bare: Bare) -> None:
    run(bare, "dbe3" + "d9e8" * 9 + "dfe0")  # fninit; nine times fld1; fnstsw ax
    assert [call.number & 0x7F for call in bare.calls] == [0]


def test_limit_precision_control_at_the_edge_of_the_range(bare: Bare) -> None:
    """With 53 bits of precision a tiny product is rounded once more than on silicon."""
    least, odd = struct.pack("<QH6x", 1 << 63, 1), struct.pack("<QH6x", (1 << 64) - 1, 0x3FFD)
    control = struct.pack("<H14x", 0x27F)
    # fninit; fldcw [rbx + 32]; fld [rbx]; fld [rbx + 16]; fmulp; fstp [rbx + 48]
    data = run(bare, "dbe3d96b20db2bdb6b10dec9db7b30", least + odd + control)
    assert struct.unpack_from("<QH", data, 48) == (0x4000_0000_0000_0000, 0)


def test_limit_an_unmasked_overflow_of_x87_stores_no_scaled_result(bare: Bare) -> None:
    """The largest number, squared, with OM clear: silicon would leave a number to work with."""
    data = struct.pack("<QH6x16x", (1 << 64) - 1, 0x7FFE) + struct.pack("<H", 0x377)
    # fninit; fldcw [rbx + 32]; fld [rbx]; fmul st, st; fnclex; fstp [rbx + 48]
    data = run(bare, "dbe3d96b20db2bd8c8dbe2db7b30", data)
    assert struct.unpack_from("<QH", data, 48) == (1 << 63, 0x7FFF)


def test_limit_a_signalling_nan_stored_by_x87_stays_signalling(bare: Bare) -> None:
    nan = struct.pack("<QH6x", 0xA000_0000_0000_0001, 0x7FFF)
    data = run(bare, "dbe3db2bdd5b10", nan)  # fninit; fld [rbx]; fstp qword [rbx + 16]
    assert struct.unpack_from("<Q", data, 16) == (0x7FF4_0000_0000_0000,)


def test_limit_a_refused_store_of_16_bytes_stores_its_first_half(bare: Bare) -> None:
    bare.map(DATA + 0x1000, READ_ONLY)
    address = DATA + 0x1000 - 8
    # pcmpeqd xmm0, xmm0; movups [rbx], xmm0
    bare.run(bytes.fromhex("660f76c00f1103"), registers={"rbx": address})
    error = ERR_PRESENT | ERR_WRITE | ERR_USER
    assert bare.exceptions == [(PAGE_FAULT, error, DATA + 0x1000, CODE + 4)]
    assert bare.memory.read(bare.pa(address), 8) == b"\xff" * 8
    assert HALF_STORED in bare.remarks


def test_limit_int_0x80_is_refused_and_the_user_is_told(bare: Bare) -> None:
    run(bare, "cd80")
    assert bare.exceptions == [(GENERAL_PROTECTION, 0x80 * 8 + 2, 0, CODE)]
    assert any("int 0x80" in remark for remark in bare.remarks)


def test_limit_a_wild_jump_reports_its_target(bare: Bare) -> None:
    """On silicon a target that is not canonical is refused at the jump."""
    bare.run(bytes.fromhex("ffe3"), registers={"rbx": 1 << 62})
    assert bare.exceptions == [(GENERAL_PROTECTION, 0, 0, 1 << 62)]


def test_a_lock_before_an_opcode_of_a_register_is_refused(bare: Bare) -> None:
    run(bare, "f00fc1c2")
    assert bare.exceptions == [(INVALID_OPCODE, 0, 0, CODE)]
