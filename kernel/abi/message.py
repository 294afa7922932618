"""What travels between programs, the core and servers: plain data and capability ids.

The caller sends a `Message` and gets a `Reply`.  Neither refers to a live object, so a server
could run in ring 3 or in another process, and it can die and be started again.

A program that serves an endpoint may reply at any time.  A Python server replies at once.  It
answers -EAGAIN to what it cannot do yet, and calls `Port.changed` when another try may succeed.  So
a server keeps no list of waiting threads: only the core knows about waiting, non-blocking
descriptors, polling and interrupted calls.

What servers of files understand (`badge` names the node: an inode, an end of a pipe, a terminal):

    operation   words in               data in     the reply
    read        count, offset, room                data; none at the end
    write       offset (-1: append),   bytes       result: how many; words: the offset behind them
                count
    poll                                           result: what is possible now (POLLIN ...)
    ioctl       request, argument      struct in   data: struct out
    readdir     cookie, count, room                data: struct linux_dirent64; words: next cookie
    object                                         caps: the memory object, for mmap; none: zeroes
    path                                           data: the absolute path
    meet                                           -EAGAIN until a FIFO's other end is open
    capacity    bytes (-1: as it is)               result: how many bytes a pipe holds
    close                                          the last descriptor of an open is gone
    keep                                           words: of a pipe, capacity, opens of each end;
                                                   of an event, value, 1: a semaphore.  data: what
                                                   is in a pipe
    remake      as `keep` tells of     as there    words: the badges of the ends of a new pipe
                a pipe
    memfd       mode, seals            its name    words: the badge of a new file without a name
    seals       seals to add, if any               result: all seals of a file
    allocate    mode of fallocate,
                offset, length
    mapped                                         a region more shows an object that is counted
    unmapped                                       a region less does

The caller of `read` wants `count` bytes, and its memory has `room` for at most that many: the
server gives no more away (`fitting`).  The caller of `write` wants to write `count` bytes; those
that its memory shows come with the message.  -EFAULT says that nothing could be moved.

Sockets understand these too (socket(7), unix(7)); an identity is process, user and group:

    pair        type, effective uid, gid           words: the badges of two connected sockets
    send        count, identity        bytes       caps in: a parcel.  result: how many bytes were
                or nothing                         taken; words: the badge that got the parcel
    receive     count, room, flags,                data; result: the length of a message; words:
                identity or nothing                flags, 1: of a stream, 1: the identity is told,
                                                   the identity; caps: a parcel
    shutdown    how
    getopt      level, option                      data: the value
    setopt      level, option          the value
    fail        error number                       the next call finds it, as if it came by itself
    name        1: of the other one                data: struct sockaddr

A *parcel* is what the core keeps of descriptors on their way, under a capability id.  A server
that loses a message discards its parcel.

These have a path as data, which starts at the directory `badge`; an empty path means the node
itself.  The third column says what follows the path behind a NUL:

    open        flags, mode                        words: badge, 1 if it has offsets, 1 for a FIFO
    image                                          caps: the memory object; words: mode, uid, gid
    stat        1: not through a link              words: `nodes.Stat`
    access      mode, 1: not through a link
    chmod       mode, 1: not through a link
    chown       uid, gid (-1: keep), 1: not through a link
    utimens     two times in ns (-1: now, -2: keep), 1: not through a link
    truncate    size in bytes
    mkdir       mode
    mknod       mode, device
    unlink      1: a directory
    symlink                            target
    readlink                                       data: the target
    link        badge of the other     -           the node `badge` gets another name: the path
    rename      badge, flags           new name    into the directory with this badge
    parent                                         words: its directory's badge; data: the last name
    statfs                                         words: blocks, free blocks, nodes, free nodes

A reply with the label MOVED says that the path leads to another server: the core sends the message
again to endpoint caps[0] and badge words[0], with the path `data`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from kernel.abi.errno import E, KernelError
from kernel.abi.shm import SegmentStatus

MOVED = 1
ANYTHING = -1
"""All the events of poll(2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A question to the server behind `endpoint`; the fields from `pid` on describe the sender."""

    id: int = 0
    """What the reply refers to; 0: nobody expects one."""
    endpoint: int
    badge: int
    """Which of its open things the server shall act on."""
    operation: str | int
    """A name for a Python server; a number, the label, between programs."""
    words: tuple[int, ...] = ()
    data: bytes = b""
    caps: tuple[int, ...] = ()
    """Ids of endpoints or memory objects."""
    one_way: bool = False
    """The sender waits only until somebody has received the message."""
    pid: int = 0
    """0: the core itself."""
    tid: int = 0
    """The thread; 0: the core itself."""
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    """Supplementary groups; like `uid` and `gid` these are the ids that count for files."""
    group: int = 0
    """The process group."""
    session: int = 0
    umask: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer: `result` >= 0, or a negated error number; programs send a `label`."""

    result: int = 0
    label: int = 0
    words: tuple[int, ...] = ()
    data: bytes = b""
    caps: tuple[int, ...] = ()


BY_PATH = frozenset(
    "open image stat access chmod chown utimens truncate mkdir mknod unlink symlink readlink link "
    "rename parent statfs".split()
)
"""The operations that have a path as data."""


def refuse_path(message: Message) -> None:
    """For a message `BY_PATH` to what is no directory: raises ENOTDIR if its path goes on."""
    if message.data.partition(b"\0")[0]:
        raise KernelError(E.NOTDIR)


def fitting(data: bytes, room: int) -> bytes:
    """The part of `data` for which there is room.  Raises EFAULT if that is nothing of it."""
    if data and not room:
        raise KernelError(E.FAULT)
    return data[:room]


def entries_that_fit(
    entries: Iterable[tuple[int, bytes]], cookie: int, count: int, room: int
) -> Reply:
    """The reply to `readdir`: the first of these entries, which have a cookie each.

    Raises EINVAL if `count` is too small for one, EFAULT if the memory behind it is.
    """
    packed = b""
    for own, entry in entries:
        if len(packed) + len(entry) > min(count, room):
            if not packed:
                raise KernelError(E.INVAL if len(entry) > count else E.FAULT)
            break
        packed, cookie = packed + entry, own
    return Reply(data=packed, words=(cookie,))


def moved(place: tuple[int, int], rest: bytes) -> Reply:
    """The path goes on with `rest` at `place`, an endpoint and a badge."""
    endpoint, badge = place
    return Reply(label=MOVED, words=(badge,), data=rest, caps=(endpoint,))


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadInfo:
    """What the core tells servers about a thread.  Masks have bit n - 1 for signal n."""

    tid: int
    name: str
    state: str
    """R, S, T or Z, as in /proc/PID/stat."""
    pending: int
    blocked: int
    affinity: int
    nice: int
    waits: int
    """How often it left its core to wait."""
    pre_empted: int
    user: int
    system: int
    """Cycles in user code and in the kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessInfo:
    """What the core tells servers about a process."""

    pid: int
    parent: int
    name: str
    state: str
    """R, S, T or Z, as in /proc/PID/stat."""
    uids: tuple[int, int, int, int]
    """Real, effective, saved and file id."""
    gids: tuple[int, int, int, int]
    groups: tuple[int, ...]
    umask: int
    group: int
    session: int
    threads: tuple[ThreadInfo, ...]
    pending: int
    """Signals for any of its threads; masks as in `ThreadInfo`."""
    ignored: int
    caught: int
    capabilities: int
    gains_nothing: bool
    oom_score_adj: int
    limits: tuple[tuple[int, int], ...]
    """Soft and hard, by resource."""
    arguments: tuple[bytes, ...]
    environment: tuple[bytes, ...]
    auxiliary: bytes
    """What its stack held at the start."""
    executable: bytes
    cwd: tuple[int, int]
    """Endpoint and badge of the current directory."""
    descriptors: tuple[tuple[int, int, int, int], ...]
    """Number, endpoint, badge and flags of each."""
    started: int
    """Cycles since boot."""
    user: int
    system: int
    """Cycles in user code and in the kernel, ended threads included."""
    faults: int
    major_faults: int
    most_pages: int
    """The most that were resident at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionInfo:
    """What the core tells servers about a region that a thread sees."""

    start: int
    end: int
    prot: int
    shared: bool
    name: str
    grows_down: bool
    locked: bool
    offset: int = 0
    """Where in the file it begins."""
    file: tuple[int, int, bytes] | None = None
    """Device, inode and path of the file."""
    pages: tuple[tuple[int, int], ...] = ()
    """(page number, frame) of each page that has a leaf."""
    owned: int = 0
    """How many of those are its own, and not the file's."""
    paged_out: int = 0


class Port(Protocol):
    """What the core does for a server."""

    endpoint: int
    """Where the server is reached."""

    def changed(self, badge: int, events: int = ANYTHING) -> None:
        """Calls that wait for this badge may succeed now: try them again.

        `events`: what has become possible (POLLIN ...), if the server knows.
        """

    def discard(self, parcel: int) -> None:
        """The message that descriptors travelled in is lost: they are closed."""

    def now(self) -> int:
        """The time of day, in nanoseconds since the epoch, from the cycle clock."""

    def random(self, size_bytes: int) -> bytes:
        """Random bytes, from the run's seed."""

    def is_alive(self, endpoint: int) -> bool:
        """Can the endpoint with this id still be reached?"""

    # Memory objects

    def publish(
        self, data: bytes, badge: int = 0, *, counted: bool = False, kept: bool = False
    ) -> int:
        """Make a memory object with this content; returns its capability id.

        `badge` names the node that it belongs to, for /proc/PID/maps.  `counted`: the node gets a
        message `mapped` or `unmapped` for each region that comes or goes.  `kept`: its pages are in
        NVM.
        """

    def flush(self, cap: int) -> None:
        """What an object in NVM holds is durable when this returns."""

    def keep_files(self, data: bytes, caps: list[int]) -> None:
        """The medium has this of the files in NVM, and these objects.  Raises ENOSPC."""

    def load(self, cap: int, offset: int, size_bytes: int) -> bytes:
        """Bytes of a published object, none behind its end."""

    def store(self, cap: int, offset: int, data: bytes) -> None:
        """Write to a published object, which grows if it must.  Raises ENOMEM."""

    def resize(self, cap: int, size_bytes: int) -> None:
        """Set the size of a published object: cut it off, or add a hole at its end."""

    def punch(self, cap: int, offset: int, end: int) -> None:
        """Bytes of a published object read as zeroes, and whole pages go.  Raises ENOMEM."""

    def seal(self, cap: int) -> None:
        """From now on nobody can map a published object to store to it, nor make a hole in it."""

    def may_be_stored_to(self, cap: int) -> bool:
        """Could some mapping of a published object be stored to, now or after mprotect?"""

    def is_running(self, cap: int) -> bool:
        """Does a process run the program that is in a published object?"""

    def size(self, cap: int) -> int:
        """The size of a published object in bytes."""

    def pages(self, cap: int) -> int:
        """How many pages of a published object have a frame."""

    def paged_out(self, cap: int) -> int:
        """How many pages of a published object are on the paging disk."""

    def mappings(self, cap: int) -> int:
        """How many regions map a published object."""

    def lock(self, cap: int, *, locks: bool) -> None:
        """Keep all pages of a published object in memory from now on, or do so no longer."""

    def drop(self, cap: int, path: bytes = b"") -> None:
        """The server needs the object no more.  Regions that map it keep it alive, and show `path`
        as its name."""

    # The console

    def console_write(self, data: bytes, stream: int, shown: bytes | None = None) -> None:
        """Bytes to the console: stream 1 is output, 2 is errors, 3 the terminal itself.  A terminal
        shows `shown` for them, if that is given."""

    def console_is_terminal(self, stream: int) -> bool:
        """Is it a terminal on the host: 0 input, 1 output, 2 errors, 3 any?"""

    def console_size(self) -> tuple[int, int] | None:
        """Rows and columns of its window; None: the host has not told them."""

    def ring(self, badge: int, nanoseconds: int) -> None:
        """Call `changed` at this time of day."""

    def console_read(self, size_bytes: int) -> bytes | None:
        """Bytes that arrived: b"" at the end of input, None if there are none yet."""

    def console_waits(self) -> bool:
        """Would a read return at once?"""

    def console_arrived(self) -> int:
        """How many bytes have arrived and were not read."""

    # Job control

    def signal_group(self, group: int, number: int) -> None:
        """Send a signal to every process of a group."""

    def takes_no_notice(self, pid: int, number: int) -> bool:
        """Does a process ignore a signal, or the thread that calls block it?"""

    def is_orphaned(self, group: int) -> bool:
        """Is the process group orphaned, so that no shell could continue it after a stop?"""

    def session_of(self, group: int) -> int:
        """The session that a group belongs to; 0 if there is no such group."""

    # About the system

    def processes(self) -> list[int]:
        """The pids of all processes."""

    def process(self, pid: int) -> ProcessInfo | None:
        """What is known of one process; None if there is none."""

    def leader(self, tid: int) -> int:
        """The process of a thread, 0 if there is none; a process's id is its leader's."""

    def regions(self, tid: int) -> list[RegionInfo]:
        """The regions that a thread sees; a process's id stands for its leader."""

    def peek(self, tid: int, at: int, size_bytes: int) -> bytes:
        """What a thread's memory holds, up to the first page that it cannot read."""

    def set_oom_score_adj(self, pid: int, value: int) -> None:
        """How willingly a process is killed when memory is short: -1000 never, 1000 first."""

    def processor_times(self) -> list[tuple[int, int]]:
        """Of each core: cycles since boot, and how many of them it had work."""

    def vases(self) -> list[int]:
        """The ids of all VASes."""

    def segments(self) -> list[int]:
        """The ids of all VAS segments."""

    def vas(self, vid: int) -> dict[str, Any] | None:
        """What is known of one VAS; None if there is none."""

    def segment(self, sid: int) -> dict[str, Any] | None:
        """What is known of one segment; None if there is none."""

    def segment_named(self, name: bytes) -> int:
        """The id of the segment with this name; 0 if there is none."""

    def segment_cap(self, sid: int) -> int:
        """The capability id of a segment's memory object."""

    def change_segment(self, sid: int, mode: int, user: int, group: int) -> None:
        """Set whose a segment is, and what others may do with it."""

    def delete_segment(self, sid: int, who: tuple[int, int, tuple[int, ...]]) -> None:
        """Delete it in the name of a user, group and groups.  Raises EBUSY, EACCES."""

    def attached(self, pid: int) -> list[int]:
        """The VASes that a process has attached."""

    def attachment(self, pid: int, vid: int) -> dict[str, Any] | None:
        """What a process sees in one of its VASes; None if it is not attached."""

    def shared_segments(self) -> list[SegmentStatus]:
        """All segments of System V shared memory, by index."""

    def name_of(self, endpoint: int, badge: int) -> bytes:
        """The path of an open thing, for /proc/PID/fd."""

    def memory(self) -> tuple[int, int]:
        """Frames in all, and free ones."""

    def cores(self) -> int:
        """How many cores the machine has."""

    def uptime(self) -> tuple[int, int]:
        """Cycles since boot, and how many of them no core had work."""


class Server(Protocol):
    """A server: its state is plain data, and it sees only messages and its port."""

    name: str

    def handle(self, message: Message, port: Port) -> Reply:
        """Act on a message.  A `KernelError` becomes the reply."""

    def interrupt(self, port: Port) -> None:
        """The device of the server has something new."""

    def restarted(self) -> Server:
        """The server that takes its place after a crash: what it stores stays, the rest is new."""
