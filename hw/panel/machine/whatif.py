"""What if the TLB were another one: the machine runs the same system again on other machines, each
for as many instructions, and counts what their TLBs miss.  A trace could not tell: it has the
misses, and not the accesses that hit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hw.mmu import CAUSES
from hw.trace import TraceFile

if TYPE_CHECKING:
    from hw.panel.session import Session

NO_MACHINE = "what another TLB would miss is not in a trace; run.py panel PROGRAM can run it again"


class Variant(NamedTuple):
    """A machine, how far it ran, and how often each TLB of it missed, by cause."""

    name: str
    instructions: int
    cycles: int
    misses: tuple[tuple[int, ...], tuple[int, ...]]

    def total(self, side: int) -> int:
        return sum(self.misses[side])

    @property
    def all(self) -> int:
        return self.total(0) + self.total(1)

    def causes(self, side: int) -> str:
        """`30 cold, 6 capacity`."""
        rows = zip(self.misses[side], CAUSES, strict=True)
        return ", ".join(f"{count:,} {cause}" for count, cause in rows if count)


def ask(session: Session) -> None:
    """Have the comparison made up to this moment."""
    history = session.history
    if session.send is None:
        session.message = NO_MACHINE
        return
    if history.about.config.get("mmu") == "silicon":
        session.message = "on the emulated CPU's own MMU no TLB can be seen, so none is compared"
        return
    place = windows_place(session)
    session.awaited_variants = history.file.path.with_name(f"what_if-{place}.vtrace")
    session.chosen, session.zoomed = "tlb", True
    session.message = "the same run goes through other TLBs ..."
    session.send(f"what_if {place}")


def windows_place(session: Session) -> int:
    """Where the run is, also in a window of instructions."""
    return (session.outer or session.history).position


def take(session: Session) -> bool:
    """The comparison; True if it has come."""
    path = session.awaited_variants
    if path is None or not path.exists():
        return False
    with TraceFile(path) as file:
        rows = file.header["what_if"]
    path.unlink()
    session.awaited_variants, session.message = None, ""
    session.variants = tuple(
        Variant(str(name), int(ran), int(cycles), (tuple(one), tuple(two)))
        for name, ran, cycles, one, two in rows
    )
    session.variants_place = windows_place(session)
    return True
