"""Who may be in a VAS at the same time: two policies, chosen at boot (`--vas-sharing`).

`attach` is the RFC's.  One writer alone, or any number of readers: the kernel decides when a VAS or
a segment is attached, and the decision holds until it is detached.  A late caller gets EBUSY.

`switch` is SpaceJMP's.  Any process may attach.  Every *lockable* segment has a reader/writer lock,
which `vas_switch` takes.  There is no deadlock: a thread gives up the locks of the VAS that it
leaves before it takes the first one of the VAS that it enters, and it takes those in the order of
their ids.  The lock serves waiters in the order of their arrival.  A reader waits for writers only:
readers that waited for one another would take turns where they could go together.

Each lock taken or released, and each look at a waiter or a holder, has a price.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from hw import costs, trace
from kernel.abi.errno import Blocked, E, KernelError
from kernel.sched.tasks import Tasks
from kernel.task.process import Thread
from kernel.vas.records import WRITE, Attachment, Named, Segment

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

    def needs_locks(self, attachment: Attachment) -> bool:
        """Does a switch into this view take locks?"""

    def has_locks(self, thread: Thread, attachment: Attachment) -> bool:
        """Does `thread` hold just what a switch into this view would take?"""


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

    def needs_locks(self, attachment: Attachment) -> bool:
        return False

    def has_locks(self, thread: Thread, attachment: Attachment) -> bool:
        return True


@dataclass(slots=True)
class AtSwitch:
    """SpaceJMP's locks.  `held` are the segments each thread holds, `waits` the one
    it waits for."""

    tasks: Tasks
    segments: dict[int, Segment]
    name: str = "switch"
    held: dict[int, list[int]] = field(default_factory=dict)
    waits: dict[int, int] = field(default_factory=dict)
    target: dict[int, int] = field(default_factory=dict)
    """The view for which a thread has given up its old locks: it is on its way there."""

    def admit(self, named: Named, kind: int) -> None:
        """Anybody may attach."""

    def enter(self, thread: Thread, attachment: Attachment | None) -> None:
        # BEGIN SOLUTION lab6.segment_lock
        goal = attachment.view.id if attachment else 0
        if self.target.get(thread.tid) != goal:
            self.leave(thread)
            self.target[thread.tid] = goal
        for sid, alone in self._needed(attachment):
            segment = self.segments[sid]
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
        self.tasks.machine.charge(costs.TABLE_LOOKUP, len(kinds))
        lockable = [sid for sid in sorted(kinds) if self.segments[sid].lockable]
        return [(sid, bool(kinds[sid] & WRITE)) for sid in lockable]
        # END SOLUTION lab6.segment_lock
        # PROMPT lab6.segment_lock: the VAS's segments and the attachment's own, by id.

    def _take(self, thread: Thread, segment: Segment, alone: bool) -> None:
        """Take one lock, or a place in its queue.  Raises `Blocked`."""
        # BEGIN SOLUTION lab6.segment_lock
        segment.queue.setdefault(thread.tid, alone)
        place = list(segment.queue).index(thread.tid)
        before = [*segment.holders.values(), *list(segment.queue.values())[:place]]
        self.tasks.machine.charge(costs.QUEUE_LOOK, len(before))
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
            segment = self.segments[waited_for]
            del segment.queue[thread.tid]
            self._next(segment)
        for sid in self.held.pop(thread.tid, []):
            segment = self.segments[sid]
            self._left(segment, thread, segment.holders.pop(thread.tid))
            self._next(segment)
        # END SOLUTION lab6.segment_lock
        # PROMPT lab6.segment_lock: nothing is held any more, and nothing waited for.

    def join(self, parent: Thread, child: Thread) -> None:
        """A thread made inside is in the same critical section, which ends with the last."""
        for sid in self.held.get(parent.tid, []):
            segment = self.segments[sid]
            segment.holders[child.tid] = segment.holders[parent.tid]
            self.held.setdefault(child.tid, []).append(sid)
            self.tasks.machine.charge(costs.LOCK_CHANGE)

    def awaited(self, attachment: Attachment) -> bool:
        self.tasks.machine.charge(costs.QUEUE_LOOK, len(self.target))
        return attachment.view.id in self.target.values()

    def needs_locks(self, attachment: Attachment) -> bool:
        return bool(self._needed(attachment))

    def has_locks(self, thread: Thread, attachment: Attachment) -> bool:
        held = self.held.get(thread.tid, [])
        needed = self._needed(attachment)
        return [(sid, self.segments[sid].holders[thread.tid]) for sid in held] == needed

    def _next(self, segment: Segment) -> None:
        """Each thread that waits looks again."""
        self.tasks.machine.charge(costs.QUEUE_LOOK, len(segment.queue))
        self.tasks.wake(("vas_lock", segment.id, 0))

    def _came(self, segment: Segment, thread: Thread, alone: bool) -> None:
        """The thread is inside no earlier than the time at which the threads that it excludes have
        left.  Cores are up to a turn apart, so its core waits for that time, as if it spun."""
        core = self.tasks.machine.core
        after = max(segment.left_at) if alone else segment.left_at[True]
        core.state.cycles = max(core.state.cycles, after)
        self._emit(segment, thread, 2 if alone else 1)

    def _left(self, segment: Segment, thread: Thread, alone: bool) -> None:
        segment.left_at[alone] = max(segment.left_at[alone], self.tasks.now())
        self._emit(segment, thread, 0)

    def _emit(self, segment: Segment, thread: Thread, how: int) -> None:
        """Charge and trace it.  The core whose clock is behind has its turn: it may come here."""
        machine = self.tasks.machine
        machine.charge(costs.LOCK_CHANGE)
        if len(machine.cores) > 1:
            machine.core.leave = True
        if machine.trace:
            machine.trace.emit(SEG_LOCK, segment.id, thread.tid, how)
