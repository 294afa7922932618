"""Claims about run.py, hw/setup.py and hw/host.py: what a newcomer meets first.

A set-up runs in a small copy of the checkout. Most copies have a stand-in for pip, which only
records that it was called. Two tests use the real one, with nothing to fetch or no network.
"""

from __future__ import annotations

import _thread
import ast
import glob
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import run
from hw import host, setup
from hw.terminal import guest_terminal

ROOT = Path(run.ROOT)
SIGINT = 2

TOUR = """
import sys
import time


def main(argv):
    if argv == ["--bug"]:
        raise ValueError("seven is not eight")
    if argv == ["--mistake"]:
        from hw.host import UserError
        raise UserError("there is no program 'x'", "see 'run.py exec --help'")
    if argv == ["--wait"]:
        print("waiting", flush=True)
        time.sleep(60)
    if argv == ["--lack"]:
        import a_package_that_is_not_there
    if argv == ["--read"]:
        print(sys.stdin.read().upper(), end="")
    print(sys.prefix)
    return len(argv)
"""

# run.py with a stand-in for the two slow steps. PACE seconds pass within each of them.
STAND_IN = """
import os
import sys
import time

import run
from hw import setup

real_step = setup.step


def step(command):
    name = "venv" if "venv" in command else "install"
    with open(os.path.join(run.ROOT, "steps"), "a") as file:
        file.write(name + "\\n")
    if name == "venv":
        real_step(command + ["--without-pip"])
    time.sleep(float(os.environ.get("PACE", "0")))


setup.step = step
sys.exit(run.door(sys.argv[1:]))
"""


class Checkout:
    """A small copy of the checkout with one command, and the results of its calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("run.py", "hw/host.py", "hw/setup.py", *run.LOCKS.values()):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
        (folder / "labs").mkdir()
        (folder / "labs" / "tour.py").write_text(TOUR)
        (folder / "stand_in.py").write_text(STAND_IN)

    @property
    def environment(self) -> Path:
        return self.folder / ".venv"

    @property
    def steps(self) -> list[str]:
        steps = self.folder / "steps"
        return steps.read_text().split() if steps.exists() else []

    def start(self, *arguments: str, door: str = "stand_in.py", **settings: str) -> Run:
        return Run([sys.executable, str(self.folder / door), *arguments], settings)

    def call(self, *arguments: str, door: str = "stand_in.py", **settings: str) -> Run:
        return self.start(*arguments, door=door, **settings).finish()


class Run:
    """A process with its own environment variables and none of ours."""

    def __init__(self, command: list[str], settings: dict[str, str]) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("VANTAGE_", "PIP_"))}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env={**clean, **settings}
        )
        self.out = self.err = ""

    def finish(self, typed: str = "") -> Run:
        self.out, self.err = self.process.communicate(typed, timeout=60)
        return self

    @property
    def status(self) -> int:
        return self.process.returncode


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "vantage")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout that has been set up; for tests that change nothing in it."""
    checkout = Checkout(tmp_path_factory.mktemp("ready") / "vantage")
    assert checkout.call().status == 0
    return checkout


# The gate -----------------------------------------------------------------------------------


def old_pythons() -> Iterator[str]:
    """The Pythons below 3.10 that this host has and that start."""
    folders = [*os.get_exec_path(), os.path.expanduser("~/.pyenv/versions/*/bin")]
    for folder in folders:
        for python in glob.glob(os.path.join(folder, "python[23].[0-9]")):
            if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0:
                yield python


def test_the_door_uses_only_syntax_that_python_2_7_and_3_0_know_too() -> None:
    tree = ast.parse((ROOT / "run.py").read_text(), feature_version=(3, 4))
    modern = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Nonlocal, ast.YieldFrom)
    for node in ast.walk(tree):
        assert not isinstance(node, modern), f"run.py:{node.lineno}"
        if isinstance(node, ast.FunctionDef):
            parameters = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            assert node.returns is None, f"run.py:{node.lineno}"
            assert all(p.annotation is None for p in parameters), f"run.py:{node.lineno}"
            assert not node.args.posonlyargs, f"run.py:{node.lineno}"
            assert not node.args.kwonlyargs, f"run.py:{node.lineno}"
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            assert not any(isinstance(e, ast.Starred) for e in node.elts), f"run.py:{node.lineno}"
        if isinstance(node, ast.Raise):
            assert node.cause is None, f"run.py:{node.lineno}"


def test_a_user_of_an_old_python_gets_a_remedy() -> None:
    pretend = "import runpy, sys; sys.version_info = (3, 6, 15); runpy.run_path('run.py')"
    commands = [[sys.executable, "-c", pretend]]
    commands += [[python, "run.py", "--help"] for python in old_pythons()]
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2, command
        assert re.fullmatch(r"Vantage needs Python 3\.10 or newer and .*\n", done.stderr), command
        assert done.stdout == ""


# The table ----------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_help_lists_every_command_and_sets_nothing_up(
    checkout: Checkout, arguments: list[str]
) -> None:
    done = checkout.call(*arguments)
    assert (done.status, done.err) == (0, "")
    for name, (purpose, _, _) in run.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(purpose)}$", done.out, re.MULTILINE)
    assert "examples:" in done.out
    assert max(map(len, done.out.splitlines())) <= 90
    assert not checkout.environment.exists()


@pytest.mark.parametrize("name", ["doctor", "lint", "test"])
def test_help_on_a_command_and_a_command_with_help_are_the_same(name: str) -> None:
    one, other = (
        Run([sys.executable, str(ROOT / "run.py"), *words], {"VANTAGE_ENV": "active"}).finish()
        for words in (["help", name], [name, "--help"])
    )
    assert one.out == other.out
    assert f"run.py {name}" in one.out.splitlines()[0]
    assert f"python3 run.py {name}" in one.out


@pytest.mark.parametrize(
    ("word", "remedy"), [("tets", "did you mean 'test'?"), ("xyzzy", "see 'python3 run.py help'")]
)
def test_an_unknown_command_is_answered_with_the_closest_one(
    checkout: Checkout, word: str, remedy: str
) -> None:
    done = checkout.call(word)
    assert (done.status, done.out) == (2, "")
    assert done.err == f"Vantage: there is no command '{word}'; {remedy}\n"


@pytest.mark.parametrize("target", [target for _, target, _ in run.COMMANDS.values()])
def test_every_command_of_the_table_exists(target: str) -> None:
    module, function = target.split(":")
    path = ROOT / (module.replace(".", "/") + ".py")
    if not path.exists():
        path = path.with_suffix("") / "__init__.py"
    assert path.exists(), f"{target}: no {path.name}"
    names = [n.name for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)]
    assert function in names, f"{target}: no such function"


def test_status_arguments_and_streams_pass_through_the_door(ready: Checkout) -> None:
    done = ready.start("tour", "--read").finish("one\ntwo\n")
    assert done.out.startswith("ONE\nTWO\n")
    assert (done.status, done.err) == (1, "")


def test_a_users_mistake_gets_one_sentence_with_a_remedy(ready: Checkout) -> None:
    done = ready.call("tour", "--mistake")
    assert done.err == "Vantage: there is no program 'x'; see 'run.py exec --help'\n"
    assert (done.status, done.out) == (2, "")


def test_a_bug_gets_one_sentence_and_debugging_shows_the_traceback(ready: Checkout) -> None:
    done = ready.call("tour", "--bug")
    assert done.status == 70
    assert done.err.count("\n") == 1
    assert "ValueError: seven is not eight; this is a bug in Vantage" in done.err
    assert "Traceback" in ready.call("tour", "--bug", VANTAGE_DEBUG="1").err


def test_a_missing_package_is_not_called_a_bug(ready: Checkout) -> None:
    done = ready.call("tour", "--lack")
    assert done.status == 2
    assert "lacks the package 'a_package_that_is_not_there'" in done.err


def test_ctrl_c_ends_a_command_with_one_word(ready: Checkout) -> None:
    waiting = ready.start("tour", "--wait")
    assert waiting.process.stdout is not None
    assert waiting.process.stdout.readline() == "waiting\n"
    waiting.process.send_signal(SIGINT)
    waiting.finish()
    assert (waiting.status, waiting.err) == (130, "Interrupted.\n")


@pytest.mark.parametrize("words", [["help"], ["doctor", "--help"], ["doctor"]])
def test_a_closed_pipe_ends_a_command_silently(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, str(ROOT / "run.py"), *words]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.stderr == b""


# The environment ----------------------------------------------------------------------------


def test_a_second_start_sets_nothing_up(checkout: Checkout) -> None:
    first, second = checkout.call(), checkout.call()
    assert checkout.steps == ["venv", "install"]
    assert first.err.startswith("Setting up Vantage (once), in ")
    assert (second.status, second.err) == (0, "")
    assert Path(second.out.strip()).samefile(checkout.environment)


def test_a_changed_lock_or_interpreter_makes_a_new_environment(checkout: Checkout) -> None:
    checkout.call()
    with open(checkout.folder / "requirements.txt", "a") as lock:
        lock.write("# another release\n")
    assert checkout.call().status == 0
    assert checkout.steps == ["venv", "install"] * 2
    stamp = checkout.environment / "runtime.stamp"
    stamp.write_text(stamp.read_text().replace(sys.version, "3.10.99"))
    assert checkout.call().status == 0
    assert checkout.steps == ["venv", "install"] * 3


def test_a_group_is_added_when_a_command_first_needs_it(checkout: Checkout) -> None:
    checkout.call()
    checkout.call("test", "--help")
    checkout.call("test", "--help")
    assert checkout.steps == ["venv", *["install"] * 4], "the tests, the compiler and the panel"
    assert checkout.call().err == ""


@pytest.mark.parametrize("how", ["interrupted", "killed"])
@pytest.mark.parametrize("during", ["venv", "install"])
def test_after_an_interrupted_set_up_the_next_start_works(
    checkout: Checkout, how: str, during: str
) -> None:
    stopped = checkout.start(PACE="20" if during == "venv" else "0.4")
    until(lambda: during in checkout.steps)
    time.sleep(0.2)
    if how == "killed":
        stopped.process.kill()
    else:
        stopped.process.send_signal(SIGINT)
    stopped.finish()
    if how == "interrupted":
        assert stopped.status == 130
        assert stopped.err.splitlines()[-1] == "Interrupted."
        assert "Traceback" not in stopped.err
    again = checkout.call()
    assert again.status == 0
    assert checkout.steps[-2:] == ["venv", "install"]
    assert checkout.call().err == ""


def test_two_first_starts_at_once_set_up_once(checkout: Checkout) -> None:
    starts = [checkout.start(PACE="0.5") for _ in range(3)]
    for start in starts:
        assert start.finish().status == 0
    assert checkout.steps == ["venv", "install"]
    assert sum("Waiting for another set-up" in start.err for start in starts) == 2


def test_the_users_own_virtual_environment_is_left_alone(checkout: Checkout) -> None:
    mine = checkout.environment / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("precious")
    done = checkout.call()
    assert done.status == 2
    assert "was not made by run.py" in done.err
    assert re.search("^WRONG .* was not made by run.py", checkout.call("doctor").out, re.MULTILINE)
    assert mine.read_text() == "precious"


def test_the_active_python_is_used_as_it_is_on_request(checkout: Checkout) -> None:
    done = checkout.call(VANTAGE_ENV="active")
    assert done.out.strip() == sys.prefix
    assert not checkout.environment.exists()
    assert "VANTAGE_ENV=yes means nothing" in checkout.call(VANTAGE_ENV="yes").err


def test_a_read_only_checkout_keeps_its_environment_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(run, "ROOT", str(tmp_path))
    assert run.environment_folder(["runtime"]) == str(tmp_path / ".venv")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    folder = Path(run.environment_folder(["runtime"]))
    assert folder.parent == host.user_cache_folder("vantage")
    monkeypatch.setattr(run, "ROOT", str(tmp_path / "other"))
    assert Path(run.environment_folder(["runtime"])) != folder


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(host.UserError, match=r"cannot write .* make it writable"),
        setup.environment_to_build(str(tmp_path / "file" / "environment")),
    ):
        pass


def test_a_python_without_venv_is_told_the_package_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(host.UserError, match=r"lacks its module venv; .*apt install python3\.\d+-"):
        setup.make_venv(str(tmp_path))


def test_without_a_network_the_real_pip_fails_with_one_sentence(checkout: Checkout) -> None:
    settings = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull}
    done = checkout.call(door="run.py", **settings)
    assert done.status == 2
    assert done.err.splitlines()[-1] == (
        "Vantage: there is no way to the package index; go online once and start again"
    )
    assert "Traceback" not in done.err


def test_the_real_pip_installs_what_an_empty_lock_says(checkout: Checkout) -> None:
    (checkout.folder / "requirements.txt").write_text("# nothing\n")
    done = checkout.call(door="run.py", PIP_NO_INDEX="1")
    assert (done.status, Path(done.out.strip())) == (0, checkout.environment)


def test_the_locks_pin_every_package_with_a_hash_and_name_no_index() -> None:
    for name in run.LOCKS.values():
        text = (ROOT / name).read_text().replace("\\\n", " ")
        assert "://" not in text
        for line in text.splitlines():
            if line and not line.lstrip().startswith("#"):
                assert re.match(r"[a-z0-9-]+==\S+( ; .*)? +--hash=sha256:", line), line[:60]


# The doctor ---------------------------------------------------------------------------------


def test_the_doctor_makes_no_environment_and_says_that_there_is_none(checkout: Checkout) -> None:
    done = checkout.call("doctor")
    assert done.status == 0
    assert "does not exist yet; the next command makes it" in done.out
    assert list(checkout.folder.glob(".venv*")) == []


def test_the_doctor_says_what_is_wrong_and_its_remedy(ready: Checkout) -> None:
    done = ready.call("doctor")
    assert done.status == 1  # the stand-in for pip has installed nothing
    assert re.search(r"^WRONG  the emulator does not run in .*No module.*; delete", done.out, re.M)


def test_the_doctor_sees_an_emulator_that_runs() -> None:
    assert [finding.level for finding in setup._examine_packages(sys.executable)] == ["ok"]


# Work that can be interrupted ---------------------------------------------------------------


class Engine:
    """Runs until it is aborted, as a guest does; with `obeys` off it ignores that."""

    def __init__(self, obeys: bool = True) -> None:
        self.obeys = obeys
        self.running = threading.Event()
        self.aborted = threading.Event()
        self.ended = False

    def work(self) -> None:
        self.running.set()
        try:
            while not (self.obeys and self.aborted.is_set()):
                time.sleep(0.01)
        finally:
            self.ended = True

    def press_ctrl_c_after(self, *events: threading.Event) -> None:
        def press() -> None:
            for event in events:
                event.wait()
                _thread.interrupt_main()

        threading.Thread(target=press).start()


def test_work_returns_its_value_and_raises_its_error_with_its_place() -> None:
    assert host.run_interruptible(lambda: 42, abort=lambda: None) == 42
    with pytest.raises(ZeroDivisionError) as caught:
        host.run_interruptible(lambda: 1 // 0, abort=lambda: None)
    assert caught.traceback[-1].name == "<lambda>"


def test_ctrl_c_aborts_the_work_and_waits_for_its_end() -> None:
    engine = Engine()
    engine.press_ctrl_c_after(engine.running)
    with pytest.raises(KeyboardInterrupt):
        host.run_interruptible(engine.work, engine.aborted.set)
    assert engine.ended


def test_a_second_ctrl_c_ends_work_that_ignores_the_first() -> None:
    engine = Engine(obeys=False)
    engine.press_ctrl_c_after(engine.running, engine.aborted)
    with pytest.raises(KeyboardInterrupt):
        host.run_interruptible(engine.work, engine.aborted.set)
    assert engine.ended


def test_after_the_work_ctrl_c_is_what_it_was_before() -> None:
    host.run_interruptible(lambda: None, abort=lambda: pytest.fail("aborted"))
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        _thread.interrupt_main()
        time.sleep(1)


def test_outside_the_main_thread_work_is_called_directly() -> None:
    def work() -> None:
        seen.append(threading.current_thread())

    seen: list[threading.Thread] = []
    thread = threading.Thread(target=host.run_interruptible, args=(work, lambda: None))
    thread.start()
    thread.join()
    assert seen == [thread]


def test_waiting_for_the_work_costs_no_time() -> None:
    before = time.thread_time()
    host.run_interruptible(lambda: time.sleep(0.5), abort=lambda: None)
    assert time.thread_time() - before < 0.02


# Terminals and locks ------------------------------------------------------------------------


def test_a_lock_excludes_and_says_once_that_it_waits(tmp_path: Path) -> None:
    told: list[str] = []
    with host.file_lock(tmp_path / "lock"):
        thread = threading.Thread(target=wait_for_lock, args=(tmp_path / "lock", told))
        thread.start()
        until(lambda: told == ["waiting"])
        time.sleep(0.1)
        assert told == ["waiting"]
    thread.join()
    assert told == ["waiting", "held"]


def wait_for_lock(path: Path, told: list[str]) -> None:
    with host.file_lock(path, waiting=lambda: told.append("waiting")):
        told.append("held")


def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with open(tmp_path / "file", "w") as file:
        assert not host.wants_colour(file)
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(host, "is_terminal", lambda stream: True)
        monkeypatch.setattr(host, "_understands_escapes", lambda stream: True)
        assert host.wants_colour(file)
        monkeypatch.setenv("NO_COLOR", "1")
        assert not host.wants_colour(file)


if sys.platform != "win32":
    import termios

    def test_the_terminal_is_restored_even_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
        keyboard, terminal = os.openpty()
        before = termios.tcgetattr(terminal)
        with os.fdopen(terminal, "r") as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            with pytest.raises(ValueError, match="oops"), guest_terminal() as keys:  # noqa: PT012
                rows, columns = 24, 80
                assert keys.wait(5.0) == (None, (rows, columns))
                assert keys.poll() is None
                os.write(keyboard, b"\x03")
                assert keys.wait(5.0) == (b"\x03", None)
                raise ValueError("oops")
            assert termios.tcgetattr(terminal) == before
        os.close(keyboard)
