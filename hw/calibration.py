"""Facts about this build of the emulator library, found by experiment when the first core is made.

The library has no public interface for them: where it counts instructions, where it keeps the
address of a refused access, and where a saved context remembers that the last exception is still
being delivered.  An experiment runs a few instructions on an engine of its own, and looks which
cell of the engine's private memory then holds what it must.
"""

from __future__ import annotations

import ctypes
import functools
import struct
from ctypes import c_uint64
from typing import Literal

from hw import paging
from hw.engine import (
    BOOT_TABLES_PFN,
    FLUSH_TO_ZERO,
    FLUSHES_PAGES,
    Calibration,
    Engine,
    EngineError,
    flush_page_of,
    identity_fill,
)
from hw.host import read_own_memory
from hw.memory import PAGE_SHIFT, PAGE_SIZE, WORDS_PER_PAGE, PhysicalMemory


class _Probe:
    """Hooks for the experiments: identity translation, and every event stops the engine."""

    engine: Engine

    def __init__(self) -> None:
        self.asked: list[int] = []

    def on_fill(self, uc: int, va: int, access: int, entry_address: int, _: int) -> bool:
        self.asked.append(va)
        if va >= self.engine.memory.size_bytes:
            return False
        return identity_fill(uc, va, access, entry_address, _)

    def on_syscall(self, _uc: int, _: int) -> None:
        self.engine.stop()

    def on_sysenter(self, _uc: int, _: int) -> None:
        pass

    def on_interrupt(self, _uc: int, _vector: int, _: int) -> None:
        self.engine.stop()

    def on_invalid(self, _uc: int, _: int) -> bool:
        self.engine.stop()
        return True

    def on_in(self, _uc: int, _port: int, _size: int, _: int) -> int:
        return 0

    def on_out(self, _uc: int, _port: int, _size: int, _value: int, _: int) -> None:
        pass


def _divide(dividend: int, divisor: int) -> bytes:
    """mov eax, dividend; mov ecx, divisor; cvtsi2sd xmm0, eax; cvtsi2sd xmm1, ecx; divsd."""
    numbers = b"\xb8" + dividend.to_bytes(4, "little") + b"\xb9" + divisor.to_bytes(4, "little")
    return numbers + b"\xf2\x0f\x2a\xc0\xf2\x0f\x2a\xc9\xf2\x0f\x5e\xc1"


def _load_mxcsr(value: int) -> bytes:
    """ldmxcsr from behind the jmp that follows it."""
    return b"\x0f\xae\x15\x02\0\0\0\xeb\x04" + value.to_bytes(4, "little")


SSE_DIVISIONS = {_divide(1, 0): 4, _divide(0, 0): 1, _divide(1, 3): 32, _divide(1, 1): 0}
_FLD1, _FLDZ, _FLDPI, _FDIVP = b"\xd9\xe8", b"\xd9\xee", b"\xd9\xeb", b"\xde\xf9"
X87_DIVISIONS = {
    _FLD1 + _FLDZ + _FDIVP: 4,
    _FLDZ + _FLDZ + _FDIVP: 1,
    _FLD1 + _FLDPI + _FDIVP: 32,
    _FLD1 + _FLD1 + _FDIVP: 0,
}
"""Divisions, and the exception flags that they raise."""
MXCSR_LOADS = {_load_mxcsr(0x1F80): 0, _load_mxcsr(0x9F80): 1, _load_mxcsr(0x1FC0): 0}

PROBE_PA = 0x8000
HANDLE_BYTES = 4800  # how much of the engine's private struct is searched
CPU_BYTES = 1 << 17  # the registers lie this far behind the start of the emulated CPU, at most


@functools.cache
def calibrate() -> Calibration:
    """Find the library's hidden cells by experiment, on engines of their own.

    Raises `EngineError` if an experiment does not single out one cell.
    """
    model = _probe_engine(silicon=False)
    count = _only(_count_cells(model), "instruction count")
    fault_address = _only(_fault_address_cells(model), "fault address")
    old_exception = _only(
        _context_cells(model, {b"\xf4": 13, b"\x31\xc9\xf7\xf1": 0}, before=-1), "old exception"
    )
    interrupts = {b"\xcd\x20": 1, b"\xf4": 0, b"\xcc": 1, b"\x31\xc9\xf7\xf1": 0}
    is_software = _only(_context_cells(model, interrupts), "kind of the exception")
    silicon = _probe_engine(silicon=True)
    faults = {_load(0x7000_0000): 4, _store(0x7000_0000): 6}
    error_code = _only(_context_cells(silicon, faults), "error code")
    return Calibration(
        count_offset=count,
        fault_address_offset=fault_address,
        old_exception_offset=old_exception,
        error_code_offset=error_code,
        cpu_offset=_cpu_offset(model),
        is_software_offset=is_software,
        x87_flags_offset=_x87_flags(model),
        sse_flags_offset=_only(_context_cells(model, SSE_DIVISIONS, cell="B"), "flags of SSE"),
    )


def _cpu_offset(engine: Engine) -> int:
    """Where the handle points to the emulated CPU: the nearest pointer below the registers' store.

    The library exports the function that takes it, but does not document it.  It is used only
    if the experiment finds the pointer and the function then does what it should.
    """
    if not FLUSHES_PAGES:
        return 0
    magic = [0x1122_3344_5566_0000 + i for i in range(4)]
    engine.set_registers(dict(zip(("rax", "rcx", "rdx", "rbx"), magic, strict=True)))
    pattern, near = struct.pack("<4Q", *magic), {}
    for cell, pointer in enumerate(_handle_words(engine)):
        if pointer > PAGE_SIZE and not pointer & 15 and not pointer >> 47:
            distance = read_own_memory(pointer, CPU_BYTES).find(pattern)
            if distance >= 0:
                near[distance] = cell * 8
    return near[min(near)] if near and _flushes_one_page(engine, near[min(near)]) else 0


def _flushes_one_page(engine: Engine, offset: int) -> bool:
    """Load from two pages, flush one, load again: the emulator may ask for that one only."""
    pages = (0x9000, 0xA000)
    engine.memory.write(PROBE_PA, _load(pages[0]) + _load(pages[1]) + b"\x0f\x05")
    engine.flush_code()
    engine.run(PROBE_PA, 1000)
    flush_page_of(c_uint64.from_address(engine.handle + offset).value, pages[0])
    probe = engine.hooks
    assert isinstance(probe, _Probe)
    probe.asked.clear()
    engine.run(PROBE_PA, 1000)
    return [va for va in probe.asked if va in pages] == [pages[0]]


def _load(address: int) -> bytes:
    return b"\x48\x8b\x04\x25" + address.to_bytes(4, "little")  # mov rax, [address]


def _store(address: int) -> bytes:
    return b"\x48\x89\x04\x25" + address.to_bytes(4, "little")  # mov [address], rax


def _probe_engine(silicon: bool) -> Engine:
    probe, memory = _Probe(), PhysicalMemory(16 * PAGE_SIZE)
    probe.engine = Engine(memory, probe, silicon=silicon)
    if silicon:
        probe_entry = (BOOT_TABLES_PFN + 3) * WORDS_PER_PAGE + (PROBE_PA >> PAGE_SHIFT)
        memory.words[probe_entry] = PROBE_PA | paging.P | paging.U
    return probe.engine


def _count_cells(engine: Engine) -> list[int]:
    runs = {b"\x90" * length: length + 1 for length in (3, 17, 40, 5)}
    return _handle_cells(engine, runs)


def _fault_address_cells(engine: Engine) -> list[int]:
    return _handle_cells(
        engine, {_load(address): address for address in (0x7654_3210, 0x6543_210F)}
    )


def _handle_cells(engine: Engine, runs: dict[bytes, int]) -> list[int]:
    """Offsets behind the handle of the 64-bit cells that hold each run's value after it."""
    cells = set(range(0, HANDLE_BYTES, 8))
    for code, expected in runs.items():
        engine.memory.write(PROBE_PA, code + b"\x0f\x05")
        engine.flush_code()
        engine.run(PROBE_PA, 1000)
        words = _handle_words(engine)
        cells = {cell for cell in cells if words[cell // 8] == expected}
    return sorted(cells)


def _handle_words(engine: Engine) -> memoryview:
    """The engine's private struct as it now is, as 64-bit words."""
    return memoryview(ctypes.string_at(engine.handle, HANDLE_BYTES)).cast("Q")


def _x87_flags(engine: Engine) -> int:
    """The flags of x87 arithmetic; FTZ must lie where `hw/softfloat.py` expects it."""
    flags = _only(_context_cells(engine, X87_DIVISIONS, cell="B"), "flags of x87 arithmetic")
    flush = _only(_context_cells(engine, MXCSR_LOADS, cell="B"), "flush-to-zero flag")
    if flush != flags + FLUSH_TO_ZERO:
        raise EngineError(f"this build of Unicorn keeps FTZ at {flush}, and x87 flags at {flags}")
    return flags


def _context_cells(
    engine: Engine, runs: dict[bytes, int], before: int | None = None, cell: Literal["i", "B"] = "i"
) -> list[int]:
    """Offsets of the cells of a context that hold `before`, and after each run its value.

    `cell` is their type, as in `struct`: int32 or one byte.
    """
    fresh = memoryview(engine.fresh_context).cast("B").cast(cell)
    cells = {at for at, value in enumerate(fresh) if before is None or value == before}
    for code, expected in runs.items():
        engine.memory.write(PROBE_PA, code + b"\x0f\x05")
        engine.flush_code()
        engine.restore(bytearray(engine.fresh_context))
        engine.run(PROBE_PA, 1000)
        after = memoryview(engine.save(bytearray(engine.fresh_context))).cast(cell)
        cells = {at for at in cells if after[at] == expected}
    return sorted(at * fresh.itemsize for at in cells)


def _only(cells: list[int], what: str) -> int:
    if len(cells) != 1:
        found = ", ".join(map(str, cells)) or "none"
        raise EngineError(
            f"cannot find the {what} in this build of Unicorn (candidates: {found}); "
            "Vantage is tested with unicorn==2.1.4"
        )
    return cells[0]
