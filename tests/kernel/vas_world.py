"""A system for tests of VASes: its calls by name, several users, and code that runs inside."""

from __future__ import annotations

from typing import Any

from hw.cpu import REFUSE
from hw.paging import READ, WRITE, PageFault
from kernel import invariants
from kernel.life import life
from kernel.task.credentials import Credentials
from kernel.task.process import READY, RUNNING, Process, Thread
from kernel.trap import Traps
from tests.kernel.asm import Program
from tests.kernel.system import System

PAGE = 4096
HERE, THERE = 0x10_0000_0000, 0x20_0000_0000
R, W, RW = 0, 1, 2
"""O_RDONLY, O_WRONLY, O_RDWR."""
OWNER, GROUP, ROOT = Credentials(1000, 100), Credentials(1001, 100), Credentials(0, 0)
OTHER = Credentials(1002, 200)
THREAD = 0x10F00
"""CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND, CLONE_THREAD."""
MAX_FAULTS = 8
"""Of one access; more than it ever needs."""
RW_PROT, PRIVATE_ANON, FIXED = 3, 0x22, 0x10


class World(System):
    """Handlers are called directly; the programs do not run."""

    def __init__(self, program: Program | None = None, **wishes: Any) -> None:
        idle = program or Program()
        if program is None:
            idle.spin()
        files = {b"/idle": idle.elf(), b"/bytes": bytes(range(256))}
        super().__init__(idle, **{"ram": 4, "user": OWNER, "files": files, **wishes})
        self.page = self.ask("mmap", 0, PAGE, RW_PROT, PRIVATE_ANON, -1, 0)

    def put(self, data: bytes, process: Process | None = None) -> int:
        """Store bytes in a page that the process owns; returns its address."""
        space = (process or self.process).space
        if space.map.find(self.page) is None:
            self.ask("mmap", self.page, PAGE, RW_PROT, PRIVATE_ANON | FIXED, -1, 0)
        space.write(self.page, data)
        return self.page

    def text(self, name: str, process: Process | None = None) -> int:
        return self.put(name.encode() + b"\0", process)

    def vas(self, name: str = "vas", mode: int = 0o600, thread: Thread | None = None) -> int:
        thread = thread or self.thread
        return self.ask("vas_create", self.text(name, thread.process), mode, thread=thread)

    def segment(
        self,
        name: str = "segment",
        start: int = HERE,
        pages: int = 2,
        mode: int = 0o600,
        thread: Thread | None = None,
    ) -> int:
        thread = thread or self.thread
        at = self.text(name, thread.process)
        return self.ask("vas_seg_create", at, start, start + pages * PAGE, mode, thread=thread)

    def attached(self, name: str = "vas", kind: int = RW) -> int:
        vid = self.vas(name)
        assert self.ask("vas_attach", 0, vid, kind) == 0
        return vid

    def inside(self, name: str = "vas", kind: int = RW) -> int:
        vid = self.attached(name, kind)
        assert self.ask("vas_switch", vid) == 0
        return vid

    def fork(self, who: Credentials | None = None, thread: Thread | None = None) -> Thread:
        child = self.kernel.life.clone(thread or self.thread, life.CloneRequest())
        if who is not None:
            child.process.credentials = who
        return child

    def clone(self, thread: Thread | None = None) -> Thread:
        return self.kernel.life.clone(thread or self.thread, life.CloneRequest(THREAD))

    def map(self, at: int, thread: Thread | None = None, flags: int = FIXED) -> int:
        flags |= PRIVATE_ANON
        return self.ask("mmap", at, PAGE, RW_PROT, flags, -1, 0, thread=thread)

    def open_bytes(self) -> int:
        """A descriptor of a file whose byte `i` is `i`."""
        fd = self.ask("open", self.text("/bytes"), R, 0)
        assert fd >= 0
        return fd

    def exec(self, thread: Thread) -> None:
        self.kernel.life.exec(thread, b"/idle", [b"idle"], [])
        thread.call = None

    # What a core does, without the emulator ---------------------------------------------------

    def run_on(self, core: int, thread: Thread) -> None:
        """Give `thread` the core, as the scheduler would; a thread that has it keeps it."""
        machine, tasks = self.kernel.machine, self.kernel.tasks
        mine, tlb = tasks.seats[core], tasks.shootdowns.cores[core]
        machine.take_turn(machine.cores[core])
        if mine.thread is thread and tlb.space is thread.space:
            return
        for seat in tasks.seats:
            if seat.thread is thread or seat.id == core:
                off = seat.thread
                tasks.seat_thread(seat, None)
                if off is not None:
                    tasks.make_ready(off)
        tasks.policy.remove(thread)
        assert thread.state in (READY, RUNNING)
        thread.state = RUNNING
        tasks.seat_thread(mine, thread)
        self.kernel.memory.shootdowns.load(thread.space)

    def touch(self, core: int, at: int, value: int | None = None) -> int | None:
        """Load or store a byte through the core's TLB, with faults; None if it is refused."""
        self.kernel.machine.take_turn(self.kernel.machine.cores[core])
        mmu, memory = self.kernel.machine.core.mmu, self.kernel.machine.memory
        for _ in range(MAX_FAULTS):
            try:
                entry = mmu.translate(at >> 12, READ if value is None else WRITE)
                break
            except PageFault as fault:
                answer = Traps(self.kernel).page_fault(
                    self.kernel.machine.core, at & ~4095, fault.error
                )
                if answer == REFUSE:
                    return None
        else:
            raise AssertionError("the same fault comes again and again")
        pa = entry.pfn << 12 | at & 4095
        if value is not None:
            memory.write(pa, bytes([value]))
        return memory.read(pa, 1)[0]

    def settle(self) -> None:
        """Deliver every pending interrupt; then all invariants hold."""
        self.answer_shootdowns()
        invariants.check(self.kernel)
