"""What a session shows: the view that the panels are drawn from."""

from __future__ import annotations

from hw.panel.layout import places
from hw.panel.machine import memory
from hw.panel.model.moment import View, moment_of
from hw.panel.panels import memory as memory_panel
from hw.panel.session import Session
from hw.panel.user import markers, sifting

HEAT_RECORDS = 96
"""While time runs fast, what changed within the last 96 records is still warm."""


def view(session: Session) -> View:
    """What there is to see now."""
    if session.frozen is not None:
        return session.frozen
    moment = moment_of(session.history)
    if session.log_filter:
        condition = sifting.condition_or_words(session.log_filter)
        moment.log = sifting.log_lines(session.history, condition)
    return View(
        moment,
        mode=session.mode,
        focus=session.focus,
        chosen=session.chosen,
        zoomed=session.zoomed,
        projector=session.projector,
        marks=dict(session.marks),
        since=_since_marker(session),
        span=session.span,
        message=session.message,
        said=session.said,
        beside=session.beside,
        source=session.history.file.path.name,
        text_step=session.text_step,
        level=session.level,
        log_filter=session.log_filter,
        axis=session.axis,
        pinned=session.pinned,
        heat=session.history.recent(HEAT_RECORDS) if session.is_fast else None,
        pages=memory.pages_of(session),
        words=session.words,
        register=session.register,
        variants=session.variants,
        variants_place=session.variants_place,
    )


def _since_marker(session: Session) -> dict[tuple[int, object], object]:
    """What has changed since marker A."""
    before = session.marked_states.get("A")
    return markers.changes(before, session.history.state) if before else {}


def looks(session: Session) -> tuple[object, ...]:
    """All that decides which memory is in view: equal while the same memory is."""
    focus = session.focus
    return (
        *(session.history.position, session.marks.get("A")),
        *(session.chosen, session.zoomed, session.projector, session.size, session.text_step),
        *(focus.va, focus.space, focus.pa),
    )


def frames_in_view(session: Session) -> list[int]:
    """The frames whose bytes are in view; none if the memory panel is not."""
    shown = view(session)
    if "memory" not in places(shown, *session.size):
        return []
    return memory_panel.frames_in_view(shown)
