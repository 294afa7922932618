"""How the views of a process follow each other: a policy, chosen at boot (`--vas-sync`).

`subtree`, here, shares page tables, so that there is nothing to follow.  `kernel.vas.forward`
pushes every change to every view; `kernel.vas.rfc` copies, as the RFC did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from kernel.abi.errno import KernelError
from kernel.mm.memory import Memory
from kernel.mm.regions import Region
from kernel.mm.space import AddressSpace
from kernel.vas.records import Attachment, Vas
from kernel.vas.view import LayeredView, View


class Sync(Protocol):
    """What the kernel asks of a policy."""

    name: ClassVar[str]

    def attach(self, home: AddressSpace, vas: Vas, writable: bool) -> View:
        """A view of `vas` for the process whose own space is `home`.  Raises EFAULT, ENOMEM."""

    def switch(self, home: AddressSpace, source: AddressSpace, target: AddressSpace) -> None:
        """A thread of `home` is about to go from one view to another.  Raises EFAULT."""

    def detach(self, attachment: Attachment) -> None:
        """The attachment is about to end.  Raises EFAULT if what it changed fits nowhere."""

    def show_private(self, attachment: Attachment, region: Region) -> None:
        """Show a segment in this attachment alone.  Raises EFAULT, ENOMEM."""

    def hide_private(self, attachment: Attachment, start: int, end: int) -> None:
        """Undo `show_private`."""

    def forked(self, attachment: Attachment) -> None:
        """The process's own memory is copy-on-write from now on."""


@dataclass(slots=True)
class Layered:
    """What `subtree` and `forward` have in common: a view shows layers, and owns nothing."""

    memory: Memory

    def switch(self, home: AddressSpace, source: AddressSpace, target: AddressSpace) -> None:
        """Every view shows the same memory at any time."""

    def detach(self, attachment: Attachment) -> None:
        """What was mapped inside is the VAS's already."""

    def show_private(self, attachment: Attachment, region: Region) -> None:
        view, layer = attachment.view, attachment.private
        assert isinstance(view, LayeredView)
        if layer is None:
            layer = self.memory.new_space(runs=False)
            try:
                view.show_layer(layer)
            except KernelError:
                layer.destroy()
                raise
            attachment.private = layer
        layer.map_region(region)

    def hide_private(self, attachment: Attachment, start: int, end: int) -> None:
        assert attachment.private is not None
        attachment.private.remove(start, end)

    def forked(self, attachment: Attachment) -> None:
        """The tables are the same ones, or were told."""


@dataclass(slots=True)
class Subtree(Layered):
    """Page-table subtrees are shared (Barrelfish's way)."""

    name: ClassVar[str] = "subtree"

    def attach(self, home: AddressSpace, vas: Vas, writable: bool) -> View:
        return LayeredView(*self.memory.for_space(), home=home, vas=vas.space, writable=writable)
