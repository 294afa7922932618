"""Small machine-code programs for tests: a few instructions, system calls, and an ELF writer.

    program = Program()
    program.call("getpid")
    program.keep("rbx")                  # rbx = the result of the call before
    program.call("kill", "rbx", 9)       # arguments: numbers, registers, "@label", At(address)
    program.exit(0)
    data = program.elf()

Encodings: Intel SDM vol. 2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from kernel.syscalls import TABLE

CODE, DATA = 0x40_0000, 0x60_0000
PAGE = 4096
ROOM_BYTES = 1 << 16
"""The address of the zero-filled memory behind the data."""
NAMES = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
ARGUMENTS = "rdi rsi rdx r10 r8 r9".split()
PT_LOAD, PT_INTERP = 1, 3
R, W, X = 4, 2, 1
EXECUTABLE, SHARED_OBJECT = 2, 3
NUMBERS = {row.name: number for number, row in TABLE.items()}
MASK = (1 << 64) - 1


@dataclass(frozen=True)
class At:
    """The 64-bit word at an address, as an argument."""

    address: int


Value = int | str | At


@dataclass
class Part:
    """A program header and its content in the file."""

    va: int
    content: bytes = b""
    memory_bytes: int | None = None
    flags: int = R
    type: int = PT_LOAD


def write_elf(parts: list[Part], entry: int, kind: int = EXECUTABLE) -> bytes:
    """An ELF file with these program headers; contents lie at offsets that fit their addresses."""
    ends = 64 + 56 * len(parts)
    rows, body = b"", bytearray()
    for part in parts:
        offset = ends + len(body)
        offset += (part.va - offset) % PAGE
        body += bytes(offset - ends - len(body)) + part.content
        size = len(part.content)
        memory = size if part.memory_bytes is None else part.memory_bytes
        rows += struct.pack(
            "<IIQQQQQQ", part.type, part.flags, offset, part.va, part.va, size, memory, PAGE
        )
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    shape = (kind, 62, 1, entry, 64, 0, 0, 64, 56, len(parts), 0, 0, 0)
    return ident + struct.pack("<HHIQQQIHHHHHH", *shape) + rows + bytes(body)


@dataclass
class Program:
    """Code at `CODE`, data at `DATA`.  Every method appends to one of them."""

    code: bytearray = field(default_factory=bytearray)
    data: bytearray = field(default_factory=bytearray)
    labels: dict[str, int] = field(default_factory=dict)
    fixups: list[tuple[int, str, bool]] = field(default_factory=list)
    reserved: int = 0

    def elf(self) -> bytes:
        """The finished file: execution starts at the first instruction."""
        for at, label, relative in self.fixups:
            target = self.labels[label]
            if relative:
                struct.pack_into("<i", self.code, at, target - (CODE + at + 4))
            else:
                struct.pack_into("<Q", self.code, at, target)
        data = Part(DATA, bytes(self.data), len(self.data) + ROOM_BYTES, R | W)
        return write_elf([Part(CODE, bytes(self.code), None, R | X), data], CODE)

    # Data -----------------------------------------------------------------------------------

    def put(self, content: bytes) -> int:
        """Initialised data, aligned to 16; returns its address."""
        self.data += bytes(-len(self.data) % 16)
        self.data += content
        return DATA + len(self.data) - len(content)

    def room(self, size: int) -> int:
        """The address of zero-filled bytes, aligned to 16."""
        return self.put(bytes(size))

    def words(self, *values: int) -> int:
        return self.put(struct.pack(f"<{len(values)}Q", *[value & MASK for value in values]))

    # Control --------------------------------------------------------------------------------

    def label(self, name: str) -> None:
        self.labels[name] = CODE + len(self.code)

    def raw(self, code: bytes | str) -> None:
        self.code += bytes.fromhex(code) if isinstance(code, str) else code

    def jump(self, label: str) -> None:
        self.raw("e9")
        self._fix(label)

    def jump_if_zero(self, label: str) -> None:
        """Jump if rax is 0: in the child, after fork."""
        self.raw("48 85c0 0f84")
        self._fix(label)

    def jump_unless_zero(self, label: str) -> None:
        self.raw("48 85c0 0f85")
        self._fix(label)

    def spin(self) -> None:
        """For ever."""
        self.raw("ebfe")

    def count_down(self, turns: int) -> None:
        """A loop with two instructions in each turn; changes rbp."""
        self.move("rbp", turns)
        self.raw("48 ffcd 75fb")  # dec rbp; jnz -5

    # Values ---------------------------------------------------------------------------------

    def move(self, register: str, value: Value) -> None:
        number = NAMES.index(register)
        if isinstance(value, At):
            assert number & 7 not in (4, 5)
            self.move(register, value.address)
            self.raw(bytes((0x48 | (number >> 3) * 5, 0x8B, (number & 7) * 9)))
        elif isinstance(value, int):
            self.raw(bytes((0x48 | number >> 3, 0xB8 | number & 7)))
            self.raw((value & MASK).to_bytes(8, "little"))
        elif value.startswith("@"):
            self.raw(bytes((0x48 | number >> 3, 0xB8 | number & 7)))
            self.fixups.append((len(self.code), value[1:], False))
            self.raw(bytes(8))
        else:
            source = NAMES.index(value)
            rex = 0x48 | source >> 3 << 2 | number >> 3
            self.raw(bytes((rex, 0x89, 0xC0 | (source & 7) << 3 | number & 7)))

    def store(self, address: int, value: Value = "rax") -> None:
        """Store 64 bits; changes rax."""
        if value != "rax":
            self.move("rax", value)
        self.raw(b"\x48\xa3" + address.to_bytes(8, "little"))

    def store_byte(self, address: int, value: int) -> None:
        self.move("rax", value)
        self.raw(b"\xa2" + (address & MASK).to_bytes(8, "little"))

    def load_byte(self, address: int) -> None:
        self.raw(b"\xa0" + (address & MASK).to_bytes(8, "little"))

    def keep(self, register: str) -> None:
        """Copy the last result to a register that calls preserve."""
        self.move(register, "rax")

    # Calls ----------------------------------------------------------------------------------

    def call(self, name: str | int, *arguments: Value) -> None:
        for register, value in zip(ARGUMENTS, arguments, strict=False):
            self.move(register, value)
        self.move("rax", NUMBERS[name] if isinstance(name, str) else name)
        self.raw("0f05")

    def say(self, text: bytes) -> None:
        self.call("write", 1, self.put(text), len(text))

    def dump(self, address: int, size: int) -> None:
        """Write memory to the console."""
        self.call("write", 1, address, size)

    def exit(self, status: int = 0) -> None:
        self.call("exit_group", status)

    def fork(self, child: str) -> None:
        """The child continues at label `child`; the parent has the child's pid in rax."""
        self.call("fork")
        self.jump_if_zero(child)

    def wait(self, pid: Value = -1, status: int = 0, options: int = 0) -> None:
        self.call("wait4", pid, status, options, 0)

    def thread(self, start: str, flags: int = 0x50F00, parent_tid: int = 0, tid: int = 0) -> None:
        """A thread on a stack of its own that starts at label `start`."""
        stack = self.room(2048) + 2048
        self.call("clone", flags, stack, parent_tid, tid, 0)
        self.jump_if_zero(start)

    def on_signal(self, number: int, handler: Value, flags: int = 0, mask: int = 0) -> None:
        if isinstance(handler, int):
            at = self.words(handler, flags, 0, mask)
        else:
            at = self.words(0, flags, 0, mask)
            self.store(at, handler)
        self.call("rt_sigaction", number, at, 0, 8)

    def sleep(self, nanoseconds: int) -> None:
        self.call("nanosleep", self.words(*divmod(nanoseconds, 10**9)), 0)

    def _fix(self, label: str) -> None:
        self.fixups.append((len(self.code), label, True))
        self.raw(bytes(4))


def program_of(*calls: tuple[str | int, ...]) -> Program:
    """A program that makes these calls and exits with status 0."""
    program = Program()
    for name, *arguments in calls:
        program.call(name, *arguments)
    program.exit()
    return program
