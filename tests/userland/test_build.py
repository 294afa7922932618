"""The programs in userland/bin are those that the sources give, and can run under W^X."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from kernel.syscalls import TABLE
from tests.kernel.system import System
from userland import build
from userland.programs import BIN

PROGRAMS = sorted(path.name for path in BIN.iterdir())
PF_X, PF_W = 1, 2


@pytest.fixture
def elf(request: pytest.FixtureRequest) -> Iterator[ELFFile]:
    with (BIN / request.param).open("rb") as file:
        yield ELFFile(file)


def each_program(test: object) -> object:
    return pytest.mark.parametrize("elf", PROGRAMS, indirect=True)(test)


def each_of(names: list[str]) -> Callable[[object], object]:
    return pytest.mark.parametrize("elf", names, indirect=True)


def test_every_built_program_is_byte_for_byte_what_its_source_gives() -> None:
    assert build.differences(build.program_names()) == []


def test_a_change_in_a_source_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "bin"
    kept.mkdir()
    for name in PROGRAMS:
        (kept / name).write_bytes((BIN / name).read_bytes())
    (kept / "hello").write_bytes((BIN / "hello").read_bytes() + b"\0")
    (kept / "stranger").write_bytes(b"")
    monkeypatch.setattr(build, "BIN", kept)
    found = build.differences(["hello"])
    assert found == ["stranger: has no source", "hello: differs from its source"]


@each_program
def test_no_segment_is_both_writable_and_executable(elf: ELFFile) -> None:
    flags = [segment["p_flags"] for segment in elf.iter_segments()]
    assert flags
    assert not any(each & PF_W and each & PF_X for each in flags)


@each_program
def test_the_stack_is_not_executable(elf: ELFFile) -> None:
    stacks = [s["p_flags"] for s in elf.iter_segments() if s["p_type"] == "PT_GNU_STACK"]
    assert stacks == [6]


@each_program
def test_symbols_are_there(elf: ELFFile) -> None:
    symbols = elf.get_section_by_name(".symtab")
    assert any(symbol.name == "main" for symbol in symbols.iter_symbols())


@each_of([name for name in PROGRAMS if build.keeps_lines(name)])
def test_programs_have_line_tables(elf: ELFFile) -> None:
    assert any(True for _ in elf.get_dwarf_info().iter_CUs())


def test_no_two_programs_have_one_name() -> None:
    files = [*build.PROGRAMS.glob("*.c"), *build.TOOLS.glob("*.c")]
    assert len({file.stem for file in files} | {"sh"}) == len(files) + 1


def test_the_call_numbers_in_c_are_the_kernels() -> None:
    assert build.CALLS_HEADER.read_text() == build.calls_header()
    header = (build.HERE / "include" / "sys" / "syscall.h").read_text()
    written = {name: int(number) for name, number in re.findall(r"SYS_(\w+) (\d+)", header)}
    assert len(written) > 100
    for number, row in TABLE.items():
        assert written.get(row.name, number) == number, row.name


def test_a_c_file_of_ones_own_compiles_and_a_wrong_one_keeps_the_compilers_status(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    good, bad, out = tmp_path / "good.c", tmp_path / "bad.c", tmp_path / "good"
    good.write_text('#include <stdio.h>\nint main(void) { puts("mine"); return 3; }\n')
    bad.write_text("int main(void) { return undeclared; }\n")
    assert build.cc([str(good), "-o", str(out)]) == 0
    assert out.read_bytes()[:4] == b"\x7fELF"
    assert build.cc([str(bad), "-o", str(out)]) != 0
    assert "undeclared" in capfd.readouterr().err
    assert build.cc([str(tmp_path / "absent.c")]) == 2
    assert "No such file" in capfd.readouterr().err
    for name in ("folder.c", "folder.cc"):
        (tmp_path / name).mkdir()
        assert build.cc([str(tmp_path / name)]) == 2
        assert "A folder, and no source" in capfd.readouterr().err


def test_a_main_that_ends_without_a_return_gives_0(tmp_path: Path) -> None:
    source, out = tmp_path / "ends.c", tmp_path / "ends"
    source.write_text("int seven(void) { return 7; }\nint main(void) { seven(); }\n")
    for flags in ((), ("-O2",), ("--pie",)):
        assert build.cc([str(source), "-o", str(out), *flags]) == 0
        assert System(out.read_bytes()).run().exit_code == 0
