"""The timeline: which thread ran when and in which space, and where the events are.

Its axis is the number of the record, so every event has a place. The modelled cycles stand below
it.
"""

from __future__ import annotations

from bisect import bisect_left

from hw.panel.model.moment import View
from hw.panel.model.tracks import Slice
from hw.panel.picture.draw import Canvas, Rect
from hw.panel.picture.theme import hue_of, ink_on, pattern_of

NAME_CHARACTERS, WIDE_NAME_CHARACTERS, WIDE = 14, 21, 120
"""Characters of the names on the left; the same in a wide panel; how many columns make it wide."""
MARKS = (("syscall", "bar", "ink"), ("fault", "triangle", "gold"), ("switch", "diamond", "sky"))
NOUNS = {"syscall": "calls", "fault": "faults", "switch": "switches"}
CROWDED = 4
"""Events with fewer pixels each are counted and not marked."""
BAR = 4
"""Pixels of a bar of counts."""


def span_of(view: View) -> tuple[int, int]:
    """The records that are shown."""
    return view.span or (view.moment.oldest, max(1, view.moment.total))


def name_characters(c: Canvas) -> int:
    return WIDE_NAME_CHARACTERS if c.columns >= WIDE else NAME_CHARACTERS


def track_area(c: Canvas) -> Rect:
    """The area of the records, to the right of the names."""
    left = c.rect.x + name_characters(c) * c.cell
    return Rect(left, c.rect.y, max(1, c.rect.right - left - 2), c.rect.h)


def record_at(view: View, c: Canvas, x: int) -> int:
    """The record under a pixel."""
    area, (first, last) = track_area(c), span_of(view)
    share = (x - area.x) / area.w
    return max(0, min(view.moment.total, first + round(share * (last - first))))


def title(view: View) -> str:
    first, last = span_of(view)
    tracks = view.moment.tracks
    parts = [f"{view.moment.position:,} of {view.moment.total:,} records"]
    parts += [f"{tracks.count(sort, first, last):,} {NOUNS[sort]}" for sort, _, _ in MARKS]
    parts.append(f"{view.moment.cycles:,} modelled cycles")
    return " · ".join(parts)


def _nearest(view: View) -> list[int]:
    """The threads that have run: the current one, then those nearest to the position."""
    first, last = span_of(view)
    near: dict[int, int] = {}
    for piece in view.moment.tracks.within(first, last):
        distance = abs(piece.start - view.moment.position)
        near[piece.tid] = min(distance, near.get(piece.tid, distance))
    near[view.moment.core.tid] = -1
    return sorted((tid for tid in near if tid), key=lambda tid: (near[tid], tid))


def threads(view: View, most: int) -> list[int]:
    """The threads that have a row, by number."""
    return sorted(_nearest(view)[:most])


def draw(view: View, c: Canvas) -> None:
    area, (first, last) = track_area(c), span_of(view)
    scale = area.w / max(1, last - first)
    rows = threads(view, max(1, c.rows - 2))
    _tracks(view, c, rows, area, scale)
    y = c.y(len(rows))
    below = y if is_crowded(view, area.w) else y + c.row
    if below > y:
        _marks(view, c, y, area, scale)
    room = min(c.rect.bottom - below - 1, 6 * c.row)
    _legend(c, y, _density(view, c, Rect(area.x, below, area.w, room)))
    for name, position in sorted(view.marks.items()):
        x = area.x + int((position - first) * scale)
        c.line(x, c.rect.y, x, c.rect.bottom - 1, "gold", width=2, dash=4)
        c.text(x + 3, c.rect.y, name, "gold", bold=True)
    x = area.x + int((view.moment.position - first) * scale)
    c.line(x, c.rect.y, x, c.rect.bottom - 1, "hot", width=2)
    c.mark("triangle", x, c.rect.bottom - 5, 5, "hot")


def is_crowded(view: View, width: int) -> bool:
    """True if the marks would run together, so that counts tell more."""
    first, last = span_of(view)
    events = sum(view.moment.tracks.count(sort, first, last) for sort, _, _ in MARKS)
    return events * CROWDED > width


def _legend(c: Canvas, y: int, most: int) -> None:
    """The legend of the marks, and the count of the highest bar. Where names are narrow, the third
    mark takes its place."""
    narrow = name_characters(c) == NAME_CHARACTERS
    x = c.rect.x
    for sort, shape, ink in MARKS:
        if narrow and sort == "switch":
            x, y = c.rect.x, y + c.row
        c.mark(shape, x + 4, y + c.row // 2, 5 if shape == "bar" else 4, ink)
        x = c.text(x + c.cell + 3, y, sort.removeprefix("sys"), "dim") + c.cell // 2
    if not narrow:
        c.text(c.rect.x, y + c.row, f"count, max {most:,}", "dim")


def _tracks(view: View, c: Canvas, rows: list[int], area: Rect, scale: float) -> None:
    first, last = span_of(view)
    names, hidden = view.moment.tracks.names, len(_nearest(view)) - len(rows)
    for row, tid in enumerate(rows):
        alive = tid in view.moment.state.threads
        ink = "gold" if tid == view.moment.core.tid else "ink" if alive else "dim"
        label, wide = f"T{tid} {names.get(tid, '')}", name_characters(c) - 1
        if row == len(rows) - 1 and hidden:
            more = f"+{hidden} threads" if len(label) + 10 < wide else f"+{hidden}"
            wide -= len(more) + 1
            c.text(c.rect.x + (wide + 1) * c.cell, c.y(row), more, "gold")
        c.text(c.rect.x, c.y(row), label, ink, width=wide * c.cell)
        c.line(area.x, c.y(row) + c.row // 2, area.right, c.y(row) + c.row // 2, "faint")
    for x, end, piece in _merged(view, area, scale, first, last):
        if piece.tid in rows:
            at = Rect(x, c.y(rows.index(piece.tid)) + 1, end - x, c.row - 3)
            _slice(view, c, at, piece)


def _merged(
    view: View, area: Rect, scale: float, first: int, last: int
) -> list[tuple[int, int, Slice]]:
    """Slices as (x, end x, slice). Slices thinner than a pixel are one pixel wide, at most one to a
    pixel."""
    found: list[tuple[int, int, Slice]] = []
    reached: dict[int, int] = {}
    for piece in view.moment.tracks.within(first, last):
        end = piece.end or last
        x = area.x + max(0, int((piece.start - first) * scale))
        right = min(area.right, max(x + 1, area.x + int((end - first) * scale)))
        if right > reached.get(piece.tid, 0):
            found.append((x, right, piece))
            reached[piece.tid] = right
    return found


def _slice(view: View, c: Canvas, at: Rect, piece: Slice) -> None:
    hue = hue_of(piece.space)
    pattern = pattern_of(piece.space) if at.w > 6 else ""
    outline = "edge" if at.w > 2 else ""
    c.box(*at, hue, outline=outline, pattern=pattern, ink="black")
    word = view.moment.tracks.space_name(piece.space)
    if at.w <= (len(word) + 1) * c.cell:
        word = word.replace("VAS ", "V").replace("space ", "")
    if at.w > (len(word) + 1) * c.cell:
        c.text(at.x + 3, at.y - 1, word, ink_on(hue), paper=hue)


def _marks(view: View, c: Canvas, y: int, area: Rect, scale: float) -> None:
    """The marks of calls, faults and switches, at most one of a sort to a pixel."""
    first, last = span_of(view)
    for sort, shape, ink in MARKS:
        numbers = view.moment.tracks.marks[sort]
        step = max(1.0, 6 / scale) if sort != "syscall" else max(1.0, 2 / scale)
        at = bisect_left(numbers, first)
        while at < len(numbers) and numbers[at] < last:
            x = area.x + int((numbers[at] + 1 - first) * scale)
            c.mark(shape, x, y + c.row // 2, 5 if shape == "bar" else 4, ink)
            at = bisect_left(numbers, int(numbers[at] + step) + 1, at + 1)


def _density(view: View, c: Canvas, at: Rect) -> int:
    """Bars that count calls, faults and switches, one above the other in the colours of their
    marks. Returns the count of the highest bar."""
    first, last = span_of(view)
    bins = []
    for column in range(0, at.w, BAR):
        low = first + (last - first) * column // at.w
        high = first + (last - first) * (column + BAR) // at.w
        bins.append([view.moment.tracks.count(sort, low, high) for sort, _, _ in MARKS])
    most = max((sum(numbers) for numbers in bins), default=0)
    for index, numbers in enumerate(bins):
        reached = 0
        for number, (_, _, ink) in zip(numbers, MARKS, strict=True):
            low = (at.h - 1) * reached // max(1, most)
            reached += number
            tall = max(1, (at.h - 1) * reached // max(1, most) - low)
            if number:
                c.box(at.x + index * BAR, at.bottom - low - tall, BAR - 1, tall, ink)
    return most


def describe(view: View) -> list[str]:
    lines, moment = [title(view)], view.moment
    for tid in threads(view, 12):
        pieces = [p for p in moment.tracks.within(moment.oldest, moment.total) if p.tid == tid]
        spaces = sorted({piece.space for piece in pieces})
        where = ", ".join(map(str, spaces))
        name = view.moment.tracks.names.get(tid, "")
        lines.append(f"T{tid} {name}: ran {len(pieces)} times, in space {where}")
    return lines
