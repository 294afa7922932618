"""How many rooms of the kernel one trap enters."""

from __future__ import annotations

import pytest

from hw.paging import ERR_WRITE
from kernel.syscalls import TABLE
from tests.kernel.rooms import FAULT, Rooms, Visit
from tests.kernel.system import System


def visits_of(program: str) -> list[Visit]:
    system = System(program, checked=False, watched=False)
    with Rooms() as rooms:
        system.run()
    return rooms.visits


def longest(visits: list[Visit], name: str) -> Visit:
    number = next(row.number for row in TABLE.values() if row.name == name)
    return max((v for v in visits if v.kind != FAULT and v.number == number), key=len_of)


def len_of(visit: Visit) -> int:
    return visit.changes


@pytest.mark.parametrize(
    ("program", "call", "limit"), [("forks", "fork", 20), ("hello", "write", 13)]
)
def test_a_call_changes_rooms_at_most_as_often_as_agreed(
    program: str, call: str, limit: int
) -> None:
    visit = longest(visits_of(program), call)
    assert visit.changes <= limit, f"{call}: {' > '.join(visit.rooms)}"


def test_a_demand_fault_is_resolved_in_the_memory_system() -> None:
    faults = [v for v in visits_of("cow") if v.kind == FAULT and v.number & ERR_WRITE]
    assert faults
    worst = max(faults, key=len_of)
    assert worst.changes <= 2, " > ".join(worst.rooms)
    assert set(worst.rooms) == {"mm"}
