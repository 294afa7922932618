"""Waiting for files: threads that sleep until a pipe, a terminal or an event has changed.

Servers answer at once (`kernel.abi.message`).  A call that gets -EAGAIN sleeps here on the badge it
asked about, `poll` and `epoll` on several; the server says when one of them has changed, and the
calls are executed again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kernel.abi.errno import Blocked
from kernel.abi.message import ANYTHING
from kernel.abi.nodes import POLLERR, POLLHUP, POLLIN, POLLRDNORM
from kernel.sched.tasks import Tasks
from kernel.task.descriptors import Handle
from kernel.task.process import Call, Thread
from kernel.wait import userfault
from kernel.wait.userfault import UserFault

ALWAYS = POLLERR | POLLHUP
"""What poll(2) and epoll(7) tell unasked."""
Key = tuple[int, int]
"""Endpoint and badge: what a server says has changed."""


@dataclass(slots=True, eq=False)
class Interest:
    """What an epoll instance wants to know of one descriptor.

    `armed`: something has changed since it was last reported, which is what EPOLLET asks for.
    """

    handle: Handle
    events: int
    data: int
    owner: Epoll
    """The instance that watches."""
    armed: bool = True


@dataclass(slots=True, eq=False)
class Epoll(Handle):
    """An epoll instance: a descriptor that no server stands behind.

    Its endpoint is 0, its badge its own: that key changes when it watches something else.
    """

    interests: dict[int, Interest] = field(default_factory=dict)
    """By descriptor number."""

    def nested(self) -> list[Epoll]:
        """The instances that this one watches."""
        handles = (interest.handle for interest in self.interests.values())
        return [handle for handle in handles if isinstance(handle, Epoll)]

    def height(self) -> int:
        """How many instances are below each other in this one."""
        return max((1 + inner.height() for inner in self.nested()), default=0)

    def leads_to(self, other: Epoll) -> bool:
        """Does this one watch `other`, be it through others, or is it the same?"""
        return self is other or any(inner.leads_to(other) for inner in self.nested())


@dataclass(slots=True)
class Readiness:
    """`watchers`: the threads that poll a key, in order; `interests`: what epoll has of it."""

    tasks: Tasks
    watchers: dict[Key, dict[int, None]] = field(default_factory=dict)
    interests: dict[Key, list[Interest]] = field(default_factory=dict)
    instances: int = 0
    """How many epoll instances were made."""

    def new_epoll(self) -> Epoll:
        """An epoll instance that watches nothing."""
        self.instances += 1
        return Epoll(0, self.instances)

    def outside(self, epoll: Epoll) -> int:
        """How many instances are above each other around this one."""
        watching = self.interests.get((epoll.endpoint, epoll.badge), ())
        return max((1 + self.outside(interest.owner) for interest in watching), default=0)

    def _arm(self, key: Key, events: int) -> None:
        """Report a change by edge, in every instance around too."""
        for interest in self.interests.get(key, ()):
            if (interest.events | ALWAYS) & events:
                interest.armed = True
                self._arm((interest.owner.endpoint, interest.owner.badge), POLLIN | POLLRDNORM)

    def changed(self, endpoint: int, badge: int, events: int = ANYTHING) -> None:
        """The threads that wait for this badge try again."""
        key = endpoint, badge
        self._arm(key, events)
        if self.tasks.channels:
            self.tasks.wake(("ready", endpoint, badge))
            for tid in list(self.watchers.get(key, ())):
                self.tasks.wake(("poll", tid, 0))

    def wait_for(self, handle: Handle) -> Blocked:
        """To raise where a call has to wait for `handle`."""
        return Blocked(("ready", handle.endpoint, handle.badge))

    def wait_for_any(self, thread: Thread, call: Call, keys: list[Key]) -> Blocked:
        """To raise where a call has to wait for the first of several keys."""
        call.watched = keys
        for key in keys:
            self.watchers.setdefault(key, {})[thread.tid] = None
        return Blocked(("poll", thread.tid, 0))

    def unwatch(self, thread: Thread, call: Call) -> None:
        """The call is executed again, or has ended."""
        for key in call.watched:
            watchers = self.watchers.get(key, {})
            watchers.pop(thread.tid, None)
            if not watchers:
                self.watchers.pop(key, None)
        call.watched = []

    def server_restarted(self, endpoint: int) -> None:
        """The threads that wait for one of its badges ask the new server."""
        asleep = [(c[1], c[2]) for c in self.tasks.channels if c[0] == "ready"]
        for key in [*asleep, *self.watchers]:
            if key[0] == endpoint:
                self.changed(*key)

    # What epoll is interested in ------------------------------------------------------------------

    def add_interest(self, interest: Interest) -> None:
        key = interest.handle.endpoint, interest.handle.badge
        self.interests.setdefault(key, []).append(interest)

    def drop_interest(self, interest: Interest) -> None:
        key = interest.handle.endpoint, interest.handle.badge
        self.interests[key].remove(interest)
        if not self.interests[key]:
            del self.interests[key]

    def closed(self, handle: Handle) -> None:
        """The last descriptor is gone: of an instance, or of one that no server is behind."""
        if isinstance(handle, Epoll):
            for interest in handle.interests.values():
                self.drop_interest(interest)
        elif isinstance(handle, UserFault):
            userfault.close(self.tasks, handle)


def keys_of(handle: Handle) -> list[Key]:
    """What to watch to know that `handle` may have become ready."""
    keys = [(handle.endpoint, handle.badge)]
    if isinstance(handle, Epoll):
        for interest in handle.interests.values():
            keys += keys_of(interest.handle)
    return keys
