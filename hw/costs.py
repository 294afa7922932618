"""The cost table: what each primitive takes, in modelled cycles, and where the figure is from.

The model is a sum: counts times these figures.  A cost that is not listed is not charged.
Every display of cycles says "modelled cycles" and shows the counts beside them.  `low` and `high`
bound what the sources report; ratios are printed with the interval that they span.  None of the
figures is fitted to the results of the RFC or of SpaceJMP.

There are two kinds of source.  Others measured what hardware does; they are named.  What the
kernel does in software is *counted*: `userland/programs/prices.c` does the same work in C, and
the table has the instructions that it takes there (a test counts them again).  These are small
equivalents: a production kernel also takes locks, keeps accounts and calls hooks.
"""

from __future__ import annotations

from dataclasses import dataclass

CYCLES_PER_SECOND = 2_400_000_000
"""The clock rate of the RFC's Xeon E5620, used to turn modelled cycles into time."""


@dataclass(frozen=True, slots=True)
class Primitive:
    """One row: `cycles` is charged; `low`..`high` is the range of the source."""

    name: str
    cycles: int
    low: int
    high: int
    source: str


TABLE: list[Primitive] = []


def _primitive(name: str, cycles: int, low: int, high: int, source: str) -> int:
    TABLE.append(Primitive(name, cycles, low, high, source))
    return len(TABLE) - 1


def _counted(name: str, instructions: int, work: str) -> int:
    """A piece of `prices.c`.  One cycle for an instruction, as for user code; the range is from
    two instructions a cycle (all in the first cache) to two cycles an instruction (not so)."""
    source = f"{work}; {instructions} instructions in C, counted"
    return _primitive(name, instructions, instructions // 2, instructions * 2, source)


INSTRUCTION = _primitive(
    "instruction", 1, 1, 1, "definition: one user instruction is one cycle, caches are not modelled"
)
SYSCALL = _primitive(
    "syscall",
    130,
    70,
    357,
    "SYSCALL, entry code and SYSRET: 130 on Barrelfish, 357 on DragonFly (SpaceJMP)",
)
EXCEPTION = _primitive(
    "exception",
    700,
    400,
    1200,
    "fault delivery through the IDT and IRETQ; lmbench protection-fault figures",
)
INTERRUPT = _primitive("interrupt", 700, 400, 1200, "as exception; timer and IPI vectors")
CR3_WRITE = _primitive("cr3_write", 130, 100, 300, "MOV to CR3 without tags (SpaceJMP, table 2)")
CR3_WRITE_TAGGED = _primitive(
    "cr3_write_tagged", 224, 150, 350, "MOV to CR3 with a PCID (SpaceJMP, table 2)"
)
INVLPG = _primitive(
    "invlpg", 120, 100, 250, "one INVLPG; Linux arch/x86 measurements behind its ceiling of 33"
)
FLUSH_PCID = _primitive("flush_pcid", 220, 130, 550, "INVPCID type 1")
WALK_STEP = _primitive(
    "walk_step", 12, 4, 60, "one entry read by the walker: L1 to L3 hit, SDM optimisation manual"
)
IPI_SEND = _primitive(
    "ipi_send", 500, 200, 1200, "write of the ICR until delivery; shootdown studies (DiDi, LATR)"
)
CONTEXT_SAVE = _primitive(
    "context_save", 90, 60, 200, "general registers and FXSAVE, Agner Fog's tables"
)
CONTEXT_RESTORE = _primitive(
    "context_restore", 90, 60, 200, "general registers and FXRSTOR, Agner Fog's tables"
)
FRAME_ZERO = _primitive(
    "frame_zero", 256, 128, 1000, "4 KiB at 16 bytes a cycle; REP STOSB start-up included"
)
FRAME_COPY = _primitive("frame_copy", 512, 256, 1500, "4 KiB at 8 bytes a cycle, read and write")
USER_COPY_LINE = _primitive("user_copy_line", 8, 4, 30, "64 bytes between user and kernel memory")
DISK_READ = _primitive(
    "disk_read",
    156_000,
    24_000,
    28_800_000,
    "4 KiB read, 65 us: Intel X25-M data sheet; 10 us with Optane, 12 ms with a 7,200 rpm disk",
)
DISK_WRITE = _primitive(
    "disk_write",
    204_000,
    24_000,
    28_800_000,
    "4 KiB write, 85 us: Intel X25-M data sheet; bounds as disk_read",
)
NVM_FLUSH = _primitive(
    "nvm_flush",
    149,
    137,
    216,
    "a store and CLWB of 64 bytes: 62 ns with Optane, 57 with DRAM, 90 with streaming stores "
    "(Yang et al., FAST 2020, figure 2)",
)
NVM_FENCE = _primitive("nvm_fence", 33, 6, 80, "SFENCE with empty buffers, Agner Fog's tables")
SCHEDULE_PICK = _counted("schedule_pick", 35, "round robin: one thread out of the queue, one in")
PTE_WRITE = _counted("pte_write", 16, "an entry stored, and the holders of its frame counted")
TABLE_ALLOCATE = _counted(
    "table_allocate", 12, "a frame from the free list; its zeroing is charged as `frame_zero`"
)
REGION_FIND = _counted("region_find", 62, "the region of an address, among 16")
REGION_CHANGE = _counted("region_change", 110, "one region of 16 made or removed")
MESSAGE = _counted("message", 83, "112 bytes handed to a receiver that waits")
TABLE_LOOKUP = _counted("table_lookup", 21, "an object by its number, and the right to it")
NAME_LOOKUP = _counted("name_lookup", 192, "an object by a name of eight letters")
RECORD_CREATE = _counted("record_create", 67, "a kernel object of 128 bytes")
TASK_CREATE = _counted("task_create", 541, "a thread's or process's record, 1 KiB, copied")
DESCRIPTOR_COPY = _counted("descriptor_copy", 7, "one descriptor given to a child")
LOCK_CHANGE = _counted("lock_change", 30, "a reader/writer lock taken or given up")
QUEUE_LOOK = _counted("queue_look", 9, "one waiter or holder of a lock looked at")
SPACE_LOAD = _counted("space_load", 64, "a tag found for a space and its generation compared")
