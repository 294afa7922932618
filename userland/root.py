"""A copy of a folder of the host as files for Vantage.  No path inside leads out of the copy."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from hw.host import UserError
from kernel.abi.nodes import Given


def read_tree(folder: Path) -> list[Given]:
    """Everything below `folder`.  A symbolic link stays a link and is not followed here.

    Devices and sockets are left out.  Raises `UserError` if a file cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder", "name one with --root")
    try:
        return list(_below(folder, b""))
    except OSError as error:
        raise UserError(
            f"cannot read {error.filename}: {error.strerror}", "check its permissions"
        ) from error


def _below(folder: Path, path: bytes) -> Iterator[Given]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        inside, mode = path + b"/" + os.fsencode(entry.name), entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(mode.st_mode):
            yield Given(inside, mode.st_mode)
            yield from _below(Path(entry.path), inside)
        elif stat.S_ISLNK(mode.st_mode):
            yield Given(inside, mode.st_mode, os.fsencode(os.readlink(entry.path)))
        elif stat.S_ISREG(mode.st_mode):
            yield Given(inside, mode.st_mode, Path(entry.path).read_bytes())
