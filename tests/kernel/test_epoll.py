"""epoll and pidfds, where an instance watches several descriptors (epoll(7), pidfd_open(2))."""

from __future__ import annotations

import struct

import pytest

from kernel.abi.errno import E
from kernel.wait.ready import Epoll
from tests.kernel.vas_world import World

ADD, DELETE, CHANGE = 1, 2, 3
IN, OUT, HUP, ONE_SHOT, EDGE = 1, 4, 0x10, 1 << 30, 1 << 31


class Watching(World):
    """An instance, and eventfds that are ready."""

    def __init__(self) -> None:
        super().__init__()
        self.instance = self.ask("epoll_create1", 0)

    def watch(self, fd: int, events: int, how: int = ADD, data: int | None = None) -> int:
        row = struct.pack("<IQ", events, fd if data is None else data)
        return self.ask("epoll_ctl", self.instance, how, fd, self.put(row))

    def ready(self, room: int = 8) -> list[tuple[int, int]]:
        """(data, events) of what is ready now."""
        count = self.ask("epoll_wait", self.instance, self.page, room, 0)
        assert count >= 0
        data = self.process.space.read(self.page, 12 * count)
        return [(data, events) for events, data in struct.iter_unpack("<IQ", data)]


def test_an_edge_is_told_once_and_does_not_hide_what_is_watched_after_it() -> None:
    w = Watching()
    first, second, third = (w.ask("eventfd2", 1, 0) for _ in range(3))
    assert w.watch(first, IN | EDGE) == w.watch(second, IN) == 0
    assert w.watch(third, IN | ONE_SHOT, data=99) == 0
    assert sorted(w.ready()) == [(first, IN), (second, IN), (99, IN)]
    assert w.ready() == w.ready() == [(second, IN)]
    assert w.watch(third, IN | ONE_SHOT, CHANGE) == 0
    assert sorted(w.ready()) == [(second, IN), (third, IN)]
    w.ask("write", first, w.put(struct.pack("<Q", 1)), 8)
    assert sorted(w.ready()) == [(first, IN), (second, IN)]


def test_those_that_were_not_told_come_first_next_time() -> None:
    w = Watching()
    fds = [w.ask("eventfd2", 1, 0) for _ in range(3)]
    for fd in fds:
        assert w.watch(fd, IN) == 0
    assert [w.ready(1)[0][0] for _ in range(6)] == fds * 2


def test_what_is_closed_is_watched_no_more() -> None:
    w = Watching()
    first, second = w.ask("eventfd2", 1, 0), w.ask("eventfd2", 1, 0)
    copy = w.ask("dup", first)
    assert w.watch(first, IN) == w.watch(second, IN) == 0
    w.ask("close", first)
    assert sorted(w.ready()) == [(first, IN), (second, IN)]  # its open file is open still
    w.ask("close", copy)
    assert w.ready() == [(second, IN)]
    instance = w.thread.descriptors.get(w.instance)
    assert isinstance(instance, Epoll)
    assert list(instance.interests) == [second]
    assert w.watch(second, IN) == -E.EXIST
    assert w.watch(second, 0, DELETE) == 0
    assert w.watch(second, 0, DELETE) == w.watch(second, IN, CHANGE) == -E.NOENT
    assert w.ready() == []
    assert w.ask("eventfd2", 1, 0) == first  # the number is another file's now
    assert w.watch(first, IN) == 0
    assert w.ready() == [(first, IN)]


@pytest.mark.parametrize("waited", [False, True])
def test_a_pidfd_is_readable_when_its_process_ends_and_hangs_up_when_it_is_gone(
    waited: bool,
) -> None:
    w = Watching()
    child = w.ask("fork")
    pidfd = w.ask("pidfd_open", child, 0)
    assert w.watch(pidfd, IN | OUT) == 0
    assert w.ready() == []
    w.kernel.life.exit_process(w.kernel.tasks.processes[child], 0)
    if waited:
        assert w.ask("wait4", child, 0, 0, 0) == child
    assert w.ready() == [(pidfd, IN | HUP if waited else IN)]
