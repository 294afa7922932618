"""The keymap: which key does what.

The keys are data, in keymap.json; the commands are in commands.py. One rule holds for all of them:
lower case goes forward, Shift goes back.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

GROUPS = {
    "time": "Time: lower case forward, Shift back",
    "move": "Moving",
    "panels": "Panels",
    "look": "Looking for",
    "show": "Showing",
}


@dataclass(frozen=True, slots=True)
class Binding:
    """A command, its keys, and what it does, in words."""

    command: str
    keys: tuple[str, ...]
    group: str
    words: str


@cache
def bindings() -> tuple[Binding, ...]:
    """Every command, in the order of the help."""
    rows = json.loads(Path(__file__).with_name("keymap.json").read_text(encoding="utf-8"))
    return tuple(Binding(r["command"], tuple(r["keys"]), r["group"], r["words"]) for r in rows)


@cache
def commands_by_key() -> dict[str, str]:
    return {key: binding.command for binding in bindings() for key in binding.keys}


def key_name(name: str, text: str, *, shift: bool, ctrl: bool, alt: bool) -> str:
    """The name of a key press in the keymap: the character that it types, or the key's name with
    its modifiers. `name` is the key's own name, `text` what it types."""
    if text and text.isprintable() and text != " " and not ctrl and not alt:
        return text
    parts = [word for word, held in (("ctrl", ctrl), ("alt", alt), ("shift", shift)) if held]
    return "+".join([*parts, name.lower()])
