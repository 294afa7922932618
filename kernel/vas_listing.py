"""VASes, segments and attachments as plain data, for whoever shows them: /sys/kernel/vas,
/sys/kernel/vas_segs, /proc/<pid>/vas and the tools.

    vases       id, name, mode, user, group, readers, writers, orphan (attached to nothing),
                segments {sid: kind}, maps, resident (its own pages with a frame), attached,
                inside (threads)
    segments    the same head; start, end, pages, resident, lockable, holders {tid: alone}, waiting
    processes   by pid: segments {sid: kind} at vid 0, threads {tid: vid}, vases by vid: kind,
                space, entry, segments, maps
    accounts    by uid: frames, limit (None: no end)

A kind is 4 read, 2 write, 6 both.  Names are bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernel.process import Process
from kernel.space import Region
from kernel.vas import Named, Segment, Vas, pages

if TYPE_CHECKING:
    from kernel.vases import Vases


def listing(vases: Vases) -> dict[str, Any]:
    """All that there is now."""
    processes = [p for p in vases.kernel.processes.values() if not p.zombie]
    return {
        "vases": [_vas(vas) for vas in vases.vases.values()],
        "segments": [_segment(segment) for segment in vases.segments.values()],
        "processes": {p.pid: _process(vases, p) for p in processes if p.space.id in vases.holdings},
        "accounts": {
            uid: {"frames": account.frames, "limit": account.limit}
            for uid, account in vases.accounts.items()
        },
    }


def _vas(vas: Vas) -> dict[str, Any]:
    own = {region.object.id: region.object for region in vas.space.map if not region.segment}
    return _head(vas) | {
        "segments": dict(vas.segments),
        "maps": [_region(region) for region in vas.space.map],
        "resident": sum(len(made.frames) for made in own.values()),
        "attached": vas.attached,
        "inside": sum(a.view.users for a in vas.attachments.values()),
    }


def _segment(segment: Segment) -> dict[str, Any]:
    return _head(segment) | {
        "start": segment.start,
        "end": segment.end,
        "pages": pages(segment),
        "resident": len(segment.object.frames),
        "lockable": segment.lockable,
        "holders": dict(segment.holders),
        "waiting": list(segment.queue),
    }


def _process(vases: Vases, process: Process) -> dict[str, Any]:
    held = vases.held(process.space)
    return {
        "segments": dict(held.segments),
        "threads": {thread.tid: thread.space.vid for thread in process.threads},
        "vases": {
            vid: {
                "kind": attachment.kind,
                "space": attachment.view.id,
                "entry": attachment.entry,
                "segments": dict(attachment.segments),
                "maps": [_region(region) for region in attachment.view.map],
            }
            for vid, attachment in held.attachments.items()
        },
    }


def _head(named: Named) -> dict[str, Any]:
    return {
        "id": named.id,
        "name": named.name,
        "mode": named.mode,
        "user": named.user,
        "group": named.group,
        "readers": named.readers,
        "writers": named.writers,
        "orphan": not named.attached,
    }


def _region(region: Region) -> dict[str, Any]:
    return {
        "start": region.start,
        "end": region.end,
        "prot": region.prot,
        "shared": region.shared,
        "name": region.name,
        "segment": region.segment,
    }
