"""Open files of a process as an image, and again as open files.

A file is known by its path, a terminal by its stream.  A pipe is part of the image if nobody else
has an end of it; an event counter too.  What leads to somebody outside is not: a socket, a pipe of
others.  As descriptor 0, 1 or 2 it counts as the process's standard stream, which a restarted
process has from whoever restarts it; as another descriptor it cannot be kept.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from kernel.abi.errno import E, KernelError
from kernel.abi.message import MOVED, Reply
from kernel.abi.nodes import MAX_LINKS, O_DIRECTORY, O_PATH, S_IFIFO, S_IFMT
from kernel.ipc import paths
from kernel.ipc.endpoints import Endpoints
from kernel.task.descriptors import Descriptors, Handle
from kernel.task.image import CONSOLE, EVENT, FILE, OUTER, PIPE, OpenFile, PipeImage
from kernel.task.process import Process, Thread

STANDARD = (0, 1, 2)


class CannotKeep(KernelError):
    """No image can be made; `why` says so.  EOPNOTSUPP: never of such a process; EBUSY: not now."""

    def __init__(self, why: str, number: E = E.OPNOTSUPP) -> None:
        super().__init__(number)
        self.why = why


# Into an image ----------------------------------------------------------------------------------


@dataclass(slots=True)
class Keeper:
    """Describes the open files of one process; `pipes` are the numbers of those in the image."""

    ipc: Endpoints
    descriptors: Descriptors
    numbers: dict[Handle, list[int]] = field(init=False)
    pipes: dict[int, int] = field(default_factory=dict)
    images: list[PipeImage] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.numbers = {}
        for number, handle in sorted(self.descriptors.handles.items()):
            self.numbers.setdefault(handle, []).append(number)

    def keep(self) -> tuple[tuple[OpenFile, ...], tuple[PipeImage, ...]]:
        """Raises `CannotKeep`."""
        files = tuple(self._open_file(handle) for handle in self.numbers)
        return files, tuple(self.images)

    def _open_file(self, handle: Handle) -> OpenFile:
        numbers = self.numbers[handle]
        known = self.ipc.well_known
        if not self.ipc.serves_files(handle):
            raise CannotKeep(f"descriptor {numbers[0]} is no open file")
        if handle.endpoint == known.console.endpoint:
            return self._made(handle, CONSOLE, number=handle.badge)
        if handle.endpoint == known.pipes.endpoint:
            return self._of_pipes(handle)
        if handle.endpoint == known.sockets.endpoint:
            return self._outer(handle, "a socket")
        path = name_of(self.ipc, handle.endpoint, handle.badge)
        if path is None:
            raise CannotKeep(f"descriptor {numbers[0]} is a file without a name")
        status = self.ipc.ask(handle.endpoint, handle.badge, "stat", (0,)).words
        if status[2] & S_IFMT == S_IFIFO:
            return self._outer(handle, "a FIFO")
        return self._made(handle, FILE, path=path, offset=handle.offset)

    def _made(
        self,
        handle: Handle,
        kind: str,
        *,
        path: bytes = b"",
        offset: int = 0,
        number: int = 0,
        end: int = 0,
    ) -> OpenFile:
        numbers = self.numbers[handle]
        return OpenFile(
            kind=kind,
            numbers=tuple(numbers),
            closes_on_exec=tuple(n for n in numbers if n in self.descriptors.closes_on_exec),
            flags=handle.flags,
            offset=offset,
            path=path,
            number=number,
            end=end,
        )

    def _outer(self, handle: Handle, what: str) -> OpenFile:
        if self.numbers[handle][0] not in STANDARD:
            number = self.numbers[handle][0]
            raise CannotKeep(f"descriptor {number} is {what}, whose other end is not in it")
        return self._made(handle, OUTER)

    def _of_pipes(self, handle: Handle) -> OpenFile:
        """A pipe or an event counter."""
        told = self.ipc.ask(handle.endpoint, handle.badge, "keep")
        if len(told.words) == 2:
            if handle.holds != len(self.numbers[handle]):
                return self._outer(handle, "an event counter")
            value, semaphore = told.words
            return self._made(handle, EVENT, number=value, end=semaphore)
        if not self._is_inner(handle, told):
            return self._outer(handle, "a pipe")
        number = handle.badge >> 1
        if number not in self.pipes:
            self.pipes[number] = len(self.images)
            capacity, readers, writers = told.words
            self.images.append(PipeImage(capacity, readers, writers, told.data))
        return self._made(handle, PIPE, number=self.pipes[number], end=handle.badge & 1)

    def _is_inner(self, handle: Handle, told: Reply) -> bool:
        """Has this process all opens of the pipe, and nobody else a descriptor for one of them?"""
        _, readers, writers = told.words
        number, own = handle.badge >> 1, Counter[int]()
        for other, numbers in self.numbers.items():
            if other.endpoint == handle.endpoint and other.badge >> 1 == number:
                own[other.badge & 1] += 1
                if other.holds != len(numbers):
                    return False
        return (own[0], own[1]) == (readers, writers)


def name_of(ipc: Endpoints, endpoint: int, badge: int) -> bytes | None:
    """The path that leads to an open file; None if it has no name any more, or never had one."""
    path = ipc.ask(endpoint, badge, "path").data
    if not path.startswith(b"/"):
        return None
    wanted = ipc.ask(endpoint, badge, "stat", (0,)).words[:2]
    at, rest = ipc.well_known.root, path
    for _ in range(MAX_LINKS):
        reply = ipc.ask(at.endpoint, at.badge, "stat", (1,), rest)
        if reply.result < 0:
            return None
        if reply.label != MOVED:
            return path if reply.words[:2] == wanted else None
        at, rest = ipc.node(reply.caps[0], reply.words[0]), reply.data
    return None


# Out of an image --------------------------------------------------------------------------------


@dataclass(slots=True)
class Opened:
    """What a restarted process will have open.  Each handle has one hold for being here."""

    cwd: Handle
    files: list[tuple[OpenFile, Handle]] = field(default_factory=list)

    def close(self, ipc: Endpoints) -> None:
        """They are here no longer."""
        ipc.close(self.cwd)
        for _, handle in self.files:
            ipc.close(handle)

    def install(self, ipc: Endpoints, limit: int) -> Descriptors:
        """A table with all files, in which `limit` is RLIMIT_NOFILE; they are here no longer."""
        made = Descriptors(limit=limit)
        for file, handle in self.files:
            for number in file.numbers:
                made.put(number, handle, closes_on_exec=number in file.closes_on_exec)
        for _, handle in self.files:
            ipc.close(handle)
        return made


def reopen(
    ipc: Endpoints,
    caller: Thread,
    process: Process,
    cwd: bytes,
    files: tuple[OpenFile, ...],
    pipes: tuple[PipeImage, ...],
) -> Opened:
    """Open everything for `process`, with the rights of `caller`.

    Raises ENOENT, EACCES and the other errors of open(2); nothing is open then.
    """
    opened = Opened(_held(_by_path(ipc, caller, cwd, O_PATH | O_DIRECTORY)))
    try:
        for file in files:
            if file.kind == FILE:
                handle = _by_path(ipc, caller, file.path, file.flags)
                handle.flags, handle.offset = file.flags, file.offset
                opened.files.append((file, _held(handle)))
    except KernelError:
        opened.close(ipc)
        raise
    ends = [_remade(ipc, pipe) for pipe in pipes]
    for file in files:
        other = _found(process, file) if file.kind != FILE else None
        other = other or _made(ipc, file, ends)
        if other is not None:
            opened.files.append((file, _held(other)))
    return opened


def _held(handle: Handle) -> Handle:
    handle.holds += 1
    return handle


def _by_path(ipc: Endpoints, caller: Thread, path: bytes, flags: int) -> Handle:
    return paths.open_file(ipc, caller, ipc.well_known.root, path, flags, 0)


def _found(process: Process, file: OpenFile) -> Handle | None:
    """A standard stream that `process` has already."""
    is_standard = file.kind in (CONSOLE, OUTER) and file.numbers[0] in STANDARD
    return process.descriptors.handles.get(file.numbers[0]) if is_standard else None


def _made(ipc: Endpoints, file: OpenFile, ends: list[tuple[int, int]]) -> Handle | None:
    """An open file that needs no path; None for a FILE, and for a standard stream that led out of
    the image: its descriptors are closed from now on."""
    known = ipc.well_known
    if file.kind == CONSOLE:
        return Handle(known.console.endpoint, file.number, flags=file.flags)
    if file.kind == PIPE:
        return Handle(known.pipes.endpoint, ends[file.number][file.end], flags=file.flags)
    if file.kind == EVENT:
        words = (file.number, file.end)
        (badge,) = ipc.ask(known.pipes.endpoint, 0, "eventfd", words).words
        return Handle(known.pipes.endpoint, badge, flags=file.flags)
    return None


def _remade(ipc: Endpoints, pipe: PipeImage) -> tuple[int, int]:
    """The badges of its ends: for reading, for writing."""
    words = (pipe.capacity, pipe.readers, pipe.writers)
    reader, writer = ipc.ask(ipc.well_known.pipes.endpoint, 0, "remake", words, pipe.content).words
    return reader, writer
