"""Scenes: moments of a trace, in the order of a talk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hw.host import UserError
from hw.panel.model.moment import Focus
from hw.panel.model.places import position_of
from hw.panel.session import Session

SCENES = "see hw/panel/README.md"
KEYS = {"at", "panel", "beside", "zoom", "projector", "va", "space", "say"}


def read_scenes(path: Path) -> list[dict[str, Any]]:
    """The scenes of a file: a JSON list of objects with some of `KEYS`."""
    try:
        scenes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read scenes from {path}: {error}", SCENES) from error
    if not isinstance(scenes, list) or not all(isinstance(scene, dict) for scene in scenes):
        raise UserError(f"{path} holds no list of scenes", SCENES)
    unknown = sorted({key for scene in scenes for key in scene} - KEYS)
    if unknown:
        raise UserError(f"{path}: a scene has no {unknown[0]!r}", SCENES)
    return scenes


def show_scene(session: Session, step: int) -> None:
    """Show the next scene, or the previous one."""
    index = session.scene + step
    if 0 <= index < len(session.scenes):
        session.scene = index
        apply_scene(session, session.scenes[index])


def apply_scene(session: Session, scene: dict[str, Any]) -> None:
    """Go to the place of a scene, and look as it says."""
    if "at" in scene:
        session.go_to(position_of(session.history, str(scene["at"])))
    session.chosen = str(scene.get("panel", session.chosen))
    session.beside = str(scene.get("beside", ""))
    session.zoomed = bool(scene.get("zoom", False))
    session.projector = bool(scene.get("projector", session.projector))
    session.focus = Focus()
    if "va" in scene or "space" in scene:
        va = int(str(scene["va"]), 0) if "va" in scene else None
        session.focus = Focus(va, scene.get("space"))
    number = f"{session.scene + 1}/{len(session.scenes)}"
    session.said = f"{number}  {scene['say']}" if "say" in scene else ""
