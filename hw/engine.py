"""One emulated x86-64 CPU in ring 3: everything that is particular to Unicorn lives here.

The package's own Python layer costs 1 to 2 us for each register and hides exceptions raised in
hooks.  The hot paths therefore call the C library with prepared buffers.  `hw/calibration.py`
finds the facts about the library that have no public interface.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from ctypes import CFUNCTYPE, addressof, c_bool, c_int, c_size_t, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any, Protocol

from unicorn import Uc, UcError, unicorn_const, x86_const
from unicorn.unicorn_py3.unicorn import uclib

from hw import paging
from hw.memory import PAGE_SIZE, WORDS_PER_PAGE, PhysicalMemory

MONITOR_PFN = 1
"""The frame with the only instruction that ever runs at CPL 0: the SYSRET into ring 3."""
BOOT_TABLES_PFN = 2
"""First of four frames of tables that map `MONITOR_PFN` at its own address."""
RESERVED_FRAMES = 6
"""Frames 0 to 5 belong to the machine; the kernel gets the rest."""

SYSRET, SYSCALL = b"\x48\x0f\x07", b"\x0f\x05"
MSR_EFER, MSR_STAR = 0xC0000080, 0xC0000081
EFER_SCE, EFER_NXE = 1 << 0, 1 << 11
CR4 = 1 << 2 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 10  # TSD, PAE, PGE, OSFXSR, OSXMMEXCPT
CR0, CR0_PAGING = 0x0001_0031, 1 << 31  # WP, NE, ET, PE; PG
RFLAGS_AT_START = 0x202  # IF and the bit that is always one

MASK64 = (1 << 64) - 1
ERR_OK, ERR_EXCEPTION = unicorn_const.UC_ERR_OK, unicorn_const.UC_ERR_EXCEPTION
FETCH_ACCESS = 18  # what the TLB-fill hook is told of a fetch; 16 is a read, 17 a write
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
TLB_FLUSH = unicorn_const.UC_CTL_IO_WRITE << 30 | unicorn_const.UC_CTL_TLB_FLUSH

FLUSH_TO_ZERO = 2
"""Where a status of the emulator's arithmetic keeps FTZ: this many bytes behind its flags."""

EVERYWHERE = (1, 0)
"""First and last address of a hook that is not limited to a range."""

GENERAL_REGISTERS = (
    "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip eflags fs_base gs_base"
).split()
SYSCALL_READS = "rax rdi rsi rdx r10 r8 r9 rip eflags".split()
SYSCALL_WRITES = "rax rcx r11".split()


class EngineError(Exception):
    """The emulator library does not behave as this machine needs; the text says how."""


class Hooks(Protocol):
    """What the C library calls while the guest runs, with its own argument lists.

    None of these may raise: no Python code above them could catch it.
    """

    def on_fill(self, _uc: int, va: int, access: int, entry_address: int, _: int) -> bool: ...
    def on_syscall(self, _uc: int, _: int) -> None: ...
    def on_sysenter(self, _uc: int, _: int) -> None: ...
    def on_interrupt(self, _uc: int, vector: int, _: int) -> None: ...
    def on_invalid(self, _uc: int, _: int) -> bool: ...
    def on_in(self, _uc: int, _port: int, _size: int, _: int) -> int: ...
    def on_out(self, _uc: int, _port: int, _size: int, _value: int, _: int) -> None: ...


class FillEntry(ctypes.Structure):
    """What the TLB-fill hook fills in: the physical page, and PROT_* bits."""

    _fields_ = (("paddr", c_uint64), ("perms", ctypes.c_uint32))
    paddr: int
    perms: int


class RegisterBatch:
    """A fixed list of 64-bit registers that one C call reads or writes.

    `values` is a view on 64-bit words in the order of `names`: `fetch()` fills it, and `write()`
    gives it to the CPU.  Both are the C functions themselves, without a Python call around them.
    """

    def __init__(self, handle: int, names: list[str]) -> None:
        count = len(names)
        self._ids = (c_int * count)(*(register_id(name) for name in names))
        self._store = (c_uint64 * count)()
        self._cells = (c_void_p * count)(*(addressof(self._store) + 8 * i for i in range(count)))
        arguments = (handle, addressof(self._ids), addressof(self._cells), count)
        self.fetch = functools.partial(_reg_read_batch, *arguments)
        self.write = functools.partial(_reg_write_batch, *arguments)
        self.names = names
        self.values = memoryview(self._store).cast("B").cast("Q")

    def read(self) -> memoryview:
        self.fetch()
        return self.values


@dataclass(frozen=True, slots=True)
class Calibration:
    """Facts about this build of the library: byte offsets, found by `hw/calibration.py`."""

    count_offset: int  # 64-bit instruction count, behind the engine's handle
    fault_address_offset: int  # 64-bit address of the last refused access, behind the handle
    old_exception_offset: int  # int32 in a saved context: the exception being delivered, or -1
    error_code_offset: int  # int32 in a saved context: the error code of the last exception
    cpu_offset: int  # pointer behind the handle to what `tlb_flush_page` takes, or 0: not usable
    is_software_offset: int  # int32 in a saved context: 1 if the last exception was INT n
    x87_flags_offset: int  # byte in a saved context: exception flags of x87 arithmetic
    sse_flags_offset: int  # byte in a saved context: the same of SSE arithmetic


class Engine:
    """One Unicorn instance at CPL 3 on `memory`.

    `silicon` selects who translates: the emulator's own walker through CR3, or the machine's
    model through `hooks.on_fill`.  `counted` engines know how many instructions ran, at some
    cost in speed.  That is fixed for the engine's life: a change would drop all translated code.
    """

    def __init__(
        self, memory: PhysicalMemory, hooks: Hooks, *, silicon: bool, counted: bool = True
    ) -> None:
        self.memory = memory
        self.hooks = hooks
        self.silicon = silicon
        self.counted = counted
        self.uc = _new_unicorn(silicon)
        self.handle: int = self.uc._uch.value
        self.uc.mem_map_ptr(0, memory.size_bytes, unicorn_const.UC_PROT_ALL, memory.host_address)
        self._keep: list[object] = []
        self._stops: list[c_size_t] = []
        self.exits: set[int] = set()
        self._budget = 0
        self._on_stop: object = None
        self.syscall_frame = RegisterBatch(self.handle, SYSCALL_READS)
        self.syscall_result = RegisterBatch(self.handle, SYSCALL_WRITES)
        self.general = RegisterBatch(self.handle, GENERAL_REGISTERS)
        self._rip = RegisterBatch(self.handle, ["rip"])
        self.counter = self._fault = c_uint64(0)
        self._cpu = 0
        self._enter_ring3()
        self.fresh_context = self._first_context()
        """The context of a thread that has not run: ring 3, all registers zero."""
        self._context_type = ctypes.c_char * len(self.fresh_context)
        self._install_hooks()

    # Running ----------------------------------------------------------------------------

    def use(self, calibration: Calibration) -> None:
        """Tell the engine what the calibration found."""
        if self.counted:
            self.counter = c_uint64.from_address(self.handle + calibration.count_offset)
        if calibration.cpu_offset:
            self._cpu = c_uint64.from_address(self.handle + calibration.cpu_offset).value
        self._fault = c_uint64.from_address(self.handle + calibration.fault_address_offset)
        self.calibration = calibration

    def run(self, rip: int, budget_instructions: int, *, alone: bool = False) -> int:
        """Run from `rip` until a hook stops it, a fault, or the budget; returns Unicorn's error.

        A budget of 0 is "no limit".  An uncounted engine takes no other.  `alone` runs one
        instruction.  The library begins an instruction twice that stores into its own translated
        block: the first time it does not store.
        """
        self._budget = budget_instructions
        if not alone:
            return _emu_start(self.handle, rip, 0, 0, budget_instructions)
        status = _emu_start(self.handle, rip, 0, 0, 1)
        if self.count() > 1 and self.rip() == rip:
            status = _emu_start(self.handle, rip, 0, 0, 2)
        self.counter.value = min(self.counter.value, 1)
        return status

    def stop(self) -> None:
        """Leave the guest after the current instruction.  Safe from any host thread."""
        _emu_stop(self.handle)

    def count(self) -> int:
        """Instructions begun since `run`, the current one included; 0 if uncounted."""
        return self.counter.value

    def is_spent(self) -> bool:
        """Has the last instruction of the budget begun?"""
        return self.counted and 0 < self._budget <= self.counter.value

    def rip(self) -> int:
        return self._rip.read()[0]

    def answer_syscall(self, result: int, rip: int, flags: int) -> None:
        """Write what SYSRET leaves behind: RAX, and RCX and R11 with RIP and RFLAGS."""
        values, write = self.syscall_result.values, self.syscall_result.write
        values[0], values[1], values[2] = result & MASK64, rip & MASK64, flags
        write()

    def set_registers(self, registers: dict[str, int]) -> None:
        """Write 64-bit registers by name."""
        for name, value in registers.items():
            self.uc.reg_write(register_id(name), value & MASK64)

    def describe(self, status: int) -> str:
        """Unicorn's words for an error number."""
        return str(UcError(status))

    # Context ----------------------------------------------------------------------------

    def save(self, context: bytearray) -> bytearray:
        """Copy all CPU state (FPU and SSE too) into `context`, made from `fresh_context`."""
        _context_save(self.handle, self._context_type.from_buffer(context))
        return context

    def restore(self, context: bytearray) -> None:
        """Load CPU state.  Nothing is flushed: the caller does that when CR3 changes."""
        _context_restore(self.handle, self._context_type.from_buffer(context))

    def set_cr3(self, cr3: int) -> None:
        """Silicon only: load CR3, which flushes."""
        self.uc.reg_write(x86_const.UC_X86_REG_CR3, cr3)

    def code_pa(self, va: int) -> int:
        """Silicon only: where in memory the emulator finds the code at `va`; 0: nowhere."""
        pa = c_uint64(0)
        status = _translate(self.handle, va, PROT_EXEC, ctypes.addressof(pa))
        return pa.value if status == ERR_OK else 0

    def fault_address(self) -> int:
        """The exact address of the last fault; `on_fill` itself is told the page only."""
        if self.silicon:
            return int(self.uc.reg_read(x86_const.UC_X86_REG_CR2))
        return self._fault.value

    def is_software_interrupt(self, context: bytearray) -> bool:
        """Did the program ask for the last exception by INT n?  `context` is scratch space."""
        cells = memoryview(self.save(context)).cast("i")
        return cells[self.calibration.is_software_offset // 4] == 1

    def finish_exception(self, context: bytearray) -> int:
        """Tell the CPU that its last exception was delivered, and return its error code.

        Unicorn never does this by itself, so the next exception would be a double fault.
        Uses `context` as scratch space.
        """
        cells = memoryview(self.save(context)).cast("i")
        cells[self.calibration.old_exception_offset // 4] = -1
        error = cells[self.calibration.error_code_offset // 4]
        cells.release()
        self.restore(context)
        return error

    # Caches of the emulator ---------------------------------------------------------------

    def flush_tlb(self) -> None:
        """Drop every translation that the emulator itself has cached."""
        _ctl(self.handle, TLB_FLUSH)

    def flush_page(self, va: int) -> None:
        """Drop the translation of one page, or all where the library offers no more."""
        if self._cpu:
            flush_page_of(self._cpu, va)
        else:
            self.flush_tlb()

    def flush_code(self) -> None:
        """Drop all translated code: physical memory was changed under it."""
        self.uc.ctl_flush_tb()

    def forget_code(self, va: int, size_bytes: int) -> None:
        """Drop the translation of one block."""
        self.uc.ctl_remove_cache(va, va + size_bytes)

    def forget_frame(self, pa: int, size_bytes: int) -> None:
        """Drop translations of these bytes of memory, also while the guest runs."""
        if FORGETS_FRAMES:
            _forget_frame(self.handle, pa, pa + size_bytes)

    def set_exits(self, addresses: set[int]) -> None:
        """Translate no instruction at these linear addresses; `run` ends in front of them.

        When a run ends, the library looks up the page of each exit, which may call `on_fill`.  That
        must not change the exits.
        """
        if addresses != self.exits:
            self.exits = set(addresses)
            self.uc.ctl_set_exits(sorted(addresses))

    # Set-up -------------------------------------------------------------------------------

    def _install_hooks(self) -> None:
        hooks = self.hooks
        if not self.silicon:
            self._hook(unicorn_const.UC_HOOK_TLB_FILL, _FILL(hooks.on_fill))
        self._hook(unicorn_const.UC_HOOK_INTR, _INTR(hooks.on_interrupt))
        self._hook(unicorn_const.UC_HOOK_INSN_INVALID, _INVALID(hooks.on_invalid))
        for callback, instruction in (
            (_CALL(hooks.on_syscall), x86_const.UC_X86_INS_SYSCALL),
            (_IN(hooks.on_in), x86_const.UC_X86_INS_IN),
            (_OUT(hooks.on_out), x86_const.UC_X86_INS_OUT),
            (_CALL(hooks.on_sysenter), x86_const.UC_X86_INS_SYSENTER),
        ):
            self._hook(unicorn_const.UC_HOOK_INSN, callback, instruction)
        self.flush_code()

    def watch_code(
        self,
        on_block: Callable[[int, int, int, int], None],
        on_stop: Callable[[int, int, int, int], None],
    ) -> None:
        """Call `on_block(_, block, _, _)` when a block has been translated, before it runs, and
        `on_stop(_, va, size, _)` where `stop_at` says.  `block_at(block)` describes the block.
        """
        self._hook(unicorn_const.UC_HOOK_EDGE_GENERATED, _BLOCK(on_block))
        self._on_stop = _STOP(on_stop)

    def stop_at(self, va: int) -> None:
        """Call `on_stop` in front of the instruction at `va`, once its block is translated anew."""
        place = (va, va)
        self._stops.append(self._hook(unicorn_const.UC_HOOK_CODE, self._on_stop, place=place))

    def remove_stops(self) -> None:
        """Forget all stops."""
        for stop in self._stops:
            uclib.uc_hook_del(c_void_p(self.handle), stop)
        self._stops.clear()

    def watch_stores(self, note: Callable[[int, int], None], first: int, last: int) -> None:
        """Tell `note` (physical address, bytes) just before a store into `first`..`last`; stores
        are slower from then on."""

        def on_store(_uc: int, _kind: int, pa: int, size: int, _value: int, _: int) -> None:
            note(pa, size)

        self._hook(unicorn_const.UC_HOOK_MEM_WRITE, _STORE(on_store), place=(first, last))
        self.flush_code()
        self.flush_tlb()

    def _hook(
        self,
        kind: int,
        callback: object,
        instruction: int = 0,
        place: tuple[int, int] = EVERYWHERE,
    ) -> c_size_t:
        if callback not in self._keep:
            self._keep.append(callback)
        hook, ends = c_size_t(), (c_uint64(place[0]), c_uint64(place[1]))
        arguments = (c_int(kind), callback, None, *ends, c_int(instruction))
        status = uclib.uc_hook_add(c_void_p(self.handle), ctypes.byref(hook), *arguments)
        if status:
            raise EngineError(f"the emulator refused a hook of kind {kind}: {UcError(status)}")
        return hook

    def _enter_ring3(self) -> None:
        """Run the one instruction that silicon has for it, and check that it worked.

        It stops at a SYSCALL and not at a count: an engine that has counted once makes stray
        page walks when it later runs without a count.
        """
        uc, entry_pa = self.uc, MONITOR_PFN * PAGE_SIZE
        stop = _CALL(lambda _uc, _: self.stop())
        temporary = [self._hook(unicorn_const.UC_HOOK_INSN, stop, x86_const.UC_X86_INS_SYSCALL)]
        self.memory.write(entry_pa, SYSRET + SYSCALL)
        uc.msr_write(MSR_EFER, uc.msr_read(MSR_EFER) | EFER_SCE | EFER_NXE)
        uc.msr_write(MSR_STAR, 0x23 << 48 | 0x08 << 32)
        uc.reg_write(x86_const.UC_X86_REG_CR4, uc.reg_read(x86_const.UC_X86_REG_CR4) | CR4)
        if self.silicon:
            write_boot_tables(self.memory)
            uc.reg_write(x86_const.UC_X86_REG_CR3, BOOT_TABLES_PFN * PAGE_SIZE)
            uc.reg_write(x86_const.UC_X86_REG_CR0, CR0 | CR0_PAGING)
        else:
            uc.reg_write(x86_const.UC_X86_REG_CR0, CR0)
            temporary.append(self._hook(unicorn_const.UC_HOOK_TLB_FILL, _FILL(identity_fill)))
        uc.reg_write(x86_const.UC_X86_REG_RCX, entry_pa + len(SYSRET))
        uc.reg_write(x86_const.UC_X86_REG_R11, RFLAGS_AT_START)
        uc.emu_start(entry_pa, 0)
        if uc.reg_read(x86_const.UC_X86_REG_CS) & 3 != 3:
            raise EngineError("SYSRET did not reach ring 3 in this build of Unicorn")
        uc.reg_write(x86_const.UC_X86_REG_RCX, 0)
        uc.reg_write(x86_const.UC_X86_REG_R11, 0)
        # What the ABI promises to a new process (System V, AMD64, 3.4.1): double extended
        # precision, all exceptions masked, an empty stack.
        uc.reg_write(x86_const.UC_X86_REG_FPCW, 0x37F)
        uc.reg_write(x86_const.UC_X86_REG_FPTAG, 0xFFFF)
        uc.reg_write(x86_const.UC_X86_REG_MXCSR, 0x1F80)
        for hook in temporary:
            uclib.uc_hook_del(c_void_p(self.handle), hook)
        self.flush_tlb()

    def _first_context(self) -> bytes:
        handle, context = c_void_p(self.handle), c_void_p()
        uclib.uc_context_alloc(handle, ctypes.byref(context))
        uclib.uc_context_save(handle, context)
        copy = ctypes.string_at(context, uclib.uc_context_size(handle))
        uclib.uc_context_free(context)
        return copy


def identity_fill(_uc: int, va: int, _access: int, entry_address: int, _: int) -> bool:
    entry = FillEntry.from_address(entry_address)
    entry.paddr, entry.perms = va, PROT_READ | PROT_EXEC
    return True


def _new_unicorn(silicon: bool) -> Uc:
    uc = Uc(unicorn_const.UC_ARCH_X86, unicorn_const.UC_MODE_64)
    # Nehalem: no XSAVE, no AVX, and no RDRAND, which would leak the host's randomness.
    uc.ctl_set_cpu_model(x86_const.UC_CPU_X86_NEHALEM)
    # Without this, running stops at "until", and a jump to NULL looks like success.
    uc.ctl_exits_enabled(True)
    uc.ctl_set_exits([])
    uc.ctl_set_tlb_mode(unicorn_const.UC_TLB_CPU if silicon else unicorn_const.UC_TLB_VIRTUAL)
    return uc


def block_at(address: int) -> memoryview:
    """The description of a block, as two words: where it starts, and from bit 16 on its size."""
    return memoryview((c_uint64 * 2).from_address(address)).cast("B").cast("Q")


def register_id(name: str) -> int:
    """Unicorn's number for the register called `name`, such as `rax`."""
    return int(getattr(x86_const, f"UC_X86_REG_{name.upper()}"))


def write_boot_tables(memory: PhysicalMemory) -> None:
    """Tables that map the monitor frame at its own address.

    The page is open to users because the emulator looks at the instruction after SYSRET, at
    CPL 3, before it stops.  No program ever runs on these tables.
    """
    flags = paging.P | paging.U
    for pfn in (BOOT_TABLES_PFN, BOOT_TABLES_PFN + 1, BOOT_TABLES_PFN + 2):
        memory.words[pfn * WORDS_PER_PAGE] = (pfn + 1) * PAGE_SIZE | flags
    last_table = (BOOT_TABLES_PFN + 3) * WORDS_PER_PAGE
    memory.words[last_table + MONITOR_PFN] = MONITOR_PFN * PAGE_SIZE | flags


# The C interface, with prototypes that take plain integers ------------------------------------

_FILL = CFUNCTYPE(c_bool, c_void_p, c_uint64, c_int, c_void_p, c_void_p)
_INTR = CFUNCTYPE(None, c_void_p, ctypes.c_uint32, c_void_p)
_INVALID = CFUNCTYPE(c_bool, c_void_p, c_void_p)
_CALL = CFUNCTYPE(None, c_void_p, c_void_p)
_IN = CFUNCTYPE(ctypes.c_uint32, c_void_p, ctypes.c_uint32, c_int, c_void_p)
_STORE = CFUNCTYPE(None, c_void_p, c_int, c_uint64, c_int, ctypes.c_int64, c_void_p)
_BLOCK = CFUNCTYPE(None, c_void_p, c_void_p, c_void_p, c_void_p)
_STOP = CFUNCTYPE(None, c_void_p, c_uint64, ctypes.c_uint32, c_void_p)
_OUT = CFUNCTYPE(None, c_void_p, ctypes.c_uint32, c_int, ctypes.c_uint32, c_void_p)


def _c(name: str, *argument_types: type[ctypes._SimpleCData[Any]]) -> Callable[..., int]:
    prototype = CFUNCTYPE(c_int, *argument_types)
    return prototype((name, uclib))


_reg_read_batch = _c("uc_reg_read_batch", c_void_p, c_void_p, c_void_p, c_int)
_reg_write_batch = _c("uc_reg_write_batch", c_void_p, c_void_p, c_void_p, c_int)
_emu_start = _c("uc_emu_start", c_void_p, c_uint64, c_uint64, c_uint64, c_size_t)
_emu_stop = _c("uc_emu_stop", c_void_p)
_context_save = _c("uc_context_save", c_void_p, c_void_p)
_context_restore = _c("uc_context_restore", c_void_p, c_void_p)
_ctl = _c("uc_ctl", c_void_p, c_int)
_translate = _c("uc_vmem_translate", c_void_p, c_uint64, c_int, c_void_p)
FLUSHES_PAGES = hasattr(uclib, "tlb_flush_page_x86_64")
"""This build exports the function that drops one page's translation.  It is not documented."""
FORGETS_FRAMES = hasattr(uclib, "tb_invalidate_phys_range_x86_64")
"""This build exports the function that drops code by its place in memory; not documented either."""
_forget_frame: Callable[..., int] = (
    _c("tb_invalidate_phys_range_x86_64", c_void_p, c_uint64, c_uint64)
    if FORGETS_FRAMES
    else _c("uc_ctl", c_void_p, c_int)  # never called
)
flush_page_of: Callable[..., int] = (
    _c("tlb_flush_page_x86_64", c_void_p, c_uint64)
    if FLUSHES_PAGES
    else _c("uc_ctl", c_void_p, c_int)  # never called: `cpu_offset` is 0
)
