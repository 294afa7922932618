"""The kernel reads and writes what user programs see, with their rights and their faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hw import costs
from hw.memory import PAGE_MASK, PAGE_SIZE
from hw.paging import ADDRESS, ERR_WRITE, USER_TOP, A, D, P, U, W
from kernel.abi.errno import E, KernelError
from kernel.mm.objects import Objects, pieces

if TYPE_CHECKING:
    from kernel.mm.pagetable import PageTable


class UserMemory:
    """Copies in and out of an address space."""

    __slots__ = ()
    objects: Objects
    table: PageTable

    def fault(self, page: int, error: int) -> bool:
        """Make an access possible, if that may be."""
        raise NotImplementedError

    def read(self, va: int, size_bytes: int) -> bytes:
        """Copy in.  Raises EFAULT."""
        self._check_range(va, size_bytes)
        memory, parts = self.objects.table.machine.memory, []
        for at, room in pieces(va, size_bytes):
            pa = self._user_frame(at, 0) << 12 | at & PAGE_MASK
            parts.append(memory.read(pa, room))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, va: int, data: bytes) -> None:
        """Copy out.  Raises EFAULT, perhaps after some pages were written."""
        self._check_range(va, len(data))
        memory, done = self.objects.table.machine.memory, 0
        for at, room in pieces(va, len(data)):
            pa = self._user_frame(at, ERR_WRITE) << 12 | at & PAGE_MASK
            memory.write(pa, data[done : done + room])
            done += room

    def read_string(self, va: int, limit_bytes: int) -> bytes:
        """A NUL-terminated string without its NUL.  Raises EFAULT, or ENAMETOOLONG past `limit`."""
        found = b""
        while len(found) <= limit_bytes:
            room = PAGE_SIZE - (va + len(found) & PAGE_MASK)
            piece, nul, _ = self.read(va + len(found), room).partition(b"\0")
            found += piece
            if nul and len(found) <= limit_bytes:
                return found
        raise KernelError(E.NAMETOOLONG)

    def read_name(self, va: int, limit_bytes: int) -> bytes:
        """A string like `read_string`, but cut off at the limit instead.  Raises EFAULT."""
        found = b""
        while len(found) < limit_bytes:
            at = va + len(found)
            room = min(PAGE_SIZE - (at & PAGE_MASK), limit_bytes - len(found))
            piece, nul, _ = self.read(at, room).partition(b"\0")
            found += piece
            if nul:
                break
        return found

    def peek_string(self, va: int, limit_bytes: int = 256) -> bytes:
        """What can be seen of a string without changing anything: for the trace."""
        memory, found = self.objects.table.machine.memory, b""
        while len(found) < limit_bytes:
            at = va + len(found)
            entry = self.table.lookup(at & ~PAGE_MASK)
            if not entry & P:
                return found
            room = min(PAGE_SIZE - (at & PAGE_MASK), limit_bytes - len(found))
            piece, nul, _ = memory.read(entry & ADDRESS | at & PAGE_MASK, room).partition(b"\0")
            found += piece
            if nul:
                break
        return found

    def read_u64(self, va: int) -> int:
        return int.from_bytes(self.read(va, 8), "little")

    def read_u32(self, va: int) -> int:
        return int.from_bytes(self.read(va, 4), "little")

    def _check_range(self, va: int, size_bytes: int) -> None:
        if va + size_bytes > USER_TOP:
            raise KernelError(E.FAULT)
        self.objects.table.machine.charge(costs.USER_COPY_LINE, (size_bytes + 63) >> 6)

    def _user_frame(self, va: int, error: int) -> int:
        """The frame behind `va`, for the kernel to act on as the user; sets A and D as it would."""
        wanted = P | U | (W if error else 0)
        page = va & ~PAGE_MASK
        entry = self.table.lookup(page)
        if entry & wanted != wanted:
            if not self.fault(page, error):
                raise KernelError(E.FAULT)
            entry = self.table.lookup(page)
        used = entry | A | (D if error else 0)
        if used != entry:
            self.table.change(page, used)
        return (entry & ADDRESS) >> 12
