"""Everything that differs between hosts: signals, terminals, locks, folders, processes.

But for `hw/terminal.py`, the one module that may import `signal`, `termios`, `fcntl` or `msvcrt`.
It needs nothing but the standard library, so that `run.py` can use it before an environment exists.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import faulthandler
import functools
import importlib.util
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any, Generic, Literal, NamedTuple, TypeVar

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl
    import termios

T = TypeVar("T")

DEFAULT_SIZE = os.terminal_size((80, 24))


class UserError(Exception):
    """Something the person at the keyboard can put right: what is wrong, and the remedy.

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
    """What this process has at `address`, or b"" where nothing is mapped or the host cannot tell.

    Unlike a read through a pointer, a wrong address is not the end of the process.
    """
    try:
        with open("/proc/self/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            return memory.read(size_bytes)
    except (OSError, OverflowError, ValueError):
        return b""


# Signals ------------------------------------------------------------------------------------

# How long the main thread sleeps before it looks whether a signal arrived elsewhere. A lock
# wait is woken by signals on POSIX but not on Windows, where this is the delay of a Ctrl-C.
SIGNAL_POLL_SECONDS = 0.2
PATIENCE_POLLS = 15
"""So many polls after a signal whatever still runs is in a loop of its own."""

STOP_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


def run_interruptible(work: Callable[[], T], abort: Callable[[], None]) -> T:
    """Run `work` in a thread of its own while the main thread owns the signals.

    A Ctrl-C calls `abort()`, which must make `work` end soon and be harmless when repeated,
    for it is called again until `work` has ended; then KeyboardInterrupt is raised. From the
    second Ctrl-C on, or when the first has had no effect for PATIENCE_POLLS, `work` is also sent
    a KeyboardInterrupt, for the case that it is caught in a Python loop that `abort` does not
    reach, such as a student's. SIGTERM and SIGHUP do the
    same and end in SystemExit, so that `finally` clauses always run. What `work` raises is
    raised here. In any thread but the main one, this is simply `work()`.
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


def ignore_interrupts() -> None:
    """A Ctrl-C at the terminal is meant for another process that has it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Worker(Generic[T]):
    """One call in one thread, and what came of it."""

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
        """An interrupt may end the thread just before its `release`: look at the thread too."""
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
    """Signals that were ignored before (nohup) stay ignored."""
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
    """For a host without exec (Windows). The console sends a Ctrl-C to both processes; it is
    the child's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return subprocess.call(command)


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


def signal_name(number: int) -> str:
    """`SIGSEGV` for 11, or the number in words."""
    names = {one.value: one.name for one in signal.Signals}
    return names.get(number, f"signal {number}")


# Files and folders --------------------------------------------------------------------------


@contextlib.contextmanager
def file_lock(path: str | Path, waiting: Callable[[], None] | None = None) -> Iterator[int]:
    """Hold the lock file `path`; `waiting` is called once if another process holds it.

    The lock ends with the process, however it ends. Yields the descriptor: a child that
    inherits it keeps the lock if this process is killed. Where the file system knows no
    locks (some network homes), there is none.
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
    """Where this host wants programs to keep what can be made again. It may not exist yet."""
    home = Path(os.path.expanduser("~"))
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / name


# Terminals ----------------------------------------------------------------------------------


def limit_memory(size_bytes: int) -> None:
    """Let this process have no more address space than that, where the host can say so."""
    if sys.platform == "linux":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = size_bytes if hard == resource.RLIM_INFINITY else min(size_bytes, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def is_terminal(stream: IO[Any] | None) -> bool:
    """Also False for what Python has when there is no console at all: None, or closed."""
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
    """Colour is for terminals whose owner has not declined it (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return is_terminal(stream) and _understands_escapes(stream)


def _understands_escapes(stream: IO[Any]) -> bool:
    """Windows consoles must be asked first; elsewhere every terminal understands them."""
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
    """Reads standard input as bytes as they come, without waiting for a whole line."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, timeout_seconds: float) -> bytes | None:
        """What has been typed; None if nothing was within the timeout; b"" at the end.

        A Windows pipe cannot be waited for: there the timeout is as long as it takes.
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


@contextlib.contextmanager
def raw_terminal(keep_signals: bool = True) -> Iterator[Keyboard]:
    """Keys arrive one by one and are not echoed; on leaving, the terminal is as it was.

    With `keep_signals`, Ctrl-C and Ctrl-Z still do what they do in a terminal; without, they
    arrive as the bytes 3 and 26. If standard input is no terminal, nothing is changed.
    """
    descriptor = sys.stdin.fileno()
    with _mode_of_keys(descriptor, keep_signals) if os.isatty(descriptor) else _unchanged():
        yield Keyboard(descriptor)


_unchanged = contextlib.nullcontext[None]

if sys.platform == "win32":

    @contextlib.contextmanager
    def _mode_of_keys(descriptor: int, keep_signals: bool) -> Iterator[None]:
        yield  # msvcrt reads single keys in any mode
else:

    @contextlib.contextmanager
    def _mode_of_keys(descriptor: int, keep_signals: bool) -> Iterator[None]:
        before = termios.tcgetattr(descriptor)
        try:
            mode = termios.tcgetattr(descriptor)
            mode[3] &= ~(termios.ECHO | termios.ICANON | (0 if keep_signals else termios.ISIG))
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            termios.tcsetattr(descriptor, termios.TCSADRAIN, mode)
            yield
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


# The environment of packages ------------------------------------------------------------------

NEEDED_BYTES = 500 << 20

# A word in the output of a failed step, the reason that it stands for, and the remedy.
REASONS = (
    ("No space left", "the disk is full", "free 500 MB and start again"),
    ("MATCH THE HASHES", "a package is not the one in the lock", "use an honest package mirror"),
    ("CERTIFICATE", "the package index has no valid certificate", "check your clock and proxy"),
    ("onnection", "there is no way to the package index", "go online once and start again"),
    (
        "No matching distribution",
        "a package is not made for this machine and Python",
        "try another Python, or set VANTAGE_ENV=active in one that has all packages",
    ),
    ("ermission denied", "the environment is not writable", "delete it and start again"),
)


@contextlib.contextmanager
def environment_to_build(folder: str) -> Iterator[None]:
    """Hold the environment alone; what the disk refuses becomes a UserError."""
    lock = Path(folder, ".lock")
    try:
        for finding in _examine_owner(folder):
            raise UserError(finding.what, finding.remedy)
        os.makedirs(folder, exist_ok=True)
        with file_lock(lock, waiting=lambda: _say("Waiting for another set-up ...")) as held:
            os.set_inheritable(held, True)  # if we are killed, the next start waits for our pip
            yield
    except OSError as error:
        remedy = "make it writable, or set XDG_CACHE_HOME to a folder with 500 MB to spare"
        raise UserError(f"cannot write {folder} ({error.strerror})", remedy) from error


def make_venv(folder: str) -> None:
    for finding in _examine_venv():
        raise UserError(finding.what, finding.remedy)
    _say(f"  making an environment for Python {sys.version_info[0]}.{sys.version_info[1]}")
    base: str = getattr(sys, "_base_executable", sys.executable)
    if sys.platform != "win32":  # inside an environment, Python 3.10 takes itself for the base
        base = os.path.realpath(base)
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        elif entry.name != ".lock":
            os.remove(entry.path)
    step([base, "-I", "-m", "venv", folder])


def install(python: str, lock: str) -> None:
    """Install exactly what the lock file says."""
    lines = Path(lock).read_text(encoding="utf-8").splitlines()
    names = sorted({line.partition("==")[0] for line in lines if line[:1].isalnum()})
    _say(f"  installing {', '.join(names)} ({os.path.basename(lock)})")
    pip = [python, "-I", "-m", "pip", "--no-input", "--disable-pip-version-check"]
    step([*pip, "install", "--retries", "2", "--only-binary", ":all:", "-r", lock])


def step(command: list[str]) -> None:
    """Run one step of the set-up; what it prints is shown only where it explains a failure."""
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PIP_USER": "0"},
        close_fds=False,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode == 0:
        return
    for word, reason, remedy in REASONS:
        if word in done.stdout:
            raise UserError(reason, remedy) from RuntimeError(done.stdout)
    output = done.stdout.strip() or f"status {done.returncode}"
    raise UserError(f"'{' '.join(command)}' failed", f"it said:\n{output}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# The doctor -----------------------------------------------------------------------------------

# One instruction, mov eax, 42, on the emulator.
PROBE = """
import elftools, unicorn
from unicorn.x86_const import UC_X86_REG_RAX
machine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_64)
machine.mem_map(0x1000, 0x1000)
machine.mem_write(0x1000, bytes([0xB8, 42, 0, 0, 0]))
machine.emu_start(0x1000, 0x1005)
if machine.reg_read(UC_X86_REG_RAX) != 42:
    raise SystemExit("the emulator runs but answers wrongly")
"""


class Finding(NamedTuple):
    """One answer of the doctor. A "note" limits Vantage or will change by itself."""

    level: Literal["ok", "note", "WRONG"]
    what: str
    remedy: str = ""


def doctor(folder: str, python: str | None) -> int:
    """Print what is right and wrong with this host and with the environment in `folder`, whose
    interpreter is `python`, or None if it must be made first. Returns the exit status."""
    found = [*_examine_host(), *(_examine_packages(python) if python else _examine_room(folder))]
    for level, what, remedy in found:
        print(f"{level:<6} {what}" + (f"; {remedy}" if remedy else ""))
    return 1 if any(finding.level == "WRONG" for finding in found) else 0


def _examine_host() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("ok", f"Python {version} on {sys.platform}: {sys.executable}")
    if is_terminal(sys.stdin) and is_terminal(sys.stdout):
        columns, lines = terminal_size()
        yield Finding("ok", f"a terminal of {columns} by {lines} characters")
    else:
        yield Finding("note", "this is no terminal", "expect no colours and no single keys")
    if has_display():
        yield Finding("ok", "a display")
    else:
        yield Finding("note", "there is no display", "what opens a window needs one")


def _examine_packages(python: str) -> Iterator[Finding]:
    """Whether that Python can run an instruction on the emulator."""
    command = [python, "-I", "-c", PROBE]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode == 0:
        yield Finding("ok", f"an environment in which the emulator runs: {python}")
        return
    reason = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
    remedy = "delete its folder, or install what it lacks if it is your own"
    yield Finding("WRONG", f"the emulator does not run in {python} ({reason})", remedy)


def _examine_room(folder: str) -> Iterator[Finding]:
    """Whether an environment can be made in `folder`, which may not exist yet."""
    state = "is out of date or unfinished" if Path(folder).exists() else "does not exist yet"
    yield Finding("note", f"the environment {folder} {state}", "the next command makes it")
    yield from _examine_owner(folder)
    yield from _examine_venv()
    place = Path(folder)
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK):
        remedy = "make it writable, or set XDG_CACHE_HOME to a folder that is"
        yield Finding("WRONG", f"{place} is not writable", remedy)
    free_bytes = shutil.disk_usage(place).free
    if free_bytes < NEEDED_BYTES:
        yield Finding("WRONG", f"only {free_bytes >> 20} MB are free in {place}", "free 500 MB")


def _examine_owner(folder: str) -> Iterator[Finding]:
    """Whoever has made an environment of their own in that place keeps it."""
    if os.path.exists(folder) and os.listdir(folder) and not Path(folder, ".lock").exists():
        remedy = "move it away, or activate it and set VANTAGE_ENV=active"
        yield Finding("WRONG", f"{folder} was not made by run.py", remedy)


def _examine_venv() -> Iterator[Finding]:
    """Debian and its like keep two modules of Python's library in a package of their own."""
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
            remedy = f"install it; on Debian and Ubuntu: 'sudo apt install {package}'"
            yield Finding("WRONG", f"this Python lacks its module {module}", remedy)


def wait_a_little() -> None:
    """A tenth of a second, for something that another process is about to do."""
    time.sleep(0.1)
