"""The window: pygame's events become keys and clicks of a session, and its views are painted.

Only panels whose draw commands have changed are painted again; while nothing happens the window
waits for events and takes no time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hw.panel import inside
from hw.panel.draw import Box, Command
from hw.panel.keys import key_name
from hw.panel.layout import parts
from hw.panel.paint import Painter
from hw.panel.pictures import save_png
from hw.panel.session import Session
from hw.panel.theme import THEMES

FRAMES_PER_SECOND = 30
POLL_MILLISECONDS = 100
IDLE_MILLISECONDS = 60_000


class Window:
    """A session on the screen."""

    def __init__(self, session: Session, *, folder: Path, visible: bool = True) -> None:
        self.session = session
        self.folder = folder
        self.painter = Painter(THEMES[session.theme], window=visible)
        self.pygame = self.painter.pygame
        flags = self.pygame.RESIZABLE
        self.screen = self.pygame.display.set_mode(session.size, flags)
        self.pygame.display.set_caption(f"Vantage: {session.history.file.path.name}")
        self.pygame.key.set_repeat(350, 40)
        self.clock = self.pygame.time.Clock()
        self.painted: dict[str, list[Command]] = {}
        self.redrawn = 0
        """How many panels have been painted since the start."""
        self.saved = 0
        self._dragging = False

    def run(self) -> None:
        """Until the session is closed."""
        self.paint()
        while not self.session.closed:
            if self.turn():
                self.paint()
        self.pygame.display.quit()

    def turn(self) -> bool:
        """Wait for events, or for the next frame, and act on them; True if something happened."""
        session = self.session
        events = self._events()
        for event in events:
            self.handle(event)
        elapsed = self.clock.tick(FRAMES_PER_SECOND if session.running else 0) / 1000
        moved = session.tick(min(elapsed, 0.2))
        grown = session.poll()
        return bool(events) or moved or grown

    def _events(self) -> list[Any]:
        session, pygame = self.session, self.pygame
        if session.running:
            return list(pygame.event.get())
        wait = POLL_MILLISECONDS if session.awaits else IDLE_MILLISECONDS
        first = pygame.event.wait(wait)
        self.clock.tick()
        rest = pygame.event.get()
        return [event for event in (first, *rest) if event.type != pygame.NOEVENT]

    def handle(self, event: Any) -> None:
        """One event of pygame."""
        pygame, session = self.pygame, self.session
        if event.type == pygame.QUIT:
            session.closed = True
        elif event.type == pygame.VIDEORESIZE:
            session.size = (max(640, event.w), max(360, event.h))
            self.screen = pygame.display.get_surface()
            self.painted.clear()
        elif event.type == pygame.KEYDOWN:
            self._key(event)
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == 1:
            session.message = ""
            inside.click(session, *event.pos)
            found = inside.panel_at(session, *event.pos)
            self._dragging = found is not None and found[0] == "timeline"
        elif event.type == pygame.MOUSEBUTTONUP:
            self._dragging = False
        elif event.type == pygame.MOUSEMOTION and self._dragging:
            inside.click(session, *event.pos)
        elif event.type == pygame.MOUSEWHEEL:
            session.do("left" if event.y > 0 else "right")
        if session.pictures > self.saved:
            self._save_picture()

    def _key(self, event: Any) -> None:
        pygame = self.pygame
        name = key_name(
            pygame.key.name(event.key),
            event.unicode,
            shift=bool(event.mod & pygame.KMOD_SHIFT),
            ctrl=bool(event.mod & pygame.KMOD_CTRL),
            alt=bool(event.mod & pygame.KMOD_ALT),
        )
        self.session.press(name, event.unicode)

    def paint(self) -> None:
        """Bring the screen up to date."""
        session = self.session
        theme = THEMES[session.theme]
        if self.painter.theme is not theme:
            self.painter = Painter(theme, window=True)
            self.painted.clear()
        fresh = parts(session.view(), *session.size)
        over = session.over_commands()
        if over or "over" in self.painted or fresh.keys() != self.painted.keys():
            self.painted.clear()
            self.painter.paint(self.screen, [Box(0, 0, *session.size, "paper")])
        for name, commands in fresh.items():
            if self.painted.get(name) != commands:
                self.painter.paint(self.screen, commands)
                self.redrawn += 1
        self.painted = fresh
        if over:
            self.painter.paint(self.screen, over)
            self.painted["over"] = over
        self.pygame.display.flip()

    def _save_picture(self) -> None:
        self.saved = self.session.pictures
        view = self.session.view()
        path = self.folder / f"vantage-{view.moment.position}.png"
        save_png(view, self.session.size, THEMES[self.session.theme], path)
        self.session.message = f"saved {path}"
