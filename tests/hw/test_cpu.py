"""A core as a whole: stopping it from outside, changing code, contexts, the FPU image, and the
configurations that a machine refuses."""

from __future__ import annotations

import struct
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unicorn import x86_const

from hw import costs, fpu
from hw.cpu import GENERAL_PROTECTION, MachineCheck
from hw.engine import GENERAL_REGISTERS
from hw.machine import MachineConfig
from hw.memory import PAGE_SIZE, PhysicalMemory
from hw.paging import P, U, W
from tests.hw.bare import (
    BOTH_MMUS,
    CODE,
    DATA,
    EXECUTE,
    READ_WRITE,
    SYSCALL,
    Bare,
)

both_mmus = pytest.mark.parametrize("mmu", BOTH_MMUS)
LEAVE = bytes.fromhex("31c0") + SYSCALL
COUNT_FOR_EVER = bytes.fromhex("48ff03 ebfb")  # inc qword [rbx]; jmp back
ALIAS = 0x50_0000
"""Where tests put a second view of the frame of code."""


def answer(number: int) -> bytes:
    """A function of six bytes that returns a number in EAX."""
    return b"\xb8" + number.to_bytes(4, "little") + b"\xc3"


def call(va: int) -> bytes:
    """Call the function at `va`, by way of RDX."""
    return b"\x48\xba" + va.to_bytes(8, "little") + bytes.fromhex("ffd2")


# Abort ------------------------------------------------------------------------------------------


@both_mmus
@pytest.mark.parametrize("counted", [True, False], ids=["counted", "uncounted"])
def test_abort_from_another_thread_leaves_an_endless_loop(mmu: str, counted: bool) -> None:
    bare = Bare(mmu=mmu)
    bare.put(CODE, COUNT_FOR_EVER)
    bare.core.set_registers({"rbx": DATA})
    word = bare.pa(DATA) >> 3

    def abort() -> None:
        while not bare.memory.words[word]:
            pass
        bare.machine.abort()

    aborter = threading.Thread(target=abort)
    aborter.start()
    left = bare.core.run(1 << 60, counted=counted)
    aborter.join()
    assert bare.machine.aborted
    assert left > 0
    assert bare.core.state.rip in (CODE, CODE + 3)
    if counted:
        done = 2 * bare.memory.words[word] - (bare.core.state.rip == CODE + 3)
        assert bare.instructions == (1 << 60) - left
        assert abs(bare.instructions - done) <= 1, "one more may have been about to run"


def test_an_aborted_core_does_not_start_again() -> None:
    bare = Bare()
    bare.machine.abort()
    assert bare.run(COUNT_FOR_EVER, 50, registers={"rbx": DATA}) == 50
    assert bare.instructions == 0


@both_mmus
def test_a_core_may_change_between_counted_and_uncounted(mmu: str) -> None:
    bare = Bare(mmu=mmu)
    bare.run(bytes.fromhex("48ffc3") * 4 + LEAVE, registers={"rbx": 10})
    bare.core.set_registers({"rip": CODE})
    assert bare.core.run(1000, counted=False) == 1000
    assert bare.core.registers()["rbx"] == 18
    bare.core.set_registers({"rip": CODE})
    assert bare.core.run(1000) == 1000 - 6
    assert bare.core.registers()["rbx"] == 22
    assert bare.instructions == 12


def test_what_a_vector_raises_comes_out_of_run() -> None:
    bare = Bare()

    def broken(*_: object) -> int:
        raise ZeroDivisionError("in the kernel")

    for name, code in (("syscall", SYSCALL), ("page_fault", bytes.fromhex("a1") + bytes(8))):
        setattr(bare, name, broken)
        with pytest.raises(ZeroDivisionError, match="in the kernel"):
            bare.run(code)
    bare.syscall = lambda *_: None  # type: ignore[method-assign]
    assert bare.run(LEAVE) == 1000 - 2


# Code that changes ----------------------------------------------------------------------------


@both_mmus
@pytest.mark.parametrize("counted", [True, False], ids=["counted", "uncounted"])
def test_code_that_the_kernel_overwrites_runs_new(mmu: str, counted: bool) -> None:
    bare = Bare(mmu=mmu)
    bare.put(CODE, answer(1)[:5] + SYSCALL)
    bare.put(CODE + 7, LEAVE)
    for number in (1, 2, 3):
        bare.memory.write(bare.pa(CODE) + 1, number.to_bytes(4, "little"))
        bare.core.set_registers({"rip": CODE})
        bare.core.run(1000, counted=counted)
    assert [call.number for call in bare.calls] == [1, 0, 2, 0, 3, 0]


@both_mmus
@pytest.mark.parametrize("way", ["write", "zero_frame", "copy_frame"])
def test_a_system_call_may_change_the_code_behind_itself(mmu: str, way: str) -> None:
    bare = Bare(mmu=mmu)
    function, spare = bare.map(ALIAS, EXECUTE), bare.frame()
    bare.memory.write(function << 12, answer(1))
    bare.memory.write(spare << 12, answer(2))
    bare.put(ALIAS + 0x800, answer(0))
    answers: list[int] = []

    def syscall(*arguments: object) -> int | None:
        answers.append(bare.core.registers()["rax"])
        if len(answers) == 2:
            return None
        if way == "write":
            bare.memory.write(function << 12, answer(2))
        elif way == "copy_frame":
            bare.memory.copy_frame(spare, function)
        else:
            bare.memory.zero_frame(function)
        return 0

    bare.syscall = syscall  # type: ignore[method-assign, assignment]
    bare.run((call(ALIAS) + SYSCALL) * 2, registers={"rax": 0})
    if way == "zero_frame":
        assert answers == [1]
        assert bare.exceptions, "zeros add to [rax], and RAX is 0"
    else:
        assert answers == [1, 2]


@both_mmus
def test_a_program_may_change_its_own_code(mmu: str) -> None:
    bare = Bare(mmu=mmu)
    bare.map(ALIAS, P | U | W)
    bare.put(ALIAS, answer(1))
    store = bytes.fromhex("ff4201")  # inc dword [rdx+1]
    bare.run((call(ALIAS) + store) * 5 + call(ALIAS) + SYSCALL)
    assert bare.calls[0].number == 6


@both_mmus
def test_an_instruction_may_change_the_next_one(mmu: str) -> None:
    bare = Bare(mmu=mmu)
    bare.map(CODE, P | U | W)
    code = bytes.fromhex("c7430807000000 b801000000") + SYSCALL + LEAVE  # mov [rbx+8], 7
    bare.run(code, registers={"rbx": CODE})
    assert [call.number for call in bare.calls] == [7, 0]


@pytest.mark.parametrize("flags", [EXECUTE, P | U | W], ids=["X", "WX"])
def test_a_store_through_another_mapping_changes_the_code(flags: int) -> None:
    """On the model only.  On silicon the emulator does not notice the store and runs old code."""
    bare = Bare()
    frame = bare.map(ALIAS, flags)
    bare.map(DATA, READ_WRITE, frame)
    bare.put(ALIAS, answer(1))
    store = bytes.fromhex("ff4301")  # inc dword [rbx+1]
    bare.run((call(ALIAS) + store) * 5 + call(ALIAS) + SYSCALL, registers={"rbx": DATA})
    assert bare.calls[0].number == 6


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "uncounted"])
def test_code_may_change_itself_through_another_mapping(counted: bool) -> None:
    """Behind itself, and into the next instruction.  Each store happens once, and the code goes on.
    On the model only, as above."""
    bare = Bare()
    bare.map(DATA, READ_WRITE, bare.pa(CODE) >> 12)
    behind, into_next = "ff83 00080000", "ff83 0d000000"  # inc dword [rbx+0x800], [rbx+0xd]
    rest = "b801000000 0383 00080000"  # mov eax, 1; add eax, [rbx+0x800]
    bare.put(CODE, bytes.fromhex(behind + into_next + rest) + SYSCALL + LEAVE)
    bare.core.set_registers({"rip": CODE, "rbx": DATA})
    left = bare.core.run(1000, counted=counted)
    assert [call.number for call in bare.calls] == [3, 0]
    assert left == (1000 - 5 - 2 if counted else 1000)


@pytest.mark.parametrize("flags", [EXECUTE, P | U | W], ids=["X", "WX"])
def test_a_store_on_one_core_changes_the_code_of_another(flags: int) -> None:
    """On the model only, as above."""
    bare = Bare(cpus=2)
    frame = bare.map(ALIAS, flags)
    bare.map(DATA, READ_WRITE, frame)
    bare.put(ALIAS, answer(1))
    bare.put(CODE + 0x100, call(ALIAS) + SYSCALL + LEAVE)
    bare.put(CODE + 0x200, bytes.fromhex("ff4301") + LEAVE)
    writer, runner = bare.machine.cores
    for _ in range(4):
        runner.set_registers({"rip": CODE + 0x100})
        runner.run(100)
        writer.set_registers({"rip": CODE + 0x200, "rbx": DATA})
        writer.run(100)
    assert [c.number for c in bare.calls if c.core == 1 and c.number] == [1, 2, 3, 4]


@both_mmus
def test_cores_that_write_each_others_code_in_turns_run_what_is_there(mmu: str) -> None:
    bare = Bare(mmu=mmu, cpus=2)
    bare.map(ALIAS, P | U | W)
    bare.put(ALIAS, answer(1))
    bare.put(CODE, call(ALIAS) + bytes.fromhex("ff4201") + SYSCALL + LEAVE)
    for turn in range(8):
        core = bare.machine.cores[turn % 2]
        core.set_registers({"rip": CODE})
        core.run(100)
    assert [c.number for c in bare.calls if c.number] == list(range(1, 9))


# Contexts -------------------------------------------------------------------------------------

FILL = bytes.fromhex(
    "660f6ec0 0f28f8 440f28f8 d9e8 d9eb"  # xmm0, xmm7, xmm15; st0, st1
    "6800600000 0fae1424 66c70424 7f02 d92c24"  # mxcsr: round to zero; fcw
    "fd f9"  # std; stc
)


@both_mmus
def test_a_fresh_context_leaks_nothing_of_the_thread_before(mmu: str) -> None:
    bare = Bare(mmu=mmu)
    clean = everything(bare)
    names = [name for name in GENERAL_REGISTERS if name not in ("rip", "eflags", "rsp")]
    values = {name: 0x1111 * number for number, name in enumerate(names, 1)}
    bare.run(FILL + SYSCALL + LEAVE, registers=values)
    assert bare.exceptions == []
    assert everything(bare) != clean
    bare.start(bare.core)
    assert everything(bare) == clean
    registers = bare.core.registers()
    assert {name for name in GENERAL_REGISTERS if registers[name]} == {"rip", "rsp", "eflags"}
    assert registers["eflags"] == 0x202


def everything(bare: Bare) -> tuple[dict[str, int], bytes, list[int]]:
    """All that a program can see of a core."""
    uc = bare.core.engine.uc
    names = ("CS", "SS", "DS", "ES", "FS", "GS", "FS_BASE", "GS_BASE")
    segments = [uc.reg_read(getattr(x86_const, f"UC_X86_REG_{name}")) for name in names]
    return bare.core.registers(), fpu.save(bare.core.engine), segments


@both_mmus
def test_a_saved_context_comes_back_whole(mmu: str) -> None:
    bare = Bare(mmu=mmu)
    bare.run(FILL + LEAVE, registers={"rcx": 77, "fs_base": DATA + 8})
    before, rip = everything(bare), bare.core.state.rip
    context = bare.core.fresh_context()
    bare.core.save(context)
    bare.start(bare.core)
    bare.run(LEAVE)
    bare.core.restore(context, rip)
    bare.core.load_cr3(bare.root)
    assert everything(bare) == before


@both_mmus
def test_a_new_thread_is_in_ring_3(mmu: str) -> None:
    bare = Bare(mmu=mmu)
    assert bare.core.engine.uc.reg_read(x86_const.UC_X86_REG_CS) & 3 == 3
    bare.run(b"\xfa")
    assert bare.exceptions == [(GENERAL_PROTECTION, 0, 0, CODE)]


# The FPU image ----------------------------------------------------------------------------------

FXSAVE, FXRSTOR = bytes.fromhex("480fae03"), bytes.fromhex("480fae0b")
IMAGE_AT = DATA + 0x100
USED = (range(5), range(24, 28), *(range(32 + 16 * n, 42 + 16 * n) for n in range(8)))
"""Control, status and tag words, MXCSR, and the ten bytes of each x87 register; then XMM."""


def essence(image: bytes) -> bytes:
    """An FXSAVE image without reserved fields and without the address of the last instruction."""
    return b"".join(image[part.start : part.stop] for part in USED) + image[160:416]


@st.composite
def images(draw: st.DrawFn) -> bytes:
    """An FXSAVE image as software may make it."""
    image = bytearray(draw(st.binary(min_size=512, max_size=512)))
    control, top = draw(st.sampled_from((0x37F, 0x27F, 0xF7F))), draw(st.integers(0, 7))
    struct.pack_into("<HHBxH", image, 0, control, top << 11, draw(st.integers(0, 255)), 0)
    struct.pack_into("<QQII", image, 8, 0, 0, draw(st.sampled_from((0x1F80, 0x7F80, 0x9FC0))), 0)
    for n in range(8):
        number = draw(st.integers(1 << 63, (1 << 64) - 1))
        struct.pack_into("<QH6x", image, 32 + 16 * n, number, draw(st.integers(1, 0x7FFE)))
    return bytes(image)


@pytest.fixture(scope="module")
def fpu_machine() -> Bare:
    return Bare()


@settings(max_examples=120)
@given(images())
def test_the_image_of_the_fpu_is_what_fxsave_stores_after_fxrstor(
    fpu_machine: Bare, image: bytes
) -> None:
    bare = fpu_machine
    bare.memory.write(bare.pa(IMAGE_AT), image)
    bare.run(FXRSTOR + LEAVE, registers={"rbx": IMAGE_AT})
    ours = fpu.save(bare.core.engine)
    bare.run(FXSAVE + LEAVE, registers={"rbx": IMAGE_AT})
    guests = bare.memory.read(bare.pa(IMAGE_AT), 512)
    assert essence(ours) == essence(guests) == essence(image)


@settings(max_examples=120)
@given(images())
def test_what_we_restore_is_what_the_guest_then_saves(fpu_machine: Bare, image: bytes) -> None:
    bare = fpu_machine
    fpu.restore(bare.core.engine, image)
    bare.run(FXSAVE + LEAVE, registers={"rbx": IMAGE_AT})
    assert essence(bare.memory.read(bare.pa(IMAGE_AT), 512)) == essence(image)
    assert essence(fpu.save(bare.core.engine)) == essence(image)


@both_mmus
def test_a_fresh_thread_has_the_fpu_that_the_abi_promises(mmu: str) -> None:
    """All exceptions masked, 64-bit precision, an empty stack (System V ABI, 3.2.1)."""
    bare = Bare(mmu=mmu)
    bare.run(FXSAVE + LEAVE, registers={"rbx": IMAGE_AT})
    control, _, tags, _, _, _, mxcsr = struct.unpack(
        "<HHBxHQQI", bare.memory.read(bare.pa(IMAGE_AT), 28)
    )
    assert (control, tags, mxcsr) == (0x37F, 0, 0x1F80)


@pytest.mark.parametrize("pushes", range(9))
def test_a_stack_of_any_depth_is_saved_as_the_guest_saves_it(pushes: int) -> None:
    bare = Bare()
    code = b"".join(bytes((0xD9, 0xE8 + n % 7)) for n in range(pushes))  # fld1, fldpi, ...
    bare.run(code + FXSAVE + LEAVE, registers={"rbx": IMAGE_AT})
    image = bare.memory.read(bare.pa(IMAGE_AT), 512)
    assert bin(image[4]).count("1") == min(pushes, 8)
    assert essence(fpu.save(bare.core.engine)) == essence(image)


def test_reserved_bits_of_mxcsr_are_cleared_on_restore(fpu_machine: Bare) -> None:
    image = bytearray(fpu.save(fpu_machine.core.engine))
    image[24:28] = b"\x80\x1f\xff\xff"
    fpu.restore(fpu_machine.core.engine, bytes(image))
    assert fpu.save(fpu_machine.core.engine)[24:28] == b"\x80\x1f\0\0"


# Refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["488b03", "488903", "ffe3"], ids=["load", "store", "jump"])
@both_mmus
def test_a_page_outside_memory_is_a_machine_check(mmu: str, code: str) -> None:
    bare = Bare(mmu=mmu)
    bare.map(ALIAS, P | U | W, 0x12345)
    with pytest.raises(MachineCheck, match="core 0: "):
        bare.run(bytes.fromhex(code), registers={"rbx": ALIAS})


@both_mmus
def test_tables_outside_memory_are_not_present(mmu: str) -> None:
    bare = Bare(mmu=mmu)
    bare.memory.words[(bare.root >> 3) + 1] = 0x12345 << 12 | P | U | W
    bare.run(bytes.fromhex("488b03"), registers={"rbx": 1 << 39})
    assert bare.faults == [(1 << 39, 4)]


@pytest.mark.parametrize(("pa", "size_bytes"), [(-1, 1), (0x4000, 1), (0x3FFF, 2), (1 << 60, 8)])
def test_memory_ends_where_it_ends(pa: int, size_bytes: int) -> None:
    memory = PhysicalMemory(4 * PAGE_SIZE)
    with pytest.raises(ValueError, match=f"read of {size_bytes} bytes at {pa:#x} is outside"):
        memory.read(pa, size_bytes)
    with pytest.raises(ValueError, match=f"write of {size_bytes} bytes at {pa:#x} is outside"):
        memory.write(pa, bytes(size_bytes))
    assert memory.read(0x3FFF, 1) == b"\0"
    memory.write(0x3FFF, b"x")
    assert memory.read(0x4000, 0) == b""


@pytest.mark.parametrize("frame", [4, 5, 1 << 40])
def test_whole_frames_end_with_memory_too(frame: int) -> None:
    memory = PhysicalMemory(4 * PAGE_SIZE)
    for change in (memory.zero_frame, lambda pfn: memory.copy_frame(0, pfn)):
        with pytest.raises((ValueError, IndexError)):
            change(frame)


def test_words_and_bytes_are_the_same_memory() -> None:
    memory = PhysicalMemory(4 * PAGE_SIZE)
    memory.words[0x1008 >> 3] = 0x1122_3344_5566_7788
    assert memory.read(0x1008, 8) == bytes.fromhex("8877665544332211")
    memory.copy_frame(1, 3)
    assert memory.words[0x3008 >> 3] == 0x1122_3344_5566_7788
    memory.zero_frame(1)
    assert memory.read(0x1000, PAGE_SIZE) == bytes(PAGE_SIZE)


@pytest.mark.parametrize("size_bytes", [0, -4096, 1, 4095, 4097])
def test_memory_is_a_whole_number_of_frames(size_bytes: int) -> None:
    with pytest.raises(ValueError, match="positive multiple of 4096"):
        PhysicalMemory(size_bytes)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"cpus": 0}, "--cpus takes 1 to 8, not 0"),
        ({"cpus": 9}, "--cpus takes 1 to 8, not 9"),
        ({"ram_mib": 0}, "--ram takes 1 to 4096 MiB, not 0"),
        ({"ram_mib": 4097}, "--ram takes 1 to 4096 MiB, not 4097"),
        ({"itlb": (0, 4)}, "a TLB of 0x4 is out of range"),
        ({"dtlb": (16, 65)}, "a TLB of 16x65 is out of range"),
        ({"dtlb": (1025, 1)}, "a TLB of 1025x1 is out of range"),
    ],
)
def test_an_impossible_machine_is_refused_in_a_sentence(
    wrong: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        MachineConfig(**wrong)  # type: ignore[arg-type]


# Costs ------------------------------------------------------------------------------------------


def test_every_cost_has_a_name_of_its_own_bounds_and_a_source() -> None:
    names = [row.name for row in costs.TABLE]
    assert len(set(names)) == len(names)
    for number, row in enumerate(costs.TABLE):
        assert 0 < row.low <= row.cycles <= row.high, row.name
        assert len(row.source) > 10, row.name
        assert getattr(costs, row.name.upper()) == number


@both_mmus
def test_the_clock_is_the_sum_of_counts_times_costs(mmu: str) -> None:
    bare = Bare(mmu=mmu)
    bare.run(
        bytes.fromhex("b805000000 0f05 488b03 488903 0f31 b800000000 0f05"), registers={"rbx": DATA}
    )
    state = bare.core.state
    assert state.counts[costs.INSTRUCTION] == bare.instructions == 7
    assert state.counts[costs.SYSCALL] == 2
    total = sum(row.cycles * n for row, n in zip(costs.TABLE, state.counts, strict=True))
    assert state.cycles == total
