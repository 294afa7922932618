"""What a kernel must not hold any more when no process is left."""

from __future__ import annotations

from collections.abc import Iterator

from kernel.kernel import Kernel
from kernel.servers.files import Files
from kernel.servers.pipes import Pipes
from kernel.servers.sockets import Sockets


def left_open(kernel: Kernel) -> Iterator[str]:
    """What servers and wait queues still hold without any process, and servers that died."""
    files, pipes = kernel.ipc.servers["files"], kernel.ipc.servers["pipes"]
    assert isinstance(files, Files)
    assert isinstance(pipes, Pipes)
    for node in files.tree.inodes.values():
        if node.opens:
            yield f"inode {node.number} ({node.name!r}) has {node.opens} opens"
        if not node.links:
            yield f"inode {node.number} has no name and stays"
    if pipes.open:
        yield f"{len(pipes.open)} pipes and events are left"
    sockets = kernel.ipc.servers["sockets"]
    assert isinstance(sockets, Sockets)
    if sockets.open or kernel.ipc.parcels.parcels:
        yield f"{len(sockets.open)} sockets are left, {len(kernel.ipc.parcels.parcels)} parcels"
    if kernel.ready.watchers or kernel.ready.interests:
        yield f"somebody still waits: {kernel.ready.watchers} {kernel.ready.interests}"
    for name in kernel.ipc.restarts:
        yield f"the server {name} died: {kernel.log.messages}"
