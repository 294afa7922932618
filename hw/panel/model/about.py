"""What the header of a trace says: the machine, the names of calls and errors, and the program's
symbols, code and source lines. Any of it may be missing; then numbers are shown."""

from __future__ import annotations

from base64 import b64decode
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, NamedTuple

from hw.panel.model.state import Frame

ARGUMENTS = ("rdi", "rsi", "rdx", "r10", "r8", "r9")
"""The registers of a system call's arguments, in order."""
UNNAMED_OWNERS = ("free", "machine", "page table", "anonymous", "file", "segment", "kernel")


class Place(NamedTuple):
    """A source line and its text."""

    file: str
    line: int
    text: str


class Instruction(NamedTuple):
    """One disassembled instruction."""

    va: int
    code: bytes
    text: str


@dataclass(slots=True)
class About:
    """A header, with a method for each question."""

    header: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        return dict(self.header.get("config") or {})

    @property
    def program(self) -> dict[str, Any]:
        return dict(self.header.get("program") or {})

    @property
    def ram_frames(self) -> int:
        return int(self.config.get("ram_mib", 64)) + int(self.config.get("nvm_mib", 0)) << 8

    def shape(self, side: int) -> tuple[int, int]:
        """Sets and ways of the instruction (0) or data (1) TLB."""
        sets, ways = self.config.get(("itlb", "dtlb")[side], (0, 0))
        return int(sets), int(ways)

    def held(self) -> dict[int, Frame]:
        """The frames that were in use when the recording began."""
        return {int(p): Frame(int(r), int(o)) for p, r, o in self.header.get("held", ())}

    # Names ------------------------------------------------------------------------------------

    def owner(self, number: int) -> str:
        """The kind of holder that a frame has."""
        return self.owners[number] if number < len(self.owners) else f"owner {number}"

    @property
    def owners(self) -> list[str]:
        return list(self.header.get("names", {}).get("owners", UNNAMED_OWNERS))

    @property
    def table_owner(self) -> int:
        """The number of "page table" among the kinds of holders."""
        return self.owners.index("page table") if "page table" in self.owners else 2

    def error(self, number: int) -> str:
        return str(self.header.get("names", {}).get("errors", {}).get(str(number), number))

    def signal(self, number: int) -> str:
        names = self.header.get("names", {}).get("signals", {})
        return str(names.get(str(number), f"signal {number}"))

    def prototype(self, number: int) -> str:
        return str(self.header.get("calls", {}).get(str(number), f"call_{number}()"))

    def calls(self) -> list[str]:
        """The names of all calls."""
        return [str(text).partition("(")[0] for text in self.header.get("calls", {}).values()]

    def call_name(self, number: int) -> str:
        return self.prototype(number).partition("(")[0]

    def parameters(self, number: int) -> list[tuple[str, str]]:
        """(type, name) of each argument of a call."""
        inside = self.prototype(number).partition("(")[2].rstrip(")")
        found = []
        for words in inside.split(", ") if inside and inside != "void" else ():
            kind, _, name = words.rpartition(" ")
            found.append((kind + "*" * name.count("*"), name.lstrip("*")))
        return found

    def cost(self, name: str) -> int:
        """Modelled cycles of a primitive; 0 if the header has no price for it."""
        for row in self.header.get("costs", ()):
            if row["name"] == name:
                return int(row["cycles"])
        return 0

    # The program --------------------------------------------------------------------------------

    def symbol(self, va: int) -> str:
        """`main+0x18`; empty if no symbol covers the address."""
        symbols = self.program.get("symbols", [])
        index = bisect_right(symbols, va, key=lambda row: int(row[0])) - 1
        if index < 0:
            return ""
        start, size, name = symbols[index]
        if va >= start + max(1, size):
            return ""
        return f"{name}+{va - start:#x}" if va != start else str(name)

    def symbol_start(self, va: int) -> int:
        """Where the function around `va` begins; `va` itself if no symbol covers it."""
        symbols = self.program.get("symbols", [])
        index = bisect_right(symbols, va, key=lambda row: int(row[0])) - 1
        if index < 0 or va >= symbols[index][0] + max(1, symbols[index][1]):
            return va
        return int(symbols[index][0])

    def address_of(self, name: str) -> int | None:
        """The address of a symbol."""
        for start, _, symbol in self.program.get("symbols", []):
            if symbol == name:
                return int(start)
        return None

    def place(self, va: int) -> Place | None:
        """The source line that the instruction at `va` was compiled from."""
        lines = self.program.get("lines", [])
        index = bisect_right(lines, va, key=lambda row: int(row[0])) - 1
        if index < 0 or not lines[index][2]:
            return None
        _, file, line = lines[index]
        name, text = self.program["sources"][file]
        rows = text.splitlines()
        return Place(name, line, rows[line - 1] if line <= len(rows) else "")

    def source(self, file: str) -> list[str]:
        """The lines of a source file."""
        for name, text in self.program.get("sources", []):
            if name == file:
                return str(text).splitlines()
        return []

    def code_at(self, va: int, size: int) -> bytes:
        """The program's code, from its file; empty if the file has none there."""
        for start, packed in self.program.get("code", []):
            code = b64decode(packed)
            if start <= va < start + len(code):
                return code[va - start : va - start + size]
        return b""

    def disassemble(self, va: int, count: int) -> list[Instruction]:
        """At most `count` instructions from `va` on."""
        import capstone

        decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        code = self.code_at(va, 15 * count)
        return [
            Instruction(i.address, bytes(i.bytes), f"{i.mnemonic} {i.op_str}".strip())
            for i in decoder.disasm(code, va, count)
        ]

    def around(self, va: int, before: int, after: int) -> list[Instruction]:
        """The instruction at `va`, at most `before` of its function before it, and `after` behind
        it."""
        start = self.symbol_start(va)
        if va - start > 4096:
            start = va
        listing = self.disassemble(start, max(before, va - start) + after + 1)
        index = next((n for n, row in enumerate(listing) if row.va == va), None)
        if index is None:
            return self.disassemble(va, after + 1)
        return listing[max(0, index - before) : index + after + 1]
