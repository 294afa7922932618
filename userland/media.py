"""`run.py nvm`: make, check, repair and list the files behind NVM modules."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from hw.host import FileImage, UserError
from hw.nvm import ImageFailure
from kernel.nvm.check import Contents, read, repair, text
from kernel.nvm.format import CHECKPOINT, FILE, KINDS, SEGMENT, VAS, MediumError, Record, runs_of
from userland.nvm import format_file, open_image

EXAMPLES = """\
examples:
  run.py nvm format disk.nvm:16    an empty module of 16 MiB
  run.py nvm list disk.nvm         what is on it
  run.py nvm check disk.nvm        status 0: it is whole
  run.py nvm repair disk.nvm       keep every object that is whole
  run.py exec --nvm disk.nvm ...   use it; the shell takes --nvm too

What is persistent: segments and VASes whose mode has VAS_PERSISTENT (run.py manual vas).
"""
PLURALS = {SEGMENT: "segments", VAS: "VASes", FILE: "files", CHECKPOINT: "checkpoints"}
DAMAGED = 1
"""The exit status of `check` for a module that is damaged."""


def main(argv: list[str]) -> int:
    """The nvm command."""
    parser = argparse.ArgumentParser(
        prog="run.py nvm",
        description="Make, check, repair and list the files behind NVM modules.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("verb", choices=("format", *VERBS))
    parser.add_argument("file", help="the file; format takes FILE:MIB")
    options = parser.parse_args(argv)
    if options.verb == "format":
        return _format(options.file)
    path = Path(options.file)
    image = open_image(path, None, keep=options.verb != "repair")
    try:
        return VERBS[options.verb](image)
    except MediumError as error:
        raise UserError(f"{path}: {error.text}", error.remedy) from error
    except ImageFailure as error:
        raise UserError(str(error), "make room there, or use another file") from error
    finally:
        image.close()


def _format(words: str) -> int:
    name, _, mib = words.rpartition(":")
    if not name or not (mib.isascii() and mib.isdigit()):
        raise UserError(f"{words} has no size", "write FILE:MIB, such as disk.nvm:16")
    format_file(Path(name), int(mib))
    print(f"{name}: an empty module of {mib} MiB")
    return 0


def _list(image: FileImage) -> int:
    found = read(image.read, image.size_bytes)
    for record in found.records:
        print(_line(record))
    _complain(found)
    used = sum(count for _, count, _ in found.spans) + 2
    print(f"{len(found.records)} objects; {used} of {found.root.frames} frames in use")
    return 0


def _line(record: Record) -> str:
    count = sum(count for _, _, count in runs_of(record))
    rights = f"{record.mode & 0o777:03o} {record.user}:{record.group}"
    return f"{KINDS[record.kind]:10} {record.id:5} {rights:14} {count:7} pages  {text(record.name)}"


def _check(image: FileImage) -> int:
    found = read(image.read, image.size_bytes)
    _complain(found)
    counts = [sum(record.kind == kind for record in found.records) for kind in PLURALS]
    words = ", ".join(
        f"{count} {name}" for count, name in zip(counts, PLURALS.values(), strict=True)
    )
    print(f"{image.path}: {words}; problems: {len(found.problems)}")
    return DAMAGED if found.problems else 0


def _complain(found: Contents) -> None:
    for problem in found.problems:
        print(f"damaged: {problem}", file=sys.stderr)


def _repair(image: FileImage) -> int:
    done = repair(image.read, image.size_bytes)
    for offset, data in done.writes:
        image.write(offset, data)
        image.sync()
    for sentence in done.told:
        print(sentence)
    print(f"{image.path}: {'repaired' if done.writes else 'nothing to repair'}")
    return 0


VERBS: dict[str, Callable[[FileImage], int]] = {"check": _check, "repair": _repair, "list": _list}
