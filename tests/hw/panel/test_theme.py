"""People with any common kind of colour vision can tell the colours apart and read the text.

Where two colours look alike, a letter and a pattern tell them apart.
"""

from __future__ import annotations

from itertools import combinations

import pytest

from hw.panel.picture.theme import (
    CLASSES,
    HUES,
    THEMES,
    Theme,
    hue_of,
    ink_on,
    pattern_of,
)

# Machado, Oliveira and Fernandes 2009, severity 1.0, on linear RGB.
SIGHTS = {
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
SURFACES = ("paper", "panel", "title", "chosen", "bar")
ON_PANEL = ("ink", "dim", "gold", "alarm", "good", "hot")
Colour = tuple[int, int, int]


def linear(value: int) -> float:
    share = value / 255
    return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4


def contrast(one: Colour, other: Colour) -> float:
    """The contrast ratio of two colours (WCAG 2.1, 1.4.3): 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: Colour) -> float:
    """The relative luminance of a colour (WCAG 2.1)."""
    r, g, b = (linear(value) for value in colour)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def lab(colour: Colour, sight: str) -> tuple[float, float, float]:
    """CIE L*a*b* of a colour as it is seen."""
    rgb = [linear(value) for value in colour]
    if sight:
        rgb = [sum(a * b for a, b in zip(row, rgb, strict=True)) for row in SIGHTS[sight]]
    r, g, b = (min(1.0, max(0.0, value)) for value in rgb)
    x = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047
    y = 0.2126 * r + 0.7152 * g + 0.0722 * b
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def distance(one: Colour, other: Colour, sight: str) -> float:
    pairs = zip(lab(one, sight), lab(other, sight), strict=True)
    return float(sum((a - b) ** 2 for a, b in pairs) ** 0.5)


def apart(theme: Theme, one: str, other: str) -> bool:
    """Everybody can tell the two classes apart by hue alone."""
    hues = theme.colour(CLASSES[one][0]), theme.colour(CLASSES[other][0])
    return all(distance(*hues, sight) >= 10 for sight in ("", *SIGHTS))


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_classes_differ_in_hue_for_all_or_in_letter_and_pattern_or_letter(theme: Theme) -> None:
    for one, other in combinations(CLASSES, 2):
        (_, letter, pattern), (_, other_letter, other_pattern) = CLASSES[one], CLASSES[other]
        assert letter != other_letter, (one, other)
        if not apart(theme, one, other) and theme.name != "print":
            assert pattern != other_pattern, (one, other)


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_text_can_be_read(theme: Theme) -> None:
    for surface in SURFACES:
        assert contrast(theme.colour("ink"), theme.colour(surface)) >= 7, surface
    for ink in ON_PANEL:
        assert contrast(theme.colour(ink), theme.colour("panel")) >= 4.5, ink
    for surface in ("title", "chosen", "bar", "paper"):
        assert contrast(theme.colour("dim"), theme.colour(surface)) >= 3, surface
    for hue in (*HUES, "blue"):
        assert contrast(theme.colour(ink_on(hue)), theme.colour(hue)) >= 4.5, hue
    assert contrast(theme.colour("panel"), theme.colour("alarm")) >= 4.5


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_every_theme_has_every_role(theme: Theme) -> None:
    roles = {role for other in THEMES.values() for role in other.colours}
    assert set(theme.colours) == roles


def test_thirty_spaces_differ_in_hue_or_pattern() -> None:
    looks = {(hue_of(number), pattern_of(number)) for number in range(1, 31)}
    assert len(looks) == 30


def test_the_measure_rejects_a_weak_pair() -> None:
    """Purple and grey look alike without green cones, so no two classes have these colours."""
    assert distance((0xCC, 0x79, 0xA7), (0x99, 0x99, 0x99), "deuteranopia") < 10
    assert distance((0xE6, 0x9F, 0x00), (0x56, 0xB4, 0xE9), "deuteranopia") > 40
