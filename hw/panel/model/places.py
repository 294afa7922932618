"""Places in a trace, as people write them: `1234`, `50%`, `end`, `fault:3`, `vas_switch:-1`; and
one seen from another: `fork:1 then fault:2`."""

from __future__ import annotations

from array import array

from hw.host import UserError
from hw.panel.model.history import History
from hw.panel.model.tracks import SORTS

SORT_NAMES = {"call": "syscall", "event": "log"}
THEN = " then "
REMEDY = (
    "say 1234, 50%, start, end, or fault:3, switch:-1 (" + ", ".join(SORTS) + ", or the name of a "
    "kind of record or of a system call)"
)


def position_of(history: History, text: str) -> int:
    """The position that `text` names, just behind the record.  Raises `UserError`."""
    position = 0
    for part in text.split(THEN):
        position = _after(history, part, position)
    return position


def _after(history: History, text: str, start: int) -> int:
    words = text.strip().lstrip("#").lower()
    if words in ("start", "end"):
        return history.oldest if words == "start" else history.scanned
    sort, colon, number = words.partition(":")
    try:
        if colon:
            return _of_sort(history, SORT_NAMES.get(sort, sort), int(number), start)
        if words.endswith("%"):
            return round(float(words[:-1]) / 100 * history.scanned)
        position = int(words.replace(",", ""))
    except ValueError:
        raise UserError(f"{text!r} is no place in a trace", REMEDY) from None
    if not 0 <= position <= history.scanned:
        raise UserError(f"there is no record {position:,}", f"the trace has {history.scanned:,}")
    if position < history.oldest:
        raise UserError(*forgotten(history, position))
    return position


def forgotten(history: History, position: int) -> tuple[str, str]:
    """What to say of a record before the oldest, and the remedy."""
    oldest = f"the history begins at record {history.oldest:,}"
    return f"record {position:,} is forgotten: {oldest}", "to keep all, record with exec --trace"


def _of_sort(history: History, sort: str, number: int, start: int) -> int:
    if history.oldest and number > 0 and not start:
        words = f"cannot count from the start: it is forgotten, up to record {history.oldest:,}"
        raise UserError(words, f"count from the end, as in {sort}:-1")
    marks = history.tracks.marks[sort] if sort in SORTS else _of_name(history, sort)
    found = [mark for mark in marks if mark >= start]
    if not marks and sort not in SORTS:
        raise UserError(f"nothing in this trace is called {sort!r}", REMEDY)
    index = number - 1 if number > 0 else number
    if not number or not -len(found) <= index < len(found):
        raise UserError(f"there is no {sort} number {number}", f"there are {len(found):,}")
    return found[index] + 1


def _of_name(history: History, name: str) -> array[int]:
    """The records of a kind, or else the calls of a name. A switch counts where it ends: after the
    write of CR3 and the flush that follows."""
    switches = iter(history.tracks.marks["switch"])
    kinds, calls = array("Q"), array("Q")
    for number in range(history.oldest, history.scanned):
        record = history.record(number)
        switch = next(switches) if record.kind.name in SORTS["switch"] else number
        if record.kind.name == name:
            kinds.append(switch)
        elif record.kind.name == "syscall" and history.about.call_name(record["number"]) == name:
            calls.append(number)
    return kinds or calls
