"""What lies over the panels for a while: help, the palette, a list, a prompt, a tooltip."""

from __future__ import annotations

from hw.panel.layout import text_size
from hw.panel.machine import resuming
from hw.panel.picture import overlay
from hw.panel.picture.draw import Command
from hw.panel.session import Session
from hw.panel.user import markers, pointing
from hw.panel.user.asking import PROMPTS


def draw_over(session: Session) -> list[Command]:
    """The draw commands of what lies over the panels."""
    size = text_size(*session.size, projector=session.projector) + session.text_step
    screen = overlay.Screen(*session.size, size)
    if session.over == "help":
        return overlay.keys_help(screen)
    if session.over == "palette":
        return overlay.palette(screen, session.typed, session.picked)
    if session.over in PROMPTS:
        return overlay.prompt(screen, PROMPTS[session.over], session.typed)
    found = listed(session)
    if found is not None:
        title, rows = found
        return overlay.listing(screen, title, rows)
    told = pointing.tooltip(session)
    if told and session.hover is not None:
        return overlay.tooltip(screen, told, session.hover)
    return []


def listed(session: Session) -> tuple[str, list[str]] | None:
    """The title and the rows of the list over the panels; None if there is none."""
    if session.over == "difference":
        return "From A to B   (Esc closes)", markers.difference(session)
    if session.over == "resume":
        return "Go on from here?   (Enter does it, Esc does not)", resuming.rows(session)
    if session.over == "menu":
        return pointing.menu_title(session), pointing.menu_rows(session)
    if session.over == "breakpoints":
        rows = [f"{n}  {text}" for n, text in enumerate(session.breakpoints, 1)]
        title = "Breakpoints   (a number clears one, Esc closes)"
        return title, rows or ["there are none; b makes one"]
    return None
