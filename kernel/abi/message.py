"""What travels between programs, the core and servers: plain data and capability ids.

A call to a server is: send a `Message`, get a `Reply`.  Nothing here refers to anything live, so
a server can run in ring 3, or in another process, or die and be started again.

A program that serves an endpoint may reply whenever it likes.  A Python server replies at once:
what cannot be done yet is -EAGAIN, and the server says `Port.changed` when it is worth another
try.  So it keeps no list of who waits, and the core alone knows about waiting, non-blocking
descriptors, polling and interrupted calls.

What servers of files understand.  `badge` names the node: an inode, one end of a pipe, a terminal.

    operation   words in               data in     the reply
    read        count, offset                      data; none at the end
    write       offset (-1: append)    bytes       result: how many; words: the offset behind them
    poll                                           result: what is possible now (POLLIN ...)
    ioctl       request, argument      struct in   data: struct out
    readdir     cookie, room                       data: struct linux_dirent64; words: next cookie
    object                                         caps: the memory object, for mmap
    path                                           data: the absolute path
    meet                                           -EAGAIN until a FIFO's other end is open
    close                                          the last descriptor of an open is gone

With a path as data, from the directory `badge` on; an empty one means the node itself.  If a NUL
and more follows, it is what the second column says:

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

A reply labelled MOVED says that the path leads to another server: go on with `data` at caps[0]
from badge words[0].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

MOVED = 1


@dataclass(frozen=True, slots=True)
class Message:
    """`operation` is a name for a server of ours, a number (the label) between programs.

    `id` is what a reply refers to; 0 says that none is expected.  `badge` tells the server which
    of its open things is meant.  `words` are integers; `caps` are endpoint or object ids.
    `uid`, `gid` and `groups` are those that files see; `group` and `session` are the
    process group and the session it belongs to.
    """

    id: int
    endpoint: int
    pid: int
    uid: int
    gid: int
    badge: int
    operation: str | int
    words: tuple[int, ...] = ()
    data: bytes = b""
    caps: tuple[int, ...] = ()
    one_way: bool = False
    """The sender waits until it was received, and for nothing else."""
    groups: tuple[int, ...] = ()
    group: int = 0
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


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """What the core tells servers of a process.  `started` in cycles since boot."""

    pid: int
    parent: int
    name: str
    state: str
    uid: int
    gid: int
    group: int
    session: int
    threads: tuple[int, ...]
    arguments: tuple[bytes, ...]
    executable: bytes
    cwd: tuple[int, int]
    """Endpoint and badge of the current directory."""
    descriptors: tuple[tuple[int, int, int, int], ...]
    """Number, endpoint, badge and flags of each."""
    started: int
    instructions: int
    """Retired by the threads that are alive."""


class Port(Protocol):
    """What a server can do: say what has changed, put files into memory, and drive its device."""

    def changed(self, badge: int) -> None:
        """What waits for this badge may be possible now."""

    def now(self) -> int:
        """The time of day, in nanoseconds since the epoch, from the cycle clock."""

    def random(self, size_bytes: int) -> bytes:
        """Random bytes, from the run's seed."""

    def is_alive(self, endpoint: int) -> bool:
        """Can the endpoint with this id still be reached?"""

    # Memory objects

    def publish(self, data: bytes) -> int:
        """Make a memory object with this content; returns its capability id."""

    def load(self, cap: int, offset: int, size_bytes: int) -> bytes:
        """The bytes of a published object, up to its end."""

    def store(self, cap: int, offset: int, data: bytes) -> None:
        """Change a published object, which grows to hold them.  Raises ENOMEM."""

    def resize(self, cap: int, size_bytes: int) -> None:
        """Cut a published object off, or let it grow by a hole."""

    def size(self, cap: int) -> int:
        """The size of a published object in bytes."""

    def pages(self, cap: int) -> int:
        """How many of its pages take memory of their own."""

    def drop(self, cap: int) -> None:
        """The server needs the object no more; regions that map it keep it alive."""

    # The console

    def console_write(self, data: bytes, stream: int) -> None:
        """Bytes to the console: stream 1 is output, 2 is errors, 3 the terminal itself."""

    def console_is_terminal(self, stream: int) -> bool:
        """Is it a terminal on the host: 0 input, 1 output, 2 errors, 3 any?"""

    def console_size(self) -> tuple[int, int] | None:
        """Rows and columns of its window, as far as the host has told."""

    def ring(self, badge: int, nanoseconds: int) -> None:
        """Say `changed` at this time of day."""

    def console_read(self, size_bytes: int) -> bytes | None:
        """Bytes that arrived; b"" at the end of input; None if there are none yet."""

    def console_waits(self) -> bool:
        """Would a read return at once?"""

    # Job control

    def signal_group(self, group: int, number: int) -> None:
        """Send a signal to every process of a group."""

    def takes_no_notice(self, pid: int, number: int) -> bool:
        """Does a process ignore a signal, or the thread that calls block it?"""

    def is_orphaned(self, group: int) -> bool:
        """Is there nobody who could continue a group that stops?"""

    def session_of(self, group: int) -> int:
        """The session that a group belongs to; 0 if there is no such group."""

    # What there is to tell of the system

    def processes(self) -> list[int]:
        """The pids of all processes."""

    def process(self, pid: int) -> ProcessInfo | None:
        """All about one process, if there is one."""

    def maps(self, pid: int) -> bytes:
        """Its regions, as /proc/PID/maps has them."""

    def pages_of(self, pid: int) -> tuple[int, int]:
        """How many pages it has mapped, and how many of them have a frame."""

    def vases(self) -> list[int]:
        """The ids of all VASes."""

    def segments(self) -> list[int]:
        """The ids of all VAS segments."""

    def vas(self, vid: int) -> dict[str, Any] | None:
        """All about one VAS: a row of `kernel.vas.listing`."""

    def segment(self, sid: int) -> dict[str, Any] | None:
        """All about one segment, as well."""

    def attached(self, pid: int) -> list[int]:
        """The VASes that a process has attached."""

    def attachment(self, pid: int, vid: int) -> dict[str, Any] | None:
        """What a process sees in one of them."""

    def name_of(self, endpoint: int, badge: int) -> bytes:
        """The path of an open thing, for /proc/PID/fd."""

    def memory(self) -> tuple[int, int]:
        """Frames in all, and free ones."""

    def cores(self) -> int:
        """How many the machine has."""

    def uptime(self) -> tuple[int, int]:
        """Cycles since boot, and idle ones."""


class Server(Protocol):
    """A server: its state is plain data, and it sees nothing but messages."""

    name: str

    def handle(self, message: Message, port: Port) -> Reply:
        """Act on a message.  A `KernelError` that is raised is the reply."""

    def interrupt(self, port: Port) -> None:
        """Its device has something new."""

    def restarted(self) -> Server:
        """What comes up again after it was killed: what is stored stays, the rest is new."""
