"""The child of the judge: holds a student's code and answers the judge's questions with it.

Only the files of the lab's parts come from the student's tree, laid over the judge's own; all
else is the judge's.  Whatever the student prints goes nowhere: the answers have a pipe of their
own.  `labs.interview` describes the protocol.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import json
import mmap
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, TextIO

from hw import host
from labs.answering.desk import Desk

LINES = 20_000
"""Lines of Python in the student's files that one answer, or the import, may take, unless the
question allows more."""
MEMORY_BYTES = 8 << 30
"""Of addresses: the emulator reserves 1 GiB of them for each core, and uses few."""

LEAVES_THE_PROCESS = (
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.system",
    "os.exec",
    "os.kill",
    "os.killpg",
    "subprocess.Popen",
    "socket.connect",
    "socket.bind",
    "_winapi.CreateProcess",
    "signal.pthread_kill",
)
CHANGES_FILES = (
    "os.chmod",
    "os.chown",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
    "shutil.rmtree",
    "shutil.move",
)


class OverBudget(BaseException):
    """The student's code ran more lines than an answer can need: it loops."""


class Forbidden(BaseException):
    """The student's code tried what no answer needs."""


@dataclass(slots=True)
class Meter:
    """Counts the lines that run in the student's files."""

    paths: frozenset[str]
    given: int = LINES
    left: int = LINES

    def allow(self, lines: int) -> None:
        """A new answer begins."""
        self.given = self.left = lines

    def __call__(self, frame: FrameType, event: str, _: Any) -> Meter | None:
        if frame.f_code.co_filename not in self.paths:
            return None
        self.left -= event == "line"
        if self.left < 0:
            told = f"still running after {self.given:,} lines of Python: an endless loop?"
            raise OverBudget(told)
        return self


class Guard:
    """Accidents and crude tricks end here, with a sentence; a sandbox this is not."""

    def __init__(self) -> None:
        self.rests = False
        sys.addaudithook(self._look)

    @contextmanager
    def resting(self) -> Iterator[None]:
        """While the child itself opens what an answer needs."""
        self.rests = True
        try:
            yield
        finally:
            self.rests = False

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.rests:
            return
        if event in LEAVES_THE_PROCESS or event in CHANGES_FILES or _writes(event, arguments):
            raise Forbidden(f"the code tried '{event}', which no answer needs")


def _writes(event: str, arguments: tuple[Any, ...]) -> bool:
    if event != "open" or not isinstance(arguments[0], (str, bytes)):
        return False
    flags = arguments[2] if isinstance(arguments[2], int) else 0
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


class Overlay(importlib.abc.MetaPathFinder):
    """The student's files in the place of modules."""

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = self.files.get(name)
        return file and importlib.util.spec_from_file_location(name, file, loader=Source(file))  # type: ignore[return-value]


class Source(importlib.abc.SourceLoader):
    """Compiles the source itself: what lies in a `__pycache__` may say something else."""

    def __init__(self, file: str) -> None:
        self.file = file

    def get_filename(self, name: str) -> str:
        return self.file

    def get_data(self, path: str) -> bytes:
        return Path(path).read_bytes()


def main() -> None:
    """Answer every question, as far as the student's code allows."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    host.limit_memory(MEMORY_BYTES)
    task = json.loads(sys.stdin.readline())
    meter = Meter(frozenset(task["overlay"].values()))
    sys.dont_write_bytecode = True
    sys.meta_path.insert(0, Overlay(task["overlay"]))
    guard = Guard()
    answering, broken = _load(f"labs.answering.{task['answering']}", meter)
    for line in sys.stdin:
        told = json.loads(line)
        with guard.resting():
            desk = _set_out(told, out)
        with desk.trace:
            said = broken or _answer(answering, told, desk, meter)
        desk.say(said)
    os._exit(0)  # what the student left running or registered ends here


def _set_out(told: dict[str, Any], out: TextIO) -> Desk:
    """The desk of one question."""
    size = os.path.getsize(told["memory"])
    with open(told["memory"], "r+b") as file:
        memory = mmap.mmap(file.fileno(), size)
    return Desk(told["nonce"], memory, open(told["trace"], "wb"), out)


def _load(name: str, meter: Meter) -> tuple[Any, dict[str, Any]]:
    """The answering module, which imports the student's files; or why it cannot be."""
    try:
        sys.settrace(meter)
        return importlib.import_module(name), {}
    except BaseException as error:
        return None, {"broken": f"the file cannot be imported: {_say(error, meter)}"}
    finally:
        sys.settrace(None)


def _answer(answering: Any, told: dict[str, Any], desk: Desk, meter: Meter) -> dict[str, Any]:
    meter.allow(told.get("lines", LINES))
    try:
        sys.settrace(meter)
        answer = answering.answer(told, desk)
        return {"answer": answer, "record": answer.get("records", 0)}
    except BaseException as error:
        sys.settrace(None)
        return {"broken": _say(error, meter), "record": getattr(error, "record", 0)}
    finally:
        sys.settrace(None)


def _say(error: BaseException, meter: Meter) -> str:
    """The error, and where in the student's files it arose."""
    if isinstance(error, NotImplementedError):
        return f"NotImplementedError: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in meter.paths]
    where = f", in line {own[-1].lineno} of {Path(own[-1].filename).name}" if own else ""
    return f"{type(error).__name__}: {error}{where}"
