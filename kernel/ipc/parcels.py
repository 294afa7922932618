"""Parcels: descriptors that travel in messages between sockets (unix(7), SCM_RIGHTS).

A server knows a parcel by its id only.  The core keeps the open files in it, which stay open while
they travel.  A socket can travel too, even in its own queue.  When no process has a descriptor for
such sockets any more, nobody can ever receive what is in them: `collect` finds them, as a tracing
garbage collector does (Linux, net/unix/garbage.c).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hw import costs
from hw.machine import Machine
from kernel.task.descriptors import Handle
from kernel.wait.ready import Key


@dataclass(slots=True, eq=False)
class Parcel:
    """The descriptors of one message."""

    handles: tuple[Handle, ...]
    receiver: Key
    """The socket through which a process can get at it."""
    uid: int
    """The sender, whose RLIMIT_NOFILE is also a limit for all that he has in flight."""


@dataclass(slots=True)
class Parcels:
    """All that is in flight."""

    machine: Machine
    parcels: dict[int, Parcel] = field(default_factory=dict)
    waiting: dict[Key, list[int]] = field(default_factory=dict)
    """Which parcels wait in a socket."""
    users: dict[int, int] = field(default_factory=dict)
    """How many descriptors each user has in flight."""
    dropped: list[Handle] = field(default_factory=list)
    """Open files that a lost parcel held, and that are still to close."""
    suspect: bool = False
    """A socket with parcels in it can be reached through messages only: `collect` shall look."""
    made: int = 0

    def next_id(self) -> int:
        """The id of the next parcel."""
        return self.made + 1

    def send(self, handles: list[Handle], receiver: Key, uid: int) -> None:
        """Descriptors are on their way, under the id that `next_id` told."""
        self.made += 1
        self.parcels[self.made] = Parcel(tuple(handles), receiver, uid)
        self.waiting.setdefault(receiver, []).append(self.made)
        self.users[uid] = self.users.get(uid, 0) + len(handles)
        self.machine.charge(costs.DESCRIPTOR_COPY, len(handles))
        for handle in handles:
            handle.holds += 1
            handle.in_flight += 1

    def take(self, number: int) -> tuple[Handle, ...]:
        """A parcel has arrived: from now on the caller holds its open files."""
        parcel = self.parcels.pop(number, None)
        if parcel is None:
            return ()
        waiting = self.waiting[parcel.receiver]
        waiting.remove(number)
        if not waiting:
            del self.waiting[parcel.receiver]
        left = self.users[parcel.uid] - len(parcel.handles)
        if left:
            self.users[parcel.uid] = left
        else:
            del self.users[parcel.uid]
        self.machine.charge(costs.DESCRIPTOR_COPY, len(parcel.handles))
        for handle in parcel.handles:
            handle.in_flight -= 1
        return parcel.handles

    def look(self, number: int) -> tuple[Handle, ...]:
        """As `take`, but the parcel stays on its way too (MSG_PEEK)."""
        parcel = self.parcels.get(number)
        handles = parcel.handles if parcel is not None else ()
        self.machine.charge(costs.DESCRIPTOR_COPY, len(handles))
        for handle in handles:
            handle.holds += 1
        return handles

    def discard(self, number: int) -> None:
        """A parcel is lost: its open files are to close."""
        self.dropped += self.take(number)

    # Sockets that nobody can reach ------------------------------------------------------------

    def note_closed(self, handle: Handle) -> None:
        """A descriptor has gone, others hold the open file still: are those messages only?"""
        if handle.holds == handle.in_flight and _key(handle) in self.waiting:
            self.suspect = True

    def collect(self) -> None:
        """Discard the parcels that no process can receive any more."""
        self.suspect = False
        size = sum(len(parcel.handles) for parcel in self.parcels.values())
        self.machine.charge(costs.QUEUE_LOOK, size + len(self.parcels))
        for number in self.unreachable():
            self.discard(number)

    def unreachable(self) -> list[int]:
        """The parcels that no process can receive: their sockets are held by such parcels only."""
        flying = (handle for parcel in self.parcels.values() for handle in parcel.handles)
        hidden = {
            key
            for handle in flying
            if handle.holds == handle.in_flight and (key := _key(handle)) in self.waiting
        }
        work: list[int] = []
        for key, some in self.waiting.items():
            work += some if key not in hidden else []
        reached = set(work)
        while work:
            for handle in self.parcels[work.pop()].handles:
                key = _key(handle)
                if key in hidden:
                    hidden.remove(key)
                    work += self.waiting[key]
                    reached.update(self.waiting[key])
        return [number for number in self.parcels if number not in reached]


def _key(handle: Handle) -> Key:
    return handle.endpoint, handle.badge
