"""Control messages: descriptors and identities beside the bytes of a message.  cmsg(3), unix(7).

A struct cmsghdr is a length, which counts itself, a level and a type; each begins at a multiple of
8 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from kernel.abi.errno import E, KernelError
from kernel.abi.sockets import (
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    SCM_CREDENTIALS,
    SCM_MAX_FD,
    SCM_RIGHTS,
    SOL_SOCKET,
    UCRED,
    Identity,
)
from kernel.kernel import Kernel
from kernel.task.credentials import NO_ID
from kernel.task.descriptors import Handle
from kernel.task.process import Thread
from kernel.wait import jobs

MAX_CONTROL_BYTES = 131_072
"""The most that a sender may pass (net.core.optmem_max)."""
HEAD = struct.Struct("<QII")


@dataclass(slots=True)
class Control:
    """What a sender passes beside the bytes."""

    handles: list[Handle] = field(default_factory=list)
    identity: tuple[int, ...] = ()
    """Process, user and group; none if it names no one."""


def parse(k: Kernel, t: Thread, data: bytes) -> Control:
    """Understand what a sender passes.

    EINVAL: a length or a type; EBADF; EPERM: an identity that is not the caller's; ESRCH.
    """
    found = Control()
    for level, kind, content in _messages(data):
        if level != SOL_SOCKET:
            continue
        if kind == SCM_RIGHTS:
            _add_handles(t, found.handles, content)
        elif kind == SCM_CREDENTIALS and len(content) == UCRED.size:
            found.identity = _identity(k, t, content)
        else:
            raise KernelError(E.INVAL)
    return found


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Level, type and content of each.  Raises EINVAL."""
    at = 0
    while at + HEAD.size <= len(data):
        size, level, kind = HEAD.unpack_from(data, at)
        if not HEAD.size <= size <= len(data) - at:
            raise KernelError(E.INVAL)
        yield level, kind, data[at + HEAD.size : at + size]
        at += size + 7 & ~7


def _add_handles(t: Thread, handles: list[Handle], content: bytes) -> None:
    numbers = struct.unpack_from(f"<{len(content) // 4}i", content)
    if len(numbers) > SCM_MAX_FD - len(handles):
        raise KernelError(E.INVAL)
    handles += (t.descriptors.get(number) for number in numbers)


def _identity(k: Kernel, t: Thread, content: bytes) -> tuple[int, int, int]:
    """Who a sender says that it is.  Others than root may name their own ids only."""
    pid, uid, gid = UCRED.unpack(content)
    who = t.process.credentials
    own = (
        pid == t.pid
        and uid in (who.real_uid, who.uid, who.saved_uid)
        and gid in (who.real_gid, who.gid, who.saved_gid)
    )
    if not own and not who.is_root:
        raise KernelError(E.PERM)
    if jobs.process_of(k.tasks, pid) is None:
        raise KernelError(E.SRCH)
    if NO_ID in (uid, gid):
        raise KernelError(E.INVAL)
    return pid, uid, gid


# Receiving ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Room:
    """Where a receiver wants control messages; `flags` gets MSG_CTRUNC if that is too small."""

    at: int
    left: int
    """Bytes."""
    flags: int
    """Those of recvmsg(2) so far."""

    def put_identity(self, t: Thread, identity: Identity) -> None:
        """Store who sent, or as much of it as fits; nothing at a place that cannot be written."""
        whole = HEAD.pack(HEAD.size + UCRED.size, SOL_SOCKET, SCM_CREDENTIALS)
        whole += UCRED.pack(*identity)
        if not self.at or self.left < HEAD.size:
            self.flags |= MSG_CTRUNC
            return
        if self.left < len(whole):
            self.flags |= MSG_CTRUNC
            whole = self.left.to_bytes(8, "little") + whole[8 : self.left]
        try:
            t.space.write(self.at, whole)
        except KernelError:
            return
        self._use(len(whole))

    def put_handles(self, t: Thread, handles: tuple[Handle, ...]) -> None:
        """Make descriptors, as many as there is room for in memory and in the process.

        The others are lost.  A place that cannot be written ends it too, without an error.
        """
        room = max(0, self.left - HEAD.size) // 4 if self.at else 0
        on_exec, made = bool(self.flags & MSG_CMSG_CLOEXEC), 0
        for handle in handles[:room]:
            try:
                number = t.descriptors.lowest_free()
                t.space.write(self.at + HEAD.size + 4 * made, number.to_bytes(4, "little"))
            except KernelError:
                break
            t.descriptors.add(handle, closes_on_exec=on_exec)
            made += 1
        if made < len(handles):
            self.flags |= MSG_CTRUNC
        if made:
            size = HEAD.size + 4 * made
            try:
                t.space.write(self.at, HEAD.pack(size, SOL_SOCKET, SCM_RIGHTS))
            except KernelError:
                return  # the numbers are there, and nothing says so: Linux does the same
            self._use(size)

    def _use(self, size_bytes: int) -> None:
        size_bytes = min(size_bytes + 7 & ~7, self.left)
        self.at, self.left = self.at + size_bytes, self.left - size_bytes
