"""The kernel reads and writes what user programs see, with their rights and their faults."""

from __future__ import annotations

from hw import costs
from hw.machine import Machine
from hw.memory import PAGE_MASK, PAGE_SIZE
from hw.paging import ADDRESS, ERR_WRITE, USER_TOP, A, D, P, U, W
from kernel.abi.errno import E, KernelError
from kernel.mm.filler import Missing
from kernel.mm.layout import pieces
from kernel.mm.objects import Objects
from kernel.mm.pagetable import PageTable


class UserMemory:
    """Copies in and out of an address space."""

    __slots__ = ()
    objects: Objects
    table: PageTable

    @property
    def machine(self) -> Machine:
        """The machine whose memory this is."""
        return self.objects.frames.machine

    def fault(self, page: int, error: int) -> bool:
        """Make an access to `page` possible, if a region allows it."""
        raise NotImplementedError

    def storable_until(self, page: int) -> int:
        """Where the pages end that a program may store into, from `page` on; `page`: not there."""
        raise NotImplementedError

    def room(self, va: int, size_bytes: int) -> int:
        """How many of these bytes a copy out can move before it meets a bad page.

        Whoever gives bytes away asks this first, so that none are lost on the way.  Only the first
        page gets its frame.  Raises EFAULT for a range outside user memory, ENOMEM.
        """
        self.check_range(va, size_bytes)
        if not size_bytes:
            return 0
        try:
            self._user_frame(va, ERR_WRITE)
        except KernelError as error:
            if error.number != E.FAULT:
                raise
            return 0
        at, end = (va | PAGE_MASK) + 1, va + size_bytes
        while at < end and (known := self.storable_until(at)) > at:
            at = known
        return min(at, end) - va

    def read_most(self, va: int, size_bytes: int) -> bytes:
        """Copy in what lies before the first bad page.  Raises EFAULT outside user memory."""
        self.check_range(va, size_bytes)
        parts: list[bytes] = []
        for at, room in pieces(va, size_bytes):
            try:
                pa = self._user_frame(at, 0) << 12 | at & PAGE_MASK
            except Missing:
                if not parts:
                    raise
                break
            except KernelError as error:
                if error.number != E.FAULT and not parts:
                    raise
                break
            parts.append(self.machine.memory.read(pa, room))
        self._charge(sum(map(len, parts)))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read(self, va: int, size_bytes: int) -> bytes:
        """Copy in.  Raises EFAULT."""
        self.check_range(va, size_bytes)
        self._charge(size_bytes)
        memory, parts = self.machine.memory, []
        for at, room in pieces(va, size_bytes):
            pa = self._user_frame(at, 0) << 12 | at & PAGE_MASK
            parts.append(memory.read(pa, room))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, va: int, data: bytes) -> None:
        """Copy out.  Raises EFAULT, perhaps after some pages were written.

        A call that copies out may have had its effect, so it cannot wait for a page that a program
        is to fill: EFAULT.  `room` is asked before, and can.
        """
        self.check_range(va, len(data))
        self._charge(len(data))
        memory, done = self.machine.memory, 0
        for at, room in pieces(va, len(data)):
            try:
                pa = self._user_frame(at, ERR_WRITE) << 12 | at & PAGE_MASK
            except Missing as missing:
                raise KernelError(E.FAULT) from missing
            memory.write(pa, data[done : done + room])
            done += room

    def read_string(self, va: int, limit_bytes: int) -> bytes:
        """A NUL-terminated string without its NUL.

        Raises EFAULT, or ENAMETOOLONG past `limit_bytes`.
        """
        found = b""
        while len(found) <= limit_bytes:
            room = PAGE_SIZE - (va + len(found) & PAGE_MASK)
            piece, nul, _ = self.read(va + len(found), room).partition(b"\0")
            found += piece
            if nul and len(found) <= limit_bytes:
                return found
        raise KernelError(E.NAMETOOLONG)

    def read_name(self, va: int, limit_bytes: int) -> bytes:
        """As `read_string`, but a longer string is cut off at the limit.  Raises EFAULT."""
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
        """What the tables show of a string now: for the trace, which may change nothing."""
        memory, found = self.machine.memory, b""
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
        """Copy a word of 8 bytes in.  Raises EFAULT."""
        return int.from_bytes(self.read(va, 8), "little")

    def read_u32(self, va: int) -> int:
        """Copy a word of 4 bytes in.  Raises EFAULT."""
        return int.from_bytes(self.read(va, 4), "little")

    def check_range(self, va: int, size_bytes: int) -> None:
        """Raises EFAULT for a range that is not all in user memory, mapped or not."""
        if va + size_bytes > USER_TOP:
            raise KernelError(E.FAULT)

    def _charge(self, size_bytes: int) -> None:
        self.machine.charge(costs.USER_COPY_LINE, (size_bytes + 63) >> 6)

    def _user_frame(self, va: int, error: int) -> int:
        """The frame behind `va`, with the user's rights; sets A and D as the CPU would."""
        wanted = P | U | (W if error else 0)
        page = va & ~PAGE_MASK
        entry = self.table.lookup(page)
        if entry & wanted != wanted:
            try:
                allowed = self.fault(page, error)
            except Missing as missing:
                if not missing.for_kernel:
                    raise KernelError(E.FAULT) from missing
                raise
            if not allowed:
                raise KernelError(E.FAULT)
            entry = self.table.lookup(page)
        used = entry | A | (D if error else 0)
        if used != entry:
            self.table.change(page, used)
        return (entry & ADDRESS) >> 12
