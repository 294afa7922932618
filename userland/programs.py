"""The programs that Vantage ships, and programs of the user."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from hw.host import UserError
from kernel.abi.errno import KernelError
from kernel.life import elf
from kernel.mm.pagetable import PROT_EXEC

BIN = Path(__file__).parent / "bin"
DAMAGE = (ELFError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""Exceptions that reading a damaged ELF file can raise."""


def built_in() -> dict[bytes, bytes]:
    """Every shipped program, by the path that it has inside Vantage."""
    return {b"/bin/" + path.name.encode(): path.read_bytes() for path in sorted(BIN.iterdir())}


def read_program(name: str) -> bytes:
    """The ELF file called `name`: a built-in, or a path on the host.

    Raises `UserError` if there is none or it cannot be read.
    """
    path = BIN / name if "/" not in name and (BIN / name).is_file() else Path(name)
    if not path.is_file():
        names = ", ".join(sorted(entry.name for entry in BIN.iterdir()))
        raise UserError(f"there is no program {name}", f"use a path, or one of: {names}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {name}: {error.strerror}", "check its permissions") from error


def describe(name: str, program: bytes) -> dict[str, Any]:
    """The part of a trace's header that describes a program.

    Symbols are [address, bytes, name] in the order of addresses.  Code is [address, base64].  The
    line table is [address, file, line], where file is an index into `sources`, a list of
    [name, text].  A file that cannot run has none of these.
    """
    try:
        segments = elf.parse(program).segments
    except KernelError:
        segments = ()
    code = [
        [s.va, b64encode(program[s.offset : s.offset + s.file_bytes]).decode()]
        for s in segments
        if s.prot & PROT_EXEC
    ]
    lines, names = _lines(program)
    sources = [[file, _source(file)] for file in names]
    about = {"name": name, "symbols": _symbols(program), "code": code}
    return about | {"lines": lines, "sources": sources}


def _symbols(program: bytes) -> list[list[int | str]]:
    """The named functions and objects; none if the symbol table is missing or makes no sense."""
    try:
        file = ELFFile(BytesIO(program))
        table = file.get_section_by_name(".symtab")
        moved = elf.PIE_BASE if file["e_type"] == "ET_DYN" else 0
        return sorted(
            [symbol["st_value"] + moved, symbol["st_size"], symbol.name]
            for symbol in (table.iter_symbols() if table else ())
            if symbol["st_info"]["type"] in ("STT_FUNC", "STT_OBJECT") and symbol.name
        )
    except DAMAGE:
        return []


def _lines(program: bytes) -> tuple[list[list[int]], list[str]]:
    """The line table (DWARF 5, 6.2) as [address, file, line] in the order of addresses, and the
    names of the files; line 0 ends a run of code.  Empty where there is no table."""
    lines: list[list[int]] = []
    names: list[str] = []
    try:
        file = ELFFile(BytesIO(program))
        moved = elf.PIE_BASE if file["e_type"] == "ET_DYN" else 0
        info = file.get_dwarf_info()
        for unit in info.iter_CUs() if file.has_dwarf_info() else ():
            table = info.line_program_for_CU(unit)
            for entry in table.get_entries() if table else ():
                if entry.state is not None:
                    name = _file_name(table.header, entry.state.file)
                    if name not in names:
                        names.append(name)
                    line = 0 if entry.state.end_sequence else entry.state.line
                    lines.append([entry.state.address + moved, names.index(name), line])
    except DAMAGE:
        return [], []
    return sorted(lines), names


def _file_name(header: Any, number: int) -> str:
    entry = header["file_entry"][number]
    folder = header["include_directory"][entry.dir_index]
    return "/".join(part.decode(errors="replace") for part in (folder, entry.name) if part != b".")


def _source(name: str) -> str:
    """The text of a source file that this host has, or nothing."""
    path = BIN.parent.parent / name if name.startswith("userland/") else Path(name)
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return ""
