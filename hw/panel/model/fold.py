"""The fold: what each kind of record changes in the state.

`HANDLERS` has a row for each kind. A kind without a row changes its count and nothing else, and
fields behind the known ones are ignored: so a trace of a later version is still shown. The `pte`
records show only what the kernel writes; that the walker has set A or D follows from the records of
the MMU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hw.mmu import CAUSES, CR3_NOFLUSH, ENTRY_LAYOUT, FLUSH_CR3
from hw.paging import ADDRESS, PS, A, D, P
from hw.panel.model.state import (
    CALLS,
    CORES,
    COUNTS,
    FRAMES,
    MEMORY,
    PTES,
    REGIONS,
    REGISTERS,
    SPACES,
    THREADS,
    TLB,
    VASES,
    VIEWS,
    Attachment,
    Call,
    CoreNow,
    Edit,
    Frame,
    Region,
    State,
    Thread,
    TlbEntry,
    Vas,
)
from hw.panel.model.walk import Tables, steps_of
from hw.trace import Record

THREAD_SWITCH, PROCESS_SWITCH, VAS_SWITCH = 1, 2, 3
SWITCHES = ("", "thread switch", "process switch", "VAS switch")
FLUSHED = CAUSES.index("flushed")
GONE = 255
CR3_BITS = ADDRESS | 0xFFF
KINDS_OF_BOUNDARY = frozenset(
    "syscall wait stop fault exception thread_new thread_end exec signal log ipi_taken "
    "console_input instruction tlb_fill tlb_dirty".split()
)
"""Records that end a step. The records before one, back to the previous such record, belong to its
step."""


class Fold:
    """Applies records to a state, one after the other, and returns the edits of each."""

    def __init__(self, state: State, table_owner: int = 2) -> None:
        self.state = state
        self.table_owner = table_owner
        """The kind of holder that a page table's frame has."""
        self.edits: list[Edit] = []
        self.at = 0

    def apply(self, record: Record, at: int) -> list[Edit]:
        """Apply record number `at`; returns its edits."""
        self.edits, self.at = [], at
        handler = HANDLERS.get(record.kind.name)
        if handler is not None:
            handler(self, record)
        else:
            self.count("records", record.kind.name)
        return self.edits

    def put(self, shelf: int, key: Any, new: Any) -> None:
        """Set the value of `key`; None removes it."""
        values = self.state.shelves[shelf]
        old = values.get(key)
        if old == new:
            return
        if new is None:
            del values[key]
        else:
            values[key] = new
        self.edits.append((shelf, key, old, new))

    def count(self, *key: Any, times: int = 1) -> None:
        """Add to a count."""
        if times:
            self.put(COUNTS, key, self.state.counts.get(key, 0) + times)

    def core(self, record: Record) -> CoreNow:
        return self.state.cores.get(record.core) or CoreNow()

    def doing(self, tid: int, words: str) -> None:
        """Note what a thread was last seen doing."""
        thread = self.state.threads.get(tid)
        if thread is not None and thread.doing != words:
            self.put(THREADS, tid, thread._replace(doing=words))


# Memory -----------------------------------------------------------------------------------------


def _frame(fold: Fold, record: Record) -> None:
    pfn, _, refs, old_owner, owner = record.values[:5]
    fold.put(FRAMES, pfn, Frame(refs, owner) if refs else None)
    if not refs and old_owner == fold.table_owner:
        _forget_table(fold, pfn << 12)


def _pte(fold: Fold, record: Record) -> None:
    _, table, index, _, _, new = record.values[:6]
    fold.put(PTES, table + index * 8, new or None)
    fold.count("pte_write")


def _forget_table(fold: Fold, table: int) -> None:
    """Drop all entries of a table whose frame was freed."""
    for slot in range(table, table + 4096, 8):
        if slot in fold.state.ptes:
            fold.put(PTES, slot, None)


def _space(fold: Fold, record: Record) -> None:
    space, pml4, alive = record.values[:3]
    fold.put(SPACES, space, pml4 if alive else None)


def _region(fold: Fold, record: Record) -> None:
    *numbers, name = record.values[:8]
    region = Region._make((*numbers, name.decode(errors="replace")))
    fold.put(REGIONS, (region.space, region.start), None if region.prot == GONE else region)


# First-class address spaces ---------------------------------------------------------------------


def _vas(fold: Fold, record: Record) -> None:
    vid, space, alive, name = record.values[:4]
    vas = Vas(vid, space, name.decode(errors="replace"))
    fold.put(VASES, vid, vas if alive else None)


def _vas_attach(fold: Fold, record: Record) -> None:
    home, vid, view, kind, alive = record.values[:5]
    fold.put(VIEWS, view, Attachment(home, vid, kind) if alive else None)


def _vas_switch(fold: Fold, record: Record) -> None:
    tid, _, _, space = record.values[:4]
    core = fold.core(record)
    changed = core._replace(space=space, cycles=record.cycles, switch=VAS_SWITCH)
    fold.put(CORES, record.core, changed)
    fold.count("switch", VAS_SWITCH)
    thread = fold.state.threads.get(tid)
    if thread is not None:
        fold.put(THREADS, tid, thread._replace(space=space))


# Threads ----------------------------------------------------------------------------------------


def _thread_new(fold: Fold, record: Record) -> None:
    tid, pid, parent, space, name = record.values[:5]
    words = name.decode(errors="replace")
    fold.put(THREADS, tid, Thread(tid, pid, parent, space, name=words, doing="ready"))


def _thread_end(fold: Fold, record: Record) -> None:
    fold.put(THREADS, record["tid"], None)
    if all(core.tid != record["tid"] for core in fold.state.cores.values()):
        fold.put(CALLS, record["tid"], None)


def _exec(fold: Fold, record: Record) -> None:
    pid, space, path = record.values[:3]
    name = path.decode(errors="replace").rsplit("/", 1)[-1]
    for tid, thread in list(fold.state.threads.items()):
        if thread.pid == pid:
            fold.put(THREADS, tid, thread._replace(space=space, name=name))
    core = fold.core(record)
    fold.put(CORES, record.core, core._replace(space=space))


def _pick(fold: Fold, record: Record) -> None:
    _takes(fold, record, record["tid"])


def _takes(fold: Fold, record: Record, tid: int) -> None:
    """A core takes a thread; the one that it had is ready, unless it waits or has ended."""
    before = fold.state.threads.get(fold.core(record).tid)
    if before is not None and before.doing == "running":
        fold.doing(before.tid, "ready")
    fold.doing(tid, "running")


def _run(fold: Fold, record: Record) -> None:
    tid, space, _, rip = record.values[:4]
    _takes(fold, record, tid)  # the oldest traces have no picks
    for number, other in list(fold.state.cores.items()):
        if other.tid == tid and number != record.core:  # its registers have left that core
            fold.put(CORES, number, other._replace(tid=0))
    core = fold.core(record)
    kind = 0 if not core.space else THREAD_SWITCH if core.space == space else PROCESS_SWITCH
    fold.put(
        CORES,
        record.core,
        core._replace(tid=tid, space=space, cycles=record.cycles, switch=kind, rip=rip),
    )
    fold.count("switch", kind)
    if core.tid != tid and core.tid not in fold.state.threads:
        fold.put(CALLS, core.tid, None)
    thread = fold.state.threads.get(tid)
    if thread is not None and thread.space != space:
        fold.put(THREADS, tid, thread._replace(space=space))


def _syscall(fold: Fold, record: Record) -> None:
    values = record.values
    tid, rip = values[0], values[10]
    fold.put(CALLS, tid, Call(values[1], values[2:8], values[8], rip))
    core = fold.core(record)
    fold.put(CORES, record.core, core._replace(cycles=record.cycles, rip=rip))
    fold.count("syscall")
    fold.doing(tid, "running")


def _wait(fold: Fold, record: Record) -> None:
    tid, _, channel = record.values[:3]
    fold.doing(tid, "waits: " + channel.decode(errors="replace").split(":")[0])


def _stop(fold: Fold, record: Record) -> None:
    fold.doing(record["tid"], "waits: stopped")


def _wake(fold: Fold, record: Record) -> None:
    fold.doing(record["tid"], "ready")


def _fault(fold: Fold, record: Record) -> None:
    core = fold.core(record)
    fold.put(CORES, record.core, core._replace(cycles=record.cycles))
    fold.count("fault")


def _exception(fold: Fold, record: Record) -> None:
    core = fold.core(record)
    fold.put(CORES, record.core, core._replace(cycles=record.cycles, rip=record["rip"]))
    fold.count("exception")


# The MMU ----------------------------------------------------------------------------------------


def _cr3_load(fold: Fold, record: Record) -> None:
    core, new = fold.core(record), record["new"]
    value = new & CR3_BITS
    space = core.space
    if fold.state.spaces.get(space) != value & ADDRESS:
        roots = {pml4: number for number, pml4 in fold.state.spaces.items()}
        space = roots.get(value & ADDRESS, space)
    fold.put(CORES, record.core, core._replace(cr3=value, space=space, cycles=record.cycles))
    fold.count("cr3_load", "kept" if new & CR3_NOFLUSH else "flushed")
    fold.count("after", core.switch, "cr3_load")


def _tlb_miss(fold: Fold, record: Record) -> None:
    side, cause, vpn = record.values[:3]
    core = fold.core(record)
    fold.count("miss", record.core, side, cause)
    if cause == FLUSHED:
        fold.count("after", core.switch, "refill")
    _mark_path(fold, core.cr3 & ADDRESS, vpn << 12, leaf=0)


def _tlb_fill(fold: Fold, record: Record) -> None:
    side, set_index, way, vpn, tag, pfn, rights, dirty = record.values[:8]
    entry = TlbEntry(vpn, tag, pfn, rights, dirty=dirty, born=fold.at)
    fold.put(TLB, (record.core, side, set_index, way), entry)
    steps = _mark_path(fold, fold.core(record).cr3 & ADDRESS, vpn << 12, A | (D if dirty else 0))
    fold.count("walk_step", times=steps)


def _tlb_dirty(fold: Fold, record: Record) -> None:
    set_index, way, vpn = record.values[:3]
    key = (record.core, 1, set_index, way)
    entry = fold.state.tlb.get(key)
    if entry is not None:
        fold.put(TLB, key, entry._replace(dirty=1))
    _mark_path(fold, fold.core(record).cr3 & ADDRESS, vpn << 12, A | D)


def _tlb_flush(fold: Fold, record: Record) -> None:
    why, dropped = record["why"], record["dropped"]
    for side, set_index, way, *_ in ENTRY_LAYOUT.iter_unpack(record["entries"]):
        fold.put(TLB, (record.core, side, set_index, way), None)
    fold.count("flush", why, times=dropped)
    if why == FLUSH_CR3:
        fold.count("after", fold.core(record).switch, "flushed", times=dropped)


def _mark_path(fold: Fold, root: int, va: int, leaf: int) -> int:
    """Set A in the upper entries of a walk, and the bits `leaf` in its leaf (SDM vol. 3A, 4.8);
    returns how many entries were read."""
    try:
        steps, _ = steps_of(Tables(fold.state.ptes), root, va)
    except NotImplementedError:
        return 0
    for step in steps:
        bits = leaf if step.level == 1 or step.entry & PS else A
        if step.entry & P and step.entry | bits != step.entry:
            fold.put(PTES, step.table_pa + step.index * 8, step.entry | bits)
    return len(steps)


def _instruction(fold: Fold, record: Record) -> None:
    registers = dict(zip(record.kind.fields, record.values, strict=True))
    core = fold.core(record)
    fold.put(CORES, record.core, core._replace(cycles=record.cycles, rip=registers["rip"]))
    fold.put(REGISTERS, record.core, registers)


def _page(fold: Fold, record: Record) -> None:
    fold.put(MEMORY, record["pfn"], record["data"])


def _store(fold: Fold, record: Record) -> None:
    pa, data = record.values[:2]
    page, at = fold.state.memory.get(pa >> 12), pa & 0xFFF
    if page is not None:
        fold.put(MEMORY, pa >> 12, page[:at] + data + page[at + len(data) :])


HANDLERS: dict[str, Callable[[Fold, Record], None]] = {
    "frame": _frame,
    "pte": _pte,
    "space": _space,
    "region": _region,
    "vas": _vas,
    "vas_attach": _vas_attach,
    "vas_switch": _vas_switch,
    "thread_new": _thread_new,
    "thread_end": _thread_end,
    "exec": _exec,
    "pick": _pick,
    "run": _run,
    "syscall": _syscall,
    "wait": _wait,
    "stop": _stop,
    "wake": _wake,
    "fault": _fault,
    "exception": _exception,
    "instruction": _instruction,
    "page": _page,
    "store": _store,
    "cr3_load": _cr3_load,
    "tlb_miss": _tlb_miss,
    "tlb_fill": _tlb_fill,
    "tlb_dirty": _tlb_dirty,
    "tlb_flush": _tlb_flush,
}
