"""`run.py lab`: list, show and start the labs, give hints, grade, and export a student's tree."""

from __future__ import annotations

import argparse
import getpass
import json
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import fill

from hw.host import UserError, run_interruptible, wants_colour
from labs import classroom, progress, report
from labs.crew import Crew
from labs.exam import HELD, seed_held
from labs.export import export
from labs.gradescope import write_autograder
from labs.grading import grade_one, seed_for, usual_jobs
from labs.judge import Verdict
from labs.lab import ROOT, Lab, all_labs, find_lab
from labs.plain import change_folder, command
from labs.progress import USUAL_SEED

QUICK = "quick"
SOLUTION = (
    "This tree is the solution, and not a student's: everything in it is written already. "
    f"`{command('lab', 'start', 'N')}` makes a tree to write lab N in, and says how to get there."
)
HINT_WIDTH = 80
EXAMPLES = """\
examples:
  python3 run.py lab list                       the labs of this tree
  python3 run.py lab show quick                 Vantage on one page
  python3 run.py lab start 1 --to work          a tree of your own to write lab 1 in
  python3 run.py lab ask 0 --seed 7 --check     questions on paper, with their answers
  python3 run.py lab hint 1.walk                the next of three hints
  python3 run.py lab grade 1 -k dirty           one check of lab 1
  python3 run.py lab grade 1 --tree STUDENT --seed 7 --results OUT
  python3 run.py lab grade 1 --class DIR --results OUT
  python3 run.py lab export 1 --to lab1         a student's tree
  python3 run.py lab export 1 --to a.zip --gradescope
"""


def main(argv: list[str]) -> int:
    """Returns 0, or 1 when a grading found something wrong."""
    options = _parser().parse_args(argv)
    try:
        return int(VERBS[options.verb](options))
    except OSError as error:
        if error.filename is None:
            raise
        told = f"cannot use {error.filename}: {error.strerror}"
        raise UserError(told, "name another place, or make it accessible") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 run.py lab",
        description="The course: hand-outs, hints, and a judge for what you wrote.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verb = verbs.add_parser("list", help="the labs of this tree")
    verb.add_argument("--json", action="store_true", help="as JSON")
    verb = verbs.add_parser("show", help="print a hand-out")
    verb.add_argument("lab", metavar="N", help=f"a lab, or `{QUICK}`: Vantage on one page")
    verb = verbs.add_parser("start", help="make a tree of your own for a lab")
    verb.add_argument("lab", metavar="N")
    verb.add_argument("--to", metavar="DIR", help="where (default: lab-N)")
    verb.add_argument(
        "--as", dest="student", metavar="NAME", help="whose questions (default: your login)"
    )
    verb = verbs.add_parser("ask", help="print the questions of a lab on paper")
    verb.add_argument("lab", metavar="N")
    verb.add_argument("--seed", type=int, help="other questions than your own, to practise")
    verb.add_argument("--check", action="store_true", help="with the answers")
    verb = verbs.add_parser("hint", help="a hint: an idea, a place to look, or pseudo-code")
    verb.add_argument("part", metavar="N.PART")
    verb.add_argument("--level", type=int, choices=(1, 2, 3), help="this one (default: the next)")
    verb = verbs.add_parser("export", help="write a student's tree")
    verb.add_argument("lab", metavar="N")
    verb.add_argument("--to", metavar="DIR", required=True)
    verb.add_argument(
        "--seed",
        type=int,
        help="which questions it asks (default: "
        f"{USUAL_SEED}; of --gradescope: a number drawn by lot)",
    )
    verb.add_argument("--gradescope", action="store_true", help="DIR is a zip: an autograder")
    verb = verbs.add_parser("mutants", help="typical wrong answers, and what each is told")
    verb.add_argument("lab", metavar="N")
    verb.add_argument("-k", metavar="CHECK", default="", help="only those of checks with this name")
    verb.add_argument("--seed", type=int, help=f"which questions are asked (default {USUAL_SEED})")
    verb = verbs.add_parser("grade", help="judge what was written")
    verb.add_argument("lab", metavar="N")
    verb.add_argument("-k", metavar="CHECK", default="", help="only checks whose name has this")
    verb.add_argument("--tree", metavar="DIR", type=Path, help="what to judge (default: this tree)")
    verb.add_argument("--class", dest="folder", metavar="DIR", help="grade all submissions in it")
    verb.add_argument(
        "--jobs",
        type=_positive,
        metavar="N",
        help="how many checks, or submissions, run at a time (default: one for each core)",
    )
    verb.add_argument("--seed", type=int, help="which questions are asked")
    verb.add_argument("--results", metavar="DIR", help="write the three report files there")
    verb.add_argument("--json", action="store_true", help="Gradescope's JSON instead of lines")
    return parser


def _show(options: argparse.Namespace) -> int:
    known = {QUICK: ROOT / "labs" / "QUICK.md"}
    page = known.get(options.lab) or find_lab(options.lab).folder / "README.md"
    print(page.read_text("utf-8"), end="", flush=True)
    _say_what_this_tree_is()
    return 0


def _say_what_this_tree_is() -> None:
    """A student who stands in the solution's tree must hear of it, wherever he begins."""
    if _is_solution():
        print(f"\n{SOLUTION}", file=sys.stderr)


def _is_solution() -> bool:
    return all(seed_held(lab) is None for lab in all_labs())


def _start(options: argparse.Namespace) -> int:
    lab = find_lab(options.lab)
    seed = progress.seed_of(options.student or getpass.getuser())
    if (lab.folder / HELD).exists():
        begin = command("lab", "show", lab.number)
        print(f"this is your tree of lab {lab.number} already; begin with: {begin}")
        return 0
    to = Path(options.to or f"lab-{lab.number}")
    export(lab, to, seed)
    print(f"Lab {lab.number} is in {to}, with the questions of seed {seed}. Work there:\n")
    print(_way_into(lab, to))
    return 0


def _way_into(lab: Lab, to: Path) -> str:
    """The commands with which a student begins, each to be pasted."""
    return (
        f"  {change_folder(to)}\n"
        f"  {command('lab', 'show', lab.number):<30} the hand-out\n"
        f"  {command('lab', 'grade', lab.number):<30} the judge\n"
    )


def _export(options: argparse.Namespace) -> int:
    lab, to = find_lab(options.lab), Path(options.to)
    if options.gradescope:
        seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
        write_autograder(lab, to, seed)
        print(f"{to} grades lab {lab.number} with the questions of seed {seed}: keep that secret")
        return 0
    export(lab, to, USUAL_SEED if options.seed is None else options.seed)
    print(f"Lab {lab.number} is in {to}, for a student. There:\n\n{_way_into(lab, to)}")
    return 0


def _list(options: argparse.Namespace) -> int:
    rows = [
        {"lab": lab.number, "name": lab.name, "title": lab.title, "points": lab.points}
        for lab in all_labs()
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            print(f"{row['lab']}  {row['name']:<10} {row['points']:>3} points  {row['title']}")
        sys.stdout.flush()
        _say_what_this_tree_is()
    return 0


def _ask(options: argparse.Namespace) -> int:
    lab, number = find_lab(options.lab), options.lab
    if not lab.answers:
        remedy = f"`{command('lab', 'grade', number)}` judges what you wrote"
        raise UserError(f"lab {number} asks nothing on paper", remedy)
    held = seed_held(lab)
    usual = USUAL_SEED if held is None else held
    seed = usual if options.seed is None else options.seed
    if options.check and seed == held:
        others = command("lab", "ask", number, "--seed", seed + 1, "--check")
        remedy = f"practise with others: {others}"
        raise UserError("your answers to these questions are what you hand in", remedy)
    from labs import problems  # imports the machine, in which a student may have made a mistake

    print(problems.as_text(problems.problems(seed), answered=options.check))
    if held is None:
        start = command("lab", "start", number)
        print(f"`{start}` makes a tree of your own, with a sheet to fill in.")
    elif seed == held:
        print(
            f"Your answers go into {lab.answers}; `{command('lab', 'grade', number)}` marks them."
        )
    return 0


def _hint(options: argparse.Namespace) -> int:
    number, _, part = options.part.partition(".")
    lab = find_lab(number)
    if part not in lab.hints:
        known = ", ".join(f"{number}.{name}" for name in lab.hints)
        raise UserError(f"lab {number} has no part '{part}'", f"choose one of: {known}")
    hints, so_far = lab.hints[part], progress.read(ROOT)
    taken = so_far.hints.get(options.part, 0)
    level = options.level or min(taken + 1, len(hints))
    print(_fitting(hints[level - 1]))
    if level > taken:
        so_far.hints[options.part] = level
        progress.write(ROOT, so_far)
    return 0


def _fitting(hint: str) -> str:
    """Long lines broken; those of pseudo-code keep their indentation."""
    lines = hint.splitlines()
    more = "    " if len(lines) > 1 else ""
    return "\n".join(
        fill(line, HINT_WIDTH, subsequent_indent=line[: len(line) - len(line.lstrip())] + more)
        for line in lines
    )


def _grade(options: argparse.Namespace) -> int:
    lab, results = find_lab(options.lab), Path(options.results) if options.results else None
    if results:
        results.mkdir(parents=True, exist_ok=True)  # not only after all the work
    seed = seed_for(lab, options.seed)
    crew = Crew()
    if options.folder:
        return run_interruptible(
            lambda: _grade_class(lab, seed, results, options, crew), crew.dismiss
        )
    colour = wants_colour(sys.stdout)
    if not options.tree:
        _say_what_this_tree_is()
    where = ["--tree", options.tree, "--seed", seed] if options.tree else []

    def tell(verdict: Verdict) -> None:
        if not options.json:
            print(report.line(lab, verdict, colour, where), flush=True)

    jobs = options.jobs or usual_jobs()
    told = run_interruptible(
        lambda: grade_one(
            lab, options.tree or ROOT, seed, options.k, results, tell=tell, jobs=jobs, crew=crew
        ),
        crew.dismiss,
    )
    if options.json:
        print(json.dumps(report.gradescope(told), indent=2))
    else:
        print("\n".join(filter(None, [report.summary(told), told.failure])))
    return 0 if told.passed else 1


def _grade_class(
    lab: Lab, seed: int, results: Path | None, options: argparse.Namespace, crew: Crew
) -> int:
    jobs = options.jobs or usual_jobs()
    graded, others = classroom.grade_class(
        lab, Path(options.folder), seed, results, jobs=jobs, quiet=options.json, crew=crew
    )
    if options.json:
        print(json.dumps(classroom.to_data(lab, graded, others), indent=2))
    else:
        print(classroom.table(lab, graded, others))
    return 0 if all(one.report.passed for one in graded) else 1


def _mutants(options: argparse.Namespace) -> int:
    lab, crew = find_lab(options.lab), Crew()
    if not _is_solution():
        raise UserError("a student's tree has no wrong answers", "the instructor's tree has them")
    from labs import mutants

    seed, caught = USUAL_SEED if options.seed is None else options.seed, []

    def tell() -> None:
        for wrong, verdict in mutants.judge_all(lab, seed, options.k, crew):
            caught.append(wrong.says in verdict.found)
            said = verdict.found or "NOT CAUGHT"
            print(f"{wrong.name} ({wrong.caught_by})\n    {said}", flush=True)

    run_interruptible(tell, crew.dismiss)
    return 0 if all(caught) else 1


def _positive(word: str) -> int:
    if not word.isdigit() or not int(word):
        raise argparse.ArgumentTypeError(f"{word} is no number from 1")
    return int(word)


VERBS: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": _list,
    "show": _show,
    "start": _start,
    "ask": _ask,
    "hint": _hint,
    "grade": _grade,
    "export": _export,
    "mutants": _mutants,
}
