"""The environment of packages: how `run.py` makes it, and what the doctor finds wrong with it.

It needs nothing but the standard library, because `run.py` calls it before an environment exists.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from hw.host import UserError, file_lock, has_display, is_terminal, terminal_size

NEEDED_BYTES = 500 << 20

# A word in the output of a failed step, the reason that it means, and the remedy.
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
    """Hold the environment's lock.  An error of the disk becomes a UserError."""
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
    """Run one step of the set-up.  Its output is shown only if it explains a failure."""
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
    """Print what is right and wrong with this host and with the environment in `folder`.

    `python` is its interpreter; None: the environment must be made first. Returns the exit status.
    """
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
    """Can that Python run an instruction on the emulator?"""
    command = [python, "-I", "-c", PROBE]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode == 0:
        yield Finding("ok", f"an environment in which the emulator runs: {python}")
        return
    reason = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
    remedy = "delete its folder, or install what it lacks if it is your own"
    yield Finding("WRONG", f"the emulator does not run in {python} ({reason})", remedy)


def _examine_room(folder: str) -> Iterator[Finding]:
    """Can an environment be made in `folder`?  It may not exist yet."""
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
    """An environment that the user made in that place is left alone."""
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
