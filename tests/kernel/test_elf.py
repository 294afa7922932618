"""Loading programs: what is refused, what is mapped, and that a damaged file does no harm."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from kernel import invariants
from kernel.abi.errno import E, KernelError
from kernel.boot import spawn
from kernel.life import elf
from kernel.mm.layout import MAP_TOP, STACK_BYTES, STACK_TOP
from kernel.mm.regions import Region
from kernel.task.credentials import Credentials
from kernel.task.process import Process
from tests import soak
from tests.kernel.asm import (
    CODE,
    PAGE,
    PT_INTERP,
    SHARED_OBJECT,
    Part,
    Program,
    R,
    W,
    X,
    write_elf,
)
from tests.kernel.system import BUILT_IN, System, run_code, still

HEADER_FIELDS = {
    "type": ("<H", 16),
    "machine": ("<H", 18),
    "entry": ("<Q", 24),
    "phoff": ("<Q", 32),
    "phentsize": ("<H", 54),
    "phnum": ("<H", 56),
}
SEGMENT_FIELDS = {
    "p_type": ("<I", 64),
    "offset": ("<Q", 72),
    "va": ("<Q", 80),
    "filesz": ("<Q", 96),
    "memsz": ("<Q", 104),
}
FIELDS = HEADER_FIELDS | SEGMENT_FIELDS
GOOD = write_elf([Part(CODE, b"\x90" * 100, 200, R | X)], CODE)


def changed(field: str, value: int) -> bytes:
    """A valid file with one field overwritten."""
    layout, at = FIELDS[field]
    data = bytearray(GOOD)
    struct.pack_into(layout, data, at, value)
    return bytes(data)


def loaded(data: bytes) -> tuple[System, Process]:
    """A system, and the process that it made from a file."""
    system = still()
    return system, spawn(system.kernel, data, [b"it"], [], Credentials())


def shape(process: Process) -> list[tuple[int, int, int, str]]:
    return [(r.start, r.end, r.prot, r.name) for r in process.space.map if r.name != "[stack]"]


def refused(data: bytes) -> None:
    """ENOEXEC, and as many free frames as before."""
    system = still()
    before = system.kernel.memory.frames.used()
    with pytest.raises(KernelError) as caught:
        spawn(system.kernel, data, [b"it"], [], Credentials())
    assert caught.value.number == E.NOEXEC
    assert system.kernel.memory.frames.used() == before
    invariants.check(system.kernel)


def test_the_file_that_the_tests_damage_is_valid() -> None:
    assert elf.parse(GOOD).entry == CODE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", 0),
        ("type", 1),
        ("type", 4),
        ("type", 0xFFFF),
        ("machine", 3),
        ("machine", 0),
        ("phoff", 1 << 63),
        ("phoff", len(GOOD)),
        ("phentsize", 0),
        ("phentsize", 32),
        ("phentsize", 57),
        ("phnum", 0),
        ("phnum", 129),
        ("phnum", 0xFFFF),
        ("p_type", 0),
        ("p_type", 6),
        ("p_type", PT_INTERP),
        ("offset", 1),
        ("offset", 1 << 40),
        ("va", 0),
        ("va", 0xF000),
        ("va", CODE + 1),
        ("va", 1 << 47),
        ("va", (1 << 64) - PAGE),
        ("va", MAP_TOP - STACK_BYTES),
        ("filesz", 201),
        ("filesz", 1 << 63),
        ("memsz", 99),
        ("memsz", 0),
        ("memsz", 1 << 47),
        ("memsz", (1 << 64) - 1),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(field: str, value: int) -> None:
    refused(changed(field, value))


@pytest.mark.parametrize("at", range(6))
def test_a_file_must_begin_as_a_64_bit_little_endian_elf(at: int) -> None:
    data = bytearray(GOOD)
    data[at] ^= 3
    refused(bytes(data))


@pytest.mark.parametrize("size", [0, 1, 4, 6, 15, 16, 63, 64, 65, 119])
def test_a_file_that_ends_within_its_headers_is_refused(size: int) -> None:
    refused(GOOD[:size])


def test_a_dynamic_program_is_refused() -> None:
    parts = [Part(CODE, b"\x90", None, R | X), Part(0x50_0000, b"/lib/ld.so\0", type=PT_INTERP)]
    refused(write_elf(parts, CODE))


def test_segments_that_are_not_loaded_do_not_matter() -> None:
    parts = [Part(CODE, b"\x90", None, R | X), Part(3, b"note", type=4), Part(0, type=0x6474E551)]
    _, process = loaded(write_elf(parts, CODE))
    assert shape(process) == [(CODE, CODE + PAGE, 5, "it")]


def test_the_sections_do_not_matter() -> None:
    for name in (b"/bin/hello", b"/bin/pie"):
        data = bytearray(BUILT_IN[name])
        data[40:48] = b"\xff" * 8  # e_shoff
        data[58:64] = b"\xff" * 6
        assert System(bytes(data)).run().output


def test_rights_come_from_the_flags() -> None:
    flags = (0, R, W, R | W, X, R | X, R | W | X)
    parts = [Part(CODE + i * 0x1000, b"x", None, flag) for i, flag in enumerate(flags)]
    _, process = loaded(write_elf(parts, CODE))
    assert [prot for _, _, prot, _ in shape(process)] == [0, 1, 2, 3, 4, 5, 7]


def region_at(process: Process, va: int) -> Region:
    region = process.space.map.find(va)
    assert region is not None
    return region


def test_memory_behind_the_file_is_zero_whatever_the_file_has_there() -> None:
    first = Part(CODE, b"\xaa" * 100, 3 * PAGE, R | W)
    data = write_elf([first], CODE) + b"\xbb" * 2 * PAGE
    _, process = loaded(data)
    assert process.space.read(CODE, 3 * PAGE) == b"\xaa" * 100 + bytes(3 * PAGE - 100)
    assert shape(process) == [
        (CODE, CODE + PAGE, 3, "it"),
        (CODE + PAGE, CODE + 3 * PAGE, 3, "[bss]"),
    ]
    assert process.space.break_start == CODE + 3 * PAGE


def test_a_segment_of_zeroes_alone_may_start_anywhere() -> None:
    parts = [Part(CODE, b"\x90", None, R | X), Part(CODE + 0x5123, b"", 0x2000, R | W)]
    _, process = loaded(write_elf(parts, CODE))
    assert shape(process)[1] == (CODE + 0x5000, CODE + 0x8000, 3, "[bss]")
    assert process.space.read(CODE + 0x5000, 0x3000) == bytes(0x3000)


def test_of_overlapping_segments_the_later_one_wins() -> None:
    parts = [Part(CODE, b"a" * 3 * PAGE, None, R), Part(CODE + PAGE, b"b" * PAGE, None, R | W)]
    system, process = loaded(write_elf(parts, CODE))
    assert process.space.read(CODE, 3 * PAGE) == b"a" * PAGE + b"b" * PAGE + b"a" * PAGE
    assert [prot for _, _, prot, _ in shape(process)] == [1, 3, 1]
    invariants.check(system.kernel)


def test_segments_that_are_out_of_order_are_loaded_all_the_same() -> None:
    parts = [Part(CODE + 0x3000, b"b", None, R), Part(CODE, b"a", None, R)]
    _, process = loaded(write_elf(parts, CODE))
    assert process.space.read(CODE, 1) + process.space.read(CODE + 0x3000, 1) == b"ab"
    assert process.space.break_start == CODE + 0x4000


def test_processes_share_a_page_of_the_file_until_they_write() -> None:
    system = still()
    data = write_elf([Part(CODE, b"a" * PAGE, None, R | W)], CODE)
    file = system.kernel.memory.objects.file(data)
    file.holds += 1
    system.kernel.held_files.append(file)
    one, two = (
        system.kernel.life.spawn(file, b"", [b"it"], [], Credentials(), []) for _ in range(2)
    )
    assert one.space.read(CODE, 1) == two.space.read(CODE, 1) == b"a"
    assert one.space.table.lookup(CODE) & ~0xFFF == two.space.table.lookup(CODE) & ~0xFFF
    one.space.write(CODE, b"b")
    assert (one.space.read(CODE, 1), two.space.read(CODE, 1)) == (b"b", b"a")
    assert file.data == data
    invariants.check(system.kernel)


def test_a_position_independent_program_is_moved() -> None:
    data = write_elf([Part(0, b"\x90" * 10, None, R | X)], 4, SHARED_OBJECT)
    image = elf.parse(data)
    assert image.entry == elf.PIE_BASE + 4
    assert System("pie").run().output.startswith(f"loaded at {elf.PIE_BASE:#x}".encode())


def test_a_program_finds_its_headers_by_the_auxiliary_vector() -> None:
    head = Part(CODE - CODE % PAGE, b"")
    image = elf.parse(BUILT_IN[b"/bin/hello"])
    assert image.headers_va == 0x40_0000 + 64 or image.headers_va % PAGE == 64
    assert elf.parse(write_elf([head, Part(CODE, b"x", None, R)], CODE)).headers_va == 0


def test_the_first_stack_is_as_the_abi_says() -> None:
    """argc, argv, NULL, envp, NULL, auxiliary vector; rsp aligned to 16."""
    system = still()
    user = Credentials(7, 8)
    words, environment = [b"prog", b"", b"x" * 5000], [b"A=1", b"B="]
    process = spawn(system.kernel, GOOD, words, environment, user)
    rsp = process.threads[0].registers["rsp"]
    assert rsp % 16 == 0
    count = process.space.read_u64(rsp)
    pointers = [process.space.read_u64(rsp + 8 * i) for i in range(1, 8)]
    read = process.space.read_string
    assert count == 3
    assert [read(at, 9000) for at in pointers[:3]] == words
    assert [read(at, 9000) for at in pointers[4:6]] == environment
    assert pointers[3] == pointers[6] == 0
    at, vector = rsp + 64, {}
    while (kind := process.space.read_u64(at)) != 0:
        vector[kind] = process.space.read_u64(at + 8)
        at += 16
    assert vector[elf.AT_PAGESZ] == PAGE
    assert vector[elf.AT_ENTRY] == CODE
    assert (vector[elf.AT_UID], vector[elf.AT_EGID]) == (7, 8)
    assert read(vector[elf.AT_EXECFN], 100) == b"prog"
    assert any(process.space.read(vector[elf.AT_RANDOM], 16))
    stack = region_at(process, STACK_TOP - 1)
    assert (stack.end, stack.floor) == (STACK_TOP, STACK_TOP - STACK_BYTES)


def test_a_file_that_ends_inside_a_segment_reads_as_zeroes_behind_its_end() -> None:
    code = bytes.fromhex("8b04250004400089c783c707b83c0000000f05")  # exit(*(int *)0x400400 + 7)
    whole = write_elf([Part(CODE, code, None, R | X)], CODE)
    file = bytearray(whole)
    struct.pack_into("<Q", file, FIELDS["filesz"][1], 0x900)
    struct.pack_into("<Q", file, FIELDS["memsz"][1], 0x900)
    assert CODE == 0x400000
    assert System(bytes(file), ram=4, checked=True).run().exit_code == 7


@pytest.mark.parametrize(("asked", "prot"), [(7, 7), (6, 3), (None, 3)])
def test_the_stack_can_be_executed_only_if_the_program_asks(asked: int | None, prot: int) -> None:
    file = bytearray(
        write_elf([Part(CODE, b"\x90", None, R | X), Part(CODE + PAGE, b"x", None, R)], CODE)
    )
    if asked is not None:
        at = 64 + 56  # the second program header becomes PT_GNU_STACK
        struct.pack_into("<II", file, at, 0x6474E551, asked)
    _, process = loaded(bytes(file))
    assert region_at(process, STACK_TOP - 1).prot == prot


@pytest.mark.parametrize("sizes", [[STACK_BYTES // 4], [8] * 150_000, [1_100_000, 1_100_000]])
def test_arguments_that_are_too_big_are_refused(sizes: list[int]) -> None:
    system = still()
    with pytest.raises(KernelError) as caught:
        spawn(system.kernel, GOOD, [b"a" * size for size in sizes], [], Credentials())
    assert caught.value.number == E.BIG
    invariants.check(system.kernel)


@pytest.mark.parametrize("entry", [0, 1 << 47, (1 << 64) - 1, 0x1234, CODE + PAGE * 9])
def test_an_unmapped_entry_point_kills_only_the_program(entry: int) -> None:
    system = System(changed("entry", entry), ram=4, checked=True)
    assert system.run().signal == 11


def test_damaged_programs_end_in_an_errno_or_a_signal_and_give_everything_back() -> None:
    report = soak.mutated_elfs(200, 20_170_313)
    assert not report.failures
    assert len(report.outcomes) > 3


def random_bytes(count: int) -> list[bytes]:
    dice = soak.Random(7)
    return [dice.bytes(dice.below(400)) for _ in range(count)]


@pytest.mark.parametrize("prefix", [b"", GOOD[:16], GOOD[:64], GOOD[:100]], ids=len)
def test_random_bytes_are_no_program(prefix: bytes) -> None:
    for noise in random_bytes(200):
        with pytest.raises(KernelError) as caught:
            elf.parse(prefix + noise)
        assert caught.value.number == E.NOEXEC


@pytest.mark.parametrize("make", [lambda: BUILT_IN[b"/bin/cow"], lambda: Program().elf()])
def test_parsing_changes_nothing(make: Callable[[], bytes]) -> None:
    data = make()
    assert elf.parse(data) == elf.parse(bytes(data))


def test_a_program_may_be_executed_from_its_own_bytes() -> None:
    program = Program()
    program.exit(9)
    assert run_code(program).exit_code == 9
