"""What travels between programs, the core and servers: plain data and capability ids.

The caller sends a `Message` and gets a `Reply`.  Neither refers to a live object, so a server
could run in ring 3 or in another process, and it can die and be started again.

A program that serves an endpoint may reply at any time.  A Python server replies at once.  It
answers -EAGAIN to what it cannot do yet, and calls `Port.changed` when another try may succeed.  So
a server keeps no list of waiting threads: only the core knows about waiting, non-blocking
descriptors, polling and interrupted calls.

What servers of files understand (`badge` names the node: an inode, an end of a pipe, a terminal):

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

from dataclasses import dataclass
from typing import Any, Protocol

MOVED = 1


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


def moved(place: tuple[int, int], rest: bytes) -> Reply:
    """The path goes on with `rest` at `place`, an endpoint and a badge."""
    endpoint, badge = place
    return Reply(label=MOVED, words=(badge,), data=rest, caps=(endpoint,))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessInfo:
    """What the core tells servers about a process."""

    pid: int
    parent: int
    name: str
    state: str
    """R, S, T or Z, as in /proc/PID/stat."""
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
    """Cycles since boot."""
    instructions: int
    """Retired by its live threads."""


class Port(Protocol):
    """What the core does for a server."""

    endpoint: int
    """Where the server is reached."""

    def changed(self, badge: int) -> None:
        """Calls that wait for this badge may succeed now: try them again."""

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
        """Bytes of a published object, none behind its end."""

    def store(self, cap: int, offset: int, data: bytes) -> None:
        """Write to a published object, which grows if it must.  Raises ENOMEM."""

    def resize(self, cap: int, size_bytes: int) -> None:
        """Set the size of a published object: cut it off, or add a hole at its end."""

    def size(self, cap: int) -> int:
        """The size of a published object in bytes."""

    def pages(self, cap: int) -> int:
        """How many pages of a published object have a frame."""

    def drop(self, cap: int) -> None:
        """The server needs the object no more.  Regions that map it keep it alive."""

    # The console

    def console_write(self, data: bytes, stream: int) -> None:
        """Bytes to the console: stream 1 is output, 2 is errors, 3 the terminal itself."""

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

    def maps(self, pid: int) -> bytes:
        """The regions of a process, in the format of /proc/PID/maps."""

    def pages_of(self, pid: int) -> tuple[int, int]:
        """How many pages a process has mapped, and how many of them have a frame."""

    def vases(self) -> list[int]:
        """The ids of all VASes."""

    def segments(self) -> list[int]:
        """The ids of all VAS segments."""

    def vas(self, vid: int) -> dict[str, Any] | None:
        """What is known of one VAS; None if there is none."""

    def segment(self, sid: int) -> dict[str, Any] | None:
        """What is known of one segment; None if there is none."""

    def attached(self, pid: int) -> list[int]:
        """The VASes that a process has attached."""

    def attachment(self, pid: int, vid: int) -> dict[str, Any] | None:
        """What a process sees in one of its VASes; None if it is not attached."""

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
