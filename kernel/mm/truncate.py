"""Cutting files off and punching holes into them, as Linux's mm/truncate.c.

The pages that go may be mapped, so these functions stand above the reverse map.
"""

from __future__ import annotations

from hw.memory import PAGE_MASK, PAGE_SIZE
from kernel.mm import file_pages, rmap
from kernel.mm.objects import MemoryObject


def resize(file: MemoryObject, size_bytes: int) -> None:
    """Cut a file off at `size_bytes`, or let it grow by a hole that reads as zeroes."""
    assert file.size_bytes is not None
    file.changed = True
    if size_bytes < file.size_bytes:
        file.data = file.data[:size_bytes]
        _cut(file, size_bytes + PAGE_MASK >> 12)
        tail = bytes(-size_bytes & PAGE_MASK)
        if tail and file.has(size_bytes >> 12):
            file_pages.store(file, size_bytes, tail)
    file.size_bytes = size_bytes


def _cut(memory_object: MemoryObject, first: int) -> None:
    """Forget every page from `first` on; private copies of them go too, as on Linux."""
    for copy in memory_object.copies:
        _cut(copy, first - copy.source_page)
    own = memory_object.own_pages()
    _forget(memory_object, [page for page in own if page >= first])


def punch(memory_object: MemoryObject, first: int, end: int) -> None:
    """The pages `first`..`end` hold zeroes again."""
    data, start, stop = memory_object.data, first * PAGE_SIZE, end * PAGE_SIZE
    stop = min(stop, len(data))
    if start < stop:
        memory_object.data = data[:start] + bytes(stop - start) + data[stop:]
    own = memory_object.own_pages()
    _forget(memory_object, [page for page in own if first <= page < end])


def zero(file: MemoryObject, offset: int, end: int) -> None:
    """The bytes `offset`..`end` of a file read as zeroes: whole pages go.  Raises ENOMEM."""
    assert file.size_bytes is not None
    end = min(end, file.size_bytes)
    whole = offset + PAGE_MASK >> 12, end >> 12
    for at, room in ((offset, -offset & PAGE_MASK), (end & ~PAGE_MASK, end & PAGE_MASK)):
        start, room = max(at, offset), min(room, end - offset)
        if room > 0 and file.backs(start >> 12):
            file_pages.store(file, start, bytes(min(room, end - start)))
    if whole[0] < whole[1]:
        punch(file, *whole)


def _forget(memory_object: MemoryObject, pages: list[int]) -> None:
    rmap.unmap(memory_object, pages)
    for page in pages:
        for pfn in memory_object.discard(page, 1):
            memory_object.objects.frames.release(pfn)
