"""VAS segments as the files of /segs: how the server gets at their memory objects.

A segment's object is published when its file is first read, written or mapped, and no longer than
the segment lives.  Its mappings hold it beyond that, as those of an unlinked file do; until the
last of them goes, whoever owned the segment pays for its frames.
"""

from __future__ import annotations

from kernel.ipc.endpoints import Endpoints
from kernel.task.credentials import Credentials
from kernel.vas.records import Segment
from kernel.vas.vases import Vases


def publish(ipc: Endpoints, segment: Segment, node: tuple[int, int]) -> int:
    """The capability id of a segment's object, whose file is `node`: endpoint and badge."""
    made = segment.object
    if made.id not in ipc.published:
        ipc.published[made.id] = made
        made.holds += 1
        made.node = node
    return made.id


def delete(ipc: Endpoints, vases: Vases, who: Credentials, sid: int) -> None:
    """Delete a segment and its file.  Raises EINVAL, EBUSY, EACCES."""
    segment = vases.segment(sid)
    vases.delete_segment(who, sid)
    made = ipc.published.pop(segment.object.id, None)
    if made is not None:
        made.last_path = b"/segs/" + segment.name + b" (deleted)"
        vases.memory.shootdowns.release(made.drop())
