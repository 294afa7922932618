"""Non-volatile memory: a module that lies behind DRAM in the one physical memory.

    guest store ──► mirror (volatile) ──flush──► pending ──fence──► image (durable)

The mirror is what programs and the kernel see.  The image is what is left without power.  A flush
takes the present contents of a line of 64 bytes; a fence of the same core makes what that core has
flushed durable (SDM vol. 1, 11.4.4; vol. 2A, CLWB).  Memory controllers may also write back a line
that nobody has flushed.  So after a power cut, a line that differs holds what it held in the image
or anything newer, and each line is decided by itself.  A line is written whole.

The image is a port to the host (`hw/host.py` has one that is a file).  Only the machine that was
booted on it has it: a system that is loaded from a checkpoint has none, and what it makes durable
goes nowhere.  A frame of the image is read into the mirror when it is first used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from hw import costs, trace
from hw.memory import PAGE_SHIFT, PAGE_SIZE, ZERO_PAGE, PhysicalMemory

LINE_BYTES = 64

NVM_FLUSH = trace.declare("nvm_flush", "pa:Q", "A core flushes a line of an NVM module.")
NVM_FENCE = trace.declare(
    "nvm_fence", "lines:Q writes:Q", "So many lines became durable; all such writes so far."
)


class NvmFailure(BaseException):
    """The module cannot go on, and the machine stops where it is.

    No `Exception`: nothing in the kernel may treat it as a mistake of its own.
    """


class PowerCut(NvmFailure):
    """The power was cut, as somebody had asked for."""


class ImageFailure(NvmFailure):
    """The host could not read or write the image; the text says why."""


class Image(Protocol):
    """The durable side of a module, on the host.  Its methods raise `ImageFailure`."""

    def read(self, offset: int, size_bytes: int) -> bytes:
        """The bytes there."""

    def write(self, offset: int, data: bytes) -> None:
        """Replace the bytes there; in force at once, and durable on the host after `sync`."""

    def sync(self) -> None:
        """What was written survives the host's own power cut from here on."""


@dataclass(slots=True)
class NvmState:
    """What a checkpoint keeps of the module, besides the frames in use."""

    loaded: set[int] = field(default_factory=set)
    """The frames whose contents are in the mirror."""
    pending: list[dict[int, bytes]] = field(default_factory=list)
    """By core: the lines that it has flushed and not fenced, by physical address."""
    writes: int = 0
    """How many lines have become durable; a frame that is cleared counts as one."""


class Nvm:
    """The module from physical address `base` to the end of memory.

    `charge` bills a primitive to the core whose turn it is; `core` is the number of that core.
    """

    def __init__(
        self,
        state: NvmState,
        memory: PhysicalMemory,
        charge: Callable[[int, int], None],
        core: Callable[[], int],
    ) -> None:
        self.state = state
        self.memory = memory
        self.base = memory.dram_bytes
        self.size_bytes = memory.size_bytes - self.base
        self.image: Image | None = None
        self.cut_at: int | None = None
        """The power is cut instead of this write, counted from 1."""
        self.trace: trace.Trace | None = None
        self._charge = charge
        self._core = core

    @property
    def first_pfn(self) -> int:
        return self.base >> PAGE_SHIFT

    def holds(self, pa: int) -> bool:
        """Is the physical address in the module?"""
        return self.base <= pa < self.base + self.size_bytes

    def load(self, pfn: int) -> None:
        """Have a frame's contents in the mirror."""
        if pfn in self.state.loaded:
            return
        self.state.loaded.add(pfn)
        if self.image is not None:
            pa = pfn << PAGE_SHIFT
            self.memory.write(pa, self.image.read(pa - self.base, PAGE_SIZE))

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Bytes of the module by their place in it, as the mirror has them."""
        pa = self.base + offset
        for pfn in range(pa >> PAGE_SHIFT, (pa + size_bytes + PAGE_SIZE - 1) >> PAGE_SHIFT):
            self.load(pfn)
        return self.memory.read(pa, size_bytes)

    # Making durable ---------------------------------------------------------------------------

    def flush(self, pa: int) -> None:
        """Take the present contents of the line around `pa`; elsewhere than here, nothing."""
        self._charge(costs.NVM_FLUSH, 1)
        if self.holds(pa):
            self.load(pa >> PAGE_SHIFT)
            self._take(pa & -LINE_BYTES)

    def flush_range(self, pa: int, size_bytes: int) -> None:
        """Flush every line of a range that lies in the module and in the mirror."""
        lines = range(pa & -LINE_BYTES, pa + size_bytes, LINE_BYTES)
        self._charge(costs.NVM_FLUSH, len(lines))
        for line in lines:
            self._take(line)

    def _take(self, line: int) -> None:
        self._pending()[line] = bytes(self.memory.bytes[line : line + LINE_BYTES])
        if self.trace:
            self.trace.emit(NVM_FLUSH, line)

    def _pending(self) -> dict[int, bytes]:
        pending, core = self.state.pending, self._core()
        while len(pending) <= core:
            pending.append({})
        return pending[core]

    def fence(self) -> None:
        """What this core has flushed is durable when this returns.  Raises `NvmFailure`."""
        self._charge(costs.NVM_FENCE, 1)
        pending = self._pending()
        if not pending:
            return
        lines = sorted(pending.items())
        for start, data in _joined(lines):
            self._write(start - self.base, data, len(data) // LINE_BYTES)
        pending.clear()
        if self.image is not None:
            self.image.sync()
        if self.trace:
            self.trace.emit(NVM_FENCE, len(lines), self.state.writes)

    def clear(self, pfn: int) -> None:
        """Fill a frame that is free with zeroes.  It is durable at the next fence.

        Most such frames hold zeroes already, and an image that is mostly holes stays so.
        """
        self._charge(costs.NVM_FLUSH, PAGE_SIZE // LINE_BYTES)
        self.state.loaded.add(pfn)
        self.memory.zero_frame(pfn)
        offset = (pfn << PAGE_SHIFT) - self.base
        is_clear = self.image is None or self.image.read(offset, PAGE_SIZE) == ZERO_PAGE
        self._write(offset, b"" if is_clear else ZERO_PAGE, 1)

    def _write(self, offset: int, data: bytes, lines: int) -> None:
        """Change the image by so many lines, as far as the power lasts.  Raises `NvmFailure`."""
        done = lines if self.cut_at is None else min(lines, self.cut_at - 1 - self.state.writes)
        self.state.writes += done
        if self.image is not None and done and data:
            self.image.write(offset, data[: len(data) * done // lines])
        if done < lines:
            raise PowerCut(f"the power was cut at persistent write {self.cut_at}")

    # The end ----------------------------------------------------------------------------------

    def write_back(self) -> None:
        """An orderly end: the caches are written back, flushed or not (WBINVD)."""
        if self.image is not None:
            for offset, page, _ in self._changed(self.image):
                self.image.write(offset, page)
            self.image.sync()

    def lose_power(self, seed: int) -> None:
        """The power is gone: each line that differs survives in one of its states.

        The draw depends on `seed` and on the line alone.
        """
        if self.image is None:
            return
        newest = {line: data for pending in self.state.pending for line, data in pending.items()}
        for offset, page, old in self._changed(self.image):
            kept = bytearray(old)
            for at in range(0, PAGE_SIZE, LINE_BYTES):
                states = [old[at : at + LINE_BYTES], page[at : at + LINE_BYTES]]
                states.append(newest.get(self.base + offset + at, states[1]))
                chance = hashlib.sha256(b"%d %d" % (seed, offset + at)).digest()[0]
                kept[at : at + LINE_BYTES] = states[chance % len(states)]
            self.image.write(offset, bytes(kept))
        self.image.sync()

    def _changed(self, image: Image) -> list[tuple[int, bytes, bytes]]:
        """The pages that differ: their places, and their contents here and in the image."""
        found = []
        for pfn in sorted(self.state.loaded):
            pa = pfn << PAGE_SHIFT
            page, old = self.memory.read(pa, PAGE_SIZE), image.read(pa - self.base, PAGE_SIZE)
            if page != old:
                found.append((pa - self.base, page, old))
        return found


def _joined(lines: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Neighbouring lines, which are sorted, as one piece."""
    pieces: list[tuple[int, list[bytes]]] = []
    for line, data in lines:
        if pieces and pieces[-1][0] + len(pieces[-1][1]) * LINE_BYTES == line:
            pieces[-1][1].append(data)
        else:
            pieces.append((line, [data]))
    return [(start, b"".join(parts)) for start, parts in pieces]
