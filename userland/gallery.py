"""`run.py panel gallery FOLDER`: the pictures of the documentation.

The recipes in hw/panel/gallery.json name the program, the moment and the panel. Some need a
machine beside the panel, for data that a trace does not hold. `run.py panel gallery FOLDER RECIPES`
makes the pictures of other recipes. hw/panel/looks.json has moments that a reader must recognise
from the picture alone, in every size and look.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hw.panel
from hw.files import scratch_folder
from hw.host import UserError
from hw.panel import command as panel
from hw.panel.commands import press
from hw.panel.machine import windows
from hw.panel.model.history import History
from hw.panel.model.places import position_of
from hw.panel.picture.theme import THEMES
from hw.panel.pictures import save_png
from hw.panel.polling import poll
from hw.panel.session import Session
from hw.panel.user import showing
from hw.trace import Trace
from kernel.boot import Config, boot, spawn, trace_header
from userland.exec import configuration, machine_options
from userland.live import Link
from userland.programs import built_in, describe, read_program

RECIPES = Path(hw.panel.__file__).with_name("gallery.json")
FLAGS = ("zoom", "projector")
SIZES = ("1280x720", "1920x1080")
LOOKS: dict[str, dict[str, Any]] = {
    "dark": {},
    "light": {"theme": "light"},
    "projector": {"projector": True},
}


def main(argv: list[str]) -> int:
    """Make every picture anew; returns 0."""
    if len(argv) not in (1, 2):
        raise UserError("the gallery needs a folder", "run.py panel gallery hw/panel/pictures")
    folder, path = Path(argv[0]), Path(argv[1]) if len(argv) == 2 else RECIPES
    folder.mkdir(parents=True, exist_ok=True)
    with scratch_folder("gallery") as traces:
        for recipe in read_recipes(path):
            make(recipe, Path(traces), folder)
    return 0


def read_recipes(path: Path) -> list[dict[str, Any]]:
    """The recipes of a file. A recipe with `looks` becomes one for every size and look."""
    try:
        recipes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read recipes from {path}: {error}", f"see {RECIPES}") from error
    return [each for recipe in recipes for each in in_every_look(recipe)]


def in_every_look(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """If a recipe for `cow.png` asks for every look: recipes for `cow-1280x720-dark.png` and so
    on."""
    if not recipe.get("looks"):
        return [recipe]
    stem = Path(recipe["file"]).stem
    return [
        {**recipe, **look, "size": size, "file": f"{stem}-{size}-{name}.png"}
        for size in SIZES
        for name, look in LOOKS.items()
    ]


def make(recipe: dict[str, Any], traces: Path, folder: Path) -> None:
    """Make the picture of a recipe. A run that several recipes share is recorded once."""
    picture = folder / recipe["file"]
    if recipe.get("machine"):
        with_machine(recipe, traces / "live.vtrace", picture)
        return
    words = [recipe["program"], *recipe.get("arguments", []), *recipe.get("options", [])]
    trace = traces / f"{zlib.crc32(' '.join(words).encode()):08x}.vtrace"
    if not trace.exists():
        record(recipe["program"], machine_of(recipe), trace, recipe.get("arguments", []))
    panel.main(["shot", str(trace), *options_of(recipe), "-o", str(picture)])


def machine_of(recipe: dict[str, Any]) -> Config:
    """The machine that a recipe asks for."""
    return configuration(machine_options(recipe.get("options", [])))


def record(name: str, config: Config, path: Path, arguments: Sequence[str] = ()) -> Link:
    """Run a shipped program to its end, and record it in `path`.

    The returned link can execute parts of the run again.
    """
    kernel = boot(config, built_in(), lambda data: None)
    program = read_program(name)
    words = [word.encode() for word in (name, *arguments)]
    with path.open("wb") as sink:
        trace = Trace(trace_header(kernel, describe(name, program)), sink)
        kernel.machine.attach_trace(trace)
        process = spawn(kernel, program, words, [b"PATH=/bin"], config.user)
        link = Link(trace, sink, path=path)
        link.run(kernel, process)
        trace.close()
    return link


def with_machine(recipe: dict[str, Any], trace: Path, picture: Path) -> None:
    """Make the picture of a session that has a machine beside it."""
    link = record(recipe["program"], machine_of(recipe), trace)
    history = History(trace)
    history.scan_all()
    session = Session(history, chosen=recipe["panel"], zoomed=recipe.get("zoom", False))
    session.send = lambda word: link.obey(word, 0)
    history.seek(position_of(history, recipe["at"]))
    if "va" in recipe:
        session.look_at(int(recipe["va"], 0), recipe.get("space"))
    for key in recipe.get("keys", []):
        press(session, key)
    while poll(session) or session.awaits:
        pass
    save_png(
        showing.view(session), session.size, THEMES[recipe.get("theme", session.theme)], picture
    )
    windows.leave(session)
    session.history.close()


def options_of(recipe: dict[str, Any]) -> list[str]:
    """The options of `panel shot` that a recipe stands for."""
    words = [f"--{flag}" for flag in FLAGS if recipe.get(flag)]
    for name in ("at", "panel", "theme", "size", "va"):
        if name in recipe:
            words.append(f"--{name}={recipe[name]}")
    return words
