"""Descriptors: the open files of a process, and the numbers that it knows them by (open(2))."""

from __future__ import annotations

from dataclasses import dataclass, field

from kernel.abi.errno import E, KernelError
from kernel.abi.nodes import O_NONBLOCK, O_RDWR

MAX_DESCRIPTORS = 1024
"""The default RLIMIT_NOFILE."""
PROCESSES = -1
"""The endpoint of descriptors for processes (pidfd_open(2)), whose badge is the pid.  There is no
server behind it."""


@dataclass(slots=True, eq=False)
class Handle:
    """An open file description (open(2)), which descriptors of one or several processes share.

    The server behind `endpoint` knows it by its `badge`.  `flags` are the access mode, O_APPEND,
    O_NONBLOCK and O_PATH.  Only a `seekable` one has an `offset`.  It is closed when nothing
    `holds` it any more: no descriptor, and no message that it travels in (`kernel.ipc.parcels`).
    """

    endpoint: int
    badge: int
    holds: int = 0
    flags: int = O_RDWR
    seekable: bool = False
    offset: int = 0
    in_flight: int = 0
    """How many of the holds are those of messages."""
    receive_limit: int = 0
    send_limit: int = 0
    """How many cycles a call on a socket waits at most; 0: for ever; -1: it does not wait."""

    @property
    def blocks(self) -> bool:
        """Does a call wait until the server can serve it?"""
        return not self.flags & O_NONBLOCK

    def set_blocking(self, *, blocks: bool) -> None:
        self.flags = self.flags & ~O_NONBLOCK | (0 if blocks else O_NONBLOCK)


@dataclass(slots=True, eq=False)
class Descriptors:
    """The descriptors of a process: a capability table, where the lowest free number is next."""

    handles: dict[int, Handle] = field(default_factory=dict)
    closes_on_exec: set[int] = field(default_factory=set)
    """The numbers that execve closes."""
    first_free: int = 0
    """No number below it is free."""
    limit: int = field(default_factory=lambda: MAX_DESCRIPTORS)
    """RLIMIT_NOFILE."""
    holders: int = 1
    """The processes and threads that have this table (CLONE_FILES)."""

    def add(self, handle: Handle, lowest: int = 0, *, closes_on_exec: bool = False) -> int:
        """Install `handle` at the lowest free number.  Raises EMFILE."""
        number = self.lowest_free(lowest)
        if lowest <= self.first_free:
            self.first_free = number + 1
        self.put(number, handle, closes_on_exec=closes_on_exec)
        return number

    def lowest_free(self, lowest: int = 0) -> int:
        """The number that the next descriptor gets.  Raises EMFILE."""
        number = max(lowest, self.first_free)
        while number in self.handles:
            number += 1
        if number >= self.limit:
            raise KernelError(E.MFILE)
        return number

    def put(self, number: int, handle: Handle, *, closes_on_exec: bool = False) -> None:
        """Install `handle` at a number that is free."""
        self.handles[number] = handle
        handle.holds += 1
        if closes_on_exec:
            self.closes_on_exec.add(number)

    def remove(self, number: int) -> Handle:
        """Free a number; the caller has to close the handle.  Raises EBADF."""
        handle = self.get(number)
        del self.handles[number]
        self.closes_on_exec.discard(number)
        self.first_free = min(self.first_free, number)
        return handle

    def mark(self, number: int, *, closes_on_exec: bool) -> None:
        """Say whether execve closes a descriptor."""
        if closes_on_exec:
            self.closes_on_exec.add(number)
        else:
            self.closes_on_exec.discard(number)

    def copy(self) -> Descriptors:
        """The table of a child after fork."""
        for handle in self.handles.values():
            handle.holds += 1
        held, closing = dict(self.handles), set(self.closes_on_exec)
        return Descriptors(held, closing, self.first_free, self.limit)

    def process(self, number: int) -> Handle:
        """A descriptor for a process.  Raises EBADF: it is none."""
        handle = self.get(number)
        if handle.endpoint != PROCESSES:
            raise KernelError(E.BADF)
        return handle

    def get(self, number: int) -> Handle:
        """Raises EBADF."""
        handle = self.handles.get(number)
        if handle is None:
            raise KernelError(E.BADF)
        return handle
