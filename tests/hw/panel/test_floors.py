"""The floors of the panel: a room may import the rooms below it and no other.

Every import counts, also one in a function and one that only a type checker reads: what a file
names, its reader has to know.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import hw.panel

PANEL = Path(hw.panel.__file__).parent
ROOT = PANEL.parent.parent

FLOORS: tuple[tuple[str, ...], ...] = (
    ("keys", "verbs", "model"),
    ("picture", "words"),
    ("panels",),
    ("layout",),
    ("pictures", "session"),
    ("machine",),
    ("user",),
    ("commands", "polling"),
    ("window",),
    ("command",),
)
"""From the lowest up.  Rooms of one floor do not import each other."""


# The rule -----------------------------------------------------------------------------------------


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that a file imports, and the names in them, in dotted form."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "no file imports by `from . import`"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows(folder: Path, root: Path = ROOT) -> set[tuple[Path, Path]]:
    """(file, file that it imports), of all files within a folder.  `root` is where dotted names
    begin; the `__init__.py` of the folder itself belongs to no floor and is left out."""
    files = sorted(path for path in folder.rglob("*.py") if path != folder / "__init__.py")
    found = set()
    for path in files:
        for name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            target = file_of(name, root)
            if target in files and target != path:
                found.add((path, target))
    return found


def file_of(name: str, root: Path) -> Path | None:
    """The file of a dotted name: of the module, or of the module that the last part is from."""
    for whole in (name, name.rpartition(".")[0]):
        place = root.joinpath(*whole.split("."))
        for path in (place.with_suffix(".py"), place / "__init__.py"):
            if path.exists():
                return path
    return None


def room_of(path: Path, folder: Path) -> str:
    """The room that a file is or lies in, by the name that a floor calls it."""
    return path.relative_to(folder).parts[0].removesuffix(".py")


def arrows_up(
    folder: Path, floors: Sequence[Sequence[str]], root: Path = ROOT
) -> list[tuple[str, str]]:
    """(room, room that it imports) wherever the second is not on a lower floor.

    Raises `KeyError` for a room that no floor has.
    """
    floor = {room: number for number, rooms in enumerate(floors) for room in rooms}
    pairs = {(room_of(a, folder), room_of(b, folder)) for a, b in arrows(folder, root)}
    return sorted((a, b) for a, b in pairs if a != b and floor[a] <= floor[b])


def circle(folder: Path, root: Path = ROOT) -> list[str]:
    """The files that lie on a circle of imports, or between two; empty if there is none."""
    left = arrows(folder, root)
    while True:
        importing, needed = {a for a, _ in left}, {b for _, b in left}
        fewer = {(a, b) for a, b in left if a in needed and b in importing}
        if fewer == left:
            return sorted({path.relative_to(folder).as_posix() for pair in left for path in pair})
        left = fewer


# The panel ----------------------------------------------------------------------------------------


def test_every_room_is_on_one_floor() -> None:
    rooms = {room_of(path, PANEL) for path in PANEL.rglob("*.py")} - {"__init__"}
    assert sorted(rooms) == sorted(room for rooms in FLOORS for room in rooms)


def test_no_arrow_runs_up() -> None:
    assert arrows_up(PANEL, FLOORS) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circle(PANEL) == []


@pytest.mark.parametrize("room", [p.name for p in PANEL.iterdir() if (p / "__init__.py").exists()])
def test_each_folder_says_what_it_is_for(room: str) -> None:
    """In about five lines: what the floor is for, what it may know, and its face."""
    words = ast.get_docstring(ast.parse((PANEL / room / "__init__.py").read_text("utf-8")))
    assert words is not None
    assert 4 <= len(words.splitlines()) <= 9
    assert "May know" in words
    assert "Face" in words


# The rule itself ----------------------------------------------------------------------------------

UPWARD = {
    "plain": "from house.attic import bed\n",
    "module": "import house.attic.bed\n",
    "typing": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house import attic\n",
    "function": "def sleep():\n    from house.attic.bed import Bed\n",
}


def house(root: Path, cellar: str) -> Path:
    (root / "house" / "attic").mkdir(parents=True)
    (root / "house" / "__init__.py").write_text("from house import cellar, attic\n")
    (root / "house" / "cellar.py").write_text(cellar)
    (root / "house" / "attic" / "__init__.py").write_text("")
    (root / "house" / "attic" / "bed.py").write_text("from house.cellar import wine\n")
    return root / "house"


@pytest.mark.parametrize("how", UPWARD)
def test_the_rule_sees_every_way_to_import(how: str, tmp_path: Path) -> None:
    folder = house(tmp_path, UPWARD[how])
    floors = (("cellar",), ("attic",))
    assert arrows_up(folder, floors, tmp_path) == [("cellar", "attic")]
    assert arrows_up(folder, (("cellar", "attic"),), tmp_path) == [
        ("attic", "cellar"),
        ("cellar", "attic"),
    ]
    if how != "typing":
        assert circle(folder, tmp_path) == ["attic/bed.py", "cellar.py"]


def test_a_house_without_arrows_up_is_not_complained_of(tmp_path: Path) -> None:
    folder = house(tmp_path, "import json\n")
    assert arrows_up(folder, (("cellar",), ("attic",)), tmp_path) == []
    assert circle(folder, tmp_path) == []
    with pytest.raises(KeyError):
        arrows_up(folder, (("cellar",),), tmp_path)
