"""The file server: a writable tree in memory, with the files that the host gave at boot.

A badge is an inode number; an open FIFO adds a bit for each end, a file the one for writing.  The
server keeps a count of the opens of a node and nothing else of an open file, so a restarted server
goes on with all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kernel.abi.errno import E, KernelError
from kernel.abi.message import Message, Port, Reply, entries_that_fit, fitting, moved
from kernel.abi.nodes import (
    EXECUTE,
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
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
from kernel.servers import seals
from kernel.servers.directories import NUMBER, READ_END, WRITE_END, Directories
from kernel.servers.pipes import Pipe
from kernel.servers.tree import (
    MAX_INODES,
    ROOT,
    Inode,
    Moved,
    Place,
    check,
    drop_set_id,
    owns,
    permissions,
)

MAX_FILE_BYTES = 1 << 40
RESERVE = 16
"""Files leave one frame in 16 free, so that programs do not starve."""


@dataclass(slots=True)
class Files(Directories):
    """Each operation is a method; `OPERATIONS` finds it by name."""

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
        folder, _, name = path.rpartition(b"/")
        self._put(self._folder(folder), name, mode, content, owner)

    def give_programs(self, programs: Mapping[bytes, bytes]) -> None:
        """At boot: `give` many.  They are in few folders; each of them is looked up once."""
        folders: dict[bytes, Inode] = {}
        for path, content in programs.items():
            folder, _, name = path.rpartition(b"/")
            at = folders.get(folder) or folders.setdefault(folder, self._folder(folder))
            self._put(at, name, S_IFREG | 0o755, content, (0, 0))

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

    def _folder(self, path: bytes) -> Inode:
        """The folder at `path`; made, with those that lead to it, if it is not there."""
        if not path:
            return self.tree[ROOT]
        above, _, name = path.rpartition(b"/")
        return self._put(self._folder(above), name, S_IFDIR | 0o755, b"", (0, 0))

    def _put(
        self, at: Inode, name: bytes, mode: int, content: bytes, owner: tuple[int, int]
    ) -> Inode:
        """The node with this name; made if it is not there, filled if it is empty."""
        entry = at.entries.get(name)
        if entry is not None:
            node = self.tree[entry.number]
        else:
            node = self.tree.make(mode, owner[0], owner[1], self.tree.born)
            self.tree.link(at, name, node, self.tree.born)
        if content and node.kind == S_IFREG:
            node.given = node.given or content
        elif content and node.kind == S_IFLNK:
            node.target = node.target or content
        return node

    # Inside -------------------------------------------------------------------------------------

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
        fits = seals.writable_bytes(node, start, count, port.size(cap)) if count else 0
        data = message.data[:fits]
        if count and not data:
            raise KernelError(E.FAULT)
        if data:
            self._store(node, start, data, port)
            if message.uid:
                drop_set_id(node, message)
        return Reply(len(data), words=(start + len(data),))

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
        cap = self._cap(node, port)
        seals.check_size(node, port.size(cap), size)
        port.resize(cap, size)
        node.touch(port.now())

    def _allocate(self, message: Message, port: Port) -> Reply:
        """What fallocate(2) does: nothing is set aside, but the file grows, or gets a hole."""
        node, (mode, offset, length) = self._node(message), message.words
        cap, end = self._cap(node, port), offset + length
        if mode & FALLOC_FL_PUNCH_HOLE:
            seals.check_hole(node)
            port.punch(cap, offset, end)
            node.touch(port.now())
            return Reply()
        if end > MAX_FILE_BYTES:
            raise KernelError(E.FBIG)
        size = port.size(cap)
        seals.check_size(node, size, max(size, end))
        if end > size and not mode & FALLOC_FL_KEEP_SIZE:
            self._resize(node, end, port)
        return Reply()

    # Files in memory without a name -------------------------------------------------------------

    def _memfd(self, message: Message, port: Port) -> Reply:
        """memfd_create(2): the same kind of node as every file.  Its open is not counted as one
        for writing: the program in it may run while it is open, as on Linux."""
        mode, sealed = message.words
        node = self.tree.make(S_IFREG | mode, message.uid, message.gid, port.now())
        node.name, node.seals, node.opens = b"memfd:" + message.data, sealed, 1
        return Reply(words=(node.number,))

    def _seals(self, message: Message, port: Port) -> Reply:
        node = self._node(message)
        if node.kind != S_IFREG:
            raise KernelError(E.INVAL)
        if message.words:
            self._cap(node, port)
            seals.add(node, message.words[0], port)
        return Reply(node.seals)

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
        seals.check_mode(node, mode)
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


NAMES = (
    "open meet close capacity read write truncate allocate memfd seals poll readdir object image "
    "stat access chmod chown utimens path statfs mkdir mknod symlink readlink unlink link parent "
    "rename"
).split()
OPERATIONS: dict[str, Callable[[Files, Message, Port], Reply]] = {
    name: getattr(Files, f"_{name}") for name in NAMES
}
