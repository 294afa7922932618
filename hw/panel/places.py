"""Places in a trace, as people write them: `1234`, `50%`, `end`, `fault:3`, `switch:-1`."""

from __future__ import annotations

from hw.host import UserError
from hw.panel.history import History
from hw.panel.tracks import SORTS

SORT_NAMES = {"call": "syscall", "event": "log"}


def position_of(history: History, text: str) -> int:
    """The position that `text` names, just behind the record.  Raises `UserError`."""
    words = text.strip().lstrip("#").lower()
    if words in ("start", "end"):
        return 0 if words == "start" else history.scanned
    sort, colon, number = words.partition(":")
    try:
        if colon:
            return _of_sort(history, SORT_NAMES.get(sort, sort), int(number))
        if words.endswith("%"):
            return round(float(words[:-1]) / 100 * history.scanned)
        position = int(words.replace(",", ""))
    except ValueError:
        raise UserError(f"{text!r} is no place in a trace", REMEDY) from None
    if not 0 <= position <= history.scanned:
        raise UserError(f"there is no record {position:,}", f"the trace has {history.scanned:,}")
    return position


REMEDY = "say 1234, 50%, start, end, or fault:3, switch:-1 (" + ", ".join(SORTS) + ")"


def _of_sort(history: History, sort: str, number: int) -> int:
    if sort not in SORTS:
        raise UserError(f"{sort!r} is no sort of event", REMEDY)
    marks = history.tracks.marks[sort]
    index = number - 1 if number > 0 else number
    if not number or not -len(marks) <= index < len(marks):
        raise UserError(f"there is no {sort} number {number}", f"the trace has {len(marks):,}")
    return marks[index] + 1
