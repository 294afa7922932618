"""The FPU and SSE state of a stopped core as an FXSAVE image (SDM vol. 1, table 10-2).

bytes 0 FCW, 2 FSW, 4 abridged FTW, 24 MXCSR, 28 MXCSR_MASK,
      32 eight 16-byte slots for ST0..ST7, 160 sixteen XMM registers
"""

from __future__ import annotations

import struct

from unicorn import x86_const

from hw.engine import Engine

FXSAVE_BYTES = 512
MXCSR_MASK = 0xFFFF
_HEAD = struct.Struct("<HHBxHQQII")
_ST_SLOT = struct.Struct("<QH6x")
_STACK_AT, _XMM_AT = 32, 160


def save(engine: Engine) -> bytes:
    """The image of what the core holds now."""
    uc = engine.uc
    control = uc.reg_read(x86_const.UC_X86_REG_FPCW)
    status = uc.reg_read(x86_const.UC_X86_REG_FPSW)
    tags = uc.reg_read(x86_const.UC_X86_REG_FPTAG)
    image = bytearray(FXSAVE_BYTES)
    valid = sum(1 << i for i in range(8) if tags >> 2 * i & 3 != 3)
    mxcsr = uc.reg_read(x86_const.UC_X86_REG_MXCSR)
    _HEAD.pack_into(image, 0, control, status, valid, 0, 0, 0, mxcsr, MXCSR_MASK)
    for i in range(8):
        mantissa, exponent = uc.reg_read(x86_const.UC_X86_REG_FP0 + _physical(status, i))
        _ST_SLOT.pack_into(image, _STACK_AT + 16 * i, mantissa, exponent)
    for i in range(16):
        value = uc.reg_read(x86_const.UC_X86_REG_XMM0 + i)
        image[_XMM_AT + 16 * i : _XMM_AT + 16 * (i + 1)] = value.to_bytes(16, "little")
    return bytes(image)


def restore(engine: Engine, image: bytes) -> None:
    """Load an image; MXCSR bits that must be zero are cleared, not an error."""
    uc = engine.uc
    control, status, valid, _, _, _, mxcsr, _ = _HEAD.unpack_from(image)
    uc.reg_write(x86_const.UC_X86_REG_FPCW, control)
    uc.reg_write(x86_const.UC_X86_REG_FPSW, status)
    tags = sum(3 << 2 * i for i in range(8) if not valid >> i & 1)
    uc.reg_write(x86_const.UC_X86_REG_FPTAG, tags)
    uc.reg_write(x86_const.UC_X86_REG_MXCSR, mxcsr & MXCSR_MASK)
    for i in range(8):
        mantissa, exponent = _ST_SLOT.unpack_from(image, _STACK_AT + 16 * i)
        uc.reg_write(x86_const.UC_X86_REG_FP0 + _physical(status, i), (mantissa, exponent))
    for i in range(16):
        value = int.from_bytes(image[_XMM_AT + 16 * i : _XMM_AT + 16 * (i + 1)], "little")
        uc.reg_write(x86_const.UC_X86_REG_XMM0 + i, value)


def _physical(status: int, i: int) -> int:
    """The register behind ST(i): the stack's top is in bits 13..11 of the status word."""
    return (status >> 11) + i & 7
