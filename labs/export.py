"""From the whole tree to a student's: a lab's regions become their prompts.

What travels is named here, so that what is not named stays: tests, mutants, the instructor's
notes, the questions' maker and the history of the repository never leave.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from hw.host import UserError
from labs import progress, written
from labs.exam import HELD, made
from labs.lab import BUILT, ROOT, Lab
from labs.question import to_data

FOLDERS = ("hw", "kernel", "userland")
FILES = (
    "run.py",
    "requirements.txt",
    "requirements-panel.txt",
    "requirements-compiler.txt",
    "requirements-test.txt",
    "LICENSE",
    ".gitignore",
)
README = """\
# Vantage, lab {number}: {title}

A student's tree: a whole operating system, but for what you write.

    python3 run.py lab show {number}       the hand-out: begin here
    python3 run.py lab show quick   Vantage on one page
    python3 run.py lab grade {number}      the judge
{until}
{task} Python 3.10 or newer is all that it needs.
"""
UNTIL = "    python3 run.py exec {} hello{}runs before you have written anything\n"
TO_WRITE = "You write in {}; look for PROMPT."
TO_ANSWER = "`python3 run.py lab ask {}` has the questions; your answers go into `{}`."
INSTRUCTORS = ("mutants.py",)
"""Of the files in labs/: what a student's tree is without."""
COURSE_FOLDERS = ("answering", "demos")
OF_A_LAB = ("README.md",)
NEVER = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")

WITHOUT = (
    "`{command}` would show the answer of lab {number}, so this tree is without it; "
    "`python3 run.py lab grade {number}` shows what is wrong"
)
"""A sentence for `run.py`, which says it before it fetches packages: what is wrong, a remedy."""

REGION = re.compile(
    r"^(?P<indent> *)(?:#|/\*) BEGIN SOLUTION (?P<part>lab\d+\.\w+)(?: \*/)?\n"
    r"(?P<solution>.*?)"
    r"^ *(?:#|/\*) END SOLUTION (?P=part)(?: \*/)?\n"
    r"(?:(?P<prompt> *(?:#|/\*) PROMPT (?P=part):[^\n]*\n)"
    r"| *(?:#|/\*) PLANTED (?P=part): (?P<planted>[^\n]*?)(?: \*/)?\n)",
    re.MULTILINE | re.DOTALL,
)
"""A region ends with what a student is asked to write, or with the mistake to be found instead."""
PYTHON_WAITS = 'raise NotImplementedError("{}")'
C_WAITS = '_Noreturn void unwritten(const char *sentence);\n{indent}unwritten("{}");'
"""The library's `unwritten` says the sentence and ends the program."""


def starter(source: str, lab: Lab) -> str:
    """`source` with every region of this lab replaced.

    Other labs keep their solutions, which the system needs, without the markers: nothing shows
    where a later lab will ask.
    """

    def replace(region: re.Match[str]) -> str:
        number, part = region["part"].removeprefix("lab").split(".")
        if int(number) != lab.number:
            return _unmarked(region)
        if region["planted"]:
            return f"{region['indent']}{region['planted']}\n"
        where = f"lab {lab.number}, part {part}, waits to be written in {lab.parts[part]}"
        indent = region["indent"]
        waits = PYTHON_WAITS if lab.parts[part].endswith(".py") else C_WAITS
        return f"{region['prompt']}{indent}{waits.format(where, indent=indent)}\n"

    return REGION.sub(replace, source)


def _unmarked(region: re.Match[str]) -> str:
    """A solution without its markers; in C each leaves an empty line, as the built programs know
    the numbers of the lines."""
    if "/*" not in region[0].partition("\n")[0]:
        return region["solution"]
    behind = region[0].count("\n") - region["solution"].count("\n") - 1
    return "\n" + region["solution"] + "\n" * behind


def export(lab: Lab, to: Path, seed: int = progress.USUAL_SEED) -> None:
    """Write the student's tree of one lab into `to`, which must not exist or be empty.

    It asks the questions of `seed`.
    """
    if (lab.folder / HELD).exists():
        raise UserError("this is a student's tree already", "export from the instructor's tree")
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError(f"{to} is not an empty folder", "name one that does not exist yet")
    beside = to.with_name(f".{to.name}.{os.getpid()}")
    try:
        _write_tree(lab, beside, seed)
        if to.exists():
            to.rmdir()
        beside.rename(to)
    except OSError as error:
        told = f"cannot write {to}: {error.strerror}"
        raise UserError(told, "make room there, or name another place") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write_tree(lab: Lab, to: Path, seed: int) -> None:
    for name in FOLDERS:
        shutil.copytree(ROOT / name, to / name, ignore=NEVER, dirs_exist_ok=True)
    for name in FILES:
        shutil.copy(ROOT / name, to / name)
    for folder in FOLDERS:
        for path in (to / folder).rglob("*"):
            if path.suffix in (".py", ".c", ".h"):
                source = path.read_text("utf-8")
                path.write_text(starter(source, lab), "utf-8", newline="\n")
    for name in lab.programs:
        (to / BUILT / name).unlink()  # it was built from the solution
    for name in lab.withheld:
        (to / name).write_text(_absent(name, lab), "utf-8")
    boots = " ".join(lab.boots)
    until = UNTIL.format(boots, " " * max(3, 12 - len(boots))) if boots else ""
    readme = README.format(number=lab.number, title=lab.title, task=_task(lab), until=until)
    (to / "README.md").write_text(readme, "utf-8")
    _course(lab, to / "labs", seed)
    if lab.answers:
        keys = [q.told["key"] for check in lab.checks for q in made(lab, check, seed)]
        (to / lab.answers).write_text(written.blank(lab.number, seed, keys), "utf-8")
    progress.write(to, progress.Progress(seed))
    for command in lab.without:
        why = WITHOUT.format(command=command, number=lab.number)
        (to / progress.FOLDER / f"without-{command}").write_text(why, "utf-8")


def about_this_lab(page: str, lab: Lab) -> str:
    """The page for all labs, with this one in its examples: its tree has no other."""
    page = re.sub(r"\blab (show|grade|ask) \d\b", rf"lab \1 {lab.number}", page)
    for part in list(lab.hints)[:1]:
        page = re.sub(r"\blab hint \d\.\w+", f"lab hint {lab.number}.{part}", page)
    check = lab.checks[0].name
    page = re.sub(rf"\blab grade {lab.number} -k \w+", f"lab grade {lab.number} -k {check}", page)
    absent = [*lab.without]
    absent += ["lab ask"] * (not lab.answers) + ["lab hint"] * (not lab.hints)
    lines = (_without(line, absent) for line in page.splitlines())
    return "".join(f"{line}\n" for line in lines if line is not None)


def _without(line: str, absent: list[str]) -> str | None:
    """A line of commands, but for those that the tree has not; None if none is left."""
    before, *commands = re.split(r"(?=python3 run\.py )", line)
    gone = tuple(f"python3 run.py {command} " for command in absent)
    kept = [command for command in commands if not command.startswith(gone)]
    if before.strip() or kept == commands:
        return line
    return (before + "".join(kept)).rstrip() if kept else None


def _task(lab: Lab) -> str:
    if lab.answers:
        return TO_ANSWER.format(lab.number, lab.answers)
    *most, last = (f"`{part}`" for part in lab.files)
    return TO_WRITE.format(f"{', '.join(most)} and {last}" if most else last)


def _absent(name: str, lab: Lab) -> str:
    """What stands in the place of a file that would show the answer."""
    why = f"{name} would show the answer of lab {lab.number}, so this tree is without it"
    return f'raise NotImplementedError("{why}")\n'


def _course(lab: Lab, to: Path, seed: int) -> None:
    folder = to / lab.folder.name
    folder.mkdir(parents=True)
    for path in (ROOT / "labs").glob("*.py"):
        if path.name not in INSTRUCTORS:
            shutil.copy(path, to)
    for name in COURSE_FOLDERS:
        shutil.copytree(ROOT / "labs" / name, to / name, ignore=NEVER)
    quick = (ROOT / "labs" / "QUICK.md").read_text("utf-8")
    (to / "QUICK.md").write_text(about_this_lab(quick, lab), "utf-8")
    for name in OF_A_LAB:
        shutil.copy(lab.folder / name, folder)
    told = json.loads((lab.folder / "lab.json").read_text("utf-8"))
    shown = [check for check in lab.checks if not check.hidden]
    names = {check.name for check in shown}
    told["checks"] = [row for row in told["checks"] if row["name"] in names]
    (folder / "lab.json").write_text(json.dumps(told, indent=2) + "\n", "utf-8")
    asked = {
        check.name: [to_data(question) for question in made(lab, check, seed)] for check in shown
    }
    (folder / HELD).write_text(json.dumps({"seed": seed, "checks": asked}), "utf-8")
