"""Everything that differs between hosts: signals, terminals, locks, folders, processes.

Only this module and `hw/terminal.py` may import `signal`, `termios`, `fcntl` or `msvcrt`.
It needs nothing but the standard library, because `run.py` uses it before an environment exists.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import faulthandler
import functools
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any, Generic, TypeVar

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

T = TypeVar("T")

DEFAULT_SIZE = os.terminal_size((80, 24))


class UserError(Exception):
    """A mistake that the user can correct: what is wrong, and the remedy.

    `run.py` prints it as one sentence and exits with status 2.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message


# Memory -------------------------------------------------------------------------------------


def read_own_memory(address: int, size_bytes: int) -> bytes:
    """The bytes of this process at `address`; b"" if nothing is mapped or the host cannot tell.

    A wrong address does not end the process, as a read through a pointer would.
    """
    try:
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(size_bytes)
    except (OSError, OverflowError, ValueError):
        return b""


def limit_memory(size_bytes: int) -> None:
    """Limit the address space of this process, where the host can do that."""
    if sys.platform == "linux":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = size_bytes if hard == resource.RLIM_INFINITY else min(size_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


# Signals ------------------------------------------------------------------------------------

SIGNAL_POLL_SECONDS = 0.2
"""How long the main thread sleeps before it looks again for a signal.  On POSIX a signal ends the
wait for a lock.  On Windows it does not, and this is the delay of a Ctrl-C."""
PATIENCE_POLLS = 15
"""Work that still runs this many polls after a signal is in a loop that `abort` does not reach."""

STOP_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
    if hasattr(signal, name)
]


def run_interruptible(work: Callable[[], T], abort: Callable[[], None]) -> T:
    """Run `work` in a thread of its own while the main thread owns the signals.

    A Ctrl-C calls `abort()` again and again until `work` has ended, and then raises
    KeyboardInterrupt here. `abort` must make `work` end soon, and a repeated call must do no harm.
    A Python loop that `abort` does not reach, such as a student's, gets a KeyboardInterrupt of its
    own: at the second Ctrl-C, or after PATIENCE_POLLS. The other STOP_SIGNALS do the same and raise
    SystemExit, so `finally` clauses always run. What `work` raises is raised here. In a thread
    other than the main one, this is simply `work()`.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    worker = _Worker(work)
    caught: list[int] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        caught.append(number)
        abort()
        if len(caught) > 1:
            worker.interrupt()

    patience = PATIENCE_POLLS
    with _handling(STOP_SIGNALS, on_signal):
        worker.start()
        while not worker.ended_within(SIGNAL_POLL_SECONDS):
            if caught:
                abort()  # again, in case that it fell between two runs of the engine
                patience -= 1
                if patience < 0:
                    worker.interrupt()
    if not caught:
        return worker.result()
    if caught[0] == signal.SIGINT:
        raise KeyboardInterrupt from worker.error
    raise SystemExit(128 + caught[0]) from worker.error


def when_terminated(act: Callable[[], None]) -> None:
    """Call `act` in the main thread at each SIGTERM; it may raise."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: act())


def heed_interrupts() -> None:
    """Be interrupted by a Ctrl-C, and let children be: a shell starts what runs in the background
    with SIGINT and SIGQUIT ignored, and that is inherited (POSIX, 2.11)."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform != "win32":
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)


class _Worker(Generic[T]):
    """One call in one thread, and its result."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._value: list[T] = []
        self.error: BaseException | None = None
        # A bare lock instead of an Event: the wait for it is one step in C, so that a signal
        # handler never finds it half taken.
        self._running = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="guest", daemon=True)

    def start(self) -> None:
        self._running.acquire()
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value.append(self._work())
        except BaseException as error:
            self.error = error
        finally:
            self._running.release()

    def ended_within(self, seconds: float) -> bool:
        """Has the work ended?  An interrupt may end the thread just before its `release`."""
        return self._running.acquire(timeout=seconds) or not self._thread.is_alive()

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the thread as soon as it runs Python code."""
        ident = ctypes.c_ulong(self._thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(KeyboardInterrupt))

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return self._value[0]


@contextlib.contextmanager
def _handling(
    numbers: Sequence[int], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Handle these signals.  Those that were ignored before (nohup) stay ignored."""
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: old for number, old in before.items() if old is not signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


# Processes ----------------------------------------------------------------------------------


def call_in_our_place(command: list[str]) -> int:
    """Run the command on a host without exec (Windows). The console sends a Ctrl-C to both
    processes, and the child handles it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return subprocess.call(command)


def wait_a_little() -> None:
    """Sleep for a tenth of a second, until another process has done its part."""
    time.sleep(0.1)


def start_behind(command: Sequence[str], **settings: Any) -> subprocess.Popen[Any]:
    """Start a process that leaves every Ctrl-C to this one, from its first instruction on."""
    if sys.platform == "win32":
        return subprocess.Popen(
            command, creationflags=subprocess.CREATE_NEW_PROCESS_GROUP, **settings
        )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a child inherits that
    try:
        return subprocess.Popen(command, **settings)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


PR_SET_PDEATHSIG = 1  # prctl(2)
SILENCED = -getattr(signal, "SIGPROF", 0)  # the return code of what `limit_silence` ended


def die_with_parent() -> None:
    """Let the host kill this process when the thread that started it ends, where it can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def limit_silence(seconds: float, log: IO[str]) -> Callable[[], object]:
    """End this process when it uses that much processor time between two calls of the result.

    Its stack is then in `log`.  The host does it, as a loop in C stops Python; Windows cannot.
    """
    if sys.platform == "win32":
        return lambda: None
    faulthandler.register(signal.SIGPROF, log, all_threads=False, chain=True)
    return functools.partial(signal.setitimer, signal.ITIMER_PROF, seconds)


def silence(process: subprocess.Popen[Any], seconds: float) -> None:
    """End another process as `limit_silence` does it; it has that long to write its stack."""
    if sys.platform != "win32":
        process.send_signal(signal.SIGPROF)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
    process.kill()


def limit_processor(seconds: int) -> None:
    """Let this process, and each one that it starts, use at most that much processor time."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def processor_seconds(pid: int) -> float | None:
    """What a process has used of the processors; None where the host does not tell (proc(5))."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def kill_group(process: subprocess.Popen[Any]) -> None:
    """Kill a process that leads a session of its own, and what it has started in it."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def kill_children() -> None:
    """Kill the processes that this one has started, where the host names them (proc(5))."""
    for listing in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for pid in listing.read_text("ascii").split():
                os.kill(int(pid), signal.SIGKILL)


def signal_name(number: int) -> str:
    """`SIGSEGV` for 11, or the number in words."""
    names = {one.value: one.name for one in signal.Signals}
    return names.get(number, f"signal {number}")


# Files and folders --------------------------------------------------------------------------


@contextlib.contextmanager
def file_lock(path: str | Path, waiting: Callable[[], None] | None = None) -> Iterator[int]:
    """Hold the lock file `path`; `waiting` is called once if another process holds it.

    The lock ends with the process. Yields the descriptor: a child that inherits it keeps the
    lock if this process is killed. On a file system without locks (some network homes), nothing
    is locked.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not try_lock(descriptor):
            if waiting is not None:
                waiting()
            while not try_lock(descriptor):
                time.sleep(0.05)
        yield descriptor
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    return True


def user_cache_folder(name: str) -> Path:
    """The folder for files that a program can make again. It may not exist yet."""
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / name


class FileImage:
    """A file as the durable side of an NVM module (`hw.nvm.Image`).

    It is locked while it is open, so that no two machines use it.  With `keep` it stays as it is,
    whatever is written.  `failure` makes the error that is raised when the host refuses.
    """

    def __init__(self, path: Path, failure: Callable[[str], BaseException], *, keep: bool) -> None:
        self.path = path
        self._failure, self._keep = failure, keep
        self._file: IO[bytes] | None = None
        try:
            self._file = path.open("rb" if keep else "r+b", buffering=0)
            self.size_bytes = os.fstat(self._file.fileno()).st_size
        except OSError as error:
            raise UserError(f"cannot open {path}: {error.strerror}", "name another file") from error
        if not try_lock(self._file.fileno()):
            self.close()
            raise UserError(f"{path} is in use by another machine", "end that one first")

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Bytes of the file; behind its end there are zeroes."""
        assert self._file is not None
        try:
            self._file.seek(offset)
            found = self._file.read(size_bytes)
        except OSError as error:
            raise self._failure(f"cannot read {self.path}: {error.strerror}") from error
        return found.ljust(size_bytes, b"\0")

    def write(self, offset: int, data: bytes) -> None:
        """Replace bytes of the file."""
        if self._keep:
            return
        assert self._file is not None
        try:
            self._file.seek(offset)
            while data:
                data = data[self._file.write(data) or 0 :]
        except OSError as error:
            raise self._failure(f"cannot write {self.path}: {error.strerror}") from error

    def sync(self) -> None:
        """Wait until the disk has what was written."""
        assert self._file is not None
        if self._keep:
            return
        try:
            if hasattr(os, "fdatasync"):
                os.fdatasync(self._file.fileno())
            else:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failure(f"cannot write {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Give the file and its lock up."""
        if self._file is not None:
            self._file.close()
            self._file = None


# Terminals ----------------------------------------------------------------------------------


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of a disk that is full or broken: no fault of ours."""


def discard(stream: IO[Any]) -> None:
    """Let what is still written to a stream vanish: its end takes no more."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def printable(text: str) -> str:
    """A line that a terminal can show: names from files and programs may hold escape sequences,
    and newlines that forge lines.  What is not printable is shown as in a Python string."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(one: str) -> str:
    return one.encode("unicode_escape", "surrogatepass").decode("ascii")


def is_terminal(stream: IO[Any] | None) -> bool:
    """Is it a terminal?  Without a console, Python has None or a closed stream here."""
    return stream is not None and not stream.closed and stream.isatty()


def terminal_size() -> os.terminal_size:
    """Columns and lines of the terminal that shows our output; 80 by 24 without one."""
    for stream in (sys.__stdout__, sys.__stderr__, sys.__stdin__):
        if stream is not None and is_terminal(stream):
            with contextlib.suppress(OSError):
                size = os.get_terminal_size(stream.fileno())
                if size.columns > 0 and size.lines > 0:
                    return size
    return DEFAULT_SIZE


def wants_colour(stream: IO[Any]) -> bool:
    """Colour is for terminals, unless the user declines it (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return is_terminal(stream) and _understands_escapes(stream)


def _understands_escapes(stream: IO[Any]) -> bool:
    """A Windows console must be switched on first; other terminals understand escapes."""
    if sys.platform == "win32":
        kernel32 = ctypes.WinDLL("kernel32")
        handle = msvcrt.get_osfhandle(stream.fileno())
        mode = ctypes.c_ulong()
        enable_virtual_terminal_processing = 4
        return bool(
            kernel32.GetConsoleMode(handle, ctypes.byref(mode))
            and kernel32.SetConsoleMode(handle, mode.value | enable_virtual_terminal_processing)
        )
    return True


def has_display() -> bool:
    """Whether a window can be opened."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Keyboard:
    """Reads standard input as bytes, without waiting for a whole line."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, timeout_seconds: float) -> bytes | None:
        """What has been typed; None if nothing was within the timeout; b"" at the end.

        A Windows pipe has no timeout: there the call returns when bytes come.
        """
        if sys.platform == "win32":
            if os.isatty(self._descriptor):
                return _read_console(timeout_seconds)
        elif not select.select([self._descriptor], [], [], timeout_seconds)[0]:
            return None
        return os.read(self._descriptor, 4096)


def _read_console(timeout_seconds: float) -> bytes | None:
    if sys.platform == "win32":
        end = time.monotonic() + timeout_seconds
        while not msvcrt.kbhit():
            if time.monotonic() >= end:
                return None
            time.sleep(0.01)
        return msvcrt.getwch().encode("utf-8", "surrogatepass")
    raise NotImplementedError("a Windows console exists on Windows only")
