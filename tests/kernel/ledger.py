"""Sums that the counts of primitives must agree with: those of the trace's own records.

The kernel charges and records in different places.  So a charge that is made twice, or not at all,
disagrees with the records at the next trap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from hw import costs
from hw.machine import MODEL
from hw.paging import ADDRESS, P
from hw.trace import Kind
from kernel.abi.errno import Panic
from kernel.kernel import Kernel
from kernel.mm import frames

LEVELS = 4
"""The kernel maps pages of 4 KiB only, so each walk that ends well reads four entries."""
DEBUG, PAGE_FAULT = 1, 14


class Ledger:
    """Keeps the sums of one system, from the moment it is made."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.records: Counter[str] = Counter()
        self.fresh: set[int] = set()
        """Frames that were handed out, and no leaf has shown yet."""
        self.first = self._spent()

    def _spent(self) -> list[int]:
        states = [core.state for core in self.kernel.machine.cores]
        return [sum(column) for column in zip(*(s.counts for s in states), strict=True)]

    def observe(self, kind: Kind, values: tuple[Any, ...]) -> None:
        """One record."""
        self.records[kind.name] += 1
        if kind.name == "frame":
            self._frame(*values)
        elif kind.name == "pte":
            self._entry(*values[3:])
        elif kind.name == "exception":
            self.records["page fault told"] += values[1] == PAGE_FAULT
            self.records["single step"] += values[1] == DEBUG
        elif kind.name == "shootdown":
            self.records["target"] += values[3]
        elif kind.name == "page_in":
            self.records["page in from file"] += values[3] < 0

    def _frame(self, pfn: int, old_refs: int, refs: int, _: int, owner: int) -> None:
        if pfn >= self.kernel.memory.frames.zone.first:
            return  # the medium gives these out, and pays by the line
        if not old_refs:
            self.records["handed out"] += 1
            self.records["table"] += owner == frames.TABLE
            if owner != frames.TABLE:
                self.fresh.add(pfn)
        elif not refs:
            self.fresh.discard(pfn)

    def _entry(self, level: int, old: int, new: int) -> None:
        pfn = (new & ADDRESS) >> 12
        if level == 1 and new & P and pfn in self.fresh:
            self.fresh.remove(pfn)
            self.records["copy shown"] += old & P

    def check(self) -> None:
        """Raises `Panic` with every sum that is wrong, in words."""
        found = zip(costs.TABLE, self._spent(), self.first, strict=True)
        spent = {row.name: now - then for row, now, then in found}
        wrong = [*self._equal(spent), *self._bounds(spent)]
        if wrong:
            raise Panic("; ".join(wrong))

    def _equal(self, spent: dict[str, int]) -> Iterator[str]:
        records = self.records
        walks = records["tlb_fill"] + records["tlb_dirty"]
        model = self.kernel.machine.config.mmu == MODEL
        pairs = {
            "pte_write": (spent["pte_write"], records["pte"]),
            "table_allocate": (spent["table_allocate"], records["table"]),
            "frame_zero, frame_copy and pages that came back": (
                spent["frame_zero"] + spent["frame_copy"] + records["page_in"],
                records["handed out"],
            ),
            "walk_step": (spent["walk_step"], LEVELS * walks if model else 0),
            "cr3_write": (spent["cr3_write"] + spent["cr3_write_tagged"], records["cr3_load"]),
            "context_restore": (spent["context_restore"], records["run"]),
            "schedule_pick": (spent["schedule_pick"], records["pick"]),
            "message": (spent["message"], records["message"] + records["reply"]),
            "disk_write": (spent["disk_write"], records["disk_write"]),
            "disk_read": (
                spent["disk_read"],
                records["disk_read"] + records["page in from file"],
            ),
            "interrupts of shootdowns": (records["ipi_sent"], records["target"]),
        }
        for name, (charged, recorded) in pairs.items():
            if charged != recorded:
                yield f"{name}: {charged} are charged, the trace has {recorded}"

    def _bounds(self, spent: dict[str, int]) -> Iterator[str]:
        records = self.records
        if spent["frame_copy"] < records["copy shown"]:
            yield f"frame_copy: {spent['frame_copy']}, and {records['copy shown']} leaves show one"
        told = records["fault"] + records["exception"] - records["page fault told"]
        steps = spent["exception"] - told  # over calls that ended their thread, or put it to sleep
        if not 0 <= steps <= (records["single step"] and records["wait"] + records["thread_end"]):
            yield f"exception: {spent['exception']} are charged, the trace has {told}"
        calls = spent["ipi_send"] - records["ipi_sent"]
        answers = spent["interrupt"] - records["ipi_taken"]
        if not 0 <= answers <= calls:
            yield f"{calls} idle cores were called, {answers} came"
        if not 0 <= spent["task_create"] - records["thread_new"] <= records["thread_new"]:
            yield f"task_create: {spent['task_create']} for {records['thread_new']} threads"
