"""Markers: two moments, and what lies between them."""

from __future__ import annotations

from hw.panel.model.state import FRAMES, PTES, REGIONS, TLB, State
from hw.panel.session import Session

WATCHED = (PTES, FRAMES, REGIONS, TLB)


def mark(session: Session, name: str) -> None:
    """Set marker A or B here."""
    session.marks[name] = session.history.position
    session.marked_states[name] = session.history.state.copy()
    session.message = f"marker {name} at record {session.history.position:,}"


def difference(session: Session) -> list[str]:
    """What lies between the markers, or between marker A and the position, in lines of text."""
    if "A" not in session.marks:
        return ["there is no marker A; m sets it"]
    history = session.history
    first, last = session.marks["A"], session.marks.get("B", history.position)
    after = session.marked_states.get("B", history.state)
    low, high = sorted((first, last))
    cycles = _cycles(session, high) - _cycles(session, low)
    rows = [f"records {low:,} to {high:,}: {high - low:,}; {cycles:,} modelled cycles"]
    for sort in ("syscall", "fault", "switch", "table", "frame", "tlb", "flush"):
        rows.append(f"{history.tracks.count(sort, low, high):>8,} of sort {sort}")
    changed = changes(session.marked_states["A"], after)
    for shelf, words in ((REGIONS, "regions"), (PTES, "table entries"), (FRAMES, "frames")):
        rows.append(f"{sum(1 for at, _ in changed if at == shelf):>8,} {words} differ")
    return rows


def changes(before: State, after: State) -> dict[tuple[int, object], object]:
    """(shelf, key) -> old value, of what differs between two states."""
    found: dict[tuple[int, object], object] = {}
    for shelf in WATCHED:
        old, new = before.shelves[shelf], after.shelves[shelf]
        for key in sorted({key for key, _ in old.items() ^ new.items()}):
            found[shelf, key] = old.get(key)
    return found


def _cycles(session: Session, position: int) -> int:
    return session.history.record(position - 1).cycles if position else 0
