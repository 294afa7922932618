"""Mode, owner and group of a VAS or a segment, set by whoever has checked that it may."""

from __future__ import annotations

from kernel.vas.persistent import PERSISTENT
from kernel.vas.records import MODE_MASK, Named
from kernel.vas.vases import Vases


def set_attributes(vases: Vases, named: Named, mode: int, user: int, group: int) -> None:
    """Of the mode only read and write count; a new owner pays from now on."""
    named.mode, named.group = named.mode & PERSISTENT | mode & MODE_MASK, group
    if user != named.user:
        vases.give(named, user)
