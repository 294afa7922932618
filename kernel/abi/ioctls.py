"""Requests of ioctl(2): their numbers, and the number of bytes that each reads at its argument.

Values are Linux's (include/uapi/asm-generic/ioctls.h, termbits.h).
"""

from __future__ import annotations

TCGETS, TCSETS, TCSETSW, TCSETSF = 0x5401, 0x5402, 0x5403, 0x5404
TCSBRK, TCXONC, TCFLSH = 0x5409, 0x540A, 0x540B
TIOCSCTTY, TIOCGPGRP, TIOCSPGRP, TIOCOUTQ = 0x540E, 0x540F, 0x5410, 0x5411
TIOCGWINSZ, TIOCSWINSZ, FIONREAD = 0x5413, 0x5414, 0x541B
FIONBIO, TIOCNOTTY, TIOCGSID = 0x5421, 0x5422, 0x5429
FIONCLEX, FIOCLEX = 0x5450, 0x5451

TERMIOS_BYTES, WINSIZE_BYTES, INT_BYTES = 36, 8, 4

READS = {
    TCGETS: 0,
    TCSETS: TERMIOS_BYTES,
    TCSETSW: TERMIOS_BYTES,
    TCSETSF: TERMIOS_BYTES,
    TCSBRK: 0,
    TCXONC: 0,
    TCFLSH: 0,
    TIOCSCTTY: 0,
    TIOCGPGRP: 0,
    TIOCSPGRP: INT_BYTES,
    TIOCOUTQ: 0,
    TIOCGWINSZ: 0,
    TIOCSWINSZ: WINSIZE_BYTES,
    FIONREAD: 0,
    TIOCNOTTY: 0,
    TIOCGSID: 0,
}
"""The requests that go to servers, and the bytes that each reads at its argument (ioctl_tty(2)).
The kernel itself answers FIONBIO, FIOCLEX and FIONCLEX."""
