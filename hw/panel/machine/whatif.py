"""What would another TLB have missed?

The machine executes the same run again on machines with other TLBs, for the same number of
instructions, and counts their misses. A trace could not tell: it has misses and no hits.
"""

from __future__ import annotations

from pathlib import Path

from hw.panel.machine import questions
from hw.panel.model.answers import Variant
from hw.panel.session import Session
from hw.panel.verbs import WHAT_IF
from hw.trace import TraceFile


def ask(session: Session) -> None:
    """Ask for the comparison up to this moment. Raises `UserError` without a machine."""
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
