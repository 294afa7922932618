"""Pictures of a trace without a window: PNG, GIF and text."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from hw.files import write_whole
from hw.panel.layout import compose
from hw.panel.model.history import History
from hw.panel.model.moment import View, moment_of
from hw.panel.picture.paint import Painter
from hw.panel.picture.theme import Theme

GIF_COLOURS = 128


def view_of(history: History, **chosen: Any) -> View:
    """The view of a history at its position. `chosen` sets fields of the view."""
    view = View(moment_of(history), source=history.file.path.name, digest=history.digest)
    for name, value in chosen.items():
        setattr(view, name, value)
    return view


def picture(view: View, size: tuple[int, int], painter: Painter) -> Any:
    """A Pillow image of the whole window."""
    from PIL import Image

    surface = painter.surface(*size)
    painter.paint(surface, compose(view, *size))
    return Image.frombytes("RGB", size, painter.pygame.image.tobytes(surface, "RGB"))


def save_png(view: View, size: tuple[int, int], theme: Theme, path: Path) -> None:
    """Save one picture. Its PNG text names the trace, the record and the modelled cycles.

    The file is whole, or as it was: then this raises `UserError`.
    """
    from PIL.PngImagePlugin import PngInfo

    about = PngInfo()
    about.add_text("Trace", view.digest or "unfinished")
    about.add_text("Record", f"{view.moment.position} of {view.moment.total}")
    about.add_text("Modelled cycles", str(view.moment.cycles))
    data = BytesIO()
    picture(view, size, Painter(theme)).save(data, "PNG", pnginfo=about, optimize=True)
    write_whole(path, data.getvalue())


def save_gif(
    views: Iterable[View], size: tuple[int, int], theme: Theme, frames_per_second: float, path: Path
) -> int:
    """Save a film of views; returns how many pictures it has."""
    painter = Painter(theme)
    return save_film([picture(view, size, painter) for view in views], frames_per_second, path)


def save_film(pictures: list[Any], frames_per_second: float, path: Path) -> int:
    """Save a film, with one palette and no dithering; returns how many pictures it has."""
    from PIL import Image

    palette = pictures[len(pictures) // 2].quantize(GIF_COLOURS, dither=Image.Dither.NONE)
    frames = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    data = BytesIO()
    frames[0].save(
        data,
        "GIF",
        save_all=True,
        append_images=frames[1:],
        duration=max(20, round(100 / frames_per_second) * 10),
        loop=0,
        disposal=1,
        optimize=False,
    )
    write_whole(path, data.getvalue())
    return len(frames)
