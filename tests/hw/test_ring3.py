"""Ring 3 is real: what a program may not do gives it the exception that silicon gives.

Every claim holds on both MMUs.  There is no kernel here: `Bare` records what reaches the vectors.
"""

from __future__ import annotations

import pytest
from unicorn.x86_const import UC_X86_REG_CS

from hw.cpu import (
    BREAKPOINT,
    DIVIDE,
    FPU,
    GENERAL_PROTECTION,
    INVALID_OPCODE,
    OVERFLOW,
    PAGE_FAULT,
    RESUME,
)
from hw.paging import P
from tests.hw.bare import (
    BOTH_MMUS,
    CODE,
    DATA,
    EXECUTE,
    KERNEL_PAGE,
    NOP,
    READ_ONLY,
    READ_WRITE,
    STACK_TOP,
    SYSCALL,
    Bare,
)

both_mmus = pytest.mark.parametrize("mmu", BOTH_MMUS)
FAR_PAGE = 0x90_0000
LEAVE = bytes.fromhex("31c0") + SYSCALL  # xor eax, eax; syscall

PRIVILEGED = {
    "cli": "fa",
    "sti": "fb",
    "hlt": "f4",
    "in al, imm": "e460",
    "in eax, imm": "e560",
    "in al, dx": "ec",
    "in ax, dx": "66ed",
    "in eax, dx": "ed",
    "out imm, al": "e660",
    "out imm, eax": "e760",
    "out dx, al": "ee",
    "out dx, eax": "ef",
    "insb": "6c",
    "insd": "6d",
    "rep insb": "f36c",
    "outsb": "6e",
    "outsd": "6f",
    "rep outsb": "f36e",
    "mov rax, cr0": "0f20c0",
    "mov rax, cr2": "0f20d0",
    "mov rax, cr3": "0f20d8",
    "mov rax, cr4": "0f20e0",
    "mov rax, cr8": "440f20c0",
    "mov cr0, rax": "0f22c0",
    "mov cr2, rax": "0f22d0",
    "mov cr3, rax": "0f22d8",
    "mov cr4, rax": "0f22e0",
    "mov cr8, rax": "440f22c0",
    "mov rax, dr0": "0f21c0",
    "mov dr0, rax": "0f23c0",
    "mov rax, dr7": "0f21f8",
    "mov dr7, rax": "0f23f8",
    "lgdt": "0f0113",
    "lidt": "0f011b",
    "lldt": "0f00d0",
    "ltr": "0f00d8",
    "lmsw": "0f01f0",
    "clts": "0f06",
    "invd": "0f08",
    "wbinvd": "0f09",
    "invlpg": "0f013b",
    "rdmsr": "0f32",
    "wrmsr": "0f30",
    "rdpmc": "0f33",
    "swapgs": "0f01f8",
    "sysenter": "0f34",
    "sysexit": "0f35",
    "sysexit, 64 bits": "480f35",
    "sysret": "0f07",
    "sysretq": "480f07",
}

UNDEFINED = {
    "ud2": "0f0b",
    "into": "ce",
    "xgetbv": "0f01d0",
    "xsave": "0fae23",
    "rdrand": "0fc7f0",
    "rdseed": "0fc7f8",
    "vmcall": "0f01c1",
    "vmrun": "0f01d8",
    "monitor": "0f01c8",
    "mwait": "0f01c9",
    "clac": "0f01ca",
    "rsm": "0faa",
    "invpcid": "660f388203",
    "rdtscp": "0f01f9",
    "lock nop": "f090",
}


def alone(mmu: str, code: str, **registers: int) -> Bare:
    """A machine that has run some code, in hex, up to its first exception or SYSCALL."""
    bare = Bare(mmu=mmu)
    defaults = {"rax": 0x23, "rbx": DATA, "rcx": 1, "rdx": 0x60, "rsi": DATA, "rdi": DATA}
    bare.run(bytes.fromhex(code) + LEAVE, registers={**defaults, **registers})
    return bare


def only_exception(bare: Bare) -> tuple[int, int, int, int]:
    assert bare.calls == [], "nothing after it may have run"
    (exception,) = bare.exceptions
    return exception


# Instructions -------------------------------------------------------------------------------------


@both_mmus
@pytest.mark.parametrize("name", PRIVILEGED)
def test_a_privileged_instruction_is_a_general_protection_fault(mmu: str, name: str) -> None:
    bare = alone(mmu, PRIVILEGED[name])
    assert only_exception(bare) == (GENERAL_PROTECTION, 0, 0, CODE)


@both_mmus
@pytest.mark.parametrize("name", PRIVILEGED)
def test_a_refused_instruction_leaves_no_mark(mmu: str, name: str) -> None:
    bare = Bare(mmu=mmu)
    registers = {"rax": 0x1234_5678, "rbx": DATA, "rcx": 3, "rsi": DATA, "rdi": DATA, "rdx": 0x60}
    bare.core.set_registers({**registers, "rip": CODE})
    before = bare.core.registers()
    bare.run(bytes.fromhex(PRIVILEGED[name]) + LEAVE)
    assert bare.core.registers() == before
    assert bare.instructions == 0
    assert bare.core.state.rip == CODE


@both_mmus
@pytest.mark.parametrize("name", UNDEFINED)
def test_an_instruction_that_this_cpu_lacks_is_undefined(mmu: str, name: str) -> None:
    bare = alone(mmu, UNDEFINED[name])
    assert only_exception(bare) == (INVALID_OPCODE, 0, 0, CODE)
    assert bare.instructions == 0


@both_mmus
@pytest.mark.parametrize(
    "code", ["48cf", "48cb", "cb", "cf"], ids=["iretq", "lretq", "lret", "iret"]
)
@pytest.mark.parametrize("selector", [0x08, 0x10])
def test_no_far_return_reaches_ring_0(mmu: str, code: str, selector: int) -> None:
    bare = Bare(mmu=mmu)
    for i in range(5):
        word = selector if i == 1 else STACK_TOP - 8 if i == 3 else CODE
        bare.put(STACK_TOP - 64 + 8 * i, word.to_bytes(8, "little"))
    bare.run(bytes.fromhex(code) + LEAVE)
    vector, _, _, rip = only_exception(bare)
    assert (vector, rip) == (GENERAL_PROTECTION, CODE)
    assert bare.core.engine.uc.reg_read(UC_X86_REG_CS) & 3 == 3


@both_mmus
@pytest.mark.parametrize("number", range(256))
def test_only_interrupts_3_and_4_may_be_called_by_a_program(mmu: str, number: int) -> None:
    bare = alone(mmu, f"cd{number:02x}")
    if number in (BREAKPOINT, OVERFLOW):
        assert only_exception(bare) == (number, 0, 0, CODE + 2)
        assert bare.instructions == 1
    else:
        assert only_exception(bare) == (GENERAL_PROTECTION, number * 8 + 2, 0, CODE)
        assert bare.instructions == 0


@both_mmus
@pytest.mark.parametrize(
    ("code", "vector"), [("b80000cd0df4", GENERAL_PROTECTION), ("31c9b80000cd00f7f1", DIVIDE)]
)
def test_bytes_that_look_like_int_n_before_a_fault_do_not_mislead(
    mmu: str, code: str, vector: int
) -> None:
    at = CODE + code.index("f4" if vector else "f7f1") // 2
    assert only_exception(alone(mmu, code)) == (vector, 0, 0, at)


@both_mmus
def test_a_breakpoint_stops_behind_itself_and_counts(mmu: str) -> None:
    bare = alone(mmu, "90cc")
    assert only_exception(bare) == (BREAKPOINT, 0, 0, CODE + 2)
    assert bare.instructions == 2


@both_mmus
@pytest.mark.parametrize(
    ("code", "at", "instructions"),
    [
        ("31c9f7f1", 2, 1),
        ("31c9f6f1", 2, 1),
        ("48b800000000000000804899 48c7c1ffffffff48f7f9", 19, 3),
    ],
    ids=["by zero", "byte by zero", "overflow"],
)
def test_a_division_without_a_result_is_exception_0(
    mmu: str, code: str, at: int, instructions: int
) -> None:
    bare = alone(mmu, code)
    assert only_exception(bare) == (DIVIDE, 0, 0, CODE + at)
    assert bare.instructions == instructions


@both_mmus
def test_an_unmasked_x87_exception_arrives_at_the_next_waiting_instruction(mmu: str) -> None:
    bare = alone(mmu, "6a00 d92c24 d9e8 d9ee def9 9b".replace(" ", ""))
    assert only_exception(bare) == (FPU, 0, 0, CODE + 11)


@both_mmus
def test_the_trap_flag_stops_after_one_instruction(mmu: str) -> None:
    bare = alone(mmu, "9c810c2400010000 9d9090".replace(" ", ""))
    assert only_exception(bare) == (1, 0, 0, CODE + 10)


@both_mmus
def test_a_program_cannot_give_itself_ports_or_shut_interrupts_out(mmu: str) -> None:
    """POPF ignores IOPL and IF in ring 3 (SDM vol. 2, POPF)."""
    bare = alone(mmu, "6800300000 9d".replace(" ", ""))
    assert [call.number for call in bare.calls] == [0]
    assert bare.core.registers()["eflags"] & 0x3200 == 0x200


# The clock ------------------------------------------------------------------------------------


@both_mmus
def test_rdtsc_answers_with_the_cycle_clock(mmu: str) -> None:
    bare = Bare(mmu=mmu)
    bare.core.state.cycles = 5 << 32 | 1000
    bare.run(bytes.fromhex("0f31 48c1e220 4809d0 4889c3") + LEAVE)
    seen = bare.core.registers()["rbx"]
    assert 5 << 32 | 1000 <= seen <= bare.core.state.cycles
    assert bare.exceptions == []


@both_mmus
def test_rdtsc_counts_as_one_instruction_of_the_clock_and_of_the_budget(mmu: str) -> None:
    bare = Bare(mmu=mmu)
    left = bare.run(b"\x0f\x31" * 3 + LEAVE, budget=100)
    assert bare.instructions == 5
    assert left == 95


@both_mmus
def test_two_runs_read_the_same_clock(mmu: str) -> None:
    clocks = []
    for _ in range(2):
        bare = alone(mmu, "0f31 4889c3 0f31 4829c3".replace(" ", ""))
        clocks.append(bare.core.registers()["rbx"])
    assert clocks[0] == clocks[1]


@both_mmus
def test_cpuid_names_neither_what_is_missing_nor_the_host(mmu: str) -> None:
    bare = alone(mmu, "b801000000 31c9 0fa2 4889cb".replace(" ", ""))
    features = bare.core.registers()["rbx"]
    assert not features & (1 << 26 | 1 << 27 | 1 << 28 | 1 << 30), "XSAVE, OSXSAVE, AVX, RDRAND"
    bare = alone(mmu, "b801000080 31c9 0fa2 4889d3".replace(" ", ""))
    assert not bare.core.registers()["rbx"] & 1 << 27, "RDTSCP"


# Addresses ------------------------------------------------------------------------------------

LOAD, STORE, JUMP = "488b03", "488903", "ffe3"  # mov rax,[rbx]; mov [rbx],rax; jmp rbx


@both_mmus
@pytest.mark.parametrize(
    ("code", "error"), [(LOAD, 5), (STORE, 7), (JUMP, 0x15)], ids=["load", "store", "jump"]
)
def test_a_supervisor_page_is_closed(mmu: str, code: str, error: int) -> None:
    bare = alone(mmu, code, rbx=KERNEL_PAGE + 8)
    at = KERNEL_PAGE + 8 if code == JUMP else CODE
    assert only_exception(bare) == (PAGE_FAULT, error, KERNEL_PAGE + 8, at)
    assert bare.faults == [(KERNEL_PAGE, error)]
    assert bare.instructions == (code == JUMP)
    assert bare.memory.read(bare.pa(KERNEL_PAGE), 16) == bytes(16)


@both_mmus
@pytest.mark.parametrize(
    "va", [0, 0xFFFF_8000_0000_0123, 0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_FFFF_FFF0, (1 << 47) - 16]
)
@pytest.mark.parametrize(
    ("code", "error"), [(LOAD, 4), (STORE, 6), (JUMP, 0x14)], ids=["load", "store", "jump"]
)
def test_an_address_without_a_page_is_a_page_fault_in_both_halves(
    mmu: str, code: str, error: int, va: int
) -> None:
    bare = alone(mmu, code, rbx=va)
    assert only_exception(bare) == (PAGE_FAULT, error, va, va if code == JUMP else CODE)
    assert bare.faults == [(va & ~0xFFF, error)]


@both_mmus
@pytest.mark.parametrize(
    "va", [1 << 47, 1 << 63, 0xFFFF_7FFF_FFFF_FFF8, 1 << 48 | DATA, 0xFFFF << 48 | DATA]
)
@pytest.mark.parametrize("code", [LOAD, STORE], ids=["load", "store"])
def test_an_address_that_is_not_canonical_is_a_general_protection_fault(
    mmu: str, code: str, va: int
) -> None:
    bare = alone(mmu, code, rbx=va)
    assert only_exception(bare) == (GENERAL_PROTECTION, 0, 0, CODE)
    assert bare.faults == []
    assert bare.instructions == 0


@both_mmus
@pytest.mark.parametrize("code", [JUMP, "53c3"], ids=["jump", "return"])
def test_a_jump_to_an_address_that_is_not_canonical_is_a_general_protection_fault(
    mmu: str, code: str
) -> None:
    """The jump completes and the next fetch faults.  Silicon would refuse the jump itself."""
    bare = alone(mmu, code, rbx=1 << 47)
    assert only_exception(bare) == (GENERAL_PROTECTION, 0, 0, 1 << 47)
    assert bare.instructions == len(code) // 2 - (code == JUMP)


@both_mmus
def test_code_on_a_page_for_data_does_not_run(mmu: str) -> None:
    bare = alone(mmu, JUMP)
    assert only_exception(bare) == (PAGE_FAULT, 0x15, DATA, DATA)
    assert bare.instructions == 1


@both_mmus
def test_a_store_into_code_is_refused(mmu: str) -> None:
    bare = alone(mmu, STORE, rbx=CODE)
    assert only_exception(bare)[:3] == (PAGE_FAULT, 7, CODE)


@both_mmus
@pytest.mark.parametrize(("code", "error"), [(LOAD, 4), (STORE, 6)], ids=["load", "store"])
def test_an_access_across_into_nothing_faults_at_the_page_that_is_missing(
    mmu: str, code: str, error: int
) -> None:
    bare = alone(mmu, code, rbx=DATA + 4096 - 3, rax=0x1122_3344_5566_7788)
    assert only_exception(bare) == (PAGE_FAULT, error, DATA + 4096, CODE)
    assert bare.memory.read(bare.pa(DATA) + 4088, 8) == bytes(8), "nothing is half stored"


@both_mmus
def test_an_instruction_whose_end_is_missing_faults_at_the_missing_page(mmu: str) -> None:
    bare = Bare(mmu=mmu)
    bare.put(CODE + 4094, b"\x48\x8b")
    bare.run(b"\xe9" + (4094 - 5).to_bytes(4, "little"))
    assert only_exception(bare) == (PAGE_FAULT, 0x14, CODE + 4096, CODE + 4094)
    assert bare.instructions == 1


@both_mmus
def test_corner_code_that_runs_off_its_last_page_faults_at_the_start_of_its_block(mmu: str) -> None:
    """Silicon would execute the block first.  The emulator checks the next page before it."""
    bare = Bare(mmu=mmu)
    bare.put(CODE + 4096 - 7, bytes.fromhex("b811000000") + NOP * 2)  # mov eax, 0x11
    bare.core.set_registers({"rip": CODE + 4096 - 7})
    bare.core.run(100)
    assert only_exception(bare) == (PAGE_FAULT, 0x14, CODE + 4096, CODE + 4096 - 7)
    assert bare.core.registers()["rax"] == 0
    assert bare.instructions == 0


@both_mmus
def test_a_repeated_store_stops_in_the_round_that_faults_and_goes_on_from_there(mmu: str) -> None:
    bare = alone(mmu, "f3aa", rdi=DATA + 4096 - 5, rcx=10, rax=0x5A)
    assert only_exception(bare) == (PAGE_FAULT, 6, DATA + 4096, CODE)
    assert (bare.core.registers()["rdi"], bare.core.registers()["rcx"]) == (DATA + 4096, 5)
    bare.map(DATA + 4096, READ_WRITE)
    bare.core.run(100)
    assert bare.memory.read(bare.pa(DATA + 4096), 6) == b"\x5a" * 5 + b"\0"
    assert [call.number for call in bare.calls] == [0]


@both_mmus
@pytest.mark.parametrize("rounds", [0, 1, 2, 9])
def test_a_repeated_instruction_counts_each_round_and_the_look_that_ends_it(
    mmu: str, rounds: int
) -> None:
    bare = Bare(mmu=mmu)
    left = bare.run(bytes.fromhex("f3aa") + LEAVE, registers={"rdi": DATA, "rcx": rounds})
    assert bare.instructions == rounds + 1 + 2 == 1000 - left


@both_mmus
def test_a_budget_may_end_between_two_rounds(mmu: str) -> None:
    bare = Bare(mmu=mmu)
    assert bare.run(bytes.fromhex("f3aa") + LEAVE, 3, registers={"rdi": DATA, "rcx": 9}) == 0
    assert bare.core.registers()["rcx"] == 6
    assert bare.core.state.rip == CODE


# Counts and addresses at every kind of stop -----------------------------------------------------

WORK = bytes.fromhex("48ffc0 48ffc1 48ffc2")  # three increments


@both_mmus
@pytest.mark.parametrize("budget", [1, 2, 3, 7, 50, 997])
def test_a_budget_is_used_to_the_last_instruction(mmu: str, budget: int) -> None:
    bare = Bare(mmu=mmu)
    loop = WORK + b"\xeb" + bytes((256 - len(WORK) - 2,))
    assert bare.run(loop, budget) == 0
    assert bare.instructions == budget
    rounds, rest = divmod(budget, 4)
    assert bare.core.state.rip == CODE + 3 * rest
    registers = bare.core.registers()
    assert [registers[name] for name in ("rax", "rcx", "rdx")] == [
        rounds + (rest > place) for place in range(3)
    ]


@both_mmus
@pytest.mark.parametrize("before", [0, 1, 5, 64, 700])
def test_a_system_call_counts_and_sees_what_ran_before_it(mmu: str, before: int) -> None:
    bare = Bare(mmu=mmu)
    left = bare.run(NOP * before + bytes.fromhex("b807000000") + SYSCALL + NOP * 3 + LEAVE)
    assert [(call.number, call.instructions) for call in bare.calls] == [
        (7, before + 2),
        (0, before + 7),
    ]
    assert bare.core.state.rip == CODE + before + 5 + 2 + 3 + 2, "a call that left stays there"
    assert left == 1000 - bare.instructions == 1000 - (before + 7)


@both_mmus
def test_an_unfinished_call_is_finished_behind_itself(mmu: str) -> None:
    bare = Bare(mmu=mmu)
    bare.run(LEAVE + WORK + LEAVE)
    bare.core.finish_syscall(41)
    assert bare.core.state.rip == CODE + 4
    registers = bare.core.registers()
    assert (registers["rax"], registers["rcx"]) == (41, CODE + 4)
    assert registers["r11"] == registers["eflags"]
    bare.core.run(100)
    assert bare.instructions == 2 + 5


@both_mmus
@pytest.mark.parametrize("code", ["488b03", "488903", "480103", "ff33", "a4", "f00fb10b"])
@pytest.mark.parametrize("before", [0, 3])
def test_an_access_whose_fault_is_resolved_counts_once(mmu: str, code: str, before: int) -> None:
    bare = Bare(mmu=mmu)
    bare.unmap(DATA)

    def bring(page: int, error: int) -> int:
        bare.map(page, READ_WRITE)
        return RESUME

    bare.on_fault = bring
    registers = {"rbx": DATA + 8, "rsi": DATA, "rdi": DATA + 16, "rcx": 1}
    left = bare.run(NOP * before + bytes.fromhex(code) + LEAVE, registers=registers)
    assert len(bare.faults) == 1
    assert bare.exceptions == []
    end_of_rep = code == "f3a4"  # REP counts each round, and once more for its end
    assert bare.instructions == before + 3 + end_of_rep == 1000 - left


@both_mmus
def test_a_fault_that_is_resolved_for_reading_only_comes_again_for_the_store(mmu: str) -> None:
    bare = Bare(mmu=mmu)
    bare.unmap(DATA)
    bare.on_fault = lambda page, error: bare.map(page, READ_WRITE if error & P else READ_ONLY) * 0
    bare.run(bytes.fromhex("480103") + LEAVE, registers={"rbx": DATA})
    assert bare.faults in ([(DATA, 4), (DATA, 7)], [(DATA, 6), (DATA, 7)])
    assert bare.instructions == 3


@both_mmus
def test_the_first_instruction_of_a_page_may_fault_first(mmu: str) -> None:
    bare = Bare(mmu=mmu)
    target = bare.frame()
    bare.memory.write(target << 12, LEAVE)

    def bring(page: int, error: int) -> int:
        bare.map(page, EXECUTE, target)
        return RESUME

    bare.on_fault = bring
    bare.run(bytes.fromhex(JUMP), registers={"rbx": DATA + 0x40_0000})
    assert bare.faults == [(DATA + 0x40_0000, 0x14)]
    assert bare.instructions == 3
    assert bare.core.state.rip == DATA + 0x40_0000 + 2


@both_mmus
@pytest.mark.parametrize("code", ["f4", "0f0b", "31c9f7f1", "488b03", "cd80", "ec", "0f34"])
def test_an_exception_does_not_disturb_the_next_one(mmu: str, code: str) -> None:
    bare = Bare(mmu=mmu)
    bare.put(CODE, bytes.fromhex(code) + LEAVE)
    for _ in range(5):
        bare.core.set_registers({"rip": CODE, "rbx": KERNEL_PAGE})
        bare.core.run(100)
    assert len(bare.exceptions) == 5
    assert len(set(bare.exceptions)) == 1
    assert bare.calls == []
