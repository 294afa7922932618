"""The machine as a whole: memory, cores that take turns, inter-processor interrupts, devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hw import costs, trace
from hw.cpu import Core, CoreState, Vectors
from hw.devices import Console, ConsoleState
from hw.disk import Disk, DiskState
from hw.engine import RESERVED_FRAMES
from hw.memory import PAGE_SIZE, CodeFrames, PhysicalMemory
from hw.mmu import MmuState
from hw.nvm import Nvm, NvmState
from hw.shadow import Shadow
from hw.stepping import Stepper
from hw.tlb import Tlb

MAX_CPUS = 8
MODEL, SILICON = "model", "silicon"
EXACT, FAST = "exact", "fast"

IPI_SENT = trace.declare("ipi_sent", "target:B message:Q", "An interrupt is on its way to a core.")
IPI_TAKEN = trace.declare("ipi_taken", "source:B message:Q", "A core takes an interrupt.")


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """What the machine is made of; the defaults are what `run.py` boots."""

    cpus: int = 1
    ram_mib: int = 64
    mmu: str = MODEL
    itlb: tuple[int, int] = (8, 4)
    dtlb: tuple[int, int] = (16, 4)
    pcid: bool = True
    clock: str = EXACT
    swap_mib: int = 0
    """The size of the paging disk; 0: there is none."""
    nvm_mib: int = 0
    """The size of the NVM module; 0: there is none."""

    def __post_init__(self) -> None:
        if not 1 <= self.cpus <= MAX_CPUS:
            raise ValueError(f"--cpus takes 1 to {MAX_CPUS}, not {self.cpus}")
        if not 1 <= self.ram_mib <= 4096:
            raise ValueError(f"--ram takes 1 to 4096 MiB, not {self.ram_mib}")
        if not 0 <= self.swap_mib <= 65_536:
            raise ValueError(f"--swap takes 0 to 65536 MiB, not {self.swap_mib}")
        if not 0 <= self.nvm_mib <= 4096:
            raise ValueError(f"--nvm takes 1 to 4096 MiB, not {self.nvm_mib}")
        for sets, ways in (self.itlb, self.dtlb):
            if not (1 <= sets <= 1024 and 1 <= ways <= 64):
                raise ValueError(
                    f"a TLB of {sets}x{ways} is out of range: 1..1024 sets, 1..64 ways"
                )


@dataclass(slots=True)
class MachineState:
    """Everything of the machine that a checkpoint keeps, but for memory."""

    cores: list[CoreState]
    console: ConsoleState = field(default_factory=ConsoleState)
    disk: DiskState = field(default_factory=DiskState)
    nvm: NvmState = field(default_factory=NvmState)
    code: CodeFrames = field(default_factory=CodeFrames)
    mailboxes: list[list[tuple[int, int, int]]] = field(default_factory=list)
    """Per core, the interrupts on their way: (source core, message, cycles when sent)."""


class Machine:
    """Starts with all cores stopped; `connect` says where their traps go."""

    def __init__(
        self,
        config: MachineConfig,
        sink: Callable[[bytes], None],
        source: Callable[[], bytes] | None = None,
        state: MachineState | None = None,
        memory: PhysicalMemory | None = None,
    ) -> None:
        self.config = config
        self.memory = memory or room_for(config)
        self.state = state or _fresh_state(config)
        self.memory.code = self.state.code
        self.console = Console(self.state.console, sink, source)
        self.disk = Disk(self.state.disk, (config.swap_mib << 20) // PAGE_SIZE, self.charge)
        self.trace: trace.Trace | None = None
        silicon = self.memory.on_silicon = config.mmu == SILICON
        shadows: list[Shadow] = []
        self.cores = [
            Core(core_state, self.memory, silicon=silicon, shadows=shadows)
            for core_state in self.state.cores
        ]
        self.core = self.cores[0]
        """The core whose turn it is."""
        self.nvm = Nvm(self.state.nvm, self.memory, self.charge, lambda: self.core.state.id)
        for core in self.cores:
            core.nvm = self.nvm if self.nvm.size_bytes else None

    @property
    def aborted(self) -> bool:
        """True once `abort` was called."""
        return self.cores[0].aborted

    def connect(self, vectors: Vectors) -> None:
        """Traps of all cores go to `vectors`."""
        for core in self.cores:
            core.vectors = vectors

    def remark_to(self, listener: Callable[[str], None]) -> None:
        """Tell `listener` what the user of a program should know: a sentence, perhaps repeated."""
        for core in self.cores:
            core.remark = listener

    @property
    def first_free_frame(self) -> int:
        """Frames below this belong to the machine."""
        return RESERVED_FRAMES

    def attach_trace(self, port: trace.Trace | None) -> None:
        """From now on records go to `port`."""
        self.trace = self.console.trace = self.disk.trace = self.nvm.trace = port
        for core in self.cores:
            core.trace = core.mmu.trace = port

    def step_through(self, before: Callable[[], None]) -> None:
        """From now on every core runs an instruction at a time, recorded; `before` is called ahead
        of each."""
        for core in self.cores:
            Stepper(core, before)

    def moment(self) -> tuple[int, int]:
        """The instructions of all cores up to now, and the clock of the current one, in cycles."""
        return self.instructions(), self.core.state.cycles

    def take_turn(self, core: Core) -> None:
        """Make `core` the current one: charges and records are its own from here."""
        self.core = core
        if self.trace:
            self.trace.core, self.trace.cycles = core.state.id, core.state.cycles

    def charge(self, primitive: int, times: int = 1) -> None:
        """Bill the current core."""
        self.core.charge(primitive, times)

    def emit(self, kind: trace.Kind, *values: object) -> None:
        """Record that `kind` happened now, on the current core, if there is a trace."""
        if self.trace:
            self.trace.emit(kind, *values)

    def send_ipi(self, target: int, message: int) -> None:
        """Interrupt another core; it takes the message at its next turn."""
        self.charge(costs.IPI_SEND)
        sender = self.core.state
        self.state.mailboxes[target].append((sender.id, message, sender.cycles))
        if self.trace:
            self.trace.emit(IPI_SENT, target, message)

    def take_ipis(self) -> list[int]:
        """The messages waiting for the current core, in order.  None arrives before it was sent."""
        state = self.core.state
        mailbox = self.state.mailboxes[state.id]
        if not mailbox:
            return []
        taken, mailbox[:] = list(mailbox), []
        for source, message, sent in taken:
            state.cycles = max(state.cycles, sent)
            self.charge(costs.INTERRUPT)
            if self.trace:
                self.trace.emit(IPI_TAKEN, source, message)
        return [message for _, message, _ in taken]

    def instructions(self) -> int:
        """User instructions retired by all cores; a lower bound under the fast clock."""
        return sum(core.state.instructions for core in self.cores)

    def abort(self) -> None:
        """Make every core leave the guest soon.  Safe from any host thread."""
        for core in self.cores:
            core.abort()


def room_for(config: MachineConfig) -> PhysicalMemory:
    """Physical memory of the size that a machine has."""
    dram, nvm = config.ram_mib << 20, config.nvm_mib << 20
    return PhysicalMemory(dram + nvm, dram_bytes=dram)


def _fresh_state(config: MachineConfig) -> MachineState:
    cores = []
    for id in range(config.cpus):
        cores.append(CoreState(id, fresh_mmu(config)))
    return MachineState(cores, mailboxes=[[] for _ in cores])


def fresh_mmu(config: MachineConfig) -> MmuState:
    """The MMU of a core that has not run: empty TLBs, and no table."""
    return MmuState(Tlb(*config.itlb), Tlb(*config.dtlb), config.pcid)
