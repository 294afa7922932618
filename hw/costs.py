"""The cost table: what each primitive takes, in modelled cycles, and where the figure is from.

The model is a sum: raw counts times these figures.  A cost that is not listed is not charged.
Everything that shows cycles to people says "modelled cycles" and shows the counts beside them.
`low` and `high` bound what the sources report; ratios are printed with the interval that they
span.  None of the figures is fitted to the results of the RFC or of SpaceJMP.
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
SCHEDULE_PICK = _primitive(
    "schedule_pick", 150, 60, 900, "one pick from the run queue: round robin to CFS"
)
FRAME_ZERO = _primitive(
    "frame_zero", 256, 128, 1000, "4 KiB at 16 bytes a cycle; REP STOSB start-up included"
)
FRAME_COPY = _primitive("frame_copy", 512, 256, 1500, "4 KiB at 8 bytes a cycle, read and write")
PTE_WRITE = _primitive("pte_write", 4, 2, 20, "one store to a table in the cache, with its checks")
TABLE_ALLOCATE = _primitive("table_allocate", 320, 200, 1200, "a zeroed frame for a page table")
REGION_CHANGE = _primitive(
    "region_change", 400, 200, 1500, "create, split, or remove one region record"
)
MESSAGE = _primitive(
    "message", 200, 100, 800, "copy of one message and hand-over, L4 family figures"
)
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
