"""FPREM and FPREM1 on numbers of 64 bits of mantissa, exactly (SDM vol. 2A).

The emulator computes both in double precision, so `fmodl` and `remainderl` would lose digits.
"""

from __future__ import annotations

from typing import NamedTuple

from hw.softfloat import DENORMAL, INVALID

C0, C1, C2, C3 = 1 << 8, 1 << 9, 1 << 10, 1 << 14
CONDITIONS = C0 | C1 | C2 | C3
INTEGER_BIT, QUIET_BIT = 1 << 63, 1 << 62
SIGN, INFINITE, BIAS = 1 << 15, 0x7FFF, 0x3FFF
COMPLETE_BELOW = 64
"""A difference of exponents from which one instruction does a part of the work only."""


class Extended(NamedTuple):
    """A number as a register of x87 holds it."""

    mantissa: int
    sign_and_exponent: int

    @property
    def exponent(self) -> int:
        return self.sign_and_exponent & INFINITE

    @property
    def is_nan(self) -> bool:
        return self.exponent == INFINITE and self.mantissa not in (0, INTEGER_BIT)

    @property
    def is_signalling(self) -> bool:
        return self.is_nan and not self.mantissa & QUIET_BIT

    @property
    def is_infinite(self) -> bool:
        return self.exponent == INFINITE and self.mantissa == INTEGER_BIT

    @property
    def is_unsupported(self) -> bool:
        """Formats of the 8087 that later processors refuse."""
        return self.exponent != 0 and not self.mantissa & INTEGER_BIT

    @property
    def is_denormal(self) -> bool:
        return self.exponent == 0 and self.mantissa != 0

    @property
    def scale(self) -> int:
        """The exponent of the mantissa's lowest bit, but for a constant."""
        return max(self.exponent, 1)


INDEFINITE = Extended(INTEGER_BIT | QUIET_BIT, SIGN | INFINITE)


class Remainder(NamedTuple):
    """What FPREM leaves behind: ST(0), condition bits of the status word, exceptions."""

    value: Extended
    conditions: int
    raised: int


def remainder(dividend: Extended, divisor: Extended, *, nearest: bool) -> Remainder:
    """FPREM, or FPREM1 with `nearest`: the quotient is rounded to the nearest even integer."""
    if dividend.is_unsupported or divisor.is_unsupported:
        return Remainder(INDEFINITE, 0, INVALID)
    if dividend.is_nan or divisor.is_nan:
        signals = dividend.is_signalling or divisor.is_signalling
        return Remainder(_nan_of(dividend, divisor), 0, INVALID if signals else 0)
    if dividend.is_infinite or not divisor.mantissa:
        return Remainder(INDEFINITE, 0, INVALID)
    raised = DENORMAL if dividend.is_denormal or divisor.is_denormal else 0
    if divisor.is_infinite or not dividend.mantissa:
        return Remainder(dividend, 0, raised)
    value, conditions = _divide(dividend, divisor, nearest=nearest)
    return Remainder(value, conditions, raised)


def fits(value: Extended, bits: int, rounding: int) -> bool:
    """Does `value`, once rounded, fit into an integer of this size?

    `rounding` is RC of the control word: 0 nearest, 1 down, 2 up, 3 toward zero.
    """
    if value.exponent == INFINITE or value.is_unsupported:
        return False
    shift = value.exponent - BIAS - 63
    if shift > 0:
        return False
    below = min(-shift, 66)
    whole, rest = value.mantissa >> below, value.mantissa & (1 << below) - 1
    negative = bool(value.sign_and_exponent & SIGN)
    half = 1 << below >> 1
    away = {
        0: rest > half or (rest == half > 0 and whole & 1),
        1: negative and rest,
        2: not negative and rest,
        3: False,
    }[rounding]
    return whole + bool(away) <= (1 << bits - 1) - (not negative)


def _divide(dividend: Extended, divisor: Extended, *, nearest: bool) -> tuple[Extended, int]:
    """The remainder of two finite numbers, and the condition bits."""
    unit = min(dividend.scale, divisor.scale)
    numerator = dividend.mantissa << dividend.scale - unit
    denominator = divisor.mantissa << divisor.scale - unit
    distance = numerator.bit_length() - denominator.bit_length()
    if distance >= COMPLETE_BELOW:
        done = 32 + distance % 32  # so many bits of the quotient at once, as AMD documents it
        rest = numerator % (denominator << distance - done)
        return _normal(rest, unit, dividend.sign_and_exponent & SIGN), C2
    quotient, rest = divmod(numerator, denominator)
    sign = dividend.sign_and_exponent & SIGN
    if nearest and (2 * rest, quotient & 1) > (denominator, 0):
        quotient, rest, sign = quotient + 1, denominator - rest, sign ^ SIGN
    low_bits = ((C1, 1), (C3, 2), (C0, 4))
    return _normal(rest, unit, sign), sum(flag for flag, bit in low_bits if quotient & bit)


def _normal(mantissa: int, scale: int, sign: int) -> Extended:
    """`mantissa` times two to the `scale`, which a register holds exactly."""
    shift = min(64 - mantissa.bit_length(), scale - 1)
    mantissa = mantissa << shift if shift >= 0 else mantissa >> -shift
    exponent = scale - shift if mantissa & INTEGER_BIT else 0
    return Extended(mantissa, sign | exponent)


def _nan_of(one: Extended, other: Extended) -> Extended:
    """Which operand a result that is no number repeats (SDM vol. 1, table 4-7)."""
    nans = [operand for operand in (one, other) if operand.is_nan]
    quiet = [operand for operand in nans if not operand.is_signalling]
    first = max(quiet or nans, key=lambda nan: (nan.mantissa, -(nan.sign_and_exponent & SIGN)))
    return Extended(first.mantissa | QUIET_BIT, first.sign_and_exponent)
