"""Files that are whole or not there, and folders that do not outlive those who made them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from hw.host import UserError, file_lock, try_lock

PREFIX, NEW, LOCK = "vantage-", "new-vantage-", ".lock"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file beside its place and rename it: it is whole, or as it was before.

    What is no file, such as a device, is written in its place; a link stays one.  Raises
    UserError, which names the file.
    """
    place = Path(os.path.realpath(path))
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        if place.exists() and not place.is_file():
            place.write_bytes(data)
            return
        try:
            mode = place.stat().st_mode if place.exists() else None
            beside.write_bytes(data)
            if mode is not None:
                beside.chmod(mode & 0o7777)
            os.replace(beside, place)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        remedy = "make room there, or name another place"
        raise UserError(f"cannot write {path}: {error.strerror}", remedy) from error


@contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """A folder for temporary files, which is removed at the end.

    A process that is killed leaves its folders; the next process that needs one removes them
    (POSIX only).  A lock in the folder tells whether somebody still uses it.
    """
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{NEW}{purpose}-"))
    try:
        with file_lock(folder / LOCK):
            if sys.platform != "win32":  # Windows renames no folder with an open file in it
                named = folder.with_name(folder.name.replace(NEW, PREFIX, 1))
                folder = folder.rename(named)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def _sweep() -> None:
    """Once in a process: remove what killed processes have left."""
    if sys.platform == "win32":
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            lock = os.open(folder / LOCK, os.O_RDWR)  # fails for what is not such a folder
            try:
                if os.fstat(lock).st_uid == os.getuid() and try_lock(lock):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
