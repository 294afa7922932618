"""What a student hands in: a tree, a folder around it, a zip, or the files alone.

The judge gets a folder with the lab's files, and programs that were built from them, so
nothing else that was handed in can matter.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TypeVar

from labs.lab import BUILT, Lab

T = TypeVar("T")
MOST_BYTES = 1 << 20
"""Of one file: hundreds of times what any part needs."""


@contextmanager
def laid_out(handed_in: Path, lab: Lab) -> Iterator[Path]:
    """A folder that has the lab's files in their places, as far as they were handed in."""
    with tempfile.TemporaryDirectory(prefix="vantage-tree-") as name:
        tree = Path(name)
        built = [f"{BUILT}/{name}" for name in lab.programs]
        for part in sorted({*lab.files, *built}):
            content = _in_zip(handed_in, part) if handed_in.is_file() else _in(handed_in, part)
            if content is not None:
                (tree / part).parent.mkdir(parents=True, exist_ok=True)
                (tree / part).write_bytes(content)
        yield tree


def _in(folder: Path, part: str) -> bytes | None:
    """From a folder: the file at its place in the tree nearest to the top, or by its name alone."""
    found = [path for path in folder.rglob(Path(part).name) if _is_sound(path)]
    chosen = _nearest({path.relative_to(folder).as_posix(): path for path in found}, part)
    return chosen.read_bytes() if chosen else None


def _is_sound(path: Path) -> bool:
    """Links are not followed: they could lead to files of whoever grades."""
    return path.is_file() and not path.is_symlink() and path.stat().st_size <= MOST_BYTES


def _in_zip(file: Path, part: str) -> bytes | None:
    try:
        with zipfile.ZipFile(file) as archive:
            sound = {i.filename: i for i in archive.infolist() if i.file_size <= MOST_BYTES}
            chosen = _nearest(sound, part)
            return archive.read(chosen) if chosen else None
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError):
        return None  # damaged, locked, or packed in a way that Python does not know


def _nearest(found: dict[str, T], part: str) -> T | None:
    """A file at the end of the whole path is meant before one that has only its name."""
    wanted = PurePosixPath(part).parts

    def distance(name: str) -> tuple[bool, int, str]:
        parts = PurePosixPath(name).parts
        return parts[-len(wanted) :] != wanted, len(parts), name

    fitting = [name for name in found if PurePosixPath(name).name == wanted[-1]]
    return found[min(fitting, key=distance)] if fitting else None
