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
from typing import Protocol

from hw import costs, fpu
from hw.accesses import LAST_PAGE
from hw.calibration import calibrate
from hw.decode import LONGEST
from hw.engine import (
    ERR_EXCEPTION,
    ERR_OK,
    FETCH_ACCESS,
    GENERAL_REGISTERS,
    Engine,
    FillEntry,
)
from hw.floating import Floating
from hw.memory import PAGE_SHIFT, PAGE_SIZE, PhysicalMemory
from hw.mmu import Mmu, MmuState, peek
from hw.nvm import Nvm
from hw.paging import ERR_FETCH, FETCH, READ, WRITE, PageFault, is_canonical, page_frame, walk
from hw.remedies import EFLAGS_AC, NO_LINUX32, Remedies
from hw.shadow import Shadow
from hw.stops import Stops
from hw.stretch import Stretch, Trap
from hw.tlb import Entry
from hw.trace import Trace

DIVIDE, DEBUG, BREAKPOINT, OVERFLOW, INVALID_OPCODE = 0, 1, 3, 4, 6
STACK_FAULT, GENERAL_PROTECTION, PAGE_FAULT, FPU, ALIGNMENT, SIMD = 12, 13, 14, 16, 17, 19
USER_VECTORS = (BREAKPOINT, OVERFLOW)
"""The vectors that INT n may name in ring 3; any other is a general protection fault."""
INT_BYTES = 2
DR6_SINGLE_STEP = 1 << 14

RESUME, LEAVE, REFUSE = range(3)
"""Answers of a page-fault handler: go on at once; resolved, but leave the guest; not resolved."""

SYSCALL_BYTES = 2
LINUX32 = 0x80
INT1 = b"\xf1"
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
        self.nvm: Nvm | None = None
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
        self.remedies = Remedies(self)
        self._engines: dict[bool, tuple[Engine, Floating, Stops]] = {}
        self.engine, self.floats, self.stops = self._engine(counted=True)
        self.shadow = Shadow(self.engine, memory, state.mmu, shadows)
        self.mmu = Mmu(state.mmu, memory.words, self.charge, self.shadow.shrink)
        self._scratch = bytearray(self.engine.fresh_context)
        self.stretch = Stretch()

    # The clock ------------------------------------------------------------------------------

    def charge(self, primitive: int, times: int = 1) -> None:
        """Bill `times` of a primitive of the cost table to this core's clock."""
        state = self.state
        state.counts[primitive] += times
        state.cycles += self.costs[primitive] * times
        if self.trace:
            self.trace.cycles = state.cycles

    def retire(self, begun: int) -> None:
        """Charge the instructions since the last look at the counter."""
        new = begun - self.stretch.charged
        if new > 0:
            self.stretch.charged = begun
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
            single = self.memory.code.checks_alignment and self.remedies.checks_alignment()
            if single and self.remedies.is_misaligned():
                self._deliver(ALIGNMENT, 0, 0)
                continue
            self.choose_engine(counted or single or self.stretch.restarts)
            budget = 1 if single else left if counted else 0
            left -= self.stepper(left) if self.stepper else self.step(budget)
            if self.stretch.help is not None:
                left -= self.remedies.help(*self.stretch.help)
            stretch = self.stretch
            if stretch.failure is not None:
                raise stretch.failure
            if stretch.trap is not None:
                left -= self._deliver(*stretch.trap)
        self.pausing = False
        return left

    def step(self, instructions: int = 1) -> int:
        """Run at most N instructions, 0: no limit; returns how many retired, if that is counted."""
        retired = self.execute(instructions)
        self.retire(retired)
        return retired

    def begun(self) -> int:
        """How many instructions have begun, including the one that runs now."""
        return self.state.instructions + self.engine.count() - self.stretch.charged

    def watch_stores(self, note: Callable[[int, int], None], first: int, last: int) -> None:
        """Tell `note` (pa, bytes) just before an instruction stores into `first`..`last`."""
        for engine, _, _ in self._engines.values():
            engine.watch_stores(note, first, last)

    def abort(self) -> None:
        """Leave the guest soon, for the user's Ctrl-C only.  Any host thread may call this."""
        self.aborted = True
        self.engine.stop()

    def execute(self, budget: int) -> int:
        """As `step`, but the instructions are not on the clock until `retire`."""
        engine, shadow, last = self.engine, self.shadow, self.stretch
        shadow.refresh_code()
        stretch = self.stretch = Stretch(last.restarts, last.passes_next)
        shadow.has_new_exits = False
        if shadow.exits or engine.exits:
            engine.set_exits(set() if stretch.passes else shadow.exits)
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
        elif shadow.exits and self.state.rip in shadow.exits and not stretch.alone:
            self.remedies.meet_exit()
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
        self.stretch.trap = None
        if vector == GENERAL_PROTECTION and self._emulate_timestamp():
            return 1
        if (vector, error) == (GENERAL_PROTECTION, 0) or (
            vector == PAGE_FAULT and va >= LAST_PAGE and is_canonical(va)
        ):
            vector, error, va = self.remedies.at_the_edge(Trap(vector, error, va))
        if vector == PAGE_FAULT and error & WRITE and not va & 0xFF8:
            self.remedies.note_half_store(va)
        if self.silicon or vector != PAGE_FAULT:
            self.charge(costs.EXCEPTION)
        resolvable = self.silicon and vector == PAGE_FAULT
        if not (resolvable and self.vectors.page_fault(self, va & ~0xFFF, error) != REFUSE):
            self.vectors.exception(self, vector, error, va)
        return 0

    @property
    def rip(self) -> int:
        """Where the guest stands."""
        return self.state.rip

    def go_back(self, rip: int) -> None:
        """The guest stands at `rip` again: the instruction there did not retire."""
        self.state.rip = rip

    def finish_by_hand(self, length: int) -> None:
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
        self.finish_by_hand(len(RDTSC))
        return True

    def code_at(self, va: int, size_bytes: int) -> bytes:
        """At most `size_bytes` of code at `va`: as much as the tables let a program fetch."""
        return self.peek(va, size_bytes, FETCH)

    def peek(self, va: int, size_bytes: int, access: int) -> bytes:
        """At most `size_bytes` at `va`: as much as the tables allow for this kind of access."""
        return peek(self.memory, self.state.mmu.cr3, va, size_bytes, access)

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

    def choose_engine(self, counted: bool) -> None:
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
            engine.watch_code(self.remedies.on_block, self.remedies.on_stop)
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

    def cause(self, vector: int) -> int:
        """What #MF, #XM or #DB, this `vector`, does not say: the unmasked exceptions in bits 0 to
        5, or DR6, which is 0 behind INT1."""
        if vector == DEBUG:
            return 0 if self.code_at(self.state.rip - len(INT1), 1) == INT1 else DR6_SINGLE_STEP
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
        if registers.get("eflags", 0) & EFLAGS_AC:
            self.memory.code.checks_alignment = True
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
            if self.engine.exits and self._is_stray(va, kind):
                return False
            entry = self.mmu.hit(va >> 12, kind)
            if entry is not None:
                self.shadow.asked_for_a_hit()
            else:
                entry = self._translate(va, kind)
                if entry is None:
                    return self._let_go()
            rights = self.shadow.give(va >> 12, entry, kind)
            stale = self.memory.code.was_written and not self.stretch.alone
            if stale or self.shadow.has_new_exits:
                self.stretch.restarts = stale  # begin again, without old code
                self.stretch.unretired = 0 if kind == FETCH else 1
                return self._let_go()
            out = FillEntry.from_address(entry_address)
            out.paddr, out.perms = entry.pfn << 12, rights
            return True
        except BaseException as failure:
            self.stretch.failure = self.stretch.failure or failure
            return self._let_go()

    def _let_go(self) -> bool:
        """There is no translation, and the run ends."""
        self.engine.set_exits(set())
        return False

    def _is_stray(self, va: int, kind: int) -> bool:
        """Is this a fetch that no program makes?  When a run ends, the library looks up the page of
        each exit, and that of the byte before it."""
        if kind != FETCH:
            return False
        rip = self.engine.rip()
        pages = (va >> PAGE_SHIFT) - (rip >> PAGE_SHIFT)
        is_far = pages not in (0, 1) or (pages == 1 and rip in self.engine.exits)
        return is_far or self.engine.is_spent()

    def _translate(self, va: int, kind: int) -> Entry | None:
        """The entry for an access.  The kernel resolves faults first; None: leave the guest."""
        if self.engine.counted:
            begun = self.engine.count()
            self.retire(begun if kind == FETCH else begun - 1)
        if not is_canonical(va):
            self.stretch.trap = Trap(GENERAL_PROTECTION, 0, 0)
            self.stretch.unretired = 0 if kind == FETCH else 1
            return None
        while True:
            try:
                return self.mmu.translate(va >> 12, kind)
            except PageFault as fault:
                if not self._fault(fault):
                    return None

    def _fault(self, fault: PageFault) -> bool:
        """Tell the kernel.  Returns True if it resolved the fault at once."""
        stretch = self.stretch
        stretch.unretired = 0 if fault.error & ERR_FETCH else 1
        self.charge(costs.EXCEPTION)
        answer = self.vectors.page_fault(self, fault.va, fault.error)
        if answer == RESUME and not self.memory.code.was_written:
            stretch.unretired = 0
            return True
        if answer == REFUSE:
            stretch.trap = Trap(PAGE_FAULT, fault.error, fault.va)
        return False

    def look_up(self, va: int, access: int) -> int | None:
        """The physical address for an access by the core itself; None: there was an exception."""
        try:
            leaf, level, _ = walk(self.memory.words, self.state.mmu.cr3, va, access)
            return page_frame(leaf, level, va) << PAGE_SHIFT | va & PAGE_SIZE - 1
        except PageFault as fault:
            if self.silicon:
                self.stretch.trap = Trap(PAGE_FAULT, fault.error, va)
            else:
                self._fault(fault)
            return None

    def on_syscall(self, _uc: int, _: int) -> None:
        """SYSCALL: the kernel answers here, or the guest is left."""
        try:
            engine, state = self.engine, self.state
            frame = engine.syscall_frame
            fetch = frame.fetch  # called as `frame.fetch()` it would be looked up as a method first
            fetch()
            number, a, b, c, d, e, f, rip, flags = frame.values
            state.rip = rip
            self.retire(engine.counter.value)
            state.counts[costs.SYSCALL] += 1
            state.cycles += self.costs[costs.SYSCALL]
            result = self.vectors.syscall(self, number, a, b, c, d, e, f)
            if result is None:
                self.stretch.rip_after = rip
                self.leave = True
                self.stop_guest()
                return
            engine.answer_syscall(result, rip + SYSCALL_BYTES, flags)
            if self.leave or self.pausing or self.memory.code.was_written:
                self.stretch.rip_after = rip + SYSCALL_BYTES
                self.stop_guest()
        except BaseException as failure:
            self.fail(failure)

    def on_interrupt(self, _uc: int, vector: int, _: int) -> None:
        """A CPU exception, or INT n."""
        try:
            rip = self.engine.rip()
            if vector in USER_VECTORS:
                self.refuse(vector)
            elif (
                vector == PAGE_FAULT
                and self.engine.exits
                and self._is_stray(self.engine.fault_address(), FETCH)
                and self.engine.finish_exception(self._scratch) & ERR_FETCH
            ):
                self.stop_guest()
            elif self.engine.is_software_interrupt(self._scratch):
                if vector == LINUX32:
                    self.remark(NO_LINUX32)
                self.refuse(GENERAL_PROTECTION, vector * 8 + 2, rip - INT_BYTES)
            else:
                # A jump that went nowhere has retired; the fetch behind it failed.
                self.refuse(vector, retired=vector != PAGE_FAULT and not is_canonical(rip))
        except BaseException as failure:
            self.fail(failure)

    def on_invalid(self, _uc: int, _: int) -> bool:
        """An undefined instruction, or INT 6."""
        try:
            if self.engine.is_software_interrupt(self._scratch):
                self.refuse(GENERAL_PROTECTION, INVALID_OPCODE * 8 + 2)
            elif self.remedies.meet_flush(self.code_at(self.engine.rip(), LONGEST)):
                pass
            elif self.code_at(self.engine.rip(), 2) == RDPMC:
                self.refuse(GENERAL_PROTECTION)  # what silicon says where CR4.PCE is clear
            elif self.code_at(self.engine.rip(), 1) == INT1:
                self.refuse(DEBUG, rip=self.engine.rip() + len(INT1), retired=True)
            else:
                self.refuse(INVALID_OPCODE)
        except BaseException as failure:
            self.fail(failure)
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
        self.refuse(GENERAL_PROTECTION, rip=rip)
        self.stretch.undo = {**self.registers(), "rip": rip}
        self.stretch.begun = self.engine.count()

    def refuse(
        self, vector: int, error: int = 0, rip: int | None = None, *, retired: bool = False
    ) -> None:
        """Stop the guest for an exception; `rip` where the emulator's own is wrong."""
        stretch = self.stretch
        stretch.trap, stretch.rip_after = Trap(vector, error, 0), rip
        stretch.unretired = 0 if retired or vector in USER_VECTORS else 1
        self.stop_guest()

    def stop_guest(self) -> None:
        """Leave the guest after the current instruction."""
        if self.engine.exits:
            self.engine.set_exits(set())  # the page of one may be gone when the run ends
        self.engine.stop()

    def fail(self, failure: BaseException) -> None:
        """Keep what a vector raised until the emulator has let go."""
        self.stretch.failure = self.stretch.failure or failure
        self.stop_guest()
