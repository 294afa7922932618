"""Waiting for files: who sleeps until a pipe, a terminal or an event has changed.

Servers answer at once (`kernel.abi.message`).  A call that gets -EAGAIN sleeps here on the badge it
asked about, `poll` and `epoll` on several; the server says when one of them has changed, and the
calls are executed again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kernel.abi.errno import Blocked
from kernel.task.process import Call, Handle, Thread

if TYPE_CHECKING:
    from kernel.kernel import Kernel

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
    armed: bool = True


@dataclass(slots=True, eq=False)
class Epoll(Handle):
    """An epoll instance: a descriptor that no server stands behind."""

    interests: dict[int, Interest] = field(default_factory=dict)
    """By descriptor number."""


@dataclass(slots=True)
class Readiness:
    """`watchers`: the threads that poll a key, in order; `interests`: what epoll has of it."""

    kernel: Kernel
    watchers: dict[Key, dict[int, None]] = field(default_factory=dict)
    interests: dict[Key, list[Interest]] = field(default_factory=dict)

    def changed(self, endpoint: int, badge: int) -> None:
        """Whoever waits for this badge tries again."""
        key = endpoint, badge
        for interest in self.interests.get(key, ()):
            interest.armed = True
        if self.kernel.channels:
            self.kernel.wake(("ready", endpoint, badge))
            for tid in list(self.watchers.get(key, ())):
                self.kernel.wake(("poll", tid, 0))

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
        """Everybody who waits for one of its badges asks the new server."""
        asleep = [(c[1], c[2]) for c in self.kernel.channels if c[0] == "ready"]
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
        """The last descriptor of an epoll instance is gone."""
        if isinstance(handle, Epoll):
            for interest in handle.interests.values():
                self.drop_interest(interest)


def keys_of(handle: Handle) -> list[Key]:
    """What to watch to know that `handle` may have become ready."""
    if not isinstance(handle, Epoll):
        return [(handle.endpoint, handle.badge)]
    handles = (interest.handle for interest in handle.interests.values())
    return [(watched.endpoint, watched.badge) for watched in handles]
