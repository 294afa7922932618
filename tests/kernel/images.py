"""Images of NVM modules in memory, and machines that boot on them again and again."""

from __future__ import annotations

from typing import Any

from hw.nvm import PowerCut
from kernel import invariants
from kernel.nvm.check import formatted, read
from kernel.vas.persistent import PERSISTENT
from tests.kernel.system import LAST, NVM_MIB
from tests.kernel.vas_world import World

MODE = 0o600 | PERSISTENT
SIZE = NVM_MIB << 20


class MemoryImage:
    """The durable side of a module, as bytes."""

    def __init__(self, data: bytes | None = None) -> None:
        self.data = bytearray(
            data if data is not None else formatted(SIZE // 4096).ljust(SIZE, b"\0")
        )
        self.syncs = 0

    def read(self, offset: int, size_bytes: int) -> bytes:
        return bytes(self.data[offset : offset + size_bytes]).ljust(size_bytes, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        assert offset + len(data) <= len(self.data)
        self.data[offset : offset + len(data)] = data

    def sync(self) -> None:
        self.syncs += 1


def booted(image: MemoryImage, **wishes: Any) -> World:
    """A machine with this module."""
    return World(nvm=image, **wishes)


def after_power_cut(world: World, image: MemoryImage, seed: int = 1, **wishes: Any) -> World:
    """The power is gone, and comes back."""
    world.kernel.machine.nvm.lose_power(seed)
    return again(image, **wishes)


def again(image: MemoryImage, **wishes: Any) -> World:
    """A machine boots on what is durable now; all of its invariants hold."""
    LAST.clear()
    found = read(image.read, len(image.data))
    assert not found.problems
    world = booted(image, **wishes)
    invariants.check(world.kernel)
    return world


__all__ = ["MODE", "MemoryImage", "PowerCut", "after_power_cut", "again", "booted"]
