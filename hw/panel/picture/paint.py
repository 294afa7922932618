"""The painter: it carries out draw commands on a pygame surface, a window or a picture.

The drivers are chosen before pygame is imported: a picture needs no display.
"""

from __future__ import annotations

import os
from importlib.resources import files
from typing import Any

from hw.panel.picture.draw import Box, Cells, Command, Line, Mark, Text
from hw.panel.picture.theme import Theme

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
TEXTS_KEPT = 6000
STRIDE = {"diagonal": 6, "dots": 5, "cross": 7, "rows": 4}
"""Pixels between the strokes of a pattern."""
INVISIBLE = ("dummy", "offscreen")
"""The drivers that SDL falls back to if it cannot reach the display."""


def start_pygame(*, window: bool) -> Any:
    """Start pygame's display and fonts. Without `window`, the host needs no display."""
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    if not window:
        os.environ["SDL_VIDEODRIVER"] = "dummy"
    import pygame

    pygame.display.init()
    pygame.font.init()
    driver = pygame.display.get_driver()
    if window and driver in INVISIBLE and driver != os.environ.get("SDL_VIDEODRIVER"):
        raise pygame.error(f"only the driver {driver}, which shows nothing, could start")
    return pygame


class Painter:
    """Paints in one theme. It keeps rendered text, since most of it is painted again."""

    def __init__(self, theme: Theme, *, window: bool = False) -> None:
        self.pygame = start_pygame(window=window)
        self.theme = theme
        self._fonts: dict[tuple[int, bool], Any] = {}
        self._texts: dict[tuple[str, str, str, int, bool], Any] = {}

    def font(self, size: int, bold: bool) -> Any:
        if (size, bold) not in self._fonts:
            name = f"IBMPlexMono-{'SemiBold' if bold else 'Regular'}.ttf"
            path = files("fontpkg_ibm_plex_mono") / "files" / name
            self._fonts[size, bold] = self.pygame.font.Font(path, size)
        return self._fonts[size, bold]

    def surface(self, width: int, height: int) -> Any:
        """A new surface that is in no window."""
        return self.pygame.Surface((width, height))

    def paint(self, surface: Any, commands: list[Command]) -> None:
        """Carry out the commands in order; neighbouring texts are drawn in one call."""
        texts: list[tuple[Any, tuple[int, int]]] = []
        for command in commands:
            if isinstance(command, Text):
                texts.append((self._render(command), (command.x, command.y)))
                continue
            if texts:
                surface.fblits(texts)
                texts = []
            self._shape(surface, command)
        surface.fblits(texts)

    def _render(self, text: Text) -> Any:
        key = (text.text, text.ink, text.paper, text.size, text.bold)
        found = self._texts.get(key)
        if found is None:
            if len(self._texts) >= TEXTS_KEPT:
                self._texts.clear()
            font, colour = self.font(text.size, text.bold), self.theme.colour
            found = font.render(text.text, True, colour(text.ink), colour(text.paper))
            self._texts[key] = found
        return found

    def _shape(self, surface: Any, command: Command) -> None:
        if isinstance(command, Box):
            self._box(surface, command)
        elif isinstance(command, Line):
            self._line(surface, command)
        elif isinstance(command, Mark):
            self._mark(surface, command)
        elif isinstance(command, Cells):
            self._cells(surface, command)

    def _box(self, surface: Any, box: Box) -> None:
        rect = self.pygame.Rect(box.x, box.y, box.w, box.h)
        if box.fill:
            surface.fill(self.theme.colour(box.fill), rect)
        if box.pattern:
            self._pattern(surface, rect, box.pattern, self.theme.colour(box.ink or "edge"))
        if box.outline:
            colour = self.theme.colour(box.outline)
            self.pygame.draw.rect(surface, colour, rect, box.width)

    def _pattern(self, surface: Any, rect: Any, pattern: str, colour: Any) -> None:
        draw, step = self.pygame.draw, STRIDE[pattern]
        before = surface.get_clip()
        surface.set_clip(rect.clip(before))
        if pattern == "rows":
            for y in range(rect.top + 2, rect.bottom, step):
                draw.line(surface, colour, (rect.left, y), (rect.right, y))
        elif pattern == "dots":
            for y in range(rect.top + 2, rect.bottom, step):
                for x in range(rect.left + 2, rect.right, step):
                    surface.fill(colour, (x, y, 2, 2))
        else:
            for x in range(rect.left - rect.height, rect.right, step):
                draw.line(surface, colour, (x, rect.bottom), (x + rect.height, rect.top))
                if pattern == "cross":
                    draw.line(surface, colour, (x, rect.top), (x + rect.height, rect.bottom))
        surface.set_clip(before)

    def _line(self, surface: Any, line: Line) -> None:
        colour, width = self.theme.colour(line.ink), line.width
        if not line.dash:
            self.pygame.draw.line(surface, colour, (line.x1, line.y1), (line.x2, line.y2), width)
            return
        dx, dy = line.x2 - line.x1, line.y2 - line.y1
        length = max(1.0, (dx * dx + dy * dy) ** 0.5)
        for at in range(0, int(length), 2 * line.dash):
            one, two = at / length, min(1.0, (at + line.dash) / length)
            start = (line.x1 + dx * one, line.y1 + dy * one)
            end = (line.x1 + dx * two, line.y1 + dy * two)
            self.pygame.draw.line(surface, colour, start, end, width)

    def _mark(self, surface: Any, mark: Mark) -> None:
        draw, colour = self.pygame.draw, self.theme.colour(mark.ink)
        x, y, r = mark.x, mark.y, mark.size
        if mark.shape == "triangle":
            draw.polygon(surface, colour, [(x, y - r), (x + r, y + r), (x - r, y + r)])
        elif mark.shape == "diamond":
            draw.polygon(surface, colour, [(x, y - r), (x + r, y), (x, y + r), (x - r, y)])
        elif mark.shape == "square":
            draw.rect(surface, colour, (x - r, y - r, 2 * r, 2 * r))
        elif mark.shape == "circle":
            draw.circle(surface, colour, (x, y), r)
        elif mark.shape == "cross":
            draw.line(surface, colour, (x - r, y - r), (x + r, y + r), 2)
            draw.line(surface, colour, (x - r, y + r), (x + r, y - r), 2)
        else:
            draw.line(surface, colour, (x, y - r), (x, y + r))

    def _cells(self, surface: Any, cells: Cells) -> None:
        """A picture of one pixel a cell, scaled up: that is fast for any number of cells."""
        import numpy

        rows = -(-len(cells.codes) // cells.columns)
        codes = numpy.zeros(rows * cells.columns, numpy.uint8)
        codes[: len(cells.codes)] = numpy.frombuffer(cells.codes, numpy.uint8)
        colours = numpy.array([self.theme.colour(role) for role in cells.palette], numpy.uint8)
        pixels = colours[codes].reshape(rows, cells.columns, 3).swapaxes(0, 1)
        small = self.pygame.surfarray.make_surface(pixels)
        size = (cells.columns * cells.cell, rows * cells.cell)
        picture = self.pygame.transform.scale(small, size)
        surface.blit(picture, (cells.x, cells.y))
        if cells.cell >= 5:
            gap = self.theme.colour("panel")
            for column in range(1, cells.columns):
                x = cells.x + column * cells.cell - 1
                surface.fill(gap, (x, cells.y, 1, size[1]))
            for row in range(1, rows):
                surface.fill(gap, (cells.x, cells.y + row * cells.cell - 1, size[0], 1))
