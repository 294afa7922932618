"""Searches: the lines of the log that meet a condition, and the entries of a table that have
certain flags."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from hw.paging import NX, PS, SHIFTS, A, D, G, P, U, W
from hw.panel.model.conditions import Condition, ConditionError, Subject, parse
from hw.panel.model.history import History
from hw.panel.model.moment import LOG_AFTER, LOG_BEFORE, View
from hw.panel.panels import table as table_panel
from hw.panel.panels import walk as walk_panel
from hw.panel.session import Session
from hw.panel.words.lines import log_line
from hw.trace import Record

LOOKED_AT = 4_000
"""Lines on each side of the position that are searched for some that meet a condition."""
FLAGS = {"p": P, "w": W, "u": U, "a": A, "d": D, "s": PS, "g": G, "n": NX}
FLAG_WORDS = (
    "say flags such as w&&!n: p present, w writable, u user, a accessed, d dirty, s large, "
)
FLAG_WORDS += "g global, n no execute, x execute"


def condition_or_words(text: str) -> Condition:
    try:
        condition = parse(text)
        if any(mark in text for mark in ("==", "&&", "||", "!", "<", ">", "~", " in ")):
            return condition
    except ConditionError:
        pass
    words = text.lower()
    return lambda subject: (
        words in (f"{subject.record.kind.name} {log_line(subject.about, subject.record)}".lower())
    )


def log_lines(history: History, condition: Condition) -> list[tuple[int, Record]]:
    """The lines around the position that meet a condition: as many as the log has room for."""
    marks = history.tracks.marks["log"]
    at = bisect_left(marks, history.position)
    before = _fulfilling(history, condition, marks[max(0, at - LOOKED_AT) : at][::-1], LOG_BEFORE)
    after = _fulfilling(history, condition, marks[at : at + LOOKED_AT], LOG_AFTER)
    return before[::-1] + after


def _fulfilling(
    history: History, condition: Condition, numbers: Iterable[int], most: int
) -> list[tuple[int, Record]]:
    found: list[tuple[int, Record]] = []
    for number in numbers:
        record = history.remembered(number)
        if condition(Subject(record, number, history.tracks, history.about)):
            found.append((number, record))
            if len(found) == most:
                break
    return found


# Tables -------------------------------------------------------------------------------------------


def flags_of(text: str) -> tuple[int, int]:
    """`w&&!n` as (bits that must be set, bits that must be clear).  Raises `ConditionError`."""
    wanted, unwanted = 0, 0
    for word in text.lower().split("&&"):
        name = word.strip()
        negated = name.startswith("!")
        name = name.lstrip("!").strip()
        if name == "x":
            name, negated = "n", not negated
        if name not in FLAGS:
            raise ConditionError(f"{word.strip()!r} is no flag; {FLAG_WORDS}")
        if negated:
            unwanted |= FLAGS[name]
        else:
            wanted |= FLAGS[name]
    return wanted, unwanted


def search(session: Session, view: View, *, forward: bool) -> None:
    """Find what the user searched for. In the zoomed walk that is flags of an entry; elsewhere it
    is a condition, or else words of a line of the log."""
    if not session.searched:
        session.message = "nothing was searched for; / asks"
    elif session.zoomed and session.chosen == "walk":
        find_entry(session, view, session.searched, forward=forward)
    else:
        condition = condition_or_words(session.searched)
        session.go_to(session.find(condition, forward=forward), f"{session.searched!r}")


def find_entry(session: Session, view: View, text: str, *, forward: bool) -> None:
    """Put the next or previous entry of the open table that has the flags in view."""
    step = walk_panel.table_step(view)
    if step is None:
        return
    wanted, unwanted = flags_of(text)
    entries = table_panel.entries_of(view, step.table)
    fit = [
        index
        for index, entry in sorted(entries.items())
        if entry & wanted == wanted and not entry & unwanted
    ]
    beside = [index for index in fit if (index > step.index if forward else index < step.index)]
    if not beside:
        session.message = f"no entry {'after' if forward else 'before'} this one has {text}"
        return
    index, shift = beside[0 if forward else -1], SHIFTS[step.level]
    va = view.va & ~((1 << shift + 9) - 1) | index << shift
    session.look_at(va | (0xFFFF << 48 if step.level == 4 and index >= 256 else 0), view.space)
    session.level = step.level
    session.message = f"entry {index:03x}: one of {len(fit)} with {text}"
