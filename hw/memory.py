"""Physical memory: one flat array of bytes, seen as frames of 4 KiB and as 64-bit words.

The emulated cores map this buffer, so their page walker reads a word that is written here.
Frame 0 is never handed out: a physical address of 0 is always a mistake.
"""

from __future__ import annotations

import ctypes
import mmap
from dataclasses import dataclass, field

PAGE_SHIFT = 12
PAGE_SIZE = 1 << PAGE_SHIFT
PAGE_MASK = PAGE_SIZE - 1
WORDS_PER_PAGE = PAGE_SIZE // 8
ZERO_PAGE = bytes(PAGE_SIZE)


@dataclass(slots=True)
class CodeFrames:
    """Which frames hold code that a core may have translated.

    Part of a checkpoint, because a fault is resolved inside an instruction or by starting the
    instruction again, and this decides which.
    """

    fetched: set[int] = field(default_factory=set)
    """Frames that instructions may have come from since translated code was last dropped."""
    was_written: bool = False
    """The kernel has stored into one of them: cores must drop their translations."""
    stored: set[int] = field(default_factory=set)
    """On silicon: frames that a table entry without the right to fetch lets programs store into."""
    aliased: set[int] = field(default_factory=set)
    """Those of them that another entry lets programs fetch from."""
    unscanned: set[int] = field(default_factory=set)
    """On silicon: frames that programs may fetch from, and that no core has looked through."""
    checks_alignment: bool = False
    """A program has set EFLAGS.AC."""
    level: int = 0
    """How closely the cores watch floating-point arithmetic: PLAIN, FLAGS or TRAPS of
    `hw/corrections.py`."""


class PhysicalMemory:
    """`size_bytes` from physical address 0 on: DRAM, and behind `dram_bytes` perhaps an NVM module.

    `words[pa >> 3]` is the 64-bit word at `pa`; page tables are read and written that way.
    Everything else goes through `read`, `write`, `zero_frame` and `copy_frame`: the cores do not
    see such a store, so it must also drop code that they have translated.

    `room` is a mapping of that size to use.  Another process may look into it.
    """

    def __init__(
        self, size_bytes: int, room: mmap.mmap | None = None, dram_bytes: int | None = None
    ) -> None:
        if size_bytes <= 0 or size_bytes % PAGE_SIZE:
            raise ValueError(f"memory must be a positive multiple of 4096 bytes, not {size_bytes}")
        self.size_bytes = size_bytes
        self.dram_bytes = size_bytes if dram_bytes is None else dram_bytes
        self.frames = size_bytes >> PAGE_SHIFT
        self._map = mmap.mmap(-1, size_bytes) if room is None else room
        if len(self._map) != size_bytes:
            raise ValueError(f"the room has {len(self._map)} bytes, the memory {size_bytes}")
        self.bytes = memoryview(self._map)
        self.words = self.bytes.cast("Q")
        self.host_address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.code = CodeFrames()
        self.on_silicon = False
        """The emulator walks the tables, and the core does not see what it translates."""

    def read(self, pa: int, size_bytes: int) -> bytes:
        """The bytes at `pa`; the range must lie inside memory."""
        if pa < 0 or pa + size_bytes > self.size_bytes:
            raise ValueError(f"physical read of {size_bytes} bytes at {pa:#x} is outside memory")
        return bytes(self.bytes[pa : pa + size_bytes])

    def write(self, pa: int, data: bytes | memoryview) -> None:
        """Store `data` at `pa`; the range must lie inside one frame or be contiguous frames."""
        end = pa + len(data)
        if pa < 0 or end > self.size_bytes:
            raise ValueError(f"physical write of {len(data)} bytes at {pa:#x} is outside memory")
        self.bytes[pa:end] = data
        if self.code.fetched:
            for pfn in range(pa >> PAGE_SHIFT, (end + PAGE_MASK) >> PAGE_SHIFT):
                self._wrote(pfn)

    def zero_frame(self, pfn: int) -> None:
        """Fill frame `pfn` with zero bytes."""
        pa = pfn << PAGE_SHIFT
        self.bytes[pa : pa + PAGE_SIZE] = ZERO_PAGE
        self._wrote(pfn)
        if self.on_silicon:  # nobody uses a frame that is made ready for a new use
            for frames in (self.code.fetched, self.code.stored, self.code.aliased):
                frames.discard(pfn)

    def copy_frame(self, source: int, target: int) -> None:
        """Copy the 4,096 bytes of frame `source` over frame `target`."""
        src, dst = source << PAGE_SHIFT, target << PAGE_SHIFT
        self.bytes[dst : dst + PAGE_SIZE] = self.bytes[src : src + PAGE_SIZE]
        self._wrote(target)

    def executable(self, pfn: int) -> None:
        """A table entry that allows fetching from frame `pfn` is being written.

        On silicon the core does not see what is fetched, so the writer of the tables says so.
        """
        self.code.fetched.add(pfn)
        if self.on_silicon:
            self.code.unscanned.add(pfn)
        if pfn in self.code.stored:
            self._alias(pfn)

    def writable(self, pfn: int) -> None:
        """On silicon: an entry that allows stores into `pfn`, but no fetch, is being written."""
        self.code.stored.add(pfn)
        if pfn in self.code.fetched:
            self._alias(pfn)

    def _alias(self, pfn: int) -> None:
        if self.on_silicon and pfn not in self.code.aliased:
            self.code.aliased.add(pfn)
            self.code.was_written = True  # every core comes by before it runs on

    def _wrote(self, pfn: int) -> None:
        if pfn in self.code.fetched:
            self.code.was_written = True
