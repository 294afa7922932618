"""A core: runs user code in ring 3, and hands every trap to the kernel's vectors.

    guest --SYSCALL-->  Vectors.syscall      answered while the guest stays in, where possible
          --#PF------>  Vectors.page_fault   the same, on the model MMU
          --others--->  Vectors.exception    the guest has stopped
          --budget--->  `run` returns: the timer interrupt

Intel SDM vol. 3A, 6.15 lists the exceptions.  The kernel itself never runs on a core.  It is
Python code that acts on the core from outside.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from hw import costs, fpu
from hw.calibration import calibrate
from hw.corrections import REMAINDER, UNDEFINED, remedy
from hw.decode import LONGEST, Instruction, decode
from hw.engine import (
    ERR_EXCEPTION,
    ERR_OK,
    FETCH_ACCESS,
    GENERAL_REGISTERS,
    Block,
    Engine,
    FillEntry,
)
from hw.floating import GO_ON, Floating
from hw.memory import PhysicalMemory
from hw.mmu import Mmu, MmuState
from hw.paging import ERR_FETCH, FETCH, READ, WRITE, PageFault, is_canonical, page_frame, walk
from hw.shadow import Shadow
from hw.stops import Stops
from hw.stretch import Stretch, Trap
from hw.tlb import Entry
from hw.trace import Trace

DIVIDE, DEBUG, BREAKPOINT, OVERFLOW, INVALID_OPCODE = 0, 1, 3, 4, 6
GENERAL_PROTECTION, PAGE_FAULT, FPU, SIMD = 13, 14, 16, 19
USER_VECTORS = (BREAKPOINT, OVERFLOW)
"""The vectors that INT n may name in ring 3; any other is a general protection fault."""
INT_BYTES = 2

RESUME, LEAVE, REFUSE = range(3)
"""Answers of a page-fault handler: go on at once; resolved, but leave the guest; not resolved."""

SYSCALL_BYTES = 2
REFUSED = (
    "a program used an instruction that this CPU does not have, such as AVX (CPUID says which it "
    "has): SIGILL; build it for baseline x86-64 (-march=x86-64)"
)
RDPMC = b"\x0f\x33"
RDTSC = b"\x0f\x31"
_ACCESS = {16: READ, 17: WRITE, FETCH_ACCESS: FETCH}


class MachineCheck(Exception):
    """The hardware was used against its rules: say, a table entry that points past memory."""


class Vectors(Protocol):
    """The kernel's entry points."""

    def syscall(
        self, core: Core, number: int, a: int, b: int, c: int, d: int, e: int, f: int
    ) -> int | None:
        """The result for RAX, or None: the core leaves the guest, and the call is unfinished."""

    def page_fault(self, core: Core, page: int, error: int) -> int:
        """Try to resolve a fault anywhere in the page at `page`: RESUME, LEAVE or REFUSE."""

    def exception(self, core: Core, vector: int, error: int, va: int) -> None:
        """The program has caused an exception at `state.rip`.  A page fault tells its `va`."""


@dataclass(slots=True)
class CoreState:
    """All that a core remembers between runs: plain data, part of a checkpoint."""

    id: int
    mmu: MmuState
    cycles: int = 0
    instructions: int = 0
    rip: int = 0
    counts: list[int] = field(default_factory=lambda: [0] * len(costs.TABLE))
    """How often each primitive of the cost table was charged."""


class Core:
    """One CPU.  `silicon` lets the emulator translate instead of the model MMU.

    `shadows` has one entry for each core made so far; this core adds its own.
    """

    def __init__(
        self,
        state: CoreState,
        memory: PhysicalMemory,
        *,
        silicon: bool,
        shadows: list[Shadow],
    ) -> None:
        self.state = state
        self.memory = memory
        self.vectors: Vectors
        self.silicon = silicon
        self.trace: Trace | None = None
        self.remark: Callable[[str], None] = lambda _: None
        """Told what the user of the program should know."""
        self.costs = [row.cycles for row in costs.TABLE]
        self.leave = False
        """The kernel asks to leave the guest after the trap that it is handling."""
        self.pausing = False
        """Leave the guest in the middle of its turn: after this system call or at the next one.
        A fault cannot end a turn, since the kernel resolves it in the middle of an instruction."""
        self.stepper: Callable[[int], int] | None = None
        """A debugger's way to run at most N instructions.  It returns how many retired."""
        self.aborted = False
        self._engines: dict[bool, tuple[Engine, Floating, Stops]] = {}
        self.engine, self.floats, self.stops = self._engine(counted=True)
        self.shadow = Shadow(self.engine, memory, state.mmu, shadows)
        self.mmu = Mmu(state.mmu, memory.words, self.charge, self.shadow.shrink)
        self._scratch = bytearray(self.engine.fresh_context)
        self._stretch = Stretch()

    # The clock ------------------------------------------------------------------------------

    def charge(self, primitive: int, times: int = 1) -> None:
        """Bill `times` of a primitive of the cost table to this core's clock."""
        state = self.state
        state.counts[primitive] += times
        state.cycles += self.costs[primitive] * times
        if self.trace:
            self.trace.cycles = state.cycles

    def _retire(self, begun: int) -> None:
        """Charge the instructions since the last look at the counter."""
        new = begun - self._stretch.charged
        if new > 0:
            self._stretch.charged = begun
            state = self.state
            state.instructions += new
            state.counts[costs.INSTRUCTION] += new
            state.cycles += new * self.costs[costs.INSTRUCTION]
            if self.trace:
                self.trace.cycles = state.cycles

    # Running --------------------------------------------------------------------------------

    def run(self, budget_instructions: int, *, counted: bool = True) -> int:
        """Run user code from `state.rip`; returns the instructions left of the budget.

        0 left means that the timer went off.  `run` returns earlier when a vector asks to leave,
        or on `abort`.  Uncounted runs have no budget and return it whole.
        """
        self.leave = False
        left = budget_instructions
        while left > 0 and not (self.leave or self.pausing or self.aborted):
            self._choose_engine(counted or self._stretch.restarts)
            left -= self.stepper(left) if self.stepper else self._enter(left if counted else 0)
            if self._stretch.help is not None:
                left -= self._help(*self._stretch.help)
            stretch = self._stretch
            if stretch.failure is not None:
                raise stretch.failure
            if stretch.trap is not None:
                left -= self._deliver(*stretch.trap)
        self.pausing = False
        return left

    def step(self, instructions: int = 1) -> int:
        """Run at most N instructions; returns how many retired: 0 if the first was refused."""
        return self._enter(instructions)

    def begun(self) -> int:
        """How many instructions have begun, including the one that runs now."""
        return self.state.instructions + self.engine.count() - self._stretch.charged

    def watch_stores(self, note: Callable[[int, int], None], first: int, last: int) -> None:
        """Tell `note` (pa, bytes) just before an instruction stores into `first`..`last`."""
        for engine, _, _ in self._engines.values():
            engine.watch_stores(note, first, last)

    def abort(self) -> None:
        """Leave the guest soon, for the user's Ctrl-C only.  Any host thread may call this."""
        self.aborted = True
        self.engine.stop()

    def _enter(self, budget: int) -> int:
        """One run of the emulator; returns how many instructions retired."""
        retired = self._execute(budget)
        self._retire(retired)
        return retired

    def _execute(self, budget: int) -> int:
        """As `_enter`, but the last instructions are not on the clock yet."""
        engine = self.engine
        self.shadow.refresh_code()
        stretch = self._stretch = Stretch(alone=self._stretch.restarts)
        status = engine.run(self.state.rip, budget, alone=stretch.alone)
        if status not in (ERR_OK, ERR_EXCEPTION):
            raise MachineCheck(
                f"core {self.state.id}: {engine.describe(status)} at {engine.rip():#x}"
            )
        self.state.rip = engine.rip() if stretch.rip_after is None else stretch.rip_after
        begun = engine.count() if stretch.begun is None else stretch.begun
        if stretch.undo:
            engine.set_registers(stretch.undo)
        if stretch.trap is not None:
            self._settle(stretch, stretch.trap)
        if self.stops.wanted:
            self.stops.place()
        return min(begun, budget) - stretch.unretired if budget else 0

    def _settle(self, stretch: Stretch, trap: Trap) -> None:
        """Complete what is known of the exception that stopped the guest."""
        vector, error, va = trap
        if vector == PAGE_FAULT:
            va = self.engine.fault_address()
        if self.silicon or vector != PAGE_FAULT:
            code = self.engine.finish_exception(self._scratch)
            if vector == PAGE_FAULT:
                error = code
                stretch.unretired = 0 if error & ERR_FETCH else 1
        stretch.trap = Trap(vector, error, va)

    def _deliver(self, vector: int, error: int, va: int) -> int:
        """Act on the exception that stopped the guest; returns how many instructions retired."""
        self._stretch.trap = None
        if vector == GENERAL_PROTECTION and self._emulate_timestamp():
            return 1
        if self.silicon or vector != PAGE_FAULT:
            self.charge(costs.EXCEPTION)
        resolvable = self.silicon and vector == PAGE_FAULT
        if not (resolvable and self.vectors.page_fault(self, va & ~0xFFF, error) != REFUSE):
            self.vectors.exception(self, vector, error, va)
        return 0

    def _help(self, what: int, instruction: Instruction) -> int:
        """Carry out an instruction that the emulator gets wrong; returns how many retired."""
        self._stretch.help = None
        state, rip = self.state, self.state.rip
        if what == REMAINDER:
            self.floats.take_remainder(instruction)
            self._finish_by_hand(instruction.length)
            return 1
        self._choose_engine(counted=True)
        self.floats.prepare(what)
        self._stretch.restarts = True
        retired = self._execute(1)
        vector = self.floats.settle(what, instruction, retired=retired > 0)
        if vector == GO_ON:
            self._retire(retired)
            return retired
        state.rip = rip
        self._stretch.trap = Trap(vector, 0, 0)
        return 0

    def _finish_by_hand(self, length: int) -> None:
        """The core itself has carried out the instruction at `state.rip`."""
        self.state.rip += length
        self.state.instructions += 1
        self.charge(costs.INSTRUCTION)

    def _emulate_timestamp(self) -> bool:
        """RDTSC traps.  It answers with the cycle clock: host time differs each run."""
        state = self.state
        if self.code_at(state.rip, len(RDTSC)) != RDTSC:
            return False
        self.engine.set_registers({"rax": state.cycles & 0xFFFF_FFFF, "rdx": state.cycles >> 32})
        self._finish_by_hand(len(RDTSC))
        return True

    def code_at(self, va: int, size_bytes: int) -> bytes:
        """At most `size_bytes` of code at `va`: as much as the tables let a program fetch."""
        return self.peek(va, size_bytes, FETCH)

    def peek(self, va: int, size_bytes: int, access: int) -> bytes:
        """At most `size_bytes` at `va`: as much as the tables allow for this kind of access."""
        data = b""
        while len(data) < size_bytes:
            at = va + len(data)
            try:
                leaf, level, _ = walk(self.memory.words, self.state.mmu.cr3, at, access)
            except PageFault:
                break
            room = min(size_bytes - len(data), 4096 - (at & 0xFFF))
            data += self.memory.read(page_frame(leaf, level, at) << 12 | at & 0xFFF, room)
        return data

    # Context --------------------------------------------------------------------------------

    def fresh_context(self) -> bytearray:
        """The context of a thread that has not run yet."""
        return bytearray(self.engine.fresh_context)

    def save(self, context: bytearray) -> None:
        """Save all user-visible CPU state except RIP, which is `state.rip`."""
        self.charge(costs.CONTEXT_SAVE)
        self.engine.save(context)

    def restore(self, context: bytearray, rip: int) -> None:
        """Load a thread's context.  `load_cr3` must follow if the address space changes."""
        self.charge(costs.CONTEXT_RESTORE)
        self.engine.restore(context)
        self.state.rip = rip
        if self.silicon:
            self.engine.set_cr3(self.state.mmu.cr3)

    def resume(self, context: bytearray) -> None:
        """Load the context that a checkpoint kept of this core.  RIP is in the state."""
        self.engine.restore(context)
        if self.silicon:
            self.engine.set_cr3(self.state.mmu.cr3)

    def _choose_engine(self, counted: bool) -> None:
        if counted == self.engine.counted:
            return
        self.engine.save(self._scratch)
        self.engine, self.floats, self.stops = self._engine(counted)
        self.shadow.use(self.engine)
        self.engine.restore(self._scratch)
        if self.silicon:
            self.engine.set_cr3(self.state.mmu.cr3)

    def _engine(self, counted: bool) -> tuple[Engine, Floating, Stops]:
        found = self._engines.get(counted)
        if found is None:
            engine = Engine(self.memory, self, silicon=self.silicon, counted=counted)
            engine.use(calibrate())
            engine.watch_code(self.on_block, self.on_stop)
            found = engine, Floating(engine, self.memory), Stops(engine)
            self._engines[counted] = found
        return found

    def finish_syscall(self, result: int) -> None:
        """Answer a SYSCALL that left the guest: set its result and go past it."""
        flags = self.engine.syscall_frame.read()[-1]
        self.state.rip += SYSCALL_BYTES
        self.engine.answer_syscall(result, self.state.rip, flags)

    def copy_context(self, context: bytearray) -> None:
        """As `save`, for an observer: nothing is charged."""
        self.engine.save(context)

    def fpu_image(self) -> bytes:
        """FPU and SSE state as an FXSAVE image."""
        self.floats.unit.publish()
        return fpu.save(self.engine)

    def load_fpu_image(self, image: bytes) -> None:
        fpu.restore(self.engine, image)
        self.floats.loaded()

    def reset_fpu(self) -> None:
        """FPU and SSE state as a new thread has it."""
        general = self.engine.general
        kept = general.read().tolist()
        self.engine.restore(bytearray(self.engine.fresh_context))
        general.values[:] = memoryview(array("Q", kept))
        general.write()
        if self.silicon:
            self.engine.set_cr3(self.state.mmu.cr3)

    def pending_float_exceptions(self, vector: int) -> int:
        """The unmasked exceptions that #MF or #XM, this `vector`, stands for: bits 0 to 5."""
        x87, sse = self.floats.unit.raised()
        control = self.floats.unit.control()
        return x87 & control.x87_unmasked if vector == FPU else sse & control.sse_unmasked

    def registers(self) -> dict[str, int]:
        """The general registers, RFLAGS and the segment bases, by name; RIP is `state.rip`."""
        values = dict(zip(GENERAL_REGISTERS, self.engine.general.read(), strict=True))
        values["rip"] = self.state.rip
        return values

    def set_registers(self, registers: dict[str, int]) -> None:
        """Write registers by name; RIP too."""
        self.state.rip = registers.get("rip", self.state.rip)
        self.engine.set_registers(registers)

    # Translation ----------------------------------------------------------------------------

    def load_cr3(self, value: int) -> None:
        """Load CR3, with a PCID in its low bits where PCIDs are on (bit 63: do not flush)."""
        tagged = self.state.mmu.pcid_enabled
        self.charge(costs.CR3_WRITE_TAGGED if tagged else costs.CR3_WRITE)
        self.mmu.load_cr3(value)
        if self.silicon:
            self.engine.set_cr3(self.state.mmu.cr3)
        else:
            self.shadow.follow()

    def invlpg(self, va: int, pcid: int) -> None:
        """Drop one page's translation."""
        self.charge(costs.INVLPG)
        self._invalidate(lambda: self.mmu.invlpg(va, pcid))

    def flush_pcid(self, pcid: int) -> None:
        """Drop all translations of one PCID."""
        self.charge(costs.FLUSH_PCID)
        self._invalidate(lambda: self.mmu.flush_pcid(pcid))

    def _invalidate(self, drop: Callable[[], None]) -> None:
        if self.silicon:
            self.engine.flush_tlb()
        else:
            drop()

    # Hooks: called by the emulator while the guest runs ---------------------------------------

    def on_fill(self, _uc: int, va: int, access: int, entry_address: int, _: int) -> bool:
        """The emulator has no translation for the page at `va`."""
        try:
            kind = _ACCESS[access]
            entry = self.mmu.hit(va >> 12, kind)
            if entry is not None:
                self.shadow.asked_for_a_hit()
            else:
                entry = self._translate(va, kind)
                if entry is None:
                    return False
            rights = self.shadow.give(va >> 12, entry, kind)
            if self.memory.code.was_written and not self._stretch.alone:
                self._stretch.restarts = True  # begin again, without old code
                self._stretch.unretired = 0 if kind == FETCH else 1
                return False
            out = FillEntry.from_address(entry_address)
            out.paddr, out.perms = entry.pfn << 12, rights
            return True
        except BaseException as failure:
            return self._fail(failure)

    def _translate(self, va: int, kind: int) -> Entry | None:
        """The entry for an access.  The kernel resolves faults first; None: leave the guest."""
        if self.engine.counted:
            begun = self.engine.count()
            self._retire(begun if kind == FETCH else begun - 1)
        if not is_canonical(va):
            self._stretch.trap = Trap(GENERAL_PROTECTION, 0, 0)
            self._stretch.unretired = 0 if kind == FETCH else 1
            return None
        while True:
            try:
                return self.mmu.translate(va >> 12, kind)
            except PageFault as fault:
                if not self._fault(fault):
                    return None

    def _fault(self, fault: PageFault) -> bool:
        """Tell the kernel.  Returns True if it resolved the fault at once."""
        stretch = self._stretch
        stretch.unretired = 0 if fault.error & ERR_FETCH else 1
        self.charge(costs.EXCEPTION)
        answer = self.vectors.page_fault(self, fault.va, fault.error)
        if answer == RESUME and not self.memory.code.was_written:
            stretch.unretired = 0
            return True
        if answer == REFUSE:
            stretch.trap = Trap(PAGE_FAULT, fault.error, fault.va)
        return False

    def on_block(self, _uc: int, address: int, _before: int, _: int) -> None:
        """A block was translated, and is about to run."""
        try:
            block = Block.from_address(address)
            start = block.start
            code = self.shadow.code(start, block.bytes) or self.code_at(start, block.bytes)
            if self.stops.look(start, code, self.memory.code.level):
                self.engine.stop()
        except BaseException as failure:
            self._fail(failure)

    def on_stop(self, _uc: int, va: int, _size: int, _: int) -> None:
        """An instruction is about to run that the emulator gets wrong, as far as `stops` knows."""
        try:
            if self._stretch.alone:
                return
            instruction = decode(self.shadow.code(va, LONGEST) or self.code_at(va, LONGEST))
            what = remedy(instruction, self.memory.code.level) if instruction else None
            if instruction is None or what is None:
                return
            answer = INVALID_OPCODE
            if what == UNDEFINED:
                self.remark(REFUSED)
            else:
                answer = self.floats.meet(what, instruction, partial(self._operand, instruction))
            if answer >= 0:
                self._except(answer)
            elif answer != GO_ON:
                self._stretch.help, self._stretch.unretired = (what, instruction), 1
                self.engine.stop()
        except BaseException as failure:
            self._fail(failure)

    def _operand(self, instruction: Instruction, size_bytes: int) -> int | None:
        """The operand in memory, as a number; None if it cannot be read."""
        registers = self.registers() | {"rip": self.engine.rip()}
        data = self.peek(instruction.address(registers), size_bytes, READ)
        return int.from_bytes(data, "little") if len(data) == size_bytes else None

    def on_syscall(self, _uc: int, _: int) -> None:
        """SYSCALL: the kernel answers here, or the guest is left."""
        try:
            engine, state = self.engine, self.state
            number, a, b, c, d, e, f, rip, flags = engine.syscall_frame.read()
            state.rip = rip
            self._retire(engine.count())
            state.counts[costs.SYSCALL] += 1
            state.cycles += self.costs[costs.SYSCALL]
            result = self.vectors.syscall(self, number, a, b, c, d, e, f)
            if result is None:
                self._stretch.rip_after = rip
                self.leave = True
                engine.stop()
                return
            engine.answer_syscall(result, rip + SYSCALL_BYTES, flags)
            if self.leave or self.pausing or self.memory.code.was_written:
                self._stretch.rip_after = rip + SYSCALL_BYTES
                engine.stop()
        except BaseException as failure:
            self._fail(failure)

    def on_interrupt(self, _uc: int, vector: int, _: int) -> None:
        """A CPU exception, or INT n."""
        try:
            rip = self.engine.rip()
            if vector in USER_VECTORS:
                self._except(vector)
            elif self.engine.is_software_interrupt(self._scratch):
                self._except(GENERAL_PROTECTION, vector * 8 + 2, rip - INT_BYTES)
            else:
                # A jump that went nowhere has retired; the fetch behind it failed.
                self._except(vector, retired=vector != PAGE_FAULT and not is_canonical(rip))
        except BaseException as failure:
            self._fail(failure)

    def on_invalid(self, _uc: int, _: int) -> bool:
        """An undefined instruction, or INT 6."""
        try:
            if self.engine.is_software_interrupt(self._scratch):
                self._except(GENERAL_PROTECTION, INVALID_OPCODE * 8 + 2)
            elif self.code_at(self.engine.rip(), 2) == RDPMC:
                self._except(GENERAL_PROTECTION)  # what silicon says where CR4.PCE is clear
            else:
                self._except(INVALID_OPCODE)
        except BaseException as failure:
            self._fail(failure)
        return True

    def on_sysenter(self, _uc: int, _: int) -> None:
        """SYSENTER has no entry point set, so it is a general protection fault."""
        self._refuse_instruction()

    def on_in(self, _uc: int, _port: int, _size: int, _: int) -> int:
        """Ports are closed in ring 3; the emulator by itself would let this pass."""
        self._refuse_instruction()
        return 0

    def on_out(self, _uc: int, _port: int, _size: int, _value: int, _: int) -> None:
        self._refuse_instruction()

    def _refuse_instruction(self) -> None:
        """Raise a protection fault.  The emulator still executes the instruction, so the core
        restores the registers afterwards."""
        rip = self.engine.rip()
        self._except(GENERAL_PROTECTION, rip=rip)
        self._stretch.undo = {**self.registers(), "rip": rip}
        self._stretch.begun = self.engine.count()

    def _except(
        self, vector: int, error: int = 0, rip: int | None = None, *, retired: bool = False
    ) -> None:
        """Stop the guest for an exception; `rip` where the emulator's own is wrong."""
        stretch = self._stretch
        stretch.trap, stretch.rip_after = Trap(vector, error, 0), rip
        stretch.unretired = 0 if retired or vector in USER_VECTORS else 1
        self.engine.stop()

    def _fail(self, failure: BaseException) -> bool:
        """Keep what a vector raised until the emulator has let go."""
        self._stretch.failure = self._stretch.failure or failure
        self.engine.stop()
        return False
