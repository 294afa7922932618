"""Two regions that want the same place: what a program gets, and what the trace says."""

from __future__ import annotations

from hw import trace
from kernel.abi.errno import E, KernelError

CONFLICT = trace.declare(
    "conflict",
    "space:Q start:Q end:Q name:s other_start:Q other_end:Q other_name:s",
    "Two regions want the same place in one view.",
)


class Conflict(KernelError):
    """EFAULT: two regions want the same place; the text says which."""

    def __init__(self, text: str) -> None:
        KernelError.__init__(self, E.FAULT)
        self.text = text
