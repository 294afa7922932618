"""`run.py test --mutants`: its options."""

from __future__ import annotations

import argparse
import os

from hw.host import UserError
from tests.mutation.nearest import BY_ITSELF, MEASURED, nearest_tests
from tests.mutation.planting import drawn, sites_of
from tests.mutation.report import equivalents, report
from tests.mutation.running import ROOT, run

ABOUT = """\
Plant one-line mistakes in modules, and see whether the tests nearest to each notice. What was
found is kept in .mutants/, and a run that was stopped goes on where it was. How it works:
tests/README.md."""

EXAMPLES = """\
examples:
  python3 run.py test --mutants --sample 300 --seed 1      the usual measure, about an hour
  python3 run.py test --mutants kernel/sched --sample 20   a part of the tree
  python3 run.py test --mutants labs/judge.py              each line of a module
  python3 run.py test --mutants --sample 300 --again       once more what was not noticed"""


def main(argv: list[str]) -> int:
    options = parsed(argv)
    sites = [site for path in modules(options.paths) for site in sites_of(ROOT, path)]
    mutants = [site.planted() for site in drawn(sites, options.seed)[: options.sample]]
    noticed = run(mutants, options.jobs, options.again)
    found = {mutant: noticed[mutant.name] for mutant in mutants}
    print("\n".join(report(found, equivalents())))
    return 0


def parsed(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "run.py test --mutants",
        description=ABOUT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="*", help="modules or folders (all that are measured)")
    parser.add_argument("--mutants", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--sample", type=int, metavar="N", help="at most N mutants (all)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="draws them (1)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="J", help="at once (all cores)"
    )
    parser.add_argument(
        "--again", action="store_true", help="run once more what was not noticed before"
    )
    options = parser.parse_args(argv)
    for name in ("sample", "jobs"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    return options


def modules(paths: list[str]) -> list[str]:
    """The modules that are named, as paths from the top of the tree."""
    found: dict[str, None] = {}
    for path in paths or MEASURED:
        place = (ROOT / path).resolve()
        if not place.is_relative_to(ROOT) or not place.exists():
            raise UserError(f"there is no {path} in this tree", "name a module or a folder of it")
        names = [place] if place.is_file() else sorted(place.rglob("*.py"))
        found.update(dict.fromkeys(name.relative_to(ROOT).as_posix() for name in names))
    known = [name for name in found if nearest_tests(name)]
    if not paths:
        known = [name for name in known if not name.startswith(BY_ITSELF)]
    if not known:
        remedy = "tests/mutation/nearest.py is the list of modules and tests"
        raise UserError(f"no tests are known for {' '.join(paths)}", remedy)
    return known
