"""The exception flags of floating-point arithmetic, where a program looks for them.

The emulator computes in software, and its arithmetic raises the right flags: it keeps one set for
SSE and one for x87.  But it never shows them: MXCSR and the status word of x87 stay without.  It
also keeps FTZ for the wrong one of the two.  This module carries the flags to where they belong:
`publish` before a program reads them, `adopt` after a program has loaded others.

SDM vol. 1, 8.1.3 (status word), 8.5 (x87 exceptions), 10.2.3 (MXCSR), 11.5 (SSE exceptions).
"""

from __future__ import annotations

from typing import NamedTuple

from hw.engine import FLUSH_TO_ZERO, Engine, RegisterBatch

INVALID, DENORMAL, ZERO_DIVIDE, OVERFLOW, UNDERFLOW, PRECISION = (1 << bit for bit in range(6))
ALL = 0x3F
BEFORE_THE_RESULT = INVALID | DENORMAL | ZERO_DIVIDE
"""Exceptions that an operation raises before it has a result: if unmasked, it has none."""
FLUSHED = 1 << 7
"""The emulator's own flag for a result that FTZ made zero."""
SUMMARY, BUSY, STACK_FAULT = 1 << 7, 1 << 15, 1 << 6
MXCSR_MASKS_SHIFT, MXCSR_FTZ = 7, 1 << 15


class Control(NamedTuple):
    """The control and status registers of x87 and SSE."""

    control: int
    status: int
    mxcsr: int

    @property
    def x87_unmasked(self) -> int:
        """The x87 exceptions that trap."""
        return ~self.control & ALL

    @property
    def sse_unmasked(self) -> int:
        """The SSE exceptions that trap."""
        return ~(self.mxcsr >> MXCSR_MASKS_SHIFT) & ALL


class FloatUnit:
    """The arithmetic of one engine.  All of it belongs to the thread that the engine holds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._context = bytearray(engine.fresh_context)
        self._x87 = engine.calibration.x87_flags_offset
        self._sse = engine.calibration.sse_flags_offset
        self._registers = RegisterBatch(engine.handle, ["fpcw", "fpsw", "mxcsr"])

    def control(self) -> Control:
        """The registers as the emulator has them, without the flags raised since."""
        return Control(*self._registers.read())

    def raised(self) -> tuple[int, int]:
        """The flags raised by x87 and by SSE arithmetic, as bits of their status registers."""
        context = self._engine.save(self._context)
        return _seen(context[self._x87]), _seen(context[self._sse])

    def set_raised(self, x87: int, sse: int) -> None:
        """Replace the flags."""
        context = self._engine.save(self._context)
        context[self._x87], context[self._sse] = x87, sse
        self._engine.restore(context)

    def flushes(self) -> bool:
        """Does FTZ hold?"""
        context = self._engine.save(self._context)
        return bool(context[self._sse + FLUSH_TO_ZERO])

    def publish(self) -> Control:
        """Show the flags in MXCSR and in the status word.  Returns the registers with them."""
        before = self.control()
        x87, sse = self.raised()
        status = before.status & ~(ALL | SUMMARY | BUSY) | x87
        if x87 & before.x87_unmasked:
            status |= SUMMARY | BUSY
        after = Control(before.control, status, before.mxcsr & ~ALL | sse)
        if after != before:
            self._engine.set_registers({"fpsw": after.status, "mxcsr": after.mxcsr})
        return after

    def adopt(self) -> Control:
        """The program has loaded these registers: their flags are raised now, and FTZ holds."""
        loaded = self.control()
        context = self._engine.save(self._context)
        context[self._x87], context[self._sse] = loaded.status & ALL, loaded.mxcsr & ALL
        context[self._x87 + FLUSH_TO_ZERO] = 0
        context[self._sse + FLUSH_TO_ZERO] = int(bool(loaded.mxcsr & MXCSR_FTZ))
        self._engine.restore(context)
        return loaded


def _seen(flags: int) -> int:
    """The emulator's flags as the architecture has them: a flushed result is tiny and inexact."""
    return flags & ALL | (UNDERFLOW | PRECISION if flags & FLUSHED else 0)
