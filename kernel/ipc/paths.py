"""How the core follows a path from server to server, and opens what it finds."""

from __future__ import annotations

from kernel.abi.errno import E, KernelError
from kernel.abi.message import MOVED, Reply
from kernel.abi.nodes import MAX_LINKS, O_ACCMODE, O_APPEND, O_NONBLOCK, O_PATH
from kernel.ipc.endpoints import Endpoints
from kernel.task.descriptors import Handle
from kernel.task.process import Thread

AT_FDCWD = -100
MAX_PATH_BYTES = 4096
KEPT_FLAGS = O_ACCMODE | O_APPEND | O_NONBLOCK | O_PATH


def read(thread: Thread, address: int) -> bytes:
    """A path argument.  Raises ENOENT if it is empty, EFAULT, ENAMETOOLONG."""
    path = thread.space.read_string(address, MAX_PATH_BYTES - 1)
    if not path:
        raise KernelError(E.NOENT)
    return path


def start(ipc: Endpoints, thread: Thread, fd: int, path: bytes) -> Handle:
    """Where a path begins: the root, the current directory, or an open one.  Raises EBADF."""
    if path.startswith(b"/"):
        return ipc.well_known.root
    return thread.surroundings.cwd if fd == AT_FDCWD else thread.descriptors.get(fd)


def send(
    ipc: Endpoints,
    thread: Thread,
    at: Handle,
    path: bytes,
    operation: str,
    words: tuple[int, ...] = (),
    more: bytes = b"",
    *,
    as_ids: tuple[int, int] | None = None,
) -> tuple[Reply, int]:
    """Ask for `operation` at the end of `path`; the answer, and the endpoint that gave it."""
    for _ in range(MAX_LINKS):
        if not ipc.serves_files(at):
            raise KernelError(E.NOTDIR if path else E.INVAL)
        data = path + b"\0" + more if more else path
        reply = ipc.call(thread, at, operation, words, data, as_ids=as_ids)
        if reply.label != MOVED:
            return reply, at.endpoint
        at, path = Handle(reply.caps[0], reply.words[0]), reply.data
    raise KernelError(E.LOOP)


def open_file(
    ipc: Endpoints, thread: Thread, at: Handle, path: bytes, flags: int, mode: int
) -> Handle:
    """An open file that no descriptor holds yet.  `Blocked`: a FIFO waits for its other end."""
    call = thread.current_call()
    handle = call.opened
    if handle is None:
        reply, endpoint = send(ipc, thread, at, path, "open", (flags, mode))
        badge, seekable, fifo = reply.words
        handle = Handle(endpoint, badge, 0, flags & KEPT_FLAGS, bool(seekable))
        if not fifo:
            return handle
        handle.holds = 1
        handle.offset = fifo  # kept here while the other end has not come
        call.opened = handle
    _meet(ipc, thread, handle)
    call.opened = None
    handle.holds = handle.offset = 0
    return handle


def _meet(ipc: Endpoints, thread: Thread, handle: Handle) -> None:
    """Wait until the other end of a FIFO is open (fifo(7))."""
    try:
        ipc.call(thread, handle, "meet", (handle.offset,))
    except KernelError as error:
        if error.number != E.AGAIN:
            raise
        if handle.blocks:
            raise ipc.ready.wait_for(handle) from error
        if handle.flags & O_ACCMODE == 1:
            call = thread.current_call()
            call.opened = None
            ipc.close(handle)
            raise KernelError(E.NXIO) from error
