"""Pages that a program fills: what a region knows of userfaultfd(2).

An access to a missing page of such a region does not get zeroes.  Its thread sleeps until the
program has supplied the page, and tries again.  The channel that it sleeps on says which page it
is and whether it was a store, so that nothing else is to be kept of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from hw.paging import ERR_WRITE
from kernel.abi.errno import Blocked

FILLERS = -2
"""The endpoint of the descriptors by which programs fill pages.  There is no server behind it."""
CHANNEL = "userfault"


@dataclass(slots=True, eq=False)
class Filler:
    """Who fills the missing pages of some regions.

    `for_kernel`: also those that the kernel meets on behalf of a program; without it such a call
    ends in EFAULT (UFFD_USER_MODE_ONLY).
    """

    id: int
    for_kernel: bool
    is_open: bool = True


class Missing(Blocked):
    """A page is to be filled by a program.  Whoever waits at `filler`'s descriptor is told."""

    def __init__(self, filler: Filler, page: int, error: int) -> None:
        super().__init__((CHANNEL, filler.id, page | bool(error & ERR_WRITE)))
        self.tells = FILLERS, filler.id
        self.for_kernel = filler.for_kernel
