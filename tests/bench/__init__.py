"""`run.py bench`: the cost of each operation, as a ratio to a baseline measured in the same run."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from typing import Any

from hw import host
from tests.bench import vas
from tests.bench.measure import Missing, Reading
from tests.bench.rows import ROWS, Row

EXAMPLES = """\
examples:
  run.py bench                    everything, in a minute or two
  run.py bench null-call switch   some rows, or groups of rows
  run.py bench vas                VASes: cycles, hand-overs, host time, growth, others' figures
  run.py bench --list             what there is
  run.py bench --json             for a machine
"""

HEADINGS = ("name", "value", "baseline", "unit", "ratio", "goal", "")
WIDTHS = (24, 10, 10, 9, 7, 9, 6)


def main(argv: list[str]) -> int:
    """The bench command; 0 unless a measurement failed."""
    options = _parser().parse_args(argv)
    if options.names == [vas.NAME]:
        return vas.main(as_json=options.json)
    rows = choose(options.names)
    if options.list:
        print("\n".join(row.name for row in rows))
        return 0
    if options.json:
        print(json.dumps([_as_json(row, reading) for row, reading in run(rows)], indent=1))
        return 0
    print(_line(HEADINGS))
    for row in rows:
        print(_report(row), flush=True)
    return 0


def choose(names: list[str]) -> list[Row]:
    """The rows with these names, or in these groups; all of them without a name."""
    for name in names:
        if not any(_selects(name, row) for row in ROWS):
            groups = ", ".join(dict.fromkeys(row.name.partition("/")[0] for row in ROWS))
            raise host.UserError(f"there is no row {name}", f"the groups are {groups}")
    return [row for row in ROWS if not names or any(_selects(name, row) for name in names)]


def run(rows: list[Row]) -> list[tuple[Row, Reading]]:
    """Measure.  A row whose subject is missing is left out, with a message on standard error."""
    found = []
    for row in rows:
        try:
            found.append((row, row.measure()))
        except Missing as missing:
            print(f"{row.name}: {missing}", file=sys.stderr)
    return found


def _selects(name: str, row: Row) -> bool:
    return row.name == name or row.name.startswith(name + "/")


def _report(row: Row) -> str:
    try:
        reading = row.measure()
    except Missing as missing:
        return f"{row.name:{WIDTHS[0]}}{missing}"
    met = row.met(reading)
    verdict = "" if met is None else "met" if met else "MISSED"
    ratio = "" if reading.ratio is None else f"{reading.ratio:.2f}"
    figures = (_figure(reading.value), _figure(reading.baseline), row.unit, ratio)
    doc = textwrap.fill(row.doc, 100, initial_indent="    ", subsequent_indent="    ")
    return _line((row.name, *figures, row.goal, verdict)) + "\n" + doc


def _line(cells: tuple[str, ...]) -> str:
    name, *figures = (
        f"{cell:>{width}}" if 0 < i < 5 and i != 3 else f"{cell:{width}}"
        for i, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
    )
    return " ".join([name, *figures]).rstrip()


def _figure(number: float | None) -> str:
    return "" if number is None else f"{number:.3g}" if number < 1000 else f"{number:.0f}"


def _as_json(row: Row, reading: Reading) -> dict[str, Any]:
    return {
        "name": row.name,
        "value": reading.value,
        "unit": row.unit,
        "baseline": reading.baseline,
        "ratio": reading.ratio,
        "references": row.references,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py bench",
        description="Measure what Vantage costs on this host, each thing against a baseline "
        "that is measured in the same run.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="a row, or a group of rows")
    parser.add_argument("--json", action="store_true", help="figures for a machine")
    parser.add_argument("--list", action="store_true", help="name the rows and do not measure")
    return parser
