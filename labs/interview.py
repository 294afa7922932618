"""The child that holds a student's code, and one question to it, from the asking to the looking.

The judge talks to the child in lines of JSON over two pipes:

    judge   {"overlay": {module: file}, "answering": name}        once
    judge   {"nonce": n, "memory": file, "trace": file, ...}      a question
    child   {"nonce": n, "stop": name, "roots": {...}, "record": r}   perhaps, and then waits ...
    judge   "go"                                                  ... while memory is looked at
    child   {"nonce": n, "answer": {...}} or {"nonce": n, "broken": why}
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from labs.evidence import END, Evidence
from labs.lab import ROOT, Lab
from labs.question import Question

WATCHDOG_SECONDS = 120
BEGIN = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); from labs.answering import child; child.main()"
)
"""What the child runs; it sees none of the user's settings of Python, and no folder but ours."""


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder for one child and the files that it shares with the judge."""
    with tempfile.TemporaryDirectory(prefix="vantage-lab-", ignore_cleanup_errors=True) as name:
        yield Path(name)


class Child:
    """The process that holds the student's code; whatever becomes of it, this goes on."""

    def __init__(self, lab: Lab, tree: Path, folder: Path) -> None:
        self.ended = ""
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", BEGIN],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        self._watchdog = threading.Timer(WATCHDOG_SECONDS, self._give_up)
        self._watchdog.daemon = True
        self._watchdog.start()
        overlay = {
            name.removesuffix(".py").replace("/", "."): str((tree / name).resolve())
            for name in set(lab.parts.values())
            if name.endswith(".py")
        }
        self.say({"overlay": overlay, "answering": lab.answering})

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            _close(pipe)

    def _give_up(self) -> None:
        self.ended = f"it hung for {WATCHDOG_SECONDS} s"
        self._process.kill()

    def say(self, line: dict[str, Any] | str) -> None:
        """Nobody may be there to hear it: then nothing will be answered."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
        except OSError:
            pass

    def hear(self) -> dict[str, Any]:
        """The next line, or an empty one if there will be none."""
        assert self._process.stdout is not None
        try:
            line = json.loads(self._process.stdout.readline())
        except ValueError:
            return {}
        return line if isinstance(line, dict) else {}

    def how_it_ended(self) -> str:
        self._process.kill() if self._still_running() else None
        return self.ended or f"its process ended with status {self._process.wait()}"

    def _still_running(self) -> bool:
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            return True
        return False


def _close(pipe: IO[str] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except OSError:
        pass


class Interview:
    """One question, from the lending of memory to the comparison."""

    def __init__(self, child: Child, question: Question, nonce: int, folder: Path) -> None:
        self.child, self.question, self.nonce = child, question, nonce
        self.memory, self.trace = folder / "memory", folder / "run.vtrace"
        self.record = 0
        self.earlier: dict[tuple[str, str, int], int | None] = {}

    def hold(self) -> str:
        """What is wrong with the child's answer, in words; nothing if nothing is."""
        size = self.question.memory_bytes
        self.memory.write_bytes(b"")
        os.truncate(self.memory, size)
        self.trace.unlink(missing_ok=True)
        with open(self.memory, "r+b") as file, mmap.mmap(file.fileno(), size) as shared:
            for slot, word in self.question.words.items():
                shared[slot * 8 : slot * 8 + 8] = word.to_bytes(8, "little")
            self.child.say(
                {
                    **self.question.told,
                    "nonce": self.nonce,
                    "memory": str(self.memory),
                    "trace": str(self.trace),
                }
            )
            found = self._listen(memoryview(shared).toreadonly())
            if os.fstat(file.fileno()).st_size != size:
                return "the code changed the size of the memory that it was lent"
            return found

    def _listen(self, memory: memoryview) -> str:
        """Looks at every stop, and at the end; a stop that was not made is a finding, too."""
        waited = [wanted.at for wanted in self.question.expected]
        with memory:
            while True:
                line = self.child.hear()
                if line.get("nonce") != self.nonce:
                    return f"no answer: {self.child.how_it_ended()}"
                if "broken" in line:
                    self.record = _whole(line.get("record"))
                    return str(line["broken"])
                stop = line.get("stop", END)
                self.record = _whole(line.get("record"))
                waited = [name for name in waited if name != stop]
                found = self._look(memory, line, str(stop))
                if stop == END and waited:
                    return f"the stop '{waited[0]}' should be made, is not{_ending(line)}"
                if found or stop == END:
                    return found
                self.child.say("go")

    def _look(self, memory: memoryview, line: dict[str, Any], stop: str) -> str:
        roots = {
            str(name): root
            for name, root in dict(line.get("roots") or {}).items()
            if isinstance(root, int)
        }
        with memory[:] as view:
            answer = line.get("answer") or {}
            evidence = Evidence(view, self.nonce, roots, answer, self.trace, self.earlier)
            evidence.remember(stop, self.question.expected)
            for wanted in self.question.expected:
                if wanted.at == stop:
                    found = evidence.differs(wanted)
                    if found and stop == END:
                        self.record = evidence.moment(wanted)
                        return found
                    if found:
                        return f"at the stop '{stop}', {found}"
        return ""

    def keep(self, folder: Path | None, name: str) -> tuple[Path, int] | None:
        """The moment at which it went wrong, where a trace was recorded."""
        if folder is None or not self.trace.is_file() or not self.trace.stat().st_size:
            return None
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / f"{name}.vtrace"
        shutil.copy(self.trace, kept)
        return kept, self.record


def _ending(line: dict[str, Any]) -> str:
    """How the program ended, where it is known."""
    said = dict(line.get("answer") or {})
    status = _whole(said.get("status"))
    printed = str(said.get("output", "")).strip().rpartition("\n")[2]
    how = f"signal {status & 127}" if status & 127 else f"status {status >> 8}"
    return f": the program ended with {how}" + (f", and said: {printed}" if printed else "")


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
