"""The file server: a writable tree in memory, with the files that the host gave at boot.

A badge is an inode number; an open FIFO adds a bit for each end, a file the one for writing.  The
server keeps a count of the opens of a node and nothing else of an open file, so a restarted server
goes on with all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Message, Port, Reply, entries_that_fit, fitting, moved
from kernel.abi.nodes import (
    EXECUTE,
    FILES_DEVICE,
    KEEP,
    NOW,
    O_ACCMODE,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOFOLLOW,
    O_PATH,
    O_RDWR,
    O_TMPFILE,
    O_TRUNC,
    O_WRONLY,
    POLLIN,
    POLLOUT,
    READ,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    S_ISGID,
    WRITE,
    Stat,
    pack_entry,
)
from kernel.servers.pipes import Pipe
from kernel.servers.tree import (
    MAX_INODES,
    ROOT,
    Inode,
    Moved,
    Place,
    Tree,
    check,
    drop_set_id,
    owns,
    permissions,
)

READ_END, WRITE_END = 1 << 40, 1 << 41
NUMBER = READ_END - 1
MAX_FILE_BYTES = 1 << 40
RENAME_NOREPLACE = 1
RESERVE = 16
"""Files leave one frame in 16 free, so that programs do not starve."""


@dataclass(slots=True)
class Files:
    """Each operation is a method; `OPERATIONS` finds it by name."""

    tree: Tree = field(default_factory=Tree)
    name: str = "files"

    def handle(self, message: Message, port: Port) -> Reply:
        operation = OPERATIONS.get(str(message.operation))
        if operation is None:
            raise KernelError(E.NOTTY if message.operation == "ioctl" else E.INVAL)
        try:
            return operation(self, message, port)
        except Moved as away:
            return moved(away.place, away.rest)

    def interrupt(self, port: Port) -> None:
        """It has no device."""

    def restarted(self) -> Files:
        """The tree stays."""
        return Files(self.tree)

    def give(self, path: bytes, mode: int, content: bytes, owner: tuple[int, int] = (0, 0)) -> None:
        """At boot: put a file, link or directory at `path`, unless it is there."""
        at, names = self.tree[ROOT], [name for name in path.split(b"/") if name]
        for name in names[:-1]:
            at = self._given(at, name, S_IFDIR | 0o755, (0, 0))
        node = self._given(at, names[-1], mode, owner)
        if node.kind == S_IFLNK:
            node.target = node.target or content
        elif node.kind == S_IFREG:
            node.given = node.given or content

    def mount(self, path: bytes, mode: int, endpoint: int, badge: int) -> None:
        """At boot: let another server answer from `path` on."""
        self.give(path, mode, b"")
        self.tree[self.number_of(path)].mount = endpoint, badge

    def number_of(self, path: bytes) -> int:
        """The inode number of a path without links or dots."""
        at = self.tree[ROOT]
        for name in path.split(b"/")[1:]:
            at = self.tree[at.entries[name].number]
        return at.number

    def _given(self, directory: Inode, name: bytes, mode: int, owner: tuple[int, int]) -> Inode:
        if name not in directory.entries:
            (uid, gid), now = owner, self.tree.born
            self.tree.link(directory, name, self.tree.make(mode, uid, gid, now), now)
        return self.tree[directory.entries[name].number]

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

    def _cap(self, node: Inode, port: Port) -> int:
        """The memory object of a regular file."""
        if node.kind != S_IFREG:
            raise KernelError(E.ISDIR if node.is_directory else E.INVAL)
        if not node.cap:
            node.cap, node.given = port.publish(node.given, node.number), b""
        return node.cap

    def _size(self, node: Inode, port: Port) -> int:
        if node.kind == S_IFLNK:
            return len(node.target)
        if node.is_directory:
            return 20 * (2 + len(node.entries))
        return port.size(node.cap) if node.cap else len(node.given)

    def _drop_if_gone(self, node: Inode, port: Port) -> None:
        if not node.links and not node.opens:
            del self.tree.inodes[node.number]
            if node.cap:
                port.drop(node.cap, self.tree.path(node))

    # Open files ---------------------------------------------------------------------------------

    def _open(self, message: Message, port: Port) -> Reply:
        flags, mode = message.words
        creates = bool(flags & O_CREAT)
        follow = not (flags & O_NOFOLLOW or (creates and flags & O_EXCL))
        by_name = creates and message.data.endswith(b"/")
        place = self._place(message, follow=follow, by_name=by_name, creates=creates)
        node = self._made_or_found(place, flags, mode, message, port)
        node.opens += 1
        if node.kind == S_IFIFO and not flags & O_PATH:
            return self._open_fifo(node, flags & O_ACCMODE, port)
        writes = node.kind == S_IFREG and flags & O_ACCMODE and not flags & O_PATH
        node.writers += bool(writes)
        return Reply(words=(node.number | (WRITE_END if writes else 0), 1, 0))

    def _made_or_found(
        self, place: Place, flags: int, mode: int, message: Message, port: Port
    ) -> Inode:
        node, now = place.node, port.now()
        if flags & O_TMPFILE and not flags & O_PATH:
            return self._unnamed(place.existing(), flags, mode, message, now)
        if flags & O_CREAT and place.slash and place.name not in (b".", b".."):
            raise KernelError(E.ISDIR)
        if node is None:
            if not flags & O_CREAT:
                raise KernelError(E.NOENT)
            return self.tree.create(place, S_IFREG | permissions(mode, message), message, now)
        if flags & O_CREAT and flags & O_EXCL:
            raise KernelError(E.EXIST)
        if flags & O_DIRECTORY and not node.is_directory:
            raise KernelError(E.NOTDIR)
        if node.kind == S_IFLNK and not flags & O_PATH:
            raise KernelError(E.LOOP)
        if not flags & O_PATH:
            self._may_open(node, flags, message)
            if flags & (O_ACCMODE | O_TRUNC):
                self._refuse_running(node, port)
            if flags & O_TRUNC and node.kind == S_IFREG:
                self._resize(node, 0, port)
        return node

    def _may_open(self, node: Inode, flags: int, who: Message) -> None:
        writes = flags & O_ACCMODE or flags & O_TRUNC
        if node.is_directory and (writes or flags & O_CREAT):
            raise KernelError(E.ISDIR)
        reads = flags & O_ACCMODE != O_WRONLY
        check(node, who, (READ if reads else 0) | (WRITE if writes else 0))

    def _refuse_running(self, node: Inode, port: Port) -> None:
        """Raises ETXTBSY for a program that runs: nobody may change it meanwhile."""
        if node.cap and port.is_running(node.cap):
            raise KernelError(E.TXTBSY)

    def _unnamed(
        self, directory: Inode, flags: int, mode: int, message: Message, now: int
    ) -> Inode:
        """O_TMPFILE: a file without a name."""
        if not directory.is_directory or not flags & O_ACCMODE:
            raise KernelError(E.INVAL if directory.is_directory else E.NOTDIR)
        self.tree.may_change(directory, message)
        made = S_IFREG | permissions(mode, message)
        node = self.tree.make(made, message.uid, message.gid, now)
        node.parent, node.name = directory.number, b"#%d" % node.number
        node.linkable = not flags & O_EXCL
        return node

    def _open_fifo(self, node: Inode, access: int, port: Port) -> Reply:
        """The reply says how often the other end was opened before.  So `_meet` notices an open
        that comes later, even one that is closed again by then."""
        pipe = node.pipe = node.pipe or Pipe()
        ends = {0: READ_END, O_WRONLY: WRITE_END, O_RDWR: READ_END | WRITE_END}[access]
        pipe.enter(reads=bool(ends & READ_END), writes=bool(ends & WRITE_END))
        self._fifo_changed(node, port)
        return Reply(words=(node.number | ends, 0, 1 + self._others(pipe, ends)))

    def _others(self, pipe: Pipe, ends: int) -> int:
        """How often the other end was opened."""
        return pipe.writers_ever if ends & READ_END else pipe.readers_ever

    def _fifo_changed(self, node: Inode, port: Port) -> None:
        for ends in (READ_END, WRITE_END, READ_END | WRITE_END):
            port.changed(node.number | ends)

    def _meet(self, message: Message, port: Port) -> Reply:
        """Was the other end open at any time since this open?  -EAGAIN if not.

        An open of both ends needs no other.
        """
        pipe, (known,) = self._node(message).pipe, message.words
        if pipe is None or (pipe.readers and pipe.writers):
            return Reply()
        if self._others(pipe, message.badge) < known:
            raise KernelError(E.AGAIN)
        return Reply()

    def _capacity(self, message: Message, port: Port) -> Reply:
        node = self._node(message)
        if node.pipe is None:
            raise KernelError(E.BADF)
        reply = Reply(node.pipe.set_capacity(message))
        self._fifo_changed(node, port)
        return reply

    def _close(self, message: Message, port: Port) -> Reply:
        node = self._node(message)
        node.opens -= 1
        if node.pipe is not None and message.badge > NUMBER:
            node.pipe.readers -= message.badge & READ_END != 0
            node.pipe.writers -= message.badge & WRITE_END != 0
            if not node.pipe.readers and not node.pipe.writers:
                node.pipe.slots.clear()
            self._fifo_changed(node, port)
        elif message.badge & WRITE_END:
            node.writers -= 1
        self._drop_if_gone(node, port)
        return Reply()

    # Content ------------------------------------------------------------------------------------

    def _read(self, message: Message, port: Port) -> Reply:
        node, (count, offset, room) = self._node(message), message.words
        if node.pipe is not None:
            reply = Reply(data=node.pipe.read(count, room))
            self._fifo_changed(node, port)
            return reply
        cap, now = self._cap(node, port), port.now()
        if node.accessed <= node.modified:  # as mounted with relatime
            node.accessed = now
        return Reply(data=fitting(port.load(cap, offset, min(count, room or 1)), room))

    def _write(self, message: Message, port: Port) -> Reply:
        node, (offset, count) = self._node(message), message.words
        if node.pipe is not None:
            count = node.pipe.write(message.data, count)
            self._fifo_changed(node, port)
            return Reply(count, words=(0,))
        cap = self._cap(node, port)
        start = port.size(cap) if offset < 0 else offset
        if start + len(message.data) > MAX_FILE_BYTES:
            raise KernelError(E.FBIG)
        if count and not message.data:
            raise KernelError(E.FAULT)
        if message.data:
            self._store(node, start, message.data, port)
            if message.uid:
                drop_set_id(node, message)
        return Reply(len(message.data), words=(start + len(message.data),))

    def _store(self, node: Inode, offset: int, data: bytes, port: Port) -> None:
        total, free = port.memory()
        if free - len(data) // 4096 < total // RESERVE:
            raise KernelError(E.NOSPC)
        port.store(node.cap, offset, data)
        node.touch(port.now())

    def _truncate(self, message: Message, port: Port) -> Reply:
        node, (size,) = self._place(message).existing(), message.words
        if node.is_directory:
            raise KernelError(E.ISDIR)
        if message.data.partition(b"\0")[0]:
            check(node, message, WRITE)
            self._refuse_running(node, port)
        if size > MAX_FILE_BYTES:
            raise KernelError(E.FBIG)
        self._resize(node, size, port)
        return Reply()

    def _resize(self, node: Inode, size: int, port: Port) -> None:
        port.resize(self._cap(node, port), size)
        node.touch(port.now())

    def _poll(self, message: Message, port: Port) -> Reply:
        pipe = self._node(message).pipe
        if pipe is None:
            return Reply(POLLIN | POLLOUT)
        reads, writes = message.badge & READ_END, message.badge & WRITE_END
        return Reply(pipe.ready(reads=bool(reads), writes=bool(writes)))

    def _readdir(self, message: Message, port: Port) -> Reply:
        directory, (cookie, count, room) = self._node(message), message.words
        if not directory.is_directory:
            raise KernelError(E.NOTDIR)
        if not directory.links:
            raise KernelError(E.NOENT)
        entries = (
            (own, pack_entry(node.number, own, name, node.mode))
            for own, name, node in self.tree.children(directory, cookie)
        )
        return entries_that_fit(entries, cookie, count, room)

    def _object(self, message: Message, port: Port) -> Reply:
        node = self._node(message)
        if node.kind != S_IFREG:
            raise KernelError(E.NODEV)
        return Reply(caps=(self._cap(node, port),))

    def _image(self, message: Message, port: Port) -> Reply:
        node = self._place(message).existing()
        if node.kind != S_IFREG:
            raise KernelError(E.ACCES)
        check(node, message, EXECUTE)
        if node.writers:
            raise KernelError(E.TXTBSY)
        words = (node.mode, node.uid, node.gid)
        return Reply(words=words, data=self.tree.path(node), caps=(self._cap(node, port),))

    # What is known of a node --------------------------------------------------------------------

    def _stat(self, message: Message, port: Port) -> Reply:
        node = self._place(message, follow=not message.words[0]).existing()
        size = self._size(node, port)
        pages = port.pages(node.cap) if node.cap else -(-size // 4096)
        found = Stat(
            device=FILES_DEVICE,
            inode=node.number,
            mode=node.mode,
            links=node.links,
            uid=node.uid,
            gid=node.gid,
            special=node.special,
            size_bytes=size,
            blocks=8 * pages if node.kind == S_IFREG else 0,
            accessed=node.accessed,
            modified=node.modified,
            changed=node.changed,
        )
        return Reply(words=found)

    def _access(self, message: Message, port: Port) -> Reply:
        mode, nofollow = message.words
        node = self._place(message, follow=not nofollow).existing()
        if mode:
            check(node, message, mode)
        return Reply()

    def _chmod(self, message: Message, port: Port) -> Reply:
        mode, nofollow = message.words
        node = self._place(message, follow=not nofollow).existing()
        if node.kind == S_IFLNK:
            raise KernelError(E.OPNOTSUPP)
        owns(node, message)
        if message.uid and message.gid != node.gid and node.gid not in message.groups:
            mode &= ~S_ISGID
        node.mode, node.changed = node.mode & S_IFMT | mode & 0o7777, port.now()
        return Reply()

    def _chown(self, message: Message, port: Port) -> Reply:
        uid, gid, nofollow = message.words
        node = self._place(message, follow=not nofollow).existing()
        if message.uid:
            mine = gid in (-1, node.gid, message.gid, *message.groups)
            if message.uid != node.uid or uid not in (-1, node.uid) or not mine:
                raise KernelError(E.PERM)
        if not node.is_directory:
            drop_set_id(node, message)
        node.uid = node.uid if uid < 0 else uid
        node.gid = node.gid if gid < 0 else gid
        node.changed = port.now()
        return Reply()

    def _utimens(self, message: Message, port: Port) -> Reply:
        accessed, modified, nofollow = message.words
        node, now = self._place(message, follow=not nofollow).existing(), port.now()
        if (accessed, modified) == (NOW, NOW):
            if message.uid not in (0, node.uid):
                check(node, message, WRITE)
        elif (accessed, modified) != (KEEP, KEEP):
            owns(node, message)
        given = {NOW: now}
        if accessed != KEEP:
            node.accessed = given.get(accessed, accessed)
        if modified != KEEP:
            node.modified = given.get(modified, modified)
        node.changed = now
        return Reply()

    def _path(self, message: Message, port: Port) -> Reply:
        return Reply(data=self.tree.path(self._node(message)))

    def _statfs(self, message: Message, port: Port) -> Reply:
        self._place(message).existing()
        free = MAX_INODES - len(self.tree.inodes)
        return Reply(words=(*port.memory(), MAX_INODES, free))

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
        place = self.tree.walk(message.badge & NUMBER, above, message)
        directory = place.existing()
        self.tree.may_search(directory, message)
        return Reply(words=(directory.number,), data=(name or b".") + path[len(stem) :])

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


NAMES = (
    "open meet close capacity read write truncate poll readdir object image stat access chmod "
    "chown utimens path statfs mkdir mknod symlink readlink unlink link parent rename"
).split()
OPERATIONS: dict[str, Callable[[Files, Message, Port], Reply]] = {
    name: getattr(Files, f"_{name}") for name in NAMES
}
