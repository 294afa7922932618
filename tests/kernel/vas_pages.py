"""A small model of VASes: dictionaries of pages, and counts."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Page:
    """What a page shows.  `cell` holds its first byte; pages that show the same memory share it.

    `grows`: it belongs to a stack.
    """

    cell: list[int]
    prot: int
    shared: bool = False
    segment: int = 0
    grows: bool = False


@dataclass
class Home:
    """A process's own pages, and what it has attached."""

    pages: dict[int, Page] = field(default_factory=dict)
    attached: dict[int, tuple[bool, dict[int, Page]]] = field(default_factory=dict)
    """By vid: whether attached for writing, and the pages of this attachment alone."""
    top: int = 0
    segments: set[int] = field(default_factory=set)


@dataclass
class Shared:
    """A VAS or a segment: its pages, and the attachments in use."""

    pages: dict[int, Page] = field(default_factory=dict)
    readers: int = 0
    writers: int = 0
    segments: dict[int, bool] = field(default_factory=dict)

    def admits(self, write: bool) -> bool:
        return not self.writers and not (write and self.readers)

    def count(self, write: bool, change: int) -> None:
        if write:
            self.writers += change
        else:
            self.readers += change
