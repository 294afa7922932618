"""The line discipline of a terminal: it stands between the keys and a program's read (termios(3)).

It works on bytes alone: it makes lines, echo and signals of keys, and it processes output.  Where
POSIX leaves a choice, it does what Linux's N_TTY does (drivers/tty/n_tty.c).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from kernel.servers import termios
from kernel.servers.termios import Settings

MAX_LINE_BYTES = 4095
TAB_COLUMNS = 8
SIGINT, SIGQUIT, SIGTSTP = 2, 3, 20
NEWLINE, RETURN, TAB, BACKSPACE, BELL = 10, 13, 9, 8, 7
RUB_OUT = b"\b \b"


@dataclass(slots=True)
class Discipline:
    """`lines` are complete and wait for a read; an empty one is an end of file.  `line` is the one
    that the user still edits.

    Outside canonical mode `lines` holds all input, and its division into pieces means nothing.
    """

    settings: Settings = field(default_factory=Settings)
    lines: list[bytes] = field(default_factory=list)
    line: bytearray = field(default_factory=bytearray)
    literal: bool = False
    """The next key stands for itself (LNEXT)."""
    held: bool = False
    """STOP was typed: output waits for START."""
    column: int = 0
    """Where the cursor is."""
    start: int = 0
    """The column in which the edited line began."""

    # Settings ---------------------------------------------------------------------------------

    def set(self, settings: Settings) -> None:
        """Change the settings; input that was typed before stays readable."""
        was_canonical, self.settings = self._has(termios.ICANON), settings
        if was_canonical and not self._has(termios.ICANON) and self.line:
            self.lines.append(bytes(self.line))
            self.line.clear()
        if not settings.input & termios.IXON:
            self.held = False

    def flush_input(self) -> None:
        """Forget the input that no program has read."""
        self.lines.clear()
        self.line.clear()
        self.literal = False

    def _has(self, flag: int) -> bool:
        return self.settings.local & flag != 0

    # Input ------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> tuple[bytes, list[int]]:
        """Take keys; returns the bytes to show for them, and the signals that they send."""
        echo, signals = bytearray(), list[int]()
        for byte in data:
            shown, signal = self._key(byte)
            echo += shown
            if signal:
                signals.append(signal)
        return bytes(echo), signals

    def _key(self, byte: int) -> tuple[bytes, int]:
        flags = self.settings.input
        if flags & termios.ISTRIP:
            byte &= 0x7F
        if self.literal:
            self.literal = False
            return self._insert(byte), 0
        if flags & termios.IXON:
            if self.settings.is_character(byte, termios.START):
                self.held = False
                return b"", 0
            if self.settings.is_character(byte, termios.STOP):
                self.held = True
                return b"", 0
            if flags & termios.IXANY:
                self.held = False
        if self._has(termios.ISIG) and (signal := self._signal_of(byte)):
            self.held = False
            if not self._has(termios.NOFLSH):
                self.flush_input()
            return self._echo(byte), signal
        if byte == RETURN:
            if flags & termios.IGNCR:
                return b"", 0
            if flags & termios.ICRNL:
                return self._newline(), 0
        elif byte == NEWLINE and flags & termios.INLCR:
            byte = RETURN
        return (self._edit(byte) if self._has(termios.ICANON) else self._insert(byte)), 0

    def _newline(self) -> bytes:
        """RETURN as a newline: the screen shows the new line, and not ^M."""
        if self._has(termios.ICANON):
            return self._edit(NEWLINE)
        shown = self._insert(NEWLINE)
        return self.process(b"\n") if self._has(termios.ECHO) and shown else shown

    def _signal_of(self, byte: int) -> int:
        for which, signal in (
            (termios.INTR, SIGINT),
            (termios.QUIT, SIGQUIT),
            (termios.SUSP, SIGTSTP),
        ):
            if self.settings.is_character(byte, which):
                return signal
        return 0

    def _edit(self, byte: int) -> bytes:
        """A key in canonical mode."""
        means = self.settings.is_character
        extended = self._has(termios.IEXTEN)
        erases: Callable[[int], bytes] | None = None
        if means(byte, termios.ERASE):
            erases = self._erase_character
        elif means(byte, termios.KILL):
            erases = self._kill
        elif extended and means(byte, termios.WERASE):
            erases = self._erase_word
        if erases is not None:
            return erases(byte) if self.line else b""
        return self._type(byte, extended=extended)

    def _type(self, byte: int, *, extended: bool) -> bytes:
        """A key in canonical mode that erases nothing."""
        means = self.settings.is_character
        if extended and means(byte, termios.LNEXT):
            self.literal = True
            return b"^\b" if self._has(termios.ECHO) and self._has(termios.ECHOCTL) else b""
        if extended and means(byte, termios.REPRINT) and self._has(termios.ECHO):
            return self._reprint(byte)
        if byte == NEWLINE:
            shown = self._has(termios.ECHO) or self._has(termios.ECHONL)
            self._finish(bytes((byte,)))
            return self.process(b"\n") if shown else b""
        if means(byte, termios.EOF):
            self._finish(b"")
            return b""
        ends = means(byte, termios.EOL) or (extended and means(byte, termios.EOL2))
        shown_text = self._echo(byte) if ends else b""
        if ends:
            self._finish(bytes((byte,)))
            return shown_text
        return self._insert(byte)

    def _finish(self, end: bytes) -> None:
        self.lines.append(bytes(self.line) + end)
        self.line.clear()

    def _insert(self, byte: int) -> bytes:
        """A key that stands for itself."""
        if not self._has(termios.ICANON):
            if self.waiting() >= MAX_LINE_BYTES:
                return self._full()
            self.lines.append(bytes((byte,)))
            return self._echo(byte)
        if len(self.line) >= MAX_LINE_BYTES:
            return self._full()
        if not self.line:
            self.start = self.column
        self.line.append(byte)
        return self._echo(byte)

    def _full(self) -> bytes:
        return bytes((BELL,)) if self.settings.input & termios.IMAXBEL else b""

    # Editing ----------------------------------------------------------------------------------

    def _erase_character(self, byte: int) -> bytes:
        at = self._last_character(len(self.line))
        if at == len(self.line):
            return b""
        if self._has(termios.ECHO) and not self._has(termios.ECHOE):
            del self.line[at:]
            return self._echo(byte)
        return self._cut(at)

    def _last_character(self, end: int) -> int:
        """Where the character before `end` begins; in UTF-8 it may have several bytes.

        `end` itself if there is none: a lone continuation byte is no character.
        """
        if not self.settings.input & termios.IUTF8:
            return max(0, end - 1)
        at = end - 1
        while at >= 0 and self.line[at] & 0xC0 == 0x80:
            at -= 1
        return at if at >= 0 else end

    def _erase_word(self, _byte: int) -> bytes:
        """Erase back to the start of a word (letters, digits and _), and what follows the word."""
        at, seen = len(self.line), False
        while at > 0:
            begin = self._last_character(at)
            if begin == at:
                break
            inside = _is_in_word(self.line[begin])
            if seen and not inside:
                break
            seen, at = seen or inside, begin
        return self._cut(at)

    def _kill(self, byte: int) -> bytes:
        if self._has(termios.ECHOKE) and self._has(termios.ECHOE) and self._has(termios.ECHOK):
            return self._cut(0)
        self.line.clear()
        if not self._has(termios.ECHO):
            return b""
        return self._echo(byte) + (self.process(b"\n") if self._has(termios.ECHOK) else b"")

    def _cut(self, at: int) -> bytes:
        """Remove the line from `at` on, also from the screen."""
        if not self._has(termios.ECHO):
            del self.line[at:]
            return b""
        shown = bytearray()
        while len(self.line) > at:
            begin = self._last_character(len(self.line))
            if begin == len(self.line):
                break
            shown += self._rub_out(begin)
        return bytes(shown)

    def _rub_out(self, begin: int) -> bytes:
        """Remove the last character, which starts at `begin`, also from the screen."""
        first = self.line[begin]
        after = self._columns(begin)
        before = self._columns(len(self.line))
        del self.line[begin:]
        self.column = max(0, self.column - (before - after))
        if first == TAB:
            return b"\b" * (before - after)
        return RUB_OUT * (before - after)

    def _columns(self, end: int) -> int:
        """The column behind the first `end` bytes of the line."""
        column = self.start
        for byte in self.line[:end]:
            column += self._width(byte, column)
        return column

    def _width(self, byte: int, column: int) -> int:
        if byte == TAB:
            return TAB_COLUMNS - column % TAB_COLUMNS
        if byte < 32 or byte == 127:
            return 2 if self._has(termios.ECHOCTL) else 0
        continues = byte & 0xC0 == 0x80 and self.settings.input & termios.IUTF8
        return 0 if continues else 1

    def _reprint(self, byte: int) -> bytes:
        shown = self._echo(byte) + self.process(b"\n")
        self.start = self.column
        return shown + b"".join([self._echo(each) for each in self.line])

    def _echo(self, byte: int) -> bytes:
        """What the screen shows for a key: ^X for a control character, under ECHOCTL."""
        if not self._has(termios.ECHO):
            return b""
        control = byte < 32 or byte == 127
        if control and byte != TAB and self._has(termios.ECHOCTL):
            self.column += 2
            return bytes((ord("^"), byte ^ 0x40))
        return self.process(bytes((byte,)))

    # Output -----------------------------------------------------------------------------------

    def process(self, data: bytes) -> bytes:
        """The bytes that go to the screen for a program's output."""
        out = bytearray()
        for byte in data:
            out += self._put(byte)
        return bytes(out)

    def _put(self, byte: int) -> bytes:
        flags = self.settings.output
        if not flags & termios.OPOST:
            return bytes((byte,))
        if byte == NEWLINE:
            if flags & termios.ONLCR:
                self.column = 0
                return b"\r\n"
            if flags & termios.ONLRET:
                self.column = 0
        elif byte == RETURN:
            if flags & termios.ONOCR and self.column == 0:
                return b""
            if flags & termios.OCRNL:
                if flags & termios.ONLRET:
                    self.column = 0
                return b"\n"
            self.column = 0
        elif byte == TAB:
            width = TAB_COLUMNS - self.column % TAB_COLUMNS
            self.column += width
            if flags & termios.XTABS == termios.XTABS:
                return b" " * width
        elif byte == BACKSPACE:
            self.column = max(0, self.column - 1)
        elif byte >= 32 and byte != 127:
            continues = byte & 0xC0 == 0x80 and self.settings.input & termios.IUTF8
            self.column += 0 if continues else 1
        return bytes((byte,))

    # Reading ----------------------------------------------------------------------------------

    def waiting(self) -> int:
        """How many bytes a read could get (FIONREAD)."""
        return sum(map(len, self.lines))

    def has_input(self) -> bool:
        """Is there anything to read?"""
        return bool(self.lines)

    def enough(self, count: int) -> bool:
        """Is there enough for a read of `count` bytes, without regard to VTIME?"""
        if self._has(termios.ICANON):
            return bool(self.lines)
        minimum = self.settings.characters[termios.MIN]
        if not minimum:
            return bool(self.waiting()) or not self.settings.characters[termios.TIME]
        return self.waiting() >= min(minimum, count)

    def read(self, count: int) -> bytes:
        """Take at most `count` bytes, in canonical mode of one line only."""
        if self._has(termios.ICANON):
            return self._take_line(count) if self.lines else b""
        data = b"".join(self.lines)
        self.lines = [data[count:]] if data[count:] else []
        return data[:count]

    def _take_line(self, count: int) -> bytes:
        line = self.lines.pop(0)
        if len(line) > count:
            self.lines.insert(0, line[count:])
        return line[:count]


def _is_in_word(byte: int) -> bool:
    """A letter or a digit of Latin-1, or _, as in Linux's ctype table."""
    if byte < 0x80:
        return chr(byte).isalnum() or byte == ord("_")
    return byte >= 0xC0 and byte not in (0xD7, 0xF7)
