"""Where an engine stops: in front of each instruction that the emulator gets wrong."""

from __future__ import annotations

from hw.engine import Engine

MOST = 512
"""At most this many stops are kept: each makes the translation of code a little slower."""


class Stops:
    """The stops of one engine, by linear address.

    A stop that is left from other code does no harm: the core looks at the instruction again.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._at: set[int] = set()
        self.wanted: list[tuple[int, int, list[int]]] = []
        """Blocks that must be translated again: start, size in bytes, addresses to stop at."""

    def want(self, start: int, size: int, addresses: list[int]) -> bool:
        """Stop at these addresses of a block.  True: the block must not run before `place`."""
        new = [address for address in addresses if address not in self._at]
        if new:
            self.wanted.append((start, size, new))
        return bool(new)

    def place(self) -> None:
        """Set the stops that are wanted.  The guest must not be running."""
        for start, size, addresses in self.wanted:
            if len(self._at) + len(addresses) > MOST:
                self._engine.remove_stops()
                self._engine.flush_code()
                self._at.clear()
            for address in addresses:
                self._engine.stop_at(address)
                self._at.add(address)
            self._engine.forget_code(start, size)
        self.wanted.clear()
