"""The timeline: who ran when and in which space, and where the events are.

Its axis is the number of the record, so that every event has a place; the modelled cycles stand
below it."""

from __future__ import annotations

from bisect import bisect_left

from hw.panel.draw import Canvas, Rect
from hw.panel.moment import View
from hw.panel.theme import hue_of, ink_on, pattern_of
from hw.panel.tracks import Slice

NAME_CHARACTERS = 14
MARKS = (("syscall", "bar", "ink"), ("fault", "triangle", "gold"), ("switch", "diamond", "sky"))
NOUNS = {"syscall": "calls", "fault": "faults", "switch": "switches"}


def span_of(view: View) -> tuple[int, int]:
    """The records that are shown."""
    return view.span or (0, max(1, view.moment.total))


def track_area(c: Canvas) -> Rect:
    """Where the records are, to the right of the names."""
    left = c.rect.x + NAME_CHARACTERS * c.cell
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
    parts.append(f"{view.moment.cycles:,} modelled cycles")
    parts += [f"{tracks.count(sort, first, last):,} {NOUNS[sort]}" for sort, _, _ in MARKS]
    return " · ".join(parts)


def threads(view: View, most: int) -> list[int]:
    """The threads that have a row: the current one, and those nearest to the position."""
    first, last = span_of(view)
    near: dict[int, int] = {}
    for piece in view.moment.tracks.within(first, last):
        distance = abs(piece.start - view.moment.position)
        near[piece.tid] = min(distance, near.get(piece.tid, distance))
    near[view.moment.core.tid] = -1
    chosen = sorted((tid for tid in near if tid), key=lambda tid: (near[tid], tid))[:most]
    return sorted(chosen)


def draw(view: View, c: Canvas) -> None:
    area, (first, last) = track_area(c), span_of(view)
    scale = area.w / max(1, last - first)
    rows = threads(view, max(1, c.rows - 2))
    _tracks(view, c, rows, area, scale)
    y = c.y(len(rows))
    _marks(view, c, y, area, scale)
    room = min(c.rect.bottom - y - c.row - 1, 6 * c.row)
    _density(view, c, Rect(area.x, y + c.row, area.w, room))
    c.text(c.rect.x, y, "calls, faults", "dim")
    c.text(c.rect.x, y + c.row, "density", "dim")
    for name, position in sorted(view.marks.items()):
        x = area.x + int((position - first) * scale)
        c.line(x, c.rect.y, x, c.rect.bottom - 1, "gold", width=2, dash=4)
        c.text(x + 3, c.rect.y, name, "gold", bold=True)
    x = area.x + int((view.moment.position - first) * scale)
    c.line(x, c.rect.y, x, c.rect.bottom - 1, "hot", width=2)
    c.mark("triangle", x, c.rect.bottom - 5, 5, "hot")


def _tracks(view: View, c: Canvas, rows: list[int], area: Rect, scale: float) -> None:
    first, last = span_of(view)
    names = view.moment.tracks.names
    for row, tid in enumerate(rows):
        alive = tid in view.moment.state.threads
        ink = "gold" if tid == view.moment.core.tid else "ink" if alive else "dim"
        label = f"T{tid} {names.get(tid, '')}"
        c.text(c.rect.x, c.y(row), label, ink, width=(NAME_CHARACTERS - 1) * c.cell)
        c.line(area.x, c.y(row) + c.row // 2, area.right, c.y(row) + c.row // 2, "faint")
    for x, end, piece in _merged(view, area, scale, first, last):
        if piece.tid in rows:
            at = Rect(x, c.y(rows.index(piece.tid)) + 1, end - x, c.row - 3)
            _slice(view, c, at, piece)


def _merged(
    view: View, area: Rect, scale: float, first: int, last: int
) -> list[tuple[int, int, Slice]]:
    """Slices as (x, end x, slice); those too thin to see are drawn one pixel wide, once."""
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
    """Calls, faults and switches, at most one of a sort to a pixel."""
    first, last = span_of(view)
    for sort, shape, ink in MARKS:
        numbers = view.moment.tracks.marks[sort]
        step = max(1.0, 6 / scale) if sort != "syscall" else max(1.0, 2 / scale)
        at = bisect_left(numbers, first)
        while at < len(numbers) and numbers[at] < last:
            x = area.x + int((numbers[at] + 1 - first) * scale)
            c.mark(shape, x, y + c.row // 2, 5 if shape == "bar" else 4, ink)
            at = bisect_left(numbers, int(numbers[at] + step) + 1, at + 1)


def _density(view: View, c: Canvas, at: Rect) -> None:
    """How many calls, faults and switches there are along the whole trace."""
    first, last = span_of(view)
    wide = 4
    bins = []
    for column in range(0, at.w, wide):
        low = first + (last - first) * column // at.w
        high = first + (last - first) * (column + wide) // at.w
        bins.append(sum(view.moment.tracks.count(sort, low, high) for sort, _, _ in MARKS))
    most = max(bins, default=0) or 1
    for index, number in enumerate(bins):
        tall = int((at.h - 1) * number / most)
        if number:
            c.box(at.x + index * wide, at.bottom - max(1, tall), wide - 1, max(1, tall), "dim")


def describe(view: View) -> list[str]:
    lines = [title(view)]
    for tid in threads(view, 12):
        pieces = [p for p in view.moment.tracks.within(0, view.moment.total) if p.tid == tid]
        spaces = sorted({piece.space for piece in pieces})
        where = ", ".join(map(str, spaces))
        name = view.moment.tracks.names.get(tid, "")
        lines.append(f"T{tid} {name}: ran {len(pieces)} times, in space {where}")
    return lines
