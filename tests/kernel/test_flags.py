"""Flags: a call that has any refuses those that it does not know, so that they can mean something
later; nothing is done then."""

from __future__ import annotations

import pytest

from kernel.abi.errno import E
from tests.kernel.vas_world import PAGE, World

CWD = -100
FILE, TEXT, OUT = "file", "text", "out"
"""A descriptor of a file in /tmp; its path; room for an answer."""
BAD = 1 << 30

Call = tuple[str, tuple[int | str, ...]]

CALLS: list[Call] = [
    ("close_range", (900, 901, BAD)),
    ("dup3", (FILE, 9, BAD)),
    ("epoll_create1", (BAD,)),
    ("eventfd2", (0, BAD)),
    ("faccessat2", (CWD, TEXT, 0, BAD)),
    ("faccessat2", (CWD, TEXT, BAD, 0)),
    ("fchmodat2", (CWD, TEXT, 0o600, BAD)),
    ("fchownat", (CWD, TEXT, -1, -1, BAD)),
    ("getrandom", (OUT, 1, BAD)),
    ("linkat", (CWD, TEXT, CWD, TEXT, BAD)),
    ("membarrier", (0, BAD, 0)),
    ("memfd_create", (TEXT, 1 << 25)),
    ("mlock2", (OUT, 1, BAD)),
    ("mlockall", (BAD | 1,)),
    ("mremap", (OUT, PAGE, PAGE, BAD, 0)),
    ("msync", (OUT, 1, BAD)),
    ("newfstatat", (CWD, TEXT, OUT, BAD)),
    ("pidfd_getfd", (FILE, 0, BAD)),
    ("pidfd_open", (1, BAD)),
    ("pidfd_send_signal", (FILE, 0, 0, BAD)),
    ("pipe2", (OUT, BAD)),
    ("process_vm_readv", (1, OUT, 0, OUT, 0, BAD)),
    ("process_vm_writev", (1, OUT, 0, OUT, 0, BAD)),
    ("renameat2", (CWD, TEXT, CWD, TEXT, BAD)),
    ("statx", (CWD, TEXT, BAD, 0, OUT)),
    ("unlinkat", (CWD, TEXT, BAD)),
    ("utimensat", (CWD, TEXT, 0, BAD)),
    ("wait4", (-1, 0, BAD >> 4, 0)),
    ("socketpair", (1, BAD | 1, 0, OUT)),
    ("waitid", (0, 0, OUT, BAD >> 4 | 4, 0)),
]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[0])
def test_an_unknown_flag_is_refused_and_nothing_is_done(call: Call) -> None:
    world = World()
    path = b"/tmp/a\0"
    fd = world.ask("open", world.put(path), 0o102, 0o640)
    assert fd >= 0
    given = {FILE: fd, TEXT: world.page, OUT: world.page + 2048}
    name, arguments = call
    numbers = [given[a] if isinstance(a, str) else a for a in arguments]
    assert world.ask(name, *numbers) == -E.INVAL
    assert world.process.space.read(world.page, PAGE) == path.ljust(PAGE, b"\0")
    assert sorted(world.thread.descriptors.handles) == [0, 1, 2, fd]
    assert world.ask("newfstatat", CWD, world.page, world.page + 2048, 0) == 0
    mode = world.process.space.read(world.page + 2048 + 24, 4)
    assert int.from_bytes(mode, "little") == 0o100640
