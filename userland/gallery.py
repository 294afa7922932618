"""`run.py panel gallery FOLDER`: the pictures of the documentation, from the recipes in
hw/panel/gallery.json: which program, which moment, which panel; and for what a trace does not
hold, whether the machine is there to be asked."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import hw.panel
from hw.host import UserError
from hw.panel import command as panel
from hw.panel.history import History
from hw.panel.pictures import save_png
from hw.panel.places import position_of
from hw.panel.session import Session
from hw.panel.theme import THEMES
from hw.trace import Trace
from kernel.boot import Config, boot, spawn, trace_header
from userland.exec import configuration, machine_options
from userland.live import Link
from userland.programs import built_in, describe, read_program

RECIPES = Path(hw.panel.__file__).with_name("gallery.json")
FLAGS = ("zoom", "projector")


def main(argv: list[str]) -> int:
    """Make every picture anew; returns 0."""
    if len(argv) != 1:
        raise UserError("the gallery needs a folder", "run.py panel gallery hw/panel/pictures")
    folder = Path(argv[0])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as traces:
        for recipe in json.loads(RECIPES.read_text(encoding="utf-8")):
            if recipe.get("machine"):
                with_machine(recipe, Path(traces) / "live.vtrace", folder / recipe["file"])
                continue
            words = [recipe["program"], *recipe.get("options", [])]
            trace = Path(traces) / ("-".join(words) + ".vtrace")
            if not trace.exists():
                record(recipe["program"], machine_of(recipe), trace)
            panel.main(
                ["shot", str(trace), *options_of(recipe), "-o", str(folder / recipe["file"])]
            )
    return 0


def machine_of(recipe: dict[str, Any]) -> Config:
    """The machine that a recipe asks for."""
    return configuration(machine_options(recipe.get("options", [])))


def record(name: str, config: Config, path: Path) -> Link:
    """Run a shipped program to its end, and record it in `path`; what is returned can execute
    stretches of the run again."""
    kernel = boot(config, built_in(), lambda data: None)
    program = read_program(name)
    with path.open("wb") as sink:
        trace = Trace(trace_header(kernel, describe(name, program)), sink)
        kernel.machine.attach_trace(trace)
        process = spawn(kernel, program, [name.encode()], [], config.user)
        link = Link(trace, sink, path=path)
        link.run(kernel, process)
        trace.close()
    return link


def with_machine(recipe: dict[str, Any], trace: Path, picture: Path) -> None:
    """A picture of a session that has the machine beside it."""
    link = record(recipe["program"], machine_of(recipe), trace)
    history = History(trace)
    history.scan_all()
    session = Session(history, chosen=recipe["panel"], zoomed=recipe.get("zoom", False))
    session.send = lambda word: link.obey(word, 0)
    history.seek(position_of(history, recipe["at"]))
    if "va" in recipe:
        session.look_at(int(recipe["va"], 0), recipe.get("space"))
    for key in recipe.get("keys", []):
        session.press(key)
    while session.poll() or session.awaits:
        pass
    save_png(session.view(), session.size, THEMES[recipe.get("theme", session.theme)], picture)
    session.leave_window()
    session.history.close()


def options_of(recipe: dict[str, Any]) -> list[str]:
    """The options of `panel shot` that a recipe stands for."""
    words = [f"--{flag}" for flag in FLAGS if recipe.get(flag)]
    for name in ("at", "panel", "theme", "size"):
        if name in recipe:
            words.append(f"--{name}={recipe[name]}")
    return words
