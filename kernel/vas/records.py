"""What the kernel remembers of virtual address spaces and segments that have names of their own.

A VAS is an address space that no process owns.  Threads run on its regions and tables in views
only (`kernel.vas.view`).  A segment is a memory object with a name and a fixed place.  Both live
until they are deleted and may outlive their makers, so the kernel charges their frames to their
owner's account.  Rights are those of a file: owner, group, others, each r and w.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush

from hw.memory import PAGE_SIZE
from kernel.abi.errno import E, KernelError
from kernel.mm.frames import Account
from kernel.mm.objects import MemoryObject
from kernel.mm.shootdown import TAG_ANY
from kernel.mm.space import AddressSpace
from kernel.task.credentials import Credentials
from kernel.task.image import ProcessImage
from kernel.vas.view import View

READ, WRITE = 4, 2
"""Rights, as the bits of a mode."""
TYPES = {0: READ, 1: WRITE, 2: READ | WRITE}
"""open(2)'s access modes: O_RDONLY, O_WRONLY, O_RDWR."""
MODE_MASK = 0o666
MAX_ATTACHMENTS = 65_535
"""Of one VAS, of one segment, and of one process."""
MAX_IDS = 65_535
"""VASes, and segments: what the kernel remembers of each costs its maker no frame."""
MAX_OWNED = MAX_IDS // 2
"""By any user but root, of both together: no user can take all ids from the others."""
VAS_BASE, VAS_SLOTS = 1 << 46, 96
"""Where a VAS's own mappings go: a top-level slot (512 GiB) each, far from where programs map."""


@dataclass(slots=True, eq=False)
class Named:
    """What a VAS and a segment have in common.  `readers` and `writers` count attachments."""

    id: int
    name: bytes
    mode: int
    user: int
    group: int
    account: Account
    readers: int = 0
    writers: int = 0

    def allows(self, who: Credentials, wanted: int) -> bool:
        """May `who` do this?  The first class that fits decides; root may do anything."""
        if who.is_root:
            return True
        shift = 6 if who.uid == self.user else 3 if self.group in (who.gid, *who.groups) else 0
        return not wanted & ~(self.mode >> shift)

    def check(self, who: Credentials, wanted: int) -> None:
        """Raises EACCES."""
        if not self.allows(who, wanted):
            raise KernelError(E.ACCES)

    def take(self, kind: int) -> None:
        """One attachment more.  Raises EBUSY when there are too many."""
        if self.readers + self.writers >= MAX_ATTACHMENTS:
            raise KernelError(E.BUSY)
        self.count(kind, 1)

    def count(self, kind: int, change: int) -> None:
        if kind & WRITE:
            self.writers += change
        else:
            self.readers += change

    @property
    def attached(self) -> int:
        return self.readers + self.writers


@dataclass(slots=True, eq=False)
class Segment(Named):
    """Pages `start`..`end` of each space that shows it.

    The rest is its lock, where it is `lockable` and the sharing policy is `switch`.  `holders` are
    the threads inside by tid, `queue` those that wait, in order; the value says whether a thread
    holds or wants the segment alone.  `left_at` has the times of the last reader's and the last
    writer's end, by the clocks of their cores."""

    start: int = 0
    end: int = 0
    object: MemoryObject = field(kw_only=True)
    lockable: bool = False
    holders: dict[int, bool] = field(default_factory=dict)
    queue: dict[int, bool] = field(default_factory=dict)
    left_at: list[int] = field(default_factory=lambda: [0, 0])


@dataclass(slots=True, eq=False)
class Vas(Named):
    """`space` holds its memory; `segments` are attached to it, with their kind of access."""

    space: AddressSpace = field(kw_only=True)
    segments: dict[int, int] = field(default_factory=dict)
    attachments: dict[int, Attachment] = field(default_factory=dict)
    """By the id of the home."""
    tagging: int = TAG_ANY
    entry: int = 0
    """Where a switch into the VAS leads, if a gate was registered (`kernel.vas.gate`)."""
    image: ProcessImage | None = None
    """The VAS is a checkpoint of this process, and does not change (`kernel.vas.frozen`)."""

    def take(self, kind: int) -> None:
        """One attachment more.  Raises EBUSY when there are too many; EACCES: a store could change
        a checkpoint."""
        if self.image is not None and kind & WRITE:
            raise KernelError(E.ACCES)
        Named.take(self, kind)


@dataclass(slots=True, eq=False)
class Attachment:
    """A VAS in one process: `home` is the process's own space, `view` what its threads see.

    `private`: segments for it alone.  `bare`: the empty space that the view shows in the place of
    the home, if it shows nothing of the process (`kernel.vas.bare`).
    """

    vas: Vas
    home: AddressSpace
    kind: int
    view: View
    private: AddressSpace | None = None
    segments: dict[int, int] = field(default_factory=dict)
    bare: AddressSpace | None = None

    @property
    def entry(self) -> int:
        """Where a switch leads, if the VAS has a gate; else 0."""
        return self.vas.entry


@dataclass(slots=True)
class Holdings:
    """What a process's own space has attached: VASes, and segments directly (vid 0)."""

    attachments: dict[int, Attachment] = field(default_factory=dict)
    segments: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Ids:
    """Numbers from 1, the lowest free one first."""

    given: int = 0
    free: list[int] = field(default_factory=list)

    def take(self) -> int:
        """Raises ENOMEM when all are given out."""
        if self.free:
            return heappop(self.free)
        if self.given >= MAX_IDS:
            raise KernelError(E.NOMEM)
        self.given += 1
        return self.given

    def give(self, id: int) -> None:
        heappush(self.free, id)


def own_slot(vid: int) -> int:
    """Where mappings without a wished address begin in this VAS."""
    return VAS_BASE + (vid % VAS_SLOTS << 39)


def pages(segment: Segment) -> int:
    return (segment.end - segment.start) // PAGE_SIZE
