"""The machine beside a panel: `run.py panel PROGRAM` and `run.py exec --panel`.

The panel is a separate process that reads the trace while it grows. It sends its requests to the
machine through a pipe, one line for each verb (hw/panel/verbs.py). The machine acts on them between
two traps, where a stop does not change the run. Only a resume at an earlier moment does: it makes
another run. The trace is cut there and continues as if the dropped part had never been.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from hw.files import scratch_folder
from hw.host import has_display, printable, start_behind
from hw.panel import verbs
from hw.parts import Sink
from hw.trace import Trace
from kernel import checkpoint, turns
from kernel.kernel import Kernel
from kernel.task.process import Process
from userland import again
from userland.again import Past

if TYPE_CHECKING:
    from hw.panel.words.narrator import Narrator

FLUSH_SECONDS = 0.05
"""The panel sees records at most this late."""
POLL_SECONDS = 0.1
CHECKPOINT_TRAPS = 20_000
MOST_CHECKPOINTS, MOST_CHECKPOINT_BYTES = 64, 192 << 20
"""What the machine keeps for going back: at most so many, and at most so much beside the first and
the last.  Between checkpoints further apart, a stretch takes longer to execute again."""
MOST_AHEAD = 1 << 16
"""How many records the machine may be ahead of its panel. Further ahead it waits: the panel shows
the present, and the file holds little that the panel has not read."""
CTRL_C, CTRL_D = b"\x03", b"\x04"
NO_DISPLAY = "There is no display for the panel, so this goes on in text."
ENDED = "{} has ended; Ctrl-C, or closing the panel, ends this."
RUN = Path(__file__).resolve().parent.parent / "run.py"


@dataclass
class Link:
    """The machine's end of the pipe: when to stop, counted in traps, and where the records go."""

    trace: Trace | None = None
    sink: Sink | None = None
    stop_at: int | None = None
    """Pause when this many traps have been taken; None: run."""
    closed: bool = False
    """The panel has closed, so nothing can resume a paused machine."""
    path: Path | None = None
    is_scratch: bool = False
    """The trace is for the panel alone: nobody reads it once the panel has closed."""
    seen: int | None = None
    """How many records the panel has read; None: it does not tell."""
    past: Past = field(default_factory=Past)
    """The checkpoints, from which parts of the run are executed again."""
    attended: bool = False
    """There is a panel; it stays open when the program has ended."""
    going_back: int | None = None
    """The record from which the user wants to resume the run."""
    narrator: Narrator | None = None
    """Writes captions as text where there is no panel."""
    kernel: Kernel = field(init=False)
    """The system that runs. After going back it is another one."""
    process: Process = field(init=False)
    oldest: int = 0
    """The first record that the panel still has."""
    _next_checkpoint: int = 0
    _flushed: float = 0.0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def obey(self, line: str, taken: int) -> None:
        """Act on a line of the panel (see `verbs`). `taken` is the number of traps so far."""
        verb, *numbers = line.split() or [""]
        with self._changed:
            if verb == verbs.PAUSE:
                self.stop_at = taken
            elif verb == verbs.RESUME:
                self.stop_at = None
            elif verb == verbs.STEP:
                self.stop_at = taken + 1
            elif verb == verbs.BACK and self.past.checkpoints:
                self.going_back = int(numbers[0])
            elif verb in verbs.QUESTIONS and self.past.checkpoints:
                try:
                    self._answer(verb, numbers)
                except OSError as error:  # a full disk: the panel waits for no other answer
                    say(f"There is no answer for the panel: {error.strerror}.", self)
            elif verb == verbs.SEEN and self.seen is not None:
                self.seen, self.oldest = map(int, numbers)
            elif verb == verbs.CLOSED:
                self.closed, self.stop_at = True, None
            self._changed.notify_all()

    def run(self, kernel: Kernel, process: Process) -> Process:
        """Run until `process` has ended. Pauses do not change the run.

        Returns the process that has ended. If the user has resumed the run at an earlier moment,
        that is another process in another system.
        """
        self.kernel, self.process = kernel, process
        while self._goes_on():
            now = self.kernel
            if now.taken >= self._next_checkpoint:
                self._save(now)
            turns.run_until(now, self._must_stop)
            self.flush()
            self.wait(now)
        if self.kernel is not kernel and self.trace is not None:
            self.trace.close()
        return self.process

    def _must_stop(self) -> bool:
        now = time.monotonic()
        if now - self._flushed > FLUSH_SECONDS:
            self.flush()
        due = self.kernel.taken >= self._next_checkpoint
        back = self.going_back is not None
        waits = self._stands(self.kernel) or self._is_ahead()
        return self.process.zombie or due or back or waits

    def _goes_on(self) -> bool:
        """True if the program has not ended, or if the user has gone back before its end."""
        if self.going_back is not None:
            self._go_back(self.going_back)
        while self.process.zombie and self.attended:
            self._stay()
            if self.going_back is None:
                break
            self._go_back(self.going_back)
        return not self.process.zombie and not self.kernel.machine.aborted

    def _stay(self) -> None:
        """Wait after the end of the program and its trace: the user may still go back."""
        assert self.trace is not None
        assert self.sink is not None
        self.trace.close()
        self.sink.flush()
        if not self.closed:
            say(ENDED.format(self.process.name), self)
        with self._changed:
            while not (self.closed or self.going_back is not None or self.kernel.machine.aborted):
                self._changed.wait(POLL_SECONDS)
                self._listen_for_the_end()

    def _listen_for_the_end(self) -> None:
        """Read Ctrl-C and Ctrl-D from the terminal, which no program reads any more."""
        keys = self.kernel.machine.console.keys
        event = keys.poll() if keys else None
        if event and event[0] in (CTRL_C, CTRL_D):
            raise KeyboardInterrupt

    def _go_back(self, place: int) -> None:
        """Resume the run at the end of the trap of record `place`, and drop everything after it."""
        assert self.trace is not None
        assert self.path is not None
        with self._changed:
            kernel = self.past.back_to(place, self.kernel)
            now = again.trace_of(kernel)
            now.go_on_in(self.trace)
            self.kernel, self.process = kernel, kernel.tasks.processes[self.process.pid]
            self.trace, self.stop_at, self.going_back = now, kernel.taken, None
            self.seen = None if self.seen is None else min(self.seen, now.total)
            self._next_checkpoint = kernel.taken + CHECKPOINT_TRAPS
            self.flush()
        verbs.answer_path(self.path, verbs.BACK, place).touch()

    def _save(self, kernel: Kernel) -> None:
        """Keep a checkpoint for the panel, and drop those that it needs no more."""
        assert self.trace is not None
        self._next_checkpoint = kernel.taken + CHECKPOINT_TRAPS
        if self.closed or self.narrator is not None:  # nobody goes back
            self.past.checkpoints.clear()
            return
        if self.is_scratch:
            self.trace.forget(self.oldest)
        self.past.forget(self.oldest)
        self.past.arrivals = kernel.machine.console.state.log
        self.past.checkpoints.append((self.trace.total, checkpoint.save(kernel)))
        self.past.thin(MOST_CHECKPOINTS, MOST_CHECKPOINT_BYTES)

    def _answer(self, verb: str, numbers: list[str]) -> None:
        """Execute a part of the run again, and put the answer in a file beside the trace."""
        assert self.path is not None
        path = verbs.answer_path(self.path, verb, int(numbers[0]))
        if verb == verbs.WINDOW:
            first, last, *start = map(int, numbers)
            begin = (start[0], start[1]) if start else None
            again.window(self.past.at(first), (first, last), path, begin)
        elif verb == verbs.WRITE:
            place, pa, size_bytes = map(int, numbers[1:])
            again.last_write(self.past, place, pa, size_bytes, path)
        elif verb == verbs.WHAT_IF:
            again.what_if(self.past, int(numbers[0]), path)
        else:
            places, pfns = ([int(part) for part in row.split(",")] for row in numbers[1:])
            again.pages(self.past.at(min(places)), places, pfns, path)

    def _stands(self, kernel: Kernel) -> bool:
        return self.stop_at is not None and kernel.taken >= self.stop_at

    def _is_ahead(self) -> bool:
        """True if the panel has to catch up first."""
        if self.closed or self.seen is None or self.trace is None or self.trace.sink is None:
            return False
        return self.trace.total - self.seen > MOST_AHEAD

    def _must_wait(self, kernel: Kernel) -> bool:
        if self.going_back is not None or kernel.machine.aborted:
            return False
        return self._stands(kernel) or self._is_ahead()

    def wait(self, kernel: Kernel) -> None:
        """Pause until the user resumes the machine, and until the panel has caught up."""
        with self._changed:
            while self._must_wait(kernel):
                self._changed.wait(POLL_SECONDS)

    def flush(self) -> None:
        """Flush the records, so that the panel sees them."""
        assert self.trace is not None
        assert self.sink is not None
        if self.closed and self.is_scratch:
            self.trace.stop()
        self.trace.flush()
        self.sink.flush()
        if self.narrator is not None:
            self.narrator.tell()
        self._flushed = time.monotonic()


def say(sentence: str, link: Link, stream: TextIO | None = None) -> None:
    """Print a line on the terminal, even while a program has it in raw mode."""
    raw = hasattr(link, "kernel") and link.kernel.machine.console.keys is not None
    print(printable(sentence), end="\r\n" if raw else "\n", file=stream or sys.stderr, flush=True)


def is_possible() -> bool:
    """True if a panel can be opened. If not, a sentence on standard error says so."""
    if not has_display():
        print(NO_DISPLAY, file=sys.stderr)
    return has_display()


@contextmanager
def narrating(link: Link) -> Iterator[Narrator]:
    """A narrator that writes the captions of a link's run to standard output."""
    from hw.panel.words.narrator import Narrator  # the tree of lab 1 lacks the panel's walk

    assert link.path is not None
    narrator = Narrator(link.path, lambda sentence: say(sentence, link, sys.stdout))
    try:
        yield narrator
        narrator.tell()
    finally:
        narrator.close()


@contextmanager
def beside_panel(kernel: Kernel, link: Link, *words: str) -> Iterator[None]:
    """Open the panel on the trace that will be at the link's path, and close it at the end.

    If the panel ends earlier, for any reason, the program goes on and keeps the terminal.
    """
    command = [sys.executable, str(RUN), "panel", "replay", "--live", *words, str(link.path)]
    if link.stop_at is not None:
        command.append("--paused")
    link.attended, link.seen = True, 0
    panel = start_behind(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    listener = threading.Thread(target=_listen, args=(panel, kernel, link), daemon=True)
    listener.start()
    try:
        yield
    finally:
        panel.terminate()
        panel.wait()
        listener.join()


def _listen(panel: subprocess.Popen[str], kernel: Kernel, link: Link) -> None:
    assert panel.stdout is not None
    with panel.stdout:
        for line in panel.stdout:
            verb, _, rest = line.strip().partition(" ")
            if verb == verbs.SAY:
                say(rest, link, sys.stdout)
            else:
                link.obey(line.strip(), getattr(link, "kernel", kernel).taken)
    link.obey(verbs.CLOSED, 0)


def show(trace: Path, *words: str) -> None:
    """Open the panel on a finished trace, and wait until it is closed. A panel that cannot open
    says why; that is no error here."""
    command = [sys.executable, str(RUN), "panel", "replay", str(trace), *words]
    with start_behind(command, stdin=subprocess.DEVNULL) as panel:
        try:
            panel.wait()
        except KeyboardInterrupt:
            panel.terminate()


@contextmanager
def trace_file(wished: Path | None, *, in_parts: bool = False) -> Iterator[Path]:
    """The file of the trace: the one that the user asked for, or a temporary one. That one
    is whole, or `in_parts` (hw/parts.py)."""
    if wished is not None:
        yield wished
        return
    with scratch_folder("live") as folder:
        path = folder / "live.vtrace"
        if in_parts:
            path.mkdir()
        yield path
