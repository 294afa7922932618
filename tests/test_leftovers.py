"""Claims about `tests.leftovers`, which `run.py lint` runs.  Each test plants a leftover."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import run
from tests import leftovers

CONFLICTS = ["<" * 7 + " HEAD", "=" * 7, ">" * 7 + " main", "|" * 7 + " base"]
WORDS = ["w" + "ip", "FIX" + "ME", "to" + "do", "x" * 3]
CLEAN = {
    "a.py": 'todo = []\nname = "XXXXXX"  # a template of mkstemp(3)\nprint("=" * 7)\n',
    "b.md": "Title\n========\n\nA wiper and a method.\n",
    "c.c": "int todo; /* what is left */\n",
}


@pytest.fixture(params=["with git", "without git"])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A clean tree.  With git, it also holds a file that git does not track."""
    for name, text in CLEAN.items():
        (tmp_path / name).write_text(text)
    if request.param == "with git":
        if shutil.which("git") is None:
            pytest.skip("this host has no git")
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
        subprocess.run(["git", "-C", str(tmp_path), "add", "."], check=True)
        (tmp_path / "notes.md").write_text(CONFLICTS[0])
    return tmp_path


def test_a_clean_tree_has_no_leftovers(tree: Path) -> None:
    assert leftovers.find(tree) == []


@pytest.mark.parametrize("mark", CONFLICTS)
@pytest.mark.parametrize("name", CLEAN)
def test_a_conflict_marker_is_found_in_any_file(tree: Path, name: str, mark: str) -> None:
    (tree / name).write_text(f"one\n{mark}\ntwo\n")
    assert leftovers.find(tree) == [f"{name}:2: the mark of a merge conflict; settle the merge"]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(
    ("name", "line"), [("a.py", "f()  # {}: later"), ("b.md", "{} later"), ("c.c", "/* {} */")]
)
def test_a_word_left_over_is_found_in_a_comment(
    tree: Path, name: str, line: str, word: str
) -> None:
    (tree / name).write_text(line.format(word) + "\n")
    assert leftovers.find(tree) == [f"{name}:1: the word '{word}'; do the work or remove the note"]


def test_a_binary_file_is_not_checked(tree: Path) -> None:
    (tree / "c.c").write_bytes(b"\x7fELF\0\n" + CONFLICTS[0].encode())
    assert leftovers.find(tree) == []


def test_this_tree_has_none() -> None:
    assert leftovers.find(Path(run.ROOT)) == []
