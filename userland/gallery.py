"""`run.py panel gallery FOLDER`: the pictures of the documentation, from the recipes in
hw/panel/gallery.json: which program, which moment, which panel."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import hw.panel
from hw.host import UserError
from hw.panel import command as panel
from hw.trace import Trace
from kernel.boot import boot, run_to_end, spawn, trace_header
from userland.exec import configuration, machine_options
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
            words = [recipe["program"], *recipe.get("options", [])]
            trace = Path(traces) / ("-".join(words) + ".vtrace")
            if not trace.exists():
                record(recipe["program"], recipe.get("options", []), trace)
            panel.main(
                ["shot", str(trace), *options_of(recipe), "-o", str(folder / recipe["file"])]
            )
    return 0


def record(name: str, options: list[str], path: Path) -> None:
    """Run a shipped program to its end, and record it in `path`."""
    config = configuration(machine_options(options))
    kernel = boot(config, built_in(), lambda data: None)
    program = read_program(name)
    with path.open("wb") as sink:
        trace = Trace(trace_header(kernel, describe(name, program)), sink)
        kernel.machine.attach_trace(trace)
        run_to_end(kernel, spawn(kernel, program, [name.encode()], [], config.user))
        trace.close()


def options_of(recipe: dict[str, Any]) -> list[str]:
    """The options of `panel shot` that a recipe stands for."""
    words = [f"--{flag}" for flag in FLAGS if recipe.get(flag)]
    for name in ("at", "panel", "theme", "size"):
        if name in recipe:
            words.append(f"--{name}={recipe[name]}")
    return words
