"""Error numbers, as Linux on x86-64 has them (include/uapi/asm-generic/errno*.h)."""

from __future__ import annotations

from enum import IntEnum


class E(IntEnum):
    """An error number; a system call returns it negated."""

    PERM = 1
    NOENT = 2
    SRCH = 3
    INTR = 4
    IO = 5
    NXIO = 6
    BIG = 7
    NOEXEC = 8
    BADF = 9
    CHILD = 10
    AGAIN = 11
    NOMEM = 12
    ACCES = 13
    FAULT = 14
    BUSY = 16
    EXIST = 17
    XDEV = 18
    NODEV = 19
    NOTDIR = 20
    ISDIR = 21
    INVAL = 22
    NFILE = 23
    MFILE = 24
    NOTTY = 25
    TXTBSY = 26
    FBIG = 27
    NOSPC = 28
    SPIPE = 29
    ROFS = 30
    MLINK = 31
    PIPE = 32
    DOM = 33
    RANGE = 34
    NAMETOOLONG = 36
    NOSYS = 38
    NOTEMPTY = 39
    LOOP = 40
    OVERFLOW = 75
    NOTSOCK = 88
    MSGSIZE = 90
    NOPROTOOPT = 92
    PROTONOSUPPORT = 93
    SOCKTNOSUPPORT = 94
    OPNOTSUPP = 95
    AFNOSUPPORT = 97
    CONNRESET = 104
    NOBUFS = 105
    ISCONN = 106
    NOTCONN = 107
    TOOMANYREFS = 109
    TIMEDOUT = 110
    CONNREFUSED = 111


class KernelError(Exception):
    """The call fails: the program gets `-number`."""

    def __init__(self, number: E) -> None:
        super().__init__(number)
        self.number = number


class Blocked(Exception):
    """The call must wait on `channel`.  The kernel executes it again when the thread is woken.

    If the wait is not `interruptible`, only SIGKILL ends it early.
    """

    def __init__(self, channel: Channel, *, interruptible: bool = True) -> None:
        super().__init__(channel)
        self.channel = channel
        self.interruptible = interruptible
        self.tells: tuple[int, int] | None = None
        """Whom the wait is news for: an endpoint and a badge (`kernel.mm.filler`)."""


Channel = tuple[str, int, int]
"""What a thread waits for: a kind and two numbers, such as `("futex", object, offset)`."""


class Panic(Exception):
    """The kernel broke an invariant of its own."""
