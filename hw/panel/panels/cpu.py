"""The core that acted last: where its program is, and its registers as far as they are known.

A trace holds the registers of a system call and no others. The panel shows no register that was not
recorded.
"""

from __future__ import annotations

from hw.paging import ADDRESS
from hw.panel.model.about import ARGUMENTS
from hw.panel.model.moment import View
from hw.panel.model.state import REGISTERS, Call
from hw.panel.picture.draw import Canvas
from hw.panel.words.words import result_text

SHORT = {"eflags": "flg", "fs_base": "fs", "gs_base": "gs"}
FLAGS = ((1, "C"), (4, "P"), (16, "A"), (64, "Z"), (128, "S"), (1024, "D"), (2048, "O"))
"""Bits of RFLAGS (SDM vol. 1, 3.4.3)."""


def flag_letters(value: int) -> str:
    """RFLAGS as letters, with a dash for each clear bit: `-P-Z---`."""
    return "".join(letter if value & bit else "-" for bit, letter in FLAGS)


def title(view: View) -> str:
    moment = view.moment
    core = moment.core
    thread = moment.state.threads.get(core.tid)
    name = f" ({thread.name})" if thread else ""
    return f"core {moment.core_id} · T{core.tid}{name} · {moment.tracks.space_name(core.space)}"


def last_call(view: View) -> Call | None:
    return view.moment.state.calls.get(view.moment.core.tid)


def rip_of(view: View) -> int:
    """The last known address of the program."""
    moment = view.moment
    last = moment.last
    if last is not None and last.kind.name == "exception":
        return int(last["rip"])
    call = last_call(view)
    return moment.core.rip or (call.rip if call else 0)


def registers(view: View) -> list[tuple[str, int, bool]]:
    """(name, value, changed in this step) of the registers of the last call; in a window, of all
    registers."""
    known = view.moment.state.registers.get(view.moment.core_id)
    if known is not None:
        before = view.moment.changed.get((REGISTERS, view.moment.core_id))
        old = before if isinstance(before, dict) else {}
        return [
            (name, value, bool(old) and old.get(name) != value)
            for name, value in known.items()
            if name != "rip"
        ]
    call = last_call(view)
    if call is None:
        return []
    last = view.moment.last
    new = last is not None and last.kind.name == "syscall"
    rows = [("rax", call.result & (1 << 64) - 1, new)]
    return rows + [(n, v, new) for n, v in zip(ARGUMENTS, call.registers, strict=True)]


def draw(view: View, c: Canvas) -> None:
    moment, about = view.moment, view.moment.about
    core, rip = moment.core, rip_of(view)
    call = last_call(view)
    pieces = (
        ("CR3 ", "dim"),
        (f"{core.cr3 & ADDRESS:#x}", "ink"),
        (" PCID ", "dim"),
        (f"{core.cr3 & 0xFFF}", "ink"),
        ("   rip ", "dim"),
        (f"{rip:#x} " if rip else "not recorded yet", "ink"),
        (about.symbol(rip), "good"),
    )
    c.words(c.rect.x, c.y(0), *pieces)
    row = 1
    if call is not None or registers(view):
        row = _registers(view, c, row, call)
    if rip:
        _code(view, c, row, rip)


def _registers(view: View, c: Canvas, row: int, call: Call | None) -> int:
    """The last call's registers, two or three to a line; returns the next row."""
    about = view.moment.about
    shown = registers(view)
    if call is not None:
        words = f"{about.call_name(call.number)} = {result_text(about, call.result)}"
        c.words(c.rect.x, c.y(row), ("last system call: ", "dim"), (words, "ink"))
        row += 1
    across = max(1, c.rect.w // (20 * c.cell))
    wide = c.rect.w // across
    for number, (register, value, new) in enumerate(shown):
        x, y = c.rect.x + number % across * wide, c.y(row + number // across)
        name = ("*" if new else " ") + f"{SHORT.get(register, register):>3} "
        x = c.text(x, y, name, "gold" if new else "dim")
        words = flag_letters(value) if register == "eflags" else f"{value:#x}"
        end = c.text(x, y, words, "gold" if new else "ink", width=wide - 4 * c.cell)
        if register == view.register and view.chosen == "cpu":
            c.box(x - 4 * c.cell - 2, y, end - x + 4 * c.cell + 4, c.row, "", outline="gold")
    return row + -(-len(shown) // across)


def _code(view: View, c: Canvas, row: int, rip: int) -> None:
    """The source line, and the instructions around it."""
    about = view.moment.about
    place = about.place(rip)
    if place is not None:
        name = place.file.rsplit("/", 1)[-1]
        c.words(
            c.rect.x,
            c.y(row),
            (f"{name}:{place.line} ", "dim"),
            (place.text.strip(), "good"),
        )
        row += 1
    room = c.rows - row
    before = max(0, (room - 1) // 2)
    listing = about.around(rip, before, room)
    for instruction in listing[: max(0, room)]:
        here = instruction.va == rip
        y = c.y(row)
        if here:
            c.box(c.rect.x, y, c.rect.w, c.row, "bar")
            c.mark("triangle", c.rect.x + 4, y + c.row // 2, 4, "gold")
        paper = "bar" if here else c.paper
        x = c.text(c.rect.x + 2 * c.cell, y, f"{instruction.va:#x}  ", "dim", paper=paper)
        c.text(x, y, instruction.text, "ink", paper=paper)
        row += 1


def describe(view: View) -> list[str]:
    about, rip = view.moment.about, rip_of(view)
    core = view.moment.core
    lines = [title(view), f"CR3 {core.cr3 & ADDRESS:#x} PCID {core.cr3 & 0xFFF}"]
    lines += [f"{name} = {value:#x}{' *' if new else ''}" for name, value, new in registers(view)]
    if rip:
        lines.append(f"rip = {rip:#x} {about.symbol(rip)}")
        place = about.place(rip)
        if place is not None:
            lines.append(f"{place.file}:{place.line}: {place.text.strip()}")
        for instruction in about.around(rip, 3, 3):
            here = ">" if instruction.va == rip else " "
            lines.append(f"{here} {instruction.va:x} {instruction.text}")
    return lines
