"""Names that programs chose, in texts for people and for programs that read lines."""

from __future__ import annotations

_TURNS_TEXT = frozenset((*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070)))
"""Characters without a width, and those that change lines or the direction of writing."""


def escaped(name: bytes) -> bytes:
    """The name with \\ooo, as seq_path() of Linux writes it, for every byte that is not shown.

    So a name cannot end a line of /proc/PID/maps, and no escape sequence reaches a terminal.
    """
    text = name.decode("utf-8", errors="surrogateescape")
    return b"".join(
        letter.encode("utf-8") if _is_shown(letter) else _octal(letter) for letter in text
    )


def _is_shown(letter: str) -> bool:
    code = ord(letter)
    if code < 0xA0:
        return 0x20 <= code < 0x7F and letter != "\\"
    return not 0xD800 <= code < 0xE000 and code not in _TURNS_TEXT and code != 0xFEFF


def _octal(letter: str) -> bytes:
    return b"".join(b"\\%03o" % byte for byte in letter.encode("utf-8", errors="surrogateescape"))
