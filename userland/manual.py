"""`run.py manual`: the reference of system calls, from their declarations.

A page for a call is its prototype, number, server and docstring.  A page for a group is a module of
`kernel/syscalls`: its docstring, its `NOTES`, and all of its calls.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import textwrap
from difflib import get_close_matches
from types import ModuleType

from hw.host import UserError
from kernel.syscalls import CORE, TABLE, SystemCall

EXAMPLES = """\
examples:
  run.py manual                 the names of all calls and groups
  run.py manual vas_attach      one call
  run.py manual vas             all calls of a group, and what there is to know
"""
WIDTH = 100


def main(argv: list[str]) -> int:
    """The manual command."""
    parser = argparse.ArgumentParser(
        prog="run.py manual",
        description="Print the reference of a system call, or of a group of them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", help="a call or a group (none: list them)")
    name = parser.parse_args(argv).name
    print(page(name) if name else contents())
    return 0


def groups() -> dict[str, ModuleType]:
    """The modules that declare calls, by name."""
    names = {row.handler.__module__ for row in TABLE.values()}
    return {name.rpartition(".")[2]: sys.modules[name] for name in sorted(names)}


def calls_of(module: ModuleType) -> list[SystemCall]:
    """A module's calls, by number."""
    rows = (row for row in TABLE.values() if row.handler.__module__ == module.__name__)
    return sorted(rows, key=lambda row: row.number)


def page(name: str) -> str:
    """The page called `name`.  Raises `UserError` if there is none."""
    for row in TABLE.values():
        if row.name == name:
            return call_page(row)
    if name in groups():
        return group_page(groups()[name])
    known = [*groups(), *(row.name for row in TABLE.values())]
    close = get_close_matches(name, known, 1)
    remedy = f"did you mean {close[0]}?" if close else "see run.py manual"
    raise UserError(f"the manual has no page {name}", remedy)


def contents() -> str:
    """All names, group by group."""
    lines = ["run.py manual NAME explains a call or a group of them.", ""]
    for name, module in groups().items():
        names = ", ".join(row.name for row in calls_of(module))
        lines += textwrap.wrap(f"{name}: {names}", WIDTH, subsequent_indent="    ")
    return "\n".join(lines)


def call_page(row: SystemCall) -> str:
    """Prototype, number, server, and what the call does."""
    served = "" if row.owner == CORE else f", served by {row.owner}"
    text = textwrap.indent(inspect.cleandoc(row.doc), "    ")
    return f"{row.prototype()}\n    number {row.number}{served}\n\n{text}"


def group_page(module: ModuleType) -> str:
    """A module's docstring, its notes, and its calls."""
    parts = [inspect.cleandoc(module.__doc__ or "")]
    notes: dict[str, tuple[str, ...]] = getattr(module, "NOTES", {})
    for title, paragraphs in notes.items():
        parts.append(title + "\n" + "-" * len(title))
        parts += [
            textwrap.fill(text, WIDTH, initial_indent="  * ", subsequent_indent="    ")
            for text in paragraphs
        ]
    parts += [call_page(row) for row in calls_of(module)]
    return "\n\n".join(parts)
