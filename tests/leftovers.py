"""Finds what a hasty commit leaves behind: conflict markers, and words that promise work.

`run.py lint` checks every file that git tracks, or every file where there is no git.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CONFLICT = re.compile(r"(<{7}|>{7}|\|{7})( |$)|={7}$")
WORD = re.compile(r"\b(wip|fixme|todo|xxx)\b", re.IGNORECASE)
COMMENT = re.compile(r"#|//|/\*|<!--|^\s*\*")
"""How a comment begins, in any language of this tree.  A Markdown file is all prose."""


def files(root: Path) -> list[Path]:
    """The files that git tracks below `root`; all files that are not hidden, if it tracks none."""
    command = ["git", "-C", str(root), "ls-files", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, check=False).stdout
    except FileNotFoundError:
        listed = b""
    tracked = [root / name.decode() for name in listed.split(b"\0") if name]
    return [path for path in tracked or _all_files(root) if path.is_file()]


def _all_files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        if not any(part.startswith((".", "__pycache__")) for part in path.relative_to(root).parts):
            yield path


def complaints(name: str, text: str) -> Iterator[str]:
    """One line for each leftover in a file's text: its place, and what is wrong."""
    for number, line in enumerate(text.splitlines(), 1):
        comment = COMMENT.search(line)
        prose = line if name.endswith(".md") else line[comment.end() :] if comment else ""
        word = WORD.search(prose)
        if CONFLICT.match(line):
            yield f"{name}:{number}: the mark of a merge conflict; settle the merge"
        if word:
            yield f"{name}:{number}: the word '{word.group()}'; do the work or remove the note"


def find(root: Path) -> list[str]:
    """All complaints about the text files below `root`."""
    found: list[str] = []
    for path in files(root):
        data = path.read_bytes()
        if b"\0" not in data:
            name = path.relative_to(root).as_posix()
            found += complaints(name, data.decode("utf-8", "replace"))
    return found


if __name__ == "__main__":
    left = find(ROOT)
    print("\n".join(left or ["No leftovers."]))
    sys.exit(bool(left))
