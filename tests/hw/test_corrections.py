"""Claims about the instructions that the emulator gets wrong: each is found, and put right.

`tests/host/test_cpu.py` compares results with a processor; here it is about finding them.
"""

from __future__ import annotations

import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import corrections
from hw.accesses import accesses, width
from hw.cpu import INVALID_OPCODE, PAGE_FAULT, RESUME
from hw.decode import REGISTERS, decode
from hw.machine import SILICON
from hw.memory import PAGE_SIZE
from hw.paging import ERR_FETCH, ERR_USER, NX, P, U, W
from hw.remedies import REFUSED
from hw.x87 import C0, C1, C2, C3, Extended, remainder
from tests.hw.bare import BOTH_MMUS, CODE, DATA, EXECUTE, Bare

DIVIDE_1_BY_3 = "b801000000b903000000f20f2ac0f20f2ac9f20f5ec1"
SHOW_MXCSR = "0fae1b8b03"  # stmxcsr [rbx]; mov eax, [rbx]
AWAY = 0x68_0000
SYSCALL = "0f0531c00f05"
"""A call that is answered, and call 0, at which the core leaves the guest."""


@pytest.fixture(params=BOTH_MMUS)
def bare(request: pytest.FixtureRequest) -> Bare:
    return Bare(mmu=request.param)


def run(bare: Bare, code: str, **registers: int) -> None:
    bare.run(bytes.fromhex(code), registers={"rbx": DATA, **registers})


def calls(bare: Bare) -> list[int]:
    """The numbers of the calls that were answered."""
    return [call.number for call in bare.calls if call.number]


# Finding them -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "length"),
    [
        ("90", 1),
        ("4889d8", 3),
        ("66b80100", 4),
        ("b801000000", 5),
        ("48b80102030405060708", 10),
        ("a10102030405060708", 9),
        ("67a101020304", 6),
        ("c8100001", 4),
        ("f60001", 3),
        ("f618", 2),
        ("66f7000100", 5),
        ("48c744241801000000", 9),
        ("8b0500000000", 6),
        ("8b042500000000", 7),
        ("8b842500000000", 7),
        ("660f3a0bc009", 6),
        ("f20f3800c0", 5),
        ("0f8400000000", 6),
        ("66480f6ec0", 5),
        ("4866b80100", 5),
        ("f0480fb111", 5),
        ("640f1f840000000000", 9),
        ("0f70c0e4", 4),
    ],
)
def test_the_length_of_an_instruction(code: str, length: int) -> None:
    instruction = decode(bytes.fromhex(code) + bytes(8))
    assert instruction is not None
    assert instruction.length == length
    assert decode(bytes.fromhex(code)[:-1]) is None


@pytest.mark.parametrize(
    ("code", "address"),
    [
        ("8b03", 0x300),
        ("8b4310", 0x310),
        ("8b43f0", 0x2F0),
        ("8b0500010000", 0x1000 + 6 + 0x100),
        ("8b042500200000", 0x2000),
        ("8b0459", 0x100 + 2 * 0x300),  # the order is rax, rcx, rdx, rbx
        ("428b0421", 0x100 + 0xC00),
        ("418b4500", 0xD00),
        ("678b8300ffffff", 0x200),
        ("648b03", 0x9_0300),
    ],
)
def test_the_address_of_an_operand(code: str, address: int) -> None:
    registers = {name: 0x100 * number for number, name in enumerate(REGISTERS)}
    instruction = decode(bytes.fromhex(code))
    assert instruction is not None
    registers |= {"rip": 0x1000, "fs_base": 0x9_0000, "gs_base": 0}
    assert instruction.address(registers) == address
    assert [access.address for access in accesses(instruction, registers)] == [address]


@given(st.binary(max_size=40), st.sampled_from((0, 1, 2)))
def test_a_look_at_any_bytes_ends_and_its_traces_miss_nothing(code: bytes, level: int) -> None:
    code = code.replace(b"\xc4", b"\xc5")  # the emulator itself refuses most forms of C4
    found = corrections.find(code, level)
    assert list(found) == sorted(found)
    assert not found or corrections.TRACES[level].search(code)


@given(st.binary(min_size=15, max_size=15), st.sampled_from((b"\xc4", b"\xc5", b"\xf0\x0f\xc1")))
def test_a_locked_register_is_seen_wherever_it_is(code: bytes, start: bytes) -> None:
    instruction = decode(start + code)
    locked = start[0] == 0xF0 and code[0] >= 0xC0
    assert (0 in corrections.refused_offsets(start + code + bytes(64))) == locked
    if locked and instruction is not None:
        assert corrections.is_undefined(instruction)


UNDEFINED = """
    8fc8 c6c800 c7c800000000 660f12c1 660f16c1 0f20c8 0f22e8 0f5000 0f710001 0f720001 0f730001
    0f78c0 0f79c1 660f79c1 f20f79c1 660fc301 f30fc301 f30fd601 f20fd601
"""
"""Forms that no processor with this one's CPUID has: SDM vol. 2, the opcode maps, and SSE4a."""

DEFINED = """
    8f00 8fc0 c60001 c7c001000000 0f12c1 660f1201 f20f12c1 f30f16c1 0f20c0 440f20c0 0f22d8 0f50c1
    0f71d001 0f72d001 0f73d001 0f77 0fc301 660fd601 f30fd6c1 f20fd6c1 0f7601
"""
"""Their neighbours."""


@pytest.mark.parametrize("code", [*UNDEFINED.split(), *DEFINED.split()])
def test_what_is_undefined_is_told_from_its_neighbours(code: str) -> None:
    instruction = decode(bytes.fromhex(code))
    assert instruction is not None
    assert corrections.is_undefined(instruction) == (code in UNDEFINED.split())


@pytest.mark.parametrize(
    ("size", "codes"),
    [
        (1, "8a00 8800 800001 f610 0fb600 480fbe00 0f9000 0fb000 d000 fe00"),
        (2, "668b00 0fb700 480fbf00 6681000001 d928 66ff00"),
        (
            4,
            "8b00 8900 810001000000 0faf00 0fa300 0fb100 0fc100 0f4400 6300 f30f1000 d900",
        ),
        (8, "488b00 480faf00 480fb100 480fa300 ff30 ff10 8f00 f20f1000 dd00 0f6f00 0fd400 0f1200"),
        (16, "0f1000 660f6f00 660fd400 0f2800 660f5800 660f380000 660fef00"),
    ],
)
def test_the_size_of_an_operand_in_memory(size: int, codes: str) -> None:
    """In bytes, as the SDM's vol. 2 has it for each instruction."""
    for code in codes.replace(" 01 ", "01 ").split():
        if code == "f6d000":
            continue
        instruction = decode(bytes.fromhex(code))
        assert instruction is not None, code
        assert width(instruction) == size, code


# What the CPU does not have -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "c5eb58c1",  # vaddsd xmm0, xmm2, xmm1
        "c5f877",  # vzeroupper
        "c4e1eb58c1",  # the same addition with the long prefix
        "c5ed58c1",  # vaddpd ymm0, ymm2, ymm1
        "65c5f857c0",  # vxorps behind a segment prefix
        "c4e2e9b8c1",  # vfmadd231pd
        "c4e278f2c1",  # andn
    ],
)
def test_code_for_avx_is_refused_and_the_user_is_told(bare: Bare, code: str) -> None:
    run(bare, "90" + code + SYSCALL)
    assert bare.exceptions == [(INVALID_OPCODE, 0, 0, CODE + 1)]
    assert set(bare.remarks) == {REFUSED}
    assert bare.instructions == 1


def test_bytes_that_look_so_inside_other_instructions_do_no_harm(bare: Bare) -> None:
    # mov eax, 0x77f8c5; mov ecx, 0xc2c10ff0; mov edx, 0xfc4; syscall
    run(bare, "b8c5f87700" + "b9f00fc1c2" + "bac40f0000" + SYSCALL)
    assert bare.exceptions == []
    assert calls(bare) == [0x77F8C5]
    assert bare.core.registers()["rdx"] == 0xFC4


def test_a_jump_into_the_middle_of_an_instruction_finds_what_is_there(bare: Bare) -> None:
    run(bare, "eb01" + "b8c5f87700" + SYSCALL)
    assert bare.exceptions == [(INVALID_OPCODE, 0, 0, CODE + 3)]


def test_code_at_the_end_of_a_page_is_found(bare: Bare) -> None:
    bare.put(CODE + 0xFFF, bytes.fromhex("c5eb58c1"))
    bare.core.set_registers({"rip": CODE + 0xFFF})
    bare.core.run(10)
    assert bare.exceptions == [(INVALID_OPCODE, 0, 0, CODE + 0xFFF)]


@pytest.mark.parametrize("mmu", BOTH_MMUS)
@pytest.mark.parametrize("counted", [True, False])
def test_one_instruction_is_refused_and_its_neighbours_run(mmu: str, counted: bool) -> None:
    bare = Bare(mmu=mmu)
    bare.put(CODE, bytes.fromhex("ffc0" * 5 + "c5f877"))
    bare.core.set_registers({"rip": CODE, "rax": 0})
    bare.core.run(100, counted=counted)
    assert bare.core.registers()["rax"] == 5
    assert bare.exceptions == [(INVALID_OPCODE, 0, 0, CODE + 10)]


def test_a_stop_that_is_left_from_other_code_does_nothing(bare: Bare) -> None:
    run(bare, "9090c5f877")
    run(bare, "9090ffc0" + SYSCALL, rax=6)
    assert calls(bare) == [7]
    assert len(bare.exceptions) == 1


def test_code_that_a_program_writes_is_looked_at_again() -> None:
    """A program stores VEX code into its own page, where it has just run harmless code."""
    bare = Bare()
    page = 0x50_0000
    bare.map(page, P | U | W)
    bare.put(page, b"\x0f\x1f\x00\xc3")  # nop; ret
    # call rbx; mov dword [rbx], vzeroupper and ret; call rbx
    run(bare, "ffd3" + "c703c5f877c3" + "ffd3", rbx=page)
    assert bare.exceptions == [(INVALID_OPCODE, 0, 0, page)]


def test_many_stops_are_forgotten_and_found_again() -> None:
    bare = Bare()
    store = bytes.fromhex("0fae1b")  # stmxcsr [rbx]
    bare.put(CODE, store * 700)
    for _ in range(2):
        bare.core.set_registers({"rip": CODE, "rbx": DATA})
        assert bare.core.run(700) == 0
    assert bare.exceptions == []
    assert bare.instructions == 2 * 700


# Flags --------------------------------------------------------------------------------------------


def test_flags_are_there_when_they_are_read_and_stay_with_their_thread(bare: Bare) -> None:
    run(bare, DIVIDE_1_BY_3 + SHOW_MXCSR + SYSCALL)
    other = bare.core.fresh_context()
    mine = bytearray(other)
    bare.core.save(mine)
    bare.core.restore(other, CODE)
    run(bare, SHOW_MXCSR + SYSCALL)
    bare.core.restore(mine, CODE)
    run(bare, SHOW_MXCSR + SYSCALL)
    assert calls(bare) == [0x1FA0, 0x1F80, 0x1FA0]


def test_flags_are_part_of_an_fxsave_image(bare: Bare) -> None:
    run(bare, DIVIDE_1_BY_3 + "d9e8d9eedef9" + SYSCALL)  # fld1; fldz; fdivp
    image = bare.core.fpu_image()
    assert struct.unpack_from("<I", image, 24) == (0x1FA0,)
    assert struct.unpack_from("<H", image, 2)[0] & 0x3F == 4
    bare.core.reset_fpu()
    assert struct.unpack_from("<I", bare.core.fpu_image(), 24) == (0x1F80,)
    bare.core.load_fpu_image(image)
    assert bare.core.fpu_image() == image


def test_a_fresh_fpu_keeps_the_general_registers(bare: Bare) -> None:
    run(bare, "ffc0" + SYSCALL, rax=5, r15=77)
    before = bare.core.registers()
    bare.core.reset_fpu()
    assert bare.core.registers() == before


def test_an_instruction_that_runs_alone_retires_once(bare: Bare) -> None:
    bare.put(DATA, struct.pack("<I", 0x9F80))  # FTZ: it is loaded with care
    run(bare, "90" + "0fae13" + "90" + SYSCALL, rax=1)  # ldmxcsr [rbx]
    assert [call.instructions for call in bare.calls] == [4, 6]
    assert bare.exceptions == []


def test_a_load_that_faults_changes_nothing(bare: Bare) -> None:
    run(bare, DIVIDE_1_BY_3 + "0fae13", rbx=0x1234_5000)
    assert len(bare.exceptions) == 1
    assert struct.unpack_from("<I", bare.core.fpu_image(), 24) == (0x1FA0,)


# FPREM ------------------------------------------------------------------------------------------


def exact(number: Extended) -> Fraction:
    scale = max(number.exponent, 1) - 0x3FFF - 63
    size = Fraction(number.mantissa) * Fraction(2) ** scale
    return -size if number.sign_and_exponent >> 15 else size


@st.composite
def numbers(draw: st.DrawFn) -> Extended:
    mantissa = draw(st.integers(1 << 63, (1 << 64) - 1) | st.just(1 << 63))
    exponent = draw(st.integers(0x3FFF - 70, 0x3FFF + 70) | st.integers(1, 0x7FFE))
    return Extended(mantissa, draw(st.sampled_from((0, 0x8000))) | exponent)


@given(numbers(), numbers(), st.booleans())
def test_the_remainder_is_exact(dividend: Extended, divisor: Extended, nearest: bool) -> None:
    a, b = exact(dividend), exact(divisor)
    value, conditions, raised = remainder(dividend, divisor, nearest=nearest)
    got = exact(value)
    assert raised == 0
    multiples = (a - got) / b
    assert multiples.denominator == 1
    if conditions & C2:
        assert abs(got) < abs(a)
        return
    quotient = abs(round(a / b)) if nearest else abs(int(a / b))
    assert abs(multiples) == quotient
    bits = ((C1, 1), (C3, 2), (C0, 4))
    assert conditions == sum(flag for flag, bit in bits if quotient & bit)


# Code and its aliases ---------------------------------------------------------------------------


@pytest.mark.parametrize("writes_first", [True, False])
def test_on_silicon_a_store_through_an_alias_is_seen(writes_first: bool) -> None:
    bare = Bare(mmu=SILICON)
    code, alias = 0x50_0000, 0x51_0000
    pfn = bare.map(code, EXECUTE)
    flags = P | U | W | NX
    bare.map(alias, flags, pfn)
    bare.memory.writable(pfn)
    bare.memory.write(pfn << 12, bytes.fromhex("b801000000c3"))
    # call rbx; inc dword [rcx + 1]; call rbx; syscall
    first = "ff4101" if writes_first else ""
    run(bare, first + "ffd3" + "ff4101" + "ffd3" + SYSCALL, rbx=code, rcx=alias)
    assert calls(bare) == [3 if writes_first else 2]


LOCKED = bytes.fromhex("f0480fb113" + SYSCALL)  # lock cmpxchg [rbx], rdx; syscall


@pytest.mark.parametrize("inside", range(1, 7))
def test_a_locked_instruction_may_go_on_in_a_page_that_is_absent_until_it_is_fetched(
    bare: Bare, inside: int
) -> None:
    start, page = AWAY + PAGE_SIZE - inside, AWAY + PAGE_SIZE
    bare.put(start, LOCKED)
    frame = bare.pa(page) >> 12
    bare.unmap(page)

    def resolve(at: int, _: int) -> int:
        bare.map(at, EXECUTE, frame)
        return RESUME

    bare.on_fault = resolve
    bare.core.set_registers({"rip": start, "rbx": DATA})
    bare.core.run(100)
    assert len(bare.calls) == 1
    assert (bare.faults, bare.exceptions) == ([(page, ERR_FETCH | ERR_USER)], [])


def test_a_locked_instruction_that_goes_on_nowhere_is_a_fault_of_that_page(bare: Bare) -> None:
    bare.put(AWAY + PAGE_SIZE - 1, LOCKED)
    bare.unmap(AWAY + PAGE_SIZE)
    bare.core.set_registers({"rip": AWAY + PAGE_SIZE - 1, "rbx": DATA})
    bare.core.run(100)
    fault = PAGE_FAULT, ERR_FETCH | ERR_USER, AWAY + PAGE_SIZE, AWAY + PAGE_SIZE - 1
    assert bare.exceptions == [fault]


@pytest.mark.parametrize("budget", [1, 3, 7])
def test_where_such_bytes_were_is_not_asked_for_again(bare: Bare, budget: int) -> None:
    """When a run ends, the library looks at places that must not be translated, gone or not."""
    bare.map(AWAY, EXECUTE)
    bare.map(AWAY + PAGE_SIZE, EXECUTE)
    bare.put(AWAY, bytes.fromhex("b9f00fc1c2ff15f50f0000c3"))  # mov ecx, 0xc2c10ff0; call [far]
    bare.put(AWAY + PAGE_SIZE, (AWAY + PAGE_SIZE + 8).to_bytes(8, "little"))
    bare.put(AWAY + PAGE_SIZE + 8, bytes.fromhex("b9f00fc1c2c3"))
    bare.put(CODE, bytes.fromhex("ffd3" + "90" * 40 + SYSCALL))
    bare.core.set_registers({"rip": CODE, "rbx": AWAY})
    while bare.instructions < 20 and not bare.exceptions:
        bare.core.run(budget)
    for page in (AWAY, AWAY + PAGE_SIZE):
        bare.unmap(page)
        bare.core.invlpg(page, 0)
    while not (bare.calls or bare.exceptions):
        bare.core.run(budget)
    assert (bare.faults, bare.exceptions) == ([], [])
    assert bare.calls[0].instructions == 6 + 40 + 1


# A mistake of our own -----------------------------------------------------------------------------


def broken(*_: object, **__: object) -> object:
    raise ZeroDivisionError("in the machine")


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("hw.remedies.find", DIVIDE_1_BY_3),
        ("hw.remedies.recognise", "90c5eb58c1"),
        ("hw.remedies.Remedies._look", "90c5eb58c1"),
        ("hw.cpu.Core.refuse", "cc"),
        ("hw.cpu.Core.refuse", "cd80"),
        ("hw.cpu.Core.refuse", "0f0b"),
        ("hw.cpu.Core.refuse", "31c9f7f1"),
    ],
)
def test_a_mistake_of_our_own_ends_the_run_whichever_hook_makes_it(
    bare: Bare, place: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The emulator's library would ignore an exception in a hook, and go on."""
    monkeypatch.setattr(place, broken)
    with pytest.raises(ZeroDivisionError, match="in the machine"):
        run(bare, code + SYSCALL)
