"""A machine without a kernel: page tables made by hand, and vectors that record each trap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hw.cpu import REFUSE, Core
from hw.machine import MODEL, SILICON, Machine, MachineConfig
from hw.memory import PAGE_SIZE, WORDS_PER_PAGE
from hw.paging import ADDRESS, NX, P, U, W

BOTH_MMUS = (MODEL, SILICON)

CODE, DATA, STACK_TOP = 0x40_0000, 0x60_0000, 0x80_1000
KERNEL_PAGE = 0x70_0000
"""Mapped, but for supervisors only."""

SYSCALL = b"\x0f\x05"
NOP = b"\x90"
LEAVE_CALL, ECHO_CALL = 0, 1
"""Call 0 stays unfinished.  The vector answers every other call at once with its number + 1."""

READ_ONLY, READ_WRITE, EXECUTE = P | U | NX, P | U | W | NX, P | U


@dataclass
class Call:
    """A SYSCALL as the vector saw it."""

    core: int
    number: int
    instructions: int


@dataclass
class Bare:
    """The machine, and itself the vectors of all its cores.

    `on_fault(page, error)` answers page faults; by default none is resolved.
    """

    mmu: str = MODEL
    cpus: int = 1
    itlb: tuple[int, int] = (8, 4)
    dtlb: tuple[int, int] = (16, 4)
    pcid: bool = True
    calls: list[Call] = field(default_factory=list)
    faults: list[tuple[int, int]] = field(default_factory=list)
    exceptions: list[tuple[int, int, int, int]] = field(default_factory=list)
    """(vector, error, address, rip) of each."""
    remarks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        config = MachineConfig(
            cpus=self.cpus,
            ram_mib=4,
            mmu=self.mmu,
            itlb=self.itlb,
            dtlb=self.dtlb,
            pcid=self.pcid,
        )
        self.machine = Machine(config, lambda _: None)
        self.machine.connect(self)
        self.machine.remark_to(self.remarks.append)
        self.core = self.machine.cores[0]
        self.memory = self.machine.memory
        self.next_frame = self.machine.first_free_frame
        self.on_fault: Callable[[int, int], int] = lambda page, error: REFUSE
        self.root = self.frame() << 12
        self.map(CODE, EXECUTE)
        self.map(DATA, READ_WRITE)
        self.map(STACK_TOP - PAGE_SIZE, READ_WRITE)
        self.map(KERNEL_PAGE, P | W)
        for core in self.machine.cores:
            self.start(core)

    # Tables ---------------------------------------------------------------------------------

    def frame(self) -> int:
        """A frame that was never used, filled with zeros."""
        self.next_frame += 1
        return self.next_frame - 1

    def slot(self, va: int, root: int = 0) -> int:
        """The index of the word that holds the leaf entry of `va`; makes tables as needed."""
        words, table = self.memory.words, root or self.root
        for shift in (39, 30, 21):
            slot = (table >> 3) + (va >> shift & 511)
            if not words[slot] & P:
                words[slot] = self.frame() << 12 | P | W | U
            table = words[slot] & ADDRESS
        return (table >> 3) + (va >> 12 & 511)

    def map(self, va: int, flags: int, pfn: int | None = None, root: int = 0) -> int:
        """Map the page at `va` to a frame (by default a new one); returns the frame."""
        if pfn is None:
            pfn = self.frame()
        self.memory.words[self.slot(va, root)] = pfn << 12 | flags
        if not flags & NX:
            self.memory.executable(pfn)
        return pfn

    def unmap(self, va: int) -> None:
        self.memory.words[self.slot(va)] = 0

    def entry(self, va: int) -> int:
        """The leaf entry of `va`."""
        return self.memory.words[self.slot(va)]

    def pa(self, va: int) -> int:
        return (self.entry(va) & ADDRESS) | (va & 0xFFF)

    def put(self, va: int, data: bytes) -> None:
        """Store through the tables, as a kernel would; maps missing pages as code."""
        for i in range(0, len(data), 1):
            if not self.entry(va + i) & P:
                self.map(va + i & ~0xFFF, EXECUTE)
            self.memory.write(self.pa(va + i), data[i : i + 1])

    def table_words(self) -> list[int]:
        """The part of memory that can hold tables, as words."""
        return self.memory.words[: self.next_frame * WORDS_PER_PAGE].tolist()

    # Running --------------------------------------------------------------------------------

    def start(self, core: Core, rip: int = CODE) -> None:
        """A fresh thread on `core`."""
        core.restore(core.fresh_context(), rip)
        core.load_cr3(self.root)
        core.set_registers({"rsp": STACK_TOP - 64})

    def run(
        self, code: bytes = b"", budget: int = 1000, registers: dict[str, int] | None = None
    ) -> int:
        """Run `code` from the start of the code page; returns what is left of the budget."""
        self.put(CODE, code)
        self.core.set_registers({"rip": CODE, **(registers or {})})
        return self.core.run(budget)

    @property
    def instructions(self) -> int:
        return self.core.state.instructions

    # Vectors --------------------------------------------------------------------------------

    def syscall(
        self, core: Core, number: int, a: int, b: int, c: int, d: int, e: int, f: int
    ) -> int | None:
        self.calls.append(Call(core.state.id, number, core.state.instructions))
        return None if number == LEAVE_CALL else number + 1

    def page_fault(self, core: Core, page: int, error: int) -> int:
        self.faults.append((page, error))
        return self.on_fault(page, error)

    def exception(self, core: Core, vector: int, error: int, va: int) -> None:
        self.exceptions.append((vector, error, va, core.state.rip))
        core.leave = True
