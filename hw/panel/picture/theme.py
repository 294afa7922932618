"""Themes: the colour of each role.

The hues are those of Okabe and Ito: people with the common kinds of colour blindness can tell them
apart. Nothing is told by colour alone. Roles are surfaces (paper, panel, title), inks on them (ink,
dim, faint, gold, alarm, hot), and the classes that have a fixed meaning. `ink_on` is the ink for a
class.
"""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]

ORANGE, SKY, GREEN = (0xE6, 0x9F, 0x00), (0x56, 0xB4, 0xE9), (0x00, 0x9E, 0x73)
YELLOW = (0xF0, 0xE4, 0x42)
BLUE, VERMILLION, PURPLE = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0xCC, 0x79, 0xA7)
BLACK, WHITE = (0, 0, 0), (255, 255, 255)

CLASSES = {
    "code": ("green", "x", ""),
    "heap": ("orange", "h", ""),
    "library": ("sky", "l", ""),
    "segment": ("yellow", "s", ""),
    "stack": ("purple", "k", "dots"),
    "shared": ("vermillion", "S", "diagonal"),
    "table": ("blue", "T", "cross"),
    "file": ("sky", "F", "rows"),
    "kernel": ("ink", "K", ""),
}
"""Class -> hue, letter, pattern: three ways to tell them apart."""

HUES = ("sky", "orange", "green", "yellow", "purple", "vermillion")
PATTERNS = ("", "diagonal", "dots", "cross", "rows")
"""A space or a PCID has its number first; hue and pattern follow from it."""


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours by role."""

    name: str
    colours: dict[str, Colour]

    def colour(self, role: str) -> Colour:
        """The colour of a role.  Raises KeyError for one that does not exist."""
        return self.colours[role]


_HUES = {
    "orange": ORANGE,
    "sky": SKY,
    "green": GREEN,
    "yellow": YELLOW,
    "blue": BLUE,
    "vermillion": VERMILLION,
    "purple": PURPLE,
    "black": BLACK,
    "white": WHITE,
}

DARK = Theme(
    "dark",
    _HUES
    | {
        "paper": (0x10, 0x14, 0x1C),
        "panel": (0x18, 0x1E, 0x28),
        "title": (0x26, 0x2F, 0x3D),
        "chosen": (0x3A, 0x47, 0x5C),
        "bar": (0x2E, 0x3A, 0x4C),
        "ink": (0xE8, 0xEC, 0xF2),
        "dim": (0xA4, 0xAE, 0xBC),
        "faint": (0x3A, 0x44, 0x54),
        "gold": YELLOW,
        "alarm": (0xFF, 0x8A, 0x3D),
        "good": (0x4F, 0xD3, 0xA6),
        "hot": WHITE,
        "band": (0x2B, 0x35, 0x45),
        "free": (0x2A, 0x32, 0x3F),
        "edge": (0x18, 0x1E, 0x28),
    },
)
LIGHT = Theme(
    "light",
    _HUES
    | {
        "paper": (0xE4, 0xE7, 0xEC),
        "panel": (0xFF, 0xFF, 0xFF),
        "title": (0xD3, 0xDA, 0xE4),
        "chosen": (0xAF, 0xBD, 0xD2),
        "bar": (0xE1, 0xE9, 0xF5),
        "ink": (0x14, 0x18, 0x20),
        "dim": (0x50, 0x59, 0x66),
        "faint": (0xC4, 0xCB, 0xD5),
        "gold": (0x7A, 0x55, 0x00),
        "alarm": (0xA8, 0x3A, 0x00),
        "good": (0x00, 0x6B, 0x4E),
        "hot": BLACK,
        "band": (0xE6, 0xEC, 0xF4),
        "free": (0xEE, 0xF0, 0xF4),
        "edge": (0x14, 0x18, 0x20),
    },
)
CONTRAST = Theme(
    "contrast",
    _HUES
    | {
        "paper": BLACK,
        "panel": BLACK,
        "title": (0x30, 0x30, 0x30),
        "chosen": (0x50, 0x50, 0x00),
        "bar": (0x40, 0x40, 0x00),
        "ink": WHITE,
        "dim": (0xE0, 0xE0, 0xE0),
        "faint": (0x80, 0x80, 0x80),
        "gold": (0xFF, 0xFF, 0x00),
        "alarm": (0xFF, 0xFF, 0x00),
        "good": WHITE,
        "hot": (0xFF, 0xFF, 0x00),
        "band": (0x38, 0x38, 0x38),
        "free": (0x20, 0x20, 0x20),
        "edge": BLACK,
    },
)
_GREY = dict.fromkeys(("orange", "sky", "green", "yellow", "vermillion", "purple"), WHITE)
PRINT = Theme(
    "print",
    LIGHT.colours
    | _GREY
    | {
        "blue": (0x40, 0x40, 0x40),
        "paper": WHITE,
        "title": (0xE0, 0xE0, 0xE0),
        "chosen": (0xC0, 0xC0, 0xC0),
        "bar": (0xE8, 0xE8, 0xE8),
        "band": (0xEE, 0xEE, 0xEE),
        "free": WHITE,
        "gold": BLACK,
        "alarm": BLACK,
        "good": BLACK,
    },
)
THEMES = {theme.name: theme for theme in (DARK, LIGHT, CONTRAST, PRINT)}


def ink_on(hue: str) -> str:
    """The ink on a fill: white on blue, black on other hues, the usual ink on surfaces."""
    if hue in _HUES:
        return "white" if hue == "blue" else "black"
    return "ink"


def hue_of(number: int) -> str:
    """The hue of PCID, space or VAS `number`."""
    return HUES[(number - 1) % len(HUES)]


def pattern_of(number: int) -> str:
    """The pattern of PCID, space or VAS `number`. Hue and pattern together tell 30 numbers
    apart."""
    return PATTERNS[(number - 1) % len(PATTERNS)]
