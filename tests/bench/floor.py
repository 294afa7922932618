"""The lower bound of every figure: the same machine code on the same emulator, without an
operating system.

`Bare` answers the dozen calls of the programs with constants.  It maps pages through one
dictionary and never unmaps one.  Vantage's cost is the time beyond this bound.
"""

from __future__ import annotations

import struct
from typing import Any

import unicorn
from unicorn import unicorn_const, x86_const

from hw.calibration import calibrate
from hw.engine import (
    ERR_EXCEPTION,
    ERR_OK,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    Engine,
    EngineError,
    FillEntry,
)
from hw.memory import PAGE_SHIFT, PAGE_SIZE, PhysicalMemory
from kernel.life import elf
from kernel.turns import ALONE_INSTRUCTIONS

STACK_TOP, STACK_BYTES, MMAP_BASE = 0x7FFF_FFFF_E000, 1 << 20, 0x7F00_0000_0000
FIRST_FRAME = 16
WRITE, MMAP, BRK, YIELD, FORK, EXIT, WAIT = 1, 9, 12, 24, 57, 60, 61
ARCH_PRCTL, EXIT_GROUP, NULL_CALL, VAS_SWITCH = 158, 231, 1212, 1337
ARCH_SET_FS = 0x1002
ENOSYS = 38
AT_PAGESZ, AT_PHDR, AT_PHENT, AT_PHNUM, AT_RANDOM = 6, 3, 4, 5, 25
FILLS_BEFORE_GROWTH = 2_000
"""The emulator's own cache starts with 256 pages and grows only when it is flushed.  Without such
flushes, a baseline beyond 1 MiB would measure this hook."""
DATA, CODE = PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC


class Bare:
    """A program on a bare engine; `settle` brings it to the point where timing starts."""

    def __init__(
        self, program: bytes, arguments: list[bytes], *, counted: bool = True, ram_mib: int = 64
    ) -> None:
        self.memory = PhysicalMemory(ram_mib << 20)
        self.counted = counted
        self.pages: dict[int, tuple[int, int]] = {}
        """Page address -> (physical address, PROT_* bits)."""
        self.next_frame = FIRST_FRAME
        self.mmap_next, self.heap_end = MMAP_BASE, 0
        self.fills = 0
        self.done = False
        self.failure: BaseException | None = None
        self.rip = 0
        self.rip_after: int | None = None
        self.load(program)
        self.build_stack(arguments)
        self.use_engine(counted=True)
        self.engine.set_registers({"rsp": self.rsp})

    # Running --------------------------------------------------------------------------------

    def settle(self, instructions: int) -> None:
        """Run up to that point; the engine of the measurement continues from there."""
        self.go(instructions)
        if self.done:
            raise EngineError("the program ended before its measurement could start")
        if not self.counted:
            context = self.engine.save(bytearray(self.engine.fresh_context))
            self.use_engine(counted=False)
            self.engine.restore(context)

    def finish(self) -> None:
        """Run to the end.  A counting engine runs in pieces of the size that the kernel uses."""
        while not self.done:
            self.go(ALONE_INSTRUCTIONS if self.counted else 0)

    def go(self, budget: int) -> None:
        self.rip_after = None
        status = self.engine.run(self.rip, budget)
        if self.failure is not None:
            raise self.failure
        self.rip = self.engine.rip() if self.rip_after is None else self.rip_after
        if not self.done:
            self.stopped(status)

    def stopped(self, status: int) -> None:
        """The guest has stopped: the budget is used up, or a subclass has stopped it."""
        if status != ERR_OK:
            raise EngineError(f"{self.engine.describe(status)} at {self.rip:#x}")

    def use_engine(self, *, counted: bool) -> None:
        self.engine = Engine(self.memory, self, silicon=False, counted=counted)
        self.engine.use(calibrate())

    # Memory ---------------------------------------------------------------------------------

    def load(self, program: bytes) -> None:
        image = elf.parse(program)
        self.image, self.rip = image, image.entry
        for segment in image.segments:
            rights = CODE if segment.prot & PROT_EXEC else DATA
            self.map(segment.va, segment.va + segment.memory_bytes, rights)
            self.write(segment.va, program[segment.offset :][: segment.file_bytes])
            end = segment.va + segment.memory_bytes
            self.heap_end = max(self.heap_end, end + PAGE_SIZE - 1 & -PAGE_SIZE)

    def build_stack(self, arguments: list[bytes]) -> None:
        self.map(STACK_TOP - STACK_BYTES, STACK_TOP, DATA)
        at, words = STACK_TOP - 4096, [len(arguments)]
        for argument in arguments:
            words.append(at)
            self.write(at, argument + b"\0")
            at += len(argument) + 1
        words += (0, 0, AT_PAGESZ, PAGE_SIZE, AT_RANDOM, STACK_TOP - 64, AT_PHENT, 56)
        words += (AT_PHDR, self.image.headers_va, AT_PHNUM, self.image.header_count, 0, 0)
        self.rsp = STACK_TOP - 8192
        self.write(self.rsp, struct.pack(f"<{len(words)}Q", *words))

    def map(self, start: int, end: int, rights: int) -> None:
        for page in range(start & -PAGE_SIZE, end, PAGE_SIZE):
            if page not in self.pages:
                self.pages[page] = self.next_frame << PAGE_SHIFT, rights
                self.next_frame += 1

    def write(self, va: int, data: bytes) -> None:
        while data:
            room = PAGE_SIZE - (va & PAGE_SIZE - 1)
            self.memory.write(self.pages[va & -PAGE_SIZE][0] | va & PAGE_SIZE - 1, data[:room])
            va, data = va + room, data[room:]

    # Calls ----------------------------------------------------------------------------------

    def serve(self, number: int, a: int, b: int, c: int) -> int:
        """The answers that the programs need to continue."""
        if number in (EXIT, EXIT_GROUP):
            self.done = True
            self.engine.stop()
        elif number == MMAP:
            self.mmap_next += b + PAGE_SIZE - 1 & -PAGE_SIZE
            self.map(self.mmap_next - (b + PAGE_SIZE - 1 & -PAGE_SIZE), self.mmap_next, DATA)
            return self.mmap_next - (b + PAGE_SIZE - 1 & -PAGE_SIZE)
        elif number == BRK:
            if a > self.heap_end:
                self.map(self.heap_end, a, DATA)
            self.heap_end = max(self.heap_end, a)
            return self.heap_end
        elif number == ARCH_PRCTL and a == ARCH_SET_FS:
            self.engine.set_registers({"fs_base": b})
        elif number == WRITE:
            return c
        elif number in (FORK, WAIT):
            return 1
        return 0

    # Hooks ----------------------------------------------------------------------------------

    def on_fill(self, _uc: int, va: int, _access: int, entry_address: int, _: int) -> bool:
        page = self.pages.get(va)
        if page is None:
            return False
        entry = FillEntry.from_address(entry_address)
        entry.paddr, entry.perms = page
        self.fills += 1
        if self.fills > FILLS_BEFORE_GROWTH:
            self.fills = 0
            self.engine.flush_tlb()
        return True

    def on_syscall(self, _uc: int, _: int) -> None:
        number, a, b, c, _d, _e, _f, rip, flags = self.engine.syscall_frame.read()
        try:
            result = 0 if number == NULL_CALL else self.serve(number, a, b, c)
            self.engine.answer_syscall(result, rip + 2, flags)
        except BaseException as failure:  # the C library above would lose it
            self.failure = failure
            self.engine.stop()

    def on_sysenter(self, _uc: int, _: int) -> None:
        self.engine.stop()

    def on_interrupt(self, _uc: int, _vector: int, _: int) -> None:
        self.engine.stop()

    def on_invalid(self, _uc: int, _: int) -> bool:
        self.engine.stop()
        return True

    def on_in(self, _uc: int, _port: int, _size: int, _: int) -> int:
        return 0

    def on_out(self, _uc: int, _port: int, _size: int, _value: int, _: int) -> None:
        pass


class Switching(Bare):
    """Every sched_yield stops the guest and loads another context."""

    flushes = True

    def on_syscall(self, uc: int, user: int) -> None:
        if self.engine.syscall_frame.read()[0] != YIELD:
            return super().on_syscall(uc, user)
        self.rip_after = self.engine.syscall_frame.values[7] + 2
        return self.engine.stop()

    def finish(self) -> None:
        context, engine = bytearray(self.engine.fresh_context), self.engine
        while not self.done:
            self.go(ALONE_INSTRUCTIONS)
            engine.save(context)
            engine.restore(context)
            if self.flushes:
                engine.flush_tlb()


class SwitchingThreads(Switching):
    """The same within one address space."""

    flushes = False


class SwitchingViews(Bare):
    """vas_switch changes the translations and nothing else, so the guest need not stop."""

    def serve(self, number: int, a: int, b: int, c: int) -> int:
        if number == VAS_SWITCH:
            self.engine.flush_tlb()
            return 0
        return super().serve(number, a, b, c)


class Faulting(Bare):
    """Memory from mmap is absent until the guest touches it; the guest stops until it is mapped."""

    copies = False

    def __init__(self, program: bytes, arguments: list[bytes], **options: Any) -> None:
        self.absent: dict[int, tuple[int, int]] = {}
        self.missing = 0
        super().__init__(program, arguments, **options)

    def on_fill(self, uc: int, va: int, access: int, entry_address: int, user: int) -> bool:
        if va in self.absent:
            self.missing = va
            return False
        return super().on_fill(uc, va, access, entry_address, user)

    def serve(self, number: int, a: int, b: int, c: int) -> int:
        result = super().serve(number, a, b, c)
        if number == MMAP:
            for page in range(result, self.mmap_next, PAGE_SIZE):
                self.absent[page] = self.pages.pop(page)
        return result

    def stopped(self, status: int) -> None:
        if status != ERR_EXCEPTION or self.missing not in self.absent:
            return super().stopped(status)
        page = self.absent.pop(self.missing)
        if self.copies:
            self.memory.copy_frame(FIRST_FRAME, page[0] >> PAGE_SHIFT)
        else:
            self.memory.zero_frame(page[0] >> PAGE_SHIFT)
        self.pages[self.missing] = page
        return None


class Copying(Faulting):
    """The same where the frame is a copy of another, as after a fork."""

    copies = True


class PublicApi:
    """The same programs with only the emulator's documented Python interface.  They run in ring 0,
    where plain Unicorn starts; the hooks work there as well."""

    def __init__(self, program: bytes, arguments: list[bytes]) -> None:
        self.twin = Bare(program, arguments)
        self.uc = unicorn.Uc(unicorn_const.UC_ARCH_X86, unicorn_const.UC_MODE_64)
        uc, memory = self.uc, self.twin.memory
        uc.ctl_exits_enabled(True)
        uc.ctl_set_exits([])
        uc.ctl_set_tlb_mode(unicorn_const.UC_TLB_VIRTUAL)
        uc.mem_map_ptr(0, memory.size_bytes, unicorn_const.UC_PROT_ALL, memory.host_address)
        uc.hook_add(unicorn_const.UC_HOOK_TLB_FILL, self._fill)
        uc.hook_add(unicorn_const.UC_HOOK_INSN, self._syscall, aux1=x86_const.UC_X86_INS_SYSCALL)
        uc.reg_write(x86_const.UC_X86_REG_RSP, self.twin.rsp)

    def finish(self) -> None:
        self.uc.emu_start(self.twin.rip, 0, count=1 << 40)

    def _fill(self, _uc: Any, va: int, _access: int, entry: Any, _: Any) -> bool:
        entry.paddr, entry.perms = self.twin.pages[va]
        return True

    def _syscall(self, uc: Any, _: Any) -> None:
        read, write, x86 = uc.reg_read, uc.reg_write, x86_const
        number, a, b, c = (
            read(x86.UC_X86_REG_RAX),
            read(x86.UC_X86_REG_RDI),
            read(x86.UC_X86_REG_RSI),
            read(x86.UC_X86_REG_RDX),
        )
        read(x86.UC_X86_REG_R10), read(x86.UC_X86_REG_R8), read(x86.UC_X86_REG_R9)
        rip, flags = read(x86.UC_X86_REG_RIP), read(x86.UC_X86_REG_EFLAGS)
        if number in (EXIT, EXIT_GROUP):
            uc.emu_stop()
        elif number == ARCH_PRCTL:
            write(x86.UC_X86_REG_FS_BASE, b)
        result = 0 if number == NULL_CALL else self.twin.serve(number, a, b, c)
        write(x86.UC_X86_REG_RAX, result)
        write(x86.UC_X86_REG_RCX, rip + 2)
        write(x86.UC_X86_REG_R11, flags)
