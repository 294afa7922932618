"""The child of the judge: loads a student's walk and answers the judge's questions with it.

Only the student's file comes from the student's tree; all else is the judge's own.  Whatever
the student prints goes nowhere: the answers have a file of their own.  Each question has a
memory of its own in a mapping that the judge reads afterwards.
"""

from __future__ import annotations

import importlib.util
import json
import mmap
import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

LINES = 20_000
"""Lines of Python that one answer, or the import, may take; a walk needs fewer than 60."""


class OverBudget(BaseException):
    """The student's code ran more lines than an answer can need: it loops."""


class Meter:
    """Counts the lines that run in one file."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.left = LINES

    def __call__(self, frame: FrameType, event: str, _: Any) -> Meter | None:
        if frame.f_code.co_filename != self.path:
            return None
        self.left -= event == "line"
        if self.left < 0:
            raise OverBudget(f"still running after {LINES:,} lines of Python: an endless loop?")
        return self


def main(student: str, questions: str, answers: str, memory: str, size_bytes: int) -> None:
    """Answer every question, one line each, as far as the student's code allows."""
    from hw import host

    host.limit_memory(2 << 30)
    meter = Meter(student)
    with open(answers, "w", encoding="utf-8") as out, open(memory, "r+b") as file:
        room = memoryview(mmap.mmap(file.fileno(), 0))
        module, broken = _load(student, meter)
        for number, line in enumerate(Path(questions).read_text("utf-8").splitlines()):
            question = json.loads(line)
            words = room[number * size_bytes : (number + 1) * size_bytes].cast("Q")
            answer = {"broken": broken} if broken else _answer(module, question, words, meter)
            out.write(json.dumps({**answer, "nonce": question["nonce"]}) + "\n")
            out.flush()
        os._exit(0)  # what the student left running or registered ends here


def _load(student: str, meter: Meter) -> tuple[Any, str]:
    """The student's file in the place of `hw.paging`, or why it cannot be."""
    try:
        spec = importlib.util.spec_from_file_location("hw.paging", student)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["hw.paging"] = module
        sys.settrace(meter)
        spec.loader.exec_module(module)
    except BaseException as error:
        return None, f"the file cannot be imported: {_say(error)}"
    finally:
        sys.settrace(None)
    return module, ""


def _answer(module: Any, question: dict[str, Any], words: Any, meter: Meter) -> dict[str, Any]:
    steps: list[Any] = []
    meter.left = LINES
    try:
        sys.settrace(meter)
        got = module.walk(words, question["cr3"], question["va"], question["access"], steps)
        sys.settrace(None)
        leaf, level, rights = (int(value) for value in got)
        answer = {"leaf": leaf, "level": level, "rights": rights, "error": None}
        return {**answer, "steps": [_step(step) for step in steps]}
    except BaseException as error:
        sys.settrace(None)
        if type(error).__name__ != "PageFault":
            return {"broken": _say(error)}
        return {"error": getattr(error, "error", None), "steps": [_step(s) for s in steps]}


def _step(step: Any) -> list[int]:
    return [int(getattr(step, name)) for name in ("level", "table_pa", "index", "entry")]


def _say(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
