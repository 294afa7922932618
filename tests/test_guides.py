"""The commands, options, files, labs and demos that the guides name exist."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from labs.demo import every_demo
from labs.lab import all_labs
from labs.plain import command
from run import COMMANDS
from userland.programs import built_in

ROOT = Path(__file__).resolve().parents[1]
GUIDES = [ROOT / "README.md", *sorted(ROOT.glob("*/**/*.md"))]
GUIDES = [path for path in GUIDES if not any(part[0] == "." for part in path.parts[1:])]
COMMAND = re.compile(r"run\.py ([a-z]+)\b *([^\n`|#]*)")


def strings(tree: ast.AST) -> Iterator[str]:
    """What a program may say: its strings, but for those that document it."""
    documents = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from [node.value] if id(node) not in documents else []


def commands(guide: Path) -> list[tuple[str, list[str]]]:
    """What a guide has after run.py: the command, and its arguments without options."""
    found = COMMAND.findall(guide.read_text("utf-8"))
    return [(name, re.split(r" {2,}", rest)[0].split()) for name, rest in found]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_in_a_guide_exists(guide: Path) -> None:
    for name, words in commands(guide):
        assert name in COMMANDS, f"run.py {name}"
        if name == "demo" and words and words[0].islower():
            assert words[0] in {*every_demo(), "list"}, words
        if name == "lab" and len(words) > 1 and words[1].isdigit():
            assert int(words[1]) in {lab.number for lab in all_labs()}, words


OURS = [ROOT / "README.md", *sorted((ROOT / "labs").rglob("*.md"))]
OURS = [path for path in OURS if path.name != "QUICK.md"]
SAID = [
    text
    for path in sorted((ROOT / "labs").rglob("*.py"))
    for text in strings(ast.parse(path.read_text("utf-8")))
]


def bare(text: str) -> list[str]:
    """Commands that no shell finds: run.py without the Python that runs it."""
    return re.findall(r"(?<!python3 )(?<![\w/\"$])run\.py [a-z]+", text)


@pytest.mark.parametrize("guide", OURS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_can_be_pasted(guide: Path) -> None:
    text = guide.read_text("utf-8")
    assert bare(text) == []
    ours = {path.rsplit(b"/")[-1].decode() for path in built_in()}
    for name, words in commands(guide):
        if name == "exec" and "--help" not in words and words:
            named = [word for word in words if word in ours or word[0] in "./A" or word.isupper()]
            assert named, f"{guide}: run.py exec {' '.join(words)} names no program"


def test_every_command_that_the_course_prints_can_be_pasted() -> None:
    assert len([text for text in SAID if "python3 run.py" in text]) > 10
    assert [text for text in SAID if bare(text)] == []
    assert command("panel", "replay", "my traces/a b", "--at", 3) == (
        "python3 run.py panel replay 'my traces/a b' --at 3"
        if os.name != "nt"
        else 'python3 run.py panel replay "my traces/a b" --at 3'
    )


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_in_a_guide_has_a_target(guide: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", guide.read_text("utf-8")):
        assert target.startswith("http") or (guide.parent / target).exists(), target


@pytest.mark.parametrize("guide", ["README.md", "labs/README.md", "labs/QUICK.md"])
def test_the_programs_that_a_guide_runs_are_there(guide: str) -> None:
    ours = {path.rsplit(b"/")[-1].decode() for path in built_in()}
    for name, words in commands(ROOT / guide):
        if name == "exec" and len(words) == 1 and re.fullmatch(r"[a-z_]+", words[0]):
            assert words[0] in ours, words
