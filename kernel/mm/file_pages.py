"""The content of a file that is a memory object: what a server reads and writes.

A file's pages are the same ones that its mappings show, so a store is seen in both.
"""

from __future__ import annotations

from hw.memory import PAGE_MASK
from kernel.mm.layout import pieces
from kernel.mm.objects import MemoryObject


def content(file: MemoryObject) -> bytes:
    """All of a file."""
    return load(file, 0, file.size_bytes or 0) if file.changed else file.data


def load(file: MemoryObject, offset: int, size_bytes: int) -> bytes:
    """The bytes of a file from `offset` on, up to its end; takes no frames."""
    assert file.size_bytes is not None
    if not file.changed:
        return file.data[offset : offset + size_bytes]
    end = min(offset + size_bytes, file.size_bytes)
    return b"".join([_peek(file, at, room) for at, room in pieces(offset, end - offset)])


def _peek(file: MemoryObject, offset: int, size_bytes: int) -> bytes:
    """Bytes of one page, wherever it is."""
    page, pager = offset >> 12, file.objects.pager
    pfn = file.pages.get(page)
    if pfn is None and file.extents is not None:
        pfn = file.frame_to_read(page)
    if pfn is None and page in file.paged_out:
        assert pager is not None
        return pager.content(file, page)[offset & PAGE_MASK :][:size_bytes]
    if pfn is None:
        return file.data[offset : offset + size_bytes].ljust(size_bytes, b"\0")
    return file.objects.frames.machine.memory.read(pfn << 12 | offset & PAGE_MASK, size_bytes)


def store(file: MemoryObject, offset: int, data: bytes) -> None:
    """Change a file, which grows to hold `data`.  Raises ENOMEM, perhaps with a part stored."""
    assert file.size_bytes is not None
    memory, done = file.objects.frames.machine.memory, 0
    for at, room in pieces(offset, len(data)):
        file.objects.reserve(2)
        pfn = file.frame_to_write(at >> 12, shared=True)
        memory.write(pfn << 12 | at & PAGE_MASK, data[done : done + room])
        done += room
        file.size_bytes = max(file.size_bytes, at + room)
