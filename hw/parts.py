"""A file in parts, whose beginning can go: the trace of a run that is watched and not kept.

To its writer and its readers it is one long file.  Byte `n` is in part `n // part_bytes`, a file of
that name in a folder.  One reader decides what nobody needs any more, and deletes those parts.  It
never deletes the last one, to which the writer appends.  Between two reads a reader has no file
open, so Windows lets the parts go as well.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

PART_BYTES = 1 << 20


class PartedFile:
    """The parts in `folder`, as a file that is read, or written at its end.

    What is not there any more, or not there yet, reads as the end of the file.  Writing raises
    OSError, as a file does.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.part_bytes = PART_BYTES
        self._place = 0
        self._last: tuple[int, BinaryIO] | None = None
        """The part that the writer appends to."""

    def __enter__(self) -> PartedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._last is not None:
            self._last[1].close()
            self._last = None

    def flush(self) -> None:
        """Nothing is held back: parts are written unbuffered."""

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte, counted from the first that ever was, or from the end."""
        self._place = offset + (self._size() if whence == os.SEEK_END else 0)
        return self._place

    def read(self, size_bytes: int = -1) -> bytes:
        """At most so many bytes from here on; all that follow if it is negative."""
        pieces, left = [], self._size() - self._place if size_bytes < 0 else size_bytes
        while left > 0:
            number, start = divmod(self._place, self.part_bytes)
            try:
                with self._part(number).open("rb", buffering=0) as part:
                    part.seek(start)
                    piece = part.read(min(left, self.part_bytes - start))
            except FileNotFoundError:
                break
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
            self._place += len(piece)
        return b"".join(pieces)

    def write(self, data: bytes | memoryview) -> int:
        """Write here what the part has room for; returns how many bytes that is."""
        number, start = divmod(self._place, self.part_bytes)
        if self._last is None or self._last[0] != number:
            self.close()
            path = self._part(number)
            self._last = number, path.open("r+b" if path.exists() else "w+b", buffering=0)
        part = self._last[1]
        part.seek(start)
        count = part.write(data[: self.part_bytes - start])
        self._place += count
        return count

    def truncate(self, size_bytes: int | None = None) -> int:
        """Cut off what follows the first `size_bytes`, or what follows this place."""
        end = self._place if size_bytes is None else size_bytes
        self.close()
        last, rest = divmod(end, self.part_bytes)
        for number in self._numbers():
            if number > last:
                self._part(number).unlink()
            elif number == last:
                os.truncate(self._part(number), rest)
        return end

    def delete_before(self, offset: int) -> None:
        """Delete the parts that end before byte `offset`."""
        for number in self._numbers():
            if number < offset // self.part_bytes:
                self._part(number).unlink(missing_ok=True)

    def _part(self, number: int) -> Path:
        return self.folder / str(number)

    def _numbers(self) -> list[int]:
        return sorted(int(name) for name in os.listdir(self.folder))

    def _size(self) -> int:
        numbers = self._numbers()
        if not numbers:
            return 0
        return numbers[-1] * self.part_bytes + self._part(numbers[-1]).stat().st_size


Sink = BinaryIO | PartedFile
