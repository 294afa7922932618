"""The settings of a terminal: struct termios, and the numbers of its flags (termios(3)).

Values are Linux's (include/uapi/asm-generic/termbits.h).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

IGNCR, INLCR, ICRNL, ISTRIP = 0x80, 0x40, 0x100, 0x20
IXON, IXANY, IMAXBEL, IUTF8 = 0x400, 0x800, 0x2000, 0x4000
OPOST, ONLCR, OCRNL, ONOCR, ONLRET, XTABS = 0x1, 0x4, 0x8, 0x10, 0x20, 0x1800
ISIG, ICANON, ECHO, ECHOE, ECHOK, ECHONL = 0x1, 0x2, 0x8, 0x10, 0x20, 0x40
NOFLSH, TOSTOP, ECHOCTL, ECHOKE, IEXTEN = 0x80, 0x100, 0x200, 0x800, 0x8000
INTR, QUIT, ERASE, KILL, EOF, TIME, MIN, SWTC, START, STOP, SUSP = range(11)
EOL, REPRINT, DISCARD, WERASE, LNEXT, EOL2 = range(11, 17)
CHARACTERS = 19

_LAYOUT = struct.Struct("<IIIIB19s")
DISABLED = 0
"""A control character with this value is switched off (_POSIX_VDISABLE)."""

_DEFAULT = {
    INTR: 3,
    QUIT: 28,
    ERASE: 127,
    KILL: 21,
    EOF: 4,
    MIN: 1,
    START: 17,
    STOP: 19,
    SUSP: 26,
    REPRINT: 18,
    DISCARD: 15,
    WERASE: 23,
    LNEXT: 22,
}


@dataclass(slots=True)
class Settings:
    """A struct termios; the defaults are those of a fresh Linux terminal with UTF-8."""

    input: int = ICRNL | IXON | IUTF8
    output: int = OPOST | ONLCR
    control: int = 0xBF
    local: int = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN
    line: int = 0
    characters: bytes = field(
        default_factory=lambda: bytes(_DEFAULT.get(i, 0) for i in range(CHARACTERS))
    )

    @classmethod
    def unpack(cls, data: bytes) -> Settings:
        return cls(*_LAYOUT.unpack(data[: _LAYOUT.size]))

    def pack(self) -> bytes:
        flags = (self.input, self.output, self.control, self.local)
        return _LAYOUT.pack(*flags, self.line, self.characters)

    def is_character(self, byte: int, which: int) -> bool:
        """Is `byte` this control character, and not switched off?"""
        return byte == self.characters[which] != DISABLED
