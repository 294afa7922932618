"""Runs the nearest tests on mutants, each in a copy of the tree, several at once.

What was found is kept in `.mutants/`: a run that was stopped goes on where it was, and a mutant is
run again when its module's text has changed.
"""

from __future__ import annotations

import compileall
import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode
from types import TracebackType
from typing import TypeVar

from hw.files import scratch_folder
from hw.host import UserError, kill_group
from tests.mutation.mutant import Mutant, digest
from tests.mutation.nearest import nearest_tests

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / ".mutants"
RESULTS, SECONDS = KEPT / "results.jsonl", KEPT / "seconds.json"
TIMES, PLUS_SECONDS = 4, 20
"""How long the tests of a mutant may take: so often what they take without a mistake, and some
seconds more for a busy machine.  A mutant that takes longer hangs, and that is noticed."""

LONGEST_SECONDS = 900
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".lab", KEPT.name)


@dataclass(frozen=True)
class Outcome:
    """Of one run of some tests.  `said` is the end of their output, or that they hang."""

    passed: bool
    seconds: float
    said: str


class Crew:
    """Threads with a copy of the tree for each; no mutant meets another, or the tree itself."""

    def __init__(self, size: int, folder: Path) -> None:
        self.trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(size):
            self.trees.put(copy_of_tree(folder / str(number) / "vantage"))
        self.pool = ThreadPoolExecutor(size)
        self.running: list[subprocess.Popen[str]] = []
        self.dismissed = False

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        """After an error or a Ctrl-C, what runs is killed and has no outcome."""
        self.dismissed = True
        self.pool.shutdown(wait=False, cancel_futures=True)
        for process in list(self.running):
            kill_group(process)
        self.pool.shutdown()

    def run(
        self, rows: Mapping[T, tuple[Mutant | None, Iterable[str], float]]
    ) -> Iterator[tuple[T, Outcome]]:
        """Rows are (mutant, tests, limit in seconds), by anything; in the order they end in."""
        futures = {self.pool.submit(self._attempt, *row): name for name, row in rows.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()

    def _attempt(self, mutant: Mutant | None, tests: Iterable[str], limit: float) -> Outcome:
        tree = self.trees.get()
        try:
            if mutant:
                (tree / mutant.path).write_text(mutant.text, "utf-8")
            return self._tested(tree, tests, limit)
        finally:
            if mutant:
                shutil.copyfile(ROOT / mutant.path, tree / mutant.path)
            self.trees.put(tree)

    def _tested(self, tree: Path, tests: Iterable[str], limit: float) -> Outcome:
        start = time.monotonic()
        process = start_tests(tree, tests)
        self.running.append(process)
        try:
            said, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            kill_group(process)
            said, _ = process.communicate()
            said += f"\nno end after {limit:.0f} s"
        finally:
            self.running.remove(process)
        if self.dismissed:
            raise KeyboardInterrupt
        return Outcome(process.returncode == 0, time.monotonic() - start, said[-2000:])


def copy_of_tree(tree: Path) -> Path:
    """Compiled files go by the digest of the source: a mutant may have another's size and time."""
    shutil.copytree(ROOT, tree, ignore=NOT_COPIED, symlinks=True)
    compileall.compile_dir(tree, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    return tree


def start_tests(tree: Path, tests: Iterable[str]) -> subprocess.Popen[str]:
    pytest = [sys.executable, "-m", "pytest", "-x", "--no-header", "-p", "no:cacheprovider"]
    settings = {k: v for k, v in os.environ.items() if k != "VANTAGE_NO_SKIP"}
    settings.update(VANTAGE_ENV="active", PYTHONDONTWRITEBYTECODE="1")
    return subprocess.Popen(
        [*pytest, *tests],
        cwd=tree,
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )


def run(mutants: list[Mutant], jobs: int, again: bool) -> dict[str, bool]:
    """Run those that have no result yet: whether each was noticed, by its name.

    With `again`, those that were not noticed are run once more.
    """
    KEPT.mkdir(exist_ok=True)
    noticed = dict(kept_results())
    todo = [x for x in mutants if x.name not in noticed or (again and not noticed[x.name])]
    if todo:
        with scratch_folder("mutants") as folder, Crew(min(jobs, len(todo)), folder) as crew:
            noticed.update(carry_out(crew, todo))
    return {x.name: noticed[x.name] for x in mutants}


def carry_out(crew: Crew, todo: list[Mutant]) -> Iterator[tuple[str, bool]]:
    """Each with whether it was noticed; kept, and said on standard error."""
    seconds = seconds_of(crew, sorted({name for x in todo for name in nearest_tests(x.path)}))
    rows = {}
    for mutant in todo:
        tests = nearest_tests(mutant.path)
        limit = sum(seconds[name] for name in tests) * TIMES + PLUS_SECONDS
        rows[mutant] = (mutant, tests, limit)
    for number, (mutant, outcome) in enumerate(crew.run(rows), 1):
        how = "NOT NOTICED" if outcome.passed else "noticed"
        place = f"{mutant.path}:{mutant.line} {mutant.operator}"
        say(f"{number} of {len(todo)}: {how}, {outcome.seconds:.0f} s: {place}")
        keep(mutant, outcome)
        yield mutant.name, not outcome.passed


def kept_results() -> Iterator[tuple[str, bool]]:
    """(name, whether noticed), the newest last.  A line that was cut off is none."""
    lines = RESULTS.read_text("utf-8").splitlines() if RESULTS.exists() else []
    for line in lines:
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            yield row["name"], row["noticed"]


def keep(mutant: Mutant, outcome: Outcome) -> None:
    row = {
        "name": mutant.name,
        "noticed": not outcome.passed,
        "place": f"{mutant.path}:{mutant.line}",
        "before": mutant.before,
        "after": mutant.after,
        "said": outcome.said,
    }
    with open(RESULTS, "a", encoding="utf-8") as file:
        file.write("\n" + json.dumps(row))  # not behind a line that was cut off


def seconds_of(crew: Crew, tests: list[str]) -> dict[str, float]:
    """What each test file takes without a mistake; kept until something in the tree changes.

    Raises UserError if one fails, since it could tell nothing of a mistake.
    """
    tree = digest_of_tree()
    times: dict[str, float] = {}
    if SECONDS.exists():
        remembered = json.loads(SECONDS.read_text("utf-8"))
        times = remembered["seconds"] if remembered["tree"] == tree else {}
    todo = [name for name in tests if name not in times]
    rows = {name: (None, (name,), LONGEST_SECONDS) for name in todo}
    for number, (name, outcome) in enumerate(crew.run(rows), 1):
        if not outcome.passed:
            what = f"{name} fails without any mistake:\n{outcome.said}"
            raise UserError(what, "mend it first")
        say(f"{number} of {len(todo)}: {name} passes without a mistake, {outcome.seconds:.0f} s")
        times[name] = outcome.seconds
        SECONDS.write_text(json.dumps({"tree": tree, "seconds": times}), "utf-8")
    return times


def digest_of_tree() -> str:
    folders = ("hw", "kernel", "userland", "labs", "tests")
    found = sorted(p for folder in folders for p in (ROOT / folder).rglob("*") if p.is_file())
    parts = (p for p in found if "__pycache__" not in p.parts)
    return digest(*(f"{p.relative_to(ROOT)} {p.read_bytes().hex()}" for p in parts))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
