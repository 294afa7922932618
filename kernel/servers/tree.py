"""The tree of names: inodes, directories, and how a path leads to an inode (path_resolution(7)).

Invariants: an inode's `links` is the number of names that lead to it; a directory's is 2, and one
more for each directory in it.  An inode exists while it has links or opens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Message
from kernel.abi.nodes import (
    EXECUTE,
    F_SEAL_SEAL,
    MAX_LINKS,
    MAX_NAME_BYTES,
    PERMISSIONS,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_ISGID,
    S_ISUID,
    S_ISVTX,
    S_IXGRP,
    WRITE,
)
from kernel.servers.pipes import Pipe

MAX_INODES = 1 << 16
ROOT = 1
FIRST_COOKIE = 3
"""The cookie of a directory's first entry; "." and ".." have 1 and 2."""


class Moved(Exception):
    """The path goes on at another server: from `place`, an endpoint and a badge, along `rest`."""

    def __init__(self, place: tuple[int, int], rest: bytes) -> None:
        super().__init__(place, rest)
        self.place, self.rest = place, rest


@dataclass(slots=True)
class Entry:
    """A name in a directory; `cookie` is its place in the order of making."""

    cookie: int
    number: int


@dataclass(slots=True, eq=False)
class Inode:
    """A node of the tree.  `parent` and `name` are its last name.

    A directory has `entries`, a link its `target`, and a FIFO a `pipe`.  A mount leads to `mount`:
    an endpoint and a badge there.  The bytes of a regular file are the memory object `cap`; until
    a program uses the file they are `given`.  Times in nanoseconds since the epoch.
    """

    number: int
    mode: int
    uid: int
    gid: int
    accessed: int
    modified: int
    changed: int
    parent: int = ROOT
    name: bytes = b""
    links: int = 0
    opens: int = 0
    entries: dict[bytes, Entry] = field(default_factory=dict)
    cookies: int = FIRST_COOKIE
    target: bytes = b""
    cap: int = 0
    given: bytes = b""
    special: int = 0
    linkable: bool = False
    """It may get a name though it has none: a file of O_TMPFILE without O_EXCL (open(2))."""
    seals: int = F_SEAL_SEAL
    """What nobody may do with it any more (`kernel.servers.seals`)."""
    writers: int = 0
    """How many of its opens are for writing."""
    pipe: Pipe | None = None
    mount: tuple[int, int] | None = None

    @property
    def kind(self) -> int:
        return self.mode & S_IFMT

    @property
    def is_directory(self) -> bool:
        return self.mode & S_IFMT == S_IFDIR

    def touch(self, now: int) -> None:
        """Its content has changed."""
        self.modified = self.changed = now


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads: to a name in a directory, and to the node with that name, if any.

    The name is b"." or b".." where the path ends so, or leads to its start.
    """

    parent: Inode
    name: bytes
    node: Inode | None
    slash: bool
    """The path ends with a slash."""

    def existing(self) -> Inode:
        """Raises ENOENT."""
        if self.node is None:
            raise KernelError(E.NOENT)
        return self.node


@dataclass(slots=True)
class Tree:
    """All inodes by number.  `born` is the time of boot, and of the files that the host gave."""

    inodes: dict[int, Inode] = field(default_factory=dict)
    made: int = 0
    born: int = 0
    above: tuple[int, int] | None = None
    """Where ".." leads from the root of a tree that is mounted in another: endpoint and badge."""

    def __post_init__(self) -> None:
        if not self.inodes:
            root = self.make(S_IFDIR | 0o755, 0, 0, self.born)
            root.links = 2

    def __getitem__(self, number: int) -> Inode:
        found = self.inodes.get(number)
        if found is None:
            raise KernelError(E.IO)
        return found

    def make(self, mode: int, uid: int, gid: int, now: int) -> Inode:
        """An inode without a name.  Raises ENOSPC."""
        if len(self.inodes) >= MAX_INODES:
            raise KernelError(E.NOSPC)
        self.made += 1
        made = self.inodes[self.made] = Inode(self.made, mode, uid, gid, now, now, now)
        return made

    # Paths --------------------------------------------------------------------------------------

    def walk(
        self,
        start: int,
        path: bytes,
        who: Message,
        *,
        follow: bool = True,
        by_name: bool = False,
        creates: bool = False,
    ) -> Place:
        """Follow `path` from `start`; only its last name may be missing.

        `follow`: go through a link at the end.  A slash at the end asks for a directory, and goes
        through a link in any case, unless the caller wants the name itself (`by_name`).
        Raises ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG, and `Moved`; EISDIR where the caller
        `creates` a file and a link's slash asks for a directory.
        """
        node = self[ROOT] if path.startswith(b"/") else self[start]
        todo, slash = _names(path), path.endswith(b"/")
        parent, name, links = node, b".", 0
        while todo:
            name = todo.pop()
            if name not in (b".", b".."):
                child = self.step(node, name, who, last=not todo)
                if child is None:
                    return Place(node, name, None, slash)
                if child.mount is not None:
                    raise Moved(child.mount, _rest(todo, slash))
                if child.kind != S_IFLNK or not (todo or (not by_name and (follow or slash))):
                    parent, node = node, child
                    continue
                links += 1
                if links > MAX_LINKS:
                    raise KernelError(E.LOOP)
                slash = slash or (not todo and child.target.endswith(b"/"))
                todo += _names(child.target)
                node = self[ROOT] if child.target.startswith(b"/") else node
                parent, name = node, b"."
                continue
            self.may_search(node, who)
            if name == b".." and node.number == ROOT and self.above is not None:
                raise Moved(self.above, _rest(todo, slash) or b".")
            if name == b"..":
                node = self[node.parent]
            parent = node
        if slash and not by_name and not node.is_directory:
            raise KernelError(E.ISDIR if creates else E.NOTDIR)
        return Place(parent, name, node, slash)

    def step(self, directory: Inode, name: bytes, who: Message, *, last: bool) -> Inode | None:
        """The node with this name; None if it is missing and the last name of a path."""
        self.may_search(directory, who)
        if len(name) > MAX_NAME_BYTES:
            raise KernelError(E.NAMETOOLONG)
        entry = directory.entries.get(name)
        if entry is not None:
            return self.inodes[entry.number]
        if not last:
            raise KernelError(E.NOENT)
        return None

    def may_search(self, directory: Inode, who: Message) -> None:
        if not directory.is_directory:
            raise KernelError(E.NOTDIR)
        check(directory, who, EXECUTE)

    def path(self, node: Inode) -> bytes:
        """The absolute path of a node; " (deleted)" marks one without a name, as on Linux."""
        names, at = [], node
        while at.number != ROOT:
            names.append(at.name)
            at = self.inodes.get(at.parent, self[ROOT])
        gone = b" (deleted)" if not node.links else b""
        return b"/" + b"/".join(reversed(names)) + gone

    def is_within(self, node: Inode, ancestor: Inode) -> bool:
        """Is directory `node` the directory `ancestor`, or below it?"""
        while node is not ancestor and node.number != ROOT:
            node = self.inodes[node.parent]
        return node is ancestor

    # Names --------------------------------------------------------------------------------------

    def create(self, place: Place, mode: int, who: Message, now: int) -> Inode:
        """A new node at a place that is free.  Raises EEXIST, EACCES, ENOENT, ENOSPC."""
        if place.node is not None:
            raise KernelError(E.EXIST)
        self.may_change(place.parent, who)
        gid, inherited = who.gid, 0
        if place.parent.mode & S_ISGID:
            gid = place.parent.gid
            inherited = S_ISGID if mode & S_IFMT == S_IFDIR else 0
        node = self.make(mode | inherited, who.uid, gid, now)
        self.link(place.parent, place.name, node, now)
        return node

    def may_change(self, directory: Inode, who: Message) -> None:
        """May `who` make and remove names there?  Raises EACCES; ENOENT: it has no name itself."""
        if not directory.links:
            raise KernelError(E.NOENT)
        check(directory, who, WRITE | EXECUTE)

    def may_remove(self, directory: Inode, node: Inode, who: Message) -> None:
        """Raises EACCES; EPERM: another user's node in a sticky directory; EBUSY: a mount."""
        self.may_change(directory, who)
        if directory.mode & S_ISVTX and who.uid not in (0, node.uid, directory.uid):
            raise KernelError(E.PERM)
        if node.mount is not None or node.number == ROOT:
            raise KernelError(E.BUSY)

    def link(self, directory: Inode, name: bytes, node: Inode, now: int) -> None:
        """Give `node` a name that is free."""
        directory.entries[name] = Entry(directory.cookies, node.number)
        directory.cookies += 1
        directory.modified = directory.changed = node.changed = now
        node.parent, node.name = directory.number, name
        if node.is_directory:
            node.links += 2
            directory.links += 1
        else:
            node.links += 1

    def unlink(self, directory: Inode, name: bytes, now: int) -> Inode:
        """Remove a name; returns the node that it led to."""
        node = self.inodes[directory.entries.pop(name).number]
        directory.touch(now)
        node.changed = now
        node.links -= 2 if node.is_directory else 1
        directory.links -= node.is_directory
        return node

    def children(self, directory: Inode, cookie: int) -> Iterator[tuple[int, bytes, Inode]]:
        """(cookie, name, node) of each entry behind `cookie`, "." and ".." first."""
        for own, name, number in ((1, b".", directory.number), (2, b"..", directory.parent)):
            if cookie < own:
                yield own, name, self.inodes[number]
        for name, entry in directory.entries.items():
            if entry.cookie > cookie:
                yield entry.cookie, name, self.inodes[entry.number]


def check(node: Inode, who: Message, wanted: int) -> None:
    """Raises EACCES unless `who` has the `wanted` rights: as owner, else as group, else as other.

    Root may do anything, but not execute a file that nobody may execute.
    """
    if who.uid == 0:
        may = node.is_directory or not wanted & EXECUTE or node.mode & 0o111
    else:
        if who.uid == node.uid:
            granted = node.mode >> 6
        elif node.gid == who.gid or node.gid in who.groups:
            granted = node.mode >> 3
        else:
            granted = node.mode
        may = not wanted & ~granted
    if not may:
        raise KernelError(E.ACCES)


def owns(node: Inode, who: Message) -> None:
    """Raises EPERM unless `who` is the owner or root."""
    if who.uid not in (0, node.uid):
        raise KernelError(E.PERM)


def drop_set_id(node: Inode, who: Message) -> None:
    """A store, or another owner, takes the set-id bits from a file (chown(2)): setgid only where
    the group may execute, or `who` is not in it."""
    node.mode &= ~S_ISUID
    if node.mode & S_IXGRP or (who.uid and node.gid not in (who.gid, *who.groups)):
        node.mode &= ~S_ISGID


def permissions(mode: int, who: Message) -> int:
    """The mode that a new node gets."""
    return mode & PERMISSIONS & ~who.umask


def _names(path: bytes) -> list[bytes]:
    """The names of a path, the last one first."""
    return [name for name in reversed(path.split(b"/")) if name]


def _rest(todo: list[bytes], slash: bool) -> bytes:
    """What is left of a path; a slash at its end asks for a directory."""
    rest = b"/".join(reversed(todo))
    return (rest + b"/" if rest else b".") if slash else rest
