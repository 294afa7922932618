"""`run.py lab`: list and show the labs, give hints, grade, and export a student's tree."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from hw.host import UserError, wants_colour
from labs import report
from labs.export import VISIBLE_SEED, export
from labs.judge import VISIBLE, Verdict, grade
from labs.lab import ROOT, Lab, all_labs, find_lab

EXAMPLES = """\
examples:
  run.py lab list                       the labs of this tree
  run.py lab hint 1.walk --level 2      the second of three hints
  run.py lab grade 1 -k dirty           one check of lab 1
  run.py lab grade 1 --tree STUDENT --seed 7 --results OUT
  run.py lab export 1 --to lab1         a student's tree
"""


def main(argv: list[str]) -> int:
    """Returns 0, or 1 when a grading found something wrong."""
    options = _parser().parse_args(argv)
    if options.verb == "list":
        return _list(options)
    if options.verb == "show":
        print((find_lab(options.lab).folder / "README.md").read_text("utf-8"), end="")
        return 0
    if options.verb == "hint":
        return _hint(options)
    lab = find_lab(options.lab)
    if options.verb == "export":
        export(lab, Path(options.to))
        print(f"lab {lab.number} is in {options.to}; begin with: run.py lab show {lab.number}")
        return 0
    return _grade(lab, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py lab",
        description="The course: hand-outs, hints, and a judge for what you wrote.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verb = verbs.add_parser("list", help="the labs of this tree")
    verb.add_argument("--json", action="store_true", help="as JSON")
    verb = verbs.add_parser("show", help="print a hand-out")
    verb.add_argument("lab", metavar="N")
    verb = verbs.add_parser("hint", help="a hint: an idea, a place to look, or pseudo-code")
    verb.add_argument("part", metavar="N.PART")
    verb.add_argument("--level", type=int, choices=(1, 2, 3), default=1)
    verb = verbs.add_parser("export", help="write a student's tree")
    verb.add_argument("lab", metavar="N")
    verb.add_argument("--to", metavar="DIR", required=True)
    verb = verbs.add_parser("grade", help="judge what was written")
    verb.add_argument("lab", metavar="N")
    verb.add_argument("-k", metavar="CHECK", default="", help="only checks whose name has this")
    verb.add_argument("--tree", metavar="DIR", default=str(ROOT), help="the tree to judge")
    verb.add_argument("--seed", type=int, default=VISIBLE_SEED, help="which questions are asked")
    verb.add_argument("--results", metavar="DIR", help="write the three report files there")
    verb.add_argument("--json", action="store_true", help="Gradescope's JSON instead of lines")
    return parser


def _list(options: argparse.Namespace) -> int:
    rows = [
        {"lab": lab.number, "name": lab.name, "title": lab.title, "points": lab.points}
        for lab in all_labs()
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            print(f"{row['lab']}  {row['name']:<8} {row['points']:>3} points  {row['title']}")
    return 0


def _hint(options: argparse.Namespace) -> int:
    number, _, part = options.part.partition(".")
    lab = find_lab(number)
    if part not in lab.hints:
        known = ", ".join(f"{number}.{name}" for name in lab.hints)
        raise UserError(f"lab {number} has no part '{part}'", f"choose one of: {known}")
    print(lab.hints[part][options.level - 1])
    return 0


def _grade(lab: Lab, options: argparse.Namespace) -> int:
    seed = _seed_here(lab, options.seed)
    verdicts: list[Verdict] = []
    failure = ""
    try:
        for verdict in grade(lab, Path(options.tree), seed, options.k):
            verdicts.append(verdict)
            if not options.json:
                print(report.line(lab, verdict, wants_colour(sys.stdout)), flush=True)
    except UserError:
        raise
    except Exception as error:
        failure = f"the grader itself failed, so there are no points: {error!r}"
    told = report.Report(lab, seed, verdicts, failure)
    if options.results:
        report.write(told, Path(options.results))
    if options.json:
        print(json.dumps(report.gradescope(told), indent=2))
    else:
        print("\n".join(filter(None, [report.summary(told), failure])))
    return 0 if told.passed else 1


def _seed_here(lab: Lab, seed: int) -> int:
    """A student's tree has the questions of one seed only."""
    if seed != VISIBLE_SEED and (lab.folder / VISIBLE).exists():
        remedy = f"leave --seed away: it holds those of seed {VISIBLE_SEED}"
        raise UserError("a student's tree cannot make other questions", remedy)
    return seed
