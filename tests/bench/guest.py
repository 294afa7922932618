"""Programs of a few instructions, assembled here, for operations that no program of userland/
isolates.

Registers that system calls leave alone hold the state: r12 a base address, r13 pages left to
touch, r14 rounds left, rbx the page being touched.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

BASE = 0x40_0000
HEADERS_BYTES = 64 + 56
ENTRY = BASE + HEADERS_BYTES

EXIT, FORK, EXECVE, WAIT, MMAP = 60, 57, 59, 61, 9
READ_WRITE, PRIVATE_ANONYMOUS = 3, 0x22
MINUS_ONE = (1 << 64) - 1
_LOADS = tuple(bytes.fromhex(h) for h in "48b8 48bf 48be 48ba 49ba 49b8 49b9".split())
"""`mov reg, imm64` for rax and the six argument registers, in the order of the convention."""


def elf(code: bytes) -> bytes:
    """The smallest static program: one readable, executable segment that starts with `code`."""
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, ENTRY, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    size = HEADERS_BYTES + len(code)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, BASE, BASE, size, size, 4096)
    return ident + header + segment + code


def call(number: int, *arguments: int) -> bytes:
    """A system call with constant arguments."""
    words = zip(_LOADS, (number, *arguments), strict=False)
    return b"".join(load + word.to_bytes(8, "little") for load, word in words) + b"\x0f\x05"


def put(address: int, data: bytes) -> bytes:
    """Store constant bytes, in words of eight."""
    words = (data[at : at + 8].ljust(8, b"\0") for at in range(0, len(data), 8))
    return b"".join(  # mov rax, imm64; movabs [address], rax
        b"\x48\xb8" + word + b"\x48\xa3" + (address + 8 * i).to_bytes(8, "little")
        for i, word in enumerate(words)
    )


def touch(pages: int) -> bytes:
    """Store one byte in each of `pages` pages from r12 on."""
    start = b"\x4c\x89\xe3" + b"\x49\xbd" + pages.to_bytes(8, "little")  # mov rbx, r12; mov r13, n
    store, step = b"\xc6\x03\x01", b"\x48\x81\xc3\x00\x10\x00\x00"  # mov byte [rbx], 1; add rbx
    return start + _repeat(store + step, b"\x49\xff\xcd")  # dec r13


def at_r12(address: int) -> bytes:
    """Set the base address of the code that follows: mov r12, address."""
    return b"\x49\xbc" + address.to_bytes(8, "little")


def store(words: int) -> bytes:
    """Store eight bytes in each of `words` places from r12 on, one after the other."""
    start = b"\x4c\x89\xe3" + b"\x49\xbd" + words.to_bytes(8, "little")  # mov rbx, r12; mov r13
    return start + _repeat(b"\x48\x89\x03\x48\x83\xc3\x08", b"\x49\xff\xcd")  # mov; add rbx, 8


def store_program(kib: int, passes: int) -> bytes:
    """Fills `kib` KiB of memory, `passes` times."""
    body = rounds(passes, store(kib * 128))
    return elf(map_pages(kib // 4) + body + call(EXIT, 0))


def rounds(count: int, body: bytes) -> bytes:
    """`body`, `count` times."""
    return b"\x49\xbe" + count.to_bytes(8, "little") + _repeat(body, b"\x49\xff\xce")  # r14


def _repeat(body: bytes, decrement: bytes) -> bytes:
    size = len(body) + len(decrement) + 6
    return body + decrement + b"\x0f\x85" + (-size).to_bytes(4, "little", signed=True)  # jnz


def in_child(body: bytes) -> bytes:
    """Fork; the child runs `body` and exits, the parent waits for it."""
    child = body + call(EXIT, 0)
    skip = b"\x85\xc0\x0f\x85" + len(child).to_bytes(4, "little")  # test eax, eax; jnz
    return call(FORK) + skip + child + call(WAIT, MINUS_ONE, 0, 0, 0)


def map_pages(pages: int) -> bytes:
    """Anonymous memory, at r12 from now on."""
    sizes = (0, pages * 4096, READ_WRITE, PRIVATE_ANONYMOUS, MINUS_ONE, 0)
    return call(MMAP, *sizes) + b"\x49\x89\xc4"  # mov r12, rax


def cow_program(pages: int, *, writes: bool) -> bytes:
    """`pages` resident pages, a fork, and a child that stores into each page or into none."""
    child = touch(pages) if writes else b""
    return elf(map_pages(pages) + touch(pages) + in_child(child) + call(EXIT, 0))


def exec_program(count: int, path: bytes) -> bytes:
    """Forks a child that runs `path`, and waits for it, `count` times."""

    def code(path_at: int) -> bytes:
        execute = call(EXECVE, path_at, 0, 0)
        return rounds(count, in_child(execute)) + call(EXIT, 0)

    return elf(code(ENTRY + len(code(0))) + path + b"\0")


def fork_program(count: int) -> bytes:
    """Forks a child that exits, and waits for it, `count` times."""
    return elf(rounds(count, in_child(b"")) + call(EXIT, 0))


def straight_line(calls: Sequence[bytes]) -> bytes:
    """A program that makes these calls one after the other."""
    return elf(b"".join(calls) + call(EXIT, 0))


NOTHING = elf(call(EXIT, 0))
"""The program that ends at once."""
