"""Files in NVM: the file server once more, at /nvm, with a tree that outlives the power.

Every file has frames in the NVM module for all of its pages, so a mapping of it is the memory
itself (DAX), and MAP_SYNC holds (mmap(2)).  The tree is one record on the medium.  It is saved with
every change of a name, a size, rights or an owner.  What write(2) does to a file is durable with
fsync(2).  There are regular files and directories, and nothing else.

A record's body: the number of nodes (4), the nodes, the entries of directories (`_NODE`, `_ENTRY`;
an entry is followed by its name).  A node names its object, from 1; 0: it has none.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Message, Port, Reply, moved
from kernel.abi.nodes import O_CREAT, O_TMPFILE, O_TRUNC, S_IFDIR, S_IFMT, S_IFREG
from kernel.servers.files import Files
from kernel.servers.tree import Entry, Inode, Moved, Tree

PLACE = b"/nvm"
DEVICE = 0x2B
"""st_dev of the files here."""
CHANGES = frozenset(
    "truncate allocate chmod chown utimens mkdir mknod unlink link rename sync".split()
)
"""What changes the tree, besides an open that makes a file or cuts it off."""
_COUNT = struct.Struct("<I")
_NODE = struct.Struct("<QIIIIQqqqQ")
_ENTRY = struct.Struct("<QQQH")


@dataclass(slots=True)
class NvmFiles(Files):
    """`Files`, with its objects and its tree in NVM."""

    name: str = "nvm"

    def handle(self, message: Message, port: Port) -> Reply:
        own = OWN.get(str(message.operation))
        try:
            reply = own(self, message, port) if own else Files.handle(self, message, port)
        except Moved as away:
            return moved(away.place, away.rest)
        if message.operation in CHANGES or (
            message.operation == "open" and message.words[0] & (O_CREAT | O_TRUNC)
        ):
            self.save(port)
        return reply

    def restarted(self) -> NvmFiles:
        return NvmFiles(self.tree)

    def save(self, port: Port) -> None:
        """The medium has the tree as it is now.  Raises ENOSPC."""
        nodes = [node for node in self.tree.inodes.values() if node.links]
        caps = [node.cap for node in nodes if node.cap]
        numbers = {cap: number for number, cap in enumerate(caps, 1)}
        parts = [_COUNT.pack(len(nodes))]
        for node in nodes:
            size = port.size(node.cap) if node.cap else 0
            who = (node.number, node.mode, node.uid, node.gid, numbers.get(node.cap, 0))
            times = (node.accessed, node.modified, node.changed)
            parts.append(_NODE.pack(*who, size, *times, node.parent))
        for node in nodes:
            for name, entry in node.entries.items():
                row = (node.number, entry.cookie, entry.number, len(name))
                parts.append(_ENTRY.pack(*row) + name)
        port.keep_files(b"".join(parts), caps)

    def _cap(self, node: Inode, port: Port) -> int:
        if node.kind == S_IFREG and not node.cap:
            node.cap = port.publish(b"", node.number, kept=True)
        return Files._cap(self, node, port)

    def _sync(self, message: Message, port: Port) -> Reply:
        """fsync: the pages of a file, and with the message's end the tree."""
        node = self._node(message)
        if node.cap:
            port.flush(node.cap)
        return Reply()

    def _open(self, message: Message, port: Port) -> Reply:
        if message.words[0] & O_TMPFILE == O_TMPFILE:
            raise KernelError(E.OPNOTSUPP)
        return Files._open(self, message, port)

    def _mknod(self, message: Message, port: Port) -> Reply:
        if message.words[0] & S_IFMT not in (0, S_IFREG, S_IFDIR):
            raise KernelError(E.PERM)
        return Files._mknod(self, message, port)

    def _symlink(self, message: Message, port: Port) -> Reply:
        raise KernelError(E.PERM)

    def _stat(self, message: Message, port: Port) -> Reply:
        reply = Files._stat(self, message, port)
        return Reply(words=(DEVICE, *reply.words[1:]))

    def _path(self, message: Message, port: Port) -> Reply:
        path = self.tree.path(self._node(message))
        return Reply(data=(PLACE + path).rstrip(b"/"))


OWN: dict[str, Callable[[NvmFiles, Message, Port], Reply]] = {
    name: getattr(NvmFiles, f"_{name}") for name in "sync open mknod symlink stat path".split()
}


def fresh_tree(now: int) -> Tree:
    """An empty tree, in which everybody may make files."""
    tree = Tree(born=now)
    tree[1].mode = S_IFDIR | 0o1777
    return tree


def tree_of(body: bytes, cap_of: Callable[[int, int, int], int]) -> Tree:
    """The tree of a record.  `cap_of` makes an object anew: its number from 1, its size, its inode.

    Raises struct.error and KeyError for what nobody has written.
    """
    tree = Tree()
    (count,) = _COUNT.unpack_from(body)
    at, inodes = _COUNT.size, dict[int, Inode]()
    for _ in range(count):
        number, mode, uid, gid, made, size, *times, parent = _NODE.unpack_from(body, at)
        at += _NODE.size
        node = inodes[number] = Inode(number, mode, uid, gid, times[0], times[1], times[2], parent)
        node.links = 2 if node.is_directory else 0
        node.cap = cap_of(made, size, number) if made else 0
    while at < len(body):
        directory, cookie, number, length = _ENTRY.unpack_from(body, at)
        name = body[at + _ENTRY.size : at + _ENTRY.size + length]
        at += _ENTRY.size + length
        above, node = inodes[directory], inodes[number]
        above.entries[name] = Entry(cookie, number)
        above.cookies = max(above.cookies, cookie + 1)
        above.links += node.is_directory
        node.name = name
        node.links += 0 if node.is_directory else 1
    tree.inodes, tree.made = inodes, max(inodes)
    return tree
