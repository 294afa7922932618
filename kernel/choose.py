"""All free choices of the kernel are made here.

There are three kinds.  SCHEDULE: which thread, which core; an explorer may try every option.
SLICE: how long; seeded.  DATA: random bytes; seeded, never explored.  The generator and the log are
part of the state, so a run can be seeded, replayed and explored.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SCHEDULE, SLICE, DATA = "schedule", "slice", "data"
_MASK = (1 << 64) - 1


@dataclass(slots=True)
class Chooser:
    """`script` forces the first SCHEDULE choices.  After its end the first option is taken.

    `log` keeps the SCHEDULE choices that had more than one option.
    """

    seed: int
    state: int = field(init=False)
    script: list[int] = field(default_factory=list)
    log: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = self.seed & _MASK

    def choose(self, kind: str, options: int) -> int:
        """A number in `range(options)`."""
        if options <= 1:
            return 0
        if kind != SCHEDULE:
            return self._random() % options
        position = len(self.log)
        chosen = self.script[position] if position < len(self.script) else 0
        self.log.append(min(chosen, options - 1))
        return self.log[-1]

    def bytes(self, size_bytes: int) -> bytes:
        """Random data for programs."""
        words = [self._random().to_bytes(8, "little") for _ in range((size_bytes + 7) // 8)]
        return b"".join(words)[:size_bytes]

    def _random(self) -> int:
        """SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)."""
        self.state = (self.state + 0x9E37_79B9_7F4A_7C15) & _MASK
        z = self.state
        z = (z ^ z >> 30) * 0xBF58_476D_1CE4_E5B9 & _MASK
        z = (z ^ z >> 27) * 0x94D0_49BB_1331_11EB & _MASK
        return z ^ z >> 31
