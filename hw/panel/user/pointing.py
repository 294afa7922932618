"""Pointing: what is under the pointer, what a click does, what a tooltip and the menu say.

Everything here works without a mouse too: a click does what keys do, a tooltip repeats what a panel
says in full, and the menu opens with a key.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hw.panel.layout import content, inner_size, places, size_for
from hw.panel.model.moment import View
from hw.panel.panels import frames as frames_panel
from hw.panel.panels import log as log_panel
from hw.panel.panels import maps as maps_panel
from hw.panel.panels import memory as memory_panel
from hw.panel.panels import timeline as timeline_panel
from hw.panel.picture import overlay
from hw.panel.picture.draw import Canvas, Rect
from hw.panel.session import Session
from hw.panel.user import inside, markers, showing
from hw.panel.words.lines import log_line
from hw.panel.words.words import rights_letters

PAGE = 4096
ZOOM = 0.8
"""A notch of the wheel shows this share of the timeline."""


def panel_at(session: Session, x: int, y: int) -> tuple[str, Rect] | None:
    """The panel under a pixel, and its rectangle."""
    for name, rect in places(showing.view(session), *session.size).items():
        if rect.x <= x < rect.right and rect.y <= y < rect.bottom:
            return name, rect
    return None


def click(session: Session, x: int, y: int) -> None:
    """Choose the panel, and put what is under the pointer in view."""
    found = panel_at(session, x, y)
    if found is None or session.frozen is not None:
        return
    name, _ = found
    if name != "caption":
        session.chosen = name
    opened = canvas_at(session, x, y)
    if opened is None:
        return
    _, view, canvas = opened
    if name == "timeline":
        session.history.seek(timeline_panel.record_at(view, canvas, x))
    elif name == "log":
        rows = log_panel.rows(view, canvas.rows)
        row = (y - canvas.rect.y) // canvas.row
        if 0 <= row < len(rows):
            session.history.seek(rows[row][0] + 1)
    elif name == "maps":
        _click_maps(session, view, canvas, x, y)
    elif name == "memory":
        va = memory_panel.address_at(view, canvas, x, y)
        if va is not None:
            inside.move_in_memory(session, view, va - memory_panel.address_of(view))
    elif name == "frames":
        pfn = frames_panel.frame_at(view, canvas, x, y)
        if pfn is not None:
            inside.look_at_frame(session, pfn)


def _click_maps(session: Session, view: View, canvas: Canvas, x: int, y: int) -> None:
    shape = maps_panel.shape_of(view, canvas)
    va = shape.scale.address(y - shape.top)
    column = (x - shape.left) // (shape.wide + 8)
    if va is None or not 0 <= column < len(shape.columns):
        return
    session.look_at(va & ~0xFFF, shape.columns[column].space)
    session.message = _meaning(view, va, [c.space for c in shape.columns])


def _meaning(view: View, va: int, spaces: list[int]) -> str:
    """What lies at an address in each space."""
    parts = []
    for space in spaces[:6]:
        region = view.moment.state.region_at(space, va)
        parts.append(f"space {space}: {(region.name or 'anonymous') if region else '-'}")
    return f"{va:#x}  " + "  ".join(parts)


def canvas_at(session: Session, x: int, y: int) -> tuple[str, View, Canvas] | None:
    """The panel under a pixel, the view, and the canvas of its content."""
    found = panel_at(session, x, y)
    if found is None:
        return None
    name, rect = found
    view = showing.view(session)
    size = size_for(view, *session.size)
    return name, view, Canvas(content(rect, size, name), inner_size(view, name, size))


# The timeline -------------------------------------------------------------------------------------


def select(session: Session, first: int, last: int) -> None:
    """Set markers A and B to the records at two pixels of the timeline, and show what lies
    between."""
    place = places(showing.view(session), *session.size).get("timeline")
    found = canvas_at(session, place.x + 1, place.y + 1) if place else None
    if found is None:
        return
    _, view, area = found
    here = session.history.position
    for name, x in (("A", min(first, last)), ("B", max(first, last))):
        session.history.seek(timeline_panel.record_at(view, area, x))
        markers.mark(session, name)
    session.history.seek(here)
    session.message = ""
    session.lay_over("difference")


def wheel(session: Session, steps: int, at: tuple[int, int], *, ctrl: bool) -> str:
    """The command that a notch of the wheel stands for. With Ctrl over the timeline it is none: the
    timeline zooms about the pointer."""
    found = canvas_at(session, *at)
    if not ctrl:
        return "left" if steps > 0 else "right"
    if found is None or found[0] != "timeline":
        return "larger" if steps > 0 else "smaller"
    _, view, area = found
    about = timeline_panel.record_at(view, area, at[0])
    inside.zoom_timeline(session, ZOOM if steps > 0 else 1 / ZOOM, about)
    return ""


# Tooltips -----------------------------------------------------------------------------------------


def tooltip(session: Session) -> list[str]:
    """The lines of the tooltip for what is under the pointer; empty if there are none."""
    if session.hover is None or session.over or session.frozen is not None:
        return []
    found = canvas_at(session, *session.hover)
    if found is None:
        return []
    name, view, canvas = found
    teller = TELLERS.get(name)
    return teller(session, view, canvas, *session.hover) if teller else []


def _tell_maps(session: Session, view: View, c: Canvas, x: int, y: int) -> list[str]:
    shape = maps_panel.shape_of(view, c)
    va = shape.scale.address(y - shape.top)
    if va is None or y < shape.top:
        return []
    rows = [f"{va & ~(PAGE - 1):#x}"]
    for column in shape.columns:
        region = view.moment.state.region_at(column.space, va)
        name = view.moment.tracks.space_name(column.space)
        if region is None:
            rows.append(f"{name}: nothing")
            continue
        kind = "shared" if region.shared else "private"
        rows.append(
            f"{name}: {region.name or 'anonymous'} {rights_letters(region.prot)} {kind}, "
            f"{len(column.pages(region))} of {region.pages} pages resident"
        )
    return rows


def _tell_frames(session: Session, view: View, c: Canvas, x: int, y: int) -> list[str]:
    pfn = frames_panel.frame_at(view, c, x, y)
    if pfn is None:
        return []
    frame = view.moment.state.frames.get(pfn)
    if frame is None:
        return [f"frame {pfn:#x}: free"]
    rows = [f"frame {pfn:#x}: {view.moment.about.owner(frame.owner)}, held {frame.refs} times"]
    mapped = inside.mapped_at(view, pfn)
    rows += [f"{view.moment.tracks.space_name(s)} {va:#x}" for s, va in mapped[:6]]
    return rows + ([f"and {len(mapped) - 6} more"] if len(mapped) > 6 else [])


def _tell_log(session: Session, view: View, c: Canvas, x: int, y: int) -> list[str]:
    rows, row = log_panel.rows(view, c.rows), (y - c.rect.y) // c.row
    if not 0 <= row < len(rows):
        return []
    number, record, _ = rows[row]
    return [f"record {number + 1:,}, {record.cycles:,} cycles", log_line(view.moment.about, record)]


def _tell_timeline(session: Session, view: View, c: Canvas, x: int, y: int) -> list[str]:
    if x < timeline_panel.track_area(c).x:
        return []
    number = timeline_panel.record_at(view, c, x)
    tracks = view.moment.tracks
    rows = [f"record {number:,}, about {tracks.cycles_at(number):,} cycles"]
    for core in sorted(view.moment.state.cores):
        piece = tracks.slice_at(core, number)
        if piece is not None:
            name = tracks.names.get(piece.tid, "")
            where = tracks.space_name(piece.space)
            rows.append(f"core {core}: T{piece.tid} {name} in {where}")
    return rows


def _tell_memory(session: Session, view: View, c: Canvas, x: int, y: int) -> list[str]:
    address = memory_panel.address_at(view, c, x, y)
    column = memory_panel.columns(view)[0]
    if address is None or column.page(address // PAGE)[0] is None:
        return []
    return [memory_panel.word_text(view, column, address & ~7)]


TELLERS: dict[str, Callable[[Session, View, Canvas, int, int], list[str]]] = {
    "maps": _tell_maps,
    "frames": _tell_frames,
    "log": _tell_log,
    "timeline": _tell_timeline,
    "memory": _tell_memory,
}


# The menu -----------------------------------------------------------------------------------------


Row = tuple[str, str | Callable[[], None]]
"""A row of the menu: its words, and the command that it stands for or a function that acts."""


def menu(session: Session) -> list[Row]:
    """What can be done with what is in view."""
    view = showing.view(session)
    page, pfn = view.va & ~(PAGE - 1), frames_panel.frame_in_view(view)
    here = f"va in {page:#x}..{page + PAGE:#x}"
    rows: list[Row] = [
        ("its table", partial(_show_table, session)),
        ("its bytes", "memory"),
        ("hold it in view, or follow again", "follow"),
        ("last write to it", "last write"),
        ("break on a fault at it", partial(_break, session, f"fault && {here}")),
        (
            "break on a store that faults at it",
            partial(_break, session, f"fault && write && {here}"),
        ),
        ("break on a TLB fill for it", partial(_break, session, f"tlb_fill && {here}")),
        ("copy the address", partial(_copy, session, f"{view.va:#x}")),
    ]
    if pfn is not None:
        words = f"its frame, {pfn:#x}, and all that show it"
        rows.insert(0, (words, partial(_show_frame, session, pfn)))
    return rows


def menu_rows(session: Session) -> list[str]:
    return [f"{n}  {words}" for n, (words, _) in enumerate(menu(session), 1)]


def menu_title(session: Session) -> str:
    return f"{showing.view(session).va:#x}   (a number chooses, Esc closes)"


def menu_row(session: Session, y: int) -> int:
    """The row of the menu at a height, counted from 1; 0 if there is none."""
    screen = overlay.Screen(*session.size, size_for(showing.view(session), *session.size))
    row = overlay.row_at(screen, menu_title(session), menu_rows(session), y)
    return 0 if row is None else row + 1


def choose(session: Session, number: int) -> str:
    """Close the menu and act on row `number`, counted from 1. If the row stands for a command, its
    name is returned, to be carried out by the caller; else an empty string."""
    session.over = ""
    rows = menu(session)
    action = rows[number - 1][1] if 0 < number <= len(rows) else ""
    if isinstance(action, str):
        return action
    action()
    return ""


def _show_table(session: Session) -> None:
    session.chosen, session.zoomed = "walk", True


def _show_frame(session: Session, pfn: int) -> None:
    session.chosen = "frames"
    inside.look_at_frame(session, pfn)


def _break(session: Session, condition: str) -> None:
    if condition not in session.breakpoints:
        session.breakpoints.append(condition)
    session.message = f"stops at: {condition}; c runs there, C runs back"


def _copy(session: Session, text: str) -> None:
    session.copied, session.message = text, f"copied {text}"
