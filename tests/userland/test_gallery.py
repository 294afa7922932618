"""The recipes for the pictures: every program and moment in them can be recorded and shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.host import UserError
from hw.panel.layout import PANELS
from userland import gallery
from userland.programs import read_program

LOOKS = gallery.RECIPES.with_name("looks.json")
RECIPES = [*gallery.read_recipes(gallery.RECIPES), *gallery.read_recipes(LOOKS)]


def test_a_recipe_for_every_look_is_one_for_each_size_and_look() -> None:
    files = [recipe["file"] for recipe in gallery.read_recipes(LOOKS)]
    assert len(files) == len(set(files)) == 7 * len(gallery.SIZES) * len(gallery.LOOKS)
    assert "cow-1920x1080-projector.png" in files


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: str(recipe["file"]))
def test_a_recipe_names_what_exists(recipe: dict[str, str]) -> None:
    assert read_program(recipe["program"])
    assert gallery.machine_of(recipe)
    assert recipe.get("panel", "walk") in PANELS
    assert recipe["at"]


@pytest.mark.parametrize("stem", ["cow", "two-views", "rfc-conflict", "pcid", "no-pcid"])
def test_each_look_can_be_made(stem: str, tmp_path: Path) -> None:
    from PIL import Image

    (recipe,) = (r for r in RECIPES if r["file"] == f"{stem}-1920x1080-projector.png")
    gallery.make(recipe, tmp_path, tmp_path)
    with Image.open(tmp_path / recipe["file"]) as image:
        assert image.size == (1920, 1080)


def test_unreadable_recipes_are_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("[")
    for name in ("r.json", "none.json"):
        with pytest.raises(UserError, match="cannot read recipes"):
            gallery.read_recipes(tmp_path / name)
