"""Who may be in a VAS at the same time: two policies, chosen at boot (`--vas-sharing`).

`attach` is the RFC's: one writer alone or any number of readers, decided when something is
attached and held until it is detached; who comes too late is refused with EBUSY.

`switch` is SpaceJMP's: anybody may attach, and every *lockable* segment has a reader/writer lock
that `vas_switch` takes.  What makes it free of deadlock: a thread gives up the locks of the VAS
that it leaves before it takes the first of the one that it enters, and takes those in the
order of their ids.  Waiters are served in the order in which they came, but a reader waits for
writers alone: readers who queue behind one another would take turns where they could go together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from hw import trace
from kernel.abi.errno import Blocked, E, KernelError
from kernel.task.process import Thread
from kernel.vas.records import WRITE, Attachment, Named, Segment

if TYPE_CHECKING:
    from kernel.vas.vases import Vases

SEG_LOCK = trace.declare(
    "seg_lock", "sid:Q tid:Q how:B", "A segment's lock: how is 0 released, 1 shared, 2 alone."
)


class Sharing(Protocol):
    """What the kernel asks of a policy."""

    name: str

    def admit(self, named: Named, kind: int) -> None:
        """Something is about to be attached.  Raises EBUSY."""

    def enter(self, thread: Thread, attachment: Attachment | None) -> None:
        """`thread` is about to switch there; None: to its home.  Raises `Blocked`."""

    def leave(self, thread: Thread) -> None:
        """`thread` is about to be inside no VAS, for whatever reason."""

    def join(self, parent: Thread, child: Thread) -> None:
        """`child` was made inside the VAS that `parent` is in."""

    def awaited(self, attachment: Attachment) -> bool:
        """Is a thread on its way in?"""


@dataclass(slots=True)
class AtAttach:
    """The RFC's rule."""

    name: str = "attach"

    def admit(self, named: Named, kind: int) -> None:
        # BEGIN SOLUTION lab6.sharing
        if named.writers or (kind & WRITE and named.readers):
            raise KernelError(E.BUSY)
        # END SOLUTION lab6.sharing
        # PROMPT lab6.sharing: one writer alone, or any number of readers.

    def enter(self, thread: Thread, attachment: Attachment | None) -> None:
        """Decided at attach already."""

    def leave(self, thread: Thread) -> None:
        """Held until detach."""

    def join(self, parent: Thread, child: Thread) -> None:
        """Threads of one process share its attachment."""

    def awaited(self, attachment: Attachment) -> bool:
        return False


@dataclass(slots=True)
class AtSwitch:
    """SpaceJMP's locks.  `held` are the segments each thread holds, `waits` the one
    it waits for."""

    vases: Vases
    name: str = "switch"
    held: dict[int, list[int]] = field(default_factory=dict)
    waits: dict[int, int] = field(default_factory=dict)
    target: dict[int, int] = field(default_factory=dict)
    """For whom a thread has given up its old locks: the view that it is on its way to."""

    def admit(self, named: Named, kind: int) -> None:
        """Anybody may attach."""

    def enter(self, thread: Thread, attachment: Attachment | None) -> None:
        # BEGIN SOLUTION lab6.segment_lock
        goal = attachment.view.id if attachment else 0
        if self.target.get(thread.tid) != goal:
            self.leave(thread)
            self.target[thread.tid] = goal
        for sid, alone in self._needed(attachment):
            segment = self.vases.segments[sid]
            if thread.tid not in segment.holders:
                self._take(thread, segment, alone)
        self.target.pop(thread.tid, None)
        # END SOLUTION lab6.segment_lock
        # PROMPT lab6.segment_lock: give up the old locks first, then take the new ones by id.

    def _needed(self, attachment: Attachment | None) -> list[tuple[int, bool]]:
        """The lockable segments of an attachment in the order of their ids, and whether alone."""
        # BEGIN SOLUTION lab6.segment_lock
        if attachment is None:
            return []
        kinds = {sid: kind & attachment.kind for sid, kind in attachment.vas.segments.items()}
        kinds |= attachment.segments
        lockable = [sid for sid in sorted(kinds) if self.vases.segments[sid].lockable]
        return [(sid, bool(kinds[sid] & WRITE)) for sid in lockable]
        # END SOLUTION lab6.segment_lock
        # PROMPT lab6.segment_lock: the VAS's segments and the attachment's own, by id.

    def _take(self, thread: Thread, segment: Segment, alone: bool) -> None:
        """Take one lock, or a place in its queue.  Raises `Blocked`."""
        # BEGIN SOLUTION lab6.segment_lock
        segment.queue.setdefault(thread.tid, alone)
        place = list(segment.queue).index(thread.tid)
        before = [*segment.holders.values(), *list(segment.queue.values())[:place]]
        if any(before) or (alone and before):
            self.waits[thread.tid] = segment.id
            raise Blocked(("vas_lock", segment.id, 0), interruptible=False)
        del segment.queue[thread.tid]
        self.waits.pop(thread.tid, None)
        segment.holders[thread.tid] = alone
        self.held.setdefault(thread.tid, []).append(segment.id)
        self._came(segment, thread, alone)
        self._next(segment)
        # END SOLUTION lab6.segment_lock
        # PROMPT lab6.segment_lock: whose turn it is, and who is inside, decide.

    def leave(self, thread: Thread) -> None:
        # BEGIN SOLUTION lab6.segment_lock
        self.target.pop(thread.tid, None)
        waited_for = self.waits.pop(thread.tid, None)
        if waited_for is not None:
            segment = self.vases.segments[waited_for]
            del segment.queue[thread.tid]
            self._next(segment)
        for sid in self.held.pop(thread.tid, []):
            segment = self.vases.segments[sid]
            self._left(segment, thread, segment.holders.pop(thread.tid))
            self._next(segment)
        # END SOLUTION lab6.segment_lock
        # PROMPT lab6.segment_lock: nothing is held any more, and nothing waited for.

    def join(self, parent: Thread, child: Thread) -> None:
        """A thread made inside is in the same critical section, which ends with the last."""
        for sid in self.held.get(parent.tid, []):
            segment = self.vases.segments[sid]
            segment.holders[child.tid] = segment.holders[parent.tid]
            self.held.setdefault(child.tid, []).append(sid)

    def awaited(self, attachment: Attachment) -> bool:
        return attachment.view.id in self.target.values()

    def _next(self, segment: Segment) -> None:
        """Whoever waits looks again."""
        self.vases.kernel.wake(("vas_lock", segment.id, 0))

    def _came(self, segment: Segment, thread: Thread, alone: bool) -> None:
        """Cores are up to a turn apart, but nobody is inside before those whom it excludes have
        left: the core waits for that time, as if it spun."""
        core = self.vases.kernel.machine.core
        after = max(segment.left_at) if alone else segment.left_at[True]
        core.state.cycles = max(core.state.cycles, after)
        self._emit(segment, thread, 2 if alone else 1)

    def _left(self, segment: Segment, thread: Thread, alone: bool) -> None:
        segment.left_at[alone] = max(segment.left_at[alone], self.vases.kernel.now())
        self._emit(segment, thread, 0)

    def _emit(self, segment: Segment, thread: Thread, how: int) -> None:
        """Trace it; and the core whose clock is behind has its turn: it may come here as well."""
        machine = self.vases.kernel.machine
        if len(machine.cores) > 1:
            machine.core.leave = True
        if machine.trace:
            machine.trace.emit(SEG_LOCK, segment.id, thread.tid, how)
