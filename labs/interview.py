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
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hw import host
from hw.files import write_whole
from hw.host import UserError
from labs.crew import Crew
from labs.evidence import END, Evidence
from labs.lab import ROOT, Lab
from labs.question import Question

BEGIN = f"""\
import sys
sys.path.insert(0, {str(ROOT)!r})
from labs.answering import child
child.main()
"""
"""What the child runs; it sees none of the user's settings of Python, and no folder but ours."""
MOST_BYTES = 4 << 20
"""Of one line that the child says."""
LOOK_SECONDS = 1
BLOCKED_SECONDS, UNKNOWN_SECONDS = 12, 40
"""For which a child may say nothing: without using a processor, and where the host does not tell
whether it uses one.  Both are a last resort: no answer waits."""
STACK_SECONDS = 2
AT = re.compile(r'File "(.+)", line (\d+) in ')


@contextmanager
def child_of(lab: Lab, tree: Path, folder: Path, crew: Crew) -> Iterator[Child]:
    """A child with the student's code in it, as long as it is needed."""
    command = [sys.executable, "-I", "-c", BEGIN]
    pipe = subprocess.PIPE
    with crew.working(
        command, cwd=folder, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
    ) as process:
        child = Child(lab, tree, folder, process)
        try:
            yield child
        finally:
            child.leave()


@dataclass(slots=True)
class Reply:
    """A line of the child, of which nothing is believed: what has not the right form is absent."""

    nonce: int | None = None
    stop: str = END
    broken: str = ""
    record: int = 0
    over: bool = False
    hung: bool = False
    roots: dict[str, int] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)


def read_reply(line: bytes) -> Reply:
    """What the child says; an empty reply where that makes no sense."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return Reply()
    if not isinstance(said, dict):
        return Reply()
    wanted = {
        "nonce": int,
        "stop": str,
        "broken": str,
        "record": int,
        "roots": dict,
        "over": bool,
        "hung": bool,
    }
    sound = {name: said[name] for name, kind in wanted.items() if isinstance(said.get(name), kind)}
    roots = sound.pop("roots", {})
    answer = said.get("answer")
    return Reply(
        **sound,
        roots={who: root for who, root in roots.items() if isinstance(root, int)},
        answer=answer if isinstance(answer, dict) else {},
    )


class Child:
    """The process that holds the student's code; whatever becomes of it, the judge goes on."""

    def __init__(
        self, lab: Lab, tree: Path, folder: Path, process: subprocess.Popen[bytes]
    ) -> None:
        self._gone = threading.Event()
        self.over = False
        """It ran out of a budget."""
        self.hung = False
        """It came to no end by itself, or only after long."""
        self.folder = folder
        self._ended = ""
        self._process = process
        self._listening, self._quiet = False, 0.0
        self._printed, self._stack = folder / "printed", folder / "stack"
        self._files = {str((tree / name).resolve()): name for name in lab.parts.values()}
        overlay = {
            name.removesuffix(".py").replace("/", "."): path
            for path, name in self._files.items()
            if name.endswith(".py")
        }
        self.say(
            {
                "overlay": overlay,
                "answering": lab.answering,
                "printed": str(self._printed),
                "stack": str(self._stack),
            }
        )
        threading.Thread(target=self._watch, daemon=True).start()

    def say(self, line: dict[str, Any] | str) -> None:
        """Nobody may be there to hear it: then nothing will be answered."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            pass

    def hear(self) -> Reply:
        """The next line, or an empty one if there will be none."""
        assert self._process.stdout is not None
        self._quiet = 0.0
        self._listening = True
        try:
            line = self._process.stdout.readline(MOST_BYTES + 1)
        finally:
            self._listening = False
        if len(line) > MOST_BYTES:
            self._ended = f"it says more than {MOST_BYTES >> 20} MiB at once"
            return Reply()
        return read_reply(line)

    def leave(self) -> None:
        """Nobody needs it any more."""
        self._gone.set()

    def _watch(self) -> None:
        """The last resort: a child that waits for something says nothing and uses no processor."""
        used = 0.0
        while not self._gone.wait(LOOK_SECONDS):
            before, now = used, host.processor_seconds(self._process.pid)
            used = now or 0.0
            idle = now is None or used - before < LOOK_SECONDS / 20
            self._quiet = self._quiet + LOOK_SECONDS if self._listening and idle else 0.0
            if self._quiet >= (UNKNOWN_SECONDS if now is None else BLOCKED_SECONDS):
                self._ended = "it waits for something that never comes"
                self.hung = True
                host.silence(self._process, STACK_SECONDS)

    def how_it_ended(self) -> str:
        """In words; `hung` is right afterwards."""
        try:
            status = self._process.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._ended = self._ended or "what it says is no answer"
            status = self._process.wait()
        if self._ended:
            return self._ended + self._place()
        if status == host.SILENCED:
            self.hung = True
            return "a single step of the code does not come to an end" + self._place()
        if status < 0:
            return f"its process was ended by {host.signal_name(-status)}{self._place()}"
        return f"its process ended with status {status}"

    def _place(self) -> str:
        """Where in the student's files the child stood, as the host wrote it down."""
        try:
            stack = self._stack.read_text("utf-8", "replace")[:MOST_BYTES]
        except OSError:
            return ""
        for path, line in AT.findall(stack):
            if path in self._files:
                return f", in line {line} of {Path(path).name}"
        return ""

    def printed(self) -> str:
        """What the student's code has printed so far, as far as it was kept."""
        try:
            with open(self._printed, "rb") as file:
                return file.read(MOST_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""


class Interview:
    """One question, from the lending of memory to the comparison."""

    def __init__(self, child: Child, question: Question, nonce: int) -> None:
        self.child, self.question, self.nonce = child, question, nonce
        self.memory, self.trace = child.folder / "memory", child.folder / "run.vtrace"
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
                reply = self.child.hear()
                if reply.nonce != self.nonce:
                    return f"no answer: {self.child.how_it_ended()}"
                self.record = reply.record
                if reply.broken:
                    self.child.over |= reply.over
                    self.child.hung |= reply.hung
                    return reply.broken
                waited = [name for name in waited if name != reply.stop]
                found = self._look(memory, reply)
                if reply.stop == END and waited:
                    return f"the stop '{waited[0]}' should be made, is not{_ending(reply.answer)}"
                if found or reply.stop == END:
                    return found
                self.child.say("go")

    def _look(self, memory: memoryview, reply: Reply) -> str:
        with memory[:] as view:
            evidence = Evidence(
                view,
                self.nonce,
                roots=reply.roots,
                answer=reply.answer,
                trace=self.trace,
                earlier=self.earlier,
            )
            evidence.remember(reply.stop, self.question.expected)
            for wanted in self.question.expected:
                if wanted.at == reply.stop:
                    found = evidence.differs(wanted)
                    if found and reply.stop == END:
                        self.record = evidence.moment(wanted)
                        return found
                    if found:
                        return f"at the stop '{reply.stop}', {found}"
        return ""

    def keep(self, folder: Path | None, name: str) -> tuple[Path, int] | None:
        """The moment at which it went wrong, where a trace was recorded."""
        if folder is None or not self.trace.is_file() or not self.trace.stat().st_size:
            return None
        kept = folder / f"{name}.vtrace"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(kept, self.trace.read_bytes())
        except (OSError, UserError):
            return None  # no room: the report, which comes last, says so
        return kept, self.record


def _ending(said: dict[str, Any]) -> str:
    """How the program ended, where it is known."""
    ended = said.get("ended")
    if not isinstance(ended, str):
        return ""
    printed = str(said.get("output", "")).strip().rpartition("\n")[2]
    more = f", and said: {printed}" if printed and printed != ended else ""
    return f": the program ended ({ended}){more}"
