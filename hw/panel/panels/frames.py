"""Physical memory: a cell per frame, by the kind of its holder and how many hold it."""

from __future__ import annotations

from hw.paging import ADDRESS
from hw.panel.draw import Canvas, Cells
from hw.panel.moment import View
from hw.panel.state import FRAMES, Frame
from hw.panel.theme import ink_on

KINDS = {
    "free": (".", "free"),
    "machine": ("M", "faint"),
    "page table": ("T", "blue"),
    "anonymous": ("a", "orange"),
    "file": ("f", "sky"),
    "segment": ("s", "yellow"),
    "kernel": ("K", "green"),
}
"""Kind of holder -> letter, hue; a frame with several holders is vermillion, with a digit."""
LARGEST_CELL, SMALLEST_CELL = 22, 4


def used(view: View) -> int:
    return len(view.moment.state.frames)


def title(view: View) -> str:
    total = view.moment.about.ram_frames
    shared = sum(1 for frame in view.moment.state.frames.values() if frame.refs > 1)
    return f"{total:,} · {used(view):,} used · {shared:,} shared"


def letter(view: View, frame: Frame, level: int) -> str:
    """What stands in a frame's cell: the level of a table, else how many hold it, else its kind."""
    if level:
        return str(level)
    if frame.refs > 1:
        return str(frame.refs) if frame.refs < 10 else "+"
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
    """The frame under a pixel, where each has a cell."""
    area, shown, cell = _shape(view, c)
    across = area.rect.w // cell
    column, row = (x - area.rect.x) // cell, (y - area.rect.y) // cell
    pfn = row * across + column
    return pfn if cell >= c.size and 0 <= column < across and 0 <= pfn < shown else None


def _shape(view: View, c: Canvas) -> tuple[Canvas, int, int]:
    """Where the cells are, how many frames they show, and how large they are."""
    area = c.inside(c.rect._replace(h=c.rect.h - 2 * c.row - 5))
    shown = min(view.moment.about.ram_frames, max(view.moment.state.frames, default=0) + 1)
    return area, shown, _cell_size(area, max(shown, 32))


def _cell_size(c: Canvas, count: int) -> int:
    """The largest cell with which all frames fit."""
    for cell in range(LARGEST_CELL, 3, -1):
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
            word = letter(view, frame, tables.get(pfn << 12, (0, []))[0])
            left, top = x + (cell - c.cell) // 2, y + (cell - 1 - c.size) // 2 - 1
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


def _small(view: View, c: Canvas, shown: int) -> None:
    """One pixel picture; a cell stands for several frames if there are too many of them."""
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
    for shelf, key in view.moment.changed if view.heat is None else view.heat:
        if shelf == FRAMES and isinstance(key, int) and key < shown:
            codes[key // each] = 8
    c.commands.append(Cells(c.rect.x, c.rect.y, across, cell, bytes(codes), roles))


def _grid(c: Canvas, shown: int) -> tuple[int, int, int]:
    """Cells across, pixels of a cell, and how many frames it stands for."""
    cell = max(SMALLEST_CELL, min(8, _cell_size(c, shown)))
    across, down = max(1, c.rect.w // cell), max(1, c.rect.h // cell)
    return across, cell, -(-shown // (across * down))


def _in_proportion(view: View, shown: int, each: int, roles: tuple[str, ...]) -> bytearray:
    """A hue for each cell, as a place in `roles`: the one that is furthest behind its share of the
    frames so far, so that hues are seen in proportion and rare ones are not lost."""
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


def _legend(view: View, c: Canvas, shown: int, each: int) -> None:
    x, y = c.rect.x, c.rect.bottom - 2 * c.row - 2
    for name, number in counts(view):
        mark, fill = KINDS.get(name, ("?", "purple"))
        short = {"page table": "tables 4..1", "anonymous": "anon"}.get(name, name)
        words = f" {number:,} {short}  "
        if x + (len(words) + 1) * c.cell > c.rect.right:
            x, y = c.rect.x, y + c.row
        c.box(x, y + 1, c.cell + 2, c.row - 2, fill, outline="edge")
        c.text(x + 1, y, mark if name != "page table" else "1", ink_on(fill), paper=fill)
        x = c.text(x + c.cell + 2, y, words, "ink")
    rest = view.moment.about.ram_frames - shown
    words = f"then {rest:,} free" if rest else ""
    words = f"a cell is {each} frames; {words}" if each > 1 else words
    if words and x + len(words) * c.cell > c.rect.right:
        x, y = c.rect.x, y + c.row
    c.text(x, y, words, "dim")


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
