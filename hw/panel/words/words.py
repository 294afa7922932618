"""Small words that the captions, the lines of the log and the panels share."""

from __future__ import annotations

from hw.paging import ERR_FETCH, ERR_WRITE
from hw.panel.model.about import About
from hw.panel.model.state import State
from hw.tlb import GLOBAL
from hw.trace import Record

VECTORS = {
    0: "divide error",
    1: "debug",
    3: "breakpoint",
    4: "overflow",
    6: "invalid opcode",
    13: "general protection",
    14: "page fault",
    16: "x87 error",
    19: "SIMD error",
}


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 page`, `2 pages`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def thread_name(state: State, tid: int) -> str:
    """`T2 (cow)`."""
    thread = state.threads.get(tid)
    return f"T{tid} ({thread.name})" if thread else f"T{tid}"


def rights_letters(prot: int) -> str:
    """`rw-` for a region's protection."""
    return "".join(
        letter if prot & bit else "-" for letter, bit in zip("rwx", (1, 2, 4), strict=True)
    )


def tag_name(tag: int) -> str:
    return "global" if tag == GLOBAL else f"PCID {tag}"


def call_text(about: About, record: Record) -> str:
    """`write(1, 0x4052c0, 43)`."""
    number, registers, strings = record.values[1], record.values[2:8], record.values[9]
    texts = strings.split(b"\0")
    shown = []
    for (kind, _), value in zip(about.parameters(number), registers, strict=False):
        if "char*" in kind.replace(" ", "") and texts and texts[0]:
            shown.append(repr(texts.pop(0).decode(errors="replace")))
        else:
            shown.append(number_text(value, signed="int" in kind or kind in ("fd", "pid_t")))
    return f"{about.call_name(number)}({', '.join(shown)})"


def number_text(value: int, *, signed: bool = False) -> str:
    """A number: in decimal if it is small, else in hex."""
    if signed and value & 0xFFFF_FFFF >> 31 and value & 1 << 31:
        value = (value & 0xFFFF_FFFF) - (1 << 32)
    return f"{value:#x}" if value > 1 << 16 else str(value)


def result_text(about: About, result: int) -> str:
    """`= 43`, or the error's name."""
    if -4096 < result < 0:
        return f"-1 {about.error(-result)}"
    return f"{result:#x}" if result > 1 << 16 else str(result)


def kind_words(kind: int) -> str:
    """The rights of an attachment: 4 read, 2 write."""
    return {4: "to read", 2: "to write", 6: "to read and write"}.get(kind, f"kind {kind}")


def access_word(error: int) -> tuple[str, str]:
    """("wrote to", "write") and so on, from an error code."""
    if error & ERR_FETCH:
        return "fetched code at", "fetch"
    return ("wrote to", "write") if error & ERR_WRITE else ("read", "read")
