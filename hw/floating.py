"""Remedies for floating-point instructions: flags, traps, and FPREM.

`Floating.meet` is asked in front of an instruction that `hw/corrections.py` has found.  It puts
things right in place, or asks for a run of that instruction alone, with `prepare` before it and
`settle` after it.
"""

from __future__ import annotations

from collections.abc import Callable

from unicorn import x86_const

from hw.corrections import (
    APPROXIMATIONS,
    CLEAR,
    FLAGS,
    FWAIT,
    INTEGER,
    INTEGER_STORES,
    LOAD,
    PUBLISH,
    QUIET,
    SSE,
    TRAPS,
    X87,
)
from hw.decode import ONE_BYTE, TWO_BYTE, Instruction
from hw.engine import Engine
from hw.memory import PhysicalMemory
from hw.softfloat import (
    ALL,
    BEFORE_THE_RESULT,
    INVALID,
    MXCSR_FTZ,
    MXCSR_MASKS_SHIFT,
    PRECISION,
    FloatUnit,
)
from hw.x87 import CONDITIONS, Extended, fits, remainder

GO_ON, ALONE = -1, -2
"""Answers of `meet`, beside the vector of an exception."""
FPU_ERROR, SIMD_ERROR, PROTECTION = 16, 19, 13
MXCSR_RESERVED = ~0xFFFF
FNSTENV, FLDCW, LDMXCSR, FNSAVE = (0xD9, 6), (0xD9, 5), (0xAE, 2), (0xDD, 6)
"""Instructions by opcode and the middle field of ModRM."""
FPREM, FISTTP, FIST = 0xF8, 1, 2
INTEGER_INDEFINITE = Extended(1 << 63, 0xC07E)
"""-2 to the 127, which is stored as the least integer of any size."""

Operand = Callable[[int], "int | None"]
"""Reads so many bytes of the operand in memory; None if that would fault."""


class Floating:
    """The floating-point side of one engine."""

    def __init__(self, engine: Engine, memory: PhysicalMemory) -> None:
        self.unit = FloatUnit(engine)
        self._engine = engine
        self._memory = memory
        self._before = bytearray(engine.fresh_context)
        self._raised = (0, 0)
        self._top_before = Extended(0, 0)

    def watch(self, level: int) -> None:
        """Watch arithmetic more closely from now on: all code is looked through again."""
        code = self._memory.code
        if code.level < level:
            code.level, code.was_written = level, True

    def meet(self, what: int, instruction: Instruction, operand: Operand) -> int:
        """The guest is about to run `instruction`: GO_ON, ALONE, or an exception's vector."""
        if self._memory.code.level >= TRAPS and _waits(what, instruction):
            control = self.unit.control()
            if self.unit.raised()[0] & control.x87_unmasked:
                self.unit.publish()
                return FPU_ERROR
        if what == PUBLISH:
            return self._publish(instruction)
        if what == CLEAR:
            self.unit.set_raised(0, self.unit.raised()[1])
            return GO_ON
        if what == LOAD:
            return self._load(instruction, operand)
        if what == QUIET:
            return self._stay_quiet(instruction)
        if what == X87:
            calm = instruction.opcode == FWAIT or not self.unit.control().x87_unmasked
            return GO_ON if calm else ALONE
        if what == SSE:
            return ALONE if self.unit.control().sse_unmasked else GO_ON
        if what == INTEGER:
            rounding = 3 if instruction.reg == FISTTP else self.unit.control().control >> 10 & 3
            bits = INTEGER_STORES[instruction.opcode, instruction.reg]
            return GO_ON if fits(self._top(), bits, rounding) else ALONE
        return ALONE

    def _publish(self, instruction: Instruction) -> int:
        control = self.unit.publish()
        form = _form(instruction)
        masks = form == FNSTENV and control.x87_unmasked
        return ALONE if masks or form == FNSAVE else GO_ON

    def _load(self, instruction: Instruction, operand: Operand) -> int:
        form = _form(instruction)
        if form == FLDCW:
            value = operand(2)
            return GO_ON if value is not None and value & ALL == ALL else ALONE
        if form != LDMXCSR:
            return ALONE
        value = operand(4)
        if value is None:
            return ALONE
        if value & MXCSR_RESERVED:
            return PROTECTION
        if value & MXCSR_FTZ or ~value >> MXCSR_MASKS_SHIFT & ALL or self.unit.flushes():
            return ALONE
        self.unit.set_raised(self.unit.raised()[0], value & ALL)
        self.watch(FLAGS)
        return GO_ON

    def _stay_quiet(self, instruction: Instruction) -> int:
        """Flags that are raised already cannot be raised wrongly."""
        wrong = ALL if _is_approximation(instruction) else PRECISION
        return GO_ON if self.unit.raised()[1] & wrong == wrong else ALONE

    # An instruction that runs alone -------------------------------------------------------------

    def prepare(self, what: int) -> None:
        """Before the run: see which flags the instruction raises."""
        if what == LOAD:
            self.unit.publish()
        elif what == INTEGER:
            self._top_before = self._top()
            self._set_top(INTEGER_INDEFINITE)
        else:
            self._raised = self.unit.raised()
            self._engine.save(self._before)
            self.unit.set_raised(0, 0)

    def settle(self, what: int, instruction: Instruction, *, retired: bool) -> int:
        """After the run: GO_ON, or the vector of the exception that the instruction raises now.

        The state is as before the instruction if it raises one.
        """
        if what == LOAD:
            if retired:
                self.loaded()
            return GO_ON
        if what == INTEGER:
            self._settle_integer(instruction, retired=retired)
            return GO_ON
        new, old = self.unit.raised(), self._raised
        if not retired:
            self.unit.set_raised(*old)
        elif what == QUIET:
            quiet = 0 if _is_approximation(instruction) else new[1] & ~PRECISION
            self.unit.set_raised(old[0], old[1] | quiet)
        elif what == PUBLISH:
            self.unit.set_raised(0 if _form(instruction) == FNSAVE else old[0], old[1])
            if _form(instruction) == FNSTENV:
                self._engine.set_registers({"fpcw": self.unit.control().control | ALL})
        elif what == X87:
            self._settle_x87(new[0])
        elif what == SSE:
            return self._settle_sse(new[1])
        return GO_ON

    def loaded(self) -> None:
        """Control registers were loaded, by the program or by the kernel."""
        control = self.unit.adopt()
        self.watch(TRAPS if control.x87_unmasked or control.sse_unmasked else FLAGS)

    def _settle_integer(self, instruction: Instruction, *, retired: bool) -> None:
        """The number was too large: what was stored is the least integer."""
        if not retired or instruction.reg == FIST:
            self._set_top(self._top_before)
        if retired:
            x87, sse = self.unit.raised()
            self.unit.set_raised(x87 | INVALID, sse)

    def _settle_x87(self, new: int) -> None:
        """An unmasked exception waits for the next x87 instruction; one before the result leaves
        the registers alone."""
        unmasked = self.unit.control().x87_unmasked
        if new & unmasked & BEFORE_THE_RESULT:
            new &= BEFORE_THE_RESULT
            self._engine.restore(self._before)
        self.unit.set_raised(self._raised[0] | new, self._raised[1])

    def _settle_sse(self, new: int) -> int:
        trap = new & self.unit.control().sse_unmasked
        if trap:
            self._engine.restore(self._before)
            new &= BEFORE_THE_RESULT if trap & BEFORE_THE_RESULT else ALL
        self.unit.set_raised(self._raised[0], self._raised[1] | new)
        if trap:
            self.unit.publish()
            return SIMD_ERROR
        return GO_ON

    # FPREM ----------------------------------------------------------------------------------------

    def take_remainder(self, instruction: Instruction) -> None:
        """Execute FPREM or FPREM1."""
        uc, control = self._engine.uc, self.unit.control()
        next_to_top = x86_const.UC_X86_REG_FP0 + ((control.status >> 11) + 1 & 7)
        divisor = Extended(*uc.reg_read(next_to_top))
        result = remainder(self._top(), divisor, nearest=instruction.modrm != FPREM)
        x87, sse = self.unit.raised()
        self.unit.set_raised(x87 | result.raised, sse)
        if not result.raised & control.x87_unmasked:
            self._set_top(result.value)
            status = control.status & ~CONDITIONS | result.conditions
            self._engine.set_registers({"fpsw": status})

    def _top(self) -> Extended:
        """ST(0)."""
        register = x86_const.UC_X86_REG_FP0 + (self.unit.control().status >> 11 & 7)
        return Extended(*self._engine.uc.reg_read(register))

    def _set_top(self, value: Extended) -> None:
        register = x86_const.UC_X86_REG_FP0 + (self.unit.control().status >> 11 & 7)
        self._engine.uc.reg_write(register, tuple(value))


def _waits(what: int, instruction: Instruction) -> bool:
    """Does the instruction raise x87 exceptions that are pending?"""
    return instruction.map == ONE_BYTE and what not in (PUBLISH, CLEAR)


def _form(instruction: Instruction) -> tuple[int, int]:
    return instruction.opcode, instruction.reg if instruction.names_memory else -1


def _is_approximation(instruction: Instruction) -> bool:
    return instruction.map == TWO_BYTE and instruction.opcode in APPROXIMATIONS
