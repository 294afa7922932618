"""The names of the file server: making, linking, moving and removing them.

What is behind a name is the business of `kernel.servers.files`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Message, Port, Reply
from kernel.abi.nodes import S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, WRITE
from kernel.servers.pipes import Pipe
from kernel.servers.tree import ROOT, Inode, Moved, Place, Tree, check, permissions

READ_END, WRITE_END = 1 << 40, 1 << 41
NUMBER = READ_END - 1
RENAME_NOREPLACE = 1


@dataclass(slots=True)
class Directories:
    """Each operation is a method, as in `Files`."""

    tree: Tree = field(default_factory=Tree)

    # Inside -------------------------------------------------------------------------------------

    def _node(self, message: Message) -> Inode:
        return self.tree[message.badge & NUMBER]

    def _place(
        self,
        message: Message,
        *,
        follow: bool = True,
        by_name: bool = False,
        creates: bool = False,
    ) -> Place:
        path = message.data.partition(b"\0")[0]
        start = message.badge & NUMBER
        return self.tree.walk(start, path, message, follow=follow, by_name=by_name, creates=creates)

    def _drop_if_gone(self, node: Inode, port: Port) -> None:
        if not node.links and not node.opens:
            del self.tree.inodes[node.number]
            if node.cap:
                port.drop(node.cap, self.tree.path(node))

    # Names --------------------------------------------------------------------------------------

    def _mkdir(self, message: Message, port: Port) -> Reply:
        mode = S_IFDIR | permissions(message.words[0], message) & 0o1777
        self.tree.create(self._place(message, by_name=True), mode, message, port.now())
        return Reply()

    def _mknod(self, message: Message, port: Port) -> Reply:
        mode = message.words[0]
        kind = mode & S_IFMT or S_IFREG
        if kind == S_IFDIR:
            raise KernelError(E.PERM)
        if kind not in (S_IFREG, S_IFIFO):
            raise KernelError(E.PERM if message.uid else E.INVAL)
        place = self._new_place(message)
        node = self.tree.create(place, kind | permissions(mode, message), message, port.now())
        if kind == S_IFIFO:
            node.pipe = Pipe()
        return Reply()

    def _new_place(self, message: Message) -> Place:
        """Where something that is no directory shall be made."""
        place = self._place(message, by_name=True)
        if place.slash and place.node is None:
            raise KernelError(E.NOENT)
        return place

    def _symlink(self, message: Message, port: Port) -> Reply:
        target = message.data.partition(b"\0")[2]
        if not target:
            raise KernelError(E.NOENT)
        node = self.tree.create(self._new_place(message), S_IFLNK | 0o777, message, port.now())
        node.target = target
        return Reply()

    def _readlink(self, message: Message, port: Port) -> Reply:
        node = self._place(message, follow=False).existing()
        if node.kind != S_IFLNK:
            raise KernelError(E.INVAL)
        return Reply(data=node.target)

    def _unlink(self, message: Message, port: Port) -> Reply:
        place = self._place(message, by_name=True)
        node = place.existing()
        if message.words[0]:
            self._check_rmdir(place, node)
        elif place.slash or node.is_directory or place.name in (b".", b".."):
            raise KernelError(E.ISDIR if node.is_directory else E.NOTDIR)
        self.tree.may_remove(place.parent, node, message)
        if node.is_directory and node.entries:
            raise KernelError(E.NOTEMPTY)
        self.tree.unlink(place.parent, place.name, port.now())
        self._drop_if_gone(node, port)
        return Reply()

    def _check_rmdir(self, place: Place, node: Inode) -> None:
        if not node.is_directory:
            raise KernelError(E.NOTDIR)
        if node.number == ROOT:
            raise KernelError(E.BUSY)
        if place.name in (b".", b".."):
            raise KernelError(E.INVAL if place.name == b"." else E.NOTEMPTY)

    def _link(self, message: Message, port: Port) -> Reply:
        place, node = self._new_place(message), self.tree[message.words[0] & NUMBER]
        if place.node is not None:
            raise KernelError(E.EXIST)
        if node.is_directory:
            raise KernelError(E.PERM)
        self.tree.may_change(place.parent, message)
        if not node.links and not node.linkable:
            raise KernelError(E.NOENT)
        self.tree.link(place.parent, place.name, node, port.now())
        return Reply()

    def _parent(self, message: Message, port: Port) -> Reply:
        """Split a path in front of its last name, which need not exist."""
        path = message.data.partition(b"\0")[0]
        stem = path.rstrip(b"/")
        head, slash, name = stem.rpartition(b"/")
        above = head + slash or (b"/" if path.startswith(b"/") else b"")
        last = (name or b".") + path[len(stem) :]
        try:
            place = self.tree.walk(message.badge & NUMBER, above, message)
        except Moved as away:
            raise Moved(away.place, away.rest.rstrip(b"/") + b"/" + last) from away
        directory = place.existing()
        self.tree.may_search(directory, message)
        return Reply(words=(directory.number,), data=last)

    def _rename(self, message: Message, port: Port) -> Reply:
        number, flags = message.words
        names = message.data.split(b"\0")
        if flags & ~RENAME_NOREPLACE:
            raise KernelError(E.INVAL)
        if {name.rstrip(b"/") for name in names} & {b".", b".."}:
            raise KernelError(E.BUSY)
        old = self._place(message, by_name=True)
        moving = old.existing()
        new = self.tree.walk(number, names[1], message, by_name=True)
        if new.node is not None and flags & RENAME_NOREPLACE:
            raise KernelError(E.EXIST)
        if (old.slash or new.slash) and not moving.is_directory:
            raise KernelError(E.NOTDIR)
        if moving.is_directory and self.tree.is_within(new.parent, moving):
            raise KernelError(E.INVAL)
        target = new.node
        if target is not None and target.is_directory and self.tree.is_within(old.parent, target):
            raise KernelError(E.NOTEMPTY)
        if new.node is not moving:
            self._move(old, new, moving, message, port)
        return Reply()

    def _move(self, old: Place, new: Place, moving: Inode, who: Message, port: Port) -> None:
        self.tree.may_remove(old.parent, moving, who)
        self.tree.may_change(new.parent, who)
        target, now = new.node, port.now()
        if target is not None:
            self.tree.may_remove(new.parent, target, who)
            self._check_replaced(moving, target)
        if moving.is_directory and old.parent is not new.parent:
            check(moving, who, WRITE)
        if target is not None:
            self.tree.unlink(new.parent, new.name, now)
            self._drop_if_gone(target, port)
        self.tree.unlink(old.parent, old.name, now)
        self.tree.link(new.parent, new.name, moving, now)

    def _check_replaced(self, moving: Inode, target: Inode) -> None:
        if moving.is_directory and not target.is_directory:
            raise KernelError(E.NOTDIR)
        if target.is_directory and not moving.is_directory:
            raise KernelError(E.ISDIR)
        if target.entries:
            raise KernelError(E.NOTEMPTY)
