"""The log: calls, faults, switches and output, as strace writes them."""

from __future__ import annotations

from hw.panel.model.moment import View
from hw.panel.picture.draw import Canvas
from hw.panel.words.lines import log_line
from hw.trace import Record

INKS = {"fault": "gold", "exception": "alarm", "run": "dim", "console_output": "good"}


def title(view: View) -> str:
    marks = view.moment.tracks.marks["log"]
    return f"{len(marks):,} lines" + (f" · only {view.log_filter}" if view.log_filter else "")


def rows(view: View, count: int) -> list[tuple[int, Record, bool]]:
    """(number, record, is it the current one) of the lines to show. Most of them are past."""
    log = view.moment.log
    past = [row for row in log if row[0] < view.moment.position]
    future = log[len(past) :]
    after = min(len(future), max(2, count // 4))
    shown = past[-(count - after) :] if count > after else past[-count:]
    current = past[-1][0] if past else -1
    return [(n, r, n == current) for n, r in (shown + future)[:count]]


def draw(view: View, c: Canvas) -> None:
    for row, (number, record, current) in enumerate(rows(view, c.rows)):
        y = c.y(row)
        happened = number < view.moment.position
        paper = "bar" if current else c.paper
        if current:
            c.box(c.rect.x, y, c.rect.w, c.row, "bar")
            c.mark("triangle", c.rect.x + 4, y + c.row // 2, 4, "gold")
        ink = INKS.get(record.kind.name, "ink") if happened else "dim"
        x = c.text(c.rect.x + c.cell, y, f"{number + 1:>6} ", "dim", paper=paper)
        c.text(x, y, log_line(view.moment.about, record), ink, paper=paper)


def describe(view: View) -> list[str]:
    return [
        f"{'>' if current else ' '} #{number + 1} {log_line(view.moment.about, record)}"
        for number, record, current in rows(view, 12)
    ]
