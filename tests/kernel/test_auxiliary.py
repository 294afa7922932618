"""The auxiliary vector, whole (getauxval(3)): C libraries decide by it."""

from __future__ import annotations

import struct

from kernel.life import elf
from kernel.task.credentials import Credentials
from tests.kernel.asm import CODE, PAGE, Program
from tests.kernel.system import System


def test_every_entry_says_what_it_should() -> None:
    """AT_HWCAP is what CPUID says of the processor's features, in EDX."""
    program = Program()
    vector, features = program.room(512), program.words(0)
    program.call("open", program.put(b"/proc/self/auxv\0"), 0, 0)
    program.call("read", "rax", vector, 512)
    program.dump(vector, 512)
    program.raw("b801000000 31c9 0fa2 89d0")  # mov eax, 1; xor ecx, ecx; cpuid; mov eax, edx
    program.store(features)
    program.dump(features, 8)
    program.exit()
    output = System(program, ram=4, user=Credentials(7, 8)).run().output
    words = struct.unpack("<65Q", output)
    found = dict(zip(words[:-1:2], words[1::2], strict=True))
    pointers = {found.pop(kind) for kind in (elf.AT_RANDOM, elf.AT_EXECFN, elf.AT_PLATFORM)}
    assert all(0x7000_0000_0000 < pointer < 1 << 47 for pointer in pointers)
    assert found == {
        0: 0,
        elf.AT_PHDR: found[elf.AT_PHDR],
        elf.AT_PHENT: 56,
        elf.AT_PHNUM: 2,
        elf.AT_PAGESZ: PAGE,
        elf.AT_BASE: 0,
        elf.AT_FLAGS: 0,
        elf.AT_ENTRY: CODE,
        elf.AT_UID: 7,
        elf.AT_EUID: 7,
        elf.AT_GID: 8,
        elf.AT_EGID: 8,
        elf.AT_SECURE: 0,
        elf.AT_HWCAP: words[-1],
        elf.AT_HWCAP2: 0,
        elf.AT_CLKTCK: 100,
        elf.AT_MINSIGSTKSZ: found[elf.AT_MINSIGSTKSZ],
    }
    assert found[elf.AT_MINSIGSTKSZ] >= 2048
