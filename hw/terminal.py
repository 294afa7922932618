"""The host's terminal as the console of a machine: its keys, one by one and unchanged."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from hw.host import DEFAULT_SIZE, Keyboard, terminal_size

if sys.platform != "win32":
    import termios

TerminalEvent = tuple[bytes | None, tuple[int, int] | None]
"""Keys (b"": there are no more), or the size of the window in rows and columns."""
KEY_POLL_SECONDS = 0.05


class GuestTerminal:
    """The host's terminal as the console of a machine: keys, and the size of the window.

    A thread of its own waits for keys, so a caller never waits longer than it asked to.  `window`
    is a size in rows and columns that stays; with None, the size is the host's, as it changes.
    """

    def __init__(self, descriptor: int, window: tuple[int, int] | None = None) -> None:
        self._window = window
        self._descriptor = descriptor
        self._keyboard = Keyboard(descriptor)
        self._told: queue.SimpleQueue[TerminalEvent] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._reader = threading.Thread(target=self._read, name="keys", daemon=True)
        self._size = DEFAULT_SIZE
        self._waited = 0.0

    def start(self) -> None:
        if self._window is not None and self._window != (DEFAULT_SIZE.lines, DEFAULT_SIZE.columns):
            self._told.put((None, self._window))
        self._look_at_size()
        self._reader.start()

    def stop(self) -> None:
        self._ended.set()
        self._reader.join()

    def _read(self) -> None:
        while not self._ended.is_set():
            data = self._keyboard.read(KEY_POLL_SECONDS)
            self._look_at_size()
            if data is not None:
                self._told.put((data, None))
            if data == b"":
                return

    def _look_at_size(self) -> None:
        if self._window is not None:
            return
        size = terminal_size()
        if size != self._size or not self._reader.is_alive():
            self._size = size
            self._told.put((None, (size.lines, size.columns)))

    def poll(self) -> TerminalEvent | None:
        """What has happened, if anything; never waits."""
        return None if self._told.empty() else self._told.get()

    def wait(self, seconds: float | None) -> TerminalEvent | None:
        """The next event; None if there is none within the time."""
        start = time.monotonic()
        try:
            return self._told.get(timeout=seconds)
        except queue.Empty:
            return None
        finally:
            self._waited = time.monotonic() - start

    def waited(self) -> float:
        """How many seconds the last `wait` took."""
        return self._waited

    def write(self, data: bytes) -> None:
        """Show something on the terminal; do nothing if the terminal is gone."""
        out = sys.stdout.fileno() if sys.platform == "win32" else self._descriptor
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(out, data) :]

    def interrupt(self) -> None:
        """End a `wait` that goes on; safe from a signal handler."""
        self._told.put((b"", None))


@contextlib.contextmanager
def guest_terminal(window: tuple[int, int] | None = None) -> Iterator[GuestTerminal]:
    """The terminal on standard input belongs to a guest; on leaving it is as it was."""
    descriptor = sys.stdin.fileno()
    with _transparent(descriptor):
        terminal = GuestTerminal(descriptor, window)
        terminal.start()
        try:
            yield terminal
        finally:
            terminal.stop()


@contextlib.contextmanager
def _given_back_while_stopped(
    descriptor: int, before: list[Any], mode: list[Any]
) -> Iterator[None]:
    """When somebody stops this process (SIGTSTP), its terminal is meanwhile as it was."""
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        os.kill(os.getpid(), signal.SIGSTOP)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, mode)

    old = signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, old)


@contextlib.contextmanager
def _transparent(descriptor: int) -> Iterator[None]:
    """The terminal passes keys and output through unchanged (cfmakeraw(3))."""
    if sys.platform == "win32":
        yield  # msvcrt reads single keys in any mode
        return
    before = termios.tcgetattr(descriptor)
    try:
        mode = termios.tcgetattr(descriptor)
        newlines = termios.ICRNL | termios.INLCR | termios.IGNCR
        mode[0] &= ~(newlines | termios.BRKINT | termios.ISTRIP | termios.IXON)
        mode[1] &= ~termios.OPOST
        mode[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(descriptor, termios.TCSADRAIN, mode)
        with _given_back_while_stopped(descriptor, before, mode):
            yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
