"""A thread's CPU state in the open: registers by name and an FXSAVE image.

A saved context is the emulator's own and means nothing to another version of it.  What must outlast
this process is taken out of the context here, and put into a fresh one later.
"""

from __future__ import annotations

from hw.cpu import Core


def describe(core: Core, context: bytearray, rip: int) -> tuple[dict[str, int], bytes]:
    """The general registers with RFLAGS and the segment bases, and the FXSAVE image.

    `core` stands still.  It holds the context for a moment, and then its own again.
    """
    kept = core.fresh_context()
    core.copy_context(kept)
    core.resume(context)
    registers = core.registers() | {"rip": rip}
    image = core.fpu_image()
    core.resume(kept)
    return registers, image


def compose(core: Core, registers: dict[str, int], image: bytes) -> bytearray:
    """A context with this state; RIP, which no context has, is left out."""
    kept, made, rip = core.fresh_context(), core.fresh_context(), core.state.rip
    core.copy_context(kept)
    core.resume(made)
    core.set_registers(registers)
    core.load_fpu_image(image)
    core.copy_context(made)
    core.state.rip = rip
    core.resume(kept)
    return made
