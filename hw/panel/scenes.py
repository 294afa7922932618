"""Scenes: moments of a trace in the order that they are shown in, for a talk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw.host import UserError
from hw.panel.moment import Focus
from hw.panel.places import position_of

if TYPE_CHECKING:
    from hw.panel.session import Session

SCENES = "see hw/panel/README.md"


def read_scenes(path: Path) -> list[dict[str, Any]]:
    """The scenes of a file: a JSON list of {"at", "panel", "zoom", "va", "space", "say"}."""
    try:
        scenes = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read scenes from {path}: {error}", SCENES) from error
    if not isinstance(scenes, list) or not all(isinstance(scene, dict) for scene in scenes):
        raise UserError(f"{path} holds no list of scenes", SCENES)
    return scenes


def apply_scene(session: Session, scene: dict[str, Any]) -> None:
    """Go where a scene says, and look as it says."""
    if "at" in scene:
        session.go_to(position_of(session.history, str(scene["at"])))
    session.chosen = str(scene.get("panel", session.chosen))
    session.zoomed = bool(scene.get("zoom", False))
    session.projector = bool(scene.get("projector", session.projector))
    session.focus = Focus()
    if "va" in scene:
        session.focus = Focus(int(str(scene["va"]), 0), scene.get("space"))
    session.message = str(scene.get("say", ""))
