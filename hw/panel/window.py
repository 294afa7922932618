"""The window: it turns pygame's events into keys and clicks of a session, and paints its views.

A panel is painted again only if its draw commands have changed. While nothing happens, the window
waits for events and takes no processor time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hw.host import UserError
from hw.panel import commands
from hw.panel.keys import key_name
from hw.panel.layout import parts
from hw.panel.picture.draw import Box, Command
from hw.panel.picture.paint import Painter
from hw.panel.picture.theme import THEMES
from hw.panel.pictures import save_film, save_png
from hw.panel.polling import poll
from hw.panel.session import Session
from hw.panel.user import pointing, showing
from hw.panel.user.over import draw_over
from hw.panel.words.captions import caption

FRAMES_PER_SECOND = 60
POLL_MILLISECONDS = 100
IDLE_MILLISECONDS = 1_000
"""The longest wait for events: Python acts on a Ctrl-C only between two waits."""
MOST_PICTURES, FILM_PICTURES_PER_SECOND = 400, 2
"""Of a film: each painting of the window becomes a picture."""
REST_MILLISECONDS = 350
"""A pointer that has not moved for this long rests."""


class Window:
    """A session on the screen."""

    def __init__(
        self,
        session: Session,
        *,
        folder: Path,
        visible: bool = True,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.session = session
        self.folder = folder
        self.tell = tell
        """Gets each caption that comes up."""
        self.told = ""
        self.painter = Painter(THEMES[session.theme], window=visible)
        self.pygame = self.painter.pygame
        flags = self.pygame.RESIZABLE
        self.screen = self.pygame.display.set_mode(session.size, flags)
        self.pygame.display.set_caption(f"Vantage: {session.history.file.path.name}")
        self.pygame.key.set_repeat(350, 40)
        self.clock = self.pygame.time.Clock()
        self.painted: dict[str, list[Command]] = {}
        self.saved = 0
        self._dragging = False
        self._selecting: int | None = None
        """Where a selection on the timeline has begun."""
        self._pictures: list[Any] = []
        """The pictures of the film that is being made."""
        self._mods = 0
        """The modifiers that the last key event had; a mouse event has none."""
        key = self.pygame
        self._modifiers = (key.K_LSHIFT, key.K_RSHIFT, key.K_LCTRL, key.K_RCTRL, key.K_LALT)
        self._pointer = (0, 0)
        self._rested = True

    def run(self) -> None:
        """Show the session until it is closed."""
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
        rested = self._rest(events)
        elapsed = self.clock.tick(FRAMES_PER_SECOND if session.running else 0) / 1000
        moved = session.tick(min(elapsed, 0.2))
        grown = poll(session)
        return bool(events) or moved or grown or rested

    def _rest(self, events: list[Any]) -> bool:
        """True if the pointer has come to rest on something that has a tooltip."""
        if any(event.type == self.pygame.MOUSEMOTION for event in events):
            self._rested = self._dragging
            return False
        if self._rested or events:
            return False
        self._rested, self.session.hover = True, self._pointer
        return bool(pointing.tooltip(self.session))

    def _events(self) -> list[Any]:
        session, pygame = self.session, self.pygame
        if session.running:
            return list(pygame.event.get())
        wait = POLL_MILLISECONDS if session.awaits else IDLE_MILLISECONDS
        first = pygame.event.wait(wait if self._rested else min(wait, REST_MILLISECONDS))
        self.clock.tick()
        rest = pygame.event.get()
        return [event for event in (first, *rest) if event.type != pygame.NOEVENT]

    def handle(self, event: Any) -> None:
        """Act on an event of pygame."""
        pygame, session = self.pygame, self.session
        if event.type == pygame.QUIT:
            session.closed = True
        elif event.type == pygame.VIDEORESIZE:
            session.size = (max(640, event.w), max(360, event.h))
            self.screen = pygame.display.get_surface()
            self.painted.clear()
        elif event.type in (pygame.KEYDOWN, pygame.KEYUP):
            self._mods = event.mod
            if event.type == pygame.KEYDOWN and event.key not in self._modifiers:
                self._key(event)
        elif event.type in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP, pygame.MOUSEMOTION):
            self._mouse(event)
        elif event.type == pygame.MOUSEWHEEL:
            ctrl = bool(self._mods & pygame.KMOD_CTRL)
            commands.wheel(session, event.y, self._pointer, ctrl=ctrl)
        if session.copied:
            self._copy()
        if session.pictures > self.saved:
            self._save_picture()

    def _mouse(self, event: Any) -> None:
        """A click chooses. A drag on the timeline moves through time, and with Shift it selects.
        The other button opens the menu."""
        pygame, session = self.pygame, self.session
        self._pointer, session.hover = event.pos, None
        if event.type == pygame.MOUSEBUTTONUP:
            if self._selecting is not None:
                pointing.select(session, self._selecting, event.pos[0])
            self._dragging, self._selecting = False, None
        elif event.type == pygame.MOUSEMOTION:
            if self._dragging:
                pointing.click(session, *event.pos)
        elif event.button in (1, 3) and not commands.click_over(session, *event.pos):
            session.message = ""
            found = pointing.panel_at(session, *event.pos)
            on_timeline = found is not None and found[0] == "timeline"
            if on_timeline and self._mods & pygame.KMOD_SHIFT:
                self._selecting = event.pos[0]
                return
            pointing.click(session, *event.pos)
            self._dragging = on_timeline and event.button == 1
            if event.button == 3:
                commands.do(session, "menu")

    def _film(self) -> None:
        """Keep a picture of what was painted. When the user has ended the film, save it."""
        from PIL import Image

        if self.session.filming and len(self._pictures) < MOST_PICTURES:
            pixels = self.pygame.image.tobytes(self.screen, "RGB")
            self._pictures.append(Image.frombytes("RGB", self.screen.get_size(), pixels))
        elif self._pictures:
            self.session.filming, pictures, self._pictures = False, self._pictures, []
            path = self.folder / f"vantage-{self.session.history.position}.gif"
            same = [p for p in pictures if p.size == pictures[0].size]
            try:
                count = save_film(same, FILM_PICTURES_PER_SECOND, path)
                self.session.message = f"saved {path}, {count} pictures"
            except UserError as error:
                self.session.message = str(error)

    def _copy(self) -> None:
        """Copy to the clipboard, where there is one."""
        text, self.session.copied = self.session.copied, ""
        try:
            self.pygame.scrap.put_text(text)
        except (self.pygame.error, AttributeError):
            self.session.message = f"there is no clipboard here for {text}"

    def _key(self, event: Any) -> None:
        pygame = self.pygame
        name = key_name(
            pygame.key.name(event.key),
            event.unicode,
            shift=bool(event.mod & pygame.KMOD_SHIFT),
            ctrl=bool(event.mod & pygame.KMOD_CTRL),
            alt=bool(event.mod & pygame.KMOD_ALT),
        )
        commands.press(self.session, name, event.unicode)

    def paint(self) -> None:
        """Bring the screen up to date."""
        session = self.session
        theme = THEMES[session.theme]
        if self.painter.theme is not theme:
            self.painter = Painter(theme, window=True)
            self.painted.clear()
        view = showing.view(session)
        self._tell(caption(view.moment))
        fresh = parts(view, *session.size)
        over = draw_over(session)
        if over or "over" in self.painted or fresh.keys() != self.painted.keys():
            self.painted.clear()
            self.painter.paint(self.screen, [Box(0, 0, *session.size, "paper")])
        for name, drawn in fresh.items():
            if self.painted.get(name) != drawn:
                self.painter.paint(self.screen, drawn)
        self.painted = fresh
        if over:
            self.painter.paint(self.screen, over)
            self.painted["over"] = over
        if self.session.filming or self._pictures:
            self._film()
        self.pygame.display.flip()

    def _tell(self, sentence: str) -> None:
        if self.tell is not None and sentence != self.told:
            self.tell(sentence)
            self.told = sentence

    def _save_picture(self) -> None:
        self.saved = self.session.pictures
        view = showing.view(self.session)
        path = self.folder / f"vantage-{view.moment.position}.png"
        try:
            save_png(view, self.session.size, THEMES[self.session.theme], path)
            self.session.message = f"saved {path}"
        except UserError as error:
            self.session.message = str(error)
