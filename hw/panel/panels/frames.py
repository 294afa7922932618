"""Physical memory: a cell per frame, by the kind of its holder and how many hold it."""

from __future__ import annotations

from typing import NamedTuple

from hw.paging import ADDRESS
from hw.panel.model.moment import View
from hw.panel.model.state import FRAMES, Frame
from hw.panel.picture.draw import Canvas, Cells
from hw.panel.picture.theme import ink_on

KINDS = {
    "free": (".", "free"),
    "machine": ("M", "faint"),
    "page table": ("T", "blue"),
    "anonymous": ("a", "orange"),
    "file": ("f", "sky"),
    "segment": ("s", "yellow"),
    "kernel": ("K", "green"),
}
"""Kind of holder -> letter, hue. A frame with several holders is vermillion, with `x` and their
number."""
LARGEST_CELL, SMALLEST_CELL = 22, 4
MARGIN = 4
"""Extra pixels between the last line and the edge of the panel."""
RINGED = 8
"""Where cells are small, up to this many changed frames have a ring each."""


def used(view: View) -> int:
    return len(view.moment.state.frames)


def title(view: View) -> str:
    total = view.moment.about.ram_frames
    shared = sum(1 for frame in view.moment.state.frames.values() if frame.refs > 1)
    return f"{total:,} · {used(view):,} used · {shared:,} shared"


def letter(view: View, frame: Frame, level: int, room: int) -> str:
    """The text in a frame's cell, at most `room` characters: the level of a table, else the number
    of holders (`x2`, or `x` where that is too long), else the letter of its kind."""
    if level:
        return str(level)
    if frame.refs > 1:
        count = f"x{frame.refs}"
        return count if len(count) <= room else "x"
    return KINDS.get(view.moment.about.owner(frame.owner), ("?", "ink"))[0]


def hue(view: View, frame: Frame) -> str:
    if frame.refs > 1:
        return "vermillion"
    return KINDS.get(view.moment.about.owner(frame.owner), ("?", "purple"))[1]


def draw(view: View, c: Canvas) -> None:
    area, shown, cell = _shape(view, c)
    if cell >= c.size:
        _large(view, area, shown, cell)
    else:
        _small(view, area, shown)
    _legend(view, c, shown, 1 if cell >= c.size else _grid(area, shown)[2])


def frame_at(view: View, c: Canvas, x: int, y: int) -> int | None:
    """The frame under a pixel; None where frames have no cell of their own."""
    area, shown, cell = _shape(view, c)
    across = area.rect.w // cell
    column, row = (x - area.rect.x) // cell, (y - area.rect.y) // cell
    pfn = row * across + column
    return pfn if cell >= c.size and 0 <= column < across and 0 <= pfn < shown else None


def _shape(view: View, c: Canvas) -> tuple[Canvas, int, int]:
    """Where the cells are, how many frames they show, and how large they are."""
    shown = min(view.moment.about.ram_frames, max(view.moment.state.frames, default=0) + 1)
    below = legend_rows(view, c, shown) * c.row + MARGIN + 3
    area = c.inside(c.rect._replace(h=max(c.row, c.rect.h - below)))
    return area, shown, _cell_size(area, max(shown, 32))


def _cell_size(c: Canvas, count: int) -> int:
    """The largest cell with which all frames fit."""
    for cell in range(max(LARGEST_CELL, 2 * c.cell + 4), 3, -1):
        if (c.rect.w // cell) * (c.rect.h // cell) >= count:
            return cell
    return 3


def _large(view: View, c: Canvas, shown: int, cell: int) -> None:
    """Cells with a letter each."""
    across = c.rect.w // cell
    tables = view.moment.tables()
    focus = frame_in_view(view)
    for pfn in range(shown):
        x, y = c.rect.x + pfn % across * cell, c.rect.y + pfn // across * cell
        frame = view.moment.state.frames.get(pfn)
        new = view.is_new(FRAMES, pfn)
        if frame is None:
            c.box(x, y, cell - 1, cell - 1, "free", pattern="diagonal" if new else "", ink="dim")
        else:
            fill = hue(view, frame)
            pattern = "diagonal" if frame.refs > 1 else ""
            c.box(x, y, cell - 1, cell - 1, fill, outline="edge", pattern=pattern, ink="black")
            word = letter(view, frame, tables.get(pfn << 12, (0, []))[0], (cell - 1) // c.cell)
            left = x + (cell - len(word) * c.cell) // 2
            top = y + ((cell - 1 - c.row) // 2 if cell > c.row else (cell - 1 - c.size) // 2 - 1)
            c.text(left, top, word, ink_on(fill), paper=fill, bold=frame.refs > 1)
        heat = view.heat_of(FRAMES, pfn)
        if heat:
            c.box(x, y, 3, (cell - 1) * heat // 3, "gold")
        elif view.is_recent(FRAMES, pfn):
            c.box(x, y + 3, 2, cell - 7, "gold")
        if new:
            c.box(x - 1, y - 1, cell + 1, cell + 1, "", outline="hot", width=2)
        elif pfn == focus:
            c.box(x - 1, y - 1, cell + 1, cell + 1, "", outline="gold", width=2)
    copied = copy_of(view)
    if copied is not None:
        _arrow(c, *copied, across, cell)


def _arrow(c: Canvas, old: int, new: int, across: int, cell: int) -> None:
    """An arrow from a frame to its copy, beside the letters of both."""
    x1, x2 = (c.rect.x + pfn % across * cell + cell // 2 for pfn in (old, new))
    y1, y2 = (c.rect.y + pfn // across * cell + cell - 3 for pfn in (old, new))
    if y1 != y2:
        y2 -= cell - 5
    c.line(x1, y1, x2, y2, "hot", width=2)
    c.mark("diamond", x2, y2, 4, "hot")


def _small(view: View, c: Canvas, shown: int) -> None:
    """Small cells without letters. A cell stands for several frames if there are too many."""
    across, cell, each = _grid(c, shown)
    roles = (
        "free",
        "faint",
        "blue",
        "orange",
        "sky",
        "yellow",
        "green",
        "vermillion",
        "hot",
        "purple",
    )
    codes = _in_proportion(view, shown, each, roles)
    fresh = view.moment.changed if view.heat is None else view.heat
    changed = sorted(
        {k // each for shelf, k in fresh if shelf == FRAMES and isinstance(k, int) and k < shown}
    )
    for place in changed:
        codes[place] = 8
    x, y = c.rect.x, c.rect.y
    cells = Cells(x, y, columns=across, cell=cell, codes=bytes(codes), palette=roles)
    c.commands.append(cells)
    if view.heat is None and len(changed) <= RINGED:
        _rings(c, changed, across, cell)


def _rings(c: Canvas, changed: list[int], across: int, cell: int) -> None:
    """A ring around each row of small changed cells. It keeps a distance, so that the eye finds
    it."""
    runs: list[list[int]] = []
    for place in changed:
        if runs and runs[-1][-1] == place - 1 and place % across:
            runs[-1].append(place)
        else:
            runs.append([place])
    for run in runs:
        x, y = c.rect.x + run[0] % across * cell, c.rect.y + run[0] // across * cell
        wide = len(run) * cell
        c.box(x - 7, y - 7, wide + 14, cell + 14, "", outline="panel", width=7)
        c.box(x - 7, y - 7, wide + 14, cell + 14, "", outline="hot", width=3)


def _grid(c: Canvas, shown: int) -> tuple[int, int, int]:
    """Cells across, pixels of a cell, and the frames that a cell stands for."""
    cell = max(SMALLEST_CELL, min(8, _cell_size(c, shown)))
    across, down = max(1, c.rect.w // cell), max(1, c.rect.h // cell)
    return across, cell, -(-shown // (across * down))


def _in_proportion(view: View, shown: int, each: int, roles: tuple[str, ...]) -> bytearray:
    """A hue for each cell, as an index into `roles`. It is the hue that is furthest behind its
    share of the frames so far: hues appear in proportion, and rare ones are not lost."""
    tallies: dict[int, dict[int, int]] = {}
    for pfn, frame in view.moment.state.frames.items():
        if pfn < shown:
            role = hue(view, frame)
            code = roles.index(role) if role in roles else len(roles) - 1
            tally = tallies.setdefault(pfn // each, {})
            tally[code] = tally.get(code, 0) + 1
    codes = bytearray(-(-shown // each))
    owed: dict[int, int] = {}
    for cell, tally in sorted(tallies.items()):
        for code, number in tally.items():
            owed[code] = owed.get(code, 0) + number
        codes[cell] = max(sorted(owed), key=lambda code: owed[code])
        owed[codes[cell]] -= sum(tally.values())
    return codes


def frame_in_view(view: View) -> int | None:
    if view.focus.pa is not None:
        return view.focus.pa >> 12
    root = view.moment.state.spaces.get(view.space, view.moment.core.cr3 & ADDRESS)
    leaf = view.moment.leaves(root).get(view.va >> 12)
    return (leaf.entry & ADDRESS) >> 12 if leaf else None


def counts(view: View) -> list[tuple[str, int]]:
    """How many frames each kind of holder has."""
    found: dict[str, int] = {}
    for frame in view.moment.state.frames.values():
        name = view.moment.about.owner(frame.owner)
        found[name] = found.get(name, 0) + 1
    return [(name, found[name]) for name in view.moment.about.owners if name in found]


class Entry(NamedTuple):
    """A part of the legend: a chip (mark, hue, pattern) and its words."""

    mark: str
    hue: str
    pattern: str
    words: str
    ink: str = "ink"


def legend(view: View, shown: int, each: int) -> list[Entry]:
    """The kinds of holders with their counts, the shared frames, and the frames that are not
    drawn."""
    entries = []
    for name, number in counts(view):
        mark, fill = KINDS.get(name, ("?", "purple"))
        if name == "page table":
            mark, short = "4-1", f"{number:,} tables"
        else:
            short = f"{number:,} {'anon' if name == 'anonymous' else name}"
        entries.append(Entry(mark, fill, "", short))
    shared = sum(1 for frame in view.moment.state.frames.values() if frame.refs > 1)
    if shared:
        entries.append(Entry("x2", "vermillion", "diagonal", f"{shared:,} shared"))
    copied = copy_of(view)
    if copied is not None:
        entries.append(Entry("", "", "", f"old {copied[0]:#x} > new {copied[1]:#x}", "hot"))
    if each > 1:
        entries.append(Entry("", "", "", f"a cell is {each} frames", "dim"))
    rest = view.moment.about.ram_frames - shown
    if rest:
        entries.append(Entry("", "", "", f"then {rest:,} free, not drawn", "dim"))
    return entries


def copy_of(view: View) -> tuple[int, int] | None:
    """The frame that the last step copied, and the copy: the first lost a holder, the second is
    new."""
    last = view.moment.last
    if last is None or last.kind.name != "fault":
        return None
    old, new = [], []
    for shelf, key, before, after in view.moment.edits:
        if shelf == FRAMES and isinstance(key, int) and isinstance(after, Frame):
            if not isinstance(before, Frame):
                new.append(key)
            elif before.refs > after.refs:
                old.append(key)
    return (old[0], new[0]) if len(old) == len(new) == 1 else None


def _placed(c: Canvas, entries: list[Entry]) -> list[tuple[int, int, Entry]]:
    """(x, row, entry) of the legend: side by side, with a new row where the next would not fit."""
    x, row, found = c.rect.x, 0, []
    for entry in entries:
        chip = len(entry.mark) * c.cell + 8 if entry.mark else 0
        wide = chip + len(entry.words) * c.cell
        if x > c.rect.x and x + wide > c.rect.right:
            x, row = c.rect.x, row + 1
        found.append((x, row, entry))
        x += wide + 2 * c.cell
    return found


def legend_rows(view: View, c: Canvas, shown: int) -> int:
    """How many rows the legend takes. The entry on what a cell stands for is always counted: the
    size of the cells depends on the room that the legend leaves."""
    return _placed(c, legend(view, shown, 2))[-1][1] + 1


def _legend(view: View, c: Canvas, shown: int, each: int) -> None:
    placed = _placed(c, legend(view, shown, each))
    top = c.rect.bottom - MARGIN - (placed[-1][1] + 1) * c.row
    for x, row, entry in placed:
        y, wide = top + row * c.row, len(entry.mark) * c.cell + 2
        if entry.mark:
            more = {"pattern": entry.pattern, "ink": "black"} if entry.pattern else {}
            c.box(x, y + 1, wide, c.row - 2, entry.hue, outline="edge", **more)
            c.text(x + 1, y, entry.mark, ink_on(entry.hue), paper=entry.hue)
            x += wide + 6
        c.text(x, y, entry.words, entry.ink)


def describe(view: View) -> list[str]:
    lines = [f"{view.moment.about.ram_frames:,} frames"]
    lines += [f"  {number:,} {name}" for name, number in counts(view)]
    shared = [(pfn, f) for pfn, f in sorted(view.moment.state.frames.items()) if f.refs > 1]
    lines += [f"  frame {pfn:#x} is held {frame.refs} times" for pfn, frame in shared[:12]]
    for shelf, key, old, new in view.moment.edits:
        if shelf == FRAMES:
            before, after = (f.refs if f else 0 for f in (old, new))
            lines.append(f"  frame {key:#x}: {before} -> {after} holders *")
    return lines
