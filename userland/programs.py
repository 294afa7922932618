"""The programs that Vantage ships, and those that people bring."""

from __future__ import annotations

from pathlib import Path

from hw.host import UserError

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
