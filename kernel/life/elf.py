"""Programs: an ELF file becomes regions and a first stack.

System V ABI, AMD64 supplement, 3.4.1 (the initial stack); ELF-64 object file format.  Static
and static position-independent executables.  The kernel reads only the file header and the program
headers: sections are for people, and a damaged section table must not stop a program.
"""

from __future__ import annotations

import functools
import struct
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.common.utils import struct_parse
from elftools.elf.structs import ELFStructs

from hw.memory import PAGE_MASK, PAGE_SIZE
from kernel.abi.errno import E, KernelError
from kernel.life.sigframe import MIN_STACK_BYTES
from kernel.mm.layout import MAP_LOWEST, MAP_TOP, STACK_BYTES, STACK_TOP, page_up
from kernel.mm.objects import MemoryObject
from kernel.mm.pagetable import PROT_EXEC, PROT_READ, PROT_WRITE
from kernel.mm.regions import Region
from kernel.mm.space import AddressSpace
from kernel.task.credentials import Credentials

PIE_BASE = 0x5555_5555_4000
PF_X, PF_W, PF_R = 1, 2, 4
PROGRAM_HEADER_BYTES, MAX_PROGRAM_HEADERS = 56, 128
MIN_ARGUMENT_BYTES, MAX_ARGUMENT_BYTES = 128 << 10, 6 << 20
MAX_STRING_BYTES = (128 << 10) - 1
"""The longest argument, without its NUL (MAX_ARG_STRLEN)."""
STACK_ROOM_BYTES = 128 << 10
CLOCK_TICKS_PER_SECOND = 100
AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_ENTRY = 3, 4, 5, 6, 9
AT_UID, AT_EUID, AT_GID, AT_EGID = range(11, 15)
AT_BASE, AT_FLAGS, AT_PLATFORM, AT_HWCAP = 7, 8, 15, 16
AT_CLKTCK, AT_SECURE, AT_RANDOM, AT_HWCAP2, AT_EXECFN, AT_MINSIGSTKSZ = 17, 23, 25, 26, 31, 51
PLATFORM = b"x86_64"
HWCAP = 0x078B_FBFD
"""CPUID.1:EDX of the emulated CPU."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A PT_LOAD header, at the address where its memory goes."""

    va: int
    offset: int
    file_bytes: int
    memory_bytes: int
    prot: int


@dataclass(frozen=True, slots=True)
class Image:
    """What the kernel needs to know of an ELF file."""

    segments: tuple[Segment, ...]
    entry: int
    headers_va: int
    header_count: int
    runs_on_stack: bool = False
    """PT_GNU_STACK asks for a stack whose bytes can be executed."""


@functools.lru_cache(maxsize=64)
def parse(data: bytes) -> Image:
    """Read the headers of an ELF file.  Raises ENOEXEC for anything that cannot run here."""
    structs = ELFStructs(little_endian=True, elfclass=64)
    structs.create_basic_structs()
    if data[:6] != b"\x7fELF\x02\x01":
        raise KernelError(E.NOEXEC)
    try:
        structs.create_advanced_structs()
        header = struct_parse(structs.Elf_Ehdr, BytesIO(data))
        _check_header(header, len(data))
        rows = _program_headers(structs, header, data)
    except ELFError as error:
        raise KernelError(E.NOEXEC) from error
    base = PIE_BASE if header["e_type"] == "ET_DYN" else 0
    loads = [row for row in rows if row["p_type"] == "PT_LOAD"]
    if not loads or any(row["p_type"] == "PT_INTERP" for row in rows):
        raise KernelError(E.NOEXEC)
    segments = tuple(_segment(row, base, len(data)) for row in loads)
    headers_va = next(
        (s.va - s.offset + header["e_phoff"] for s in segments if _shows(s, header["e_phoff"])), 0
    )
    wishes = [row["p_flags"] for row in rows if row["p_type"] == "PT_GNU_STACK"]
    runs_on_stack = bool(wishes and wishes[-1] & PF_X)
    entry, count = base + header["e_entry"], header["e_phnum"]
    return Image(segments, entry, headers_va, count, runs_on_stack)


def _check_header(header: Any, file_bytes: int) -> None:
    ends = header["e_phoff"] + header["e_phnum"] * PROGRAM_HEADER_BYTES
    if not (
        header["e_type"] in ("ET_EXEC", "ET_DYN")
        and header["e_machine"] == "EM_X86_64"
        and header["e_phentsize"] == PROGRAM_HEADER_BYTES
        and 1 <= header["e_phnum"] <= MAX_PROGRAM_HEADERS
        and ends <= file_bytes
    ):
        raise KernelError(E.NOEXEC)


def _program_headers(structs: Any, header: Any, data: bytes) -> list[Any]:
    at = header["e_phoff"]
    ends = at + header["e_phnum"] * PROGRAM_HEADER_BYTES
    return [
        struct_parse(structs.Elf_Phdr, BytesIO(data[offset : offset + PROGRAM_HEADER_BYTES]))
        for offset in range(at, ends, PROGRAM_HEADER_BYTES)
    ]


def _segment(row: Any, base: int, file_size: int) -> Segment:
    """A segment may end behind the end of the file: the rest of the last page reads as zeroes."""
    va, offset = base + row["p_vaddr"], row["p_offset"]
    file_bytes, memory_bytes = row["p_filesz"], row["p_memsz"]
    if (
        file_bytes > memory_bytes
        or (file_bytes and offset >= file_size)
        or (va - offset) & PAGE_MASK
        or va < MAP_LOWEST
        or va + memory_bytes > MAP_TOP - STACK_BYTES
    ):
        raise KernelError(E.NOEXEC)
    flags = row["p_flags"]
    wanted = ((PF_R, PROT_READ), (PF_W, PROT_WRITE), (PF_X, PROT_EXEC))
    prot = sum(bit for flag, bit in wanted if flags & flag)
    return Segment(va, offset, file_bytes, memory_bytes, prot)


def _shows(segment: Segment, offset: int) -> bool:
    return segment.offset <= offset < segment.offset + segment.file_bytes


def load(space: AddressSpace, image: Image, file: MemoryObject, name: str) -> None:
    """Map an image into an empty space, and set the heap's start behind it."""
    top = 0
    for segment in image.segments:
        if segment.memory_bytes:
            _load_segment(space, segment, file, name)
        top = max(top, segment.va + segment.memory_bytes)
    space.break_start = space.break_end = page_up(top)


def _load_segment(space: AddressSpace, segment: Segment, file: MemoryObject, name: str) -> None:
    start = segment.va & ~PAGE_MASK
    file_end, end = segment.va + segment.file_bytes, page_up(segment.va + segment.memory_bytes)
    mapped = page_up(file_end) if segment.file_bytes else start
    space.unmap(start, end)
    if mapped > start:
        source_page = segment.offset >> 12
        backing = space.objects.private(file, source_page)
        space.map_region(Region(start, mapped, segment.prot, backing, name=name))
    if end > mapped:
        space.map_region(Region(mapped, end, segment.prot, space.objects.anonymous(), name="[bss]"))
    if segment.memory_bytes > segment.file_bytes and mapped > file_end:
        _zero_tail(space, file_end, mapped)


def _zero_tail(space: AddressSpace, start: int, end: int) -> None:
    """Zero the rest of the last file page: the file may hold other bytes there."""
    page = start & ~PAGE_MASK
    region = space.map.find(page)
    assert region is not None
    if not space.objects.eager:
        space.show(region, page, write=True)
    pfn = region.object.pages[region.object_page(page)]
    memory = space.objects.frames.machine.memory
    memory.write((pfn << 12) + (start & PAGE_MASK), bytes(end - start))


def build_stack(
    space: AddressSpace,
    image: Image,
    arguments: list[bytes],
    environment: list[bytes],
    credentials: Credentials,
    random: bytes,
    path: bytes,
) -> int:
    """Map the stack and write arguments, environment and auxiliary vector; returns RSP."""
    strings = b"".join(part + b"\0" for part in (*arguments, *environment))
    behind = b"".join(part + b"\0" for part in (path, PLATFORM))
    count = len(arguments) + len(environment)
    if len(strings) + 8 * count > max_argument_bytes(space.limits.stack_bytes):
        raise KernelError(E.BIG)
    used = page_up(len(strings) + len(behind) + 8 * count + PAGE_SIZE)
    _map_stack(space, used, PROT_EXEC if image.runs_on_stack else 0)
    path_at = STACK_TOP - 16 - len(behind)
    strings_at = path_at - len(strings)
    random_at = strings_at - 16 & ~15
    auxiliary = _of_image(image) | _of_user(credentials)
    auxiliary |= {AT_RANDOM: random_at, AT_EXECFN: path_at, AT_PLATFORM: path_at + len(path) + 1}
    vector = _vectors((arguments, environment), strings_at, auxiliary)
    space.auxiliary = vector[-16 * (len(auxiliary) + 1) :]
    space.environment = tuple(environment)
    rsp = random_at - len(vector) & ~15
    space.write(rsp, vector)
    space.write(random_at, random)
    space.write(strings_at, strings + behind)
    return rsp


def max_argument_bytes(stack_bytes: int) -> int:
    """How much arguments, environment and the pointers to them may take: a quarter of the stack,
    at least 128 KiB and at most 6 MiB (execve(2); Linux, bprm_stack_limits)."""
    return max(MIN_ARGUMENT_BYTES, min(stack_bytes // 4, MAX_ARGUMENT_BYTES))


def _map_stack(space: AddressSpace, used_bytes: int, prot: int) -> None:
    """The stack begins with room below what is on it already (Linux, setup_arg_pages)."""
    limit = space.limits.stack_bytes & ~PAGE_MASK
    size = max(used_bytes, min(used_bytes + STACK_ROOM_BYTES, limit))
    start, floor = STACK_TOP - size, space.limits.floor(STACK_TOP)
    memory, page = space.objects.anonymous(), STACK_TOP - MAP_LOWEST - size >> 12
    stack = Region(start, STACK_TOP, PROT_READ | PROT_WRITE | prot, memory, page)
    stack.name, stack.floor = "[stack]", floor
    space.map_region(stack)


def _of_image(image: Image) -> dict[int, int]:
    """Entries of the auxiliary vector that tell of the program and its machine."""
    return {
        AT_PHDR: image.headers_va,
        AT_PHENT: PROGRAM_HEADER_BYTES,
        AT_PHNUM: image.header_count,
        AT_PAGESZ: PAGE_SIZE,
        AT_ENTRY: image.entry,
        AT_BASE: 0,
        AT_FLAGS: 0,
        AT_HWCAP: HWCAP,
        AT_HWCAP2: 0,
        AT_MINSIGSTKSZ: MIN_STACK_BYTES,
        AT_CLKTCK: CLOCK_TICKS_PER_SECOND,
    }


def _of_user(credentials: Credentials) -> dict[int, int]:
    """Entries of the auxiliary vector that tell the ids of the program's user."""
    return {
        AT_UID: credentials.real_uid,
        AT_EUID: credentials.uid,
        AT_GID: credentials.real_gid,
        AT_EGID: credentials.gid,
        AT_SECURE: int(credentials.is_changed),
    }


def _vectors(
    groups: tuple[list[bytes], list[bytes]], strings_at: int, auxiliary: dict[int, int]
) -> bytes:
    """argc, argv, envp and the auxiliary vector; `groups` are arguments and environment."""
    words, at = [len(groups[0])], strings_at
    for group in groups:
        for part in group:
            words.append(at)
            at += len(part) + 1
        words.append(0)
    for pair in auxiliary.items():
        words += pair
    words += (0, 0)
    return struct.pack(f"<{len(words)}Q", *words)
