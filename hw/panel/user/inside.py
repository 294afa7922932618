"""Moving and pointing inside a panel: what arrows and clicks mean there."""

from __future__ import annotations

from hw.paging import ADDRESS
from hw.panel.model.moment import View
from hw.panel.panels import cpu as cpu_panel
from hw.panel.panels import frames as frames_panel
from hw.panel.panels import memory as memory_panel
from hw.panel.panels import tlb as tlb_panel
from hw.panel.session import Session
from hw.panel.user import showing


def move(session: Session, dx: int, dy: int) -> None:
    """Act on an arrow key. It moves by pages in the walk, by regions and spaces in the maps, by
    entries in the TLB, by frames, by registers, by bytes, and elsewhere by records."""
    view = showing.view(session)
    if session.chosen == "walk":
        step = dy * 0x1000 + dx * 0x20_0000
        session.look_at(max(0, view.va + step), view.space, view.access)
    elif session.chosen == "maps":
        _move_in_maps(session, view, dx, dy)
    elif session.chosen == "tlb":
        entries = tlb_panel.newest(view)
        at = next((i for i, (_, e) in enumerate(entries) if e.vpn == view.va >> 12), -1)
        if entries:
            _, entry = entries[max(0, min(len(entries) - 1, at + dx + dy))]
            session.look_at(entry.vpn << 12, view.space)
    elif session.chosen == "frames":
        pfn = frames_panel.frame_in_view(view)
        look_at_frame(session, max(0, (pfn or 0) + dx + dy))
    elif session.chosen == "cpu" and dy:
        names = [name for name, _, _ in cpu_panel.registers(view)]
        at = names.index(session.register) if session.register in names else 0
        session.register = names[(at + dy) % len(names)] if names else session.register
    elif session.chosen == "memory":
        move_in_memory(session, view, dx + dy * memory_panel.bytes_per_row(view))
    elif session.chosen == "log" and dy:
        session.by("log", forward=dy > 0)
    else:
        session.history.seek(session.history.position + dx + dy)


def _move_in_maps(session: Session, view: View, dx: int, dy: int) -> None:
    state = view.moment.state
    spaces = sorted(state.spaces)
    space = view.space
    if dx and spaces:
        at = spaces.index(space) if space in spaces else 0
        space = spaces[(at + dx) % len(spaces)]
    regions = state.regions_of(space)
    va = view.va
    if dy and regions:
        at = max((i for i, r in enumerate(regions) if r.start <= va), default=0)
        va = regions[max(0, min(len(regions) - 1, at + dy))].start
    session.look_at(va, space, view.access)


def move_in_memory(session: Session, view: View, by: int) -> None:
    if view.focus.pa is not None:
        end = (view.moment.about.ram_frames << 12) - 1
        session.look_at_physical(max(0, min(end, view.focus.pa + by)))
    else:
        session.look_at(max(0, view.va + by), view.space, view.access)


AXES = ("folded", "log", "linear")


def turn_axis(session: Session) -> None:
    """Change to the next way to lay out addresses in the maps."""
    session.axis = AXES[(AXES.index(session.axis) + 1) % len(AXES)]
    session.message = f"the maps have a {session.axis} axis"


def pin(session: Session) -> None:
    """Put the space in view first in the maps and compare all others with it; or end that."""
    space = showing.view(session).space
    session.pinned = None if session.pinned == space else space
    words = "every space is compared with" if session.pinned else "no longer first:"
    session.message = f"{words} {session.history.tracks.space_name(space)}"


def turn_physical(session: Session) -> None:
    """Show memory by physical address, or by virtual address again."""
    view = showing.view(session)
    session.chosen = "memory"
    if view.focus.pa is not None:
        session.look_at(view.focus.va, view.focus.space, view.focus.access)
        return
    pfn = frames_panel.frame_in_view(view)
    if pfn is None:
        session.message = f"{view.va:#x} is mapped to no frame; g pfn:0x30 looks at one"
    else:
        session.look_at_physical(pfn << 12 | view.va & 0xFFF)


def zoom_timeline(session: Session, factor: float, about: int | None = None) -> None:
    """Show fewer or more records on the timeline. Record `about`, or else the position, stays in
    place."""
    oldest, total = session.history.oldest, max(1, session.history.scanned)
    first, last = session.span or (oldest, total)
    width = min(total - oldest, max(20, int((last - first) * factor)))
    start = session.history.position - width // 2
    if about is not None:
        start = about - round((about - first) * width / max(1, last - first))
    start = max(oldest, min(total - width, start))
    session.span = None if width >= total - oldest else (start, start + width)


def look_at_frame(session: Session, pfn: int) -> None:
    """Put the first page that maps a frame in view; the message says which others do."""
    view = showing.view(session)
    pages = mapped_at(view, pfn)
    if not pages:
        frame = view.moment.state.frames.get(pfn)
        what = view.moment.about.owner(frame.owner) if frame else "free"
        session.look_at_physical(pfn << 12)
        session.message = f"frame {pfn:#x} ({what}) is in no space; h shows its bytes"
        return
    space, va = pages[0]
    session.look_at(va, space)
    where = ", ".join(f"space {s} {a:#x}" for s, a in pages[:4])
    more = f" and {len(pages) - 4} more" if len(pages) > 4 else ""
    session.message = f"frame {pfn:#x} is at {where}{more}"


def mapped_at(view: View, pfn: int) -> list[tuple[int, int]]:
    """Every (space, address) that maps a frame."""
    return [
        (space, vpn << 12)
        for space, pml4 in sorted(view.moment.state.spaces.items())
        for vpn, leaf in sorted(view.moment.leaves(pml4).items())
        if (leaf.entry & ADDRESS) >> 12 == pfn
    ]


def follow(session: Session) -> None:
    """Hold the address in view, or follow the machine again."""
    view = showing.view(session)
    if session.focus.va is None:
        session.look_at(view.va, view.space, view.access)
        session.message = f"holding {view.va:#x} in view; t follows the machine again"
    else:
        session.look_at(None)
        session.focus.space = None
