"""The log of system calls, as strace(1) writes it, from the records of the trace port."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hw.paging import explain_error
from hw.trace import Kind
from kernel import calls, resume, trap
from kernel.abi.errno import E
from kernel.life import delivery
from kernel.life.life import EXEC, THREAD_END
from kernel.mm.conflict import CONFLICT
from kernel.syscalls import TABLE, ArgumentType
from kernel.vas.vases import VAS_SWITCH
from kernel.wait import signals

ACTIONS = ("killed", "ignored", "handler called", "stopped")


class Strace:
    """An observer of the trace port that writes a line for each call, signal and refused fault."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.write = write

    def __call__(self, kind: Kind, values: tuple[Any, ...]) -> None:
        if kind is calls.SYSCALL:
            tid, number, *registers, result, strings, _ = values
            self.write(f"[{tid}] {format_call(number, registers, strings)} = {_result(result)}")
        elif kind is resume.WAIT:
            self.write(f"[{values[0]}] {TABLE[values[1]].name} waits for {values[2].decode()}")
        elif kind is trap.FAULT and values[3] == 2:
            self.write(f"[{values[0]}] page fault at {values[1]:#x}: {explain_error(values[2])}")
        elif kind is delivery.SIGNAL:
            _, tid, number, action, address = values
            self.write(f"[{tid}] {signals.name(number)} at {address:#x}: {ACTIONS[action]}")
        elif kind is VAS_SWITCH:
            self.write(f"[{values[0]}] sees VAS {values[2]} from now on (space {values[3]})")
        elif kind is CONFLICT:
            ours, theirs = _region(*values[1:4]), _region(*values[4:7])
            self.write(f"conflict: {ours} and {theirs} want the same place")
        elif kind is EXEC:
            self.write(f"[{values[0]}] execve({values[2].decode(errors='replace')!r}) = 0")
        elif kind is THREAD_END:
            self.write(f"[{values[0]}] ended")


def format_call(number: int, registers: list[int], strings: bytes) -> str:
    """`write(1, 0x4051a0, 21)`."""
    row, texts = TABLE[number], strings.split(b"\0")
    shown = [
        _argument(kind, value, texts)
        for (_, kind), value in zip(row.arguments, row.decode(tuple(registers)), strict=False)
    ]
    return f"{row.name}({', '.join(shown)})"


def _argument(kind: ArgumentType, value: int, texts: list[bytes]) -> str:
    if kind.string and texts:
        return repr(texts.pop(0).decode(errors="replace"))
    return f"{value:#x}" if kind.c_name.endswith("*") or abs(value) > 1 << 16 else str(value)


def _region(start: int, end: int, name: bytes) -> str:
    return f"{name.decode(errors='replace') or 'a mapping'} at {start:#x}-{end:#x}"


def _result(result: int) -> str:
    if -4096 < result < 0:
        return f"-1 {error_name(-result)}"
    return f"{result:#x}" if result > 1 << 16 else str(result)


def error_name(number: int) -> str:
    """`ENOENT` for 2; the number itself where it has no name here."""
    if number == E.BIG:
        return "E2BIG"
    return f"E{E(number).name}" if number in list(E) else str(number)
