"""Text that others wrote, made fit for a terminal, a report and a spreadsheet.

An exception's words, a program's output or a file's name may hold anything: escape sequences, bytes
that are no UTF-8, a million characters.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

MOST = 2_000
"""The most characters of one text in a report."""


def plain(text: str, most: int = MOST) -> str:
    """Printable characters and line ends; what is neither is written as an escape of Python."""
    cut = "".join(map(_shown, text[:most]))
    return cut if len(text) <= most else f"{cut} ... ({len(text):,} characters in all)"


def one_line(text: str, most: int = MOST) -> str:
    """`plain`, with spaces for the ends of lines."""
    return plain(" ".join(text[: 2 * most].split()), most)


def cell(text: str) -> str:
    """For a spreadsheet, which takes a text for a formula that begins with one of these."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _shown(character: str) -> str:
    if character == "\t":
        return "    "
    if character == "\n" or character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def command(*words: object) -> str:
    """A command of ours that works when it is pasted, also where a name has spaces in it."""
    said = [plain(str(word)) for word in words]
    quoted = subprocess.list2cmdline(said) if os.name == "nt" else shlex.join(said)
    return f"python3 run.py {quoted}"


def change_folder(to: Path) -> str:
    """The shell's command that goes there."""
    said = plain(str(to))
    return f'cd "{said}"' if os.name == "nt" else f"cd {shlex.quote(said)}"
