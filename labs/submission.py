"""What a student hands in: a tree, a folder around one, an archive of either, or the files alone.

The judge gets a folder with the lab's files, and programs that were built from them, so
nothing else that was handed in can matter.  An archive is opened in a process of its own, with
little memory and time: a small one may inflate to gigabytes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hw.files import scratch_folder
from labs.crew import Crew
from labs.lab import BUILT, ROOT, Lab
from labs.plain import one_line

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MOST_BYTES = 1 << 20
"""Of one file: hundreds of times what any part needs."""
MOST_FILES = 100_000
NOT_THEIRS = {"__MACOSX", ".git", ".venv", "__pycache__", "node_modules"}
UNPACK_SECONDS = 20
UNPACK = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from labs import unpack; unpack.main()"
FEW = 3


class Refused(Exception):
    """What was handed in is sound, and cannot be used; the words go on from a noun."""


@dataclass(frozen=True, slots=True)
class HandedIn:
    """A folder with the lab's files in their places; `problem` says why that is not possible."""

    tree: Path
    problem: str = ""


def suffix_of(name: str) -> str:
    """The archive's ending of a file name, or its last one, in small letters."""
    low = name.lower()
    found = [ending for ending in ARCHIVES if low.endswith(ending)]
    return max(found, key=len) if found else PurePosixPath(low).suffix


def wanted_of(lab: Lab) -> list[str]:
    """The files that are looked for: those of the lab, and programs built from them."""
    return sorted({*lab.files, *(f"{BUILT}/{name}" for name in lab.programs)})


@contextmanager
def laid_out(handed_in: Path, lab: Lab, crew: Crew | None = None) -> Iterator[HandedIn]:
    """Look for the lab's files in what was handed in."""
    with scratch_folder("tree") as tree:
        yield HandedIn(tree, _lay_out(handed_in, lab, tree, crew or Crew()))


def _lay_out(handed_in: Path, lab: Lab, tree: Path, crew: Crew) -> str:
    """Returns the problem, if any."""
    try:
        if handed_in.is_dir():
            return _from_folder(handed_in, lab, tree, crew)
        if suffix_of(handed_in.name) in ARCHIVES:
            return _from_archive(handed_in, lab, tree, crew)
        return _from_file(handed_in, lab, tree)
    except Refused as error:
        return f"it {error}"


def _from_folder(folder: Path, lab: Lab, tree: Path, crew: Crew) -> str:
    found = list(_files_in(folder))
    names = [path.relative_to(folder).as_posix() for path in found]
    chosen = choose(names, lab)
    for part, name in chosen.items():
        put(tree, part, _content(folder / name))
    archives = [path for path in found if suffix_of(path.name) in ARCHIVES]
    if (folder / "run.py").is_file():
        return ""  # a tree of ours: the judge says what was deleted
    if chosen or not archives:
        return missing(names, chosen, lab)
    if len(archives) > 1:
        told = ", ".join(path.name for path in archives[:FEW])
        return f"there are {len(archives)} archives in it ({told}): leave the one that counts"
    return _from_archive(archives[0], lab, tree, crew)


def _files_in(folder: Path) -> Iterator[Path]:
    """Links are not followed: they could lead to files of the person who grades."""
    seen = 0
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - NOT_THEIRS)  # an environment alone has thousands
        for name in sorted(names):
            seen += 1
            if seen > MOST_FILES:
                return
            path = Path(at, name)
            if _is_theirs(name) and path.is_file() and not path.is_symlink():
                yield path


def _is_theirs(name: str) -> bool:
    """Did a person write it, and not a system or a tool?"""
    parts = PurePosixPath(name).parts
    return NOT_THEIRS.isdisjoint(parts) and not parts[-1].startswith("._")


def _from_archive(archive: Path, lab: Lab, tree: Path, crew: Crew) -> str:
    """Ask another process, which may not live long."""
    asked = json.dumps({"archive": str(archive.absolute()), "tree": str(tree), "lab": lab.number})
    kind = suffix_of(archive.name).lstrip(".")
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    command = [sys.executable, "-I", "-c", UNPACK]
    with crew.working(command, stdin=pipe, stdout=pipe, stderr=nowhere) as process:
        try:
            said, _ = process.communicate(asked.encode(), timeout=UNPACK_SECONDS)
        except subprocess.TimeoutExpired:
            return f"the {kind} takes more than {UNPACK_SECONDS} s to unpack"
    try:
        return str(json.loads(said)["problem"])
    except (ValueError, LookupError, TypeError):
        return f"the {kind} needs too much memory or time to unpack"


def _from_file(file: Path, lab: Lab, tree: Path) -> str:
    """A file alone is the lab's only one, whatever its name; or the name says which it is."""
    if not file.is_file():
        return "it is neither a folder nor a file"
    if len(lab.files) > 1:
        return f"it is one file, and the lab has {len(lab.files)}: {', '.join(lab.files)}"
    put(tree, lab.files[0], _content(file))
    return ""


def _content(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(MOST_BYTES + 1)


def put(tree: Path, part: str, content: bytes) -> None:
    """Into the place that the lab names.  Raises Refused for more than MOST_BYTES."""
    if len(content) > MOST_BYTES:
        raise Refused(f"has more than {MOST_BYTES >> 20} MiB in {part}")
    (tree / part).parent.mkdir(parents=True, exist_ok=True)
    (tree / part).write_bytes(content)


def choose(names: Iterable[str], lab: Lab) -> dict[str, str]:
    """Which file is meant by each that is wanted, as far as there is one.

    Best is the end of the whole path, then the name alone, then a name to which a learning
    platform has added something; of equals, the one nearest to the top.
    """
    held = [name for name in names if _is_theirs(name)]
    found = {part: _nearest(held, part) for part in wanted_of(lab)}
    if len(lab.files) == 1 and not found[lab.files[0]]:
        ending = PurePosixPath(lab.files[0]).suffix
        alone = [name for name in held if PurePosixPath(name).suffix == ending]
        found[lab.files[0]] = alone[0] if len(alone) == 1 else ""
    return {part: name for part, name in found.items() if name}


def _nearest(names: list[str], part: str) -> str:
    wanted = PurePosixPath(part)
    renamed = re.compile(
        rf"(.*[-_ ])?{re.escape(wanted.stem)}([-_ ]?\(?\d+\)?)?{re.escape(wanted.suffix)}"
    )

    def rank(name: str) -> tuple[bool, bool, int, str]:
        path = PurePosixPath(name)
        whole = path.parts[-len(wanted.parts) :] == wanted.parts
        return not whole, path.name != wanted.name, len(path.parts), name

    fitting = [name for name in names if renamed.fullmatch(PurePosixPath(name).name)]
    return min(fitting, key=rank, default="")


def missing(names: list[str], chosen: dict[str, str], lab: Lab) -> str:
    """Which of the lab's files is not among those that were handed in, and what is."""
    absent = [part for part in lab.files if part not in chosen]
    if not absent:
        return ""
    if not names:
        return "it is empty"
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return f"{absent[0]} is not in it: it holds {one_line(', '.join(names[:FEW]), 200)}{more}"
