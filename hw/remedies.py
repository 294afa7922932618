"""What a core does about instructions that the emulator gets wrong.

    a block is translated      on_block   which of its instructions need help?  Stop at those.
    the guest is about to      on_stop    put it right in place, raise an exception, or leave the
      run one of them                     guest for `help`
    the guest was left         help       carry the instruction out by hand, or let it run alone

`hw/corrections.py` says which instructions, `hw/floating.py` what to do about arithmetic.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from hw.accesses import address_exception, is_misaligned, width
from hw.corrections import (
    FLAGS_LOAD,
    FLUSH,
    PASS,
    REMAINDER,
    ROUGH,
    UNDEFINED,
    Found,
    find,
    is_undefined,
    recognise,
)
from hw.decode import LONGEST, Instruction, decode
from hw.engine import Engine, block_at
from hw.floating import GO_ON, Floating
from hw.flushes import flush_at, flushes_in
from hw.memory import PAGE_SIZE, PhysicalMemory
from hw.nvm import Nvm
from hw.paging import FETCH, READ, is_canonical
from hw.shadow import Shadow
from hw.stops import Stops
from hw.stretch import Stretch, Trap

INVALID_OPCODE, GENERAL_PROTECTION = 6, 13
EFLAGS_AC = 1 << 18
VECTOR_BYTES = 16
REFUSED = (
    "a program used an instruction that this CPU does not have, such as AVX (CPUID says which it "
    "has): SIGILL; build it for baseline x86-64 (-march=x86-64)"
)
ROUGH_RESULTS = (
    "a program has x87 code for sines, logarithms or powers, which this machine computes with 53 "
    "bits instead of 64: the last three digits of a long double may differ"
)
NO_LINUX32 = (
    "a program used int 0x80, the 32-bit system call: SIGSEGV, as on a Linux without 32-bit "
    "emulation; the 64-bit call is the instruction syscall, with numbers of its own"
)
HALF_STORED = (
    "a store of 16 bytes ran into a page that may not be written, and its first half was stored; "
    "silicon stores nothing"
)


class Processor(Protocol):
    """What the remedies need of their core."""

    engine: Engine
    floats: Floating
    stops: Stops
    shadow: Shadow
    memory: PhysicalMemory
    stretch: Stretch
    nvm: Nvm | None

    @property
    def rip(self) -> int: ...
    def go_back(self, rip: int) -> None: ...
    def remark(self, text: str, /) -> None: ...
    def registers(self) -> dict[str, int]: ...
    def peek(self, va: int, size_bytes: int, access: int) -> bytes: ...
    def choose_engine(self, counted: bool) -> None: ...
    def execute(self, budget: int) -> int: ...
    def look_up(self, va: int, access: int) -> int | None: ...
    def retire(self, begun: int) -> None: ...
    def finish_by_hand(self, length: int) -> None: ...
    def refuse(self, vector: int) -> None: ...
    def stop_guest(self) -> None: ...
    def fail(self, failure: BaseException) -> None: ...


class Remedies:
    """The remedies of one core."""

    def __init__(self, core: Processor) -> None:
        self._core = core
        self._block_at, self._block = 0, memoryview(bytes(16)).cast("Q")

    # While the guest runs -----------------------------------------------------------------------

    def on_block(self, _uc: int, address: int, _before: int, _: int) -> None:
        """A block was translated, and is about to run; `address` is that of its description."""
        core = self._core
        try:
            if address != self._block_at:
                self._block_at, self._block = address, block_at(address)
            start, size = self._block
            size = size >> 16 & 0xFFFF
            code = core.shadow.held_code(start, size) or self._code(start, size)
            found = find(code, core.memory.code.level)
            if core.nvm is not None:
                found += tuple((offset, FLUSH) for offset in flushes_in(code))
            if found:
                self._look(start, size, found)
        except BaseException as failure:
            core.fail(failure)

    def _look(self, start: int, size: int, found: Found) -> None:
        """Some instructions of a block need help: stop there, and do not run it as it is."""
        if any(what == ROUGH for _, what in found):
            self._core.remark(ROUGH_RESULTS)
        at = [start + offset for offset, what in found if what != ROUGH]
        if self._core.stops.want(start, size, at):
            self._core.stop_guest()

    def _code(self, va: int, size_bytes: int) -> bytes:
        """At most `size_bytes` of code at `va`, as the emulator fetches it."""
        core, code = self._core, b""
        while len(code) < size_bytes:
            at, left = va + len(code), size_bytes - len(code)
            pa = core.shadow.code_pa(at)
            if not pa:
                return code + core.peek(at, left, FETCH)
            code += core.memory.bytes[pa : pa + min(left, PAGE_SIZE - (at & 0xFFF))].tobytes()
        return code

    def on_stop(self, _uc: int, va: int, _size: int, _: int) -> None:
        """An instruction is about to run that the emulator may get wrong."""
        try:
            if not self._core.stretch.alone:
                self._meet(va)
        except BaseException as failure:
            self._core.fail(failure)

    def _meet(self, va: int) -> None:
        core, code = self._core, self._code(va, LONGEST)
        found = recognise(code, core.memory.code.level)
        if found is None:
            self.meet_flush(code)  # if not, the stop is left from other code
            return
        instruction, what = found
        if what == UNDEFINED:
            core.remark(REFUSED)
            core.refuse(INVALID_OPCODE)
        elif what == FLAGS_LOAD:
            self._load_flags(instruction)
        else:
            answer = core.floats.meet(what, instruction, partial(self._operand, instruction))
            if answer >= 0:
                core.refuse(answer)
            elif answer != GO_ON:
                self._leave_for(what, instruction)

    def meet_flush(self, code: bytes) -> bool:
        """Leave the guest if a flush or a fence is next, and there is NVM."""
        instruction = flush_at(code) if self._core.nvm is not None else None
        if instruction is not None:
            self._leave_for(FLUSH, instruction)
        return instruction is not None

    def _leave_for(self, what: int, instruction: Instruction) -> None:
        self._core.stretch.help, self._core.stretch.unretired = (what, instruction), 1
        self._core.stop_guest()

    def _load_flags(self, instruction: Instruction) -> None:
        """POPF is about to run: see whether it sets EFLAGS.AC."""
        data = self._core.peek(self._core.registers()["rsp"], 8, READ)
        if int.from_bytes(data, "little") & EFLAGS_AC:
            self._core.memory.code.checks_alignment = True
            self._leave_for(PASS, instruction)

    def _operand(self, instruction: Instruction, size_bytes: int) -> int | None:
        """The operand in memory, as a number; None if it cannot be read."""
        registers = self._core.registers() | {"rip": self._core.engine.rip()}
        data = self._core.peek(instruction.address(registers), size_bytes, READ)
        return int.from_bytes(data, "little") if len(data) == size_bytes else None

    # When the guest was left --------------------------------------------------------------------

    def help(self, what: int, instruction: Instruction) -> int:
        """Carry out an instruction that the emulator gets wrong; returns how many retired."""
        core = self._core
        core.stretch.help = None
        if what == REMAINDER:
            core.floats.take_remainder(instruction)
            core.finish_by_hand(instruction.length)
            return 1
        if what == FLUSH:
            return self._flush(instruction)
        core.choose_engine(counted=True)
        core.stretch.restarts = True
        if what == PASS:
            return self._pass()
        rip = core.rip
        core.floats.prepare(what)
        retired = core.execute(1)
        vector = core.floats.settle(what, instruction, retired=retired > 0)
        if vector == GO_ON:
            core.retire(retired)
            return retired
        core.go_back(rip)
        core.stretch.trap = Trap(vector, 0, 0)
        return 0

    def _flush(self, instruction: Instruction) -> int:
        """Flush the line that the operand is in, or let all that was flushed become durable.

        A flush looks its line up as a load does, and begins again after a fault.
        """
        core = self._core
        assert core.nvm is not None
        if not instruction.names_memory:
            core.nvm.fence()
        else:
            va = instruction.address(core.registers())
            if not is_canonical(va):
                core.stretch.trap = Trap(GENERAL_PROTECTION, 0, 0)
                return 0
            pa = core.look_up(va, READ)
            if pa is None:
                return 0
            core.nvm.flush(pa)
        core.finish_by_hand(instruction.length)
        return 1

    def _pass(self) -> int:
        """Run one instruction alone, although it may look like one that must not be translated."""
        core, rip = self._core, self._core.rip
        core.stretch.passes_next = True
        core.engine.forget_code(rip, LONGEST)
        retired = core.execute(1)
        core.retire(retired)
        core.engine.forget_code(rip, LONGEST)
        return retired

    def meet_exit(self) -> None:
        """The guest stands at an address that the emulator must not translate."""
        core, instruction = self._core, self._next()
        if instruction is not None and is_undefined(instruction):
            core.remark(REFUSED)
            core.stretch.trap = Trap(INVALID_OPCODE, 0, 0)
        elif instruction is not None:
            core.stretch.help = PASS, instruction
        elif len(core.peek(core.rip, LONGEST, FETCH)) < LONGEST:
            core.look_up((core.rip | PAGE_SIZE - 1) + 1, FETCH)  # it goes on in an absent page
        else:
            core.stretch.trap = Trap(INVALID_OPCODE, 0, 0)

    def at_the_edge(self, trap: Trap) -> Trap:
        """What silicon says where an address is not canonical, or where an access ends at one."""
        instruction = self._next()
        found = address_exception(instruction, self._core.registers()) if instruction else None
        return trap if found is None else Trap(found, 0, 0)

    def note_half_store(self, va: int) -> None:
        """A store at `va`, the start of a page, was refused."""
        instruction = self._next()
        if instruction is not None and width(instruction) == VECTOR_BYTES:
            first = instruction.address(self._core.registers())
            if va - VECTOR_BYTES < first <= va - VECTOR_BYTES // 2:
                self._core.remark(HALF_STORED)

    def checks_alignment(self) -> bool:
        """Is EFLAGS.AC set?"""
        return bool(self._core.registers()["eflags"] & EFLAGS_AC)

    def is_misaligned(self) -> bool:
        """Does EFLAGS.AC forbid the next instruction?"""
        instruction = self._next()
        return instruction is not None and is_misaligned(instruction, self._core.registers())

    def _next(self) -> Instruction | None:
        return decode(self._core.peek(self._core.rip, LONGEST, FETCH))
