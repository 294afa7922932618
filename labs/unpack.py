"""The process that opens an archive which a student handed in, and takes the lab's files out."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISLNK
from typing import IO, Any

from hw import host
from labs.lab import Lab, find_lab
from labs.submission import MOST_BYTES, MOST_FILES, Refused, choose, missing, put, suffix_of

MEMORY_BYTES = 512 << 20
MOST_INFLATED_BYTES = 256 << 20
PROCESSOR_SECONDS = 10
INFLATE: dict[str, Callable[..., Any]] = {
    "gz": gzip.open,
    "bz2": bz2.open,
    "xz": lzma.open,
    "tgz": gzip.open,
    "tbz2": bz2.open,
    "txz": lzma.open,
}
DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(ValueError, KeyError, NotImplementedError, MemoryError, RuntimeError, OverflowError),
)


def main() -> None:
    """Reads what is asked from standard input, and answers with a line: the problem, if any."""
    host.die_with_parent()
    host.limit_memory(MEMORY_BYTES)
    host.limit_processor(PROCESSOR_SECONDS)
    asked = json.loads(sys.stdin.readline())
    lab, archive = find_lab(str(asked["lab"])), Path(asked["archive"])
    print(json.dumps({"problem": unpack(archive, lab, Path(asked["tree"]))}))


def unpack(archive: Path, lab: Lab, tree: Path) -> str:
    """Put the lab's files into `tree`; returns the problem, if any."""
    kind = suffix_of(archive.name).lstrip(".")
    take = _from_zip if kind == "zip" else _from_tar
    try:
        return take(archive, lab, lambda part, content: put(tree, part, content))
    except Refused as error:
        return f"the {kind} {error}"
    except DAMAGED:
        return f"the {kind} is damaged, or is no {kind}"


Put = Callable[[str, bytes], None]


def _from_zip(file: Path, lab: Lab, keep: Put) -> str:
    with zipfile.ZipFile(file) as archive:
        files = [entry for entry in archive.infolist() if not entry.is_dir()]
        sound = [entry for entry in files if not S_ISLNK(entry.external_attr >> 16)]
        names = _few_enough([entry.filename for entry in sound])
        chosen = choose(names, lab)
        for part, name in chosen.items():
            if archive.getinfo(name).flag_bits & 1:
                raise Refused("is locked with a password")
            with archive.open(name) as entry:  # what the archive says of its size is not believed
                keep(part, entry.read(MOST_BYTES + 1))
    return missing(names, chosen, lab)


class Counted:
    """What a stream inflates to, up to a limit."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream, self.left = stream, MOST_INFLATED_BYTES

    def read(self, size: int) -> bytes:
        found = self.stream.read(size)
        self.left -= len(found)
        if self.left < 0:
            raise Refused(f"inflates to more than {MOST_INFLATED_BYTES >> 20} MiB")
        return found


@contextmanager
def _tar(file: Path) -> Iterator[tarfile.TarFile]:
    """As a stream, so that little of it is in memory."""
    kind = suffix_of(file.name)
    inflate = next((made for ending, made in INFLATE.items() if kind.endswith(ending)), open)
    with inflate(file, "rb") as stream:
        counted: Any = Counted(stream)
        with tarfile.open(fileobj=counted, mode="r|") as archive:
            yield archive


def _from_tar(file: Path, lab: Lab, keep: Put) -> str:
    """Read twice: for the names, and for the contents of the chosen ones."""
    with _tar(file) as archive:
        names = _few_enough([member.name for member in archive if member.isfile()])
    chosen = choose(names, lab)
    parts = {name: part for part, name in chosen.items()}
    with _tar(file) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name in parts else None
            if content is not None:
                keep(parts[member.name], content.read(MOST_BYTES + 1))
    return missing(names, chosen, lab)


def _few_enough(names: list[str]) -> list[str]:
    if len(names) > MOST_FILES:
        raise Refused(f"holds more than {MOST_FILES:,} files")
    return names
