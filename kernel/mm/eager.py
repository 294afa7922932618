"""Memory with nothing put off (`--eager`), as in the systems before paging.

A region's pages get their frames with the region (`AddressSpace.map_region`).  Private memory is a
copy from the start, so fork copies every page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from kernel.abi.errno import KernelError
from kernel.mm import file_pages
from kernel.mm.objects import MemoryObject, Objects


@dataclass(slots=True)
class EagerObjects(Objects):
    """Objects whose private copies are made at once."""

    eager: ClassVar[bool] = True

    def private(self, source: MemoryObject, source_page: int) -> MemoryObject:
        """The file's content from a page on, as it is now."""
        offset = source_page << 12
        size = max((source.size_bytes or 0) - offset, 0)
        content = file_pages.load(source, offset, size)
        copy = self.anonymous()
        copy.data, copy.size_bytes = content, size
        return copy

    def clone(self, original: MemoryObject) -> MemoryObject:
        """A copy of every page.  Raises ENOMEM, and then there is no copy."""
        copy = original.twin()
        copy.holds += 1
        try:
            original.copy_into(copy)
        except KernelError:
            for pfn in copy.drop():
                self.frames.release(pfn)
            raise
        copy.holds -= 1
        return copy
