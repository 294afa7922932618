"""The programs that Vantage ships, and those that people bring."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from hw.host import UserError
from kernel import elf
from kernel.errno import KernelError
from kernel.pagetable import PROT_EXEC

BIN = Path(__file__).parent / "bin"


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
    """What a trace's header says of a program: symbols as [address, bytes, name] in the order of
    addresses, and code as [address, base64].  A file that cannot run has neither."""
    try:
        segments = elf.parse(program).segments
    except KernelError:
        segments = ()
    code = [
        [s.va, b64encode(program[s.offset : s.offset + s.file_bytes]).decode()]
        for s in segments
        if s.prot & PROT_EXEC
    ]
    return {"name": name, "symbols": _symbols(program), "code": code}


def _symbols(program: bytes) -> list[list[int | str]]:
    """The named functions and objects; none where the symbol table is missing or makes no sense."""
    try:
        file = ELFFile(BytesIO(program))
        table = file.get_section_by_name(".symtab")
        moved = elf.PIE_BASE if file["e_type"] == "ET_DYN" else 0
        return sorted(
            [symbol["st_value"] + moved, symbol["st_size"], symbol.name]
            for symbol in (table.iter_symbols() if table else ())
            if symbol["st_info"]["type"] in ("STT_FUNC", "STT_OBJECT") and symbol.name
        )
    except (ELFError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError):
        return []
