"""A student's file may do anything: there is a verdict and a report.  Lab 1 stands for all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from hw.host import UserError
from labs.judge import Verdict, grade
from labs.lab import ROOT, find_lab
from labs.tool import main

LAB = find_lab("1")
SOURCE = (ROOT / "hw" / "paging.py").read_text("utf-8")
WRONG = SOURCE.replace("va >> shift & 511)\n        entry", "va >> 13 & 511)\n        entry")
HIDDEN_SEED = 77


@dataclass(frozen=True)
class Student:
    """A tree that holds a student's file and nothing else: the judge wants no more."""

    tree: Path

    def grade(
        self, source: str | None, only: str = "", seed: int = HIDDEN_SEED, jobs: int = 1
    ) -> list[Verdict]:
        path = self.tree / "hw" / "paging.py"
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        if source is not None:
            path.write_text(source, "utf-8")
        return list(grade(LAB, self.tree, seed, only, jobs=jobs))


@pytest.fixture
def student(tmp_path: Path) -> Student:
    return Student(tmp_path)


def in_walk(line: str) -> str:
    """The solution with a line before it."""
    marker = "    # BEGIN SOLUTION lab1.walk\n"
    return SOURCE.replace(marker, f"{marker}    {line}\n")


CALLS_FOR_EVER = "exec('def f(): pass\\nwhile True: f()')"
WORDS_THAT_RAISE = "class E(Exception):\n        def __str__(self): return 1 / 0\n    raise E"
ANSWERS = "import os, contextlib\n    with contextlib.suppress(OSError): os.write(4, {})"
NO_ANSWER = ANSWERS.format("b'[' * 100_000 + b'\\n'")
LONG_ANSWER = ANSWERS.format("b' ' * 5_000_000")
ACCIDENTS = [
    ("a syntax error", SOURCE + "\ndef (:\n", "SyntaxError"),
    ("an exit at import", "import sys\nsys.exit(0)\n", "cannot be imported: SystemExit"),
    ("an end without a word", in_walk("import os; os._exit(0)"), "process ended with status 0"),
    ("an endless loop", in_walk("while True: va = va"), "an endless loop?"),
    ("an endless loop on one line", in_walk("while True: pass"), "an endless loop?"),
    ("an endless chain of calls", in_walk(CALLS_FOR_EVER), "1,500,000 calls of functions"),
    ("a wait for somebody who types", in_walk("input()"), "calls input()"),
    ("a debugger", in_walk("import pdb; pdb.set_trace()"), "calls input()"),
    ("a sleep", in_walk("import time; time.sleep(1000)"), "calls time.sleep()"),
    ("words that are no text", in_walk("raise ValueError('\\udc80\\x1b[31m')"), r"\udc80\x1b[31m"),
    ("words for ever", in_walk("raise ValueError('x' * 50_000_000)"), "50,000,000 characters"),
    ("words that raise", in_walk(WORDS_THAT_RAISE), "its words cannot be read"),
    ("an answer that is none", in_walk(NO_ANSWER), "what it says is no answer"),
    ("an answer without end", in_walk(LONG_ANSWER), "more than 4 MiB at once"),
    ("a wild pointer", in_walk("import ctypes; ctypes.string_at(0)"), "in line "),
    ("an endless import", "while True:\n    pass\n", "an endless loop?"),
    ("a large allocation", in_walk("bytearray(10 << 30)"), "MemoryError"),
    ("a printed PASS", in_walk("print('PASS'); return 0, 0, 0"), " should be "),
    ("a deleted file", None, "is not there"),
    ("a program of its own", in_walk("import os; os.system('true')"), "tried 'os.system'"),
    ("a fork bomb", in_walk("import os\n    while True: os.fork()"), "tried 'os.fork'"),
    ("a file of the judge's", in_walk("open('/tmp/vantage-x', 'w')"), "tried 'open'"),
    ("a forged trace", in_walk("open('run.vtrace', 'wb').write(b'')"), "tried 'open'"),
    ("a deleted memory", in_walk("import os; os.remove('memory')"), "tried 'os.remove'"),
    (
        "a patched judge",
        in_walk("import labs.judge as j; j.grade = None; return 0, 0, 0"),
        " should be ",
    ),
    (
        "forged answers",
        in_walk("import os; os.write(1, b'{\"nonce\": 1}\\n'); return 0, 0, 0"),
        " should be ",
    ),
]


@pytest.mark.parametrize(
    ("source", "said"), [a[1:] for a in ACCIDENTS], ids=[a[0] for a in ACCIDENTS]
)
def test_whatever_happens_there_is_a_verdict(
    student: Student, source: str | None, said: str
) -> None:
    if "MemoryError" in said and sys.platform != "linux":
        return
    (verdict,) = student.grade(source, "index")
    assert said in verdict.found
    assert verdict.score == 0


HANGS = {
    "a loop in C": ("all(__import__('itertools').repeat(1))", "a single step of the code"),
    "a loop that swallows its end": (
        "while True:\n        try:\n            while va: pass\n        except BaseException: pass",
        "a single step of the code",
    ),
    "a wait": ("import threading; threading.Event().wait()", "waits for something"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="tells where a process hangs")
@pytest.mark.parametrize(("line", "said"), HANGS.values(), ids=HANGS)
def test_the_first_check_that_hangs_decides_for_the_rest(
    student: Student, line: str, said: str
) -> None:
    first, *others = student.grade(in_walk(line), jobs=2)
    assert said in first.found
    assert ", in line " in first.found
    assert {verdict.found for verdict in others} == {"not asked: 'index' came to no end"}


def test_a_check_that_hangs_later_leaves_those_before_it_alone(student: Student) -> None:
    """And any number of jobs says the same, although others ran at the same time."""
    hangs = "if va >> 47 == 0 and cr3 & 0xFFF: all(__import__('itertools').repeat(1))"
    one, two = (student.grade(in_walk(hangs), jobs=jobs) for jobs in (1, 3))
    assert [verdict.told for verdict in one] == [verdict.told for verdict in two]
    assert [verdict.passed for verdict in one] == [True] + [False] * 12
    assert one[2].found == "not asked: 'root' came to no end"


def test_what_is_printed_is_shown_and_a_breakpoint_is_passed(
    student: Student, capsys: pytest.CaptureFixture[str]
) -> None:
    student.grade(in_walk("print('look', hex(va), '\\x1b[31m'); breakpoint()"), "index")
    assert main(["grade", "1", "-k", "index", "--tree", str(student.tree)]) == 0
    shown = capsys.readouterr().out
    assert "printed: look 0x" in shown
    assert r"\x1b[31m" in shown
    assert "printed: breakpoint() in line " in shown


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("signal", "status"), [(2, 130), (15, 143), (1, 129), (9, -9)])
def test_no_child_outlives_a_grading(
    student: Student, tmp_path: Path, signal: int, status: int
) -> None:
    """Ctrl-C, TERM, HUP and KILL; and the next start removes what KILL leaves."""
    place = tmp_path / "tmp"
    place.mkdir()
    endless = "import os; print(os.getpid()); print(); all(__import__('itertools').repeat(1))"
    student.grade(None)
    (student.tree / "hw" / "paging.py").write_text(in_walk(endless), "utf-8")
    environment = {**os.environ, "TMPDIR": str(place), "VANTAGE_ENV": "active"}
    command = [sys.executable, "-c", AS_IN_A_TERMINAL, str(ROOT / "run.py")]
    command += ["lab", "grade", "1", "--jobs", "1"]
    grading = subprocess.Popen(
        [*command, "--tree", str(student.tree)], env=environment, start_new_session=True
    )
    pid = wait_for(lambda: first_number(place.glob("vantage-lab-*/printed")))
    grading.send_signal(signal)
    assert grading.wait() == status
    wait_for(lambda: not is_alive(pid))
    subprocess.run([*command, "-k", "steps"], env=environment, check=True)
    assert list(place.iterdir()) == []


AS_IN_A_TERMINAL = """\
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""What a test's runner in the background ignores, its children would ignore, too."""


def wait_for(what: Callable[[], Any]) -> Any:
    """Until it is true; the test's runner would end it if it never were."""
    while not (found := what()):
        time.sleep(0.05)
    return found


def first_number(files: Iterable[Path]) -> int:
    """The process that wrote its number into one of the files, as soon as it has."""
    texts = [path.read_text("utf-8") for path in files]
    return next((int(text.split()[0]) for text in texts if text.endswith("\n\n")), 0)


def is_alive(pid: int) -> bool:
    """A zombie is none: its parent has only not asked yet."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_same_seed_gives_the_same_verdicts(student: Student) -> None:
    assert student.grade(WRONG, "index") == student.grade(WRONG, "index")


def test_the_reports_agree(student: Student, tmp_path: Path) -> None:
    student.grade(WRONG, "root")
    results = tmp_path / "results"
    assert main(["grade", "1", "--tree", str(tmp_path), "--results", str(results), "--json"]) == 1
    told: dict[str, Any] = json.loads((results / "results.json").read_text("utf-8"))
    failed = [test for test in told["tests"] if test["status"] == "failed"]
    assert told["score"] == 100 - sum(test["max_score"] for test in failed) < 100
    suite = ElementTree.parse(results / "junit.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("13", str(len(failed)))
    page = (results / "report.md").read_text("utf-8")
    assert all(f"## {test['name']}" in page for test in failed)


def test_a_grader_that_fails_gives_no_points_but_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise OSError("no room")

    monkeypatch.setattr("labs.judge.child_of", fail)
    assert main(["grade", "1", "--results", str(tmp_path)]) == 1
    told = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert told["score"] == 0
    assert "no room" in told["output"]


@pytest.mark.parametrize(
    "words",
    [
        ["grade", "1", "-k", "index", "--results"],
        ["export", "1", "--to"],
        ["export", "1", "--gradescope", "--to"],
    ],
    ids=["results", "export", "gradescope"],
)
def test_a_place_that_cannot_be_written_gets_a_sentence(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot (use|write)"):
        main([*words, str(tmp_path / "file" / "below")])


def test_wrong_words_get_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "full").touch()
    for words in (["show", "99"], ["hint", "1.talk"], ["export", "1", "--to", str(tmp_path)]):
        with pytest.raises(UserError):
            main(words)


def test_list_show_and_hints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["points"] == 100
    assert main(["show", "1"]) == 0
    assert capsys.readouterr().out.startswith("# Lab 1")
    assert main(["hint", "1.walk", "--level", "3"]) == 0
    assert capsys.readouterr().out.startswith("error = ")
