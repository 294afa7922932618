"""VASes, segments and attachments as plain data, for those that show them: /sys/kernel/vas,
/sys/kernel/vas_segs, /proc/<pid>/vas and the tools.

    vases       id, name, mode, user, group, readers, writers, orphan (attached to nothing),
                kind ("vas" or "checkpoint"), segments {sid: kind}, maps, resident (its own pages
                with a frame), attached, inside (threads)
    segments    the same head; object (an id that never comes again), start, end, pages, resident,
                lockable, holders {tid: alone}, waiting
    processes   by pid: segments {sid: kind} at vid 0, threads {tid: vid}, vases by vid: kind,
                space, entry, segments, maps, each with whether it is of the process (`own`)
    accounts    by uid: frames, limit (None: no end)

A kind is 4 read, 2 write, 6 both.  Names are bytes.
"""

from __future__ import annotations

from typing import Any

from kernel.mm.pagetable import PROT_WRITE
from kernel.mm.regions import OF_TASK, Region
from kernel.task.process import Process
from kernel.vas.records import WRITE, Attachment, Named, Segment, Vas, pages
from kernel.vas.vases import Vases


def listing(vases: Vases) -> dict[str, Any]:
    """All that there is now."""
    processes = [p for p in vases.tasks.processes.values() if not p.zombie]
    return {
        "vases": [of_vas(vas) for vas in vases.vases.values()],
        "segments": [of_segment(segment) for segment in vases.segments.values()],
        "processes": {
            p.pid: of_process(vases, p) for p in processes if p.space.id in vases.holdings
        },
        "accounts": {
            uid: {"frames": account.charged, "limit": account.limit}
            for uid, account in vases.accounts.items()
        },
    }


def of_vas(vas: Vas) -> dict[str, Any]:
    """One of `vases`."""
    own = {region.object.id: region.object for region in vas.space.map if not region.segment}
    return _head(vas) | {
        "kind": "checkpoint" if vas.image else "vas",
        "segments": dict(vas.segments),
        "maps": [_region(region) for region in vas.space.map],
        "resident": sum(len(made.pages) for made in own.values()),
        "attached": vas.attached,
        "inside": sum(a.view.users for a in vas.attachments.values()),
    }


def of_segment(segment: Segment) -> dict[str, Any]:
    """One of `segments`."""
    return _head(segment) | {
        "object": segment.object.id,
        "start": segment.start,
        "end": segment.end,
        "pages": pages(segment),
        "resident": len(segment.object.pages),
        "lockable": segment.lockable,
        "holders": dict(segment.holders),
        "waiting": list(segment.queue),
    }


def of_process(vases: Vases, process: Process) -> dict[str, Any]:
    """One of `processes`."""
    held = vases.held(process.space)
    return {
        "segments": dict(held.segments),
        "threads": {thread.tid: thread.space.vid for thread in process.threads},
        "vases": {vid: of_attachment(attachment) for vid, attachment in held.attachments.items()},
    }


def of_attachment(attachment: Attachment) -> dict[str, Any]:
    """One of a process's `vases`."""
    return {
        "kind": attachment.kind,
        "space": attachment.view.id,
        "entry": attachment.entry,
        "segments": dict(attachment.segments),
        "maps": [_shown(region, attachment) for region in attachment.view.map],
    }


def _shown(region: Region, attachment: Attachment) -> dict[str, Any]:
    """A region of a view.  Under the policy `rfc` those are copies, which have an origin."""
    own = region.space is attachment.home or region.origin == OF_TASK
    of_vas = region.space is attachment.vas.space
    protected = of_vas and not attachment.kind & WRITE
    shown = _region(region) | {"own": own}
    return shown | {"prot": region.prot & ~PROT_WRITE} if protected else shown


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
        "page": region.page,
        "shared": region.shared,
        "name": region.name,
        "segment": region.segment,
    }
