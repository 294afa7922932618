"""What if the TLB were another one?

The machine runs the same system again on other machines, each for as many instructions, and counts
what their TLBs miss.  A trace could not tell: it has the misses and not the hits.
"""

from __future__ import annotations

from pathlib import Path

from hw.panel.machine import questions
from hw.panel.model.answers import Variant
from hw.panel.session import Session
from hw.panel.verbs import WHAT_IF
from hw.trace import TraceFile


def ask(session: Session) -> None:
    """Have the comparison made up to this moment.  Raises `UserError` without a machine."""
    if session.history.about.config.get("mmu") == "silicon":
        session.message = "on the emulated CPU's own MMU no TLB can be seen, so none is compared"
        return
    trace = session.outer or session.history
    questions.ask(session, WHAT_IF, (trace.position,), lambda answer: _take(session, answer))
    session.chosen, session.zoomed = "tlb", True
    session.message = "the same run goes through other TLBs ..."


def _take(session: Session, answer: Path) -> None:
    with TraceFile(answer) as file:
        rows = file.header["what_if"]
    session.message = ""
    session.variants = tuple(
        Variant(str(name), int(ran), int(cycles), (tuple(one), tuple(two)))
        for name, ran, cycles, one, two in rows
    )
    session.variants_place = (session.outer or session.history).position
