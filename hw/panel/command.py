"""`run.py panel shot|text|gif|captions|check|replay FILE`: the commands that show a trace."""

from __future__ import annotations

import argparse
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from hw.host import UserError, die_with_parent, printable, wait_a_little
from hw.panel.layout import PANELS, describe
from hw.panel.model.history import LIVE_CAP, History
from hw.panel.model.moment import View
from hw.panel.model.places import SORT_NAMES, position_of
from hw.panel.model.tracks import SORTS
from hw.panel.picture.theme import THEMES
from hw.panel.pictures import save_gif, save_png, view_of
from hw.panel.session import Session
from hw.panel.user.scenes import read_scenes, show_scene
from hw.panel.verbs import SAY
from hw.panel.window import Window
from hw.panel.words import narrator
from hw.trace import UNSOUND, TraceError

EXAMPLES = """\
  run.py panel PROGRAM [ARGUMENT...]               live, beside a program that is started

examples:
  run.py panel threads                             live; Space runs and pauses it
  run.py panel replay t.vtrace                     a recorded trace; ? shows the keys
  run.py panel shot t.vtrace --at 50% -o x.png     a picture, 1280x720
  run.py panel shot t.vtrace --at fault:3 --panel walk --zoom --theme light -o x.png
  run.py panel text t.vtrace --at switch:2         the same as text
  run.py panel gif t.vtrace --from fault:1 --to fault:9 --by fault -o x.gif
  run.py panel captions t.vtrace                   what happened, a sentence for each event
  run.py panel check t.vtrace                      is it whole, and what is its digest

a place is a number of records, 50%, start, end, or fault:3, switch:-1 (the last), call:7
"""
MOST_PICTURES = 400
PATIENCE_TENTHS = 300


def main(argv: list[str]) -> int:
    """Run a command that takes a file; returns the exit status.  Raises `UserError`."""
    options = _parser().parse_args(argv)
    if options.command == "replay" and options.live:
        return _live(options)
    with opened(options.file) as history:
        status = int(COMMANDS[options.command](history, options))
        if options.command in TELLING and not history.file.complete:
            words = f"{history.scanned:,} records, then the recording was cut off"
            print(printable(f"{options.file}: {words}"), file=sys.stderr)
        return status


@contextmanager
def opened(path: Path) -> Iterator[History]:
    """The history of a file, wholly scanned. Raises `UserError` if the file is no whole trace."""
    try:
        history = History(path)
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}", "record one: run.py exec --trace"
        ) from error
    except TraceError as error:
        raise UserError(str(error), "record one with run.py exec --trace FILE PROGRAM") from error
    except UNSOUND as error:
        raise UserError(f"{path} is damaged: its header lies", "record it again") from error
    try:
        _scan(history)
        yield history
    except TraceError as error:
        raise UserError(str(error), "record it again") from error
    finally:
        history.close()


def _scan(history: History) -> None:
    try:
        history.scan_all()
    except UNSOUND as error:
        raise TraceError(f"{history.file.path} is damaged: its records make no sense") from error


def _shot(history: History, options: argparse.Namespace) -> int:
    history.seek(position_of(history, options.at))
    save_png(_view(history, options), options.size, THEMES[options.theme], options.output)
    return 0


def _text(history: History, options: argparse.Namespace) -> int:
    history.seek(position_of(history, options.at))
    for line in describe(_view(history, options), [options.panel] if options.panel else None):
        print(printable(line))
    return 0


def _gif(history: History, options: argparse.Namespace) -> int:
    first, last = position_of(history, options.first), position_of(history, options.last)
    marks = history.tracks.marks[SORT_NAMES.get(options.by, options.by)]
    stops = [n + 1 for n in marks[bisect_left(marks, first - 1) : bisect_left(marks, last)]]
    if not 0 < len(stops) <= MOST_PICTURES:
        raise UserError(
            f"a film of {len(stops):,} pictures",
            f"choose --from, --to and --by for 1 to {MOST_PICTURES}",
        )

    def views() -> Iterator[View]:
        for stop in stops:
            history.seek(stop)
            yield _view(history, options)

    count = save_gif(views(), options.size, THEMES[options.theme], options.fps, options.output)
    print(printable(f"{options.output}: {count} pictures"))
    return 0


def _captions(history: History, options: argparse.Namespace) -> int:
    first, last = position_of(history, options.first), position_of(history, options.last)
    for position in narrator.events(history, max(0, first - 1), last):
        history.seek(position)
        print(printable(narrator.sentence(history)))
    return 0


def _check(history: History, options: argparse.Namespace) -> int:
    """Print whether the trace is whole and what its digest is. Folding from the start and seeking
    to the end must lead to the same state."""
    history.seek(history.scanned)
    there = [dict(shelf) for shelf in history.state.shelves]
    history.seek(0)
    while history.forward():
        pass
    same = there == history.state.shelves
    print(printable(f"{options.file}: {history.scanned:,} records"))
    print(f"  digest   {history.digest or 'none: the recording was cut off'}")
    print(f"  the state at its end is {'the same' if same else 'NOT the same'} folded and sought")
    return 0 if same and history.file.complete else 1


def _view(history: History, options: argparse.Namespace) -> View:
    chosen = {"zoomed": options.zoom, "projector": options.projector, "mode": "REPLAY"}
    if options.panel:
        chosen["chosen"] = options.panel
    view = view_of(history, **chosen)
    if options.va is not None:
        view.focus.va = options.va
    return view


def _replay(history: History, options: argparse.Namespace) -> int:
    history.seek(position_of(history, options.at))
    session = Session(
        history,
        size=options.size,
        theme=options.theme,
        projector=options.projector,
        zoomed=options.zoom,
        chosen=options.panel or "walk",
        scenes=read_scenes(options.scenes) if options.scenes else [],
    )
    show_scene(session, 1)
    open_window(session, print_now if options.captions else None)
    return 0


def print_now(*words: str) -> None:
    """Print a line and flush it at once."""
    print(printable(" ".join(words)), flush=True)


def _live(options: argparse.Namespace) -> int:
    """Follow a trace that is being recorded. What the user asks of the machine goes to standard
    output: the machine's process reads it there. If that is killed, the panel goes too."""
    die_with_parent()
    history = _begun(options.file)
    if options.history is not None:
        history.cap = replace(LIVE_CAP, most_records=options.history)
    try:
        session = Session(history, size=options.size, theme=options.theme, live=True)
        session.send = print_now
        session.machine_paused = options.paused
        open_window(session, partial(print_now, SAY) if options.captions else None)
    finally:
        history.close()
    return 0


def _begun(path: Path) -> History:
    """The history of a recording that is about to begin. Raises `UserError` if none does."""
    for _ in range(PATIENCE_TENTHS):
        try:
            return History(path, cap=LIVE_CAP)
        except (OSError, TraceError):
            wait_a_little()
    raise UserError(f"no recording begins at {path}", "start it with run.py panel PROGRAM")


def open_window(session: Session, tell: Callable[[str], None] | None = None) -> None:
    """Show a session until the user closes it; `tell` gets each caption that comes up.

    Raises `UserError` where there is no display.
    """
    import pygame

    try:
        window = Window(session, folder=Path.cwd(), tell=tell)
    except pygame.error as error:
        raise UserError(
            f"there is no display to open a window on ({error})",
            "use run.py panel shot, gif or text, which need none",
        ) from error
    window.run()


TELLING = ("shot", "text", "gif", "captions")
"""Commands whose reader must learn that the trace is cut."""
COMMANDS = {"replay": _replay, "shot": _shot, "text": _text, "gif": _gif}
COMMANDS |= {"captions": _captions, "check": _check}


def size_of(text: str) -> tuple[int, int]:
    """`1280x720` as (1280, 720)."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdigit() and height.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, such as 1280x720")
    if not (640 <= int(width) <= 7680 and 360 <= int(height) <= 4320):
        raise argparse.ArgumentTypeError("a picture has 640x360 to 7680x4320 pixels")
    return int(width), int(height)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py panel",
        description="Look at a recorded trace.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, words in (
        ("replay", "a window: forwards and backwards through all of it"),
        ("shot", "a picture of one moment"),
        ("text", "one moment in words"),
        ("gif", "a film from one moment to another"),
        ("captions", "what happened, a sentence for each event"),
        ("check", "whether the file is whole, and its digest"),
    ):
        part = commands.add_parser(name, help=words, description=words)
        part.add_argument("file", type=Path, help="a trace")
        if name not in ("captions", "check"):
            _add_looks(part)
        if name in ("shot", "text", "replay"):
            usual = "start" if name == "replay" else "50%"
            words = f"when (default {usual})".replace("%", "%%")
            part.add_argument("--at", default=usual, metavar="PLACE", help=words)
        if name in ("shot", "gif"):
            part.add_argument("-o", dest="output", type=Path, required=True, metavar="FILE")
    replay = commands.choices["replay"]
    replay.add_argument(
        "--scenes", type=Path, metavar="FILE", help="PageDown goes through these moments"
    )
    replay.add_argument("--live", action="store_true", help="the file is still being written")
    replay.add_argument("--paused", action="store_true", help="with --live: the machine waits")
    replay.add_argument("--history", type=int, help="with --live: so many records are kept")
    replay.add_argument("--captions", action="store_true", help="print each caption that comes up")
    for name in ("gif", "captions"):
        stretch = commands.choices[name]
        stretch.add_argument("--from", dest="first", default="start", metavar="PLACE")
        stretch.add_argument("--to", dest="last", default="end", metavar="PLACE")
    film = commands.choices["gif"]
    film.add_argument(
        "--by",
        default="event",
        choices=sorted([*SORTS, *SORT_NAMES]),
        help="a picture for each (default: event)",
    )
    film.add_argument("--fps", type=float, default=2, help="pictures a second (default 2)")
    return parser


def _add_looks(part: argparse.ArgumentParser) -> None:
    part.add_argument("--panel", choices=sorted(PANELS), help="the panel in view")
    part.add_argument("--zoom", action="store_true", help="only that one, on the whole window")
    part.add_argument("--projector", action="store_true", help="large text, two panels")
    part.add_argument("--theme", choices=sorted(THEMES), default="dark")
    part.add_argument("--size", type=size_of, default=(1280, 720), metavar="WxH")
    part.add_argument(
        "--va", type=lambda text: int(text, 0), metavar="ADDRESS", help="the address in view"
    )
