"""The errors of persistence, as cases for tests/kernel/test_vas_calls.py."""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests.kernel.images import MODE, MemoryImage, booted
from tests.kernel.system import LAST
from tests.kernel.vas_world import HERE, OWNER, PAGE, R, World

KEPT = struct.pack("<III", MODE, 1000, 100)
"""Attributes with VAS_PERSISTENT; without an NVM module there is no such thing."""


def _no_room(_: World) -> int:
    world = booted(MemoryImage())
    world.kernel.memory.frames.zone.free.clear()
    result = world.vas("one", MODE)
    LAST.clear()
    return result


def _filled(pages: int, *, stays: bool = False) -> tuple[World, int]:
    """A machine with NVM, and a VAS with memory of its own that is not persistent."""
    world = booted(MemoryImage())
    vid = world.inside()
    assert world.ask("mmap", HERE, pages * PAGE, 3, 0x32, -1, 0) == HERE
    assert world.ask("vas_switch", 0) == 0
    if not stays:
        assert world.ask("vas_detach", 0, vid) == 0
    return world, vid


def _busy(_: World) -> int:
    world, vid = _filled(1, stays=True)
    return world.ask("vas_setattr", vid, world.put(KEPT))


def _too_large(_: World) -> int:
    world, vid = _filled(300)
    return world.ask("vas_setattr", vid, world.put(KEPT))


def _past_the_limit(_: World) -> int:
    world, vid = _filled(100)
    world.kernel.vases.account(OWNER.uid).limit = 50
    return world.ask("vas_setattr", vid, world.put(KEPT))


def _holds_another(_: World) -> int:
    world = booted(MemoryImage())
    vid = world.vas()
    assert world.ask("vas_seg_attach", vid, world.segment(), R) == 0
    return world.ask("vas_setattr", vid, world.put(KEPT))


def _shows_another(_: World) -> int:
    world = booted(MemoryImage())
    return world.ask("vas_seg_attach", world.vas(mode=MODE), world.segment(), R)


def _is_frozen(_: World) -> int:
    """A checkpoint's own record would be lost."""
    world = booted(MemoryImage())
    vid = world.ask("vas_fork", world.ask("fork"))
    assert vid > 0
    return world.ask("vas_setattr", vid, world.put(KEPT))


def _is_mapped(_: World) -> int:
    """A mapping of /segs/NAME shows the pages that would have to move."""
    world = booted(MemoryImage())
    sid = world.segment("shown")
    fd = world.ask("open", world.put(b"/segs/shown\0"), 2)
    assert fd >= 0
    assert world.ask("mmap", 0, PAGE, 3, 1, fd, 0) > 0
    return world.ask("vas_seg_setattr", sid, world.put(KEPT))


KEPT_CASES: tuple[tuple[str, str, Callable[[World], int]], ...] = (
    ("vas_create", "ENODEV", lambda w: w.vas("one", MODE)),
    ("vas_seg_create", "ENODEV", lambda w: w.segment("one", mode=MODE)),
    ("vas_setattr", "ENODEV", lambda w: w.ask("vas_setattr", w.vas(), w.put(KEPT))),
    ("vas_create", "ENOSPC", _no_room),
    ("vas_seg_create", "ENOSPC", lambda w: booted(MemoryImage()).segment("x", HERE, 300, MODE)),
    ("vas_setattr", "EBUSY", _busy),
    ("vas_setattr", "ENOSPC", _too_large),
    ("vas_setattr", "ENOMEM", _past_the_limit),
    ("vas_setattr", "EOPNOTSUPP", _holds_another),
    ("vas_setattr", "EOPNOTSUPP", _is_frozen),
    ("vas_seg_setattr", "EBUSY", _is_mapped),
    ("vas_seg_attach", "EOPNOTSUPP", _shows_another),
)
