"""All memory of the system: frames, objects, translations, and the address spaces made of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from hw import costs
from hw.machine import Machine
from kernel.mm import frames
from kernel.mm.eager import EagerObjects
from kernel.mm.frames import Frames
from kernel.mm.objects import Objects
from kernel.mm.shootdown import Shootdowns
from kernel.mm.space import AddressSpace

TABLES_OF_A_SPACE = 4


@dataclass(slots=True)
class Memory:
    """The root of the memory system.  `kuser_pfn` is the code page that every space shows."""

    machine: Machine
    pcids: int
    eager: bool
    frames: Frames = field(init=False)
    objects: Objects = field(init=False)
    shootdowns: Shootdowns = field(init=False)
    kuser_pfn: int = field(init=False)
    spaces_made: int = 0

    def __post_init__(self) -> None:
        self.frames = Frames(self.machine)
        self.objects = EagerObjects(self.frames) if self.eager else Objects(self.frames)
        self.shootdowns = Shootdowns(self.machine, self.frames, self.pcids)
        self.kuser_pfn = self.frames.allocate(frames.KERNEL)

    def new_space_id(self) -> int:
        self.spaces_made += 1
        return self.spaces_made

    def for_space(self, *, runs: bool = True) -> tuple[int, Objects, Shootdowns, int]:
        """What every address space is made of.  Nobody `runs` in one that only views show."""
        self.objects.reserve(TABLES_OF_A_SPACE)
        self.machine.charge(costs.RECORD_CREATE)
        kuser_pfn = self.kuser_pfn if runs else 0
        return self.new_space_id(), self.objects, self.shootdowns, kuser_pfn

    def new_space(self, *, runs: bool = True) -> AddressSpace:
        """An empty address space.  Raises ENOMEM."""
        return AddressSpace(*self.for_space(runs=runs))

    def retire_space(self, space: AddressSpace) -> None:
        """The last thread has left `space`."""
        self.shootdowns.forget(space)
        space.destroy()
