"""What a demo is: one claim of Vantage, and a run that shows it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hw.host import UserError
from kernel.boot import Config
from kernel.kernel import Kernel
from userland.exec import Recording, recording

COLUMNS = 80
"""The most columns of a demo's text: it is shown on projectors."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for.  A demo that needs another machine derives it from `config`."""

    config: Config = field(default_factory=Config)
    trace: Path | None = None

    def recording(
        self, kernel: Kernel, program: dict[str, Any] | None = None
    ) -> AbstractContextManager[object]:
        """Record what `kernel` does meanwhile, if that was asked for.

        A demo that boots several systems says in its doc which one it records: a trace is of one.
        `program` is `userland.programs.describe`'s, for the header.
        """
        return recording(kernel, Recording(self.trace, program=program))


@dataclass(frozen=True, slots=True)
class Result:
    """`text` for people, `data` for machines; `holds`: was what the demo claims to be seen?"""

    text: str
    data: dict[str, Any]
    holds: bool = True


@dataclass(frozen=True, slots=True)
class Demo:
    """`doc` is one line: what is to be seen."""

    name: str
    doc: str
    run: Callable[[Options], Result]


def paragraph(text: str, indent: str = "") -> str:
    """`text` in lines of at most `COLUMNS`; `indent` is for all but the first."""
    return textwrap.fill(text, COLUMNS, subsequent_indent=indent, break_on_hyphens=False)


def cannot_play(program: str, said: str) -> UserError:
    """A demo's program has failed on this machine; `said` is what it printed."""
    last = (said.strip().splitlines() or [f"{program} ended without a word"])[-1]
    return UserError(f"the demo cannot be shown on this machine: {last}", "try it without options")
