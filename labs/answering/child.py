"""The child of the judge: holds a student's code and answers the judge's questions with it.

Only the files of the lab's parts come from the student's tree, laid over the judge's own; all
else is the judge's.  The answers have a pipe of their own, so nothing that the student prints is
taken for one.  `labs.interview` describes the protocol.
"""

from __future__ import annotations

import builtins
import faulthandler
import importlib
import importlib.abc
import importlib.util
import json
import mmap
import os
import sys
import time
import traceback
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, TextIO

from hw import host
from labs.answering import printed
from labs.answering.desk import Desk
from labs.answering.guard import Forbidden, Guard
from labs.answering.mail import Mail
from labs.answering.meter import LINES, Meter, OverBudget

MEMORY_BYTES = 8 << 30
"""Of addresses: the emulator reserves 1 GiB of them for each core, and uses few."""
SILENT_SECONDS = 5
"""Of processor time without a call of Python; the longest step of the machine takes 0.1 s."""
MOST_CHARACTERS = 1_000
"""Of what an exception says."""


class Overlay(importlib.abc.MetaPathFinder):
    """The student's files in the place of modules.  What they do when imported is metered."""

    def __init__(self, files: dict[str, str], meter: Meter) -> None:
        self.files, self.meter = files, meter

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = self.files.get(name)
        if file is None:
            return None
        return importlib.util.spec_from_file_location(name, file, loader=Source(file, self.meter))


class Source(importlib.abc.SourceLoader):
    """Compiles the source itself: what lies in a `__pycache__` may say something else."""

    def __init__(self, file: str, meter: Meter) -> None:
        self.file, self.meter = file, meter

    def get_filename(self, name: str) -> str:
        return self.file

    def get_data(self, path: str) -> bytes:
        return Path(path).read_bytes()

    def exec_module(self, module: ModuleType) -> None:
        metered = sys.gettrace()
        sys.settrace(self.meter.enter)
        try:
            super().exec_module(module)
        finally:
            sys.settrace(metered)


def main() -> None:
    """Answer every question, as far as the student's code allows."""
    host.die_with_parent()
    host.limit_memory(MEMORY_BYTES)
    mail, out = _private_pipes()
    task = json.loads(mail.next())
    printed.keep(task["printed"])
    stack = os.fdopen(os.open(task["stack"], os.O_WRONLY | os.O_CREAT), "w")
    faulthandler.enable(stack, all_threads=False)
    sign = host.limit_silence(SILENT_SECONDS, stack)
    meter = Meter(frozenset(task["overlay"].values()), sign)
    _refuse_to_wait()
    sys.dont_write_bytecode = True
    sys.meta_path.insert(0, Overlay(task["overlay"], meter))
    guard = Guard()
    answering, broken = _load(f"labs.answering.{task['answering']}", meter)
    while True:
        told = json.loads(mail.next())
        with guard.resting():
            desk = _set_out(told, mail, out)
        with desk.trace:
            said = broken or _answer(answering, told, desk, meter)
        desk.say(said)


def _private_pipes() -> tuple[Mail, TextIO]:
    """The judge's pipes, out of the student's reach: standard input and output lead nowhere."""
    mail = Mail(os.fdopen(os.dup(0), encoding="utf-8"))
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    return mail, out


def _refuse_to_wait() -> None:
    """Nobody types while the judge asks, and no answer needs a pause."""

    def refuse(name: str) -> Any:
        def refused(*_: Any, **__: Any) -> NoReturn:
            raise Forbidden(f"the code calls {name}, which would wait: no answer needs that")

        return refused

    builtins.input = refuse("input()")
    time.sleep = refuse("time.sleep()")
    sys.breakpointhook = printed.breakpoint_passed


def _set_out(told: dict[str, Any], mail: Mail, out: TextIO) -> Desk:
    """The desk of one question."""
    size = os.path.getsize(told["memory"])
    with open(told["memory"], "r+b") as file:
        memory = mmap.mmap(file.fileno(), size)
    return Desk(told["nonce"], memory, open(told["trace"], "wb"), mail, out)


def _load(name: str, meter: Meter) -> tuple[Any, dict[str, Any]]:
    """The answering module, which imports the student's files; or why it cannot be."""
    meter.allow(LINES)
    try:
        return importlib.import_module(name), {}
    except BaseException as error:
        broken = f"the file cannot be imported: {_say(error, meter)}"
        return None, {"broken": broken, **_endless(error)}


def _answer(answering: Any, told: dict[str, Any], desk: Desk, meter: Meter) -> dict[str, Any]:
    meter.allow(told.get("lines", LINES))
    try:
        if meter.paths:  # a lab in C has no Python of the student's; cycles bound what it does
            sys.settrace(meter.enter)
        answer = answering.answer(told, desk)
        return {"answer": answer, "record": answer.get("records", 0)}
    except BaseException as error:
        sys.settrace(None)
        record = getattr(error, "record", 0)
        return {"broken": _say(error, meter), "record": record, **_endless(error)}
    finally:
        sys.settrace(None)


def _endless(error: BaseException) -> dict[str, bool]:
    """Did it run out of its budget, and did that take long?"""
    over = isinstance(error, OverBudget)
    return {"over": over, "hung": over and getattr(error, "hung", False)}


def _say(error: BaseException, meter: Meter) -> str:
    """The error, and where in the student's files it arose."""
    try:
        whole = str(error)
        words = whole[:MOST_CHARACTERS]
        if len(whole) > len(words):
            words += f" ... ({len(whole):,} characters)"
    except BaseException:
        words = "its words cannot be read"
    if isinstance(error, NotImplementedError):
        return f"NotImplementedError: {words}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in meter.paths]
    where = f", in line {own[-1].lineno} of {Path(own[-1].filename).name}" if own else ""
    return f"{type(error).__name__}: {words}{where}"
