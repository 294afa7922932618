"""Sockets: families, types, flags, options and control messages.

Values are Linux's (include/linux/socket.h, include/uapi/asm-generic/socket.h; x86-64).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

AF_UNIX, FAMILIES = 1, 46
SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET = 1, 2, 3, 5
TYPE_BITS, TYPES = 0xF, 11
"""The type is in the low bits of socketpair's second argument, and below the second number."""

SHUT_RD, SHUT_WR, SHUT_RDWR = range(3)
NO_RECEIVE, NO_SEND, SHUT_DOWN = 1, 2, 3
"""What shutdown(2) has ended, as bits: `how` + 1."""

MSG_OOB, MSG_PEEK, MSG_CTRUNC, MSG_TRUNC = 0x1, 0x2, 0x8, 0x20
MSG_DONTWAIT, MSG_WAITALL, MSG_NOSIGNAL = 0x40, 0x100, 0x4000
MSG_WAITFORONE, MSG_CMSG_CLOEXEC, MSG_CMSG_COMPAT = 0x1_0000, 0x4000_0000, 0x8000_0000

SOL_SOCKET = 1
SO_DEBUG, SO_REUSEADDR, SO_TYPE, SO_ERROR, SO_DONTROUTE, SO_BROADCAST = range(1, 7)
SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE, SO_OOBINLINE = 7, 8, 9, 10
SO_PASSCRED, SO_PEERCRED, SO_RCVLOWAT, SO_SNDLOWAT = 16, 17, 18, 19
SO_RCVTIMEO, SO_SNDTIMEO = 20, 21
SO_ACCEPTCONN, SO_PROTOCOL, SO_DOMAIN = 30, 38, 39

SCM_RIGHTS, SCM_CREDENTIALS = 1, 2
SCM_MAX_FD = 253
"""The most descriptors in one message (unix(7))."""

NOBODY = 65_534
"""The user and group of a sender that nothing is known of (/proc/sys/kernel/overflowuid)."""


class Identity(NamedTuple):
    """A struct ucred: who sends, or who made the other socket.  Process 0: nothing is known."""

    pid: int = 0
    uid: int = NOBODY
    gid: int = NOBODY


UNKNOWN = Identity()
UCRED = struct.Struct("<iII")
