"""The reading path of kernel/README.md: it exists, it is short, and it meets nothing else."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MOST_LINES = 2_500

SECTION = re.compile(r"^ *# (?P<name>\S.*?) -{5,}$")
ROW = re.compile(r"^\| \d+ \| `(?P<path>[^`]+)` \| (?P<parts>[^|]+) \|", re.MULTILINE)

# A reader of the path must not meet these: signals, files, terminals, and all other policies.
ELSEWHERE = {
    *("signals", "sigframe", "SIGKILL", "SIGSEGV", "termios", "Console", "Files", "Pipes", "Tree"),
    *(
        "paths",
        "poll",
        "epoll",
        "Forward",
        "Rfc",
        "CopiedView",
        "Replacement",
        "AtSwitch",
    ),
    *("Mlfq", "Stride", "Eevdf", "lottery", "Epoll", "futex"),
}


def way() -> list[tuple[str, list[str]]]:
    """The rows of the table: a path, and the parts of it to read."""
    text = (ROOT / "kernel" / "README.md").read_text("utf-8")
    return [(row["path"], row["parts"].strip().split(", ")) for row in ROW.finditer(text)]


def sections(path: str) -> dict[str, str]:
    """Name -> text; `head` is the part before the first section, `all` is the file."""
    text = (ROOT / path).read_text("utf-8")
    found, name = {"all": text, "head": ""}, "head"
    for line in text.splitlines(keepends=True):
        title = SECTION.match(line.rstrip())
        if title:
            name = title["name"]
            found[name] = ""
        found[name] += line
    return found


@pytest.mark.parametrize(("path", "parts"), way(), ids=[path for path, _ in way()])
def test_each_step_of_the_path_exists(path: str, parts: list[str]) -> None:
    assert set(parts) <= set(sections(path))


def test_the_path_can_be_read_in_an_afternoon() -> None:
    lines = {path: sum(sections(path)[p].count("\n") for p in parts) for path, parts in way()}
    assert len(lines) > 10
    assert sum(lines.values()) <= MOST_LINES, lines


@pytest.mark.parametrize(("path", "parts"), way(), ids=[path for path, _ in way()])
def test_the_path_meets_nothing_that_it_does_not_need(path: str, parts: list[str]) -> None:
    wanted = "".join(sections(path)[part] for part in parts)
    names = {name for name in words_of((ROOT / path).read_text("utf-8")) if name in ELSEWHERE}
    met = sorted(name for name in names if re.search(rf"\b{name}\b", without_comments(wanted)))
    assert met == []


def words_of(source: str) -> set[str]:
    """The names in the code of a file."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.string for token in tokens if token.type == tokenize.NAME}


def without_comments(text: str) -> str:
    """Code without comments and docstrings, as far as single lines show them."""
    text = re.sub(r'""".*?"""', "", text, flags=re.DOTALL)
    return re.sub(r"#.*", "", text)
