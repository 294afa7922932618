"""The walk: how the address in view becomes a frame, bit by bit."""

from __future__ import annotations

from collections.abc import Sequence

from hw.mmu import SIDES
from hw.paging import ADDRESS, FETCH, LETTERS, NX, READ, WRITE, D, G, P, U, W, explain_error
from hw.panel.model.moment import View
from hw.panel.model.state import PTES, TLB
from hw.panel.model.walk import Explained, Tables, WalkStep, explain
from hw.panel.panels import table
from hw.panel.picture.draw import Canvas
from hw.panel.picture.theme import ink_on
from hw.tlb import GLOBAL

LEVELS = {
    4: ("PML4", "47:39", "sky"),
    3: ("PDPT", "38:30", "green"),
    2: ("PD", "29:21", "orange"),
    1: ("PT", "20:12", "purple"),
}
ACCESSES = {READ: "read", WRITE: "write", FETCH: "fetch"}
LETTER_WORDS = (
    "P present",
    "W writable",
    "U user",
    "A accessed",
    "D dirty",
    "S large",
    "G global",
    "N no execute",
    "* just changed",
)
"""What the letters of an entry stand for, in order."""
MARGIN = 6
"""Extra pixels between the text and the right edge."""
BIT_WORDS = ((W, "writable"), (U, "user"), (D, "dirty"), (G, "global"), (NX, "no execute"))


def explained(view: View, *, before: bool = False) -> Explained:
    """The walk in view; with `before`, as it was before the last step."""
    state = view.moment.state
    root = state.spaces.get(view.space, view.moment.core.cr3 & ADDRESS)
    tables = before_step(view) if before else Tables(state.ptes)
    return explain(tables, root, view.va, view.access)


def before_step(view: View) -> Tables:
    """The tables as they were before the last step."""
    changed = {key: old for (shelf, key), old in view.moment.changed.items() if shelf == PTES}
    words = {int(str(key)): int(str(old or 0)) for key, old in changed.items()}
    return Tables(view.moment.state.ptes, words)


def title(view: View) -> str:
    pcid = view.moment.pcid_of(view.space)
    tag = f" · PCID {pcid}" if pcid else ""
    touched = view.focus.va is None and view.moment.address is not None
    access = f" · {ACCESSES[view.access]}" if touched else ""
    return f"{view.va:#x}{access} · {view.moment.tracks.space_name(view.space)}{tag}"


def draw(view: View, c: Canvas) -> None:
    """Draw the walk; in the zoomed panel, with the table of a level beside it."""
    if not view.zoomed:
        _walk(view, c)
        return
    left = c.rect._replace(w=min(c.rect.w // 2, 60 * c.cell))
    _walk(view, c.inside(left))
    step = table_step(view)
    if step is not None:
        x = left.right + 2 * c.cell
        beside = c.rect._replace(x=x, w=c.rect.right - x)
        table.draw(view, c.inside(beside), step.table, step.level, step.index)


def table_step(view: View) -> WalkStep | None:
    """The step of the walk whose table is open: that of the level in view, or else the last
    step."""
    steps = explained(view).steps
    return next((s for s in steps if s.level == view.level), steps[-1] if steps else None)


def _walk(view: View, c: Canvas) -> None:
    walk, was = explained(view), explained(view, before=True)
    _ruler(view, c)
    y = c.y(2) + 8
    state = view.moment.state
    root = state.spaces.get(view.space, 0)
    c.words(c.rect.x, y, ("CR3 ", "dim"), (f"{root:#x}", "ink"), ("  the top table", "dim"))
    y += c.row
    for depth, step in enumerate(walk.steps):
        stopped = was.stopped_by if was.stopped_at == step.level else ""
        _step(view, c, (c.rect.x + depth * c.cell, y), step, stopped)
        y += 2 * c.row + max(1, (c.row - 14) // 2)
    _end(view, c, y, walk, was)


def _ruler(view: View, c: Canvas) -> None:
    """The bits of the address, each group in the colour of its level."""
    va, cell, x = view.va, c.cell, c.rect.x
    groups = [("63:48", f"{va >> 48:04x}", "")]
    groups += [(bits, f"{va >> low & 511:03x}", hue) for (_, bits, hue), low in _low_bits()]
    groups.append(("11:0", f"{va & 0xFFF:03x}", ""))
    wide = min((c.rect.w - 5 * 3) // 6, 9 * cell)
    for bits, index, hue in groups:
        fill = hue or "title"
        ink = ink_on(hue) if hue else "ink"
        c.box(x, c.y(0), wide, 2 * c.row, fill, outline="edge" if hue else "")
        c.text(x + 4, c.y(0), bits, ink, paper=fill)
        c.text(x + 4, c.y(1), index, ink, paper=fill, bold=True)
        x += wide + 3


def _low_bits() -> list[tuple[tuple[str, str, str], int]]:
    return [(LEVELS[level], low) for level, low in ((4, 39), (3, 30), (2, 21), (1, 12))]


def _step(view: View, c: Canvas, at: tuple[int, int], step: WalkStep, stopped: str) -> None:
    """One entry: a line with where and what it is, and one with its bits and the rights so far."""
    name, _, hue = LEVELS[step.level]
    x, y = at
    new, recent = view.is_new(PTES, step.slot), view.is_recent(PTES, step.slot)
    c.box(x, y, 4, 2 * c.row - 2, hue, outline="edge")
    left = x + 10
    right = c.text(left, y, f"{name}[{step.index:03x}]", "ink", bold=True)
    right = c.words(right, y, (" @ ", "dim"), (f"{step.slot:x}", "ink"), (" = ", "dim"))
    value = c.text(right, y, f"{step.entry:016x}" + ("*" if new else ""), "hot" if new else "ink")
    if new:
        c.box(right - 3, y - 1, value - right + 6, c.row + 1, "", outline="hot", width=2)
    elif recent:
        c.box(right - 3, y + 3, 2, c.row - 6, "gold")
    _bits(view, c, (left, y + c.row), step, stopped)


def _bits(view: View, c: Canvas, start: tuple[int, int], step: WalkStep, stopped: str) -> None:
    """The bits of an entry as letters; `stopped` is the one that ended the walk."""
    at, y = start
    for bit, letter in LETTERS:
        shown = letter if step.entry & bit else "-"
        guilty = letter == stopped
        if guilty:
            c.box(at - 1, y, c.cell + 2, c.row, "alarm")
            c.text(at, y, shown, "panel", paper="alarm", bold=True)
        else:
            c.text(at, y, shown, "ink" if step.entry & bit else "dim")
        at += c.cell
    old = view.moment.changed.get((PTES, step.slot))
    words = ", ".join(word for bit, word in BIT_WORDS if step.entry & bit) or "nothing set"
    if not step.entry & P:
        words = "not present: the walk ends here"
    ink = "dim"
    if (PTES, step.slot) in view.moment.changed:
        words, ink = f"was {int(str(old or 0)):016x}", "gold"
    so_far = f"so far {rights_so_far(step.rights)}" if step.entry & P else ""
    end = c.rect.right - MARGIN - len(so_far) * c.cell
    room = end - at - 2 * c.cell
    c.text(at + c.cell, y, words, ink, width=max(1, room - c.cell))
    c.text(end, y, so_far, "ink")


def rights_so_far(rights: int) -> str:
    """`r w - user`: what the path allows up to here."""
    letters = f"r{'w' if rights & W else '-'}{'-' if rights & NX else 'x'}"
    return letters + (" user" if rights & U else " kernel")


def _end(view: View, c: Canvas, y: int, walk: Explained, was: Explained) -> None:
    """The end of the walk: the frame, the verdict, the fault that was resolved, and whether a TLB
    has the page."""
    x = c.rect.x
    if not walk.steps:
        c.text(x, y, _no_walk(walk), "alarm")
        return
    c.words(x, y, *_frame_words(view, walk))
    verdicts = [
        (
            f"{word} {'yes' if walk.allows(access) else 'NO'}  ",
            "good" if walk.allows(access) else "alarm",
        )
        for access, word in ACCESSES.items()
    ]
    c.words(x, y + c.row, ("as user: ", "dim"), *verdicts)
    c.words(x, y + 2 * c.row, *_third_line(view, walk, was))
    _letters(c, y + 3 * c.row)


def _letters(c: Canvas, y: int) -> None:
    """What the letters stand for, if there is room for all of them."""
    lines = packed(LETTER_WORDS, c.columns - 1)
    spare = c.rect.bottom - y - len(lines) * c.row
    if spare >= 0:
        y += min(spare, c.row // 2)
        for number, line in enumerate(lines):
            c.text(c.rect.x, y + number * c.row, line, "dim")


def packed(pieces: Sequence[str], columns: int) -> list[str]:
    """Pieces in lines of at most `columns` characters, two spaces apart, none of them broken."""
    lines: list[str] = []
    for piece in pieces:
        if lines and len(lines[-1]) + 2 + len(piece) <= columns:
            lines[-1] += "  " + piece
        else:
            lines.append(piece)
    return lines


def _no_walk(walk: Explained) -> str:
    return walk.unwritten or "not canonical: bits 63..47 differ, so #GP and no walk"


def _third_line(view: View, walk: Explained, was: Explained) -> list[tuple[str, str]]:
    last = view.moment.last
    if last is not None and last.kind.name == "fault" and view.focus.va is None:
        outcome = "refused" if last["outcome"] == 2 else "resolved *"
        return [(f"#PF {explain_error(last['error'])}", "alarm"), (f" {outcome}", "ink")]
    if walk.error is not None and walk.pfn is None:
        return [(f"would fault: {explain_error(walk.error)}", "alarm")]
    return [tlb_words(view)]


def _frame_words(view: View, walk: Explained) -> list[tuple[str, str]]:
    if walk.pfn is None:
        return [("= no frame", "alarm")]
    frame = view.moment.state.frames.get(walk.pfn)
    size = {1: "", 2: " of 2 MiB", 3: " of 1 GiB"}[walk.level]
    held = f"  {view.moment.about.owner(frame.owner)}, {frame.refs} x held" if frame else ""
    return [("= frame ", "dim"), (f"{walk.pfn:#x}{size}", "gold"), (held, "ink")]


def tlb_words(view: View) -> tuple[str, str]:
    """Whether the TLB has the page in view."""
    moment, side = view.moment, int(view.access != FETCH)
    if moment.about.config.get("mmu") == "silicon":
        return "the emulated CPU's TLB is not observable", "dim"
    pcid, vpn = moment.core.cr3 & 0xFFF, view.va >> 12
    for (core, at, set_index, way), entry in moment.state.tlb.items():
        mine = (core, at, entry.vpn) == (moment.core_id, side, vpn)
        if mine and entry.tag in (pcid, GLOBAL):
            fresh = " *" if view.is_new(TLB, (core, at, set_index, way)) else ""
            where = f"set {set_index} way {way}{fresh}"
            return f"{SIDES[side]}-TLB has it, {where}: a hit walks nothing", "good"
    return f"{SIDES[side]}-TLB has it not: the next access walks", "dim"


def describe(view: View) -> list[str]:
    walk = explained(view)
    lines = [f"walk of {title(view)}"]
    for step in walk.steps:
        name = LEVELS[step.level][0]
        bits = "".join(letter if step.entry & bit else "-" for bit, letter in LETTERS)
        new = " *" if view.is_new(PTES, step.slot) else ""
        lines.append(
            f"{name}[{step.index:03x}] @ {step.slot:#x} = {step.entry:#018x} {bits} "
            f"so far {rights_so_far(step.rights)}{new}"
        )
    if not walk.steps:
        return [*lines, _no_walk(walk)]
    lines.append("".join(text for text, _ in _frame_words(view, walk)).strip())
    if walk.error is not None:
        lines.append(f"{ACCESSES[view.access]} would fault: {explain_error(walk.error)}")
    lines.append(tlb_words(view)[0])
    opened = table_step(view)
    return lines + (table.describe(view, opened.table, opened.level) if opened else [])
